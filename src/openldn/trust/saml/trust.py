"""WS-Trust: the request for a token, the answer with it, and the faults.

Source: WS-Trust 1.4 §4.1, §4.4, §11; infrastructures §3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from lxml import etree

from openldn.trust.saml.names import ASSERTION, SOAP, TRUST, WSA, WSP, WSU
from openldn.trust.saml.xml import Element, only, serialized, text, written
from openldn.trust.trail import Rule, Trail

BEARER = f"{TRUST}/Bearer"
ISSUE = f"{TRUST}/Issue"
SAML_2 = "http://docs.oasis-open.org/wss/oasis-wss-saml-token-profile-1.1#SAMLV2.0"

ASKED = Rule("wst.request", "WS-Trust §4.1", "one request to issue a SAML 2.0 bearer token")
APPLIES = Rule("wst.applies-to", "WS-Trust §4.2", "it names one address the token is for")
ANSWERED = Rule("wst.response", "WS-Trust §4.4", "the answer holds one assertion")

_XML = "http://www.w3.org/XML/1998/namespace"
# Codes of WS-Trust §11 that we make or repeat; anything else another party says is not repeated.
FAULTS: Mapping[str, str] = {
    "FailedAuthentication": "it does not accept our certificate or our signature",
    "InvalidRequest": "it does not understand our request; report this to its operator",
    "InvalidSecurityToken": "it does not accept our assertion; check that our clock is right",
    "RequestFailed": "it does not give us this token; its operator must allow it",
    "InvalidScope": "it gives no tokens for the address we ask; check the setting",
    "ExpiredData": "our request came too late; check that our clock is right",
    "BadRequest": "it does not understand our request; report this to its operator",
}


@dataclass(frozen=True)
class Given:
    """What an answer tells of the token in it."""

    applies_to: str
    created: datetime
    expires: datetime


def request(applies_to: str) -> Element:
    """The RequestSecurityToken for a SAML 2.0 bearer token for this address."""
    root = etree.Element(_wst("RequestSecurityToken"), nsmap={"trust": TRUST})
    root.append(_applies_to(applies_to))
    _text(root, "KeyType", BEARER)
    _text(root, "RequestType", ISSUE)
    _text(root, "TokenType", SAML_2)
    return root


def read_request(root: Element, trail: Trail) -> str:
    """The address a token is asked for; raises LdnError(the trail's issue)."""
    trail.require(root.tag == _wst("RequestSecurityToken"), ASKED)
    for name, wanted in (("KeyType", BEARER), ("RequestType", ISSUE), ("TokenType", SAML_2)):
        trail.require(text(only(root, _wst(name), ASKED, trail)) == wanted, ASKED, name)
    applies = only(root, f"{{{WSP}}}AppliesTo", APPLIES, trail)
    reference = only(applies, f"{{{WSA}}}EndpointReference", APPLIES, trail)
    address = text(only(reference, f"{{{WSA}}}Address", APPLIES, trail))
    trail.require(0 < len(address) <= 500, APPLIES)
    return address


def response(given: Given, token: Element) -> Element:
    """The collection with one response; `token` is the assertion, encrypted or not."""
    root = etree.Element(_wst("RequestSecurityTokenResponseCollection"), nsmap={"trust": TRUST})
    one = etree.SubElement(root, _wst("RequestSecurityTokenResponse"))
    lifetime = etree.SubElement(one, _wst("Lifetime"))
    for name, when in (("Created", given.created), ("Expires", given.expires)):
        etree.SubElement(lifetime, f"{{{WSU}}}{name}", nsmap={"wsu": WSU}).text = written(when)
    one.append(_applies_to(given.applies_to))
    etree.SubElement(one, _wst("RequestedSecurityToken")).append(token)
    _text(one, "TokenType", SAML_2)
    _text(one, "RequestType", ISSUE)
    _text(one, "KeyType", BEARER)
    return root


def read_response(root: Element, trail: Trail) -> bytes:
    """The one assertion in the answer, still to be believed; raises LdnError."""
    found = list(root.iter(ASSERTION))
    trail.require(len(found) == 1, ANSWERED)
    return serialized(found[0])


def fault(code: str, *, sender: bool) -> Element:
    """A SOAP fault with a code of WS-Trust and no word more."""
    root = etree.Element(_soap("Fault"), nsmap={"s": SOAP, "trust": TRUST})
    kind = etree.SubElement(root, _soap("Code"))
    etree.SubElement(kind, _soap("Value")).text = "s:Sender" if sender else "s:Receiver"
    inner = etree.SubElement(kind, _soap("Subcode"))
    etree.SubElement(inner, _soap("Value")).text = f"trust:{code}"
    reason = etree.SubElement(etree.SubElement(root, _soap("Reason")), _soap("Text"))
    reason.set(f"{{{_XML}}}lang", "en")
    reason.text = "the request is refused"
    return root


def read_fault(root: Element) -> str:
    """The code of WS-Trust in a fault, when it is one we know; else empty."""
    if root.tag != _soap("Fault"):
        return ""
    values = [text(node) for node in root.iter(_soap("Value"))]
    codes = [value.rpartition(":")[2] for value in values]
    return next((code for code in codes if code in FAULTS), "")


def _applies_to(address: str) -> Element:
    node = etree.Element(f"{{{WSP}}}AppliesTo", nsmap={"wsp": WSP})
    reference = etree.SubElement(node, f"{{{WSA}}}EndpointReference", nsmap={"wsa": WSA})
    etree.SubElement(reference, f"{{{WSA}}}Address").text = address
    return node


def _text(parent: Element, name: str, content: str) -> None:
    etree.SubElement(parent, _wst(name)).text = content


def _wst(name: str) -> str:
    return f"{{{TRUST}}}{name}"


def _soap(name: str) -> str:
    return f"{{{SOAP}}}{name}"
