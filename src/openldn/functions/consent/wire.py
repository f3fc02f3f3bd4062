"""The JSON of our own registry: questions, answers and choices, read strictly, written plainly."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Literal, TypeVar

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.consent.deciding import Among, Effect, well_formed
from openldn.functions.consent.model import (
    ANYTHING,
    TREATMENT_DATA,
    Answer,
    Choice,
    Decision,
    Delegation,
    Disclosure,
    Level,
    OpenAnswer,
    OpenQuestion,
    Origin,
    Provider,
    Target,
    User,
)
from openldn.functions.consent.persons import Chooser

MOST = 500  # choices of one person, providers in one question


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Base of what is read: an unknown field is an error."""


class ProviderWire(_Strict, frozen=True):
    kind: str
    ura: str = ""

    def read(self) -> Provider:
        return Provider(Ura.parse(self.ura) if self.ura else None, self.kind)


class UserWire(_Strict, frozen=True):
    id: str = ""
    role: str = ""

    def read(self) -> User:
        return User(self.id, self.role)


class DelegationWire(_Strict, frozen=True):
    registered_by: str
    role: str


class DisclosureWire(_Strict, frozen=True):
    patient: str
    holder: ProviderWire
    requester: ProviderWire
    user: UserWire
    exchange: str
    category: str = ""
    purpose: str = "TREAT"
    task: str = ""
    delegation: DelegationWire | None = None

    def read(self) -> Disclosure:
        """The question; raises LdnError(invalid) for a number that is none."""
        by = self.delegation
        return Disclosure(
            patient=Bsn.parse(self.patient),
            holder=self.holder.read(),
            requester=self.requester.read(),
            user=self.user.read(),
            exchange=self.exchange,
            category=self.category,
            purpose=self.purpose,
            task=self.task,
            delegation=Delegation(by.registered_by, by.role) if by else None,
        )


class OpenWire(_Strict, frozen=True):
    patient: str
    requester: ProviderWire
    user: UserWire
    category: str = TREATMENT_DATA
    exchange: str = ""
    holders: list[ProviderWire] = []

    def read(self) -> OpenQuestion:
        """The question; raises LdnError for a number that is none and for too many holders."""
        _few(self.holders)
        return OpenQuestion(
            Bsn.parse(self.patient),
            self.requester.read(),
            self.user.read(),
            self.category,
            self.exchange,
            tuple(h.read() for h in self.holders),
        )


class TargetWire(_Strict, frozen=True):
    level: Level = Level.ANY
    value: str = ""

    def read(self) -> Target:
        return Target(self.level, self.value)


class ChoiceWire(_Strict, frozen=True):
    decision: Literal["permit", "deny"]
    holder: TargetWire = TargetWire()
    user: TargetWire = TargetWire()
    context: TargetWire = TargetWire()
    resource: TargetWire = TargetWire()
    start: datetime | None = None
    end: datetime | None = None
    id: str = ""

    def read(self) -> Choice:
        """The choice; raises LdnError(business-rule) for one that points at nothing."""
        choice = Choice(
            self.id,
            Decision(self.decision),
            self.holder.read(),
            self.user.read(),
            self.context.read(),
            self.resource.read(),
            _aware(self.start),
            _aware(self.end),
        )
        if not well_formed(choice):
            text = "a choice points at something its side cannot point at; see the list of levels"
            raise LdnError(Issue.BUSINESS_RULE, text)
        return choice


class RecordWire(_Strict, frozen=True):
    patient: str
    born: date
    choices: list[ChoiceWire]
    by: Chooser = Chooser.SELF


class PatientWire(_Strict, frozen=True):
    patient: str


class ConfirmWire(_Strict, frozen=True):
    patient: str
    code: str


class PreviewWire(_Strict, frozen=True):
    choices: list[ChoiceWire]
    holders: list[ProviderWire]
    requesters: list[ProviderWire]
    category: str = TREATMENT_DATA

    def read(self) -> tuple[list[Choice], Among]:
        """The choices, and between whom their effects are asked."""
        if len(self.holders) * len(self.requesters) > 10_000:
            raise LdnError(Issue.TOO_LONG, "too many pairs at once; ask about fewer providers")
        holders = [p.read() for p in self.holders]
        among = Among(holders, [p.read() for p in self.requesters], self.category)
        return choices_of(self.choices), among


class AnswerWire(msgspec.Struct, frozen=True):
    decision: Decision
    id: str
    reason: str = ""


class OpenAnswerWire(msgspec.Struct, frozen=True):
    decision: Decision
    categories: list[str] = []
    holders: list[str] = []
    reason: str = ""


W = TypeVar("W")


def read(value: Mapping[str, Any], kind: type[W]) -> W:
    """`value` as this; raises LdnError(structure) that names the field and repeats no value."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        _, found, where = str(error).rpartition(" - at `")
        where = where.rstrip("`") if found else ""  # without a place it may repeat what was sent
        text = f"not as described in the reference of consent: look at {where or 'its fields'}"
        raise LdnError(Issue.STRUCTURE, text, where=where) from error


def choices_of(given: Sequence[ChoiceWire]) -> list[Choice]:
    """The choices; raises LdnError: too-long for too many, business-rule for one that is wrong."""
    _few(given)
    return [c.read() for c in given]


def _few(given: Sequence[object]) -> None:
    if len(given) > MOST:
        raise LdnError(Issue.TOO_LONG, f"at most {MOST} at once")


def _aware(moment: datetime | None) -> datetime | None:
    if moment is not None and moment.tzinfo is None:
        raise LdnError(Issue.INVALID, "a moment needs a time zone")
    try:
        return moment.astimezone(UTC) if moment else None
    except OverflowError as error:
        text = "a moment lies before the year 1 or after 9999; choose another"
        raise LdnError(Issue.INVALID, text) from error


def provider(given: Provider) -> dict[str, str]:
    """A care provider as JSON."""
    return {"ura": str(given.ura or ""), "kind": given.kind}


def disclosure(asked: Disclosure) -> bytes:
    """A closed question as JSON."""
    by = asked.delegation
    return dump(
        {
            "patient": asked.patient.value if asked.patient else "",
            "holder": provider(asked.holder),
            "requester": provider(asked.requester),
            "user": {"id": asked.user.id, "role": asked.user.role},
            "exchange": asked.exchange,
            "category": asked.category,
            "purpose": asked.purpose,
            "task": asked.task,
            "delegation": {"registered_by": by.registered_by, "role": by.role} if by else None,
        }
    )


def open_question(asked: OpenQuestion) -> bytes:
    """An open question as JSON."""
    return dump(
        {
            "patient": asked.patient.value,
            "requester": provider(asked.requester),
            "user": {"id": asked.user.id, "role": asked.user.role},
            "category": asked.category,
            "exchange": asked.exchange,
            "holders": [provider(h) for h in asked.holders],
        }
    )


def answer(given: Answer) -> dict[str, str]:
    """An answer as JSON."""
    told = {"decision": given.decision.value, "id": given.id, "reason": given.reason}
    return {**told, "at": instant(given.at)}


def open_answer(given: OpenAnswer) -> dict[str, Any]:
    """An answer to an open question as JSON."""
    return {
        "decision": given.decision.value,
        "categories": list(given.categories),
        "holders": [str(h) for h in given.holders],
        "reason": given.reason,
        "at": instant(given.at),
    }


def choice(given: Choice) -> dict[str, Any]:
    """A choice as JSON; sides that point at nothing in particular are left out."""
    sides = {side: getattr(given, side) for side in ("holder", "user", "context", "resource")}
    pointed = {
        side: {"level": t.level.value, "value": t.value}
        for side, t in sides.items()
        if t != ANYTHING
    }
    ends = {"start": given.start, "end": given.end}
    period = {name: instant(m) for name, m in ends.items() if m is not None}
    return {"id": given.id, "decision": given.decision.value, **pointed, **period}


def effect(given: Effect) -> dict[str, Any]:
    """An effect of choices as JSON."""
    return {
        "holder": provider(given.holder),
        "requester": provider(given.requester),
        "category": given.category,
        "decision": given.decision.value,
    }


def read_answer(body: bytes, at: datetime) -> Answer:
    """The answer of our registry; raises LdnError(structure) for anything else."""
    found = read(_object(body), AnswerWire)
    return Answer(found.decision, Origin.REGISTRY, found.id, at, found.reason)


def read_open_answer(body: bytes, at: datetime) -> OpenAnswer:
    """The answer to an open question; raises LdnError(structure | invalid) for anything else."""
    found = read(_object(body), OpenAnswerWire)
    holders = tuple(Ura.parse(h) for h in found.holders)
    categories = tuple(found.categories)
    return OpenAnswer(found.decision, Origin.REGISTRY, at, categories, holders, found.reason)


def stored(choices: Sequence[Choice]) -> bytes:
    """Choices as they are kept."""
    return dump([choice(c) for c in choices])


def kept(body: bytes) -> list[Choice]:
    """Choices as they were kept."""
    return [c.read() for c in msgspec.json.decode(body, type=list[ChoiceWire])]


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = parse(body)
    except LdnError as error:
        raise LdnError(Issue.STRUCTURE, "the answer is not JSON") from error
    if not isinstance(value, dict):
        raise LdnError(Issue.STRUCTURE, "the answer is not a JSON object")
    return value
