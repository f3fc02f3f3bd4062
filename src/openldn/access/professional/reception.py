"""Signing in at a provider: sends people there, and admits who comes back with good proof."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from openldn.access.professional.people import Practitioner, Standing
from openldn.access.professional.settings import Node, SignIn
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient
from openldn.base.runtime import Clock, NewId
from openldn.fhir.identifiers import Ura
from openldn.trust import jose
from openldn.trust.documents import Documents, hosts
from openldn.trust.parties import Person
from openldn.trust.people import claims, levels, statement
from openldn.trust.people.levels import Level, level
from openldn.trust.people.oidc import LONGEST, Client, RelyingParty, Started
from openldn.trust.people.provider import secure
from openldn.trust.people.vouching import trusting
from openldn.trust.trail import Rule, Trail

RETURN = "/sign-in/return"
BROWSER = Rule("sign-in.browser", "RFC 9700 §4.7", "the browser that asked is the one that answers")
HERE = Rule("sign-in.organization", "A16", "the person works for an organization of this portal")
NAMED = Rule("sign-in.statement", "Dezi specification 0.7", "the statement is the one announced")
_MOST = 5_000  # people on their way at once


@dataclass(frozen=True)
class Admitted:
    """Who may come in, for which provider, on what ground."""

    provider: Node
    practitioner: Practitioner
    standing: Standing
    earlier: str = field(default="", repr=False)  # the session that was open when it began


@dataclass(frozen=True)
class _Waiting:
    started: Started
    browser: str = field(repr=False)
    earlier: str = field(repr=False)


@dataclass
class Reception:
    """The people on their way to the provider and back."""

    settings: SignIn
    party: RelyingParty
    lowest: Level
    _waiting: OrderedDict[str, _Waiting] = field(default_factory=OrderedDict, repr=False)

    @property
    def waiting(self) -> int:
        """How many people are on their way."""
        return len(self._waiting)

    async def begin(self, browser: str, language: str, earlier: str = "") -> str:
        """The address to send this browser to; raises LdnError when the provider is away."""
        started = await self.party.begin(language, self.lowest, Trail())
        self._forget_late()
        while len(self._waiting) >= _MOST:
            self._waiting.popitem(last=False)
        self._waiting[started.state] = _Waiting(started, browser, earlier)
        return started.url

    async def finish(
        self, browser: str, answer: Mapping[str, str], nodes: Sequence[Node], trail: Trail
    ) -> Admitted:
        """Who came back in this browser; each question is answered once.

        Raises LdnError(login) with the reason code of the check that failed.
        """
        waiting = self._waiting.pop(answer.get("state", ""), None)
        own = waiting is None or (bool(browser) and browser == waiting.browser)
        trail.require(own, BROWSER)
        started = waiting.started if waiting else None
        signed = await self.party.finish(started, answer, trail)
        told, text = signed.told, signed.told.get("verklaring")
        if isinstance(text, str):
            node, person, standing = await self._by_statement(text, told, nodes, trail)
        else:
            node, person, standing = self._by_claims(told, signed.level, nodes, trail)
        practitioner = Practitioner("", node.key, person.name, person.uzi, person.role)
        return Admitted(node, practitioner, standing, waiting.earlier if waiting else "")

    async def _by_statement(
        self, text: str, told: Mapping[str, Any], nodes: Sequence[Node], trail: Trail
    ) -> tuple[Node, Person, Standing]:
        # Which provider it must be about stands in it; that it is, `verify` makes certain.
        node = _node(nodes, statement.said_organization(text, trail))
        trail.require(node is not None, HERE)
        assert node is not None  # noqa: S101  (the line above refused)
        expected = statement.DeziExpected(
            Ura.parse(node.ura), (self._source,), self.party.documents, self.lowest
        )
        found = await statement.verify(text, expected, trail)
        trail.require(told.get("verklaring_id", found.evidence.id) == found.evidence.id, NAMED)
        return node, found.person, Standing(found.level, text, found.evidence, found.expires)

    def _by_claims(
        self, told: Mapping[str, Any], shown: Level, nodes: Sequence[Node], trail: Trail
    ) -> tuple[Node, Person, Standing]:
        """By the older claims; the first of the person's organizations that is here counts."""
        read = claims.read(told)
        reached = min(read.level, shown) if shown else read.level
        levels.require(reached, self.lowest, trail)
        here = [(_node(nodes, str(r.organization)), r) for r in read.relations]
        found = next(((node, r) for node, r in here if node is not None), None)
        trail.require(found is not None, HERE)
        assert found is not None  # noqa: S101  (the line above refused)
        return found[0], read.person(found[1].roles[0]), Standing(reached)

    @property
    def _source(self) -> statement.Source:
        return _source(self.settings)

    def _forget_late(self) -> None:
        now = self.party.documents.clock()
        while self._waiting:
            first = next(iter(self._waiting.values())).started
            if (now - first.began).total_seconds() <= LONGEST:
                return
            self._waiting.popitem(last=False)

    async def close(self) -> None:
        """Close every connection."""
        await self.party.documents.close()
        await self.party.http.close()


def reception(settings: SignIn, clock: Clock, new_id: NewId) -> Reception:
    """The way to the provider of these settings; raises LdnError(invalid) naming the setting."""
    if not secure(settings.issuer) or not secure(settings.public):
        text = "sign_in: issuer and public must be https, or http on this machine itself"
        raise LdnError(Issue.INVALID, text)
    if settings.audience not in {"issuer", "token-endpoint"}:
        raise LdnError(Issue.INVALID, "sign_in.audience: choose issuer or token-endpoint")
    lowest = level(settings.lowest)
    if not lowest:
        raise LdnError(Issue.INVALID, "sign_in.lowest: choose low, substantial or high")
    http = _http(settings)
    source = _source(settings)
    names = {_host(url) for url in (settings.issuer, *source.key_sets)} | source.status_hosts
    documents = Documents(lambda _: http, hosts(names), clock)
    client = Client(
        issuer=settings.issuer,
        id=settings.client_id,
        key=_key(settings),
        redirect_uri=f"{settings.public}{RETURN}",
        key_id=settings.key_id,
        audience=settings.audience,
    )
    return Reception(settings, RelyingParty(client, documents, http, new_id), lowest)


def _source(settings: SignIn) -> statement.Source:
    issuer = settings.issuer.rstrip("/")
    return statement.Source(
        issuers=frozenset(settings.statement_issuers or (settings.issuer,)),
        key_sets=frozenset(settings.statement_keys or (f"{issuer}/dezi/jwks.json",)),
        status_hosts=frozenset(settings.status_hosts or (_host(settings.issuer),)),
    )


def _http(settings: SignIn) -> HttpClient:
    if settings.issuer.startswith("http://"):
        return HttpClient()
    return HttpClient(trusting(settings.ca))


def _key(settings: SignIn) -> jose.Key:
    try:
        raw = serialization.load_pem_private_key(settings.key_file.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        text = f"sign_in.key_file {settings.key_file}: no private key in PEM can be read there"
        raise LdnError(Issue.INVALID, text) from error
    if isinstance(raw, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        return jose.key_of(raw)
    raise LdnError(Issue.INVALID, "sign_in.key_file: use an EC, RSA or Ed25519 key")


def _node(nodes: Sequence[Node], number: object) -> Node | None:
    if not isinstance(number, str) or not number:
        return None
    return next((n for n in nodes if n.ura.zfill(8) == number.zfill(8)), None)


def _host(url: str) -> str:
    return urlsplit(url).netloc
