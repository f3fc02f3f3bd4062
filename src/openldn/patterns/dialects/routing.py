"""To which department a Task of a legacy dialect goes, and what to do when that cannot be told.

Source: TA Routing 1.3; pattern rule R24.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from openldn.fhir.model import Resource
from openldn.functions.addressing.resources import CUSTODIANS
from openldn.patterns.dialects import tasks
from openldn.patterns.notified_pull.model import Label

_KINDS = ((tasks.SERVICE, "HealthcareService"), (tasks.LOCATION, "Location"))


class Inbox(NamedTuple):
    """Where it goes: without a service, to the inbox of the organization as a whole."""

    service: Label | None
    location: Label | None
    warnings: tuple[str, ...] = ()


def inbox(service: Label | None, location: Label | None, known: Callable[[Label], bool]) -> Inbox:
    """Service and place as far as the directory knows them; the rest goes to the default inbox."""
    named = {"service": service, "location": location}
    lost = [what for what, label in named.items() if label is not None and not known(label)]
    text = "the directory does not know this {}: it went to the organization's default inbox"
    return Inbox(
        None if "service" in lost else service,
        None if "location" in lost else location,
        tuple(text.format(what) for what in lost),
    )


def unnamed(task: Resource) -> Iterator[str]:
    """What the Task refers to without identifier: to be read at the sender's own address.

    An address elsewhere is never followed (R13).
    """
    for url, type in _KINDS:
        extension = next(
            (e for e in tasks.objects(task.get("extension")) if e.get("url") == url), {}
        )
        reference = tasks.part(extension, "valueReference")
        id = tasks.relative(tasks.text(reference, "reference"), type)
        if id and not tasks.text(reference, "identifier", "value"):
            yield f"{type}/{id}"


def label_of(resource: Resource) -> Label | None:
    """The label of a service or place that was read: by the identifier of its custodian."""
    for identifier in tasks.objects(resource.get("identifier")):
        kinds = tasks.part(identifier, "assigner", "identifier", "type")
        if any(system == CUSTODIANS for system, _ in tasks.codes(kinds)):
            system, value = tasks.text(identifier, "system"), tasks.text(identifier, "value")
            return Label(system, value, display=tasks.text(resource, "name"))
    return None
