"""Bulk loading: many resources by id, some hundreds per transaction, two transactions at once."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import datetime

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import Connection
from openldn.fhir.model import Resource
from openldn.fhir.records.bodies import is_id, is_type
from openldn.fhir.records.model import Place
from openldn.fhir.records.plan import Key
from openldn.fhir.records.store.rows import lock
from openldn.fhir.records.store.writing import Put, put

_BATCH = 400
_AT_ONCE = 2  # one transaction computes its keys while the other waits for the database

Resources = AsyncIterable[Resource] | Iterable[Resource]
Batch = dict[Key, Resource]
Running = dict[asyncio.Future[None], Batch]


async def load(resources: Resources, store: Callable[[Sequence[Resource]], Awaitable[None]]) -> int:
    """How many resources were handed to `store`, batch by batch; stops at the first failure."""
    count = 0
    running: Running = {}
    try:
        async for batch in _batches(resources):
            await _until_free(running, batch)
            running[asyncio.ensure_future(store(list(batch.values())))] = batch
            count += len(batch)
        while running:
            await _first(running)
    finally:
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
    return count


async def upsert(
    db: Connection, place: Place, resources: Sequence[Resource], now: datetime
) -> None:
    """Create or update these resources by their id; the caller holds the transaction."""
    keyed = {_key(r): r for r in resources}
    current = await lock(db, place, keyed)
    await put(db, place, [Put(key, r, current.get(key)) for key, r in keyed.items()], now)


async def _until_free(running: Running, batch: Batch) -> None:
    """Wait for room, and for every batch with an id of this one: the last of an id counts."""
    while len(running) >= _AT_ONCE or any(batch.keys() & b.keys() for b in running.values()):
        await _first(running)


async def _first(running: Running) -> None:
    """Wait until one is done; raises what it raised."""
    done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        del running[task]
    for task in done:
        await task


async def _batches(resources: Resources) -> AsyncIterator[Batch]:
    batch: Batch = {}
    async for resource in _each(resources):
        batch[_key(resource)] = resource
        if len(batch) >= _BATCH:
            yield batch
            batch = {}
    if batch:
        yield batch


async def _each(resources: Resources) -> AsyncIterator[Resource]:
    if isinstance(resources, AsyncIterable):
        async for resource in resources:
            yield resource
    else:
        for resource in resources:
            yield resource


def _key(resource: Resource) -> Key:
    type, id = resource.get("resourceType"), resource.get("id")
    if not is_type(type) or not is_id(id):
        text = "a resource to load needs its resourceType and an id; give it an id"
        raise LdnError(Issue.INVALID, text, where=type if isinstance(type, str) else "")
    return str(type), str(id)
