"""What a set of choices says of one disclosure; pure.

Source: generic functions §4.5 (Dutch generic function consent): the more specific choice beats
the less specific; an objection wins where none of two is the more specific.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from openldn.fhir.identifiers import Ura
from openldn.functions.consent.kinds import Kinds
from openldn.functions.consent.model import (
    ANYTHING,
    TREATMENT_DATA,
    Answer,
    Basis,
    Choice,
    Decision,
    Disclosure,
    Level,
    Provider,
    Target,
    User,
)

# Rank per side. Two choices about the same disclosure with one rank point at the same thing.
_RANKS = {
    "holder": {Level.ANY: 0, Level.CATEGORY: 1, Level.PROVIDER: 2},
    "user": {Level.ANY: 0, Level.CATEGORY: 1, Level.PROVIDER: 2, Level.PERSON: 3},
    "context": {Level.ANY: 0, Level.EXCHANGE: 1},
    "resource": {Level.ANY: 0, Level.CATEGORY: 1, Level.TASK: 2},
}
_LONGEST = 200  # signs of what a choice points at
SIDES = tuple(_RANKS)
Fits = dict[str, frozenset[Target]]  # side -> every target that the disclosure falls in


def well_formed(choice: Choice) -> bool:
    """Whether each side points at something that side can point at, and it chooses."""
    targets = [(side, getattr(choice, side)) for side in SIDES]
    known = all(t.level in _RANKS[side] for side, t in targets)
    named = all(bool(t.value) == (t.level is not Level.ANY) for _, t in targets)
    named = named and all(len(t.value) <= _LONGEST and t.value.isprintable() for _, t in targets)
    ordered = choice.start is None or choice.end is None or choice.start < choice.end
    return known and named and ordered and choice.decision is not Decision.UNKNOWN


def fits(disclosure: Disclosure, kinds: Kinds) -> Fits:
    """Every target that this disclosure falls in."""
    holder, requester = disclosure.holder, disclosure.requester
    return {
        "holder": _targets(
            (Level.CATEGORY, kinds.holder.get(holder.kind, "")),
            (Level.PROVIDER, str(holder.ura or "")),
        ),
        "user": _targets(
            (Level.CATEGORY, kinds.requester.get(requester.kind, "")),
            (Level.PROVIDER, str(requester.ura or "")),
            (Level.PERSON, disclosure.user.id),
        ),
        "context": _targets((Level.EXCHANGE, disclosure.exchange)),
        "resource": _targets(
            (Level.CATEGORY, kinds.category(disclosure)), (Level.TASK, disclosure.task)
        ),
    }


def _targets(*known: tuple[Level, str]) -> frozenset[Target]:
    return frozenset([ANYTHING, *(Target(level, value) for level, value in known if value)])


def applies(choice: Choice, fitting: Fits) -> bool:
    """Whether the choice is about this disclosure.

    An objection to some category is also about a provider whose category we do not know.
    """
    objects = choice.decision is Decision.DENY
    for side in SIDES:
        target = getattr(choice, side)
        if target not in fitting[side] and not (objects and _unsure(target, fitting[side])):
            return False
    return True


def _unsure(target: Target, fitting: frozenset[Target]) -> bool:
    known = any(t.level is Level.CATEGORY for t in fitting)
    return target.level is Level.CATEGORY and not known


def specificity(choice: Choice) -> tuple[int, ...]:
    """The ranks of holder, user, context and resource."""
    return tuple(_RANKS[side][getattr(choice, side).level] for side in SIDES)


def beats(one: Choice, other: Choice) -> bool:
    """Whether `one` is the more specific: nowhere less so, and not the same everywhere."""
    return _above(specificity(one), specificity(other))


def _above(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))


@dataclass(frozen=True)
class Verdict:
    """What the choices say, and the choice that decided."""

    decision: Decision
    choice: Choice | None = None


NOTHING = Verdict(Decision.UNKNOWN)


def decide(choices: Iterable[Choice], fitting: Fits, now: datetime) -> Verdict:
    """The verdict of these choices now: an objection holds unless a permission beats it."""
    about: dict[tuple[int, ...], list[Choice]] = {}  # by rank: few, however many the choices
    for choice in choices:
        if choice.holds(now) and applies(choice, fitting):
            about.setdefault(specificity(choice), []).append(choice)
    highest = [rank for rank in about if not any(_above(other, rank) for other in about)]
    standing = [choice for rank in highest for choice in about[rank]]
    for decision in (Decision.DENY, Decision.PERMIT):
        found = [c for c in standing if c.decision is decision]
        if found:  # which one is told does not depend on the order they came in
            return Verdict(decision, max(found, key=lambda c: (specificity(c), c.id)))
    return NOTHING


def bound(choices: Iterable[Choice], task: str) -> list[Choice]:
    """The choices that count for an implied consent: permissions bound to the Task, objections.

    Source: NEN 7517; generic functions §4.5.
    """
    wanted = Target(Level.TASK, task)
    return [
        c for c in choices if c.decision is Decision.DENY or (bool(task) and c.resource == wanted)
    ]


@dataclass(frozen=True)
class Policy:
    """What the community decided about emergencies; an objection is never overridden."""

    emergency_without_answer: bool = True


POLICY = Policy()


def weighed(
    basis: Basis, local: Answer, national: Answer | None, policy: Policy = POLICY
) -> Answer:
    """The answer for this basis from what the holder recorded and what the registry says.

    `national` is None where the registry was not asked. Source: generic functions §4.5.
    """
    if local.decision is Decision.DENY or basis is Basis.IMPLIED or national is None:
        return local
    waits = basis is Basis.EMERGENCY and national.decision is Decision.UNKNOWN
    passes = waits and policy.emergency_without_answer
    return national if national.emergency == passes else replace(national, emergency=passes)


@dataclass(frozen=True)
class Effect:
    """What a set of choices would do: may this requester ask this holder?"""

    holder: Provider
    requester: Provider
    category: str
    decision: Decision


@dataclass(frozen=True)
class Among:
    """Between whom the effects of choices are shown."""

    holders: Sequence[Provider]
    requesters: Sequence[Provider]
    category: str = TREATMENT_DATA


def effects(choices: Sequence[Choice], among: Among, kinds: Kinds, now: datetime) -> list[Effect]:
    """What these choices would do for each pair of holder and requester."""
    return [
        Effect(holder, requester, among.category, _effect(choices, asked, kinds, now))
        for holder in among.holders
        for requester in among.requesters
        if holder.ura != requester.ura
        for asked in [Disclosure(None, holder, requester, User("", ""), "", among.category)]
    ]


def _effect(choices: Sequence[Choice], asked: Disclosure, kinds: Kinds, now: datetime) -> Decision:
    return decide(choices, fits(asked, kinds), now).decision


def permitted(found: Iterable[Effect]) -> frozenset[Ura]:
    """The holders that at least one requester could ask."""
    return frozenset(
        e.holder.ura for e in found if e.decision is Decision.PERMIT and e.holder.ura is not None
    )


def open_categories(
    choices: Sequence[Choice], asked: Disclosure, kinds: Kinds, now: datetime
) -> tuple[str, ...]:
    """The categories of holder whose data this requester may ask for, whoever the holder is."""
    by_category = {category: kind for kind, category in kinds.holder.items()}
    return tuple(
        category
        for category, kind in sorted(by_category.items())
        if _effect(choices, replace(asked, holder=Provider(None, kind)), kinds, now)
        is Decision.PERMIT
    )
