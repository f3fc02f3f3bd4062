"""A placer asks that work it asked for be stopped, and the fulfiller agrees or refuses.

The request is a Task of its own at the placer, told and answered as an offer is; once the
fulfiller agrees, the offer fails in the same transaction. Source: exchange patterns §2.5; R37.
"""

from dataclasses import dataclass, replace

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.base.sql import connection
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.fhir.model import Resource
from openldn.node.coordination.ledger import Act, Found, Ledger, Outcome, Read
from openldn.node.coordination.model import Change, Doer, Kept, Side, Stop, handle_of
from openldn.node.coordination.peers import Peers
from openldn.node.coordination.placing import Edit, seen_by, sent
from openldn.node.coordination.witness import stopped
from openldn.patterns.moves import Actor, Need
from openldn.patterns.notified_pull.changes import changed
from openldn.patterns.notified_pull.model import Given, Reason
from openldn.patterns.notified_pull.moving import move
from openldn.patterns.notified_pull.reading import code_of, moment
from openldn.patterns.notified_pull.states import FAIL
from openldn.patterns.notified_pull.stopping import (
    ABORT,
    CANCELLATION,
    cancellation,
    require_stoppable,
)

OPEN, AGREED = "requested", "accepted"
ASK, ALLOW, REFUSE, WITHDRAW = "request-cancel", "allow-cancel", "refuse-cancel", "keep"
ACTS = {ASK, ALLOW, REFUSE, WITHDRAW}
_ANSWERS = frozenset({"status", "statusReason"})  # what a fulfiller may change of it


@dataclass(frozen=True)
class Stopping:
    """The requests to stop of one organization."""

    ledger: Ledger
    peers: Peers

    async def of(self, handle: str) -> Stop | None:
        """The last request about this offer."""
        async with connection(self.ledger.pool) as db:
            return next(iter(await self.ledger.stops.last(db, [handle])), None)

    async def act(self, handle: str, event: str, given: Given, doer: Doer) -> None:
        """Ask, agree, refuse or withdraw the request.

        Raises LdnError: conflict unless work goes on or a request is open, business-rule without
        a reason, forbidden for the other side, and what the placer says or that it is away.
        """
        if event in {ALLOW, REFUSE}:
            await self._answer(handle, AGREED if event == ALLOW else "rejected", given, doer)
            return
        act = self._ask(handle, given, doer) if event == ASK else self._withdraw(handle)
        outcome = await self.ledger.act(act)
        kept = await self.ledger.one(handle)
        await self.ledger.log.record([stopped(kept, outcome.stops[0], doer)])

    def _ask(self, handle: str, given: Given, doer: Doer) -> Act:
        id_ = self.ledger.new_id()

        def decide(found: Found) -> Outcome:
            kept, reason = sent(found, handle), _worded(given)
            require_stoppable(kept.offer)
            before = found.stops.get(handle)
            if before is not None and before.state == OPEN:
                raise LdnError(Issue.CONFLICT, "this was asked already; wait for the answer")
            now = self.ledger.moment(kept.offer.changed)
            return Outcome(stops=(Stop(id_, handle, OPEN, 1, now, reason),))

        return Act(decide, (handle,), stops=True)

    def _withdraw(self, handle: str) -> Act:
        def decide(found: Found) -> Outcome:
            sent(found, handle)
            stop = _open(found.stops.get(handle))
            row = CANCELLATION.by_event(stop.state, "cancel", Actor.PLACER)
            return Outcome(stops=(self._next(stop, row.after),))

        return Act(decide, (handle,), stops=True)

    def _next(self, stop: Stop, state: str, answer: str = "") -> Stop:
        now = self.ledger.moment(stop.changed)
        return replace(stop, state=state, version=stop.version + 1, changed=now, answer=answer)

    async def seen(self, caller: Ura, id_: str) -> tuple[Kept, Stop] | None:
        """A request of ours for this fulfiller, with its offer."""
        async with connection(self.ledger.pool) as db:
            stop = await self.ledger.stops.read(db, id_)
            kept = await self.ledger.offers.read(db, stop.offer) if stop else None
        if stop is None or kept is None:
            return None
        return seen_by(caller, kept), stop

    def edit(self, stop: Stop, caller: Ura, version: int, edit: Edit, doer: Doer) -> Act:
        """What the fulfiller makes of a request of ours.

        The decision raises LdnError as `Placing.edit`.
        """

        def decide(found: Found) -> Outcome:
            kept = seen_by(caller, found.kept.get(stop.offer))
            now = found.stops.get(stop.offer)
            if now is None or now.id != stop.id or now.version != version:
                text = "the Task was changed meanwhile; read it again and decide anew"
                raise LdnError(Issue.CONFLICT, text, status=412)
            after = edit(task_of_stop(kept, now))
            return self._decided(kept, now, after, doer)

        return Act(decide, (stop.offer,), stops=True)

    def _decided(self, kept: Kept, stop: Stop, after: Resource, doer: Doer) -> Outcome:
        if other := set(changed(task_of_stop(kept, stop), after)) - _ANSWERS:
            where = f"Task.{min(other)}"
            raise LdnError(Issue.BUSINESS_RULE, f"{where} cannot be changed", where=where)
        state, answer = after["status"], after.get("statusReason", {}).get("text", "")
        row = CANCELLATION.between(stop.state, state, Actor.FULFILLER)
        if row.needs is Need.REASON and (not answer.strip() or answer == stop.reason):
            text = "say why the work goes on (statusReason.text)"
            raise LdnError(Issue.BUSINESS_RULE, text, where="Task.statusReason")
        answered = self._next(stop, state, answer if state != AGREED else "")
        if state != AGREED:
            return Outcome(stops=(answered,))
        now, why = self.ledger.moment(kept.offer.changed), Given(Reason(stop.reason))
        failed = move(kept.offer, FAIL, Actor.FULFILLER, now, why)
        change = Change(replace(kept, offer=failed), FAIL, Actor.FULFILLER, doer, kept.offer.state)
        return Outcome((change,), stops=(answered,))

    def heard(self, placer: Ura, task: Resource, seen: Read) -> Act:
        """A request that we were told of, as it stands at the placer; about an offer we know."""
        focus = task.get("focus", {}).get("reference", "").partition("Task/")[2]
        handle = handle_of(placer, focus)
        stop = stop_of(task, handle)

        def decide(found: Found) -> Outcome:
            kept, before = found.kept.get(handle), found.stops.get(handle)
            known = before is not None and (
                before.changed > stop.changed
                or (before.id == stop.id and before.version >= stop.version)
            )
            ours = kept is not None and kept.side is Side.RECEIVED and not known
            told = stop
            if before is not None and before.id == stop.id and before.reason != stop.reason:
                told = replace(stop, reason=before.reason, answer=stop.reason)
            return Outcome(read=(seen,), stops=(told,) if ours else ())

        return Act(decide, (handle,), stops=True)

    async def _answer(self, handle: str, state: str, given: Given, doer: Doer) -> None:
        kept = await self.ledger.one(handle)
        if kept.side is not Side.RECEIVED:
            text = "this offer was sent, not received; its fulfiller answers the request"
            raise LdnError(Issue.FORBIDDEN, text)
        stop = _open(await self.of(handle))
        wanted: list[Resource] = [{"op": "replace", "path": "/status", "value": state}]
        if state != AGREED:
            reason = {"text": _worded(given)}
            wanted.append({"op": "add", "path": "/statusReason", "value": reason})
        try:
            task = await self.peers.patch(kept.offer.placer, stop.id, stop.version, wanted)
        except LdnError as error:
            if error.status != 412:
                raise
            text = "the request was withdrawn or changed meanwhile; look at the offer again"
            raise LdnError(Issue.CONFLICT, text) from error
        await self.ledger.act(self.heard(kept.offer.placer, task, _nothing(kept, stop)))
        await self.ledger.log.record([stopped(kept, stop_of(task, handle), doer)])


def _nothing(kept: Kept, stop: Stop) -> Read:
    return Read(kept.offer.placer, stop.id, ())


def _open(stop: Stop | None) -> Stop:
    if stop is None or stop.state != OPEN:
        raise LdnError(Issue.CONFLICT, "nobody asks now that this work be stopped")
    return stop


def _worded(given: Given) -> str:
    if given.reason is None or not given.reason.text.strip():
        text = "this needs a reason in words; add it and send again"
        raise LdnError(Issue.BUSINESS_RULE, text, where="reason")
    return given.reason.text


def is_stop(task: Resource) -> bool:
    """Whether this Task asks that work be stopped."""
    return code_of(task.get("code"), (ABORT,)) == ABORT


def task_of_stop(kept: Kept, stop: Stop) -> Resource:
    """The Task of a request of ours."""
    about = replace(kept.offer, state="in-progress")
    task = cancellation(about, stop.id, stop.answer or stop.reason, stop.changed)
    stamped = {"versionId": str(stop.version)}
    changed_at = {"lastModified": instant(stop.changed)}
    return {**task, "meta": stamped, "status": stop.state, **changed_at}


def stop_of(task: Resource, handle: str) -> Stop:
    """The request in a checked Task about this offer; raises LdnError(business-rule)."""
    owner = task.get("owner", {}).get("identifier", {})
    at = task.get("lastModified") or task.get("authoredOn")
    if owner.get("system") != URA_SYSTEM or at is None:
        text = "a request to stop names its owner by URA and when it was made; the placer's turn"
        raise LdnError(Issue.BUSINESS_RULE, text, where="Task.owner")
    version = task.get("meta", {}).get("versionId", "0")
    number = int(version) if version.isdecimal() and len(version) < 10 else 0
    why = task.get("statusReason", {}).get("text", "")
    return Stop(task.get("id", ""), handle, task["status"], number, moment(at), why)
