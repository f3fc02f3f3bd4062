"""Our answer to an offer that came in another dialect: put on the sender's Task, or kept.

Source: exchange patterns §2.2 step 5, §3.2; pattern rule R18 (the whole Task, little changed).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import connection
from openldn.node.coordination.fulfilling import overtaken
from openldn.node.coordination.ledger import Act, Ended, Found, Ledger, Outcome
from openldn.node.coordination.model import Answer, Change, Kept, Standing
from openldn.node.dialects.calls import At, Served, failure
from openldn.node.dialects.losing import Losing
from openldn.node.dialects.reading import Reading, Seen
from openldn.node.dialects.store import Spoken, Told
from openldn.node.outbox.model import Delivered, Message
from openldn.patterns.dialects.answers import said
from openldn.patterns.dialects.model import Carriage, Dialect, Loss
from openldn.patterns.dialects.states import Spoken as Statuses
from openldn.patterns.dialects.states import spoken
from openldn.patterns.moves import Actor
from openldn.patterns.notified_pull.model import Offer
from openldn.patterns.notified_pull.moving import move
from openldn.patterns.notified_pull.states import RECEIVED, REQUESTED

Deliver = Callable[[Message], Awaitable[Delivered]]

_TRIES = 5  # at most so often the sender may be ahead of us before we leave it for later
_DONE = frozenset({200, 201, 204})
_AHEAD = frozenset({409, 412})  # the Task is another meanwhile
_FINAL = frozenset({400, 403, 404, 405, 410, 413, 422})


@dataclass(frozen=True)
class Answering:
    """Answers for one organization; what came in the harmonized form goes to `inner`."""

    ledger: Ledger
    spoken: Spoken
    reading: Reading
    losing: Losing
    inner: Deliver

    async def deliver(self, message: Message) -> Delivered:
        """Let the sender have our answer, as far as its dialect can."""
        id_ = str(msgspec.json.decode(message.body, type=dict[str, str])["answer"])
        async with connection(self.ledger.pool) as db:
            answer = await self.ledger.answers.read(db, id_)
            told = await self.spoken.read(db, answer.handle) if answer else None
            kept = await self.ledger.offers.read(db, answer.handle) if answer else None
        if told is None:
            return await self.inner(message)
        if answer is None or kept is None or answer.standing is not Standing.WAITING:
            return Delivered()
        dialect = self.reading.speech.dialect(told.peer, told.wire)
        if lost := _no_return(dialect, answer):
            await self._ours(told, answer, lost)
            return Delivered()
        await self._told(told, answer, kept, dialect)
        return Delivered()

    async def _told(self, told: Told, answer: Answer, kept: Kept, dialect: Dialect) -> None:
        for _ in range(_TRIES):
            after = self._after(kept, answer)
            if after is None:
                await self.ledger.act(_ending(overtaken(answer, kept)))
                return
            words = spoken(dialect, kept.offer.state, after.state, Actor.FULFILLER)
            if not words.statuses:
                await self._ours(told, answer, words.losses)
                return
            seen = await self.reading.look(told)
            if seen.served is None or seen.at is None:
                lost = Loss("state", "there is no Task at the sender to answer on")
                await self._ours(told, answer, (*words.losses, lost))
                return
            if await self._put(told, answer, seen, after, words):
                return
            kept = await self.ledger.one(told.handle)
        text = "the Task changes faster than we can read it; it is tried again"
        raise LdnError(Issue.TRANSIENT, text)

    async def _put(
        self, told: Told, answer: Answer, seen: Seen, after: Offer, words: Statuses
    ) -> bool:
        """Whether that was the end of it; false when the sender was ahead and we followed."""
        dialect = self.reading.speech.dialect(told.peer, told.wire)
        before = await self.ledger.one(told.handle)
        if seen.status == words.statuses[-1]:  # an earlier try arrived
            await self._ours(told, answer, words.losses)
            return True
        if seen.status != dialect.statuses[before.offer.state] and seen.status != _agreed(before):
            await self.ledger.act(self.reading.follow(told, seen))
            return False
        assert seen.served is not None and seen.at is not None  # noqa: S101  (looked at above)
        served = seen.served
        for status in words.statuses:
            error, served = await self._changed(seen.at, served, after, status, dialect)
            if error is not None:
                return await self._refused(answer, error)
        await self._ours(told, answer, words.losses)
        return True

    async def _changed(
        self, at: At, served: Served, after: Offer, status: str, dialect: Dialect
    ) -> tuple[LdnError | None, Served]:
        put = said(served.resource, after, status, dialect)
        reply = await self.reading.calls.put(at, put, served.etag)
        if reply.status in _DONE:
            return None, Served(put, reply.headers.get("etag", ""))
        return failure(reply, "the sender"), served

    async def _refused(self, answer: Answer, error: LdnError) -> bool:
        if error.status in _AHEAD:
            return False
        if error.status not in _FINAL:
            raise error
        text = f"the sender does not take it: {error.message}"
        ended = Ended(answer.id, answer.handle, Standing.REFUSED, str(error.issue), text)
        await self.ledger.act(_ending(ended))
        return True

    def _after(self, kept: Kept, answer: Answer) -> Offer | None:
        """The offer as our answer would have it; None when the sender was first."""
        now = self.ledger.moment(kept.offer.changed)
        try:
            return move(kept.offer, answer.event, Actor.FULFILLER, now, answer.given)
        except LdnError:
            return None

    async def _ours(self, told: Told, answer: Answer, losses: Sequence[Loss]) -> None:
        """Our copy after our answer, and what of it the sender does not hear."""

        def decide(found: Found) -> Outcome:
            kept = found.one(answer.handle)
            after = self._after(kept, answer)
            if after is None:
                return Outcome(ended=(overtaken(answer, kept),))
            moved = replace(kept, offer=after)
            change = Change(moved, answer.event, Actor.FULFILLER, answer.doer, kept.offer.state)
            return Outcome((change,), ended=(Ended(answer.id, answer.handle, Standing.DONE),))

        await self.losing.note(told, losses)  # first, for who waits for the answer looks at it then
        await self.ledger.act(Act(decide, (answer.handle,)))


def _agreed(kept: Kept) -> str:
    """What else a Task may say that was told as it stands: a date that was agreed starts anew."""
    return REQUESTED if kept.offer.state == RECEIVED else ""


def _no_return(dialect: Dialect, answer: Answer) -> tuple[Loss, ...]:
    """Why the sender does not hear of it; empty where it does."""
    cell = dialect.steps[answer.event]
    untold = not dialect.returns or cell.carriage is Carriage.NOT_SENT
    return (Loss(f"step {answer.event}", cell.how),) if untold else ()


def _ending(end: Ended) -> Act:
    return Act(lambda _: Outcome(ended=(end,)))
