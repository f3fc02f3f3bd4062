"""The pair of assertions with which AORTA asks a token at another network (the Twiin bridge).

Source: AORTA-on-FHIR, AORTA-TWIIN Client Authentication Assertion and Authorization Grant
Assertion, v20240923. Algorithms come from the peer's profile: ES512 for AORTA.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography import x509

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.trust import jose
from openldn.trust.evidence import Proof
from openldn.trust.peers import Profile


@dataclass(frozen=True)
class Pair:
    """The two assertions of one token request."""

    client_assertion: str = field(repr=False)
    assertion: str = field(repr=False)
    expires: datetime


@dataclass(frozen=True)
class Bridge:
    """Speaks for an authorization server of AORTA towards another network."""

    issuer: str  # HTTPS URL of our authorization server
    system: str  # how the other network names us as a client
    key: jose.Key = field(repr=False)
    kid: str
    tls: x509.Certificate  # what we show on TLS connections
    profile: Profile  # of the other side
    clock: Clock
    new_id: NewId

    def __post_init__(self) -> None:
        """Refuse a key that does two things. Source: NIST SP 800-57 part 1 §5.2."""
        if jose.jwk_thumbprint(self.key) == jose.jwk_thumbprint(jose.key_of_certificate(self.tls)):
            text = "the key for assertions is also the key for TLS; make another (SP 800-57 §5.2)"
            raise LdnError(Issue.INVALID, text)

    def pair(self, proof: Proof, audience: str) -> Pair:
        """The assertions for the authorization server `audience`, on the ground of the proof.

        They end when the proof ends, neither sooner nor later. Raises LdnError(forbidden) for a
        proof that has ended, LdnError(invalid) when our key does not fit the peer.
        """
        now = self.clock()
        if proof.expires <= now:
            raise LdnError(Issue.FORBIDDEN, "the proof has ended; ask anew", detail="aorta: ended")
        client = {"sub": self.system}
        grant: dict[str, Any] = {"sub": proof.organization.value}
        if proof.authorization_base:
            grant["authorization_base"] = proof.authorization_base
        allowed = self.profile.alg_out
        return Pair(
            self._signed(client, audience, (now, proof.expires), allowed.client_assertion),
            self._signed(grant, audience, (now, proof.expires), allowed.assertion),
            proof.expires,
        )

    def _signed(
        self,
        claims: dict[str, Any],
        audience: str,
        span: tuple[datetime, datetime],
        allowed: tuple[str, ...],
    ) -> str:
        algorithm = next((a for a in allowed if a in jose.suited(self.key)), "")
        if not algorithm:
            text = f"the key for assertions must fit one of {', '.join(allowed)}; make another"
            raise LdnError(Issue.INVALID, text)
        issued, expires = (int(moment.timestamp()) for moment in span)
        usual = {"jti": self.new_id(), "iss": self.issuer, "iat": issued, "exp": expires}
        return jose.sign(
            {**usual, "aud": audience, **claims}, self.key, algorithm, {"kid": self.kid}
        )
