"""Looking again at what living tokens rest on: what is revoked at its source ends here too."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field

from openldn.base.errors import LdnError
from openldn.base.log import emit
from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Ura
from openldn.trust.evidence import Evidence, Kind
from openldn.trust.tokens.store import TokenStore, key_of

# Whether the evidence still counts; raises LdnError when that cannot be known within bounds.
Still = Callable[[Evidence], Awaitable[bool]]
EVERY = 20.0  # seconds; with 5 more for the memory of tokens, well within a minute
_AT_ONCE = 16
_UNKNOWN = 2  # looks in a row without an answer, after which the tokens end as well


def by_kind(looks: Mapping[Kind, Still]) -> Still:
    """One look for every kind of evidence; what nobody can look at again counts until it ends."""

    async def still(evidence: Evidence) -> bool:
        look = looks.get(evidence.kind)
        return True if look is None else await look(evidence)

    return still


@dataclass
class Watch:
    """Withdraws the tokens of these holders whose evidence is revoked."""

    store: TokenStore
    holders: Collection[Ura]
    still: Still
    clock: Clock
    every: float = EVERY
    _unknown: dict[tuple[Ura, str], int] = field(default_factory=dict, repr=False)

    async def run(self) -> None:
        """Look again and again, until canceled; a look that fails is told in the log."""
        while True:
            try:
                await self.look()
            except LdnError as error:
                emit("waiting", part="watch", issue=str(error.issue), detail=error.detail)
            await asyncio.sleep(self.every)

    async def look(self) -> int:
        """Look once at all evidence of living tokens; how many tokens were withdrawn."""
        withdrawn, gate = 0, asyncio.Semaphore(_AT_ONCE)
        for holder in self.holders:
            found = await self.store.evidence(holder, self.clock())
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._ends(holder, e, gate)) for e in found]
            for evidence, task in zip(found, tasks, strict=True):
                if task.result():
                    count = await self.store.withdraw(holder, evidence)
                    emit("withdrawn", holder=holder.value, detail=str(evidence.kind), count=count)
                    withdrawn += count
        return withdrawn

    async def _ends(self, holder: Ura, evidence: Evidence, gate: asyncio.Semaphore) -> bool:
        key = (holder, key_of(evidence))
        async with gate:
            try:
                counts = await self.still(evidence)
            except LdnError:
                self._unknown[key] = self._unknown.get(key, 0) + 1
                return self._unknown[key] >= _UNKNOWN
        self._unknown.pop(key, None)
        return not counts
