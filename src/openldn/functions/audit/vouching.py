"""Vouching for a log: heads are signed each hour and each 10,000 events; proofs rest on them.

What is signed was examined first, so nothing that was tampered with is ever vouched for.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit
from openldn.base.sql import Connection, connection, moment, transaction
from openldn.functions.audit import merkle, store
from openldn.functions.audit.examine import Examination
from openldn.functions.audit.heads import HeadKey, Kept, TreeHead, read_head, text_of
from openldn.functions.audit.merkle import Grown, Peaks
from openldn.functions.audit.service import AuditLog
from openldn.functions.audit.verifying import PIECE

EVERY = timedelta(hours=1)
MOST = 10_000  # events between two heads
LOOK = 5.0  # seconds between two looks at whether a head is due
AGAIN = 60.0  # seconds after a failure


@dataclass
class Vouching:
    """Signs the heads of one log and proves events against them."""

    log: AuditLog
    key: HeadKey
    kept: Kept | None = None  # where heads are kept outside the database
    every: timedelta = EVERY
    most: int = MOST
    _signing: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @property
    def holder(self) -> str:
        """The number of the organization whose log it is."""
        return str(self.log.source.holder)

    async def run(self) -> None:
        """Write what waited and sign whenever a head is due, for as long as the node runs."""
        while True:
            await asyncio.sleep(LOOK if await self.once() else AGAIN)

    async def once(self) -> bool:
        """Whether both went well; what waited and cannot be read holds no head up."""
        well = True
        for work in (self.log.drain, self.sign_if_due):
            try:
                await work()
            except LdnError as error:
                emit("failed", issue=str(error.issue), detail=f"audit head: {error.message}")
                well = False
        return well

    async def sign_if_due(self) -> TreeHead | None:
        """A new head when an hour went by or 10,000 events came; else None."""
        async with connection(self.log.pool) as db:
            end = await store.head(db, self.holder)
            last = await self._last(db, 1 << 62)
        size, since = (last.size, last.signed) if last else (0, None)
        grown = (end.seq if end else 0) - size
        if grown >= self.most or (grown and self._late(since)):
            return await self.sign()
        return None

    def _late(self, since: datetime | None) -> bool:
        return since is None or self.log.clock() - since >= self.every

    async def sign(self) -> TreeHead:
        """Examine what came since the last head and vouch for it.

        Raises LdnError(conflict) that names the first event that does not fit; then nothing is
        signed.
        """
        async with self._signing:
            last, tree, before = await self._examined()
            if last is not None and last.size == tree.size:
                return last
            now = self.log.clock()
            head = self.key.head(self.holder, tree.size, tree.root, before, now)
            if self.kept is not None:
                self.kept.add(head)
            async with transaction(self.log.pool) as db:
                await store.add_tree_head(db, head, tree.tiles)
        return head

    async def _examined(self) -> tuple[TreeHead | None, Peaks, bytes]:
        """The last head, the tree as it is now, and the hash of the last event: all looked at."""
        async with moment(self.log.pool) as db:  # one moment, and nobody who writes has to wait
            last = await self._last(db, 1 << 62)
            tree, examination = await self._since(db, last)
            while lines := await store.lines_after(db, self.holder, examination.seq, PIECE):
                if not examination.take(lines):
                    break
            verdict = examination.end(await store.head(db, self.holder))
        if not verdict.intact:
            text = f"event {verdict.broken} does not fit: {verdict.reason}; nothing is signed"
            raise LdnError(Issue.CONFLICT, text, detail="audit.broken")
        return last, tree, examination.before

    async def _since(self, db: Connection, last: TreeHead | None) -> tuple[Peaks, Examination]:
        """The tree as the last head vouched for it, and the examination that goes on from there."""
        tree = await self.tree_at(db, last.size if last else 0)
        if last is not None and tree.root != last.root:
            text = f"the stored tree of {last.size} events is not the one that was signed"
            raise LdnError(Issue.CONFLICT, text, detail="audit.tree")
        examination = Examination(self.holder, self.log.key, tree=tree)
        if last is not None:
            examination.seq, examination.before = last.size, last.last
        return tree, examination

    async def tree_at(self, db: Connection, size: int) -> Peaks:
        """The tree over the first `size` events, from what is stored of it."""
        found = [await self.subtree(db, a, b) for a, b in merkle.peaks(size)]
        return Peaks(size, found)

    async def subtree(self, db: Connection, start: int, end: int) -> bytes:
        """The hash of the tree over these events.

        Raises LdnError(conflict) when a part of it is not stored.
        """
        level, width = merkle.tiles(start, end)
        if level == 0 and end - start > merkle.TILE:
            left, right = [await self.subtree(db, a, b) for a, b in merkle.halves(start, end)]
            return merkle.node(left, right)
        if level:
            found = await store.nodes(db, self.holder, level, start // width, end // width)
        else:
            found = [merkle.leaf(x) for x in await store.leaves(db, self.holder, start, end)]
        if len(found) != (end - start) // width:
            text = f"of the events {start + 1} to {end} not all are there"
            raise LdnError(Issue.CONFLICT, text, detail="audit.tree")
        return merkle.root(found)

    async def _last(self, db: Connection, at_most: int) -> TreeHead | None:
        jws = await store.last_tree_head(db, self.holder, at_most)
        return read_head(jws, self.key.public, self.holder) if jws else None

    async def heads(self) -> list[TreeHead]:
        """Every head, in the database and in the file, smallest first."""
        async with connection(self.log.pool) as db:
            told = await store.tree_heads(db, self.holder)
        public = self.key.public
        kept = self.kept.read(public, self.holder) if self.kept is not None else []
        found = [read_head(jws, public, self.holder) for jws in told] + kept
        return sorted(found, key=lambda head: head.size)

    async def prove(self, seq: int) -> Mapping[str, Any]:
        """That event `seq` is in the log, for whoever has the public key and nothing else.

        Raises LdnError: not-found when there is no such event, transient when no head vouches
        for it yet, conflict when what is stored does not lead to what was signed.
        """
        async with moment(self.log.pool) as db:
            lines = await store.lines_after(db, self.holder, seq - 1, 1, seq)
            if not lines:
                raise LdnError(Issue.NOT_FOUND, f"there is no event {seq} in this log")
            jws = await store.tree_head(db, self.holder, seq, 1 << 62)
            if not jws:
                text = f"no signed head vouches for event {seq} yet; within the hour one will"
                raise LdnError(Issue.TRANSIENT, text)
            head = read_head(jws, self.key.public, self.holder)
            ranges = merkle.inclusion(seq - 1, head.size)
            path = [await self.subtree(db, a, b) for a, b in ranges]
        line = lines[0]
        if not merkle.includes(line.hash, seq - 1, head.size, path, head.root):
            text = f"event {seq} does not lead to the head that was signed"
            raise LdnError(Issue.CONFLICT, text, detail="audit.tree")
        return {
            "seq": seq,
            "event": msgspec.Raw(line.body),
            "before": text_of(line.before),
            "path": [text_of(part) for part in path],
            "head": head.jws,
        }

    async def extends(self, old: int, size: int) -> Mapping[str, Any]:
        """That the head of `size` events only adds to the head of `old` ones.

        Raises LdnError: not-found when there is no such head, conflict when it does not.
        """
        async with moment(self.log.pool) as db:
            first, second = [await self._exactly(db, n) for n in (old, size)]
            ranges = merkle.consistency(old, size)
            path = [await self.subtree(db, a, b) for a, b in ranges]
        if not Grown(old, first.root, size, second.root).proven(path):
            text = f"the head of {size} events does not add to the head of {old}"
            raise LdnError(Issue.CONFLICT, text, detail="audit.tree")
        return {"heads": [first.jws, second.jws], "path": [text_of(part) for part in path]}

    async def _exactly(self, db: Connection, size: int) -> TreeHead:
        jws = await store.tree_head(db, self.holder, size, size)
        if not jws:
            raise LdnError(Issue.NOT_FOUND, f"there is no signed head of {size} events")
        return read_head(jws, self.key.public, self.holder)
