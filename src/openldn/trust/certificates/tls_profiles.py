"""TLS profiles: what may be used on a connection, as data for clients, servers and the checker."""

import ssl
from functools import cache
from importlib.resources import files

import msgspec

from openldn.base.errors import Issue, LdnError

DEFAULT = "ncsc-2025-05"
_VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


class TlsProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one set of guidelines lets be used, and how hard each check counts under it."""

    name: str
    title: str
    source: str
    versions: tuple[str, ...]  # those that may be offered, best first
    client_minimum: str  # the lowest that our own client offers
    suites: tuple[str, ...]  # of TLS 1.3, all to be offered (IANA names)
    suites_1_2: tuple[str, ...]  # of TLS 1.2, those that may be offered (OpenSSL names)
    groups: tuple[str, ...]  # for key agreement
    hybrid_groups: tuple[str, ...]  # with ML-KEM
    signature_algorithms: tuple[str, ...]
    hashes: tuple[str, ...]  # in signatures on certificates
    rsa_bits: int  # the least
    severity: dict[str, str]  # check -> fail, warn or info; a check that is absent: fail

    def weight(self, check: str) -> str:
        """What a shortcoming found by this check is called: fail, warn or info."""
        return self.severity.get(check, "fail")


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    profiles: tuple[TlsProfile, ...]


@cache
def tls_profiles() -> dict[str, TlsProfile]:
    """Every profile that ships with the product, by name."""
    content = (files(__package__) / "tls_profiles.json").read_bytes()
    return {p.name: p for p in msgspec.json.decode(content, type=_File).profiles}


def tls_profile(name: str = DEFAULT) -> TlsProfile:
    """The profile with this name; raises LdnError(not-found) that lists the names."""
    try:
        return tls_profiles()[name]
    except KeyError as error:
        text = f"no TLS profile {name!r}; choose from {', '.join(tls_profiles())}"
        raise LdnError(Issue.NOT_FOUND, text) from error


def restrict(
    context: ssl.SSLContext, profile: TlsProfile, *, renegotiation: bool = False
) -> ssl.SSLContext:
    """The same context, narrowed to the profile as far as Python's ssl can.

    A client offers no version below `client_minimum`; a server none that is not in `versions`.
    With `renegotiation` a peer may renegotiate TLS 1.2 once (Zorgplatform). Suites of TLS 1.3,
    groups and signature algorithms are those of OpenSSL: Python cannot choose them.
    """
    client = context.protocol == ssl.PROTOCOL_TLS_CLIENT
    lowest = _VERSIONS[profile.client_minimum if client else profile.versions[-1]]
    if renegotiation:
        lowest = ssl.TLSVersion.TLSv1_2
    context.minimum_version = lowest
    context.set_ciphers(":".join(profile.suites_1_2))
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    if renegotiation:
        context.options &= ~ssl.OP_NO_RENEGOTIATION
    else:
        context.options |= ssl.OP_NO_RENEGOTIATION
    return context
