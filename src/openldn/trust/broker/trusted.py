"""Whom the broker believes now: approved anchors only, read again every few seconds."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from openldn.base.errors import LdnError
from openldn.base.log import emit
from openldn.base.runtime import Clock
from openldn.trust.broker.anchors_store import AnchorStore
from openldn.trust.certificates import Anchors, thumbprint
from openldn.trust.certificates.belief import CRL_OR_OCSP, Belief
from openldn.trust.certificates.revocation import Freshness
from openldn.trust.documents import Documents
from openldn.trust.evidence import Evidence, Kind
from openldn.trust.jose import encoded
from openldn.trust.tokens.readers import chain_of
from openldn.trust.trail import Trail

EVERY = 5.0  # seconds; a removed anchor is forgotten within this
FRESHNESS = Freshness(fresh=8.0)  # so that each look of the feed sees a list of its own


@dataclass
class Trusted:
    """Belief with the anchors that two persons approved; a change of them forgets all verdicts."""

    store: AnchorStore
    documents: Documents
    clock: Clock
    saml: Mapping[str, str] = field(default_factory=dict)  # issuer -> thumbprint
    seed: tuple[x509.Certificate, ...] = ()  # count without approval: a development stand-in
    _belief: Belief = field(init=False, repr=False)
    _pinned: dict[str, x509.Certificate] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Believe nobody before the store is read."""
        self._belief = self._believing(())

    async def believe(
        self, chain: Sequence[x509.Certificate], trail: Trail, revocation: str = "crl-hard"
    ) -> Evidence:
        """The leaf as evidence, once it is believed; raises LdnError(the trail's issue)."""
        return await self._belief.believe(chain, trail, revocation)

    async def connected(self, certificate: bytes, trail: Trail) -> Evidence:
        """The certificate of a connection (DER) as evidence; raises LdnError(the trail's issue)."""
        chain = chain_of(certificate, self._belief.anchors.certificates)
        return await self.believe(chain, trail, CRL_OR_OCSP)

    async def still(self, evidence: Evidence) -> bool:
        """Whether it still counts: chain and revocation; of SAML, that its signer is pinned."""
        if evidence.kind is Kind.SAML:
            return all(thumbprint(der) in self._pinned for der in evidence.chain)
        return await self._belief.still(evidence)

    async def pinned(self) -> dict[str, tuple[x509.Certificate, ...]]:
        """The certificate of each issuer of SAML, when it is approved."""
        pairs = self.saml.items()
        return {issuer: (self._pinned[id],) for issuer, id in pairs if id in self._pinned}

    @property
    def issuing(self) -> frozenset[str]:
        """Thumbprints of the authorities that a did:x509 may name."""
        return frozenset(map(_print, self._belief.anchors.certificates))

    async def refresh(self) -> None:
        """Read the anchors again."""
        authorities = (*self.seed, *await self.store.counting("authority"))
        pinned = await self.store.counting("saml")
        self._pinned = {_print(c): c for c in (*pinned, *self.seed)}
        if authorities != self._belief.anchors.certificates:
            self._belief = self._believing(authorities)

    async def renew(self) -> None:
        """Fetch the lists of revoked certificates in use anew."""
        await self._belief.refresh()

    async def refresh_forever(self) -> None:
        """Read them again for as long as this runs."""
        while True:
            try:
                await self.refresh()
            except LdnError as error:
                emit("waiting", part="anchors", issue=str(error.issue), detail=error.detail)
            await asyncio.sleep(EVERY)

    def _believing(self, authorities: tuple[x509.Certificate, ...]) -> Belief:
        return Belief(Anchors(authorities), self.documents, self.clock, FRESHNESS)


def _print(certificate: x509.Certificate) -> str:
    return encoded(certificate.fingerprint(SHA256()))
