"""An assertion of another party, read into a `Proof`.

Source: SAML 2.0 core §2, §5; rule R69. The order is fixed: parse, decrypt, isolate, signature,
then everything else; the assertion that is read is the root of its own document, so that there
is nothing beside it that a signature could stand for instead.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree

from openldn.base.errors import LdnError
from openldn.trust.evidence import Claims, Evidence, Kind, Proof, Value
from openldn.trust.parties import Person
from openldn.trust.peers import Profile
from openldn.trust.saml import claims, confirmation, encryption, signature
from openldn.trust.saml.names import (
    ASSERTION,
    ENCRYPTED_ASSERTION,
    ENCRYPTED_DATA,
    RESPONSE,
    SAML,
    SAMLP,
    SUCCESS,
    TRUST,
    WSU,
)
from openldn.trust.saml.organizations import Organization
from openldn.trust.saml.variants import Variant
from openldn.trust.saml.xml import (
    Element,
    attribute,
    failed,
    moment,
    only,
    parse,
    serialized,
    text,
)
from openldn.trust.trail import Rule, Trail

ANSWER = Rule("saml.answer", "SAML core §3.2.2.2", "the answer is no error")
ONE = Rule("saml.one", "SAML profiles §4.1.4.2", "there is exactly one assertion, in its place")
OPEN = Rule("saml.answer.when", "WS-Trust §4.4", "the answer itself has not ended")
ENCRYPTED = Rule("saml.encrypted", "trust and broker §6.1", "the assertion came encrypted")
VERSION = Rule("saml.version", "SAML core §2.3.3", "the assertion is of SAML 2.0 and has an ID")
ISSUER = Rule("saml.issuer", "SAML core §2.2.5", "there is one issuer, in the form agreed on")
CONDITIONS = Rule("saml.conditions", "SAML core §2.5.1", "conditions stand once, all understood")
WHEN = Rule("saml.when", "SAML core §2.5.1.2", "the assertion counts now")
LIFETIME = Rule("saml.lifetime", "trust and broker §7", "it lives no longer than agreed")
AUDIENCE = Rule("saml.audience", "SAML core §2.5.1.4", "it is meant for us")
NAME_ID = Rule("saml.name-id", "trust and broker §6.1, R69", "NameID has the form agreed on")
ORGANIZATION = Rule("saml.organization", "trust and broker §6.1", "the organization is known here")

_REQUESTED = f"{{{TRUST}}}RequestedSecurityToken"
_TRUST_RESPONSE = f"{{{TRUST}}}RequestSecurityTokenResponse"
_COLLECTION = f"{{{TRUST}}}RequestSecurityTokenResponseCollection"
# What may stand above an assertion, outermost last.
_PLACES = frozenset(
    {(), (RESPONSE,), (_REQUESTED, _TRUST_RESPONSE), (_REQUESTED, _TRUST_RESPONSE, _COLLECTION)}
)
_UNDERSTOOD = frozenset({f"{{{SAML}}}AudienceRestriction", f"{{{SAML}}}OneTimeUse"})
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{7,127}")


@dataclass(frozen=True)
class SamlExpected:
    """What an assertion must meet."""

    audience: str  # we, as the peer names us
    now: datetime
    profile: Profile  # algorithms, lifetime, skew
    variant: Variant  # form and content
    pinned: Mapping[str, tuple[x509.Certificate, ...]]  # issuer -> its certificates
    organization: Organization  # identifier in the assertion -> care provider
    keys: tuple[rsa.RSAPrivateKey, ...] = field(default=(), repr=False)  # to decrypt, newest first
    client: bytes | None = None  # certificate (DER) of the TLS client, for holder-of-key
    recipient: str = ""  # the address it must be sent to, when it names one


class _Span(NamedTuple):
    issued: datetime
    ends: datetime


class _Read(NamedTuple):
    """An assertion whose every check has passed, but for what its content means."""

    id: str
    issuer: str
    name: str  # NameID
    span: _Span
    values: Mapping[str, str]
    signed_by: x509.Certificate

    def __repr__(self) -> str:
        """Which one it is; nothing of what it says."""
        return f"_Read({self.id!r})"


def read(xml: bytes, expected: SamlExpected, trail: Trail) -> Proof:
    """What the one assertion in this document proves; raises LdnError(the trail's issue)."""
    root = parse(xml, trail)
    _check_open(root, expected, trail)
    assertion = _assertion(root, expected, trail)
    issuer, signed_by = _signed(assertion, expected, trail)
    span = _span(assertion, expected, trail)
    subject = only(assertion, _tag("Subject"), NAME_ID, trail)
    shown = _shown(expected, signed_by)
    confirmation.check(subject, expected.variant, shown, trail)
    name = text(only(subject, _tag("NameID"), NAME_ID, trail))
    values = claims.read(assertion, expected.variant, trail)
    found = _Read(attribute(assertion, "ID"), issuer, name, span, values, signed_by)
    return _proof(found, expected, trail)


def _assertion(root: Element, expected: SamlExpected, trail: Trail) -> Element:
    """The one assertion, decrypted, as the root of a document of its own."""
    _check_answer(root, trail)
    kinds = (ASSERTION, ENCRYPTED_ASSERTION, ENCRYPTED_DATA)
    found = [n for n in root.iter(*kinds) if n.getparent() is None or not _closed(n)]
    trail.require(len(found) == 1 and _place(found[0]) in _PLACES, ONE)
    if found[0].tag == ASSERTION:
        trail.require(not expected.variant.encrypted, ENCRYPTED)
        return parse(serialized(found[0]), trail)
    inside = parse(encryption.decrypt(_data(found[0], trail), expected.keys, trail), trail)
    trail.note(ENCRYPTED)
    alone = [n for n in inside.iter(*kinds)] == [inside] and inside.tag == ASSERTION
    trail.require(alone, ONE)
    return inside


def _check_answer(root: Element, trail: Trail) -> None:
    """An answer that tells of a failure ends here."""
    trail.require(etree.QName(root).localname not in {"Error", "Fault"}, ANSWER)
    if root.tag == RESPONSE:
        status = only(root, f"{{{SAMLP}}}Status", ANSWER, trail)
        code = only(status, f"{{{SAMLP}}}StatusCode", ANSWER, trail)
        trail.require(attribute(code, "Value") == SUCCESS, ANSWER)


def _check_open(root: Element, expected: SamlExpected, trail: Trail) -> None:
    """The lifetime an STS tells beside the assertion; on Zorgplatform it is often over already."""
    lifetimes = list(root.iter(f"{{{TRUST}}}Lifetime"))
    if "response-lifetime-unchecked" in expected.profile.quirks or not lifetimes:
        trail.skip(OPEN, "not told, or not asked of this peer")
        return
    skew = timedelta(seconds=expected.profile.skew)
    for lifetime in lifetimes:
        ends = moment(text(only(lifetime, f"{{{WSU}}}Expires", OPEN, trail)), trail)
        trail.require(expected.now < ends + skew, OPEN)


def _closed(node: Element) -> bool:
    """Whether this is the data of an EncryptedAssertion, which is counted already."""
    above = node.getparent()
    return node.tag == ENCRYPTED_DATA and above is not None and above.tag == ENCRYPTED_ASSERTION


def _place(node: Element) -> tuple[str, ...]:
    return tuple(str(n.tag) for n in node.iterancestors())


def _data(node: Element, trail: Trail) -> Element:
    if node.tag == ENCRYPTED_DATA:
        return node
    return only(node, ENCRYPTED_DATA, ONE, trail)


def _signed(
    assertion: Element, expected: SamlExpected, trail: Trail
) -> tuple[str, x509.Certificate]:
    """The issuer, and the certificate pinned for it that signed the whole assertion."""
    fits = attribute(assertion, "Version") == "2.0" and _ID.fullmatch(attribute(assertion, "ID"))
    trail.require(bool(fits), VERSION)
    named = only(assertion, _tag("Issuer"), ISSUER, trail)
    issuer = text(named)
    trail.require(0 < len(issuer) <= 500, ISSUER)
    certificate = signature.verify(
        assertion,
        expected.pinned.get(issuer, ()),
        expected.profile.alg_in.saml,
        expected.now,
        trail,
    )
    form = expected.variant.issuer_format
    trail.require(attribute(named, "Format") in {form, ""}, ISSUER)
    if expected.variant.non_repudiation:
        trail.require(_for_documents(certificate), signature.CURRENT)
    return issuer, certificate


def _for_documents(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return usage.content_commitment


def _span(assertion: Element, expected: SamlExpected, trail: Trail) -> _Span:
    """When it was issued and ends, once it counts now and is meant for us."""
    conditions = only(assertion, _tag("Conditions"), CONDITIONS, trail)
    trail.require(all(c.tag in _UNDERSTOOD for c in conditions), CONDITIONS)
    skew = timedelta(seconds=expected.profile.skew)
    begins = moment(attribute(conditions, "NotBefore"), trail)
    ends = moment(attribute(conditions, "NotOnOrAfter"), trail)
    issued = moment(attribute(assertion, "IssueInstant"), trail)
    trail.require(max(begins, issued) - skew <= expected.now < ends + skew, WHEN)
    longest = timedelta(seconds=expected.profile.lifetimes.saml)
    trail.require(timedelta(0) < ends - begins <= longest, LIFETIME)
    trail.require(ends - issued <= longest + skew, LIFETIME)
    _check_audience(conditions, expected, trail)
    return _Span(issued, ends)


def _check_audience(conditions: Element, expected: SamlExpected, trail: Trail) -> None:
    restriction = only(conditions, _tag("AudienceRestriction"), AUDIENCE, trail)
    named = [text(node) for node in restriction]
    trail.require(all(node.tag == _tag("Audience") for node in restriction), AUDIENCE)
    alone = expected.variant.several_audiences or len(named) == 1
    trail.require(alone and expected.audience in named, AUDIENCE)


def _shown(expected: SamlExpected, signed_by: x509.Certificate) -> confirmation.Shown:
    addresses = frozenset({expected.audience, expected.recipient}) - {""}
    client = x509.load_der_x509_certificate(expected.client) if expected.client else None
    return confirmation.Shown(
        expected.now,
        timedelta(seconds=expected.profile.skew),
        addresses,
        signed_by if expected.variant.holder == "signer" else client,
    )


def _proof(found: _Read, expected: SamlExpected, trail: Trail) -> Proof:
    parts = _parts(found, expected.variant, trail)
    identifier = found.values.get("organization") or parts.get("organization") or found.issuer
    try:
        organization = expected.organization(identifier)
    except LdnError as error:
        raise failed(trail, ORGANIZATION) from error
    trail.note(ORGANIZATION)
    evidence = _evidence(found)
    return Proof(
        dialect="saml",
        subject=found.name or found.issuer,
        organization=organization,
        issued=found.span.issued,
        expires=evidence.expires,
        evidence=(evidence,),
        system=found.issuer,
        person=_person(parts, found.values),
        patient=claims.patient(found.values, trail),
        purpose=claims.reason(found.values, trail),
        authorization_base=found.values.get("workflow", ""),
        used=(f"{found.issuer}|{found.id}",),
        claims={found.name or found.issuer: _claims(found)},
    )


def _parts(found: _Read, variant: Variant, trail: Trail) -> dict[str, str]:
    """The parts that the forms of NameID and Issuer name: person, role, organization."""
    name = re.fullmatch(variant.name_id_pattern, found.name, re.ASCII)
    trail.require(name is not None, NAME_ID)
    issuer = re.fullmatch(variant.issuer_pattern or ".*", found.issuer, re.ASCII | re.DOTALL)
    trail.require(issuer is not None, ISSUER)
    both = [m.groupdict() for m in (name, issuer) if m is not None]
    return {key: value for group in both for key, value in group.items() if value}


def _person(parts: Mapping[str, str], values: Mapping[str, str]) -> Person | None:
    if "person" not in parts:
        return None  # a system speaks
    role = parts.get("role") or values.get("role", "")
    return Person(parts["person"], role, values.get("name", ""))


def _evidence(found: _Read) -> Evidence:
    """The assertion; it rests on a pin, so it ends when the certificate does or the pin goes."""
    der = found.signed_by.public_bytes(serialization.Encoding.DER)
    ends = min(found.span.ends, found.signed_by.not_valid_after_utc)
    return Evidence(Kind.SAML, found.id, found.issuer, ends, chain=(der,))


def _claims(found: _Read) -> Claims:
    issuer, (issued, ends) = found.issuer, found.span
    return {k: (Value(v, issuer, issued, ends),) for k, v in found.values.items() if v}


def _tag(name: str) -> str:
    return f"{{{SAML}}}{name}"
