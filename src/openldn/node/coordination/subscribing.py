"""Subscriptions of others to what we offer them, and letting ourselves be heard.

A peer that made none has one from us, so that a first offer needs no handshake; once it makes one
of its own, that is told instead. Source: exchange patterns §2.5, §3.1, §5; R39-R44.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit
from openldn.base.sql import connection, transaction
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import Resource
from openldn.node.coordination.ledger import Ledger
from openldn.node.coordination.model import HANDSHAKE, HEARTBEAT, PERIOD, RESYNC
from openldn.node.coordination.peers import NOTIFIED, Peers
from openldn.node.coordination.store import Subscription
from openldn.node.outbox.model import Delivered, Kind, Message
from openldn.patterns.notified_pull import subscription as wire
from openldn.patterns.notified_pull.notification import MOST, Event, Notification, bundle_of
from openldn.patterns.notified_pull.notification import Kind as Told

_AT_ONCE = 500  # heartbeats of one look
_STATUSES = frozenset({"requested", "off"})  # what a subscriber may ask for
_DAY = 86_400  # seconds
_FINAL = frozenset({400, 403, 404, 409, 410, 413, 422})


@dataclass(frozen=True)
class Subscribing:
    """The subscriptions at one organization."""

    ledger: Ledger
    peers: Peers
    base: str  # our own R4 base (URL)

    def kinds(self) -> Mapping[str, Kind]:
        """How each kind of message about subscriptions is delivered."""
        rows = {HANDSHAKE: self.handshake, HEARTBEAT: self.heartbeat, PERIOD: self.period}
        return {name: Kind(deliver) for name, deliver in rows.items()}

    async def of(self, caller: Ura, id_: str) -> Subscription:
        """A subscription of the caller; raises LdnError(not-found) for any other."""
        async with connection(self.ledger.pool) as db:
            found = await self.ledger.events.read(db, id_)
        if found is None or found.peer != caller:
            text = "there is no Subscription with this id for your organization; check the id"
            raise LdnError(Issue.NOT_FOUND, text)
        return found

    async def every(self, caller: Ura) -> list[Subscription]:
        """All subscriptions of the caller."""
        async with connection(self.ledger.pool) as db:
            return await self.ledger.events.of(db, caller)

    async def resource(self, subscription: Subscription) -> Resource:
        """The R4 Subscription; one of ours goes to the address that the directory gives."""
        if subscription.endpoint:
            return resource_of(subscription)
        known = await self.peers.directory.endpoint(subscription.peer, NOTIFIED)
        return resource_of(replace(subscription, endpoint=known.url))

    async def create(self, caller: Ura, resource: Resource) -> Subscription:
        """A subscription as the caller asks for it, active once its handshake arrived.

        Raises LdnError: business-rule (R39, R44), forbidden for the Tasks of another owner.
        """
        asked = await self._asked(caller, resource)
        now = self.ledger.clock()
        made = Subscription(
            *(self.ledger.new_id(), caller, False, now, "requested", asked.endpoint),
            heartbeat=asked.heartbeat,
        )
        async with transaction(self.ledger.pool) as db:
            await self.ledger.events.add(db, made)
            await self.ledger.outbox.enqueue(db, [_message(made, HANDSHAKE, now)])
        self.ledger.outbox.wake()
        return made

    async def change(self, caller: Ura, id_: str, resource: Resource) -> Subscription:
        """The subscription with another address, period or status; of ours only to be read.

        Raises LdnError: not-found, business-rule (R39, R43, R44), forbidden.
        """
        before = await self.of(caller, id_)
        if before.managed:
            text = "this subscription was made by us; make one of your own to have it otherwise"
            raise LdnError(Issue.FORBIDDEN, text)
        wire.require_same_payload(resource_of(before), resource)
        asked = await self._asked(caller, resource)
        if asked.status not in _STATUSES | {before.status}:
            text = f"a subscriber may ask for {' or '.join(sorted(_STATUSES))}"
            raise LdnError(Issue.BUSINESS_RULE, text, where="Subscription.status")
        after = replace(
            before, endpoint=asked.endpoint, heartbeat=asked.heartbeat, status=asked.status
        )
        now = self.ledger.clock()
        async with transaction(self.ledger.pool) as db:
            await self.ledger.events.change(db, after)
            if after.status == "requested":
                message = _message(after, HANDSHAKE, now)
                await self.ledger.outbox.enqueue(db, [message])
            await self.ledger.events.hand_over(db, caller, "")
        self.ledger.outbox.wake()
        return after

    async def _asked(self, caller: Ura, resource: Resource) -> wire.Subscription:
        asked = wire.read_subscription(resource)
        if asked.owner != caller:
            text = "only the Tasks of your own organization can be subscribed to"
            raise LdnError(Issue.FORBIDDEN, text, where="Subscription.criteria")
        known = (await self.peers.directory.endpoint(caller, NOTIFIED)).url
        if asked.endpoint.rstrip("/") != known.rstrip("/"):
            text = "its endpoint is not the one of this organization in the directory (R44)"
            raise LdnError(
                Issue.BUSINESS_RULE,
                f"{text}; publish it there first",
                where="Subscription.channel.endpoint",
            )
        return asked

    def status(self, subscription: Subscription) -> Resource:
        """The answer to `$status`."""
        return bundle_of(self._told(subscription, Told.STATUS))

    async def events(self, subscription: Subscription, first: int, last: int) -> Resource:
        """The answer to `$events`: those with numbers from `first` to `last`, 100 at once."""
        async with connection(self.ledger.pool) as db:
            found = await self.ledger.events.between(db, subscription.id, first, last, MOST)
        events = tuple(Event(t.number, t.moment, f"{self.base}/Task/{t.handle}") for t in found)
        return bundle_of(replace(self._told(subscription, Told.EVENTS), events=events))

    def _told(self, subscription: Subscription, kind: Told) -> Notification:
        url, number = f"{self.base}/Subscription/{subscription.id}", subscription.number
        return Notification(kind, url, number, status=subscription.status)

    async def handshake(self, message: Message) -> Delivered:
        """Try the address of a new subscription; from then on it is told what happens."""
        subscription = await self._about(message)
        if subscription is None or subscription.status != "requested":
            return Delivered()
        try:
            told = self._told(replace(subscription, status="requested"), Told.HANDSHAKE)
            await self.peers.notify(message.peer, bundle_of(told))
        except LdnError as error:
            if error.status in _FINAL:
                async with transaction(self.ledger.pool) as db:
                    failed = replace(subscription, status="error", reason=error.message)
                    await self.ledger.events.change(db, failed)
            raise
        async with transaction(self.ledger.pool) as db:
            await self.ledger.events.hand_over(db, message.peer, subscription.id)
        return Delivered()

    async def heartbeat(self, message: Message) -> Delivered:
        """Let a subscriber hear that there is nothing new, unless that is old news itself."""
        subscription = await self._about(message)
        if subscription is None or subscription.status != "active":
            return Delivered()
        late = timedelta(seconds=subscription.heartbeat)
        if message.created + late < self.ledger.clock():
            return Delivered()  # the next one is due
        await self.peers.notify(message.peer, bundle_of(self._told(subscription, Told.HEARTBEAT)))
        return Delivered()

    async def period(self, message: Message) -> Delivered:
        """How often a placer promised to let itself be heard, as its Subscription says."""
        id_ = _id(message)
        try:
            resource = await self.peers.read(message.peer, "Subscription", id_)
            heartbeat = wire.read_subscription(resource).heartbeat
        except LdnError as error:
            if error.status not in _FINAL:
                raise
            heartbeat = _DAY  # it tells nobody
        async with transaction(self.ledger.pool) as db:
            await self.ledger.heard.promised(db, message.peer, id_, heartbeat)
        return Delivered()

    async def _about(self, message: Message) -> Subscription | None:
        async with connection(self.ledger.pool) as db:
            return await self.ledger.events.read(db, _id(message))

    async def beat(self) -> int:
        """Queue a heartbeat for each subscriber that heard nothing for its period; how many.

        Raises LdnError(transient) when the store is away.
        """
        now = self.ledger.clock()
        async with transaction(self.ledger.pool) as db:
            due = await self.ledger.events.silent(db, now, _AT_ONCE)
            messages = [_message(s, HEARTBEAT, now) for s in due]
            if messages:
                await self.ledger.outbox.enqueue(db, messages)
        self.ledger.outbox.wake()
        return len(due)

    async def listen(self) -> int:
        """Ask each placer that was silent for two periods what changed; how many were.

        Who never told its period is asked for it. Raises LdnError(transient). Source: §5.
        """
        now = self.ledger.clock()
        async with transaction(self.ledger.pool) as db:
            feeds = await self.ledger.heard.feeds(db)
            messages = [
                Message(
                    f"{PERIOD}-{f.placer}-{f.subscription}",
                    f.placer,
                    PERIOD,
                    f"Period/{f.subscription}",
                    _body(f.subscription),
                    now,
                )
                for f in feeds
                if f.heartbeat is None
            ]
            suspect = [f for f in feeds if f.suspect(now)]
            for feed in suspect:
                emit("silent", peer=str(feed.placer), since=feed.alive.isoformat())
                id_ = f"{RESYNC}-{feed.placer}-{feed.alive.isoformat()}"
                since = (feed.alive - timedelta(minutes=5)).isoformat(timespec="milliseconds")
                body = msgspec.json.encode({"since": since})
                messages.append(
                    Message(id_, feed.placer, RESYNC, f"Resync/{feed.placer}", body, now)
                )
            if messages:
                await self.ledger.outbox.enqueue(db, messages)
        self.ledger.outbox.wake()
        return len(suspect)


def resource_of(subscription: Subscription) -> Resource:
    """The R4 Subscription."""
    return wire.resource_of(
        wire.Subscription(
            subscription.peer,
            subscription.endpoint,
            subscription.heartbeat,
            subscription.id,
            subscription.status,
        )
    )


def _message(subscription: Subscription, kind: str, now: datetime) -> Message:
    subject = f"Subscription/{subscription.id}"
    id_ = f"{kind}-{subscription.id}-{now.isoformat()}"
    body = _body(subscription.id)
    return Message(id_, subscription.peer, kind, subject, body, now)


def _body(subscription: str) -> bytes:
    return msgspec.json.encode({"subscription": subscription})


def _id(message: Message) -> str:
    return str(msgspec.json.decode(message.body, type=dict[str, str])["subscription"])
