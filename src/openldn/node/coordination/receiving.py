"""Being told: kept before the sender hears that we have it, each event once.

Addresses in a message are compared with those of the directory and never used.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.base.sql import Connection, Pool, connection, transaction
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import Resource
from openldn.node.coordination.ledger import Post
from openldn.node.coordination.model import CATCH_UP, READ, handle_of
from openldn.node.coordination.peers import Peers
from openldn.node.coordination.store import Heard, HeardEvent
from openldn.node.coordination.store.heard import Feed
from openldn.node.outbox.model import Message
from openldn.patterns.dialects.checks import bsns
from openldn.patterns.notified_pull.notification import (
    Kind,
    Notification,
    read_notification,
)

_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9.-]{1,64}")


@dataclass(frozen=True)
class Receiving:
    """What one organization is told by others."""

    pool: Pool
    heard: Heard
    outbox: Post
    peers: Peers
    clock: Clock

    async def notified(self, placer: Ura, bundle: Resource) -> Notification:
        """Keep what a placer tells; safe on disk when this returns.

        Raises LdnError: business-rule for what is no notification (R40, R41), for addresses that
        are not the placer's own, and where a BSN stands in it; not-found when it hosts no Tasks.
        """
        if where := next(bsns(bundle, "Bundle"), ""):
            text = "a BSN may not stand in a notification; the sender's turn"
            raise LdnError(Issue.BUSINESS_RULE, text, where=where)
        told = read_notification(bundle)
        base = (await self.peers.placer(placer)).url
        subscription = _below(told.subscription, base, "Subscription")
        events = [
            HeardEvent(placer, subscription, e.number, _below(e.focus, base, "Task"), e.at)
            for e in told.events
        ]
        async with transaction(self.pool) as db:
            await self._keep(db, placer, subscription, events, _known(told))
        self.outbox.wake()
        return told

    async def feed(self, placer: Ura, subscription: str) -> Feed | None:
        """Where we are with this subscription."""
        async with connection(self.pool) as db:
            return await self.heard.feed(db, placer, subscription)

    async def caught_up(self, placer: Ura, subscription: str, bundle: Resource) -> bool:
        """Keep the events of an answer to `$events`; false when it brought nothing further."""
        told = read_notification(bundle, kinds=frozenset({Kind.EVENTS}))
        base = (await self.peers.placer(placer)).url
        events = [
            HeardEvent(placer, subscription, e.number, _below(e.focus, base, "Task"), e.at)
            for e in told.events
        ]
        async with transaction(self.pool) as db:
            fresh = await self._keep(db, placer, subscription, events, _known(told))
        self.outbox.wake()
        return bool(fresh)

    async def _keep(
        self,
        db: Connection,
        placer: Ura,
        subscription: str,
        events: Sequence[HeardEvent],
        newest: int,
    ) -> list[HeardEvent]:
        fresh = await self.heard.add(db, events) if events else []
        now = self.clock()
        feed = await self.heard.advance(db, placer, subscription, newest, now)
        messages = list(self._readings(fresh))
        if feed.whole < feed.newest:
            body = msgspec.json.encode({"subscription": subscription})
            id_ = f"catch-up-{placer}-{subscription}-{feed.newest}"
            subject = f"Subscription/{placer}/{subscription}"
            messages.append(Message(id_, placer, CATCH_UP, subject, body, now))
        if messages:
            await self.outbox.enqueue(db, messages)
        return fresh

    def _readings(self, fresh: Iterable[HeardEvent]) -> Iterable[Message]:
        last = {(e.placer, e.task): e for e in fresh}  # one reading tells of all before it
        for event in last.values():
            body = msgspec.json.encode({"task": event.task})
            subject = f"Task/{handle_of(event.placer, event.task)}"
            id_ = f"read-{event.placer}-{event.subscription}-{event.number}"
            yield Message(id_, event.placer, READ, subject, body, self.clock())


def _known(told: Notification) -> int:
    return max([told.since, *(e.number for e in told.events)])


def _below(url: str, base: str, type_: str) -> str:
    """The id of a resource of this type at this base.

    Raises LdnError(business-rule) for any other address: a message sends us nowhere (R13).
    """
    start = f"{base}/{type_}/"
    id_ = url.removeprefix(start)
    if not url.startswith(start) or not _ID.fullmatch(id_):
        text = f"a {type_} is told at an address that is not the sender's own in the directory"
        raise LdnError(Issue.BUSINESS_RULE, f"{text}; the sender's turn (R13)", where="Bundle")
    if next(bsns({"text": id_}), ""):
        text = f"the id of a {type_} is the number of a person; ids mean nothing, the sender's turn"
        raise LdnError(Issue.BUSINESS_RULE, text, where="Bundle")
    return id_
