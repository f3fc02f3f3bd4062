"""The parts of a Task that dialects have in common, written and read."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifier_systems import number_of, system_of
from openldn.fhir.identifiers import CANON, URA_SYSTEM, Bsn, Ura
from openldn.fhir.model import Resource
from openldn.patterns.dialects.model import Content, Parties
from openldn.patterns.dialects.organizations import BUSINESS, RFC3986
from openldn.patterns.notified_pull.model import Label, Offer, Pointer, Reason

SNOMED = "http://snomed.info/sct"
PARAMETERS = "http://fhir.nl/fhir/NamingSystem/TaskParameter"
TASK_CODES = "http://fhir.nl/fhir/NamingSystem/TaskCode"
OWN_TASKS = f"{CANON}/NamingSystem/task"
OWN_EXCHANGES = f"{CANON}/CodeSystem/use-case"
_ROUTING = "http://nuts-foundation.github.io/nl-generic-functions-ig/StructureDefinition/task-stu3-"
SERVICE, LOCATION = f"{_ROUTING}healthcareservice", f"{_ROUTING}location"
QUERY, RESOURCE = "query-available-resources", "read-available-resource"

Json = Mapping[str, Any]


def first(items: object) -> Resource:
    """The first object of a list; empty when there is none."""
    return next(objects(items), {})


def objects(items: object) -> Iterator[Resource]:
    """The objects of a list; nothing for what is no list."""
    if isinstance(items, list):
        yield from (i for i in items if isinstance(i, dict))


def part(of: object, *names: str) -> Resource:
    """The object below these names; empty when it is not there."""
    for name in names:
        of = of.get(name) if isinstance(of, Mapping) else None
    return of if isinstance(of, dict) else {}


def text(of: object, *names: str) -> str:
    """The text below these names; empty when it is not there."""
    found = part(of, *names[:-1]).get(names[-1]) if names[:-1] else _at(of, names[-1])
    return found if isinstance(found, str) else ""


def _at(of: object, name: str) -> object:
    return of.get(name) if isinstance(of, Mapping) else None


def moment(at: datetime) -> str:
    """A dateTime in UTC, as exact as it is known."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def moment_of(value: str, where: str) -> datetime | None:
    """The time in a dateTime, a date meaning its first moment in UTC; None for nothing.

    Raises LdnError(invalid) for what is no date with year, month and day.
    """
    if not value:
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:  # at the ends of the calendar
        text = "expected a date, or a date and time with its offset"
        raise LdnError(Issue.INVALID, text, where=where) from error


def concept(system: str, code: str) -> Resource:
    """A CodeableConcept with one code."""
    return {"coding": [{"system": system, "code": code}]}


def codes(concept: object) -> Iterator[tuple[str, str]]:
    """System and code of each coding."""
    for coding in objects(_at(concept, "coding")):
        yield text(coding, "system"), text(coding, "code")


def content_code(offer: Offer, contents: tuple[Content, ...]) -> tuple[str, str]:
    """System and code that say what is offered; our own where the dialect has none."""
    for content in contents:
        if (content.exchange, content.use_case) == (offer.exchange, offer.use_case):
            return content.system, content.code
    return OWN_EXCHANGES, f"{offer.exchange}.{offer.use_case}"


def content_of(task: Json, contents: tuple[Content, ...]) -> Content:
    """What the code of a Task says is offered.

    Raises LdnError(not-supported) for a code that is neither of the dialect nor our own.
    """
    said = list(codes(task.get("code")))
    for system, code in said:
        for content in contents:
            if (content.system, content.code) == (system, code):
                return content
        if system == OWN_EXCHANGES:
            exchange, _, use_case = code.partition(".")
            return Content(exchange, use_case, system, code)
    text = "the code of the Task names no exchange that is taken here; look at what is published"
    raise LdnError(Issue.NOT_SUPPORTED, text, where="Task.code", status=422)


def business(identifier: str) -> list[Resource]:
    """The business identifier as an Identifier."""
    return [{"system": RFC3986, "value": identifier}]


def business_of(task: Json) -> str:
    """The business identifier of a Task, in either spelling of its system; empty without one."""
    found = list(objects(task.get("identifier")))
    known = [i for i in found if text(i, "system") in BUSINESS]
    return text(first(known or found), "value")


def derived(placer: Ura, id: str) -> str:
    """The business identifier of a Task that has none: always the same for this Task."""
    return f"urn:uuid:{uuid5(NAMESPACE_URL, f'{URA_SYSTEM}/{placer}/Task/{id}')}"


def task_identifier(id: str) -> Resource:
    """The id of the Task at the placer as an Identifier."""
    try:
        known = str(UUID(id)) == id
    except ValueError:
        known = False
    return (
        {"system": RFC3986, "value": f"urn:uuid:{id}"}
        if known
        else {"system": OWN_TASKS, "value": id}
    )


def task_id(identifier: Json) -> str:
    """The reverse."""
    return text(identifier, "value").removeprefix("urn:uuid:")


def routing(offer: Offer) -> list[Resource]:
    """Service and place as the extensions of an STU3 Task. Source: TA Routing 1.3, R24."""
    pairs = ((SERVICE, offer.service), (LOCATION, offer.location))
    return [{"url": url, "valueReference": _labelled(at)} for url, at in pairs if at is not None]


def _labelled(label: Label) -> Resource:
    identifier: Resource = {"system": label.system, "value": label.value}
    if label.assigner is not None:
        assigner = {"system": URA_SYSTEM, "value": str(label.assigner)}
        identifier["assigner"] = {"identifier": assigner}
    return {"identifier": identifier, **({"display": label.display} if label.display else {})}


def label_of(task: Json, url: str) -> Label | None:
    """Service or place by the identifier its custodian gave it; None without one."""
    extension = next((e for e in objects(task.get("extension")) if text(e, "url") == url), {})
    reference = part(extension, "valueReference")
    identifier = part(reference, "identifier")
    if not text(identifier, "value"):
        return None
    assigner = part(identifier, "assigner", "identifier")
    ura = number_of(assigner) if assigner else None
    return Label(
        text(identifier, "system"),
        text(identifier, "value"),
        ura if isinstance(ura, Ura) else None,
        text(reference, "display"),
    )


def reason_of(task: Json) -> Reason | None:
    """statusReason: its text and first code."""
    concept = part(task, "statusReason")
    system, code = next(codes(concept), ("", ""))
    said = text(concept, "text")
    return Reason(said, code, system) if said or code else None


def reasoned(reason: Reason | None) -> Resource:
    """statusReason, if there is a reason."""
    if reason is None:
        return {}
    coding = {k: v for k, v in (("system", reason.system), ("code", reason.code)) if v}
    found: Resource = {"coding": [coding]} if coding else {}
    return {"statusReason": {**found, **({"text": reason.text} if reason.text else {})}}


def pointed(pointer: Pointer, key: str) -> Resource:
    """An input that names a part of the data."""
    coded = (pointer.system, pointer.code)
    default = (PARAMETERS, QUERY if key == "valueString" else RESOURCE)
    type = concept(*(coded if pointer.code else default))
    value = pointer.value if key == "valueString" else {"reference": pointer.value}
    return {"type": type, key: value}


def pointer_of(input: Json) -> Pointer | None:
    """The part of the data that an input names; None when it says something else."""
    system, code = next(codes(input.get("type")), ("", ""))
    value = text(input, "valueString") or text(input, "valueReference", "reference")
    if not value or (system == PARAMETERS and code not in (QUERY, RESOURCE)):
        return None
    return Pointer(value) if system == PARAMETERS else Pointer(value, code, system)


def parameter(task: Json, code: str) -> object:
    """The value of an input by its name in the Dutch naming system; None without one."""
    for input in objects(task.get("input")):
        if (PARAMETERS, code) in codes(input.get("type")):
            return next((v for k, v in input.items() if k.startswith("value")), None)
    return None


def relative(reference: str, type: str) -> str:
    """The id in a relative reference to this type; empty for any other reference."""
    kind, slash, id = reference.removeprefix("/").partition("/")
    return id.partition("/")[0] if slash and kind == type and "//" not in reference else ""


def bsn_of(task: Json) -> Bsn | None:
    """The BSN in Task.for; raises LdnError(invalid) for one that fails its check."""
    identifier = part(task, "for", "identifier")
    known = system_of(text(identifier, "system"))
    return Bsn.parse(text(identifier, "value")) if known and known.kind is Bsn else None


def common(offer: Offer, parties: Parties) -> Resource:
    """What every Task at a placer has."""
    task: Resource = {
        "resourceType": "Task",
        "id": offer.id,
        "meta": {"versionId": str(offer.version)},
        "identifier": business(offer.identifier),
        "code": concept(*content_code(offer, parties.contents)),
        "authoredOn": moment(offer.created),
        "lastModified": moment(offer.changed),
        **reasoned(offer.reason),
    }
    if offer.patient:
        task["for"] = {"reference": offer.patient}
    return task
