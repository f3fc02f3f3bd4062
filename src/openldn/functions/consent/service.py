"""Our own consent registry: choices of patients, questions of holders, and who hears of changes.

It stands in for Mitz. Source: generic functions §4; citizen access §7.
"""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.base.sql import Connection, Pool, connection, transaction
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.consent import store, wire
from openldn.functions.consent.deciding import Verdict, decide, fits, open_categories
from openldn.functions.consent.kinds import Kinds
from openldn.functions.consent.model import (
    NOTHING_RECORDED,
    UNEXPECTED,
    Answer,
    Choice,
    Decision,
    Disclosure,
    OpenAnswer,
    OpenQuestion,
    Origin,
    Provider,
    User,
    missing,
    unknown,
)
from openldn.functions.consent.notices import Change, notification
from openldn.functions.consent.persons import Chooser, standing, today
from openldn.functions.consent.sealing import Sealing
from openldn.functions.consent.subscribing import Subscribed

_TICK = timedelta(milliseconds=1)  # what an instant on the wire can tell apart
_CODE_LIVES = timedelta(days=14)  # a link code
_ATTEMPTS = 5  # wrong link codes before a new one is needed
_SIGNS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # of a link code: none that look alike
_HISTORY = 200  # versions told at most


def _nothing() -> None:
    """Nobody delivers: what must go out stays in the store."""


@dataclass(frozen=True)
class Chosen:
    """What somebody chose, in one version; `waits` for a parent with this `code`."""

    version: int
    choices: Sequence[Choice] = field(repr=False)
    recorded: datetime | None = None
    chooser: str = ""
    lapses: date | None = None
    waits: bool = False
    code: str = field(default="", repr=False)  # told once, to who chose


@dataclass(frozen=True)
class Recorded:
    """That choices were written, as evidence tells it: never which."""

    patient: Bsn = field(repr=False)
    by: Chooser  # whose choices they are
    id: str  # of the choices
    version: int
    withdrawn: bool  # what was permitted before is so no longer


Tell = Callable[[Recorded], Awaitable[None]]  # raises LdnError: then nothing is written


async def _nobody(recorded: Recorded) -> None:
    """Nobody is told."""


@dataclass
class Registry:
    """Choices of everybody, in one database."""

    pool: Pool
    clock: Clock
    new_id: NewId
    kinds: Kinds
    sealing: Sealing = field(repr=False)
    changed: Callable[[], None] = _nothing  # called when something must be delivered
    tell: Tell = _nobody

    async def prepare(self) -> None:
        """Bring the tables up to date."""
        await store.prepare(self.pool)

    async def ask(self, disclosure: Disclosure) -> Answer:
        """The answer by what the patient chose until now. Source: generic functions §4.5."""
        at = self.clock()
        if missing(disclosure) or disclosure.patient is None:
            return unknown(Origin.REGISTRY, at, UNEXPECTED)
        choices = await self._choices(disclosure.patient, at)
        return answered(decide(choices, fits(disclosure, self.kinds), at), Origin.REGISTRY, at)

    async def which(self, question: OpenQuestion) -> OpenAnswer:
        """Which categories of holder, and which of the holders named, may be asked."""
        at = self.clock()
        choices = await self._choices(question.patient, at)
        nobody = Provider(None, "")
        asked = _asked(question, nobody)
        holders = [
            holder.ura
            for holder in question.holders
            if holder.ura is not None and self._permits(choices, _asked(question, holder), at)
        ]
        categories = open_categories(choices, asked, self.kinds, at)
        decision = Decision.PERMIT if holders or categories else Decision.UNKNOWN
        why = "" if decision is Decision.PERMIT else NOTHING_RECORDED
        return OpenAnswer(decision, Origin.REGISTRY, at, categories, tuple(holders), why)

    def _permits(self, choices: Sequence[Choice], asked: Disclosure, at: datetime) -> bool:
        return decide(choices, fits(asked, self.kinds), at).decision is Decision.PERMIT

    async def chosen(self, patient: Bsn) -> Chosen:
        """What the patient chose; version 0 without choices."""
        key = self.sealing.digest(patient)
        async with connection(self.pool) as db:
            found = await store.current(db, key)
            waiting = await store.waiting(db, key)
        current = waiting is not None and waiting.expires > self.clock()
        return replace(_chosen(found), waits=current)

    async def history(self, patient: Bsn) -> list[Chosen]:
        """Every version, newest first (the last 200)."""
        async with connection(self.pool) as db:
            found = await store.versions(db, self.sealing.digest(patient), _HISTORY)
        return [_chosen(each) for each in found]

    async def record(
        self, patient: Bsn, born: date, by: Chooser, choices: Sequence[Choice], version: int
    ) -> Chosen:
        """Put these choices in the place of those of `version`; the same again is done once.

        Raises LdnError: conflict with status 412 when another version stands, forbidden when
        this person may not choose. For a child it waits for a parent, with a link code.
        """
        at, key = self.clock(), self.sealing.digest(patient)
        counts = standing(born, by, at)
        made = self._set(choices, by, counts.lapses, at)
        async with transaction(self.pool) as db:
            await store.one_at_a_time(db, key)
            before = await store.current(db, key)
            if before and _repeats(before, made, version) and not counts.waits:
                return _chosen(before)
            if (before.version if before else 0) != version:
                text = "the choices were changed meanwhile; read them again and choose anew"
                raise LdnError(Issue.CONFLICT, text, status=412)
            if counts.waits:
                return await self._wait(db, key, made, version)
            await store.wait_no_more(db, key)  # what a child chose before is no longer confirmed
            done = await self._add(db, patient, before, replace(made, version=version + 1))
        self.changed()
        return done

    async def confirm(self, patient: Bsn, code: str) -> Chosen:
        """Let what a child chose count, by the link code that the child gave a parent.

        Raises LdnError(forbidden), the same for whatever is wrong: nothing waits, another code,
        too old, tried too often.
        """
        at, key = self.clock(), self.sealing.digest(patient)
        async with transaction(self.pool) as db:
            await store.one_at_a_time(db, key)
            waiting = await store.waiting(db, key)
            usable = waiting and waiting.expires > at and waiting.attempts < _ATTEMPTS
            fits_ = waiting and hmac.compare_digest(waiting.code, self.sealing.code(_plain(code)))
            done = None
            if usable and fits_ and waiting:
                before = await store.current(db, key)
                following = (before.version if before else 0) + 1
                made = replace(waiting.choices, recorded=at, version=following)
                done = await self._add(db, patient, before, made)
                await store.wait_no_more(db, key)
            else:
                await store.tried(db, key)  # kept although we refuse
        if done is None:
            text = "the link code is not (or no longer) the one; let the child make a new one"
            raise LdnError(Issue.FORBIDDEN, text)
        self.changed()
        return done

    async def subscribe(self, wanted: Subscribed) -> str:
        """The id of the subscription; how things stand now is the first notification."""
        at, key = self.clock(), self.sealing.digest(wanted.patient)
        asked = store.Subscriber(
            self.new_id(),
            key,
            str(wanted.holder.ura or ""),
            wanted.holder.kind,
            wanted.endpoint,
            wanted.format.value,
            at,
        )
        async with transaction(self.pool) as db:
            await store.one_at_a_time(db, key)
            subscriber = replace(asked, id=await store.subscribe(db, asked))
            current = await store.current(db, key)
            changes = [Change(c) for c in _counting(current, at)]
            since = current.recorded if current else at
            await self._tell(db, wanted.patient, subscriber, changes, since)
        self.changed()
        return subscriber.id

    async def unsubscribe(self, holder: Ura, id: str) -> None:
        """End a subscription; raises LdnError(not-found) when this holder has none of this id."""
        async with transaction(self.pool) as db:
            if not await store.unsubscribe(db, str(holder), id):
                raise LdnError(Issue.NOT_FOUND, "there is no such subscription of yours")

    async def _choices(self, patient: Bsn, at: datetime) -> list[Choice]:
        async with connection(self.pool) as db:
            return _counting(await store.current(db, self.sealing.digest(patient)), at)

    def _set(
        self, choices: Sequence[Choice], by: Chooser, lapses: date | None, at: datetime
    ) -> store.ChoiceSet:
        id = self.new_id()
        named = [replace(c, id=f"{id}.{n}") for n, c in enumerate(choices, 1)]
        said = wire.stored([replace(c, id="") for c in choices])
        digest = hashlib.sha256(by.value.encode() + b"\x00" + said).digest()
        return store.ChoiceSet(id, at, by.value, lapses, digest, wire.stored(named))

    async def _wait(
        self, db: Connection, key: bytes, made: store.ChoiceSet, version: int
    ) -> Chosen:
        code = "".join(secrets.choice(_SIGNS) for _ in range(10))
        expires = made.recorded + _CODE_LIVES
        await store.wait(db, key, store.Waiting(made, self.sealing.code(code), expires))
        return Chosen(version, wire.kept(made.body), waits=True, code=f"{code[:5]}-{code[5:]}")

    async def _add(
        self, db: Connection, patient: Bsn, before: store.ChoiceSet | None, made: store.ChoiceSet
    ) -> Chosen:
        # later than the version before, whatever the clock does: subscribers keep the newest
        earliest = before.recorded + _TICK if before else made.recorded
        made = replace(made, recorded=max(made.recorded, earliest))
        key, at = self.sealing.digest(patient), made.recorded
        if not await store.add(db, key, made):
            raise LdnError(Issue.CONFLICT, "the choices were changed meanwhile", status=412)
        changes = _changes(_counting(before, at), _counting(made, at))
        for subscriber in await store.subscribers(db, key):
            await self._tell(db, patient, subscriber, changes, at)
        taken = _withdraws(before, made, at)
        await self.tell(Recorded(patient, Chooser(made.chooser), made.id, made.version, taken))
        return _chosen(made)

    async def _tell(
        self,
        db: Connection,
        patient: Bsn,
        subscriber: store.Subscriber,
        changes: Sequence[Change],
        at: datetime,
    ) -> None:
        holder = Provider(Ura.parse(subscriber.ura), subscriber.kind)
        theirs = [c for c in changes if self._concerns(c.choice, holder)]
        if not theirs:
            return
        body = dump(notification(patient, holder, theirs, at, self.new_id))
        sealed = self.sealing.close(body, subscriber.id.encode())
        await store.notify(db, subscriber.id, self.clock(), sealed)

    def _concerns(self, choice: Choice, holder: Provider) -> bool:
        """A holder hears what is about it, and nothing of what is about another."""
        asked = Disclosure(None, holder, Provider(None, ""), User("", ""), "")
        return choice.holder in fits(asked, self.kinds)["holder"]


def answered(verdict: Verdict, origin: Origin, at: datetime) -> Answer:
    """The verdict of choices as an answer."""
    reasons = {Decision.UNKNOWN: NOTHING_RECORDED, Decision.DENY: "objection"}
    id = verdict.choice.id if verdict.choice else ""
    return Answer(verdict.decision, origin, id, at, reasons.get(verdict.decision, ""))


def _asked(question: OpenQuestion, holder: Provider) -> Disclosure:
    return Disclosure(
        question.patient,
        holder,
        question.requester,
        question.user,
        question.exchange,
        question.category,
    )


def _counting(found: store.ChoiceSet | None, at: datetime) -> list[Choice]:
    """The choices that count: permissions of a parent end when the child may choose."""
    if found is None:
        return []
    choices = wire.kept(found.body)
    if found.lapses is None or today(at) < found.lapses:
        return choices
    return [c for c in choices if c.decision is Decision.DENY]


def _chosen(found: store.ChoiceSet | None) -> Chosen:
    if found is None:
        return Chosen(0, [])
    choices = wire.kept(found.body)
    return Chosen(found.version, choices, found.recorded, found.chooser, found.lapses)


def _repeats(before: store.ChoiceSet, made: store.ChoiceSet, version: int) -> bool:
    """Whether this is what was sent last time: the answer to it got lost."""
    return before.version == version + 1 and before.digest == made.digest


def _changes(before: Sequence[Choice], after: Sequence[Choice]) -> list[Change]:
    """What is new or different, and what was taken back."""
    now, old = _by_sides(after), _by_sides(before)
    gone = [Change(c, gone=True) for sides, c in old.items() if sides not in now]
    return [Change(c) for sides, c in now.items() if _said(old.get(sides)) != _said(c)] + gone


def _withdraws(before: store.ChoiceSet | None, made: store.ChoiceSet, at: datetime) -> bool:
    """Whether something that was permitted no longer is, or is no longer so for as long."""
    now = {(_sides(c), _said(c)) for c in _counting(made, at)}
    old = [c for c in _counting(before, at) if c.decision is Decision.PERMIT]
    return any((_sides(c), _said(c)) not in now for c in old)


def _by_sides(choices: Sequence[Choice]) -> dict[tuple[object, ...], Choice]:
    """One choice per thing that can be chosen; where two are, the objection."""
    return {_sides(c): c for c in sorted(choices, key=lambda c: c.decision is Decision.DENY)}


def _sides(choice: Choice) -> tuple[object, ...]:
    return (choice.holder, choice.user, choice.context, choice.resource)


def _said(choice: Choice | None) -> tuple[object, ...]:
    return (choice.decision, choice.start, choice.end) if choice else ()


def _plain(code: str) -> str:
    return "".join(sign for sign in code.upper() if sign.isalnum())[:32]
