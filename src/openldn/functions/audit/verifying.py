"""Reading a whole log to see whether it is whole: two connections by turns keep both sides busy."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from openldn.base.sql import Connection, Pool, moment
from openldn.functions.audit import chain, store
from openldn.functions.audit.chain import Line
from openldn.functions.audit.examine import Examination
from openldn.functions.audit.heads import TreeHead
from openldn.functions.audit.model import Verdict

PIECE = 1000  # events recomputed at a time


@dataclass(frozen=True)
class Verification:
    """The log of one holder, to be recomputed with its key and against these heads."""

    pool: Pool
    holder: str
    key: bytes = field(repr=False)
    heads: Mapping[int, TreeHead]

    async def verdict(self) -> Verdict:
        """Whether the log is whole.

        Two connections do not see quite the same moment, and events that were kept long enough
        may be removed in between: so what does not fit is looked at once more by one alone.
        """
        async with moment(self.pool) as first, moment(self.pool) as second:
            found = await self._seen_by((first, second))
        if found.intact:
            return found
        async with moment(self.pool) as alone:
            return await self._seen_by((alone,))

    async def _seen_by(self, readers: tuple[Connection, ...]) -> Verdict:
        db, holder = readers[0], self.holder
        seq, before, sealed = await store.first_line(db, holder)
        if sealed is not None and sealed != chain.removal_seal(self.key, holder, seq, before):
            return Verdict(seq, seq + 1, "what was removed does not fit its seal")
        examination = Examination(holder, self.key, self.heads, seq, before)
        head = await store.head(db, holder)
        ahead = self._ahead(readers, seq, head.seq if head else seq)
        if await _looked_at(examination, ahead):
            await self._rest(examination, db)
        return examination.end(head)

    async def _ahead(
        self, readers: tuple[Connection, ...], start: int, end: int
    ) -> AsyncGenerator[list[Line], None]:
        """The lines up to `end` in pieces, the next ones asked before they are wanted."""
        coming: deque[asyncio.Task[list[Line]]] = deque()
        try:
            for number, first in enumerate(range(start, end, PIECE)):
                if len(coming) == len(readers):
                    yield await coming.popleft()
                db, last = readers[number % len(readers)], min(first + PIECE, end)
                asked = store.lines_after(db, self.holder, first, PIECE, last)
                coming.append(asyncio.create_task(asked))
            while coming:
                yield await coming.popleft()
        finally:
            if coming:
                await asyncio.wait(coming)

    async def _rest(self, examination: Examination, db: Connection) -> None:
        """Whatever stands behind the end that the head names: nothing, in a log that is whole."""
        while lines := await store.lines_after(db, self.holder, examination.seq, PIECE):
            if not await asyncio.to_thread(examination.take, lines):
                return


async def _looked_at(examination: Examination, ahead: AsyncGenerator[list[Line], None]) -> bool:
    """Whether all of them fit; while some are looked at, which lets others run, more come in."""
    looking: asyncio.Task[bool] | None = None
    try:
        async with aclosing(ahead) as pieces:
            async for lines in pieces:
                if looking is not None and not await looking:
                    return False
                looking = asyncio.create_task(asyncio.to_thread(examination.take, lines))
        return looking is None or await looking
    finally:
        if looking is not None:
            await asyncio.wait({looking})
