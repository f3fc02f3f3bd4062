"""One transformation under way: where we are, what was lost, what is wrong."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from openldn.fhir.model import FhirVersion
from openldn.functions.transformation.model import Fault, Loss, MapUsed

At = tuple[Any, str, int] | None  # (place of the parent, name, index or -1); cheap to make
NO_ELEMENT = "no such element in the other version"


class Unfit:
    """What a conversion gives when the value has no place in the other version."""


UNFIT = Unfit()


@dataclass(slots=True)
class Run:
    """What is noted while one resource is transformed."""

    root: str
    source: FhirVersion
    target: FhirVersion
    between: Callable[[str, str], Any]  # the Plan from a type of the source to one of the target
    traced: bool = False
    lenient: bool = False  # a Bundle that may go on without one of its resources
    losses: list[Loss] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    carried: list[str] = field(default_factory=list)
    maps: set[MapUsed] = field(default_factory=set)

    def lose(self, at: At, reason: str = NO_ELEMENT, kept: str = "") -> None:
        """Note a path of the source that does not come along."""
        self.losses.append(Loss(self.path(at), reason, kept))

    def carry(self, at: At) -> None:
        """Note a path of the source that does; only called when traced."""
        self.carried.append(self.path(at))

    def refuse(self, at: At, text: str, code: str = "not-supported") -> None:
        """Note why there can be no output."""
        self.faults.append(Fault(text, self.path(at), code))

    def path(self, at: At) -> str:
        """The FHIRPath of a place in the source."""
        steps = []
        while at is not None:
            at, name, index = at
            steps.append(f"{name}[{index}]" if index >= 0 else name)
        return ".".join((self.root, *reversed(steps)))
