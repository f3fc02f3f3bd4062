"""Answers kept for a moment, forgotten at once when choices change, and looked at again and again.

A withdrawal takes effect within five seconds: an answer is used for three, who is at work looks
every second, and an answer that then does not come in time is no permission.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Bsn
from openldn.functions.consent.model import (
    Answer,
    Consents,
    Decision,
    Disclosure,
    Origin,
    unknown,
)

BOUND = 5.0  # seconds after which no permission is relied on, whatever happens
_MOST = 20_000  # answers kept
_AGAIN = 3  # times a question is asked anew because choices changed meanwhile

T = TypeVar("T")


def _age(at: datetime, now: datetime) -> float:
    """Seconds since then; without end when the clock was set back."""
    age = (now - at).total_seconds()
    return age if age >= 0 else float("inf")


@dataclass
class _Asking:
    task: asyncio.Task[Answer]
    stale: bool = False  # choices changed since it was asked


@dataclass
class Lasting:
    """Asks `inner`, and remembers what it said; implements `Consents` and `Invalidated`."""

    inner: Consents
    clock: Clock
    within: float = 3.0  # seconds an answer is used, counted from when it was asked
    _kept: dict[Bsn | None, dict[Disclosure, Answer]] = field(default_factory=dict, repr=False)
    _asking: dict[Disclosure, _Asking] = field(default_factory=dict, repr=False)
    _count: int = 0

    async def ask(self, disclosure: Disclosure) -> Answer:
        """The answer, at most `within` seconds old; who asks the same at once waits together."""
        kept = self._kept.get(disclosure.patient, {}).get(disclosure)
        if kept is not None and _age(kept.at, self.clock()) < self.within:
            return kept
        for _ in range(_AGAIN):
            asking = self._shared(disclosure)
            answer = await asyncio.shield(asking.task)
            if not asking.stale:
                return self._in_time(answer)
        return unknown(Origin.BASIS, self.clock(), "changing")

    def forget(self, patient: Bsn) -> None:
        """Use no answer about this patient that was asked before now."""
        self._count -= len(self._kept.pop(patient, {}))
        for disclosure in [d for d in self._asking if d.patient == patient]:
            self._asking.pop(disclosure).stale = True

    def forget_all(self) -> None:
        """Use no answer that was asked before now: notifications may have been missed."""
        self._kept.clear()
        self._count = 0
        for asking in self._asking.values():
            asking.stale = True
        self._asking.clear()

    def __len__(self) -> int:
        """How many answers are kept."""
        return self._count

    def _in_time(self, answer: Answer) -> Answer:
        late = _age(answer.at, self.clock()) > BOUND
        if late and answer.decision is Decision.PERMIT:
            return unknown(answer.origin, answer.at, "too-slow", answer.id)
        return answer

    def _shared(self, disclosure: Disclosure) -> _Asking:
        asking = self._asking.get(disclosure)
        if asking is None:
            task = asyncio.create_task(self.inner.ask(disclosure))
            asking = self._asking[disclosure] = _Asking(task)
            task.add_done_callback(lambda done: self._ended(disclosure, asking, done))
        return asking

    def _ended(self, disclosure: Disclosure, asking: _Asking, task: asyncio.Task[Answer]) -> None:
        if self._asking.get(disclosure) is asking:
            del self._asking[disclosure]
        if task.cancelled() or task.exception() or asking.stale:
            return
        answer = task.result()
        if answer.decision is not Decision.UNKNOWN:
            self._keep(disclosure, answer)

    def _keep(self, disclosure: Disclosure, answer: Answer) -> None:
        if self._count >= _MOST:
            self._drop_old()
        mine = self._kept.setdefault(disclosure.patient, {})
        self._count += disclosure not in mine
        mine[disclosure] = answer

    def _drop_old(self) -> None:
        """Drop what is too old to use; all of it when everything is fresh."""
        now = self.clock()
        for patient in list(self._kept):
            mine = self._kept[patient]
            fresh = {d: a for d, a in mine.items() if _age(a.at, now) < self.within}
            if fresh:
                self._kept[patient] = fresh
            else:
                del self._kept[patient]
        self._count = sum(len(mine) for mine in self._kept.values())
        if self._count >= _MOST:
            self._kept.clear()
            self._count = 0


def withdrawn(answer: Answer) -> LdnError:
    """What is said when a disclosure that was going on may no longer."""
    text = "the patient no longer consents, or it can no longer be seen; nothing more is given"
    return LdnError(Issue.FORBIDDEN, text, detail=f"consent.{answer.reason or 'withdrawn'}")


@dataclass
class Watch:
    """Watches over one disclosure that takes longer than a moment: a fan-out, a long answer."""

    consents: Consents  # such as `Lasting`, or what combines it with the holder's own consents
    disclosure: Disclosure
    clock: Clock
    every: float = 1.0  # seconds between two looks
    last: Answer | None = None  # the answer that let it begin, and then each newer one

    async def still(self) -> Answer:
        """The answer as it is now; UNKNOWN when it does not come before the last one is too old."""
        asked = self.clock()
        age = _age(self.last.at, asked) if self.last else 0.0
        try:
            async with asyncio.timeout(max(0.05, BOUND - age)):
                self.last = await self.consents.ask(self.disclosure)
        except TimeoutError:
            self.last = unknown(Origin.BASIS, asked, "too-slow")
        return self.last

    async def require(self) -> Answer:
        """The answer as it is now; raises LdnError(forbidden) when it permits no longer."""
        answer = await self.still()
        if not answer.permits:
            raise withdrawn(answer)
        return answer

    async def during(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, if it is permitted from begin to end.

        The work is cancelled, and LdnError(forbidden) raised, within five seconds after the
        patient withdrew. Raises what the work raises.
        """
        begun = False
        try:
            await self.require()
            begun = True
        finally:
            if not begun:
                work.close()
        return await self._watched(asyncio.create_task(work))

    async def _watched(self, task: asyncio.Task[T]) -> T:
        try:
            while True:
                done, _ = await asyncio.wait({task}, timeout=self.every)
                await self.require()  # also at the end: what was gathered is released only now
                if done:
                    return task.result()
        finally:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            elif not task.cancelled():
                task.exception()  # nobody else may look at it
