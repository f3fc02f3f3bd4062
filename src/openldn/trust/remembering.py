"""Answers kept for a moment: one question at a time, and the old answer when no new one comes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.trust.documents import age_of

T = TypeVar("T")
_AWAY = frozenset(
    {Issue.INCOMPLETE, Issue.TIMEOUT, Issue.TRANSIENT, Issue.THROTTLED, Issue.EXCEPTION}
)
_MOST = 10_000  # answers kept at once


@dataclass
class Remembered(Generic[T]):
    """Answers by key. Callers who ask the same at the same time share one question."""

    clock: Clock
    fresh: float  # seconds an answer is given without asking again
    stale: float = 0.0  # seconds it may still serve while the other side is away
    _answers: dict[str, tuple[datetime, T]] = field(default_factory=dict, repr=False)
    _asking: dict[str, asyncio.Task[T]] = field(default_factory=dict, repr=False)

    async def get(self, key: str, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer; raises what `ask` raises when there is no answer that may still serve."""
        kept = self._answers.get(key)
        if kept is not None and self._age(kept) < self.fresh:
            return kept[1]
        try:
            return await asyncio.shield(self._shared(key, ask))
        except LdnError as error:
            if kept is not None and error.issue in _AWAY and self._age(kept) < self.stale:
                return kept[1]
            raise

    def forget(self) -> None:
        """Ask anew from now on."""
        self._answers.clear()

    def _age(self, kept: tuple[datetime, T]) -> float:
        return age_of(kept[0], self.clock())

    def _shared(self, key: str, ask: Callable[[], Awaitable[T]]) -> asyncio.Task[T]:
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._asked(key, ask))
            task.add_done_callback(lambda done: self._ended(key, done))
        return task

    async def _asked(self, key: str, ask: Callable[[], Awaitable[T]]) -> T:
        moment = self.clock()  # as old as the question, not as the answer
        answer = await ask()
        self._answers.pop(key, None)
        while len(self._answers) >= _MOST:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = (moment, answer)
        return answer

    def _ended(self, key: str, task: asyncio.Task[T]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # everyone who waited may have left
