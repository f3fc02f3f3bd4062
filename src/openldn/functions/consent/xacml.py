"""The closed question of Mitz on the wire: XACML 3 in SOAP 1.2, written and read.

Source: generic functions §4.2 (gesloten autorisatievraag, XACML 3.0 SAML profile 2.0).
"""

from dataclasses import dataclass
from typing import Any

from lxml import etree

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.consent.model import Delegation, Disclosure, Provider, User
from openldn.trust.saml.names import SOAP, WSA
from openldn.trust.saml.xml import Element, attribute, children, parse, serialized, text
from openldn.trust.trail import Trail

MEDIA_TYPE = "text/xml; charset=utf-8"
ACTION = "XACMLAuthorizationDecisionQueryRequest"
ANSWERED = "XACMLAuthorizationDecisionQueryResponse"
QUERY = "urn:oasis:names:tc:xacml:3.0:profile:saml2.0:v2:schema:protocol:wd-14"
XACML = "urn:oasis:names:tc:xacml:3.0:core:schema:wd-17"
V3 = "urn:hl7-org:v3"
LARGEST = 256 * 1024  # bytes of a question or an answer

DECISIONS = frozenset({"Permit", "Deny", "NotApplicable", "Indeterminate"})
ON_THE_WIRE = {"COC": "COC"}  # purposes of use that are told; any other is TREAT

_BSN, _URA, _UZI = "2.16.840.1.113883.2.4.6.3", "2.16.528.1.1007.3.3", "2.16.528.1.1007.3.1"
_KIND, _ROLE = "2.16.840.1.113883.2.4.15.1060", "2.16.840.1.113883.2.4.15.111"
_DATA, _PURPOSE = "2.16.840.1.113883.2.4.3.111.5.10.1", "2.16.840.1.113883.1.11.20448"
_XML_ID = "{http://www.w3.org/XML/1998/namespace}id"
_ANONYMOUS = f"{WSA}/anonymous"


@dataclass(frozen=True)
class Told:
    """The values of one question, as they stand on the wire."""

    patient: str
    holder_kind: str
    holder: str
    category: str
    role: str
    mandated: str  # empty: nobody acts for another
    provider: str
    requester: str
    requester_kind: str
    purpose: str


@dataclass(frozen=True)
class _Row:
    """One attribute: an identifier (root) or a code (code system)."""

    id: str
    name: str  # the field of Told
    system: str
    coded: bool = False
    authority: str = ""


_APPC = "urn:ihe:iti:appc:2016:"
_OTV = "urn:nl:otv:names:tc:1.0:subject:"
_BLOCKS: tuple[tuple[str, str, tuple[_Row, ...]], ...] = (
    (
        "urn:oasis:names:tc:xacml:3.0:attribute-category:resource",
        "resource",
        (
            _Row("urn:oasis:names:tc:xacml:2.0:resource:resource-id", "patient", _BSN),
            _Row(
                f"{_APPC}document-entry:healthcare-facility-type-code", "holder_kind", _KIND, True
            ),
            _Row(f"{_APPC}author-institution:id", "holder", _URA),
        ),
    ),
    (
        "urn:oasis:names:tc:xacml:3.0:attribute-category:action",
        "action0",
        (_Row(f"{_APPC}document-entry:event-code", "category", _DATA, True),),
    ),
    (
        "urn:oasis:names:tc:xacml:1.0:subject-category:access-subject",
        "subject",
        (
            _Row("urn:oasis:names:tc:xacml:2.0:subject:role", "role", _ROLE, True),
            _Row(f"{_OTV}mandated", "mandated", _UZI, authority="CIBG"),
            _Row(
                "urn:ihe:iti:xua:2017:subject:provider-identifier",
                "provider",
                _UZI,
                authority="CIBG",
            ),
            _Row(f"{_OTV}provider-institution", "requester", _URA),
            _Row(f"{_OTV}consulting-healthcare-facility-type-code", "requester_kind", _KIND, True),
        ),
    ),
    (
        "urn:oasis:names:tc:xacml:3.0:attribute-category:environment",
        "environment",
        (_Row("urn:oasis:names:tc:xspa:1.0:subject:purposeofuse", "purpose", _PURPOSE, True),),
    ),
)
_ROWS = {(category, row.id): row for category, _, rows in _BLOCKS for row in rows}


def told(disclosure: Disclosure, category: str) -> Told:
    """The values of this question; who is mandated stands beside who gave the mandate."""
    user, by = disclosure.user, disclosure.delegation
    patient = disclosure.patient
    return Told(
        patient=patient.value if patient else "",
        holder_kind=disclosure.holder.kind,
        holder=str(disclosure.holder.ura or ""),
        category=category,
        role=by.role if by else user.role,
        mandated=user.id if by else "",
        provider=by.registered_by if by else user.id,
        requester=str(disclosure.requester.ura or ""),
        requester_kind=disclosure.requester.kind,
        purpose=ON_THE_WIRE.get(disclosure.purpose, "TREAT"),
    )


def question(values: Told, to: str, message_id: str) -> bytes:
    """The envelope of a closed question; raises LdnError(invalid) for what XML cannot hold."""
    root, header = _envelope(ACTION)
    etree.SubElement(header, _wsa("MessageID")).text = f"urn:uuid:{message_id}"
    reply = etree.SubElement(header, _wsa("ReplyTo"))
    etree.SubElement(reply, _wsa("Address")).text = _ANONYMOUS
    etree.SubElement(header, _wsa("To")).text = to
    body = etree.SubElement(root, f"{{{SOAP}}}Body")
    query = etree.SubElement(body, f"{{{QUERY}}}XACMLAuthzDecisionQuery", nsmap={"types": QUERY})
    request = etree.SubElement(query, f"{{{XACML}}}Request", nsmap=_default(XACML))
    request.set("CombinedDecision", "false")
    request.set("ReturnPolicyIdList", "false")
    try:
        _fill(request, values)
    except ValueError as error:
        raise LdnError(
            Issue.INVALID, "the question holds signs that XML has no place for"
        ) from error
    return serialized(root)


def _fill(parent: Element, values: Told) -> None:
    for category, name, rows in _BLOCKS:
        block = etree.SubElement(parent, f"{{{XACML}}}Attributes", Category=category)
        block.set(_XML_ID, name)
        for row in rows:
            if value := getattr(values, row.name):
                _attribute(block, row, value)


def _attribute(block: Element, row: _Row, value: str) -> None:
    node = etree.SubElement(block, f"{{{XACML}}}Attribute")
    node.set("AttributeId", row.id)
    node.set("IncludeInResult", "true")
    held = etree.SubElement(node, f"{{{XACML}}}AttributeValue")
    held.set("DataType", f"{V3}#CV" if row.coded else f"{V3}#II")
    name = "CodedValue" if row.coded else "InstanceIdentifier"
    inner = etree.SubElement(held, f"{{{V3}}}{name}", nsmap=_default(V3))
    if row.authority:
        inner.set("assigningAuthorityName", row.authority)
    first, second = ("code", "codeSystem") if row.coded else ("extension", "root")
    inner.set(first, value)
    inner.set(second, row.system)


def read_question(content: bytes) -> tuple[Disclosure, str]:
    """What is asked and the message id; raises LdnError(structure) for what is not as agreed."""
    root = _read(content, Issue.STRUCTURE)
    ids = [text(n) for n in root.iter(_wsa("MessageID"))]
    requests = list(root.iter(f"{{{XACML}}}Request"))
    if len(ids) != 1 or len(requests) != 1 or not ids[0].startswith("urn:uuid:"):
        raise LdnError(Issue.STRUCTURE, "one Request and one wsa:MessageID are expected")
    return _disclosure(_values(requests[0])), ids[0]


def _values(request: Element) -> Told:
    found: dict[str, str] = {}
    for block in children(request, f"{{{XACML}}}Attributes"):
        category = attribute(block, "Category")
        for node in children(block, f"{{{XACML}}}Attribute"):
            row = _ROWS.get((category, attribute(node, "AttributeId")))
            if row is None or row.name in found:
                raise LdnError(Issue.STRUCTURE, "an attribute is unknown, or stands twice")
            found[row.name] = _value(node, row)
    lacking = [r.name for r in _ROWS.values() if r.name not in found and r.name != "mandated"]
    if lacking:
        raise LdnError(Issue.STRUCTURE, f"the question lacks {', '.join(lacking)}")
    return Told(**{"mandated": "", **found})


def _value(node: Element, row: _Row) -> str:
    name = "CodedValue" if row.coded else "InstanceIdentifier"
    first, second = ("code", "codeSystem") if row.coded else ("extension", "root")
    inner = [n for held in node for n in held if n.tag == f"{{{V3}}}{name}"]
    if len(inner) != 1 or attribute(inner[0], second) != row.system:
        raise LdnError(Issue.STRUCTURE, f"{row.name}: the type or system is not as agreed")
    return attribute(inner[0], first)


def _disclosure(values: Told) -> Disclosure:
    by = Delegation(values.provider, values.role) if values.mandated else None
    return Disclosure(
        patient=Bsn.parse(values.patient),
        holder=Provider(Ura.parse(values.holder), values.holder_kind),
        requester=Provider(Ura.parse(values.requester), values.requester_kind),
        user=User(values.mandated or values.provider, values.role),
        exchange="",
        category=values.category,
        purpose=values.purpose,
        delegation=by,
    )


def answer(decision: str, relates_to: str, message_id: str) -> bytes:
    """The envelope of an answer: Permit, Deny, NotApplicable or Indeterminate."""
    root, header = _envelope(ANSWERED)
    etree.SubElement(header, _wsa("MessageID")).text = f"urn:uuid:{message_id}"
    etree.SubElement(header, _wsa("RelatesTo")).text = relates_to
    body = etree.SubElement(root, f"{{{SOAP}}}Body")
    response = etree.SubElement(body, f"{{{XACML}}}Response", nsmap=_default(XACML))
    result = etree.SubElement(response, f"{{{XACML}}}Result")
    etree.SubElement(result, f"{{{XACML}}}Decision").text = decision
    return serialized(root)


def read_answer(content: bytes) -> str:
    """The decision in this answer, whether its elements have a namespace or not.

    Raises LdnError(incomplete) for anything that is not exactly one known decision.
    """
    root = _read(content, Issue.INCOMPLETE)
    bodies = children(root, f"{{{SOAP}}}Body") if root.tag == f"{{{SOAP}}}Envelope" else []
    results = [
        result
        for body in bodies
        for response in _responses(body)
        for result in _named(response, "Result")
    ]
    words = [text(d) for result in results for d in _named(result, "Decision")]
    if len(results) != 1 or len(words) != 1 or words[0] not in DECISIONS:
        raise _unreadable(Issue.INCOMPLETE)
    return words[0]


def _responses(body: Element) -> list[Element]:
    """The XACML responses in a body: bare, or in a SAML response as the profile has it."""
    return [n for n in body.iter() if n.tag in {"Response", f"{{{XACML}}}Response"}]


def _named(node: Element, name: str) -> list[Element]:
    return [n for n in node if n.tag in {name, f"{{{XACML}}}{name}"}]


def _read(content: bytes, issue: Issue) -> Element:
    try:
        return parse(content, Trail(issue=issue), LARGEST)
    except LdnError as error:
        raise _unreadable(issue, error.detail) from error


def _unreadable(issue: Issue, detail: str = "xacml.form") -> LdnError:
    text = "this is not a closed question or answer as agreed; the sender must correct it"
    return LdnError(issue, text, detail=detail)


def _envelope(action: str) -> tuple[Element, Element]:
    root = etree.Element(f"{{{SOAP}}}Envelope", nsmap={"soap": SOAP, "wsa": WSA})
    header = etree.SubElement(root, f"{{{SOAP}}}Header")
    etree.SubElement(header, _wsa("Action")).text = action
    return root, header


def _default(namespace: str) -> Any:
    return {None: namespace}


def _wsa(name: str) -> str:
    return f"{{{WSA}}}{name}"
