"""The token endpoint of the gateway: client credentials over mutual TLS, opaque tokens.

Source: specification of the generic functions §2.6; RFC 6749 §4.4; RFC 8705 §3.
"""

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.base.sql import Pool, connection
from openldn.fhir.identifiers import Oin, Ura
from openldn.functions.authentication import store
from openldn.functions.authentication.connections import Connections
from openldn.functions.authentication.dialects import READERS, Asked, Claimed, dialect_of
from openldn.functions.authentication.model import OIN, URA, Party, Pass, Register
from openldn.functions.authentication.party import party_on
from openldn.functions.authentication.profiles import Protected
from openldn.functions.authentication.rate import Rate
from openldn.trust.certificates import thumbprint
from openldn.trust.parties import Caller
from openldn.trust.remembering import Remembered
from openldn.trust.tokens.errors import Refused, invalid_request, invalid_scope, refused
from openldn.trust.tokens.ports import Believes
from openldn.trust.trail import Rule, Trail

GRANT = "client_credentials"
PATHS = ("/oauth/token", "/token")  # the first is told in the metadata
LIFETIME = timedelta(seconds=600)
FRESH = 5.0  # seconds a token is believed without asking the store again
ONCE = Rule("gateway.jti", "RFC 7523 §3 (7)", "the assertion was not used before")

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_SOURCE = re.compile(r"[!-~]{0,200}")
_SWEEP = timedelta(minutes=1)
# what evidence repeats of a request: no secret, no assertion
_ASKED = ("grant_type", "organization_id", "scope", "target_audience", "source_id")
_UNTOLD = frozenset({Issue.TRANSIENT, Issue.TIMEOUT, Issue.THROTTLED})  # not decided yet


@dataclass(frozen=True)
class Granting:
    """A request for a token, and what came of it."""

    party: str  # URA or OIN of who holds the connection; empty: not established
    asked: tuple[tuple[str, str], ...] = field(repr=False)  # without secrets and assertions
    given: Pass | None = None
    refused: str = ""  # why not


Tell = Callable[[Granting], Awaitable[None]]  # raises LdnError: then no token is given


async def _nobody(granting: Granting) -> None:
    """Nobody is told."""


@dataclass
class TokenDesk:
    """Gives tokens for one service or several, and knows what each stands for."""

    issuer: str  # origin that clients reach us at, "https://index.example:8443"
    targets: Mapping[str, Protected]  # target_audience -> the service
    pool: Pool
    register: Register
    believes: Believes
    connections: Connections
    new_id: NewId
    lifetime: timedelta = LIFETIME
    legacy: bool = False  # whether older scope words are taken
    rate: Rate | None = None  # None: tokens are not counted
    tell: Tell = _nobody
    _swept: datetime | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Remember for a moment what tokens stand for."""
        self.clock: Clock = self.connections.clock
        self._remembered = Remembered[Pass](self.clock, fresh=FRESH)

    async def prepare(self) -> None:
        """Make the tables; several processes may do so at once."""
        await store.prepare(self.pool)

    def metadata(self) -> dict[str, Any]:
        """What this server tells about itself. Source: RFC 8414 §2; RFC 8705 §3.3."""
        scopes = {s for service in self.targets.values() for s in service.scopes}
        return {
            "issuer": self.issuer,
            "token_endpoint": self.issuer + PATHS[0],
            "introspection_endpoint": f"{self.issuer}/introspect",
            "response_types_supported": [],
            "grant_types_supported": [GRANT],
            "token_endpoint_auth_methods_supported": ["tls_client_auth", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
            "scopes_supported": sorted(scopes),
            "tls_client_certificate_bound_access_tokens": True,
        }

    async def grant(self, form: Mapping[str, str], certificate: bytes | None) -> dict[str, Any]:
        """The token response (RFC 6749 §5.1) for a request on a connection with this certificate.

        Raises Refused: `invalid_client` (401), `unauthorized_client` (no mandate),
        `invalid_scope`, `invalid_target`, `invalid_request`, `unsupported_grant_type`.
        """
        try:
            return await self._granted(form, certificate)
        except LdnError as error:
            told = refused(error)
            if error.issue not in _UNTOLD:
                why = f"{told.word}: {told.detail or told.description}"
                await self.tell(Granting(self._shown(certificate), _asked(form), refused=why))
            raise told from error

    def _shown(self, certificate: bytes | None) -> str:
        try:
            return party_on(certificate, self.clock()).id
        except LdnError:
            return ""

    async def found(self, token: str) -> Pass:
        """What this token stands for; raises LdnError(login) for one we did not give.

        One that was withdrawn is noticed within five seconds.
        """
        if not _TOKEN.fullmatch(token):
            raise _unknown("form")
        key = store.hashed(token).hex()
        given = await self._remembered.get(key, lambda: self._looked_up(token))
        if not given.lasts(self.clock()):
            raise _unknown("expired")
        return given

    async def withdraw(self, organization: Ura, acting: str) -> int:
        """Withdraw what this party holds for the organization; how many tokens there were."""
        async with connection(self.pool) as db:
            count = await store.withdraw(db, organization, acting)
        self._remembered.forget()
        return count

    async def _looked_up(self, token: str) -> Pass:
        async with connection(self.pool) as db:
            given = await store.find(db, token)
        if given is None:
            raise _unknown("unknown")
        return given

    async def _granted(self, form: Mapping[str, str], certificate: bytes | None) -> dict[str, Any]:
        party, now = await self.connections.party(certificate), self.clock()
        if self.rate is not None:
            self.rate.spend(party.id)
        if form.get("grant_type") != GRANT:
            text = "ask with client_credentials"
            raise LdnError(Issue.NOT_SUPPORTED, text, detail="form: grant_type", status=400)
        endpoints = frozenset(self.issuer + path for path in PATHS)
        shown = certificate or b""
        asked = Asked(form, shown, party, endpoints, now, self.believes)
        claimed = await READERS[dialect_of(form)](asked)
        caller = self._caller(claimed, party, now)
        given = Pass(caller, thumbprint(shown), now, now + self.lifetime, self.new_id())
        token = secrets.token_urlsafe(32)
        await self._keep(token, given, claimed)
        await self.tell(Granting(party.id, _asked(form), given))
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(self.lifetime.total_seconds()),
            "scope": " ".join(sorted(caller.scopes)),
        }

    async def _keep(self, token: str, given: Pass, claimed: Claimed) -> None:
        async with connection(self.pool) as db:
            if claimed.used and claimed.expires:
                # five seconds more, for as long as clocks that differ may still accept it
                until = claimed.expires + timedelta(seconds=5)
                Trail().require(await store.use(db, claimed.used, until), ONCE)
            await store.add(db, token, given)
            if self._swept is None or given.issued - self._swept > _SWEEP:
                self._swept = given.issued
                await store.sweep(db, given.issued)

    def _caller(self, claimed: Claimed, party: Party, now: datetime) -> Caller:
        service = self.targets.get(claimed.audience)
        if service is None:
            text = "no tokens for this audience here"
            error = LdnError(Issue.FORBIDDEN, text, detail="gateway.audience", status=400)
            raise Refused(error, "invalid_target")
        if not _SOURCE.fullmatch(claimed.source):
            raise invalid_request("form: source_id")
        scopes = self._scopes(claimed.scopes, service)
        ura, oin, name = self._organization(claimed, service)
        try:
            self.register.require(party, ura, scopes, now)
        except LdnError as error:
            raise Refused(error, "unauthorized_client") from error
        acting = self.register.acting(party, ura)
        name = name or ("" if acting else party.name)
        return Caller(ura, scopes, oin, acting, claimed.source, claimed.audience, name)

    def _organization(self, claimed: Claimed, service: Protected) -> tuple[Ura, Oin | None, str]:
        """The main organization, named by the number that this service goes by (N01)."""
        if (claimed.number or service.number) == URA:
            ura = _number(Ura.parse, claimed.organization, URA)
            known = self.register.by_ura(ura)
            return (ura, known.oin, known.name) if known else (ura, None, "")
        oin = _number(Oin.parse, claimed.organization, OIN)
        known = self.register.by_oin(oin)
        if known is None:
            text = "no organization with this OIN is registered here; ask the operator to add it"
            raise Refused(
                LdnError(Issue.FORBIDDEN, text, detail="gateway.oin"), "unauthorized_client"
            )
        return known.ura, oin, known.name

    def _scopes(self, words: tuple[str, ...], service: Protected) -> frozenset[str]:
        legacy = service.legacy if self.legacy else {}
        found = frozenset(s for word in words for s in legacy.get(word, {word}))
        if not found <= service.scopes:
            raise invalid_scope("gateway.scope")
        return found


def _asked(form: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, form[name]) for name in _ASKED if name in form)


def _number(parse: Any, text: str, kind: str) -> Any:
    try:
        return parse(text)
    except LdnError as error:
        raise invalid_request(f"form: organization_id is no {kind}", error.message) from error


def _unknown(why: str) -> LdnError:
    text = "the token does not count; ask a fresh one at the token endpoint"
    return LdnError(Issue.LOGIN, text, detail=f"gateway.token: {why}")
