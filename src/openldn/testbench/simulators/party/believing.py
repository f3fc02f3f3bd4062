"""Whom a simulated party believes, and how it proves itself: tokens, presentations, SAML."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Identity, client_context
from openldn.base.runtime import Clock, NewId
from openldn.fhir.identifiers import Ura
from openldn.testbench.simulators.party.manner import Manner
from openldn.testbench.simulators.party.memory import RememberedCredentials, RememberedTokens
from openldn.testbench.simulators.party.settings import PartySettings
from openldn.trust import jose
from openldn.trust.broker.saml import BROKERED, brokered
from openldn.trust.brokered import CREDENTIAL
from openldn.trust.certificates import Anchors, check_peer, require_party
from openldn.trust.certificates.keys import Signing
from openldn.trust.credentials.credential import Credentials, Trust
from openldn.trust.credentials.definitions import shipped_policies
from openldn.trust.credentials.keeping import did_web, holder_key
from openldn.trust.credentials.model import Along, Definition
from openldn.trust.credentials.presentation import Verifier
from openldn.trust.credentials.resolver import Resolver
from openldn.trust.credentials.status import StatusLists
from openldn.trust.credentials.wallet import NodeWallet
from openldn.trust.documents import Documents, Terms, hosts
from openldn.trust.evidence import Evidence, Kind
from openldn.trust.parties import Requester
from openldn.trust.peers import of_infrastructure
from openldn.trust.people import keysets
from openldn.trust.saml.names import ASSERTION, SAML
from openldn.trust.saml.organizations import organizations
from openldn.trust.saml.read import SamlExpected, read
from openldn.trust.saml.sts import Account, StsClient
from openldn.trust.saml.variants import variant
from openldn.trust.saml.xml import parse
from openldn.trust.tokens.belief import Anchored
from openldn.trust.tokens.client import TokenClient
from openldn.trust.tokens.model import Binding, Grant, Tokens
from openldn.trust.tokens.ports import Peer, Ports
from openldn.trust.tokens.service import AuthorizationServer
from openldn.trust.tokens.signer import Signer
from openldn.trust.tokens.speaking import OnePresentation
from openldn.trust.trail import Trail

PULL = frozenset({"bgz", "bgz-sender", "eOverdracht-sender"})  # scopes that open data
_FRESH = 15.0  # seconds that the keys of the broker are used unasked
_FAR = datetime.max.replace(tzinfo=UTC)  # a registration has no end of its own
TOLD = frozenset({"ta-np-notification", "eOverdracht-receiver"})  # scopes to notify with


@dataclass
class Lines:
    """Connections to others, each checked to be who it should be."""

    identity: Identity
    _lines: dict[str, HttpClient] = field(default_factory=dict, repr=False)

    def of(self, ura: Ura) -> HttpClient:
        """A client that talks to this organization only."""
        if ura.value not in self._lines:
            context = client_context(self.identity, check_peer(ura))
            self._lines[ura.value] = HttpClient(context)
        return self._lines[ura.value]

    def any(self, url: str) -> HttpClient:
        """A client for an address of whoever shows a certificate we believe."""
        if "" not in self._lines:
            self._lines[""] = HttpClient(client_context(self.identity))
        return self._lines[""]

    async def close(self) -> None:
        """Close every connection."""
        while self._lines:
            await self._lines.popitem()[1].close()


@dataclass(frozen=True)
class Faith:
    """What a party believes others by, and shows itself."""

    settings: PartySettings
    manner: Manner
    lines: Lines
    clock: Clock
    new_id: NewId
    signing: Signing
    wallet: NodeWallet
    documents: Documents
    ports: Ports
    _services: dict[str, StsClient] = field(default_factory=dict, repr=False)
    _clients: list[TokenClient] = field(default_factory=list, repr=False)

    @classmethod
    def of(cls, settings: PartySettings, manner: Manner, clock: Clock, new_id: NewId) -> "Faith":
        """The faith of these settings; raises LdnError(exception) for unusable files."""
        lines = Lines(settings.identity)
        anchors, issuers = Anchors.load(settings.ca), Anchors.load(settings.issuers).certificates
        loaded = Signing.load(settings.signing_key, settings.signing_certificate)
        signing = loaded.up_to_root((*anchors.certificates, *issuers))
        documents = Documents(lines.any, hosts(settings.fetch_hosts), clock)
        judge, resolver = Anchored(anchors, clock), Resolver(documents)
        issuing = frozenset(jose.encoded(c.fingerprint(SHA256())) for c in issuers)
        trust = Trust(issuing, _brokers(settings.broker))
        statuses = StatusLists(documents, resolver, judge, trust, clock)
        credentials = Credentials(resolver, judge, trust, statuses)
        did = did_web(settings.public.replace("127.0.0.1", "localhost"), settings.holder)
        key = holder_key(settings.signing_key.with_name("wallet.key"), did)
        agreed = of_infrastructure(manner.infrastructure if manner.presents else "nuts")
        store = RememberedCredentials()
        wallet = NodeWallet(settings.holder, key, store, credentials, agreed, clock, new_id)
        shown = Verifier(credentials) if manner.presents else None
        above = (*issuers, *anchors.certificates)
        registered = Registered(settings.broker, documents) if settings.broker else None
        ports = Ports(
            judge, registered, presentations=shown, policies=shipped_policies(), issuers=above
        )
        return cls(
            *(settings, manner, lines, clock, new_id, signing, wallet, documents, ports),
        )

    def server(self, known: Callable[[Ura], Awaitable[bool]]) -> AuthorizationServer:
        """The authorization server of this party; `known` tells who takes part."""
        saml = Assertions(self) if "SAML" in self.manner.takes else None
        return AuthorizationServer(
            holder=self.settings.holder,
            issuer=self.settings.issuer,
            store=RememberedTokens(),
            anchors=Anchors.load(self.settings.ca),
            clock=self.clock,
            new_id=self.new_id,
            known=known,
            scopes=PULL | TOLD,
            dialects=self.manner.takes,
            ports=self.ports,
            unbound=not self.manner.certificates,
            saml=saml,
        )

    def tokens(self) -> TokenClient:
        """How tokens are asked of others: by presentations or by signed assertions."""
        if not self._clients:
            agreed = of_infrastructure("nuts" if self.manner.presents else "direct")
            client = TokenClient(
                *(Signer(lambda: self.signing), self.lines.of, self.clock, self.new_id),
                speakers={"D1": OnePresentation(self.present)},
                profiles=lambda _: agreed,
            )
            self._clients.append(client)
        return self._clients[0]

    def assertions(self, applies_to: str) -> Tokens:
        """Assertions of our own token service for this party; raises LdnError(not-supported)."""
        told = self.settings.sts
        if told is None:
            raise LdnError(Issue.NOT_SUPPORTED, "this party has no token service")
        if applies_to not in self._services:
            account = Account(
                *(told.url, told.audience, applies_to, self.settings.holder, told.identifier),
                *(of_infrastructure("zorgplatform"), self.signing),
                Anchors.load(told.certificate).certificates,
            )
            line = self.lines.of(Ura.parse(told.ura))
            self._services[applies_to] = StsClient(account, line, self.clock, self.new_id)
        return self._services[applies_to]

    async def present(
        self, definition: Definition, audience: str, seconds: int, requester: Requester
    ) -> tuple[str, Mapping[str, Any]]:
        """A presentation of our certificate, and of the employee who asks."""
        await self.wallet.renew(self.signing)
        person, along = requester.person, Along()
        if person is not None:
            along = Along((self.wallet.employee(person.uzi, person.name, person.role),))
        return await self.wallet.presented(definition, audience, seconds, along)

    async def close(self) -> None:
        """Close every connection."""
        await self.documents.close()
        await self.lines.close()


@dataclass(frozen=True)
class Registered:
    """The keys of the one broker whose word counts; a stand-in for a register of peers."""

    broker: str  # issuer URL
    documents: Documents

    async def __call__(self, issuer: str, kid: str) -> Peer | None:
        """The broker, when it is the issuer and publishes this key; None for anybody else."""
        if issuer != self.broker:
            return None
        terms = Terms(lambda body, before: keysets.read(body).keys, _FRESH, _FRESH)
        key = (await self.documents.get(f"{self.broker}/jwks", terms)).get(kid)
        if key is None:
            return None
        evidence = Evidence(Kind.ASSERTION, jose.jwk_thumbprint(key), self.broker, _FAR)
        agreed = of_infrastructure("direct")
        return Peer(self.broker, key, frozenset(), agreed, evidence, "broker", anyone=True)


def _brokers(broker: str) -> Mapping[str, frozenset[str]]:
    """Whose credentials about others count."""
    if not broker:
        return {}
    return {CREDENTIAL: frozenset({did_web(broker.removesuffix("/oauth2/broker")).text})}


@dataclass(frozen=True)
class Assertions:
    """Reads `Authorization: SAML` of the token service and of the broker."""

    faith: Faith

    async def __call__(self, assertion: bytes, certificate: bytes) -> Grant:
        """What the assertion opens; raises LdnError(login)."""
        settings, now, trail = self.faith.settings, self.faith.clock(), Trail()
        issuer = _issuer(assertion, trail)
        pinned = self._pinned(issuer)
        by_sts = settings.sts is not None and issuer == settings.sts.url
        known = {name: Ura.parse(ura) for name, ura in settings.organizations.items()}
        expected = SamlExpected(
            audience=settings.issuer,
            now=now,
            profile=of_infrastructure("zorgplatform"),
            variant=variant("zorgplatform-token") if by_sts else BROKERED,
            pinned={issuer: pinned},
            organization=organizations(known),
            client=certificate,
        )
        proof = (read if by_sts else brokered)(assertion, expected, trail)
        if require_party(certificate, now).ura != proof.organization:
            raise LdnError(Issue.LOGIN, "the assertion is of another than who connects")
        offered = PULL | TOLD
        scopes = offered if proof.scopes is None else proof.scopes & offered
        requester = Requester(
            *(proof.organization, scopes, proof.purpose, proof.organization_name),
            *(proof.person, proof.patient),
        )
        grant = Grant(
            *(proof.evidence[0].id, requester, settings.holder, Binding(), now, proof.expires),
            *("SAML", proof.subject, proof.system, proof.act),
        )
        return replace(grant, authorization_base=proof.authorization_base)

    def _pinned(self, issuer: str) -> tuple[x509.Certificate, ...]:
        path = self.faith.settings.saml.get(issuer)
        if path is None:
            raise LdnError(Issue.LOGIN, "assertions of this issuer are not believed here")
        return Anchors.load(path).certificates


def _issuer(assertion: bytes, trail: Trail) -> str:
    root = parse(assertion, trail)
    found = root.findtext(f"{{{SAML}}}Issuer") if root.tag == ASSERTION else None
    return (found or "").strip()
