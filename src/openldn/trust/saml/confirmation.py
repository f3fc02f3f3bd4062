"""Who may show an assertion: its bearer, the holder of a key, or a sender who vouches.

Source: SAML core §2.4.1; SAML profiles §3; SAML holder-of-key profile; AORTA transactietoken.
"""

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from lxml import etree

from openldn.trust.saml.names import DS, SAML
from openldn.trust.saml.variants import Variant
from openldn.trust.saml.xml import Element, attribute, children, moment, only, text
from openldn.trust.trail import Rule, Trail

METHOD = Rule("saml.confirmation", "SAML core §2.4.1.1", "confirmed once, by the method agreed on")
WINDOW = Rule("saml.confirmation.when", "SAML core §2.4.1.2", "the confirmation counts now")
RECIPIENT = Rule("saml.recipient", "SAML core §2.4.1.2", "the confirmation is meant for us")
HOLDER = Rule("saml.holder", "SAML profiles §3.1", "the named key is that of who shows it")

_METHODS = "urn:oasis:names:tc:SAML:2.0:cm:"
_DATA = f"{{{SAML}}}SubjectConfirmationData"
_DER = serialization.Encoding.DER


@dataclass(frozen=True)
class Shown:
    """How an assertion reached us."""

    now: datetime
    skew: timedelta
    addresses: frozenset[str]  # ours, one of which a recipient must be
    holder: x509.Certificate | None  # of who shows it


def check(subject: Element, variant: Variant, shown: Shown, trail: Trail) -> None:
    """Believe that who shows the assertion may do so; raises LdnError(the trail's issue)."""
    confirmation = only(subject, f"{{{SAML}}}SubjectConfirmation", METHOD, trail)
    method = attribute(confirmation, "Method")
    trail.require(method == _METHODS + variant.confirmation, METHOD)
    found = children(confirmation, _DATA)
    trail.require(len(found) <= 1, METHOD)
    data = found[0] if found else None
    if data is not None:
        _check_window(data, shown, trail)
        recipient = attribute(data, "Recipient")
        trail.require(not recipient or recipient in shown.addresses, RECIPIENT)
    if variant.confirmation == "holder-of-key":
        trail.require(data is not None and _holds(data, shown.holder), HOLDER)


def _check_window(data: Element, shown: Shown, trail: Trail) -> None:
    begins, ends = attribute(data, "NotBefore"), attribute(data, "NotOnOrAfter")
    fits = not begins or moment(begins, trail) - shown.skew <= shown.now
    fits = fits and (not ends or shown.now < moment(ends, trail) + shown.skew)
    trail.require(fits, WINDOW)


def _holds(data: Element, holder: x509.Certificate | None) -> bool:
    """Whether the one key named is the holder's: by certificate, or by issuer and serial."""
    named = list(data.iter(f"{{{DS}}}X509Data"))
    if holder is None or len(named) != 1 or len(named[0]) != 1:
        return False
    [how] = named[0]
    if how.tag == f"{{{DS}}}X509Certificate":
        return _same_certificate("".join(text(how).split()), holder)
    if how.tag == f"{{{DS}}}X509IssuerSerial":
        return _same_serial(how, holder)
    return False


def _same_certificate(encoded: str, holder: x509.Certificate) -> bool:
    return encoded == base64.b64encode(holder.public_bytes(_DER)).decode()


def _same_serial(how: Element, holder: x509.Certificate) -> bool:
    parts = [str(part.tag) for part in how]
    if parts != [f"{{{DS}}}X509IssuerName", f"{{{DS}}}X509SerialNumber"]:
        return False
    issuer, serial = (text(part) for part in how)
    try:
        same_issuer = x509.Name.from_rfc4514_string(issuer) == holder.issuer
    except ValueError:
        return False
    return same_issuer and serial == str(holder.serial_number)


def write(variant: Variant, holder: x509.Certificate | None) -> Element:
    """The SubjectConfirmation of this variant; holder-of-key names issuer and serial."""
    node = etree.Element(
        f"{{{SAML}}}SubjectConfirmation", {"Method": _METHODS + variant.confirmation}
    )
    if holder is not None and variant.confirmation == "holder-of-key":
        info = etree.SubElement(etree.SubElement(node, _DATA), f"{{{DS}}}KeyInfo", nsmap={"ds": DS})
        data = etree.SubElement(info, f"{{{DS}}}X509Data")
        named = etree.SubElement(data, f"{{{DS}}}X509IssuerSerial")
        etree.SubElement(named, f"{{{DS}}}X509IssuerName").text = holder.issuer.rfc4514_string()
        etree.SubElement(named, f"{{{DS}}}X509SerialNumber").text = str(holder.serial_number)
    return node
