"""Per-peer profiles: what each kind of peer may use and expects, as data.

Code branches on the fields of a profile, never on its name. Source: trust and broker §8.
"""

from functools import cache
from importlib.resources import files

import msgspec

from openldn.base.errors import Issue, LdnError


class Algorithms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The algorithms of each kind of object, preferred first; empty: the peer has none."""

    credential: tuple[str, ...] = ()
    presentation: tuple[str, ...] = ()
    client_assertion: tuple[str, ...] = ()
    assertion: tuple[str, ...] = ()
    dpop: tuple[str, ...] = ()
    saml: tuple[str, ...] = ()


class Lifetimes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The longest that each kind of object may live, in seconds."""

    presentation: int = 5
    assertion: int = 300
    saml: int = 900
    token: int = 600


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is agreed with one kind of peer."""

    name: str
    wire: str  # dialect of the patterns: T, N, NP, K, W, O, H
    token_in: tuple[str, ...]  # dialects of token requests we take from it: D1 … D10, SAML
    token_out: tuple[str, ...]  # those we send it, preferred first
    alg_in: Algorithms
    alg_out: Algorithms
    aud_form: str = "either"  # issuer, token-endpoint, either
    org_id: str = "ura"  # ura, agb-oid, did
    anchors: tuple[str, ...] = ()  # thumbprints of CA certificates, pinned certificates, key sets
    revocation: str = "crl-hard"  # crl-hard, crl-or-ocsp, statuslist, bitstring
    status_list: str = ""  # type of status entry we issue to it
    tls: str = "ncsc-2025-05"
    client_certificate: bool = True
    renegotiation: bool = False  # one TLS 1.2 renegotiation is allowed (Zorgplatform)
    lifetimes: Lifetimes = Lifetimes()
    skew: int = 5  # seconds that clocks may differ
    reply: int = 200  # status it expects to a notification
    headers: tuple[str, ...] = ()  # headers that every request to it carries
    quirks: frozenset[str] = frozenset()  # named deviations, each explained in the docs


@cache
def profiles() -> dict[str, Profile]:
    """Every profile that ships with the product, by name."""
    folder = files(__package__) / "data"
    found = (load(f.read_bytes(), f.name) for f in folder.iterdir() if f.name.endswith(".json"))
    return {p.name: p for p in sorted(found, key=lambda p: p.name)}


def profile(name: str) -> Profile:
    """The profile with this name; raises LdnError(not-found) that lists the names."""
    try:
        return profiles()[name]
    except KeyError as error:
        text = f"no peer profile {name!r}; choose from {', '.join(profiles())}"
        raise LdnError(Issue.NOT_FOUND, text) from error


def load(content: bytes, origin: str) -> Profile:
    """The profile in this JSON; raises LdnError(invalid) that names the file and the key."""
    try:
        return msgspec.json.decode(content, type=Profile)
    except msgspec.MsgspecError as error:
        raise LdnError(Issue.INVALID, f"peer profile {origin}: {error}") from error
