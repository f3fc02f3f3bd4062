"""Connections of one organization to others: kept open, one set per holder."""

from dataclasses import dataclass, field

from openldn.base.http import HttpClient, Identity, client_context
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates import check_peer

AT_ONCE = 16
LARGEST = 32 * 1024 * 1024  # bytes of one answer


@dataclass
class Clients:
    """For every holder a client that talks to nobody else, and for other parties one by name."""

    identity: Identity
    _by_holder: dict[Ura, HttpClient] = field(default_factory=dict, repr=False)
    _others: list[HttpClient] = field(default_factory=list, repr=False)

    def holder(self, ura: Ura) -> HttpClient:
        """A client that checks that the server is this holder before anything is sent."""
        if ura not in self._by_holder:
            context = client_context(self.identity, check_peer(ura))
            self._by_holder[ura] = HttpClient(context, AT_ONCE, LARGEST)
        return self._by_holder[ura]

    def other(self, url: str, ura: str = "") -> HttpClient:
        """A client for this address; with `ura` only that organization may answer there."""
        if ura:
            return self.holder(Ura.parse(ura))
        context = client_context(self.identity) if url.startswith("https:") else None
        self._others.append(HttpClient(context, AT_ONCE, LARGEST))
        return self._others[-1]

    async def close(self) -> None:
        """Close every connection."""
        for client in (*self._by_holder.values(), *self._others):
            await client.close()
