"""The outbox delivers in order, once written down, and tries again as agreed.

Verifies docs/explain/delivery.md; rule R17 (patterns §5).
"""

import asyncio
from typing import Any

import pytest
from conftest import Databases
from node.outbox_cases import AWAY, CLINIC, HOME, World, until, working, world

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import connection, transaction
from openldn.node.outbox.model import LARGEST, State
from openldn.node.outbox.store.operating import Wanted


async def states(found: World, *ids: str) -> list[State]:
    return [(await found.outbox.show(id)).state for id in ids]


async def leftovers(found: World) -> int:
    async with connection(found.pool) as db:
        count: int = await db.fetchval("SELECT count(*) FROM outbox_lane")
    return count


def test_what_is_put_is_delivered_in_order_and_its_body_forgotten(databases: Databases) -> None:
    async def story() -> None:
        async with world(databases) as found:
            await found.put(*(found.message(f"m{n}") for n in range(40)))

            await found.rest()

            assert found.peers.ids == [f"m{n}" for n in range(40)]
            shown = await found.outbox.show("m39")
            assert (shown.state, shown.size, shown.settled) == ("delivered", 0, found.time())
            assert await leftovers(found) == 0

    asyncio.run(story())


def test_a_message_goes_only_if_its_transaction_is_committed(databases: Databases) -> None:
    async def story() -> None:
        async with world(databases) as found:
            with pytest.raises(ZeroDivisionError):
                async with found.outbox.transaction() as db:
                    await found.outbox.enqueue(db, [found.message("m1")])
                    raise ZeroDivisionError
            async with found.outbox.transaction() as db:
                await found.outbox.enqueue(db, [found.message("m2")])

            await found.rest()

            assert found.peers.ids == ["m2"]

    asyncio.run(story())


def test_the_running_worker_is_woken_by_a_commit(databases: Databases) -> None:
    async def story() -> None:
        async with world(databases, poll=600.0) as found, working(found.delivering):
            await until(lambda: found.outbox.awake is not None)
            for n in range(5):
                await found.put(found.message(f"m{n}", subject=f"Task/{n}"))
                await until(lambda n=n: f"m{n}" in found.peers.ids)  # type: ignore[misc]

    asyncio.run(story())


def test_the_same_message_twice_is_one(databases: Databases) -> None:
    async def story() -> None:
        async with world(databases) as found:
            await found.put(found.message("m1"), found.message("m1"))
            await found.put(found.message("m1"), found.message("m2"))

            await found.rest()

            assert found.peers.ids == ["m1", "m2"]
            assert await leftovers(found) == 0

    asyncio.run(story())


def test_messages_of_one_subject_never_overtake_each_other(databases: Databases) -> None:
    async def story() -> None:
        async with world(databases) as found:
            found.peers.errors["m1"] = AWAY
            await found.put(*(found.message(f"m{n}") for n in range(3)))
            await found.put(found.message("other", subject="Task/2"))

            await found.rest()
            assert found.peers.ids == ["m0", "other"] or found.peers.ids == ["other", "m0"]
            del found.peers.errors["m1"]
            found.time.passes(1)
            await found.rest()

            assert [id for id in found.peers.ids if id != "other"] == ["m0", "m1", "m2"]

    asyncio.run(story())


def test_a_subject_keeps_the_order_in_which_transactions_were_committed(
    databases: Databases,
) -> None:
    async def story() -> None:
        async with world(databases) as found:

            async def second(begun: asyncio.Event) -> None:
                await begun.wait()
                await found.put(found.message("second"))

            begun = asyncio.Event()
            task = asyncio.create_task(second(begun))
            async with transaction(found.pool) as db:
                await found.outbox.enqueue(db, [found.message("first")])
                begun.set()
                await asyncio.sleep(0.05)  # the second waits for this transaction to end
                assert not task.done()
            await task

            await found.rest()

            assert found.peers.ids == ["first", "second"]

    asyncio.run(story())


def test_r17_a_message_is_tried_at_the_agreed_moments_for_a_day_and_then_given_up(
    databases: Databases,
) -> None:
    async def story() -> None:
        async with world(databases, chance=1.0, failures=10**6) as found:
            found.peers.errors["m1"] = AWAY
            await found.put(found.message("m1"), found.message("m2"))
            moments = []
            for _ in range(2 * 86_400):
                if await found.round():
                    moments.append((found.time() - found.message("-").created).total_seconds())
                    shown = await found.outbox.show("m1")
                    if shown.state is State.DEAD:
                        break
                    assert shown.due is not None
                    found.time.now = shown.due
            began = shown.created
            tries = [call for call in found.peers.calls if call[2] == "m1"]

            assert len(tries) == 10 + 96  # 1023 seconds of doubling, then each quarter of an hour
            assert (found.time() - began).total_seconds() == 1023 + 95 * 900
            assert shown.reason == "incomplete (500): the peer answers with status 500"
            assert (shown.attempts, shown.size) == (106, 2)
            await found.rest()
            assert found.peers.ids == ["m2"]  # what stands behind it gets its turn

    asyncio.run(story())


def test_r17_a_refused_message_is_given_up_and_those_behind_it_go_on(
    databases: Databases,
) -> None:
    async def story() -> None:
        async with world(databases) as found:
            found.peers.errors["m1"] = LdnError(Issue.BUSINESS_RULE, "refused", status=422)
            await found.put(*(found.message(f"m{n}") for n in range(4)))

            await found.rest()

            assert found.peers.ids == ["m0", "m2", "m3"]
            assert await states(found, "m0", "m1") == ["delivered", "dead"]
            counts = await found.outbox.counts()
            assert (counts.queued, counts.dead) == (0, 1)

    asyncio.run(story())


def test_r17_a_peer_that_is_throttling_is_left_alone_as_long_as_it_asks(
    databases: Databases,
) -> None:
    async def story() -> None:
        async with world(databases, at_once=1) as found:
            found.peers.errors[CLINIC.value] = LdnError(Issue.THROTTLED, "slower", after=120)
            await found.put(*(found.message(f"m{n}", subject=f"Task/{n}") for n in range(9)))
            await found.put(found.message("home", HOME))

            await found.rest()
            assert len(found.peers.calls) == 2  # one at each
            found.peers.errors.clear()
            found.time.passes(119)
            assert await found.rest() == 0
            found.time.passes(1)
            await found.rest()

            assert len(found.peers.ids) == 10

    asyncio.run(story())


def test_after_failures_in_a_row_one_message_at_a_time_is_tried_until_one_arrives(
    databases: Databases,
) -> None:
    async def story() -> None:
        async with world(databases, failures=5, at_once=1) as found:
            found.peers.errors[CLINIC.value] = AWAY
            await found.put(*(found.message(f"m{n}", subject=f"Task/{n}") for n in range(50)))
            await found.put(*(found.message(f"h{n}", HOME, f"Task/{n}") for n in range(50)))

            await found.rest()
            assert sum(peer == CLINIC.value for peer, _, _ in found.peers.calls) == 5
            assert len(found.peers.ids) == 50  # the other peer notices nothing
            [clinic, _] = await found.outbox.peers()
            assert (clinic.failures, clinic.queued) == (5, 50)
            assert clinic.retry is not None and clinic.retry > found.time()

            for _ in range(3):
                found.time.now = (await found.outbox.peers())[0].retry  # type: ignore[assignment]
                before = len(found.peers.calls)
                await found.rest()
                assert len(found.peers.calls) == before + 1  # half open: a probe

            found.peers.errors.clear()
            found.time.now = (await found.outbox.peers())[0].retry  # type: ignore[assignment]
            await found.rest()
            assert len(found.peers.ids) == 100  # all that waits goes at once, whatever its pause
            assert [p.failures for p in await found.outbox.peers()] == [0, 0]

    asyncio.run(story())


def test_a_peer_that_was_left_alone_and_speaks_to_us_has_all_at_once(
    databases: Databases,
) -> None:
    async def story() -> None:
        async with world(databases, failures=5, at_once=1) as found:
            found.peers.errors[CLINIC.value] = AWAY
            await found.put(*(found.message(f"m{n}", subject=f"Task/{n}") for n in range(50)))
            await found.rest()
            found.peers.errors.clear()
            await found.rest()
            assert found.peers.ids == []  # left alone

            await found.outbox.heard(CLINIC)
            await found.rest()
            assert len(found.peers.ids) == 50

    asyncio.run(story())


def test_a_peer_that_asked_for_a_pause_gets_it_though_it_speaks_to_us(
    databases: Databases,
) -> None:
    async def story() -> None:
        async with world(databases) as found:
            busy = LdnError(Issue.THROTTLED, "slow down", status=429, after=60.0)
            found.peers.errors[CLINIC.value] = busy
            await found.put(found.message("m1"))
            await found.rest()
            found.peers.errors.clear()
            await found.outbox.heard(CLINIC)
            await found.rest()
            assert found.peers.ids == []

    asyncio.run(story())


def test_a_peer_that_answers_errors_for_an_hour_is_not_stormed_and_has_all_soon_after(
    databases: Databases,
) -> None:
    async def story() -> None:
        async with world(databases) as found:
            found.peers.errors[CLINIC.value] = AWAY
            for n in range(60):  # an hour
                await found.put(*(found.message(f"m{n}-{k}", subject=f"Task/{n}") for k in (1, 2)))
                for _ in range(6):
                    found.time.passes(10)
                    await found.rest()
            assert len(found.peers.calls) < 150

            found.peers.errors.clear()
            waited = 0
            while len(found.peers.ids) < 120:
                found.time.passes(10)
                waited += 10
                await found.rest()

            assert waited <= 460  # an eighth of the hour
            assert len(set(found.peers.ids)) == 120
            for n in range(60):
                assert found.peers.ids.index(f"m{n}-1") < found.peers.ids.index(f"m{n}-2")

    asyncio.run(story())


def test_a_delivery_that_hangs_is_cut_off_and_tried_again(databases: Databases) -> None:
    async def story() -> None:
        async with world(databases, deadline=0.05) as found:
            found.peers.hold = lambda _: asyncio.sleep(600)
            await found.put(found.message("m1"))
            await found.round()
            shown = await found.outbox.show("m1")
            assert (shown.state, shown.attempts) == ("queued", 1)
            assert shown.reason.startswith("timeout (504)")

            found.peers.hold = None
            found.time.passes(1)
            await found.rest()
            assert found.peers.ids == ["m1"]

    asyncio.run(story())


def test_a_fault_in_the_code_of_a_kind_stops_nothing_else_and_tells_no_content(
    databases: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> str:
        async with world(databases) as found:
            found.peers.errors["m1"] = ZeroDivisionError("999911120")
            await found.put(found.message("m1", body=b"999911120"))
            await found.put(found.message("m2", subject="Task/2"))
            await found.rest()
            shown = await found.outbox.show("m1")
            assert found.peers.ids == ["m2"]
            return f"{shown} {found.message('m1', body=b'999911120')}"

    told = asyncio.run(story())

    assert "999911120" not in told + capsys.readouterr().out
    assert "exception (500)" in told


def test_a_kind_that_nobody_delivers_waits_for_who_does(databases: Databases) -> None:
    async def story() -> None:
        async with world(databases) as found:
            await found.put(found.message("m1", kind="later"))
            await found.put(found.message("m2", subject="Task/2"))
            for _ in range(8):
                await found.rest()
                found.time.passes(900)
            assert found.peers.ids == ["m2"]
            [clinic] = await found.outbox.peers()
            assert clinic.failures == 0

            found.outbox.kinds = {**found.outbox.kinds, "later": found.outbox.kinds["letter"]}
            await found.rest()
            assert found.peers.ids == ["m2", "m1"]

    asyncio.run(story())


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": ""},
        {"id": "a" * 201},
        {"subject": "a\x00b"},
        {"kind": "a\nb"},
        {"body": b"x" * (LARGEST + 1)},
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_written(
    databases: Databases, wrong: dict[str, Any]
) -> None:
    async def story() -> int:
        async with world(databases) as found:
            with pytest.raises(LdnError) as refused:
                await found.put(found.message("m1"), found.message(**{"id": "m2", **wrong}))
            assert refused.value.issue in {Issue.INVALID, Issue.TOO_LONG}
            return len(await found.outbox.find(Wanted(State.QUEUED)))

    assert asyncio.run(story()) == 0


def test_large_messages_are_taken_in_portions(databases: Databases) -> None:
    async def story() -> None:
        async with world(databases) as found:
            body = b"x" * LARGEST
            for n in range(10):
                await found.put(
                    *(found.message(f"m{n}-{k}", subject=f"{n}", body=body) for k in range(8))
                )
            await found.rest()
            assert len(found.peers.ids) == 64  # bytes in hand are bounded
            found.time.passes(1)
            await found.rest()
            assert len(set(found.peers.ids)) == 80

    asyncio.run(story())


def test_delivered_messages_are_forgotten_after_their_term_and_dead_ones_never(
    databases: Databases,
) -> None:
    async def story() -> None:
        async with world(databases, keep_days=7) as found:
            found.peers.errors["m1"] = LdnError(Issue.FORBIDDEN, "refused")
            await found.put(*(found.message(f"m{n}") for n in range(3)))
            await found.rest()
            found.time.passes(7 * 86_400)
            assert await found.outbox.retire() == 0
            found.time.passes(1)
            assert await found.outbox.retire() == 2
            assert [s.id for s in await found.outbox.find(Wanted(State.DEAD))] == ["m1"]

    asyncio.run(story())
