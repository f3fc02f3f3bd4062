"""Which holder has an authorization server at an address, as the directory knows it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.functions.addressing.model import Directory, Endpoint
from openldn.trust.broker.model import Audience
from openldn.trust.peers import of_infrastructure

_FRESH = timedelta(seconds=15)


@dataclass
class Audiences:
    """Holders by the issuer URL of who gives tokens for them."""

    directory: Directory
    payloads: tuple[str, ...]  # codes of what can be asked
    clock: Clock
    _found: dict[str, Audience] = field(default_factory=dict, repr=False)
    _read: datetime | None = field(default=None, repr=False)

    async def __call__(self, issuer: str) -> Audience | None:
        """The holder with this authorization server; None when none takes part.

        Raises LdnError: incomplete or timeout when the directory is away.
        """
        if self._read is None or self.clock() - self._read >= _FRESH:
            self._found = {a.issuer: a for a in await self._every()}
            self._read = self.clock()
        return self._found.get(issuer.rstrip("/"))

    async def _every(self) -> list[Audience]:
        found = []
        for organization in await self.directory.organizations():
            for payload in self.payloads if organization.active else ():
                try:
                    found.append(
                        _audience(await self.directory.endpoint(organization.ura, payload))
                    )
                except LdnError as error:
                    if error.issue is not Issue.NOT_FOUND:
                        raise
        return found


def _audience(endpoint: Endpoint) -> Audience:
    road = endpoint.infrastructure
    issuer = endpoint.authorization_server.rstrip("/")
    return Audience(issuer, endpoint.holder, road, of_infrastructure(road))
