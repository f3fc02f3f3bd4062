"""The two Tasks of Twiin on Nuts as profiles: rows that check, and that the package is made from.

Nobody publishes these profiles; the canonicals are ours. Source: exchange patterns §2.1, §2.3.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from openldn.fhir.identifiers import CANON
from openldn.fhir.model import Resource
from openldn.patterns.dialects import tasks

Fixed = tuple[str, Any]  # the type in fixed[x], and the value


@dataclass(frozen=True)
class Element:
    """How often an element is there within its parent, and its only value."""

    path: str  # below Task: "requester.onBehalfOf"
    least: int = 0
    most: int | None = None  # None: as FHIR has it
    fixed: Fixed | None = None


@dataclass(frozen=True)
class Coded:
    """Those entries of a list that have this code."""

    name: str
    list: str  # "input": the code is in its type; "code.coding": it is the coding itself
    system: str
    code: str
    least: int = 0
    most: int | None = 1
    value: str = ""  # type of value[x], where the entry has one
    fixed: bool | None = None  # its only value


@dataclass(frozen=True)
class Profile:
    """A profile on the STU3 Task."""

    name: str
    title: str
    description: str
    elements: tuple[Element, ...]
    coded: tuple[Coded, ...]

    @property
    def url(self) -> str:
        """Its canonical."""
        return f"{CANON}/StructureDefinition/{self.name}"


class Problem(NamedTuple):
    """What does not fit, and where."""

    where: str
    text: str


NOTIFICATION = Profile(
    "twiin-np-notification-task",
    "Twiin notified pull on Nuts: notification Task",
    "Tells a receiver that data are there for it. It names no patient.",
    (
        Element("identifier", 1, 1),
        Element("identifier.value", 1),
        Element("groupIdentifier", 1),
        Element("basedOn", 1, 1),
        Element("status", fixed=("Code", "requested")),
        Element("intent", fixed=("Code", "proposal")),
        Element("code", 1),
        Element("for", 0, 0),
        Element("requester", 1),
        Element("requester.agent.identifier", 1),
        Element("requester.onBehalfOf", 1),
        Element("requester.onBehalfOf.identifier", 1),
        Element("owner", 1),
        Element("owner.identifier", 1),
    ),
    (
        Coded("pullNotification", "code.coding", tasks.TASK_CODES, "pull-notification", 1),
        Coded("base", "input", tasks.PARAMETERS, "authorization-base", 0, 1, "string"),
        Coded("getTask", "input", tasks.PARAMETERS, "get-workflow-task", 1, 1, "boolean", True),
        Coded("read", "input", tasks.PARAMETERS, "read-available-resource", 0, 0),
        Coded("query", "input", tasks.PARAMETERS, "query-available-resources", 0, 0),
    ),
)
WORKFLOW_TASK = Profile(
    "twiin-np-workflow-task",
    "Twiin notified pull on Nuts: workflow Task",
    "Says at the sender what is offered. It names the patient by a reference, without BSN.",
    (
        Element("identifier", 1, 1),
        Element("identifier.value", 1),
        Element("code", 1),
        Element("for", 1),
        Element("for.reference", 1),
        Element("for.identifier", 0, 0),
        Element("requester", 1),
        Element("requester.agent.identifier", 1),
        Element("requester.onBehalfOf", 1),
        Element("requester.onBehalfOf.identifier", 1),
        Element("owner", 1),
        Element("owner.identifier", 1),
    ),
    (
        Coded("base", "input", tasks.PARAMETERS, "authorization-base", 0, 1, "string"),
        Coded("getTask", "input", tasks.PARAMETERS, "get-workflow-task", 0, 0),
    ),
)
PROFILES = (NOTIFICATION, WORKFLOW_TASK)


def problems(task: Resource, profile: Profile) -> Iterator[Problem]:
    """Each place where a Task does not fit the profile; its FHIR itself is checked elsewhere."""
    for element in profile.elements:
        yield from _counted(task, element)
    for coded in profile.coded:
        yield from _entries(task, coded)


def _counted(task: Resource, element: Element) -> Iterator[Problem]:
    above, _, name = element.path.rpartition(".")
    where = f"Task.{element.path}"
    for parent in _at(task, above):
        values = _listed(parent.get(name))
        yield from _often(len(values), element.least, element.most, where)
        if element.fixed is not None and any(v != element.fixed[1] for v in values):
            yield Problem(where, f"it is {element.fixed[1]} here")


def _often(count: int, least: int, most: int | None, where: str) -> Iterator[Problem]:
    if count < least:
        yield Problem(where, "it is missing")
    if most is not None and count > most:
        yield Problem(where, "it may not be here" if not most else f"at most {most} may be here")


def _entries(task: Resource, coded: Coded) -> Iterator[Problem]:
    above, _, name = coded.list.rpartition(".")
    where = f"Task.{coded.list}"
    for parent in _at(task, above):
        found = [e for e in tasks.objects(parent.get(name)) if _is(e, coded)]
        yield from _often(len(found), coded.least, coded.most, f"{where}:{coded.name}")
        for entry in found:
            if coded.value and f"value{coded.value.capitalize()}" not in entry:
                yield Problem(f"{where}:{coded.name}", f"its value is a {coded.value}")
            elif coded.fixed is not None and entry["valueBoolean"] is not coded.fixed:
                yield Problem(f"{where}:{coded.name}", f"it is {str(coded.fixed).lower()} here")


def _is(entry: Resource, coded: Coded) -> bool:
    if coded.list == "input":
        return (coded.system, coded.code) in tasks.codes(entry.get("type"))
    return (entry.get("system"), entry.get("code")) == (coded.system, coded.code)


def _at(task: Resource, path: str) -> list[Resource]:
    found: list[Any] = [task]
    for name in path.split(".") if path else ():
        found = [item for at in found for item in _listed(at.get(name)) if isinstance(item, dict)]
    return found


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
