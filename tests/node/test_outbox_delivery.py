"""The outbox delivers in order, once written down, and tries again as agreed.

Verifies docs/explain/delivery.md; rule R17 (patterns §5).
"""

import asyncio

import pytest
from conftest import Databases
from node.outbox_cases import World, until, working, world

from openldn.base.sql import connection
from openldn.node.outbox.model import State


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
