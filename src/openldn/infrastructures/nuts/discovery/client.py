"""A copy of a discovery list, kept up to date and believed only entry by entry."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.log import emit
from openldn.base.runtime import Clock
from openldn.infrastructures.nuts.discovery.model import (
    Discovery,
    Listing,
    Registration,
    Verify,
    registration,
    wildcard,
)
from openldn.infrastructures.nuts.discovery.store import DiscoveryStore
from openldn.trust.trail import Trail

_MOST = 5_000  # entries of one answer that we look at
_ROUNDS = 1_000  # pieces of one list


class _Answer(msgspec.Struct, frozen=True):
    seed: str
    timestamp: int
    entries: dict[str, str] = {}


@dataclass(frozen=True)
class DiscoveryClient:
    """Our copy of one list."""

    service: Discovery
    store: DiscoveryStore
    http: HttpClient
    verify: Verify
    clock: Clock
    deadline: float = 10.0  # seconds for one call

    async def register(self, presentation: str) -> None:
        """Register or retract at the operator; raises LdnError: forbidden when it refuses."""
        reply = await self.http.send(
            "POST",
            self.service.endpoint,
            headers={"content-type": "application/jwt"},
            body=presentation.encode("ascii"),
            deadline=self.deadline,
        )
        if reply.status == 400:
            text = "the discovery service refuses the registration; check the credentials"
            raise LdnError(Issue.FORBIDDEN, text, detail="discovery: 400")
        if reply.status != 201:
            raise _unusable(f"status {reply.status}")

    async def update(self) -> int:
        """Follow the list to its end; how many entries were new. Source: RFC022 §4.

        An entry that does not pass our own checks is left out, not the others. A new seed
        means that the list began anew: so does the copy. Raises LdnError: incomplete, timeout.
        """
        count = 0
        for _ in range(_ROUNDS):
            known = await self.store.state(self.service.id)
            answer = _read(await self._asked(known.timestamp))
            if answer.seed != known.seed and known.timestamp:
                answer = _read(await self._asked(0))
            elif answer.seed == known.seed and answer.timestamp < known.timestamp:
                raise _unusable("rolled back")
            entries = await self._believed(answer)
            await self.store.take(
                self.service.id, Listing(answer.seed, answer.timestamp, tuple(entries))
            )
            count += len(entries)
            if not answer.entries or answer.timestamp == known.timestamp:
                break
        await self.store.prune(self.service.id, self.clock())
        return count

    async def search(self, wanted: Mapping[str, str]) -> list[Registration]:
        """The registered parties whose claims fit; `*` at either end of a word is a wildcard.

        Raises LdnError(invalid) for a word that cannot be searched by.
        """
        return await self.store.search(self.service.id, wildcard(wanted), self.clock())

    async def _asked(self, since: int) -> Reply:
        url = f"{self.service.endpoint}?timestamp={since}"
        accept = {"accept": "application/json"}
        return await self.http.send("GET", url, headers=accept, deadline=self.deadline)

    async def _believed(self, answer: _Answer) -> list[Registration]:
        found = []
        for timestamp, presentation in sorted((int(t), p) for t, p in answer.entries.items()):
            trail = Trail(issue=Issue.INVALID)
            try:
                entry = await registration(presentation, self.service, self.verify, trail)
            except LdnError as error:
                emit("refused", issue=str(error.issue), detail=error.detail, peer="discovery")
                continue
            found.append(replace(entry, timestamp=timestamp))
        return found


def _read(reply: Reply) -> _Answer:
    if reply.status != 200:
        raise _unusable(f"status {reply.status}")
    try:
        answer = msgspec.json.decode(reply.body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _unusable("JSON") from error
    numbers = all(t.isascii() and t.isdigit() and len(t) < 19 for t in answer.entries)
    if not numbers or not 0 <= answer.timestamp < 2**62 or len(answer.entries) > _MOST:
        raise _unusable("list")
    if not 0 < len(answer.seed) <= 200:
        raise _unusable("seed")
    return answer


def _unusable(detail: str) -> LdnError:
    text = "the discovery service gives no list that we can use; its operator's turn"
    return LdnError(Issue.INCOMPLETE, text, detail=f"discovery: {detail}")
