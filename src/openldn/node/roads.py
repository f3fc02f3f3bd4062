"""How this node proves itself on each road: in its own dialect, or through the broker."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from cryptography import x509

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Ura
from openldn.infrastructures import lsp, medmij
from openldn.infrastructures.direct import Direct
from openldn.infrastructures.model import Call
from openldn.infrastructures.statements import PeerStatements
from openldn.node.clients import Clients
from openldn.node.settings import NodeSettings, Sts
from openldn.trust import jose
from openldn.trust.aorta.headers import ID_HEADER
from openldn.trust.broker.client import (
    BrokerClient,
    ByAssertionOfSaml,
    ByAssertions,
    ByPresentation,
    Word,
)
from openldn.trust.broker.service import JWT, SAML, VP
from openldn.trust.certificates import Anchors
from openldn.trust.certificates.keys import Signing
from openldn.trust.certificates.renewal import SigningFiles
from openldn.trust.credentials.definitions import shipped_policies
from openldn.trust.credentials.issue import HolderKey
from openldn.trust.credentials.keeping import did_web, holder_key
from openldn.trust.credentials.model import Along, Definition
from openldn.trust.credentials.wallet import NodeWallet
from openldn.trust.parties import Requester
from openldn.trust.peers import of_infrastructure, profile
from openldn.trust.saml.sts import Account, StsClient
from openldn.trust.tokens.client import TokenClient
from openldn.trust.tokens.model import AccessToken, Tokens
from openldn.trust.tokens.signer import Signer
from openldn.trust.tokens.speaking import OnePresentation, Speaker, vouched

ROADS = ("direct", "lsp", "zorgplatform", "nuts")
_WORD = timedelta(seconds=60)  # our own word to the broker lives this long
_SHOWN = 30  # seconds that a presentation to the broker lives

Headers = Callable[[Call], Mapping[str, str]]


@dataclass
class WholeChain:
    """The signing key with its chain up to the root, which a did:x509 needs; it may be renewed."""

    files: SigningFiles
    authorities: Sequence[x509.Certificate]
    _made: tuple[Signing, Signing] | None = field(default=None, repr=False)  # of which, what

    @classmethod
    def of(cls, settings: NodeSettings, clock: Clock) -> "WholeChain":
        """That of this node; raises LdnError(exception) for unusable files."""
        files = SigningFiles(
            settings.signing_key, settings.signing_certificate, clock, settings.secret_file
        )
        above = (settings.ca, *([settings.issuers] if settings.issuers else []))
        return cls(files, [c for path in above for c in Anchors.load(path).certificates])

    def __call__(self) -> Signing:
        """What we sign with now."""
        current = self.files.current
        if self._made is None or self._made[0] is not current:
            self._made = current, current.up_to_root(self.authorities)
        return self._made[1]


@dataclass(frozen=True)
class Means:
    """What a node can prove itself with."""

    settings: NodeSettings
    clients: Clients
    signing: WholeChain
    wallet: NodeWallet
    clock: Clock
    new_id: NewId
    statements: PeerStatements = field(init=False, repr=False)
    _services: dict[str, StsClient] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Every road asks the same parties what they can answer, and remembers it for all."""
        known = PeerStatements(self.clients.holder, self.clock)
        object.__setattr__(self, "statements", known)

    @property
    def signer(self) -> Signer:
        """Our signed word, in plain assertions."""
        return Signer(self.signing)

    def direct(self, road: str = "direct") -> Direct:
        """This road with our own plain assertions, which carry an authorization base."""
        tokens = self._tokens("direct")
        forget = getattr(tokens, "forget", _keep)
        return Direct(self.clients.holder, tokens, forget, self._headers(road), self.clock)

    def roads(self) -> Mapping[str, Direct]:
        """An adapter for each road."""
        found, own = {}, self._tokens("direct")
        for road in ROADS:
            tokens = InEmergency(self._tokens(road), own)
            clients, headers = self.clients.holder, self._headers(road)
            found[road] = Direct(clients, tokens, tokens.forget, headers, self.clock)
        return found

    def _headers(self, road: str) -> Headers:
        asked = of_infrastructure(road).headers
        make = next((make for header, make in _MADE.items() if header in asked), _none)
        return lambda call: make(call, self.new_id)

    def _tokens(self, road: str) -> Tokens:
        if not self._brokered(road):
            return self._native(road)
        broker = self._broker(self.settings.infrastructure)
        if road == "zorgplatform":
            return ByAssertionOfSaml(broker)
        return self._client(road, {"D2": ByAssertions(broker), "D1": ByPresentation(broker)})

    def _brokered(self, road: str) -> bool:
        own = self.settings.infrastructure
        return road not in (own, "direct") and own != "direct" and bool(self.settings.broker)

    def through(self, road: str) -> str:
        """The broker that speaks for us on this road; empty where we prove ourselves.

        Raises LdnError(not-supported) for a road on which we can do neither.
        """
        if self._brokered(road):
            return self.settings.broker
        if road == "zorgplatform" and not self.settings.sts:
            raise Unable(road).error
        return ""

    def _native(self, road: str) -> Tokens:
        if road == "zorgplatform":
            return BySts(self.sts) if self.settings.sts else Unable(road)
        return self._client(road, {"D1": OnePresentation(self.present)})

    def _client(self, road: str, speakers: Mapping[str, Speaker]) -> TokenClient:
        agreed = of_infrastructure(road)
        return TokenClient(
            *(self.signer, self.clients.holder, self.clock, self.new_id),
            speakers=speakers,
            profiles=lambda _: agreed,
        )

    def _broker(self, own: str) -> BrokerClient:
        words: Mapping[str, Word] = {"nuts": self._by_presentation, "zorgplatform": self._by_saml}
        url, ura = self.settings.broker, self.settings.broker_ura
        http = self.clients.other(url, ura)
        return BrokerClient(url, http, words.get(own, self._by_assertion), self.clock)

    async def present(
        self, definition: Definition, audience: str, seconds: int, requester: Requester
    ) -> tuple[str, dict[str, Any]]:
        """A presentation of our wallet, with the employee who asks, and its submission."""
        person = requester.person
        along = Along()
        if person is not None:
            name = person.name or person.uzi
            along = Along((self.wallet.employee(person.uzi, name, person.role),))
        return await self.wallet.presented(definition, audience, seconds, along)

    async def _by_assertion(self, audience: str, requester: Requester) -> tuple[str, str]:
        now = self.clock()
        ura = self.signer.party.ura.value
        claims = {"iss": ura, "sub": ura, "aud": audience, "jti": self.new_id()}
        times = {"iat": int(now.timestamp()), "exp": int((now + _WORD).timestamp())}
        return self.signer.sign({**claims, **times, **vouched(requester)}), JWT

    async def _by_presentation(self, audience: str, requester: Requester) -> tuple[str, str]:
        definition = shipped_policies()["bgz"].organization
        shown, _ = await self.present(definition, audience, _SHOWN, requester)
        return shown, VP

    async def _by_saml(self, audience: str, requester: Requester) -> tuple[str, str]:
        service = self.sts(audience)
        token = await service.token(self.settings.holder, audience, requester)
        service.forget(token)  # the broker takes an assertion once
        return token.value, SAML

    def sts(self, applies_to: str) -> StsClient:
        """The client for assertions towards this party; it keeps what it got."""
        agreed = self.settings.sts
        if agreed is None:
            raise Unable("zorgplatform").error
        if applies_to not in self._services:
            http = self.clients.other(agreed.url, agreed.ura)
            account = _account(agreed, self.settings, self.signing(), applies_to)
            self._services[applies_to] = StsClient(account, http, self.clock, self.new_id)
        return self._services[applies_to]


@dataclass(frozen=True)
class InEmergency:
    """Asks by our own signed word when the glass is broken; implements `Tokens`.

    The reason stands in that word: no assertion of Zorgplatform, no presentation and no word of a
    broker has a place for it.
    """

    usual: Tokens
    own: Tokens

    async def token(self, holder: Ura, issuer: str, requester: Requester) -> AccessToken:
        """A token for this holder; raises LdnError as the one that is asked."""
        chosen = self.usual if requester.emergency is None else self.own
        return await chosen.token(holder, issuer, requester)

    def forget(self, token: AccessToken) -> None:
        """Do not use this token again, whoever gave it."""
        for one in (self.usual, self.own):
            getattr(one, "forget", _keep)(token)


@dataclass(frozen=True)
class BySts:
    """Asks holders that read SAML, with assertions of the token service; implements `Tokens`."""

    service: Callable[[str], StsClient]  # by who the assertion is for

    async def token(self, holder: Ura, issuer: str, requester: Requester) -> AccessToken:
        """An assertion for this holder; raises LdnError as the token service's client does."""
        return await self.service(issuer).token(holder, issuer, requester)


@dataclass(frozen=True)
class Unable:
    """A road on which this node cannot prove itself; implements `Tokens`."""

    road: str

    @property
    def error(self) -> LdnError:
        """Why, and whose turn it is."""
        text = f"this node has no way to prove itself on the road {self.road}; set its broker"
        return LdnError(Issue.NOT_SUPPORTED, text, status=501)

    async def token(self, holder: object, issuer: str, requester: Requester) -> AccessToken:
        """Never a token; raises LdnError(not-supported)."""
        raise self.error


def _none(call: Call, new_id: NewId) -> Mapping[str, str]:
    """Nothing more than any road has."""
    return {}


# The header that a peer's profile asks for, and what makes it and those that go with it.
_MADE: Mapping[str, Callable[[Call, NewId], Mapping[str, str]]] = {
    ID_HEADER: lsp.headers,
    medmij.REQUEST_HEADER: medmij.headers,
}


def _keep(token: AccessToken) -> None:
    """What was not kept need not be forgotten."""


def own_key(settings: NodeSettings) -> HolderKey:
    """The key of the wallet: of a did:web where our origin can be one, else a did:jwk."""
    try:
        did = did_web(settings.did_origin or settings.public, settings.holder)
    except LdnError:
        key = holder_key(settings.holder_key, did_web("https://localhost")).key
        return HolderKey(f"did:jwk:{jose.encoded(dump(jose.public_jwk(key)))}", "0", key)
    return holder_key(settings.holder_key, did)


def _account(agreed: Sts, settings: NodeSettings, signing: Signing, applies_to: str) -> Account:
    return Account(
        url=agreed.url,
        audience=agreed.audience,
        applies_to=applies_to,
        organization=settings.holder,
        identifier=agreed.identifier,
        profile=profile("zorgplatform"),
        signing=signing,
        pinned=Anchors.load(agreed.certificate).certificates,
        issuer=agreed.issuer,
    )
