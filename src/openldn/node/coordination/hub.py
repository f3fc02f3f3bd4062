"""Who in this process waits for changes of offers, by whichever process they were made."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from openldn.base.errors import LdnError
from openldn.base.log import emit
from openldn.base.sql import Pool
from openldn.fhir.identifiers import Ura
from openldn.node.coordination.store.stirring import listen

_MOST = 1000  # changes that one slow listener may be behind; older ones are dropped
_PAUSE = 1.0  # seconds before listening anew


@dataclass
class Hub:
    """Passes on what is told of offers."""

    _queues: set[asyncio.Queue[tuple[str, int]]] = field(default_factory=set, repr=False)

    def hear(self, handle: str, version: int) -> None:
        """An offer changed, or what was waiting for it ended (version 0)."""
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait((handle, version))

    @contextmanager
    def listening(self) -> Iterator[asyncio.Queue[tuple[str, int]]]:
        """Everything that is told from now on, for as long as the block lasts."""
        queue: asyncio.Queue[tuple[str, int]] = asyncio.Queue(_MOST)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    async def next(
        self, heard: asyncio.Queue[tuple[str, int]], quiet: float
    ) -> tuple[str, int] | None:
        """What is told next, or None after this many seconds of silence."""
        try:
            async with asyncio.timeout(quiet):
                return await heard.get()
        except TimeoutError:
            return None

    async def run(self, pool: Pool, holder: Ura) -> None:
        """Hear of the changes of every process, until cancelled."""
        while True:
            try:
                await listen(pool, holder, self.hear)
            except LdnError as error:
                emit("waiting", part="offers", issue=str(error.issue), detail=error.detail)
            await asyncio.sleep(_PAUSE)
