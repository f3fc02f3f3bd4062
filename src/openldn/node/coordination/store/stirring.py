"""Telling the other processes of this organization that an offer changed."""

import asyncio
from collections.abc import Callable, Sequence

from openldn.base.sql import Connection, Pool, connection, hearing
from openldn.fhir.identifiers import Ura

_CHANNEL = "openldn_offers"
Hear = Callable[[str, int], None]  # handle and version of an offer that changed


async def stir(db: Connection, holder: Ura, changed: Sequence[tuple[str, int]]) -> None:
    """Tell of these handles and versions once the transaction is committed."""
    told = [f"{holder}|{handle}|{version}" for handle, version in changed]
    if told:
        await db.execute("SELECT pg_notify($1, told) FROM unnest($2::text[]) told", _CHANNEL, told)


async def listen(pool: Pool, holder: Ura, hear: Hear) -> None:
    """Hear of every change by any process, until the connection breaks or it is cancelled."""
    broken = asyncio.Event()

    def told(db: object, process: int, channel: str, payload: object) -> None:
        whose, handle, version = str(payload).split("|")
        if whose == holder.value:
            hear(handle, int(version))

    async with connection(pool) as db:
        db.add_termination_listener(lambda _: broken.set())
        async with hearing(db, _CHANNEL, told):
            await broken.wait()
