"""What a SAML assertion opens here: the enforcement point's reader for `Authorization: SAML`.

An assertion is shown with every request for as long as it counts; what it says is remembered for a
few seconds, and its revocation is looked at again with it.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cryptography import x509

from openldn.base.errors import LdnError
from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Ura
from openldn.trust.broker.saml import BROKERED, brokered
from openldn.trust.certificates import require_party
from openldn.trust.credentials.definitions import spelled
from openldn.trust.evidence import Evidence, Proof
from openldn.trust.parties import Requester
from openldn.trust.peers import profile
from openldn.trust.saml.names import ASSERTION, SAML
from openldn.trust.saml.organizations import Organization
from openldn.trust.saml.read import SamlExpected, read
from openldn.trust.saml.variants import variant
from openldn.trust.saml.xml import parse
from openldn.trust.tokens.model import Binding, Grant
from openldn.trust.tokens.ports import Believes
from openldn.trust.tokens.readers import chain_of
from openldn.trust.trail import Rule, Trail

STILL = Rule("saml.still", "trust and broker §9 B9", "who made it has not revoked it since")
ISSUER = Rule("saml.issuer.known", "trust and broker §6.1", "its issuer is one we agreed with")
CONNECTION = Rule("saml.connection", "RFC 8705 §3", "the organization in it is the one connected")

_FRESH = timedelta(seconds=5)  # how long an assertion is believed without looking again
_MOST = 10_000  # assertions remembered
Still = Callable[[Evidence], Awaitable[bool]]


@dataclass
class SamlGrants:
    """Reads assertions of one token service and one broker; implements `ReadSaml`."""

    holder: Ura
    audience: str  # we, as both name us
    scopes: frozenset[str]  # what an assertion that names none opens
    broker: str  # issuer of brokered assertions; empty: none
    pinned: Mapping[str, tuple[x509.Certificate, ...]]  # issuer -> its certificates
    organization: Organization
    still: Still
    clock: Clock
    believes: Believes
    issuers: tuple[x509.Certificate, ...] = ()  # authorities between a TLS client and the anchor
    _seen: OrderedDict[bytes, tuple[Grant, datetime]] = field(
        default_factory=OrderedDict, repr=False
    )

    async def __call__(self, assertion: bytes, certificate: bytes) -> Grant:
        """What the assertion opens; raises LdnError(login) with the reason code."""
        key = hashlib.sha256(certificate + b"\0" + assertion).digest()
        now = self.clock()
        seen = self._seen.get(key)
        if seen and timedelta(0) <= now - seen[1] < _FRESH and now < seen[0].expires:
            return seen[0]
        grant = self._grant(await self._proof(assertion, certificate), now)
        self._seen[key] = (grant, now)
        while len(self._seen) > _MOST:
            self._seen.popitem(last=False)
        return grant

    async def _proof(self, assertion: bytes, certificate: bytes) -> Proof:
        trail = Trail()
        issuer = _issuer(assertion, trail)
        trail.require(issuer in self.pinned, ISSUER)
        by_broker = bool(self.broker) and issuer == self.broker
        expected = SamlExpected(
            audience=self.audience,
            now=self.clock(),
            profile=profile("zorgplatform"),
            variant=BROKERED if by_broker else variant("zorgplatform-token"),
            pinned={issuer: self.pinned[issuer]},
            organization=self.organization,
            client=certificate,
        )
        proof = (brokered if by_broker else read)(assertion, expected, trail)
        for evidence in proof.evidence:
            if evidence.status is not None:
                trail.require(await self.still(evidence), STILL)
        return await self._connected(proof, certificate, trail)

    async def _connected(self, proof: Proof, certificate: bytes, trail: Trail) -> Proof:
        """The proof, resting on the certificate of the connection too, which is of who it is about.

        A bearer assertion is bound to nothing else: whoever saw one could show it.
        """
        trail.require(_party(certificate, self.clock()) == proof.organization, CONNECTION)
        agreed = profile("zorgplatform").revocation
        shown = await self.believes.believe(chain_of(certificate, self.issuers), trail, agreed)
        evidence = tuple(dict.fromkeys((*proof.evidence, shown)))
        return replace(proof, evidence=evidence, expires=min(proof.expires, shown.expires))

    def _grant(self, proof: Proof, now: datetime) -> Grant:
        named = self.scopes if proof.scopes is None else spelled(proof.scopes, self.scopes)
        scopes = named & self.scopes
        requester = Requester(
            *(proof.organization, scopes, proof.purpose, proof.organization_name),
            *(proof.person, proof.patient),
        )
        return Grant(
            *(proof.evidence[0].id, requester, self.holder, Binding(), now, proof.expires),
            *("SAML", proof.subject, proof.system, proof.act, proof.authorization_base),
            *(proof.evidence, proof.claims),
        )


def _party(certificate: bytes, now: datetime) -> Ura | None:
    """Whom the certificate of the connection names; None when it names no care provider."""
    try:
        return require_party(certificate, now).ura
    except LdnError:
        return None


def _issuer(assertion: bytes, trail: Trail) -> str:
    """Who it says made it, to choose what to judge it by; not believed."""
    root = parse(assertion, trail)
    found = root.findtext(f"{{{SAML}}}Issuer") if root.tag == ASSERTION else None
    return (found or "").strip()
