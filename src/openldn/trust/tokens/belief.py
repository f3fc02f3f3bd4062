"""Believing a chain by its anchors alone, where no revocation is looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509

from openldn.base.errors import LdnError
from openldn.base.runtime import Clock
from openldn.trust.certificates import Anchors, thumbprint
from openldn.trust.certificates.belief import REVOKED
from openldn.trust.certificates.chain import CHAIN
from openldn.trust.evidence import Evidence, Kind
from openldn.trust.tokens.assertions import der_of
from openldn.trust.trail import Trail


@dataclass(frozen=True)
class Anchored:
    """Implements `Believes` without revocation: for tests, and networks without lists."""

    anchors: Anchors
    clock: Clock

    async def believe(
        self, chain: Sequence[x509.Certificate], trail: Trail, revocation: str = "crl-hard"
    ) -> Evidence:
        """The chain (leaf first) as evidence; raises LdnError(the trail's issue)."""
        try:
            self.anchors.check(chain, self.clock())
        except LdnError as error:
            raise trail.refusal(CHAIN) from error
        trail.note(CHAIN)
        trail.skip(REVOKED, "no revocation means configured")
        leaf = chain[0]
        ders = tuple(map(der_of, chain))
        issuer = leaf.issuer.rfc4514_string()
        ends = leaf.not_valid_after_utc
        return Evidence(Kind.CERTIFICATE, thumbprint(ders[0]), issuer, ends, chain=ders)

    async def still(self, evidence: Evidence) -> bool:
        """Whether it has not ended; more cannot be known without lists."""
        return evidence.expires > self.clock()
