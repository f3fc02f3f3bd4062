"""An offer as the R4 Coordination Task, both ways.

Resources that are read here passed the structural check of the codec.
Source: exchange patterns §2.5 (TwiinCoordinationTask), §3.1.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.fhir.model import Resource
from openldn.patterns.notified_pull.model import Label, Offer, Period, Pointer, Reason
from openldn.patterns.notified_pull.reading import code_of, codings, concept, inputs, moment
from openldn.patterns.notified_pull.states import CANDIDATES, CHOSEN, COUNTER, state_of
from openldn.patterns.notified_pull.words import (
    ASK_WHO,
    BASE,
    CODED,
    CODES,
    COORDINATION,
    CUSTODIAN,
    FULFILL,
    PROFILE,
    QUERY,
    RESOURCE,
    URI,
    WORK,
    WORKFLOW,
)

Element = dict[str, Any]


def task_of(offer: Offer) -> Resource:
    """The Coordination Task of an offer; it names no person."""
    asking = offer.table == CANDIDATES.name and not offer.patient
    code = ASK_WHO if asking else FULFILL
    elements: dict[str, Any] = {
        "resourceType": "Task",
        "id": offer.id,
        "meta": {
            "versionId": str(offer.version),
            "lastUpdated": instant(offer.changed),
            "profile": [PROFILE],
        },
        "identifier": [{"system": URI, "value": offer.identifier}],
        "groupIdentifier": {"system": URI, "value": offer.group} if offer.group else None,
        "status": offer.status,
        "statusReason": _reason(offer.reason),
        "businessStatus": _business(offer.business),
        "intent": "order",
        "code": concept(CODES[code], code),
        "focus": {"reference": offer.focus} if offer.focus else None,
        "for": {"reference": offer.patient} if offer.patient else None,
        "executionPeriod": _period(offer.proposed),
        "authoredOn": instant(offer.created),
        "lastModified": instant(offer.changed),
        "requester": _organization(offer.placer),
        "owner": _owner(offer),
        "location": _labeled(offer.location, "Location") if offer.location else None,
        "note": [{"text": offer.note}] if offer.note else None,
        "restriction": {"period": {"end": instant(offer.expires)}} if offer.expires else None,
        "input": list(_inputs(offer)),
    }
    return {name: value for name, value in elements.items() if value is not None}


def _organization(ura: Ura) -> Element:
    return {"type": "Organization", "identifier": {"system": URA_SYSTEM, "value": ura.value}}


def _owner(offer: Offer) -> Element:
    return (
        _labeled(offer.service, "HealthcareService")
        if offer.service
        else _organization(offer.fulfiller)
    )


def _labeled(label: Label, kind: str) -> Element:
    identifier: Element = {"system": label.system, "value": label.value}
    if label.assigner:
        named = {
            "system": URA_SYSTEM,
            "value": label.assigner.value,
            "type": concept(CUSTODIAN, "custodian"),
        }
        identifier = {"use": "official", **identifier, "assigner": {"identifier": named}}
    shown = {"display": label.display} if label.display else {}
    return {"type": kind, "identifier": identifier, **shown}


def _reason(reason: Reason | None) -> Element | None:
    if reason is None:
        return None
    coded = concept(reason.system, reason.code) if reason.code else {}
    return {**coded, "text": reason.text}


def _business(business: str) -> Element | None:
    systems = {COUNTER: COORDINATION, CHOSEN: WORKFLOW}
    return concept(systems[business], business) if business else None


def _period(period: Period | None) -> Element | None:
    if period is None:
        return None
    end = {"end": instant(period.end)} if period.end else {}
    return {"start": instant(period.start), **end}


def _inputs(offer: Offer) -> Iterator[Element]:
    work = {**concept(COORDINATION, offer.use_case), "text": offer.exchange}
    yield {"type": concept(WORKFLOW, WORK), "valueCodeableConcept": work}
    for query in offer.queries:
        yield {**_kind(QUERY, query), "valueString": query.value}
    for resource in offer.resources:
        yield {**_kind(RESOURCE, resource), "valueReference": {"reference": resource.value}}
    if offer.authorization:
        yield {"type": concept(COORDINATION, BASE), "valueString": offer.authorization}


def _kind(kind: str, pointer: Pointer) -> Element:
    coded = {"system": pointer.system, "code": pointer.code}
    extension = [{"url": CODED, "valueCoding": coded}]
    return {**({"extension": extension} if pointer.code else {}), "type": concept(WORKFLOW, kind)}


def offer_of(task: Resource, table: str = "fulfiller-starts") -> Offer:
    """The offer that a checked Coordination Task tells; `table` is that of its use case.

    It need not hold by the rules of the profile: `profile.require` says that. Raises
    LdnError(business-rule) for what cannot be an offer at all.
    """
    owner = _element(task, "owner")
    service = None if is_organization(owner) else label_of(owner)
    asked = code_of(task.get("code")) == ASK_WHO
    chosen = code_of(task.get("businessStatus")) == CHOSEN
    use_case, exchange = _work(task)
    return Offer(
        id=task.get("id", ""),
        identifier=_identifier(task),
        placer=ura_of(_element(task, "requester"), "Task.requester"),
        fulfiller=fulfiller_of(task),
        exchange=exchange,
        use_case=use_case,
        created=_at(task.get("authoredOn"), "Task.authoredOn"),
        changed=_at(task.get("lastModified") or task.get("authoredOn"), "Task.lastModified"),
        state=state_of(task["status"], code_of(task.get("businessStatus"))),
        version=_version(task),
        table=CANDIDATES.name if asked or chosen else table,
        focus=task.get("focus", {}).get("reference", ""),
        patient=task.get("for", {}).get("reference", ""),
        group=task.get("groupIdentifier", {}).get("value", ""),
        queries=tuple(_pointer(i, i.get("valueString", "")) for i in inputs(task, QUERY)),
        resources=tuple(
            _pointer(i, i.get("valueReference", {}).get("reference", ""))
            for i in inputs(task, RESOURCE)
        ),
        authorization=next((i.get("valueString", "") for i in inputs(task, BASE)), ""),
        service=service,
        location=label_of(task["location"]) if "location" in task else None,
        reason=reason_of(task),
        note=note_of(task),
        proposed=period_of(task),
        expires=_expires(task),
    )


def is_organization(reference: Element) -> bool:
    """It names an organization by URA, not a part of one."""
    system = reference.get("identifier", {}).get("system")
    return bool(system == URA_SYSTEM)


def fulfiller_of(task: Resource) -> Ura:
    """Whose Task it is: the owner itself, or the custodian of the service that owns it.

    Raises LdnError(business-rule) when neither is there.
    """
    owner = _element(task, "owner")
    if is_organization(owner):
        return ura_of(owner, "Task.owner")
    assigner = owner.get("identifier", {}).get("assigner", {})
    return ura_of(assigner, "Task.owner.identifier.assigner")


def ura_of(reference: Element, where: str) -> Ura:
    """The URA by which a reference names an organization; raises LdnError(business-rule)."""
    identifier = reference.get("identifier", {})
    if identifier.get("system") != URA_SYSTEM:
        text = f"{where} must name a care provider by URA ({URA_SYSTEM}); the sender's turn"
        raise LdnError(Issue.BUSINESS_RULE, text, where=where)
    try:
        return Ura.parse(identifier.get("value", ""))
    except LdnError as error:
        raise LdnError(Issue.BUSINESS_RULE, f"{where}: {error.message}", where=where) from error


def label_of(reference: Element) -> Label:
    """The part of an organization that a reference names by identifier."""
    identifier = reference.get("identifier", {})
    assigner = identifier.get("assigner", {})
    own = ura_of(assigner, "assigner") if is_organization(assigner) else None
    found = (identifier.get("system", ""), identifier.get("value", ""))
    return Label(*found, own, reference.get("display", ""))


def reason_of(task: Resource) -> Reason | None:
    """Why it was refused, withdrawn or failed, where it says so."""
    given = task.get("statusReason")
    if given is None:
        return None
    system, code = next(codings(given), ("", ""))
    return Reason(given.get("text", ""), code, system)


def note_of(task: Resource) -> str:
    """Its notes, below one another."""
    return "\n".join(n["text"] for n in task.get("note", ()))


def period_of(task: Resource) -> Period | None:
    """The date it proposes; raises LdnError(business-rule) when it has an end alone."""
    given = task.get("executionPeriod")
    if given is None:
        return None
    start = _at(given.get("start"), "Task.executionPeriod.start")
    return Period(start, moment(given["end"], end=True) if "end" in given else None)


def _expires(task: Resource) -> datetime | None:
    end = task.get("restriction", {}).get("period", {}).get("end")
    return moment(end, end=True) if end else None


def _element(task: Resource, name: str) -> Element:
    found = task.get(name)
    if found is None:
        text = f"Task.{name} is missing; the sender's turn"
        raise LdnError(Issue.BUSINESS_RULE, text, where=f"Task.{name}")
    return dict(found)


def _identifier(task: Resource) -> str:
    return next((i.get("value", "") for i in task.get("identifier", ())), "")


def _work(task: Resource) -> tuple[str, str]:
    given = [i.get("valueCodeableConcept") for i in inputs(task, WORK)]
    if len(given) != 1 or given[0] is None:
        text = f"a Coordination Task has exactly one input {WORK} with a CodeableConcept"
        raise LdnError(Issue.BUSINESS_RULE, text, where="Task.input")
    return code_of(given[0]), given[0].get("text", "")


def _version(task: Resource) -> int:
    given = task.get("meta", {}).get("versionId", "0")
    return int(given) if given.isdecimal() and len(given) < 10 else 0


def _at(text: str | None, where: str) -> datetime:
    if text is None:
        raise LdnError(Issue.BUSINESS_RULE, f"{where} is missing; the sender's turn", where=where)
    return moment(text).astimezone(UTC)


def _pointer(given: Element, value: str) -> Pointer:
    for extension in given.get("extension", ()):
        if extension["url"] == CODED:
            coded = extension.get("valueCoding", {})
            return Pointer(value, coded.get("code", ""), coded.get("system", ""))
    return Pointer(value)
