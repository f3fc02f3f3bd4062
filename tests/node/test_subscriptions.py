"""What a placer tells, caught up with after a gap, and heard of when nothing happens (§2.5, §5)."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Databases
from node.offer_network import Pair, call, pair
from node.small_network import CLINIC, HOSPITAL

from openldn.base.errors import Issue, LdnError
from openldn.base.http import Reply
from openldn.base.runtime import utc_now
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import Resource
from openldn.node.coordination.model import HEARTBEAT
from openldn.node.coordination.peers import NOTIFIED
from openldn.node.coordination.store import Subscription
from openldn.node.outbox.model import Message
from openldn.patterns.notified_pull import subscription as wire
from openldn.patterns.notified_pull.notification import Kind, read_notification


async def subscriptions(two: Pair) -> list[Subscription]:
    offering = two.placer.node.parts.offering
    return await offering.subscribing.every(CLINIC)


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(15):
        while not await true():
            await asyncio.sleep(0.02)


async def asked_for(two: Pair, **changed: Any) -> Resource:
    """The subscription that the clinic would make at the hospital."""
    known = await two.fulfiller.node.parts.directory.endpoint(CLINIC, NOTIFIED)
    fields = {"owner": CLINIC, "endpoint": known.url, "heartbeat": 3600, **changed}
    return wire.resource_of(wire.Subscription(**fields))


def told(reply: Reply) -> tuple[int, str]:
    return reply.status, msgspec.json.decode(reply.body)["issue"][0]["diagnostics"]


def test_r42_a_gap_in_the_numbers_is_caught_up_with_and_a_repeat_changes_nothing(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            placer, receiving = two.placer.node.parts.offering, two.fulfiller.node.parts.offering
            await two.arrived((await two.offer())["task"])
            [managed] = await subscriptions(two)
            lost = await unsent(two, 3)

            bundle = await placer.subscribing.events(managed, 4, 4)
            told = read_notification(bundle, kinds=frozenset({Kind.EVENTS}))
            event = msgspec.json.encode(bundle).replace(b"query-event", b"event-notification")
            for _ in range(2):
                await receiving.receiving.notified(HOSPITAL, msgspec.json.decode(event))
            assert [e.number for e in told.events] == [4]
            for task in lost:
                await two.arrived(task)
            feed = await receiving.receiving.feed(HOSPITAL, managed.id)
            assert feed and (feed.whole, feed.newest) == (4, 4)
            assert len(await two.fulfiller.received()) == 4

    asyncio.run(run())


async def unsent(two: Pair, count: int) -> list[str]:
    """The Tasks of offers whose notifications got lost on the way."""
    placer = two.placer.node.parts.offering
    ledger = placer.coordination.ledger
    outbox, ledger.outbox = ledger.outbox, Lost()
    try:
        return [(await two.offer())["task"] for _ in range(count)]
    finally:
        ledger.outbox = outbox


class Lost:
    """An outbox that loses everything."""

    async def enqueue(self, db: object, messages: object) -> None:
        """Nothing is kept."""

    async def heard(self, peer: Ura) -> None:
        """Nobody is waited for."""

    def wake(self) -> None:
        """Nothing is there."""


def test_r42_events_are_given_by_number_to_their_subscriber_alone(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            for _ in range(3):
                await two.arrived((await two.offer())["task"])
            [managed] = await subscriptions(two)
            clinic, place = two.fulfiller.node, f"/Subscription/{managed.id}"

            for query, numbers in {
                "": [1, 2, 3],
                "?eventsSinceNumber=2": [2, 3],
                "?eventsSinceNumber=2&eventsUntilNumber=2": [2],
                "?eventsSinceNumber=9": [],
            }.items():
                reply = await call(clinic, "GET", f"{place}/$events{query}")
                found = read_notification(
                    msgspec.json.decode(reply.body), kinds=frozenset({Kind.EVENTS})
                )
                assert [e.number for e in found.events] == numbers, query
                assert found.since == 3
            for query in ("?eventsSinceNumber=x", "?eventsSinceNumber=-1", "?since=1"):
                reply = await call(clinic, "GET", f"{place}/$events{query}")
                assert reply.status == 400, query
            status = msgspec.json.decode((await call(clinic, "GET", f"{place}/$status")).body)
            assert status["type"] == "searchset"
            whole = msgspec.json.decode((await call(clinic, "GET", place)).body)
            assert whole["channel"]["endpoint"].endswith("/notification")
            every = msgspec.json.decode((await call(clinic, "GET", "/Subscription")).body)
            assert [e["resource"] for e in every["entry"]] == [whole]
            for path in ("", "/$status", "/$events"):
                assert (await call(two.placer.node, "GET", f"{place}{path}")).status == 404

    asyncio.run(run())


def test_a_subscription_of_the_peers_own_is_tried_and_then_told_instead(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            await two.arrived((await two.offer())["task"])
            reply = await call(two.fulfiller.node, "POST", "/Subscription", await asked_for(two))
            made = msgspec.json.decode(reply.body)
            assert (reply.status, made["status"]) == (201, "requested")

            async def active() -> bool:
                return {s.managed: s.status for s in await subscriptions(two)} == {
                    True: "off",
                    False: "active",
                }

            await until(active)
            await two.arrived((await two.offer())["task"])
            numbers = {s.managed: s.number for s in await subscriptions(two)}
            assert numbers == {True: 1, False: 1}

            off = {**await asked_for(two), "id": made["id"], "status": "off"}
            reply = await call(two.fulfiller.node, "PUT", f"/Subscription/{made['id']}", off)
            assert reply.status == 200, reply.body
            assert {s.managed: s.status for s in await subscriptions(two)} == {
                True: "active",
                False: "off",
            }

    asyncio.run(run())


def test_r39_r43_r44_a_subscription_that_may_not_be_is_refused_and_leaves_evidence(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            clinic, good = two.fulfiller.node, await asked_for(two)
            elsewhere = await asked_for(two, endpoint="https://attacker.example/notification")
            others = await asked_for(two, owner=HOSPITAL)
            loose = msgspec.json.decode(dump(good).replace(b"owner:identifier", b"owner"))
            for resource, status, word in (
                (elsewhere, 422, "R44"),
                (others, 403, "own organization"),
                (loose, 422, "R39"),
            ):
                reply = await call(clinic, "POST", "/Subscription", resource)
                assert told(reply)[0] == status
                assert word in told(reply)[1]
            assert await subscriptions(two) == []
            reply = await call(clinic, "POST", "/Subscription", elsewhere)
            correlation = reply.headers["x-request-id"]
            assert len(await two.placer.node.events(correlation)) >= 1

            made = msgspec.json.decode((await call(clinic, "POST", "/Subscription", good)).body)
            place = f"/Subscription/{made['id']}"
            full = msgspec.json.decode(dump(good).replace(b"id-only", b"full-resource"))
            reply = await call(clinic, "PUT", place, {**full, "id": made["id"]})
            assert told(reply)[0] == 422 and "R43" in told(reply)[1]

            await two.arrived((await two.offer())["task"])
            managed = next(s for s in await subscriptions(two) if s.managed)
            mine = {**good, "id": managed.id}
            reply = await call(clinic, "PUT", f"/Subscription/{managed.id}", mine)
            assert reply.status == 403

    asyncio.run(run())


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


def test_a_silent_placer_is_heard_once_a_period_and_asked_after_two(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            placer, ours = two.placer.node.parts.offering, two.fulfiller.node.parts.offering
            clock = Clock()
            placer.subscribing.ledger.clock = clock
            ours.subscribing.ledger.clock = clock
            await two.arrived((await two.offer())["task"])
            assert await ours.subscribing.listen() == 0
            [managed] = await subscriptions(two)

            async def feed() -> Any:
                return await ours.receiving.feed(HOSPITAL, managed.id)

            async def promised() -> bool:
                return bool((await feed()).heartbeat == 86_400)

            await until(promised)
            assert await placer.subscribing.beat() == 0
            before = (await feed()).alive
            clock.ahead = timedelta(hours=25)
            assert await placer.subscribing.beat() == 1
            assert await placer.subscribing.beat() == 0

            async def heard() -> bool:
                return bool((await feed()).alive > before)

            await until(heard)
            assert (await feed()).newest == 1
            clock.ahead = timedelta(hours=25 + 49)
            assert await ours.subscribing.listen() == 1

    asyncio.run(run())


def test_an_old_heartbeat_is_not_told_and_nobody_reads_the_subscription_of_another(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki) as two:
            await two.arrived((await two.offer())["task"])
            subscribing = two.placer.node.parts.offering.subscribing
            [managed] = await subscriptions(two)
            body = msgspec.json.encode({"subscription": managed.id})
            long_ago = utc_now() - timedelta(hours=25)
            old = Message("1", CLINIC, HEARTBEAT, "Subscription/1", body, long_ago)
            feeds = two.fulfiller.node.parts.offering.receiving

            before = await feeds.feed(HOSPITAL, managed.id)
            await subscribing.heartbeat(old)
            assert await feeds.feed(HOSPITAL, managed.id) == before
            await subscribing.heartbeat(replace(old, created=utc_now()))
            assert await feeds.feed(HOSPITAL, managed.id) != before
            with pytest.raises(LdnError) as caught:
                await subscribing.of(HOSPITAL, managed.id)
            assert caught.value.issue is Issue.NOT_FOUND

    asyncio.run(run())
