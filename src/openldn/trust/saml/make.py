"""Assertions of our own: from what is proven, in the form a peer expects, signed.

Source: SAML core §2; trust and broker §6.1, §6.2; broker conversion B6. An assertion never says
more than its proof, and never lives longer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from lxml import etree

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import NewId
from openldn.trust.evidence import Proof
from openldn.trust.peers import Profile
from openldn.trust.saml import claims, confirmation
from openldn.trust.saml.encryption import encrypt
from openldn.trust.saml.names import SAML
from openldn.trust.saml.signature import Signing, sign
from openldn.trust.saml.variants import Variant, reasons
from openldn.trust.saml.xml import Element, fresh, serialized, written


@dataclass(frozen=True)
class Content:
    """What an assertion says."""

    issuer: str
    name_id: str = field(repr=False)  # empty: a system
    values: Mapping[str, str] = field(repr=False)  # attributes by our short names
    issued: datetime
    ends: datetime


@dataclass(frozen=True)
class Towards:
    """For whom, in what form, and with which key an assertion is made."""

    audiences: tuple[str, ...]
    profile: Profile  # algorithms and lifetime
    variant: Variant
    signing: Signing
    holder: x509.Certificate | None = None  # of who will show it; None: our signing certificate
    receiver: x509.Certificate | None = None  # encrypt to this; RSA


def content_of(proof: Proof, towards: Towards, issuer: str, now: datetime) -> Content:
    """What may be said to this peer on the ground of the proof (B6).

    `issuer` is our own name where the variant takes one. Raises LdnError(forbidden) for a proof
    that has ended or does not carry what the form demands.
    """
    variant = towards.variant
    ends = min(now + timedelta(seconds=towards.profile.lifetimes.saml), proof.expires)
    if ends <= now:
        raise LdnError(Issue.FORBIDDEN, "the proof has ended; ask anew", detail="saml: ended")
    values = _values(proof, variant, issuer)
    missing = [key for key in variant.required if not values.get(key)]
    if missing:
        text = f"the proof does not carry {', '.join(missing)}; the peer demands it"
        raise LdnError(Issue.FORBIDDEN, text, detail="saml: missing")
    parts = {"issuer": issuer, "ura": proof.organization.value, **_person(proof)}
    return Content(
        _filled(variant.issuer, parts), _filled(variant.name_id, parts), values, now, ends
    )


def make(content: Content, towards: Towards, new_id: NewId) -> bytes:
    """The signed assertion, encrypted when there is a receiver to encrypt to.

    Raises LdnError(invalid) when the key does not fit the peer.
    """
    root = _assertion(content, towards, f"_{new_id()}")
    sign(root, 1, towards.signing, towards.profile.alg_out.saml)  # 1: directly after Issuer
    whole = serialized(root)
    return serialized(encrypt(whole, towards.receiver)) if towards.receiver else whole


def _values(proof: Proof, variant: Variant, issuer: str) -> dict[str, str]:
    purposes = {ours: theirs for theirs, ours in reasons().items()}
    person = proof.person if "{person}" in variant.name_id else None
    return {
        "purpose": purposes.get(variant.purpose or proof.purpose, ""),
        "role": variant.role or (person.role if person else ""),
        "resource": proof.patient.value if proof.patient else "",
        "organization": issuer,
        "workflow": proof.authorization_base,
        "name": person.name if person else "",
    }


def _person(proof: Proof) -> dict[str, str]:
    if proof.person is None:
        return {}
    return {"person": proof.person.uzi, "role": proof.person.role}


def _filled(template: str, parts: Mapping[str, str]) -> str:
    """The template with its parts; empty when it needs a person and there is none."""
    try:
        return template.format_map(parts)
    except KeyError:
        return ""


def _assertion(content: Content, towards: Towards, named: str) -> Element:
    variant = towards.variant
    issued = written(content.issued)
    root = fresh("Assertion", SAML)
    for name, value in (("ID", named), ("IssueInstant", issued), ("Version", "2.0")):
        root.set(name, value)
    issuer = etree.SubElement(root, _tag("Issuer"))
    issuer.text = content.issuer
    if variant.issuer_format:
        issuer.set("Format", variant.issuer_format)
    subject = etree.SubElement(root, _tag("Subject"))
    etree.SubElement(subject, _tag("NameID")).text = content.name_id
    subject.append(confirmation.write(variant, towards.holder or towards.signing.chain[0]))
    root.append(_conditions(content, towards.audiences))
    statement = claims.write(content.values, variant)
    if statement is not None:
        root.append(statement)
    if variant.authentication:
        root.append(_authentication(issued, variant))
    return root


def _conditions(content: Content, audiences: tuple[str, ...]) -> Element:
    node = etree.Element(_tag("Conditions"))
    node.set("NotBefore", written(content.issued))
    node.set("NotOnOrAfter", written(content.ends))
    restriction = etree.SubElement(node, _tag("AudienceRestriction"))
    for audience in audiences:
        etree.SubElement(restriction, _tag("Audience")).text = audience
    return node


def _authentication(issued: str, variant: Variant) -> Element:
    node = etree.Element(_tag("AuthnStatement"), {"AuthnInstant": issued})
    context = etree.SubElement(node, _tag("AuthnContext"))
    etree.SubElement(context, _tag("AuthnContextClassRef")).text = variant.authentication
    return node


def _tag(name: str) -> str:
    return f"{{{SAML}}}{name}"
