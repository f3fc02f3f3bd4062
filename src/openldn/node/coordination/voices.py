"""How the other parties of an offer are spoken to: the port behind which the dialects are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from openldn.fhir.identifiers import Ura
from openldn.functions.addressing.model import Directory
from openldn.node.coordination.model import Kept
from openldn.node.coordination.peers import NOTIFIED
from openldn.patterns.exchange import Exchange, UseCase


class Voices(Protocol):
    """Who speaks which dialect, and what of an offer gets lost in it."""

    async def require(self, receivers: Sequence[Ura], exchange: Exchange, case: UseCase) -> None:
        """Raises LdnError when one of these cannot be told: not-found, not-supported."""
        ...

    async def keep(self, fresh: Sequence[Kept]) -> None:
        """Remember, before they are told, in which dialect each of these offers will be."""
        ...

    async def shown(self, kept: Kept) -> dict[str, Any] | None:
        """The dialect of an offer and its losses, for its own organization; None for ours."""
        ...


@dataclass(frozen=True)
class Harmonized:
    """Everyone speaks the harmonized form; implements `Voices`."""

    directory: Directory

    async def require(self, receivers: Sequence[Ura], exchange: Exchange, case: UseCase) -> None:
        """Raises LdnError(not-found) for one that takes no notifications of this form."""
        for receiver in receivers:
            await self.directory.endpoint(receiver, NOTIFIED)

    async def keep(self, fresh: Sequence[Kept]) -> None:
        """Nothing is to be remembered."""

    async def shown(self, kept: Kept) -> dict[str, Any] | None:
        """None: nothing gets lost."""
        return None
