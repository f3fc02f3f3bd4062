"""The operator's side of discovery: takes registrations, and tells the list."""

from dataclasses import dataclass

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.infrastructures.nuts.discovery.model import (
    RETRACTION,
    Discovery,
    Listing,
    Registration,
    Verify,
    registration,
)
from openldn.infrastructures.nuts.discovery.store import DiscoveryStore
from openldn.trust.trail import Trail


@dataclass(frozen=True)
class DiscoveryServer:
    """One discovery service that we operate."""

    service: Discovery
    store: DiscoveryStore
    verify: Verify
    clock: Clock
    new_id: NewId

    async def prepare(self) -> None:
        """Make the tables and the list; the seed stays as long as the database does."""
        await self.store.prepare()
        await self.store.begin(self.service.id, self.new_id())

    async def register(self, presentation: str) -> Registration:
        """Enter a registration or retraction; the same one twice changes nothing.

        Raises LdnError(invalid) with the reason code as detail. Source: RFC022 §3.
        """
        trail = Trail(issue=Issue.INVALID)
        entry = await registration(presentation, self.service, self.verify, trail)
        there = await self.store.find(self.service.id, entry.subject)
        if there is not None and there.jti == entry.jti:
            return there
        if entry.retracts:
            known = there is not None and there.jti == entry.retracts and not there.retracts
            trail.require(known, RETRACTION)
        await self.store.enter(self.service.id, entry)
        return entry

    async def listing(self, since: int) -> Listing:
        """The list after this Lamport time; raises LdnError(invalid) for an impossible one."""
        if not 0 <= since < 2**62:
            raise LdnError(Issue.INVALID, "timestamp: a whole number from 0")
        await self.store.prune(self.service.id, self.clock())
        return await self.store.since(self.service.id, since, self.clock())
