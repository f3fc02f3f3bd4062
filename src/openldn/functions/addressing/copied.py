"""The port of addressing over a copy of the directory: no question leaves the house.

For finding and for addresses. Whether someone takes part is asked of the directory itself
(`client.DirectoryClient.known`): a copy may be a quarter of an hour old.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import Resource
from openldn.functions.addressing.directories import Directories
from openldn.functions.addressing.lookup import Book, Listing, Need, Wanted
from openldn.functions.addressing.model import Endpoint, Organization
from openldn.functions.addressing.resources import AUTHORIZATION, endpoint_for, organization_of


@dataclass
class CopiedDirectory:
    """Implements `Directory` over what was copied last; renewed when a pass was completed."""

    directories: Directories
    clock: Clock
    _book: Book | None = field(default=None, init=False, repr=False)
    _marks: Mapping[str, datetime] = field(default_factory=dict, init=False, repr=False)

    async def book(self) -> Book:
        """The copy as a book; raises LdnError(transient) until the first pass is complete."""
        root = self.directories.root
        marks = await root.store.watermarks(root.directory)
        if self._book is None or marks != self._marks:
            entries = await self.directories.entries()
            self._book = await asyncio.to_thread(Book, entries)  # seconds, for the whole country
            self._marks = marks
        return self._book

    async def find(self, wanted: Wanted) -> list[Listing]:
        """Who fits this question, best first."""
        book = await self.book()
        return await asyncio.to_thread(book.find, wanted, self.clock())

    async def organizations(self) -> list[Organization]:
        """Every care provider, active or not, by name."""
        book = await self.book()
        known = [o for p in book.all() if (o := organization_of(p.resource)) is not None]
        return sorted(known, key=lambda o: (o.name.casefold(), o.ura))

    async def organization(self, ura: Ura) -> Organization:
        """One care provider; raises LdnError: not-found, incomplete when two claim its number."""
        found = (await self.book()).organization(ura)
        if len(found) > 1:
            text = f"the directory has {len(found)} entries with URA {ura}; its operator's turn"
            raise LdnError(Issue.INCOMPLETE, text)
        made = organization_of(found[0].resource) if found else None
        if made is None:
            text = f"the directory knows no care provider with URA {ura}; check the number"
            raise LdnError(Issue.NOT_FOUND, text)
        return made

    async def endpoint(self, holder: Ura, payload: str) -> Endpoint:
        """Where `holder` serves this payload type; raises LdnError(not-found)."""
        book, now = await self.book(), self.clock()
        chosen = book.endpoint(holder, Need(payload), now).endpoint.resource
        made = endpoint_for(holder, payload, [chosen, *_issuers(book, holder)], now)
        if made is None:
            text = f"the care provider with URA {holder} does not offer this exchange (yet)"
            raise LdnError(Issue.NOT_FOUND, text)
        return made


def _issuers(book: Book, holder: Ura) -> Iterator[Resource]:
    for organization in book.organization(holder):
        for offered in book.offered(organization):
            found = offered.endpoint.resource
            if found.get("connectionType", {}).get("system") == AUTHORIZATION:
                yield found
