"""Choices as a citizen makes them: read from a form, shown in words, weighed before they count."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time

from openldn.access.frame.words import HOME
from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.functions.consent import deciding
from openldn.functions.consent.deciding import Among
from openldn.functions.consent.kinds import Kinds
from openldn.functions.consent.model import (
    ANYTHING,
    Choice,
    Decision,
    Level,
    Provider,
    Target,
)

ANY = "any"
_DECISIONS = {"yes": Decision.PERMIT, "no": Decision.DENY}


@dataclass(frozen=True)
class Known:
    """A care provider that takes part, as the directory knows it."""

    ura: Ura
    name: str
    kind: str  # type of care provider: "Z3"

    @property
    def provider(self) -> Provider:
        """The same in a question of consent."""
        return Provider(self.ura, self.kind)


@dataclass(frozen=True)
class Offered:
    """What a citizen can choose from."""

    known: Sequence[Known]
    kinds: Kinds

    def targets(self, side: str) -> dict[str, Target]:
        """Value in the form -> what it points at; side is holder or user."""
        named = self.kinds.holder if side == "holder" else self.kinds.requester
        found = {ANY: ANYTHING}
        found |= {f"category:{c}": Target(Level.CATEGORY, c) for c in sorted(set(named.values()))}
        found |= {f"provider:{k.ura}": Target(Level.PROVIDER, str(k.ura)) for k in self.known}
        return found

    def name(self, target: Target) -> str:
        """The name of the care provider a target points at; empty for other targets."""
        names = {str(k.ura): k.name for k in self.known}
        return names.get(target.value, target.value) if target.level is Level.PROVIDER else ""


def chosen(fields: Mapping[str, str], offered: Offered, id_: str, today: date) -> Choice:
    """The choice in a form; raises LdnError(invalid) that names the field, for what is not there.

    `until` is the last day it counts, whole, on the clock in the Netherlands.
    """
    decision = _DECISIONS.get(fields.get("decision", ""))
    if decision is None:
        raise LdnError(Issue.INVALID, "choose yes or no", where="decision")
    sides: dict[str, Target] = {}
    for side in ("holder", "user"):
        targets = offered.targets(side)
        value = fields.get(side, "")
        if value not in targets:
            raise LdnError(Issue.INVALID, f"choose one of those listed: {side}", where=side)
        sides[side] = targets[value]
    ends = _until(fields.get("until", ""), today)
    return Choice(id_, decision, sides["holder"], sides["user"], end=ends)


def _until(text: str, today: date) -> datetime | None:
    if not text:
        return None
    try:
        last = date.fromisoformat(text)
        ends = datetime.combine(date.fromordinal(last.toordinal() + 1), time(), HOME)
    except (ValueError, OverflowError) as error:
        raise LdnError(Issue.INVALID, "write the last day as a date", where="until") from error
    if last < today:
        raise LdnError(Issue.INVALID, "the last day lies in the past", where="until")
    return ends


@dataclass(frozen=True)
class Effect:
    """What changes for one holder: who could ask it before, and who could after."""

    holder: Known
    before: tuple[Known, ...]
    after: tuple[Known, ...]

    @property
    def gained(self) -> tuple[Known, ...]:
        """Who could ask after it, and not before."""
        return tuple(k for k in self.after if k not in self.before)

    @property
    def lost(self) -> tuple[Known, ...]:
        """Who could ask before it, and not after."""
        return tuple(k for k in self.before if k not in self.after)


def effects(
    before: Iterable[Choice], after: Iterable[Choice], offered: Offered, now: datetime
) -> list[Effect]:
    """For every care provider, who of the others could ask it for treatment data."""
    first, second = (_allowed(tuple(each), offered, now) for each in (before, after))

    def of(holder: Known, allowed: frozenset[tuple[Ura | None, Ura | None]]) -> tuple[Known, ...]:
        return tuple(k for k in offered.known if (holder.ura, k.ura) in allowed)

    return [Effect(holder, of(holder, first), of(holder, second)) for holder in offered.known]


def _allowed(
    choices: Sequence[Choice], offered: Offered, now: datetime
) -> frozenset[tuple[Ura | None, Ura | None]]:
    """Holder and requester of each pair that these choices permit."""
    providers = [k.provider for k in offered.known]
    found = deciding.effects(choices, Among(providers, providers), offered.kinds, now)
    return frozenset(
        (e.holder.ura, e.requester.ura) for e in found if e.decision is Decision.PERMIT
    )
