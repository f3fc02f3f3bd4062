"""SAML of the broker: an assertion that says who was proven elsewhere, and through whom.

The attributes of Zorgplatform are written as its own readers expect them; what only a broker has
to say (the chain of actors, where it can be revoked) stands in attributes of its own beside them.
Source: SAML core §2; OASIS XSPA; trust and broker §9 B6.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from cryptography import x509
from lxml import etree

from openldn.base.errors import LdnError
from openldn.trust.broker.model import Draft, Made
from openldn.trust.broker.service import SAML as SAML_TYPE
from openldn.trust.brokered import flat, nested, status_claim, status_of
from openldn.trust.emergencies import emergency_in, told_of
from openldn.trust.evidence import Proof, Status, Value
from openldn.trust.parties import Person
from openldn.trust.saml import claims, confirmation
from openldn.trust.saml.names import ASSERTION, SAML
from openldn.trust.saml.read import SamlExpected, read
from openldn.trust.saml.signature import Signing, sign
from openldn.trust.saml.variants import Variant, reasons
from openldn.trust.saml.xml import Element, attribute, fresh, parse, serialized, text, written
from openldn.trust.trail import Rule, Trail

BROKERED = Variant(
    name="openldn-broker",
    source="trust and broker §9 B6",
    issuer="{issuer}",
    name_id="{person}",
    name_id_pattern=r"(?P<person>[^@\s]{1,100}@[0-9]+(?:\.[0-9]+){2,30})|urn:oid:[0-9.]{3,100}",
    confirmation="holder-of-key",
    attributes=("purpose", "role", "resource", "organization", "name", "workflow"),
    required=("purpose", "organization", "role"),
)
EXTRA = Rule("broker.saml", "trust and broker §9 B6", "the attributes of the broker can be read")

URGENT, BROKEN = "ETREAT", "BTG"  # v3-ActReason: emergency treatment, break the glass
_OWN = "https://openldn.nl/claims/"  # attributes that only a broker writes
_URA_OID = "2.16.528.1.1007.3.3"
_UZI_OID = "2.16.528.1.1007.3.1"
_LARGEST = 4096  # characters of one such attribute


class Roles(msgspec.Struct, frozen=True):
    """UZI role codes in SNOMED CT; a code that is not here becomes the widest profession."""

    otherwise: str  # a professional of a kind that is not in the table
    system: str  # no person
    snomed: dict[str, str]  # UZI role code -> SNOMED CT


@cache
def roles() -> Roles:
    """The table that ships with the product."""
    return msgspec.json.decode((files(__package__) / "roles.json").read_bytes(), type=Roles)


def registered(person: Person | None) -> Person | None:
    """The person by UZI number and UZI role, when the assertion names both.

    A local user name is never taken for a UZI number: such a person stays as it was named.
    """
    if person is None:
        return None
    number, _, oid = person.uzi.partition("@")
    found = [uzi for uzi, snomed in roles().snomed.items() if snomed == person.role]
    if oid != _UZI_OID or not number.isascii() or not number.isdigit() or len(found) != 1:
        return person
    return Person(number, found[0], person.name)


@dataclass(frozen=True)
class SamlMint:
    """Makes assertions for holders that have pinned the broker's certificate."""

    issuer: str  # the broker's URL
    did: str  # which signs its status list
    signing: Signing
    variant: Variant = BROKERED

    async def make(self, draft: Draft, status: Status) -> Made:
        """The assertion in base64; holder-of-key names the certificate of who asked."""
        root = _assertion(draft, self.issuer, self.variant)
        statement = claims.write(values(draft), self.variant)
        if statement is None:
            statement = etree.Element(_tag("AttributeStatement"))
        for name, value in extras(draft, status, self.did).items():
            _add(statement, name, value)
        root.append(statement)
        root.append(_authentication(draft.issued, self.variant))
        sign(root, 1, self.signing, draft.audience.profile.alg_out.saml)  # 1: after Issuer
        return Made(base64.b64encode(serialized(root)).decode(), SAML_TYPE)


def values(draft: Draft) -> dict[str, str]:
    """The attributes that every reader of this network knows, by our short names."""
    purposes = {ours: theirs for theirs, ours in reasons().items()}
    known, proof = roles(), draft.proof
    role = known.snomed.get(proof.person.role, known.otherwise) if proof.person else known.system
    # the dialect has one word for emergencies; the reason beside it tells that glass was broken
    purpose = URGENT if proof.emergency else proof.purpose
    return {
        "purpose": purposes.get(purpose, ""),
        "role": role,
        "resource": proof.patient.value if proof.patient else "",
        "organization": f"urn:oid:{_URA_OID}.{proof.organization.value}",
        "workflow": proof.authorization_base,
        "name": proof.person.name if proof.person else "",
    }


def extras(draft: Draft, status: Status, did: str) -> dict[str, str]:
    """What only the broker has to say, as JSON or text."""
    person = draft.person
    own = {
        "act": nested(draft.act),
        "via": list(draft.via),
        "status": status_claim(status, did, draft.expires),
        "person": {"uzi": person.uzi, "role": person.role} if person else None,
        "scope": " ".join(sorted(draft.scopes)),
        "organization_name": draft.proof.organization_name,
        "emergency": told_of(draft.proof.emergency) if draft.proof.emergency else None,
    }
    return {k: v if isinstance(v, str) else _json(v) for k, v in own.items() if v}


def brokered(xml: bytes, expected: SamlExpected, trail: Trail) -> Proof:
    """What an assertion of a broker proves, its chain of actors and place of revocation included.

    For the holder's side. Raises LdnError(the trail's issue).
    """
    proof = read(xml, expected, trail)
    try:
        own = _extras(xml)
        found = _completed(proof, own)
    except (ValueError, KeyError, TypeError, LdnError) as error:
        raise _failed(trail) from error
    trail.note(EXTRA)
    return found


def _completed(proof: Proof, own: Mapping[str, Any]) -> Proof:
    status = status_of(own["status"], proof, next(e.id for e in proof.evidence))
    if status is None:
        raise ValueError("it does not say where it can be revoked")
    person = proof.person
    if said := own.get("person"):
        name = person.name if person else ""
        person = Person(str(said["uzi"]), str(said["role"]), name)
    why = emergency_in(own.get("emergency"))
    via = tuple(Value(str(v), proof.system, proof.issued, proof.expires) for v in own["via"])
    return replace(
        proof,
        dialect="broker",
        act=flat(own["act"]),
        evidence=(*proof.evidence, status),
        person=person,
        scopes=frozenset(own["scope"].split()),
        organization_name=str(own.get("organization_name", "")),
        purpose=BROKEN if why else proof.purpose,
        emergency=why,
        claims={**proof.claims, "via": {"infrastructure": via}},
    )


def _extras(xml: bytes) -> dict[str, Any]:
    """The broker's own attributes of a document that is verified already.

    They are taken from the statement of the signed assertion and from nowhere else.
    """
    found: dict[str, str] = {}
    root = parse(xml, Trail())
    if root.tag != ASSERTION:
        raise ValueError("the assertion does not stand alone")
    for node in root.iterfind(f"{_tag('AttributeStatement')}/{_tag('Attribute')}"):
        name = attribute(node, "Name")
        if name.startswith(_OWN):
            value = text(node[0])
            if name.removeprefix(_OWN) in found or len(value) > _LARGEST:
                raise ValueError("twice, or too long")
            found[name.removeprefix(_OWN)] = value
    plain = {"scope", "organization_name"}
    return {k: v if k in plain else msgspec.json.decode(v) for k, v in found.items()}


def _failed(trail: Trail) -> LdnError:
    try:
        trail.require(False, EXTRA)
    except LdnError as error:
        return error
    raise AssertionError("a failed check refuses")


def _assertion(draft: Draft, issuer: str, variant: Variant) -> Element:
    root = fresh("Assertion", SAML)
    moment = written(draft.issued)
    for name, value in (("ID", f"_{draft.id}"), ("IssueInstant", moment), ("Version", "2.0")):
        root.set(name, value)
    etree.SubElement(root, _tag("Issuer")).text = issuer
    subject = etree.SubElement(root, _tag("Subject"))
    person = draft.person
    organization = f"urn:oid:{_URA_OID}.{draft.organization.value}"
    name = f"{person.uzi}@{_UZI_OID}" if person else organization
    etree.SubElement(subject, _tag("NameID")).text = name
    holder = x509.load_der_x509_certificate(draft.certificate) if draft.certificate else None
    subject.append(confirmation.write(variant, holder))
    conditions = etree.SubElement(root, _tag("Conditions"))
    conditions.set("NotBefore", moment)
    conditions.set("NotOnOrAfter", written(draft.shown_by))
    restriction = etree.SubElement(conditions, _tag("AudienceRestriction"))
    etree.SubElement(restriction, _tag("Audience")).text = draft.audience.issuer
    return root


def _authentication(issued: datetime, variant: Variant) -> Element:
    node = etree.Element(_tag("AuthnStatement"), {"AuthnInstant": written(issued)})
    context = etree.SubElement(node, _tag("AuthnContext"))
    etree.SubElement(context, _tag("AuthnContextClassRef")).text = variant.authentication
    return node


def _add(statement: Element, name: str, value: str) -> None:
    node = etree.SubElement(statement, _tag("Attribute"), {"Name": f"{_OWN}{name}"})
    etree.SubElement(node, _tag("AttributeValue")).text = value


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _tag(name: str) -> str:
    return f"{{{SAML}}}{name}"
