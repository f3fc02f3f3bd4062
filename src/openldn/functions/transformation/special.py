"""What a conversion of several elements at once is, and what such conversions share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openldn.fhir.model import FhirVersion
from openldn.functions.transformation.conversions import table
from openldn.functions.transformation.keeping import FILLER, Keeper, url_of
from openldn.functions.transformation.maps import Row
from openldn.functions.transformation.plan import Object, Plan, Step
from openldn.functions.transformation.run import At, Run


@dataclass(frozen=True, slots=True)
class Spot:
    """One object under way: what it says, what is made of it, and by which row."""

    plan: Plan
    row: Row
    codes: tuple[dict[str, str], dict[str, str]]  # of this direction, and of the other
    value: Object
    at: At
    run: Run
    out: Object

    def carry(self, *keys: str) -> None:
        """Note these elements as carried over, those that are there."""
        if self.run.traced:
            for key in keys:
                if key in self.value:
                    self.run.carry((self.at, key, -1))

    def lose(self, key: str, reason: str) -> None:
        """Note that this element does not come along, if it is there."""
        if key in self.value:
            self.run.lose((self.at, key, -1), reason)

    def refuse(self, key: str, text: str) -> None:
        """Note why there can be no output."""
        self.run.refuse((self.at, key, -1), text)
        self.run.lose((self.at, key, -1))

    def keep(self, key: str) -> None:
        """Carry this element as an extension."""
        Keeper(self.plan, self.run, self.out).keep(key, self.value, self.at)

    def apply(self, kind: str, key: str) -> Any:
        """The value of this element, of this data type, in the other version."""
        return apply(self.run, kind, self.value[key], (self.at, key, -1))

    def side(self, key: str, wanted: str = "") -> None:
        """The side object of an element, unless it only says that a demand was not met."""
        beside = "_" + key
        if beside not in self.value:
            return
        if self.value[beside] != FILLER or not self._demanded(key):
            made = self.apply("Element", beside)
            if made:
                self.out["_" + (wanted or key)] = made
        self.carry(beside)

    def _demanded(self, key: str) -> bool:
        here, there = ({e for e, _ in t.required} for t in (self.plan.source, self.plan.target))
        return key in here and key not in there

    def kept(self, element: str) -> str | None:
        """A code that an extension carries back."""
        url = url_of(self.run.target, f"{self.plan.target.name}.{element}")
        found = (e for e in self.value.get("extension", ()) if e["url"] == url)
        return next((e.get("valueCode") for e in found), None)


Work = Callable[[Spot], None]


@dataclass(frozen=True)
class Special:
    """One conversion of several elements: `{row}` stands for the row's own STU3 element."""

    stu3: tuple[str, ...]  # the elements it reads or fills there
    r4: tuple[str, ...]
    forward: Work | None  # STU3 to R4
    back: Work | None
    # Extensions of STU3 it takes along: URL and name of the value, and the step for it.
    moved: tuple[tuple[str, Step], ...] = ()
    after: Callable[[Object, Object], None] | None = None  # either way, when all else is done

    def names(self, row: Row, source: FhirVersion) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The elements of the source, and those of the target."""
        here, there = (self.stu3, self.r4) if source is FhirVersion.STU3 else (self.r4, self.stu3)
        named = [tuple(n.replace("{row}", row.stu3) for n in names) for names in (here, there)]
        return named[0], named[1]

    def install(self, plan: Plan, row: Row, source: FhirVersion) -> None:
        """Make it part of a plan."""
        forward = source is FhirVersion.STU3
        work = self.forward if forward else self.back
        if forward:
            plan.moved.update(self.moved)
        if self.after is not None:
            plan.fills.append(self.after)
        if work is not None:
            plan.specials.append(_compiled(work, plan, row, source))


def _compiled(
    work: Work, plan: Plan, row: Row, source: FhirVersion
) -> Callable[[Object, At, Run, Object], None]:
    codes = (table(row, source), table(row, other(source)))

    def special(value: Object, at: At, run: Run, out: Object) -> None:
        work(Spot(plan, row, codes, value, at, run, out))

    return special


def apply(run: Run, kind: str, value: Any, at: At) -> Any:
    """A value of a data type in the other version."""
    return run.between(kind, kind).apply(value, at, run)


def other(version: FhirVersion) -> FhirVersion:
    """The other of the two."""
    return FhirVersion.R4 if version is FhirVersion.STU3 else FhirVersion.STU3
