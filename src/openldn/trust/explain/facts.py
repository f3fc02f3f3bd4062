"""What something says of itself, as labels and values that a person can read."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from openldn.base.errors import LdnError
from openldn.base.runtime import instant
from openldn.trust.brokered import flat
from openldn.trust.certificates import party_of
from openldn.trust.certificates.party import thumbprint
from openldn.trust.explain.detect import Found, Sort
from openldn.trust.explain.model import Sources, masked
from openldn.trust.saml.names import ASSERTION, SAML
from openldn.trust.saml.xml import parse
from openldn.trust.trail import Trail

Facts = tuple[tuple[str, str], ...]
_ACT = "https://openldn.nl/claims/act"
_LATEST = 2**33  # seconds since 1970 that a date can hold
_CLAIMS = (  # label -> where it stands in claims, the first that is there
    ("issuer", ("iss",)),
    ("subject", ("sub",)),
    ("organization", ("organization_ura",)),
    ("organization_name", ("organization_name",)),
    ("audience", ("aud",)),
    ("scope", ("scope",)),
    ("purpose", ("purpose",)),
    ("id", ("jti",)),
)


async def facts_of(found: Found, sources: Sources) -> tuple[Facts, tuple[str, ...]]:
    """What it says of itself, masked, and who acted in between."""
    if found.jws is not None:
        return _clean(_of_claims(found.jws.header, found.jws.claims)), act_of(found.jws.claims)
    if found.sort is Sort.CERTIFICATE:
        return _clean(_of_certificate(found)), ()
    if found.sort is Sort.SAML:
        return _clean(_of_saml(found.xml)), _act_of_saml(found.xml)
    told = await sources.introspect(found.text) if sources.introspect else None
    return _clean(_of_claims({}, told or {})), act_of(told or {})


def ends_of(found: Found, facts: Facts) -> datetime | None:
    """Until when it says that it counts."""
    if found.sort is Sort.CERTIFICATE:
        return found.chain[0].not_valid_after_utc
    said = dict(facts).get("ends", "")
    try:
        return datetime.fromisoformat(said) if said else None
    except ValueError:
        return None


def _of_claims(header: Mapping[str, Any], claims: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    said = {**_subject(claims), **claims}
    for label, names in _CLAIMS:
        value = next((said[n] for n in names if said.get(n)), "")
        yield label, " ".join(map(str, value)) if isinstance(value, list) else str(value)
    yield "types", ", ".join(_types(claims))
    yield "begins", _moment(claims.get("nbf", claims.get("iat")))
    yield "ends", _moment(claims.get("exp"))
    yield "algorithm", str(header.get("alg", ""))
    person = said.get("person") or said.get("employee")
    yield "person", "said, not shown" if person else ""
    yield "patient", "said, not shown" if said.get("patient") else ""
    bound = claims.get("cnf")
    yield "bound", ", ".join(map(str, bound)) if isinstance(bound, dict) else ""


def _subject(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the credential inside says, when there is one that can be read without believing."""
    vc = claims.get("vc")
    subject = vc.get("credentialSubject") if isinstance(vc, dict) else None
    return subject if isinstance(subject, dict) else {}


def _types(claims: Mapping[str, Any]) -> list[str]:
    vc = claims.get("vc", claims.get("vp"))
    named = vc.get("type", []) if isinstance(vc, dict) else []
    return [str(t) for t in (named if isinstance(named, list) else [named])]


def act_of(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Who acted in between, as the claims or the credential in them say; nearest first."""
    try:
        return tuple(map(masked, flat({**_subject(claims), **claims}.get("act"))))
    except ValueError:
        return ("?",)


def _act_of_saml(content: bytes) -> tuple[str, ...]:
    """What a broker says in an attribute of its own."""
    try:
        root = parse(content, Trail())
        said = root.findtext(f".//{{{SAML}}}Attribute[@Name='{_ACT}']/{{{SAML}}}AttributeValue")
        return act_of({"act": msgspec.json.decode(said)}) if said else ()
    except (LdnError, msgspec.MsgspecError):
        return ()


def _of_certificate(found: Found) -> Iterator[tuple[str, str]]:
    leaf = found.chain[0]
    der = leaf.public_bytes(Encoding.DER)
    yield "subject", leaf.subject.rfc4514_string()
    yield "issuer", leaf.issuer.rfc4514_string()
    try:
        party = party_of(der)
    except LdnError:
        party = None
    yield "organization", party.ura.value if party else ""
    yield "uzi", party.uzi if party else ""
    yield "begins", instant(leaf.not_valid_before_utc)
    yield "ends", instant(leaf.not_valid_after_utc)
    yield "thumbprint", thumbprint(der)
    yield "chain", str(len(found.chain))


def _of_saml(content: bytes) -> Iterator[tuple[str, str]]:
    try:
        root = parse(content, Trail())
    except LdnError:
        return

    def text(name: str) -> str:
        return (root.findtext(f".//{{{SAML}}}{name}") or "").strip()

    yield "types", etree.QName(root).localname
    yield "issuer", text("Issuer")
    name = text("NameID")
    of_person = not name.startswith("urn:")
    yield "subject", name.rpartition("@")[2] if "@" in name else "" if of_person else name
    yield "person", "said, not shown" if name and of_person else ""
    yield "audience", text("Audience")
    assertion = root if root.tag == ASSERTION else root.find(f".//{{{SAML}}}Assertion")
    yield "id", assertion.get("ID", "") if assertion is not None else ""
    conditions = root.find(f".//{{{SAML}}}Conditions")
    if conditions is not None:
        yield "begins", conditions.get("NotBefore", "")
        yield "ends", conditions.get("NotOnOrAfter", "")


def _moment(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value < _LATEST:
        return ""
    return instant(datetime.fromtimestamp(float(value), UTC))


def _clean(facts: Iterator[tuple[str, str]]) -> Facts:
    return tuple((label, masked(value)) for label, value in facts if value)
