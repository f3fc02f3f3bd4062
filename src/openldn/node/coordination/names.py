"""What organizations are called, for people to read: an old name will do, waiting will not."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from openldn.base.errors import LdnError
from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Ura
from openldn.functions.addressing.model import Directory
from openldn.trust.remembering import Remembered

_FRESH = 15.0  # seconds a name, or that there is none to be had, is given without asking again


@dataclass
class Names:
    """Names of organizations; a directory that is slow or away costs names, nothing else."""

    directory: Directory
    clock: Clock
    patience: float = 1.0  # seconds that names are waited for
    _asked: Remembered[str] = field(init=False, repr=False)
    _last: dict[Ura, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._asked = Remembered(self.clock, _FRESH)

    async def of(self, uras: Iterable[Ura]) -> dict[Ura, str]:
        """The name of each; what was last known, or empty, for those not had in time."""
        wanted = list(dict.fromkeys(uras))
        with suppress(TimeoutError):
            async with asyncio.timeout(self.patience):
                await asyncio.gather(*map(self._ask, wanted))
        return {ura: self._last.get(ura, "") for ura in wanted}

    async def _ask(self, ura: Ura) -> None:
        async def ask() -> str:
            with suppress(LdnError):
                self._last[ura] = (await self.directory.organization(ura)).name
            return self._last.get(ura, "")

        await self._asked.get(ura.value, ask)
