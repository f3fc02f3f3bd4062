"""Removing what was kept long enough: whole segments that were signed for, never one event.

What remains says that they were there: the hash of the last one, sealed, and the tree above them,
so that every head that was ever signed can still be checked.

Source: Staatscourant 2019-38007 (five years at least); specification of audit events §8.8 (G14).
"""

import asyncio
from datetime import datetime, timedelta

from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit
from openldn.base.sql import Connection, connection, transaction
from openldn.functions.audit import chain, store
from openldn.functions.audit.heads import read_head
from openldn.functions.audit.merkle import TILE
from openldn.functions.audit.vouching import Vouching

LEAST = timedelta(days=5 * 365 + 2)  # five years, two of them leap years
LOOK = 24 * 3600.0  # seconds between two looks at what is old


async def retire(vouching: Vouching, keep: timedelta) -> int:
    """How many events were removed: all before the last signed segment older than `keep`.

    Raises LdnError: invalid for less than five years, conflict when the log is not whole; then
    nothing is removed.
    """
    if keep < LEAST:
        text = f"an audit log is kept for five years at least ({LEAST.days} days)"
        raise LdnError(Issue.INVALID, text, where="audit_keep_days")
    log, cutoff = vouching.log, vouching.log.clock() - keep
    async with connection(log.pool) as db:
        before, _, _ = await store.first_line(db, vouching.holder)
        if await _segment(db, vouching, cutoff) <= before:
            return 0  # looking at the whole log is for when something is to be removed
    verdict = await log.verify(await vouching.heads())
    if not verdict.intact:
        text = f"event {verdict.broken} does not fit: {verdict.reason}; nothing is removed"
        raise LdnError(Issue.CONFLICT, text, detail="audit.broken")
    async with transaction(log.pool) as db:
        await store.locked_head(db, vouching.holder)
        before, _, _ = await store.first_line(db, vouching.holder)
        upto = await _segment(db, vouching, cutoff)
        if upto <= before:
            return 0  # another process was first
        [line] = await store.lines_after(db, vouching.holder, upto - 1, 1)
        sealed = chain.removal_seal(log.key, vouching.holder, upto, line.hash)
        await store.remove(db, vouching.holder, (upto, line.hash, sealed), log.clock())
    return upto - before


async def _segment(db: Connection, vouching: Vouching, cutoff: datetime) -> int:
    """The last event of the segments that are older than this and that a head vouches for."""
    young = await store.first_since(db, vouching.holder, cutoff)
    jws = await store.last_tree_head(db, vouching.holder, young - 1)
    if not jws:
        return 0
    head = read_head(jws, vouching.key.public, vouching.holder)
    return head.size // TILE * TILE


async def retire_forever(vouching: Vouching, keep: timedelta) -> None:
    """Remove each day what was kept long enough, for as long as the node runs."""
    while True:
        try:
            await retire(vouching, keep)
        except LdnError as error:
            emit("failed", issue=str(error.issue), detail=f"audit retention: {error.message}")
        await asyncio.sleep(LOOK)
