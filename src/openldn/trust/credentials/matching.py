"""Which credentials answer a presentation definition, and what they say.

Source: DIF Presentation Exchange 2 §5, §6; R49, R51; trust and broker §5.3, §5.4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from openldn.trust.credentials.model import (
    WITHOUT_END,
    Captured,
    Credential,
    Definition,
    Descriptor,
    Field,
    Requirement,
)
from openldn.trust.credentials.paths import texts
from openldn.trust.credentials.patterns import captured
from openldn.trust.credentials.types import plain
from openldn.trust.evidence import Value

ALL = -1  # as many as there are


@dataclass(frozen=True)
class Selection:
    """The credentials that answer, by descriptor, and what was captured."""

    chosen: Mapping[str, int]  # id of the descriptor -> place of the credential
    captured: Captured = field(repr=False)


def select(
    definition: Definition,
    credentials: Sequence[Credential],
    shared: Captured,
    fixed: Mapping[str, int] | None = None,
) -> Selection | None:
    """The credentials that answer the definition; None when they do not.

    What VP1 fixed (`shared`) must be said again under the same field.id. `fixed` are the places
    that a presentation_submission names; nothing else is then looked at.
    """
    chosen: dict[str, int] = {}
    known: dict[str, tuple[Value, ...]] = {}
    for descriptor in definition.descriptors:
        for place in _places(descriptor, len(credentials), fixed):
            values = _values(descriptor, credentials[place])
            if values is not None and _agree(values, known) and _agree(values, shared):
                chosen[descriptor.id] = place
                known |= values
                break
    return Selection(chosen, known) if _fulfilled(definition, set(chosen)) else None


def _places(descriptor: Descriptor, count: int, fixed: Mapping[str, int] | None) -> Sequence[int]:
    if fixed is None:
        return range(count)
    return [fixed[descriptor.id]] if descriptor.id in fixed else []


def _values(descriptor: Descriptor, credential: Credential) -> dict[str, tuple[Value, ...]] | None:
    """What is captured when every field fits; None when one does not."""
    signed = credential.algorithm
    if descriptor.algorithms and signed and signed not in descriptor.algorithms:
        return None
    found: dict[str, tuple[Value, ...]] = {}
    for each in descriptor.fields:
        values = _fitting(each, credential)
        if not values and not each.optional:
            return None
        if each.id and values:
            found[each.id] = tuple(_value(text, credential) for text in values)
    return found


def _fitting(each: Field, credential: Credential) -> tuple[str, ...]:
    """The texts at the field's paths that fit its filter, as captured, once each."""
    raw = texts(credential.content, each.paths)
    if each.const is not None:
        return tuple(dict.fromkeys(v for v in raw if v == each.const))
    if each.enum:
        return tuple(dict.fromkeys(v for v in raw if v in each.enum))
    if each.pattern:
        fits = (captured(each.pattern, v) for v in raw)
        return tuple(dict.fromkeys(v for v in fits if v))
    return tuple(dict.fromkeys(raw))


def _value(text: str, credential: Credential) -> Value:
    ends: datetime = credential.expires or credential.issued + WITHOUT_END
    return Value(text, credential.issuer, credential.issued, ends)


def _agree(values: Captured, others: Captured) -> bool:
    """Whether what stands under the same field.id is the same (R51)."""
    return all(
        {plain(v.value) for v in values[name]} == {plain(v.value) for v in others[name]}
        for name in values.keys() & others.keys()
    )


def _fulfilled(definition: Definition, met: set[str]) -> bool:
    if not definition.requirements:
        return met == {d.id for d in definition.descriptors}
    return all(_meets(r, definition, met) for r in definition.requirements)


def _meets(requirement: Requirement, definition: Definition, met: set[str]) -> bool:
    if requirement.nested:
        count = sum(_meets(r, definition, met) for r in requirement.nested)
        every = len(requirement.nested)
    else:
        group = {d.id for d in definition.descriptors if requirement.group in d.groups}
        count, every = len(group & met), len(group)
    if requirement.least == ALL:
        return count == every
    return requirement.least <= count <= requirement.most
