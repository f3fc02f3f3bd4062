"""Whose client certificate counts on a connection, now."""

from dataclasses import dataclass, field

from cryptography import x509

from openldn.base.runtime import Clock
from openldn.functions.authentication.model import Party
from openldn.functions.authentication.party import party_on
from openldn.trust.tokens.ports import Believes
from openldn.trust.tokens.readers import chain_of
from openldn.trust.trail import Trail


@dataclass(frozen=True)
class Connections:
    """TLS decided that the chain is good; where lists are asked, a revoked one ends here."""

    clock: Clock
    believes: Believes | None = None  # None: no list is asked
    issuers: tuple[x509.Certificate, ...] = field(default=(), repr=False)  # TLS shows the leaf only

    async def party(self, certificate: bytes | None) -> Party:
        """Who holds the connection; raises LdnError(login), also when no list can be had."""
        found = party_on(certificate, self.clock())
        if self.believes is not None and certificate:
            await self.believes.believe(chain_of(certificate, self.issuers), Trail())
        return found
