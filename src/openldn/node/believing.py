"""What a node judges the proofs of others with, put together from its settings."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from openldn.base.http import HttpClient
from openldn.base.log import emit
from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Ura
from openldn.node.assertions import SamlGrants
from openldn.node.clients import Clients
from openldn.node.settings import NodeSettings, Sts
from openldn.trust import jose
from openldn.trust.brokered import CREDENTIAL
from openldn.trust.certificates import Anchors
from openldn.trust.certificates.belief import NONE, Belief
from openldn.trust.certificates.revocation import Freshness
from openldn.trust.credentials.credential import Credentials, Trust
from openldn.trust.credentials.definitions import shipped_policies
from openldn.trust.credentials.keeping import did_web
from openldn.trust.credentials.presentation import Verifier
from openldn.trust.credentials.resolver import Resolver
from openldn.trust.credentials.status import StatusLists
from openldn.trust.documents import Documents, Terms, hosts
from openldn.trust.evidence import Evidence, Kind
from openldn.trust.peers import profile
from openldn.trust.people import keysets
from openldn.trust.people.statement import still
from openldn.trust.people.vouching import Vouchers
from openldn.trust.saml.organizations import organizations
from openldn.trust.tokens.ports import Believes, Peer, Ports
from openldn.trust.trail import Trail

_FRESH = 15.0  # seconds a key set is used unasked
_SIGNING = 45.0  # seconds it serves at most for what a broker signs: one that is away signs nothing
_LIVING = 600.0  # and for tokens that live: no longer than they do
_FAR = datetime.max.replace(tzinfo=UTC)  # a registration has no end of its own
_LOOKS = Freshness(fresh=15.0)  # so that each look at living tokens sees a list of its own


@dataclass(frozen=True)
class Unchecked:
    """A stand-in for belief that asks no revocation list; by setting only, and told at start."""

    belief: Belief

    async def believe(
        self, chain: Sequence[x509.Certificate], trail: Trail, revocation: str = NONE
    ) -> Evidence:
        """The leaf as evidence, once its chain leads to our anchors."""
        return await self.belief.believe(chain, trail, NONE)

    async def still(self, evidence: Evidence) -> bool:
        """Whether its time is not over."""
        return await self.belief.still(evidence)


@dataclass(frozen=True)
class Believing:
    """Everything that decides whom this node believes."""

    documents: Documents
    belief: Belief
    judge: Believes  # the belief, or what stands in for it
    statuses: StatusLists
    credentials: Credentials
    ports: Ports
    looks: Mapping[Kind, Callable[[Evidence], Awaitable[bool]]]

    async def still(self, evidence: Evidence) -> bool:
        """Whether what was believed still counts; an assertion counts until it ends.

        Raises LdnError when that cannot be known within the bounds.
        """
        look = self.looks.get(evidence.kind)
        return True if look is None else await look(evidence)


def believing(
    settings: NodeSettings, clients: Clients, people: Vouchers | None, clock: Clock
) -> Believing:
    """The belief of this node; raises LdnError(exception) for unusable files."""
    documents = _documents(settings, clients, clock)
    anchors = Anchors.load(settings.ca)
    belief = Belief(anchors, documents, clock, _LOOKS)
    if settings.insecure_unchecked_revocation:
        emit("insecure", setting="insecure_unchecked_revocation")
    judge = Unchecked(belief) if settings.insecure_unchecked_revocation else belief
    resolver = Resolver(documents)
    brokers = {CREDENTIAL: frozenset({_did(settings.broker)})} if settings.broker else {}
    issuers = _certificates(settings.issuers or settings.ca)
    trust = Trust(frozenset(jose.encoded(c.fingerprint(SHA256())) for c in issuers), brokers)
    statuses = StatusLists(documents, resolver, judge, trust, clock, _LOOKS.fresh)
    credentials = Credentials(resolver, judge, trust, statuses)
    registered = Registered(settings.broker, documents) if settings.broker else None
    ports = Ports(
        believes=judge,
        registered=registered,
        presentations=Verifier(credentials, people.statement if people else None),
        policies=shipped_policies(),
        still=statuses.still,
        issuers=(*issuers, *anchors.certificates),
    )
    looks = {Kind.CERTIFICATE: judge.still, Kind.CREDENTIAL: statuses.still}
    if registered:
        looks[Kind.ASSERTION] = registered.still
    if people:
        looks[Kind.STATEMENT] = partial(still, documents=people.expected.documents)
    return Believing(documents, belief, judge, statuses, credentials, ports, looks)


def saml_grants(
    settings: NodeSettings, believed: Believing, scopes: frozenset[str], clock: Clock
) -> SamlGrants | None:
    """Who may show SAML here: those of our token service and of our broker; None: nobody."""
    pinned: dict[str, tuple[x509.Certificate, ...]] = {}
    if settings.broker and settings.broker_saml_certificate:
        pinned[settings.broker] = _certificates(settings.broker_saml_certificate)
    if settings.sts:
        pinned[settings.sts.issuer or settings.sts.url] = _certificates(settings.sts.certificate)
    if not pinned or "SAML" not in settings.dialects:
        return None
    known, ports = _known(settings.sts), believed.ports
    assert ports.believes is not None  # noqa: S101  (put together above)
    return SamlGrants(
        *(settings.holder, settings.issuer, scopes, settings.broker, pinned),
        *(organizations(known), believed.still, clock, ports.believes, ports.issuers),
    )


@dataclass(frozen=True)
class Registered:
    """The keys of the one broker we agreed with."""

    broker: str  # issuer URL
    documents: Documents

    async def __call__(self, issuer: str, kid: str) -> Peer | None:
        """The broker, when it is the issuer and has this key; None for anybody else."""
        if issuer != self.broker:
            return None
        key = (await self._published(_SIGNING)).get(kid)
        return None if key is None else _peer(self.broker, key)

    async def still(self, evidence: Evidence) -> bool:
        """Whether the broker still publishes the key; raises LdnError when that is not known."""
        keys = (await self._published(_LIVING)).values()
        return evidence.id in map(jose.jwk_thumbprint, keys)

    async def _published(self, stale: float) -> Mapping[str, jose.Key]:
        return await self.documents.get(f"{self.broker}/jwks", Terms(_keys, _FRESH, stale))


def _peer(broker: str, key: jose.Key) -> Peer:
    evidence = Evidence(Kind.ASSERTION, jose.jwk_thumbprint(key), broker, _FAR)
    return Peer(broker, key, frozenset(), profile("twiin"), evidence, "broker", anyone=True)


def _keys(body: bytes, before: Mapping[str, jose.Key] | None) -> Mapping[str, jose.Key]:
    return keysets.read(body).keys


def _documents(settings: NodeSettings, clients: Clients, clock: Clock) -> Documents:
    secure, plain = clients.other("https:"), clients.other("http:")

    def client(url: str) -> HttpClient:
        return secure if url.startswith("https:") else plain

    return Documents(client, hosts(settings.fetch_hosts), clock)


def _did(broker: str) -> str:
    return did_web(broker.removesuffix("/oauth2/broker")).text


def _certificates(path: Path) -> tuple[x509.Certificate, ...]:
    return Anchors.load(path).certificates


def _known(sts: Sts | None) -> Mapping[str, Ura]:
    named = sts.organizations if sts else {}
    return {identifier: Ura.parse(ura) for identifier, ura in named.items()}
