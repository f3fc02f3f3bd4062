"""The attributes of an assertion: what each is called, how it is written, what it says.

Source: OASIS XSPA profile of SAML 1.0; trust and broker §6.1; ORCA's examples of Zorgplatform.
"""

from collections.abc import Mapping
from typing import NamedTuple

from lxml import etree

from openldn.base.errors import LdnError
from openldn.fhir.identifiers import Bsn
from openldn.trust.saml.names import HL7, SAML
from openldn.trust.saml.variants import Variant, reasons
from openldn.trust.saml.xml import Element, attribute, children, failed, fresh, only, text
from openldn.trust.trail import Rule, Trail

STATEMENT = Rule("saml.attributes", "SAML core §2.7.3", "one statement, no attribute twice")
REQUIRED = Rule("saml.attribute", "trust and broker §6.1", "the attributes agreed on are there")
CODED = Rule("saml.coded", "XSPA §2", "a coded value is of the code system agreed on")
PURPOSE = Rule("saml.purpose", "XSPA §2.11", "the purpose is one we know")
PATIENT = Rule("saml.patient", "trust and broker §6.1", "the patient is a BSN that can exist")

SNOMED = "2.16.840.1.113883.6.96"
NHIN_PURPOSE = "2.16.840.1.113883.3.18.7.1"
BSN_ROOT = "2.16.840.1.113883.2.4.6.3"
_LONGEST = 500  # characters of one value


class Form(NamedTuple):
    """How an attribute is written: plain text, or an element of HL7 with a code."""

    name: str
    element: str = ""
    root: str = ""  # attribute that names the code system
    code: str = ""  # attribute with the value
    system: str = ""  # the one code system that is accepted
    title: str = ""  # codeSystemName


FORMS = {
    "purpose": Form(
        "urn:oasis:names:tc:xspa:1.0:subject:purposeofuse",
        *("PurposeOfUse", "codeSystem", "code", NHIN_PURPOSE, "nhin-purpose"),
    ),
    "role": Form(
        "urn:oasis:names:tc:xacml:2.0:subject:role",
        *("Role", "codeSystem", "code", SNOMED, "SNOMED_CT"),
    ),
    "resource": Form(
        "urn:oasis:names:tc:xacml:1.0:resource:resource-id",
        *("InstanceIdentifier", "root", "extension", BSN_ROOT),
    ),
    "organization": Form("urn:oasis:names:tc:xspa:1.0:subject:organization-id"),
    "workflow": Form("http://sts.zorgplatform.online/ws/claims/2017/07/workflow/workflow-id"),
    "name": Form("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name"),
    "email": Form("http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"),
}
_NAMES = {form.name: key for key, form in FORMS.items()}


def read(assertion: Element, variant: Variant, trail: Trail) -> dict[str, str]:
    """The attributes we know, by our short names; others are left alone."""
    found: dict[str, str] = {}
    statements = children(assertion, f"{{{SAML}}}AttributeStatement")
    trail.require(len(statements) <= 1, STATEMENT)
    for node in statements[0] if statements else ():
        key = _NAMES.get(attribute(node, "Name"), "")
        if key:
            trail.require(key not in found, STATEMENT)
            found[key] = _value(node, FORMS[key], trail)
    missing = [key for key in variant.required if not found.get(key)]
    trail.require(not missing, REQUIRED, ", ".join(missing))
    return found


def _value(node: Element, form: Form, trail: Trail) -> str:
    value = only(node, f"{{{SAML}}}AttributeValue", STATEMENT, trail)
    if not form.element:
        found = text(value)
    else:
        coded = only(value, f"{{{HL7}}}{form.element}", CODED, trail)
        trail.require(attribute(coded, form.root) == form.system, CODED, form.element)
        found = attribute(coded, form.code)
    trail.require(len(found) <= _LONGEST and found.isprintable(), CODED)
    return found


def reason(values: Mapping[str, str], trail: Trail) -> str:
    """The v3-ActReason code of the purpose; empty without a purpose."""
    given = values.get("purpose", "")
    found = reasons().get(given, "")
    trail.require(bool(found) or not given, PURPOSE)
    return found


def patient(values: Mapping[str, str], trail: Trail) -> Bsn | None:
    """The patient the assertion is about; None without one."""
    given = values.get("resource", "")
    if not given:
        return None
    try:
        return Bsn.parse(given)
    except LdnError as error:
        raise failed(trail, PATIENT) from error


def write(values: Mapping[str, str], variant: Variant) -> Element | None:
    """The statement with these attributes, in the order of the variant; None without any."""
    statement = etree.Element(f"{{{SAML}}}AttributeStatement")
    for key in variant.attributes:
        if values.get(key):
            form = FORMS[key]
            node = etree.SubElement(statement, f"{{{SAML}}}Attribute", {"Name": form.name})
            _write(etree.SubElement(node, f"{{{SAML}}}AttributeValue"), form, values[key])
    return statement if len(statement) else None


def _write(value: Element, form: Form, content: str) -> None:
    if not form.element:
        value.text = content
        return
    coded = fresh(form.element, HL7)
    value.append(coded)
    coded.set(form.root, form.system)
    coded.set(form.code, content)
    if form.title:
        coded.set("codeSystemName", form.title)
        coded.set("displayName", "")
