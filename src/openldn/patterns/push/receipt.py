"""What the receiver answers: which resources were made of what was sent, or why it was refused.

It is FHIR: a transaction-response or batch-response where something was taken, else an
OperationOutcome with a coded reason. Message and content stand in it, so that its signature
binds them. Source: exchange patterns §8; hl7.org/fhir/R4/http.html#transaction-response.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from openldn.base.errors import STATUS, Issue, LdnError
from openldn.base.runtime import instant
from openldn.fhir.identifiers import CANON
from openldn.fhir.model import FhirVersion, Resource
from openldn.patterns.push.model import Push, Why
from openldn.patterns.push.rules import BATCH, Finding
from openldn.patterns.push.states import ACCEPTED, PARTLY, REFUSED

REASONS = f"{CANON}/CodeSystem/push-reason"
RECEIPT = f"{CANON}/StructureDefinition/push-receipt"
SIGNATURE = f"{CANON}/StructureDefinition/signature"
URI = "urn:ietf:rfc:3986"
CONTENT = "describedby"  # relation of the link that names the content by its digest
LONGEST = 300  # characters of a reason that is kept

# The signature of STU3 under the names of R4, where they differ.
_STU3 = {"who": "whoReference", "sigFormat": "contentType", "data": "blob"}


@dataclass(frozen=True)
class Line:
    """What became of one entry."""

    status: int
    location: str = ""  # "Observation/17/_history/1"; empty: not told
    finding: Finding | None = None  # why not


@dataclass(frozen=True)
class Receipt:
    """What a receipt says."""

    message: str
    digest: str
    state: str
    why: Why | None = None
    lines: tuple[Line, ...] = ()


def receipt_of(push: Push, lines: Sequence[Line]) -> Resource:
    """The receipt of a push of which something was taken."""
    kind = BATCH if push.content.form == BATCH else "transaction"
    return {
        "resourceType": "Bundle",
        "identifier": {"system": URI, "value": push.message},
        "type": f"{kind}-response",
        "link": [{"relation": CONTENT, "url": push.content.digest}],
        "entry": [{"response": _response(line, push)} for line in lines],
    }


def _response(line: Line, push: Push) -> Resource:
    told: Resource = {"status": f"{line.status} {HTTPStatus(line.status).phrase}"}
    if line.location:
        told["location"] = line.location
    if line.status == HTTPStatus.CREATED:
        told["lastModified"] = instant(push.changed)
    if line.finding is not None:
        told["outcome"] = {"resourceType": "OperationOutcome", "issue": [_issue(line.finding)]}
    return told


def refusal_of(push: Push, findings: Iterable[Finding]) -> Resource:
    """The receipt of a push that was refused."""
    parts = [
        {"url": "message", "valueUri": push.message},
        {"url": "content", "valueUri": push.content.digest},
    ]
    return {
        "resourceType": "OperationOutcome",
        "extension": [{"url": RECEIPT, "extension": [p for p in parts if p["valueUri"]]}],
        "issue": [_issue(finding) for finding in findings],
    }


def _issue(finding: Finding) -> Resource:
    coded = {"coding": [{"system": REASONS, "code": finding.code}], "text": finding.text}
    where = {"expression": [finding.where]} if finding.where else {}
    return {
        "severity": "error",
        "code": str(finding.issue),
        "details": coded,
        "diagnostics": finding.text,
        **where,
    }


def status_of(findings: Sequence[Finding]) -> int:
    """The HTTP status of a refusal: that of what was found first; a rule that holds for all."""
    status = STATUS[findings[0].issue]
    return status if status not in {405, 409} else 422


def why_of(findings: Sequence[Finding]) -> Why | None:
    """The reason that is kept of these findings."""
    if not findings:
        return None
    first = findings[0]
    return Why(first.code, f"{first.text} ({first.where})" if first.where else first.text)


def state_of(lines: Sequence[Line]) -> str:
    """What a push came to whose entries came to this."""
    taken = sum(line.status < 300 for line in lines)
    return ACCEPTED if taken == len(lines) else PARTLY if taken else REFUSED


def named(digest: bytes) -> str:
    """A SHA-256 digest as the name of what it was made of (RFC 6920)."""
    text = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return f"ni:///sha-256;{text}"


def read_receipt(resource: Resource) -> Receipt:
    """What a checked Bundle or OperationOutcome says as a receipt.

    Raises LdnError(incomplete) for one that is none.
    """
    if resource.get("resourceType") == "OperationOutcome":
        return _refused(resource)
    if resource.get("type") not in {"transaction-response", "batch-response"}:
        raise _unreadable()
    links = [x.get("url", "") for x in resource.get("link", ()) if x["relation"] == CONTENT]
    lines = tuple(_line(place, e) for place, e in enumerate(resource.get("entry", ())))
    findings = [line.finding for line in lines if line.finding]
    named = resource.get("identifier", {})
    state = state_of(lines)
    why = why_of(findings) or Why("store", "the receiver did not say why")
    said = None if state == ACCEPTED else why
    return Receipt(named.get("value", ""), links[0] if links else "", state, said, lines)


def _line(place: int, entry: Resource) -> Line:
    response = entry.get("response", {})
    number = str(response.get("status", ""))[:3]
    if not (number.isascii() and number.isdigit() and 200 <= int(number) < 600):
        raise _unreadable()
    issues = response.get("outcome", {}).get("issue", ())
    finding = next((_found(i, place) for i in issues if int(number) >= 300), None)
    return Line(int(number), str(response.get("location", "")), finding)


def _found(issue: Mapping[str, Any], place: int = -1) -> Finding:
    """A finding as told by another: its words are cut, for they may be anything."""
    codings = issue.get("details", {}).get("coding", ())
    code = next((c.get("code", "") for c in codings if c.get("system") == REASONS), "")
    known = {str(i): i for i in Issue}
    kind = known.get(str(issue.get("code")), Issue.BUSINESS_RULE)
    words = issue.get("details", {}).get("text") if code else ""
    text = str(words or "the receiver gives no reason that we know")[:LONGEST]
    return Finding(code or str(kind), kind, text, "", place)


def _refused(resource: Resource) -> Receipt:
    parts: dict[str, str] = {}
    for extension in resource.get("extension", ()):
        if extension["url"] == RECEIPT:
            told = extension.get("extension", ())
            parts = {p["url"]: str(p.get("valueUri", "")) for p in told}
    found = [_found(i) for i in resource.get("issue", ())]
    return Receipt(parts.get("message", ""), parts.get("content", ""), REFUSED, why_of(found))


def with_signature(receipt: Resource, signature: Resource, version: FhirVersion) -> Resource:
    """The receipt with the signature it was given, in the words of this FHIR version."""
    if version is FhirVersion.STU3:
        left = {n: v for n, v in signature.items() if n != "targetFormat"}
        signature = {_STU3.get(n, n): v for n, v in left.items()}
    if receipt["resourceType"] == "Bundle":
        return {**receipt, "signature": signature}
    extension = [*receipt["extension"], {"url": SIGNATURE, "valueSignature": signature}]
    return {**receipt, "extension": extension}


def apart(receipt: Resource) -> tuple[Resource, Resource | None]:
    """The receipt without its signature, and the signature in the words of R4."""
    if receipt.get("resourceType") == "Bundle":
        rest = {n: v for n, v in receipt.items() if n != "signature"}
        return rest, _as_r4(receipt.get("signature"))
    given = receipt.get("extension", ())
    signatures = [e.get("valueSignature") for e in given if e["url"] == SIGNATURE]
    rest = {**receipt, "extension": [e for e in given if e["url"] != SIGNATURE]}
    return rest, _as_r4(signatures[0] if len(signatures) == 1 else None)


def _as_r4(signature: Resource | None) -> Resource | None:
    words = {old: new for new, old in _STU3.items()}
    return {words.get(n, n): v for n, v in signature.items()} if signature else None


def _unreadable() -> LdnError:
    text = "the receiver's answer is no receipt; its operator's turn"
    return LdnError(Issue.INCOMPLETE, text)
