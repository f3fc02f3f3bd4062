"""How a registration is verified: a presentation as any other, only longer-lived."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from openldn.base.runtime import Clock
from openldn.trust import jose
from openldn.trust.credentials.content import date
from openldn.trust.credentials.did import parse, refuse
from openldn.trust.credentials.did_x509 import ASSERTION
from openldn.trust.credentials.model import Definition, Expected, Presented
from openldn.trust.credentials.presentation import Verifier
from openldn.trust.credentials.resolver import AUTHENTICATION
from openldn.trust.peers import Profile
from openldn.trust.trail import Rule, Trail

AUDIENCE = Rule("discovery.aud", "RFC022 §3.2", "it is made for this service")
NOW = Rule("discovery.now", "RFC022 §3.3", "it is valid now")


@dataclass(frozen=True)
class Verifying:
    """Verifies what is registered at one service; implements `Verify`."""

    verifier: Verifier
    service: str  # its id, the audience of what is registered
    longest: timedelta
    profile: Profile
    clock: Clock

    async def __call__(
        self, presentation: str, definition: Definition | None, trail: Trail
    ) -> Presented:
        """The presentation; without a definition it is a retraction, which shows no credentials.

        Raises LdnError(the trail's issue).
        """
        if definition is None:
            return await self._retraction(presentation, trail)
        lifetimes = msgspec.structs.replace(
            self.profile.lifetimes, presentation=int(self.longest.total_seconds())
        )
        patient = msgspec.structs.replace(self.profile, lifetimes=lifetimes)
        expected = Expected(frozenset({self.service}), self.clock(), patient)
        return await self.verifier.verify(presentation, definition, expected, trail)

    async def _retraction(self, presentation: str, trail: Trail) -> Presented:
        token = jose.read(presentation, trail)
        holder = parse(token.claim("iss"), trail)
        methods = await self.verifier.credentials.resolver.methods(holder, token.header, trail)
        key = methods.key(token.header_text("kid"), (AUTHENTICATION, ASSERTION), trail)
        jose.verify(token, key, self.profile.alg_in.presentation, trail)
        trail.require(token.claims.get("aud") in (self.service, [self.service]), AUDIENCE)
        begins, ends = self._period(token, trail)
        return Presented(
            holder.text, (), {}, token.claim("nonce"), token.claim("jti"), begins, ends, ()
        )

    def _period(self, token: jose.Jws, trail: Trail) -> tuple[datetime, datetime]:
        begins = date(token.claims, "nbf", trail) or date(token.claims, "iat", trail)
        ends = date(token.claims, "exp", trail)
        if begins is None or ends is None:
            refuse(NOW, trail)
        skew = timedelta(seconds=self.profile.skew)
        now = self.clock()
        trail.require(begins <= now + skew and now - skew < ends, NOW)
        return begins, ends
