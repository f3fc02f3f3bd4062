"""The Tasks of the STU3 dialects, written as their specifications have them.

Source: exchange patterns §2.1 (Twiin TA Notified Pull), §2.2 and exchanges §5.1 (eOverdracht).
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from openldn.exchanges.bgz import BGZ
from openldn.exchanges.eoverdracht import ADVANCE_NOTICE, ALTERNATIVE_DATE, HANDOFF, TRANSFER
from openldn.fhir.identifiers import BSN_SYSTEM, URA_SYSTEM, Ura
from openldn.fhir.model import Resource
from openldn.testbench.simulators.party.model import Sent

RFC3986 = "urn:ietf:rfc:3986"
CODES = "http://fhir.nl/fhir/NamingSystem/TaskCode"
PARAMETERS = "http://fhir.nl/fhir/NamingSystem/TaskParameter"
SCT = "http://snomed.info/sct"
SYSTEM = "urn:oid:2.16.840.1.113883.2.4.3.11.999.77"  # of the sending system; of no real one
BROKEN = "Encounter?class=http%3A%2F%hl7.org%2Ffhir%2Fv3%2FActCode%7CIMP"  # as is seen in the field
_OPEN = timedelta(days=7)  # how long an offer stands
_PROFILES = "http://nictiz.nl/fhir/StructureDefinition/"


def notification(sent: Sent, sender: Ura, bsn: str, *, status: str = "requested") -> Resource:
    """The notification of Twiin: that there is something, not what it is."""
    about = {"for": {"identifier": {"system": BSN_SYSTEM, "value": bsn}}} if bsn else {}
    inputs = [
        {"type": _concept(PARAMETERS, "authorization-base"), "valueString": sent.base},
        {"type": _concept(PARAMETERS, "get-workflow-task"), "valueBoolean": True},
    ]
    return {
        "resourceType": "Task",
        "identifier": [_urn(sent.identifier)],
        "groupIdentifier": _urn(sent.id),
        "basedOn": [{"reference": f"Task/{sent.id}"}],
        "status": status,
        "intent": "proposal",
        "code": _concept(CODES, "pull-notification"),
        **about,
        **_common(sent, sender),
        "input": inputs,
    }


def task(sent: Sent, sender: Ura) -> Resource:
    """The Task at the sender, as it stands now."""
    make = _transfer if sent.wire.exchange == "eoverdracht" else _referral
    reason = {"statusReason": {"text": sent.reason}} if sent.reason else {}
    return {
        "resourceType": "Task",
        "id": sent.id,
        "meta": {"versionId": str(sent.version)},
        "identifier": [_urn(sent.id)],
        "status": sent.status,
        "intent": sent.wire.intent,
        "for": {"reference": f"Patient/{sent.patient}", "display": "Patiënt"},
        **_common(sent, sender),
        "lastModified": sent.changed.isoformat(),
        **reason,
        **make(sent),
    }


def _referral(sent: Sent) -> Resource:
    """What of the BgZ there is to ask: one input for each search."""
    inputs = [
        {"type": _concept(q.input.system, q.input.code), "valueString": _written(q.path, q.pairs)}
        for q in BGZ.release("bgz-twiin-2017").plan
        if q.input is not None
    ]
    if sent.broken:
        inputs.append({"type": _concept("http://loinc.org", "46240-8"), "valueString": BROKEN})
    return {"code": _concept(SCT, "3457005"), "input": inputs}


def _written(path: str, pairs: tuple[tuple[str, str], ...]) -> str:
    return f"{path}?{urlencode(pairs)}" if pairs else path


def documents(sent: Sent) -> Iterator[tuple[str, str, str]]:
    """System, code and reference of each document that may be read in this status (R22)."""
    if sent.status in {"cancelled", "rejected", "completed"}:
        return
    yield ADVANCE_NOTICE.system, ADVANCE_NOTICE.code, f"Composition/{sent.patient}-advance-notice"
    if sent.status == "in-progress":
        yield HANDOFF.system, HANDOFF.code, f"Composition/{sent.patient}-handoff"


def _transfer(sent: Sent) -> Resource:
    inputs = [
        {"type": _concept(system, code), "valueReference": {"reference": reference}}
        for system, code, reference in documents(sent)
    ]
    alternative = _concept(ALTERNATIVE_DATE.system, ALTERNATIVE_DATE.code)
    output = [{"type": alternative, "valueDateTime": sent.proposed}] if sent.proposed else []
    return {
        "meta": {"versionId": str(sent.version), "profile": [f"{_PROFILES}eOverdracht-Task"]},
        "code": _concept(TRANSFER.system, TRANSFER.code),
        **({"input": inputs} if inputs else {}),
        **({"output": output} if output else {}),
    }


def answered(found: Resource, status: str, reason: str, proposed: str) -> Resource:
    """The Task of another with our answer: the whole of it, only the answer changed."""
    answer: Resource = {**found, "status": status}
    if reason:
        answer["statusReason"] = {"text": reason}
    if proposed:
        alternative = _concept(ALTERNATIVE_DATE.system, ALTERNATIVE_DATE.code)
        answer["output"] = [{"type": alternative, "valueDateTime": proposed}]
    return answer


def _common(sent: Sent, sender: Ura) -> Resource:
    agent = {"system": RFC3986, "value": SYSTEM}
    return {
        "authoredOn": sent.made.isoformat(),
        "requester": {"agent": {"identifier": agent}, "onBehalfOf": _organization(sender)},
        "owner": _organization(sent.receiver),
        "restriction": {"period": {"end": (sent.made + _OPEN).isoformat()}},
    }


def _organization(ura: Ura) -> Resource:
    return {"identifier": {"system": URA_SYSTEM, "value": ura.value}}


def _urn(id_: str) -> Resource:
    return {"system": RFC3986, "value": f"urn:uuid:{id_}"}


def _concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def parameter(content: Resource, code: str) -> Any:
    """The value of an input by its Twiin name; None without one."""
    for one in content.get("input", ()):
        if {"system": PARAMETERS, "code": code} in one.get("type", {}).get("coding", ()):
            return next((v for k, v in one.items() if k.startswith("value")), None)
    return None


def named(content: Resource) -> str:
    """The UUID that a Task is known by; empty without one."""
    values = [str(i.get("value", "")) for i in content.get("identifier", ())]
    return values[0].removeprefix("urn:uuid:") if values else ""


def ura_in(reference: Any) -> str:
    """The URA in a logical reference to an organization; empty without one."""
    identifier = reference.get("identifier", {}) if isinstance(reference, dict) else {}
    found = identifier.get("value", "") if identifier.get("system") == URA_SYSTEM else ""
    return str(found)
