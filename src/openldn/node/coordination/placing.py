"""The placer's side: what we offer, and all that may happen to it here.

Everything here is a decision on locked offers, without I/O; the ledger carries it out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import Resource
from openldn.node.coordination.fulfilling import require_current
from openldn.node.coordination.ledger import Act, Found, Outcome
from openldn.node.coordination.model import Change, Doer, Kept, Side
from openldn.patterns.moves import START, Actor
from openldn.patterns.notified_pull.changes import asked, require_changeable
from openldn.patterns.notified_pull.model import Given, Offer
from openldn.patterns.notified_pull.moving import move, reach, select
from openldn.patterns.notified_pull.profile import require
from openldn.patterns.notified_pull.states import OFFER, SELECT
from openldn.patterns.notified_pull.task import task_of

Moment = Callable[[datetime | None], datetime]  # the moment of a change after this one
Edit = Callable[[Resource], Resource]  # the Task as it stands -> as it is asked to be

_MOST_KEYS = 100  # of one offer that are remembered


@dataclass(frozen=True)
class Placing:
    """The acts of a placer."""

    moment: Moment

    def offer(self, fresh: Sequence[Kept], doer: Doer) -> Act:
        """These new offers, told to their fulfillers; those that were made before stay.

        The decision raises LdnError(conflict) when other offers have their ids.
        """

        def decide(found: Found) -> Outcome:
            if any(k.handle in found.kept for k in fresh):
                _require_same(fresh, found)
                return Outcome()
            changes = []
            for kept in fresh:
                made = move(kept.offer, OFFER, Actor.PLACER, self.moment(None))
                changes.append(Change(replace(kept, offer=made), OFFER, Actor.PLACER, doer, START))
            return Outcome(tuple(changes))

        return Act(decide, tuple(k.handle for k in fresh))

    def bring(self, handle: str, event: str, given: Given, doer: Doer) -> Act:
        """What we decide about an offer of ours."""

        def decide(found: Found) -> Outcome:
            kept = sent(found, handle)
            now = self.moment(kept.offer.changed)
            after = move(kept.offer, event, Actor.PLACER, now, given)
            return Outcome((_change(kept, after, event, Actor.PLACER, doer),))

        return Act(decide, (handle,))

    def choose(self, handle: str, family: str, doer: Doer) -> Act:
        """One candidate is selected and told for whom; the others end in the same transaction.

        Source: exchange patterns §2.5; R35, R36.
        """

        def decide(found: Found) -> Outcome:
            chosen, kept = sent(found, handle), found.family(family)
            now = self.moment(max(k.offer.changed for k in kept))
            patient = f"Patient/{chosen.subject}"
            after = select([k.offer for k in kept], handle, now, patient)
            return Outcome(
                tuple(
                    _change(k, offer, _event(k, offer), Actor.PLACER, doer)
                    for k, offer in zip(kept, after, strict=True)
                    if offer is not k.offer
                )
            )

        return Act(decide, (handle,), family)

    def edit(  # noqa: PLR0913  (one request)
        self, handle: str, caller: Ura, version: int, edit: Edit, doer: Doer, key: str = ""
    ) -> Act:
        """What another party makes of a Task of ours; nothing new where it did so by this key.

        The decision raises LdnError: not-found for who is no party to it, conflict with status
        412 for another version, business-rule for an element nobody may change, and what the
        table says. Source: R18, R19, R33; W01-W04.
        """

        def decide(found: Found) -> Outcome:
            kept = seen_by(caller, found.kept.get(handle))
            if key in kept.brought:
                return Outcome()
            if version != kept.offer.version:
                text = "the Task was changed meanwhile; read it again and decide anew"
                raise LdnError(Issue.CONFLICT, text, status=412)
            before = task_of(kept.offer)
            after = edit(before)
            require_changeable(before, after)
            require(after)
            state, given = asked(after)
            now = self.moment(kept.offer.changed)
            event = kept.offer.moves.between(kept.offer.state, state, Actor.FULFILLER).event
            require_current(kept.offer, event, now)
            reached = reach(kept.offer, state, Actor.FULFILLER, now, given)
            if key:
                kept = replace(kept, brought=(*kept.brought, key)[-_MOST_KEYS:])
            return Outcome((_change(kept, reached, event, Actor.FULFILLER, doer),))

        return Act(decide, (handle,))


def _require_same(fresh: Sequence[Kept], found: Found) -> None:
    for kept in fresh:
        made = found.kept.get(kept.handle)
        if made is None or _wished(made) != _wished(kept):
            text = "this key was used for another offer; take a new one"
            raise LdnError(Issue.CONFLICT, text, where="key")


def _wished(kept: Kept) -> tuple[object, ...]:
    offer = kept.offer
    about = (offer.exchange, offer.use_case, offer.queries, offer.resources)
    return (*about, offer.fulfiller, offer.table, kept.patient)


def seen_by(caller: Ura, kept: Kept | None) -> Kept:
    """The offer, for its fulfiller; raises LdnError(not-found) for everyone else."""
    if kept is None or kept.side is not Side.SENT or kept.offer.fulfiller != caller:
        text = "there is no Task with this id for your organization; check the id"
        raise LdnError(Issue.NOT_FOUND, text)
    return kept


def sent(found: Found, handle: str) -> Kept:
    """The offer that we sent; raises LdnError: not-found, forbidden for one we received."""
    kept = found.one(handle)
    if kept.side is not Side.SENT:
        text = "this offer was received, not sent; its placer decides about that"
        raise LdnError(Issue.FORBIDDEN, text)
    return kept


def _event(kept: Kept, after: Offer) -> str:
    return SELECT if after.patient != kept.offer.patient else "cancel"


def _change(kept: Kept, after: Offer, event: str, actor: Actor, doer: Doer) -> Change:
    return Change(replace(kept, offer=after), event, actor, doer, kept.offer.state)
