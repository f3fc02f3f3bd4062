"""SOAP 1.2 with WS-Addressing and WS-Security: the envelope around WS-Trust.

Source: SOAP 1.2 part 1 §5; WS-Addressing 1.0 SOAP binding; WS-Security SAML token profile 1.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lxml import etree

from openldn.trust.saml.names import ASSERTION, SOAP, TRUST, WSA, WSSE, WSU
from openldn.trust.saml.xml import (
    LARGEST,
    Element,
    attribute,
    children,
    moment,
    only,
    parse,
    serialized,
    text,
    written,
)
from openldn.trust.trail import Rule, Trail

MEDIA_TYPE = "application/soap+xml"
ISSUE = f"{TRUST}/RST/Issue"
ISSUED = f"{TRUST}/RSTRC/IssueFinal"
FAULT_ACTION = f"{WSA}/soap/fault"
ANONYMOUS = f"{WSA}/anonymous"

ENVELOPE = Rule("soap.envelope", "SOAP 1.2 part 1 §5", "one header, one body with one element")
UNDERSTOOD = Rule("soap.must-understand", "SOAP 1.2 part 1 §5.2.3", "we know what we must")
ADDRESSED = Rule("soap.addressing", "WS-Addressing 1.0 §3", "action, address and id are as agreed")
TIMESTAMP = Rule("soap.timestamp", "WS-Security §10", "one timestamp, of at most five minutes, now")
TOKEN = Rule("soap.token", "WS-Security SAML token profile §3", "one assertion stands in Security")

_KNOWN = frozenset(
    {f"{{{WSA}}}{name}" for name in ("Action", "MessageID", "ReplyTo", "To", "From", "RelatesTo")}
    | {f"{{{WSSE}}}Security"}
)
_LONGEST = timedelta(minutes=5)
_PREFIXES: Mapping[str, str] = {"s": SOAP, "a": WSA, "u": WSU}


@dataclass(frozen=True)
class Request:
    """A request as it came in."""

    message_id: str
    assertion: bytes = field(repr=False)  # who asks; still to be believed
    body: Element = field(repr=False)  # the one element in the body


def request(to: str, message_id: str, assertion: bytes, body: Element, now: datetime) -> bytes:
    """The envelope of a request to an STS, with a timestamp of five minutes."""
    root, header = _envelope(ISSUE)
    etree.SubElement(header, _wsa("MessageID")).text = message_id
    reply_to = etree.SubElement(header, _wsa("ReplyTo"))
    etree.SubElement(reply_to, _wsa("Address")).text = ANONYMOUS
    _demanded(etree.SubElement(header, _wsa("To"))).text = to
    security = _demanded(_security(header))
    security.append(_timestamp(now))
    security.append(parse(assertion, Trail()))
    return _whole(root, body)


def answer(relates_to: str, body: Element, now: datetime, action: str = ISSUED) -> bytes:
    """The envelope of an answer."""
    root, header = _envelope(action)
    if relates_to:
        etree.SubElement(header, _wsa("RelatesTo")).text = relates_to
    _security(header).append(_timestamp(now))
    return _whole(root, body)


def read_request(content: bytes, to: str, now: datetime, skew: timedelta, trail: Trail) -> Request:
    """The request in this envelope; raises LdnError(the trail's issue)."""
    header, body = _parts(parse(content, trail), trail)
    demanded = [n for n in header if attribute(n, f"{{{SOAP}}}mustUnderstand") in {"1", "true"}]
    trail.require(all(n.tag in _KNOWN for n in demanded), UNDERSTOOD)
    message_id = _addressed(header, to, trail)
    security = only(header, f"{{{WSSE}}}Security", TOKEN, trail)
    _check_timestamp(security, now, skew, trail)
    shown = only(security, ASSERTION, TOKEN, trail)
    return Request(message_id, serialized(shown), body)


def read_answer(content: bytes, trail: Trail, largest: int = LARGEST) -> Element:
    """The one element in the body of an answer; raises LdnError(the trail's issue)."""
    _, body = _parts(parse(content, trail, largest), trail)
    return body


def _parts(root: Element, trail: Trail) -> tuple[Element, Element]:
    trail.require(root.tag == f"{{{SOAP}}}Envelope", ENVELOPE)
    header = only(root, f"{{{SOAP}}}Header", ENVELOPE, trail)
    body = only(root, f"{{{SOAP}}}Body", ENVELOPE, trail)
    trail.require(len(body) == 1, ENVELOPE)
    return header, body[0]


def _addressed(header: Element, to: str, trail: Trail) -> str:
    """The message id, once the message is for us and asks what we do."""
    said = {name: text(only(header, _wsa(name), ADDRESSED, trail)) for name in _ONCE}
    reply_to = children(header, _wsa("ReplyTo"))
    where = [text(child) for node in reply_to for child in children(node, _wsa("Address"))]
    fits = said["Action"] == ISSUE and said["To"] == to and where in ([], [ANONYMOUS])
    trail.require(fits and 12 <= len(said["MessageID"]) <= 200, ADDRESSED)
    return said["MessageID"]


_ONCE = ("Action", "MessageID", "To")


def _check_timestamp(security: Element, now: datetime, skew: timedelta, trail: Trail) -> None:
    stamp = only(security, f"{{{WSU}}}Timestamp", TIMESTAMP, trail)
    created = moment(text(only(stamp, f"{{{WSU}}}Created", TIMESTAMP, trail)), trail)
    expires = moment(text(only(stamp, f"{{{WSU}}}Expires", TIMESTAMP, trail)), trail)
    current = created - skew <= now < expires + skew
    trail.require(current and timedelta(0) < expires - created <= _LONGEST, TIMESTAMP)


def _envelope(action: str) -> tuple[Element, Element]:
    root = etree.Element(f"{{{SOAP}}}Envelope", nsmap=dict(_PREFIXES))
    header = etree.SubElement(root, f"{{{SOAP}}}Header")
    _demanded(etree.SubElement(header, _wsa("Action"))).text = action
    return root, header


def _whole(root: Element, body: Element) -> bytes:
    etree.SubElement(root, f"{{{SOAP}}}Body").append(body)
    return serialized(root)


def _security(header: Element) -> Element:
    return etree.SubElement(header, f"{{{WSSE}}}Security", nsmap={"o": WSSE})


def _timestamp(now: datetime) -> Element:
    node = etree.Element(f"{{{WSU}}}Timestamp", nsmap={"u": WSU})
    node.set(f"{{{WSU}}}Id", "_0")
    etree.SubElement(node, f"{{{WSU}}}Created").text = written(now)
    etree.SubElement(node, f"{{{WSU}}}Expires").text = written(now + _LONGEST)
    return node


def _demanded(node: Element) -> Element:
    node.set(f"{{{SOAP}}}mustUnderstand", "1")
    return node


def _wsa(name: str) -> str:
    return f"{{{WSA}}}{name}"
