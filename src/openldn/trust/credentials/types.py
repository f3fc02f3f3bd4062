"""The kinds of credential we know, as data: who may issue them, what they say, what is checked.

Source: trust and broker §3; the names still move, hence data.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import msgspec

from openldn.base.errors import LdnError
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates.party import uzi_of
from openldn.trust.credentials.paths import texts

# Why the issuer is believed: its certificate; the settings name it; it speaks of itself; it gave
# the delegation; a statement inside proves it.
IssuerIs = Literal["certificate", "trusted", "holder", "delegator", "statement"]


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a claim stands in the credentialSubject, and what form its text has."""

    paths: tuple[str, ...]
    form: Literal["text", "ura", "uzi"] = "text"
    required: bool = False


class CredentialType(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must be so of one kind of credential."""

    issuers: tuple[str, ...]  # DID methods
    issuer_is: IssuerIs
    claims: dict[str, Claim]
    checks: tuple[str, ...]
    source: str
    contexts: tuple[str, ...] = ()  # beside that of the data model
    encoding: Literal["jwt", "dezi"] = "jwt"
    algorithms: tuple[str, ...] = ()  # empty: those of the peer's profile
    binds: bool = False  # it proves the URA of its subject


# A kind we do not know counts only where a definition asks for it: from an issuer we trust.
UNKNOWN = CredentialType(("web", "x509", "key", "jwk"), "trusted", {}, (), "R49")


@cache
def types() -> Mapping[str, CredentialType]:
    """Every kind of credential we know, by name."""
    content = (files(__package__) / "types.json").read_bytes()
    return msgspec.json.decode(content, type=dict[str, CredentialType])


def claims_of(kind: CredentialType, subject: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """What a credentialSubject says, by claim; a URA has eight digits; nothing when absent."""
    said = {name: _values(claim, subject) for name, claim in kind.claims.items()}
    return {name: values for name, values in said.items() if values}


def plain(text: str) -> str:
    """The text for comparing: a URA has eight digits, but test data leave out zeros."""
    return text.zfill(8) if text.isascii() and text.isdigit() else text


def _values(claim: Claim, subject: Mapping[str, Any]) -> tuple[str, ...]:
    raw = texts(subject, claim.paths)
    if claim.form == "text":
        return raw
    return tuple(dict.fromkeys(u for text in raw if (u := _ura(claim.form, text))))


def _ura(form: str, text: str) -> str:
    try:
        return uzi_of(text)[1].value if form == "uzi" else Ura.parse(text).value
    except (LdnError, ValueError):
        return ""
