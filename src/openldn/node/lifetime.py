"""That a node runs, and keeps its log, as evidence; it waits on disk while the store is away.

Source: specification of audit events §8.6, rows node-started and audit-started.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from openldn.base.errors import LdnError
from openldn.base.log import emit
from openldn.base.runtime import Clock
from openldn.functions.audit.model import Event
from openldn.node.evidence import Log

_AGAIN = 6.0  # seconds; longer than work of ours takes to end in order


@asynccontextmanager
async def lifetime(log: Log, clock: Clock) -> AsyncIterator[None]:
    """Tells the beginning, and the end whatever ended it.

    Raises LdnError(transient) when neither store nor disk takes the beginning: a node that
    cannot keep evidence does not start.
    """
    await log.record([Event(code, clock()) for code in ("audit-started", "node-started")])
    try:
        yield
    finally:
        try:
            await log.record([Event(code, clock()) for code in ("node-stopped", "audit-stopped")])
        except LdnError as error:
            emit("failed", issue=str(error.issue), detail=f"end of the log: {error.detail}")


async def stop(task: asyncio.Task[None], again: float = _AGAIN) -> None:
    """End work that would else go on for ever; a word that got lost on the way is said again."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=again)
    with suppress(asyncio.CancelledError):
        task.result()
