"""The kinds of assertion each infrastructure uses, as data."""

from functools import cache
from importlib.resources import files

import msgspec

from openldn.base.errors import Issue, LdnError


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One kind of assertion: its forms, and what must be in it. Templates name their parts."""

    name: str
    source: str
    issuer: str  # template
    name_id: str  # template; empty without a person
    name_id_pattern: str  # groups: person, role, organization
    confirmation: str  # bearer, holder-of-key, sender-vouches
    issuer_format: str = ""
    issuer_pattern: str = ""  # when the issuer itself says who: groups as above
    holder: str = "client"  # whose certificate a holder-of-key must name: client (TLS), signer
    encrypted: bool = False  # plain text is refused
    several_audiences: bool = False  # we may be one of more
    non_repudiation: bool = False  # the certificate must be for signing documents
    role: str = ""  # SNOMED code; empty: that of the person
    purpose: str = ""  # v3-ActReason code; empty: that of the proof
    authentication: str = "urn:oasis:names:tc:SAML:2.0:ac:classes:X509"  # empty: no statement
    attributes: tuple[str, ...]  # in the order they are written
    required: tuple[str, ...]
    verified: bool = True  # false: parts are our own guess
    unverified: str = ""  # which parts


class _Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    purposes: dict[str, str]  # nhin-purpose -> v3-ActReason
    variants: tuple[Variant, ...]


@cache
def _data() -> _Data:
    return msgspec.json.decode((files(__package__) / "variants.json").read_bytes(), type=_Data)


def variant(name: str) -> Variant:
    """The variant with this name; raises LdnError(not-found) that lists the names."""
    found = {v.name: v for v in _data().variants}
    if name not in found:
        text = f"no kind of assertion {name!r}; choose from {', '.join(found)}"
        raise LdnError(Issue.NOT_FOUND, text)
    return found[name]


def reasons() -> dict[str, str]:
    """nhin-purpose code -> v3-ActReason code."""
    return dict(_data().purposes)
