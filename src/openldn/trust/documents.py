"""Documents of other parties that trust rests on: fetched within bounds, kept, refreshed.

CRLs, OCSP answers, DID documents, status lists, key sets and metadata all come through here, so
that one set of rules holds: known hosts only, no redirects, a bound on size, nobody waits longer
than `patience`, and the last good copy serves until its bound.
"""

import asyncio
import contextlib
import hashlib
import math
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import Clock

T = TypeVar("T")
Read = Callable[[bytes, T | None], T]  # body, what the last good copy gave -> what it gives now
AGAIN = 5.0  # seconds between two fetches of what fails while its copy still serves
PATIENCE = 0.8  # seconds a request waits for a document; the fetch goes on behind it
DEADLINE = 10.0  # seconds for the fetch itself
LARGEST = 16 * 1024 * 1024  # bytes of one document; a national CRL is a few megabytes
_MOST = 5_000  # documents kept
_SET_RIGHT = 5.0  # seconds that a clock may be set back without a sign that it was wrong


@dataclass(frozen=True)
class Terms(Generic[T]):
    """How a document is read and how long it serves."""

    read: Read[T]  # raises LdnError for what must not replace the last good copy
    fresh: float  # seconds it is given without looking again
    stale: float  # seconds it may still serve when no new one comes; then we fail closed
    ends: Callable[[T], datetime | None] = lambda _: None  # its own end, which counts too


@dataclass
class _Kept:
    value: Any
    fetched: datetime
    ends: datetime | None
    tried: datetime
    failing: bool = False  # the last look did not give a new one


@dataclass
class Documents:
    """Documents by address. Who asks the same at the same time shares one fetch."""

    client: Callable[[str], HttpClient]  # the connection for an address
    allowed: Callable[[str], bool]  # whether we may fetch there at all
    clock: Clock
    patience: float = PATIENCE
    _kept: dict[str, _Kept] = field(default_factory=dict, repr=False)
    _fetching: dict[str, asyncio.Task[Any]] = field(default_factory=dict, repr=False)

    async def get(self, url: str, terms: Terms[T], ask: "Ask | None" = None) -> T:
        """What the document at `url` gives.

        A copy that is no longer fresh is given at once while it may serve, and renewed behind
        it. Raises LdnError: forbidden for an address we may not fetch, incomplete or timeout
        when there is no copy that may serve; the message names the host.
        """
        ask = ask or Ask()
        kept = self._kept.get(ask.key(url))
        if kept is not None:  # last in line to make room: a crowd must not drive out what is used
            self._kept[ask.key(url)] = self._kept.pop(ask.key(url))
        if kept is not None and self._age(kept) < terms.fresh and not self._ended(kept):
            return kept.value  # type: ignore[no-any-return]
        if kept is not None and self._serves(kept, terms):
            self._renew(kept, url, terms, ask)
            return kept.value  # type: ignore[no-any-return]
        task = self._shared(url, terms, ask)
        try:
            async with asyncio.timeout(self.patience):
                return await asyncio.shield(task)
        except TimeoutError as error:
            text = f"{_host(url)} did not answer in time; its operator's turn"
            raise LdnError(Issue.TIMEOUT, text, detail="document") from error

    async def refresh(self, url: str, terms: Terms[T], ask: "Ask | None" = None) -> T:
        """Fetch anew, whatever is kept; raises as `get` does. For background work."""
        return await asyncio.shield(self._shared(url, terms, ask or Ask()))

    def forget(self, url: str = "") -> None:
        """Drop the copy of one document, or of all."""
        self._kept.pop(url, None) if url else self._kept.clear()

    def kept(self) -> list[tuple[str, float, str]]:
        """Each copy: where it is from, its age in seconds, and its state.

        `fresh`; `serving` for as long as it may, though no new one could be had; or `ended`.
        """
        return [
            (key.partition("#")[0], self._age(k), self._state(k)) for key, k in self._kept.items()
        ]

    def _state(self, kept: _Kept) -> str:
        return "ended" if self._ended(kept) else "serving" if kept.failing else "fresh"

    def age(self, url: str) -> float | None:
        """Seconds since the copy of this document was fetched; None without one."""
        kept = self._kept.get(url)
        return self._age(kept) if kept else None

    async def close(self) -> None:
        """End what is still being fetched."""
        for task in list(self._fetching.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, LdnError):
                await task

    def _renew(self, kept: _Kept, url: str, terms: Terms[Any], ask: "Ask") -> None:
        """Fetch behind the copy that serves, but not with every request to a party that fails."""
        if age_of(kept.tried, self.clock()) >= AGAIN:
            kept.tried = self.clock()
            self._shared(url, terms, ask)

    def _serves(self, kept: _Kept, terms: Terms[Any]) -> bool:
        return self._age(kept) < terms.stale and not self._ended(kept)

    def _ended(self, kept: _Kept) -> bool:
        return kept.ends is not None and kept.ends <= self.clock()

    def _age(self, kept: _Kept) -> float:
        return age_of(kept.fetched, self.clock())

    def _shared(self, url: str, terms: Terms[T], ask: "Ask") -> asyncio.Task[T]:
        key = ask.key(url)
        task = self._fetching.get(key)
        if task is None:
            if not self.allowed(url):
                text = f"{_host(url)} is not a host we fetch from; add it to the settings if it is"
                raise LdnError(Issue.FORBIDDEN, text, detail="document: host")
            task = self._fetching[key] = asyncio.create_task(self._fetch(url, terms, ask))
            task.add_done_callback(lambda done: self._done(key, done))
        return task

    async def _fetch(self, url: str, terms: Terms[T], ask: "Ask") -> T:
        moment = self.clock()  # as old as the question, not as the answer
        reply = await ask.send(self.client(url), url)
        if reply.status != 200:
            text = f"{_host(url)} answers with status {reply.status}; its operator's turn"
            raise LdnError(Issue.INCOMPLETE, text, detail="document: status")
        if len(reply.body) > LARGEST:
            raise LdnError(Issue.TOO_LONG, "the document is too large", status=502)
        before = self._kept.get(ask.key(url))
        value = terms.read(reply.body, before.value if before else None)
        found = _Kept(value, moment, terms.ends(value), moment)
        if self._ended(found):
            text = f"{_host(url)} gives a document that has ended; its operator's turn"
            raise LdnError(Issue.INCOMPLETE, text, detail="document: ended")
        self._kept.pop(ask.key(url), None)
        while len(self._kept) >= _MOST:
            del self._kept[next(iter(self._kept))]
        self._kept[ask.key(url)] = found
        return value

    def _done(self, key: str, task: asyncio.Task[Any]) -> None:
        self._fetching.pop(key, None)
        if not task.cancelled() and task.exception():  # looked at: who waited may have left
            if kept := self._kept.get(key):
                kept.failing = True


@dataclass(frozen=True)
class Ask:
    """How a document is asked for: a GET, or a POST for OCSP."""

    method: str = "GET"
    body: bytes | None = field(default=None, repr=False)
    accept: str = "*/*"
    kind: str = ""  # content type of the body

    def key(self, url: str) -> str:
        """What the answer is kept under: another body is another question."""
        return f"{url}#{hashlib.sha256(self.body).hexdigest()}" if self.body else url

    def send(self, client: HttpClient, url: str) -> Awaitable[Reply]:
        """The call."""
        headers = {"accept": self.accept} | ({"content-type": self.kind} if self.kind else {})
        return client.send(self.method, url, headers=headers, body=self.body, deadline=DEADLINE)


def age_of(moment: datetime, now: datetime) -> float:
    """Seconds since this moment; without end for one that lies ahead, for then a clock was set.

    What would else stay fresh until the clock comes by again is so asked anew.
    """
    age = (now - moment).total_seconds()
    return age if age >= -_SET_RIGHT else math.inf


def hosts(names: Collection[str]) -> Callable[[str], bool]:
    """Whether an address is at one of these hosts ("crl.example", "127.0.0.1:8443").

    A name without a port stands for every port. Anything but http and https is refused.
    """
    known = {name.lower() for name in names}

    def allowed(url: str) -> bool:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return False
        host = (parts.hostname or "").lower()
        named = {host, f"{host}:{port}"} if port else {host}
        return parts.scheme in {"http", "https"} and "@" not in parts.netloc and bool(named & known)

    return allowed


def _host(url: str) -> str:
    with contextlib.suppress(ValueError):
        return urlsplit(url).hostname or "the address"
    return "the address"
