"""Writes of many callers in one go: each waits for its own outcome only."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from openldn.base.errors import Issue, LdnError

MOST = 256  # writes in one go

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Gathering(Generic[Item, Result]):
    """What is put while one write is under way goes together in the next, without a pause.

    `write` is all or none, and gives the outcomes in the order of what it was given. Who put
    something has its outcome only once it is written. A caller that is cancelled takes nothing
    from the others; what it put may be written all the same.
    """

    write: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]
    most: int = MOST
    _waiting: list[tuple[Item, asyncio.Future[Result]]] = field(default_factory=list, repr=False)
    writing: asyncio.Task[None] | None = field(default=None, repr=False)  # while it lasts

    async def put(self, item: Item) -> Result:
        """Have it written; raises what the write raises."""
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self.writing is None:
            self.writing = asyncio.create_task(self._write_all())
            self.writing.add_done_callback(self._unbegun)
        return await done

    async def _write_all(self) -> None:
        group: list[tuple[Item, asyncio.Future[Result]]] = []
        try:
            while self._waiting:
                group, self._waiting = self._waiting[: self.most], self._waiting[self.most :]
                await self._write(group)
        finally:
            self._release(group)

    def _unbegun(self, writing: asyncio.Task[None]) -> None:
        if self.writing is writing:  # cancelled before it took its first step
            self._release([])

    def _release(self, group: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        """Nobody may wait for ever; who has an outcome keeps it."""
        for _, done in (*group, *self._waiting):
            done.cancel()
        self._waiting, self.writing = [], None

    async def _write(self, group: Sequence[tuple[Item, asyncio.Future[Result]]]) -> None:
        write = self.write([item for item, _ in group])
        (outcome,) = await asyncio.gather(write, return_exceptions=True)
        if not isinstance(outcome, BaseException):
            for (_, done), result in zip(group, outcome, strict=True):
                _tell(done, result)
        elif len(group) > 1 and _of_one_item(outcome):
            for one in group:
                await self._write([one])
        elif isinstance(outcome, Exception):
            for _, done in group:
                _tell(done, outcome)
        else:
            raise outcome  # the write itself was cancelled


def _of_one_item(error: BaseException) -> bool:
    """The store is there but one of the items cannot be kept: only its caller is told."""
    if isinstance(error, LdnError):
        return error.issue is Issue.INVALID
    return isinstance(error, Exception)


def _tell(done: asyncio.Future[Result], outcome: Result | Exception) -> None:
    if done.done():
        return
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)
