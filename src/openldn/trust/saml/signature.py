"""XML signatures on assertions: made and verified by xmlsec, held to one strict form.

Source: XML Signature 1.1; exclusive canonicalization 1.0; SAML core §5.4. What a signature may
look like is narrow on purpose: each freedom of the standard has been an attack.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Protocol

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from xmlsec import constants

from openldn.base.errors import Issue, LdnError
from openldn.trust import jose
from openldn.trust.saml.keys import private_key, public_key
from openldn.trust.saml.names import (
    DIGESTS,
    DS,
    ENVELOPED,
    EXC_C14N,
    SIGNATURE,
    SIGNATURES,
)
from openldn.trust.saml.xml import Element, attribute, children, failed
from openldn.trust.trail import Rule, Trail

SIGNED = Rule("saml.signed", "SAML core §5.4.1", "one signature, directly below the assertion")
FORM = Rule("saml.signature.form", "SAML core §5.4.4", "only the parts and transforms agreed on")
REFERENCE = Rule(
    "saml.signature.reference", "SAML core §5.4.2", "one reference, to this very assertion"
)
ALGORITHM = Rule(
    "saml.signature.alg", "RFC 9231 §2.3", "the algorithm is one that this peer may use"
)
PINNED = Rule("saml.pinned", "trust and broker §6.1", "certificates of this issuer are pinned")
CURRENT = Rule("saml.certificate", "RFC 5280 §4.1.2.5", "a pinned certificate is valid now")
VERIFIED = Rule("saml.signature", "XML Signature §3.2", "the signature is by a pinned certificate")

_HASHES = {256: "sha256", 384: "sha384", 521: "sha512"}


class Signing(Protocol):
    """A private key and the certificates that vouch for it."""

    @property
    def key(self) -> jose.Key:
        """The private key."""
        ...

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The certificates, leaf first."""
        ...


def verify(
    assertion: Element,
    pinned: Sequence[x509.Certificate],
    algorithms: Collection[str],
    now: datetime,
    trail: Trail,
) -> x509.Certificate:
    """The pinned certificate whose key signed exactly this element, the root of its document.

    What the signature says of its own key decides nothing. Raises LdnError(the trail's issue).
    """
    trail.require(assertion.getparent() is None, REFERENCE)
    signature = _signature(assertion, trail)
    algorithm = _form(signature, assertion, algorithms, trail)
    trail.require(bool(pinned), PINNED)
    current = [c for c in pinned if c.not_valid_before_utc <= now < c.not_valid_after_utc]
    trail.require(bool(current), CURRENT)
    for certificate in current:
        if algorithm in suited(certificate) and _fits(assertion, signature, certificate, algorithm):
            trail.note(VERIFIED, algorithm)
            return certificate
    raise failed(trail, VERIFIED)


def _signature(assertion: Element, trail: Trail) -> Element:
    everywhere = list(assertion.iter(SIGNATURE))
    directly = children(assertion, SIGNATURE)
    trail.require(len(directly) == 1 and directly == everywhere, SIGNED)
    return directly[0]


def _form(signature: Element, assertion: Element, algorithms: Collection[str], trail: Trail) -> str:
    """The algorithm's name, once the signature has the one form we accept."""
    parts = [str(c.tag) for c in signature]
    trail.require(parts in (_PARTS, _PARTS[:2]), FORM)
    trail.require([str(c.tag) for c in signature[0]] == _INFO, REFERENCE)
    canonicalization, method, reference = signature[0]
    names = {uri: name for name, (uri, _) in SIGNATURES.items() if name in algorithms}
    algorithm = names.get(attribute(method, "Algorithm"), "")
    trail.require(bool(algorithm) and not len(method), ALGORITHM)
    trail.require(_canonical(canonicalization), FORM)
    named = attribute(assertion, "ID")
    trail.require(bool(named) and attribute(reference, "URI") == f"#{named}", REFERENCE)
    trail.require(_agreed(reference), FORM)
    return algorithm


_PARTS = [f"{{{DS}}}{name}" for name in ("SignedInfo", "SignatureValue", "KeyInfo")]
_INFO = [f"{{{DS}}}{name}" for name in ("CanonicalizationMethod", "SignatureMethod", "Reference")]
_REFERENCE = [f"{{{DS}}}{name}" for name in ("Transforms", "DigestMethod", "DigestValue")]


def _agreed(reference: Element) -> bool:
    if [str(c.tag) for c in reference] != _REFERENCE:
        return False
    transforms, digest, _ = reference
    if [str(c.tag) for c in transforms] != [f"{{{DS}}}Transform"] * 2:
        return False
    enveloped, canonical = transforms
    return (
        attribute(enveloped, "Algorithm") == ENVELOPED
        and not len(enveloped)
        and _canonical(canonical)
        and attribute(digest, "Algorithm") in DIGESTS
    )


def _canonical(method: Element) -> bool:
    """Exclusive canonicalization without comments; at most a list of prefixes inside."""
    inside = [str(c.tag) for c in method]
    known = inside in ([], [f"{{{EXC_C14N}}}InclusiveNamespaces"])
    return known and attribute(method, "Algorithm") == EXC_C14N


def _fits(
    assertion: Element, signature: Element, certificate: x509.Certificate, algorithm: str
) -> bool:
    context = xmlsec.SignatureContext()
    for transform in (constants.TransformEnveloped, constants.TransformExclC14N, *DIGESTS.values()):
        context.enable_reference_transform(transform)
    for transform in (constants.TransformExclC14N, SIGNATURES[algorithm][1]):
        context.enable_signature_transform(transform)
    try:
        # With a key given, the library never looks at KeyInfo.
        context.key = public_key(certificate)
        context.register_id(assertion, "ID")
        context.verify(signature)
    except xmlsec.Error:
        return False
    return True


def suited(certificate: x509.Certificate) -> tuple[str, ...]:
    """The algorithms that the key of this certificate may sign with, preferred first."""
    match certificate.public_key():
        case rsa.RSAPublicKey(key_size=size) if size >= 2048:
            return ("rsa-sha256", "rsa-sha384", "rsa-sha512")
        case ec.EllipticCurvePublicKey(curve=curve) if curve.key_size in _HASHES:
            best = f"ecdsa-{_HASHES[curve.key_size]}"
            return tuple(dict.fromkeys((best, "ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512")))
        case _:
            return ()


def sign(assertion: Element, place: int, signing: Signing, algorithms: Collection[str]) -> None:
    """Sign the root element, whose ID is set; the signature becomes its child at `place`.

    Raises LdnError(invalid) when the key cannot sign as this peer expects.
    """
    chosen = next((a for a in suited(signing.chain[0]) if a in algorithms), "")
    if not chosen:
        text = "the signing key is of a kind this peer does not accept; configure another"
        raise LdnError(Issue.INVALID, text)
    signature = xmlsec.template.create(
        assertion, constants.TransformExclC14N, SIGNATURES[chosen][1], ns="ds"
    )
    assertion.insert(place, signature)
    uri = f"#{attribute(assertion, 'ID')}"
    reference = xmlsec.template.add_reference(signature, constants.TransformSha256, uri=uri)
    xmlsec.template.add_transform(reference, constants.TransformEnveloped)
    xmlsec.template.add_transform(reference, constants.TransformExclC14N)
    data = xmlsec.template.add_x509_data(xmlsec.template.ensure_key_info(signature))
    xmlsec.template.x509_data_add_certificate(data)
    context = xmlsec.SignatureContext()
    raw: Any = signing.key.raw_value  # a private one: `Signing` has no other
    context.key = private_key(raw, signing.chain[0])
    context.register_id(assertion, "ID")
    context.sign(signature)
