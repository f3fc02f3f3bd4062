"""The authorization server of one holder: it grants tokens and says what a token stands for."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.fhir.identifiers import Ura
from openldn.trust import brokered, jose
from openldn.trust.certificates import Anchors, thumbprint
from openldn.trust.credentials.definitions import spelled
from openldn.trust.evidence import Proof
from openldn.trust.jose import Jws
from openldn.trust.parties import Requester
from openldn.trust.peers import Profile, profile
from openldn.trust.tokens import dpop
from openldn.trust.tokens.assertions import moment
from openldn.trust.tokens.belief import Anchored
from openldn.trust.tokens.desk import Desk
from openldn.trust.tokens.dialects import EXCHANGE, Dialect, Form, check, offered, recognized
from openldn.trust.tokens.errors import (
    WORDS,
    invalid_proof,
    invalid_request,
    invalid_scope,
    invalid_target,
    refused,
)
from openldn.trust.tokens.metadata import metadata
from openldn.trust.tokens.model import Binding, Grant, ReadSaml, Shown
from openldn.trust.tokens.ports import Ports, Swap
from openldn.trust.tokens.presence import Presence
from openldn.trust.tokens.rate import Rate
from openldn.trust.tokens.readers import READERS, swap_of, tls_chain
from openldn.trust.tokens.store import TokenStore
from openldn.trust.trail import Rule, Trail

_LONGEST_TOKEN = timedelta(minutes=15)
_WIDEST_SKEW = 60.0  # seconds, of any profile
_LONGEST_SHOWN = 3600.0 + _WIDEST_SKEW  # seconds that any profile lets an assertion live
_SWEEP = timedelta(minutes=1)
_SIGNED = ("client_assertion", "assertion")
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  (a kind of token)
Condition = Callable[[Proof, frozenset[str]], bool]  # whether a scope may go to this, among these
REFUSAL = 0.025  # seconds every refusal takes at least, so that time tells nothing

USED = Rule("assertion.once", "RFC 7523 §3 (7)", "not used before, here or elsewhere")
KNOWN = Rule("client.known", "LDN", "the organization takes part now")
LASTING = Rule("grant.evidence", "trust and broker §5.5", "what it rests on has not expired")
NARROW = Rule("grant.scope", "RFC 8693 §1.1", "no scope beyond what was proven")


@dataclass
class AuthorizationServer:
    """Grants access to the data of one holder; tokens are bound to certificate or key.

    `known` says whether an organization takes part now; it is asked when a token is granted
    and again when it is used, so that leaving the network ends every token.
    """

    holder: Ura
    issuer: str  # https://host:port/oauth2/{ura}, without trailing slash
    store: TokenStore
    anchors: Anchors  # authorities of those who sign assertions
    clock: Clock
    new_id: NewId
    known: Callable[[Ura], Awaitable[bool]]
    scopes: frozenset[str]  # what can be asked for here
    lifetime: timedelta = timedelta(minutes=10)
    shorter: Mapping[str, timedelta] = field(default_factory=dict)  # lifetime of a scope
    remembered: int = 10_000  # tokens held in memory, so that not every request asks the store
    dialects: frozenset[str] = frozenset({"D2"})  # taken, as far as `ports` has what they need
    ports: Ports = field(default_factory=Ports)
    profiles: Mapping[str, Profile] = field(default_factory=dict)  # per dialect, else its own
    public: frozenset[str] = frozenset()  # addresses of this holder that tokens are asked for
    unbound: bool = False  # whether a token may be given without certificate or key
    rate: Rate = field(default_factory=Rate)
    saml: ReadSaml | None = None  # reads what is shown with the scheme SAML
    conditions: Mapping[str, Condition] = field(default_factory=dict)  # what a scope asks of proof
    refusal: float = REFUSAL
    _swept: datetime | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse a lifetime beyond what the agreements allow."""
        if not timedelta(0) < self.lifetime <= _LONGEST_TOKEN:
            raise LdnError(Issue.INVALID, "a token lives at most 15 minutes; check the settings")
        self.offers = offered(self.dialects, self.ports)
        self.presence = Presence(self.holder, self.store, self.clock, self.known, self.remembered)
        self._believes = self.ports.believes or Anchored(self.anchors, self.clock)

    @property
    def audience(self) -> str:
        """For whom its tokens are: the holder's public address, else the issuer."""
        return min(self.public, default=self.issuer)

    @property
    def endpoint(self) -> str:
        """The token endpoint, as we publish it."""
        return f"{self.issuer}/token"

    def profile(self, dialect: Dialect) -> Profile:
        """What is agreed with those who speak this dialect."""
        return self.profiles.get(dialect.name) or _own(dialect)

    def metadata(self) -> dict[str, Any]:
        """What this server tells about itself. Source: RFC 8414 §2."""
        profiles = {d.name: self.profile(d) for d in self.offers}
        return metadata(self.issuer, self.offers, profiles, self.scopes)

    async def grant(self, form: Form, certificate: bytes, proof: str = "") -> dict[str, Any]:
        """The token response (RFC 6749 §5.1) for a request on a connection with this certificate.

        `proof` is the header DPoP. Raises Refused: login (the client is not proven or does not
        take part), forbidden (the grant is not accepted), business-rule (scope), not-supported
        (grant type), throttled, invalid; the detail is the reason code.
        Source: RFC 7521 §4; RFC 7523 §2-3; RFC 8693 §2; RFC 8705 §3; RFC 9449 §5.
        """
        began, words = time.monotonic(), WORDS
        try:
            with self.rate.request(thumbprint(certificate)):
                tokens = _read(form)
                dialect = recognized(form, tokens, self.offers)
                words = dialect.words
                check(form, dialect)
                return await self._granted(_Request(form, tokens, certificate, proof, dialect))
        except LdnError as error:
            await asyncio.sleep(max(0.0, self.refusal - (time.monotonic() - began)))
            raise refused(error, words) from error

    async def verify(self, shown: Shown) -> Grant:
        """What the token that is shown here stands for.

        A withdrawn token or a departed organization is noticed within 5 seconds.
        Raises LdnError(login), which never tells which check failed.
        Source: RFC 6750; RFC 8705 §3; RFC 9449 §7.
        """
        if shown.scheme == "saml":
            return await self.presence.by_saml(shown, self.saml)
        return await self.presence.verified(shown)

    async def _granted(self, request: "_Request") -> dict[str, Any]:
        now, trail = self.clock(), Trail()
        desk = self._desk(request, now)
        used = await self._once(request, desk)
        key = await self._key(request, now)
        proof = await READERS[request.dialect.name](desk, trail)
        await self._not_withdrawn(proof, trail)
        proof = await self._connected(proof, desk, trail)
        await self._once_more(proof, used, desk)
        if proof.scopes is not None:
            proof = replace(proof, scopes=spelled(proof.scopes, self.scopes))
        elsewhere = self._elsewhere(request.form)
        if proof.scopes is not None and not desk.scopes:
            desk = replace(desk, scopes=proof.scopes if elsewhere else proof.scopes & self.scopes)
        await self._fits(proof, desk, trail, self.scopes | (desk.scopes if elsewhere else set()))
        if elsewhere:
            return await self._minted(proof, desk)
        grant = self._grant(proof, desk, Binding(_bound(request.certificate), key))
        self.rate.token(proof.organization.value, now, grant.expires)
        token = secrets.token_urlsafe(32)
        await self.presence.keep(token, grant)
        await self._sweep(now)
        return self._answer(token, grant, request.dialect)

    async def _connected(self, proof: Proof, desk: Desk, trail: Trail) -> Proof:
        """The proof, resting on the certificate of the connection too: revoked, it ends."""
        if not (desk.certificate and self.ports.issuers):
            return proof
        trail.issue = Issue.LOGIN
        shown = await desk.believes.believe(tls_chain(desk), trail, desk.profile.revocation)
        evidence = tuple(dict.fromkeys((*proof.evidence, shown)))
        return replace(proof, evidence=evidence, expires=min(proof.expires, shown.expires))

    async def _not_withdrawn(self, proof: Proof, trail: Trail) -> None:
        """What a broker minted is looked up in its list before the first token is given."""
        still = self.ports.still
        if still is None or not proof.act:
            return
        listed = [e for e in proof.evidence if e.status is not None and e.status.index >= 0]
        for evidence in listed:
            trail.require(await still(evidence), brokered.STILL)

    def _desk(self, request: "_Request", now: datetime) -> Desk:
        tokens: dict[str, Jws] = {}
        for parameter in request.dialect.signed:
            found = request.tokens.get(parameter)
            if isinstance(found, Jws):
                tokens[parameter] = found
        scopes = spelled(request.form.get("scope", "").split(), self.scopes)
        return Desk(
            *(request.form, tokens, request.certificate, scopes, self.issuer),
            *(self.public | {self.issuer}, now, self.profile(request.dialect)),
            *(self._believes, self.ports),
        )

    async def _once(self, request: "_Request", desk: Desk) -> frozenset[str]:
        """Mark jti and nonce used before anything is judged; refuse what was used before."""
        values = {p: _used(token) for p, token in desk.tokens.items()}
        every = frozenset().union(*values.values())
        fresh = await self._mark(every, desk, _last(desk.tokens.values())) if every else every
        for parameter in request.dialect.signed:
            if isinstance(failure := request.tokens.get(parameter), LdnError):
                raise failure
        for parameter in reversed(request.dialect.signed):
            if not values.get(parameter, frozenset()) <= fresh:
                raise _trail(parameter).refusal(USED)
        if len(every) < sum(map(len, values.values())):
            raise _trail("assertion").refusal(USED)
        return every

    async def _once_more(self, proof: Proof, before: frozenset[str], desk: Desk) -> None:
        """What only the reader could see, such as the id of a SAML assertion."""
        late = frozenset(proof.used) - before
        if late and await self._mark(late, desk) != late:
            raise _trail("assertion").refusal(USED)

    async def _mark(self, values: frozenset[str], desk: Desk, ends: float = 0.0) -> frozenset[str]:
        """Mark these used until nobody can show them any more; `ends`: by their own word."""
        lives = desk.profile.lifetimes
        longest = max(lives.assertion, lives.presentation, lives.saml)
        kept = desk.now + timedelta(seconds=longest + 2 * desk.profile.skew)
        # a registered peer brings a profile of its own, within what any profile may allow
        shown = min(ends - desk.now.timestamp(), _LONGEST_SHOWN) + 2 * _WIDEST_SKEW
        return await self.store.use(
            self.holder, values, max(kept, desk.now + timedelta(seconds=max(shown, 0.0)))
        )

    async def _key(self, request: "_Request", now: datetime) -> str:
        """The key the token will be bound to, by the DPoP proof; empty without one."""
        if not request.proof:
            if not request.certificate and not self.unbound:
                raise invalid_request("token: unbound", "show a certificate or a DPoP proof")
            return ""
        call = dpop.Call("POST", self.endpoint, now)
        try:
            shown = dpop.check(request.proof, call, Trail())
        except LdnError as error:
            raise invalid_proof(error.detail) from error
        if not await self.store.use(self.holder, [shown.used], now + dpop.KEPT):
            raise invalid_proof(dpop.ONCE.code)
        return shown.key

    async def _fits(self, proof: Proof, desk: Desk, trail: Trail, here: frozenset[str]) -> None:
        """Whether who was proven may have what was asked; `here`: the scopes that are offered."""
        trail.issue = Issue.LOGIN
        if not await self.known(proof.organization):
            raise trail.refusal(KNOWN)
        trail.note(KNOWN)
        if not desk.scopes <= here or not (desk.scopes or "" in self.ports.policies):
            raise invalid_scope("scope: not offered")
        if any(
            not self.conditions[s](proof, desk.scopes) for s in desk.scopes & set(self.conditions)
        ):
            raise invalid_scope("scope: condition")
        if proof.scopes is not None and not desk.scopes <= proof.scopes:
            raise invalid_scope(NARROW.code)
        trail.note(NARROW)
        trail.issue = Issue.FORBIDDEN
        trail.require(proof.expires > desk.now, LASTING)

    def _elsewhere(self, form: Form) -> bool:
        """Whether an exchange asks for another token than an access token of this server."""
        if form["grant_type"] != EXCHANGE:
            return False
        wanted = form.get("requested_token_type", _ACCESS_TOKEN)
        if wanted in self.ports.mints:
            return True
        if wanted != _ACCESS_TOKEN:
            raise invalid_request("exchange: requested_token_type")
        for parameter in ("audience", "resource"):
            if form.get(parameter, self.issuer) not in self.public | {self.issuer}:
                raise invalid_target(f"exchange: {parameter}")
        return False

    async def _minted(self, proof: Proof, desk: Desk) -> dict[str, Any]:
        swap: Swap = await swap_of(desk, Trail())
        issued = await self.ports.mints[swap.requested](proof, swap)
        seconds = int((min(issued.expires, proof.expires) - desk.now).total_seconds())
        return {
            "access_token": issued.token,
            "issued_token_type": issued.kind,
            "token_type": "N_A",
            "expires_in": max(0, seconds),
            "scope": " ".join(sorted(desk.scopes)),
        }

    def _grant(self, proof: Proof, desk: Desk, binding: Binding) -> Grant:
        requester = Requester(
            proof.organization,
            desk.scopes,
            proof.purpose,
            proof.organization_name,
            proof.person,
            proof.patient,
            emergency=proof.emergency,
        )
        allowed = timedelta(seconds=desk.profile.lifetimes.token)
        per_scope = (self.shorter[s] for s in desk.scopes if s in self.shorter)
        ends = min(desk.now + min(self.lifetime, allowed, *per_scope), proof.expires)
        return Grant(
            *(self.new_id(), requester, self.holder, binding, desk.now, ends),
            *(proof.dialect, proof.subject, proof.system, proof.act, proof.authorization_base),
            *(proof.evidence, proof.claims, proof.client_claims),
        )

    def _answer(self, token: str, grant: Grant, dialect: Dialect) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "access_token": token,
            "token_type": "DPoP" if grant.binding.key else "Bearer",
            "expires_in": int((grant.expires - grant.issued).total_seconds()),
            "scope": " ".join(sorted(grant.requester.scopes)),
            "jti": grant.id,
        }
        if dialect.grant_type == EXCHANGE:
            answer["issued_token_type"] = _ACCESS_TOKEN
        return answer

    async def _sweep(self, now: datetime) -> None:
        if self._swept is None or now - self._swept >= _SWEEP:
            self._swept = now
            await self.store.sweep(self.holder, now)


@dataclass(frozen=True)
class _Request:
    form: Form = field(repr=False)
    tokens: Mapping[str, Jws | LdnError] = field(repr=False)
    certificate: bytes = field(repr=False)
    proof: str = field(repr=False)
    dialect: Dialect


def _own(dialect: Dialect) -> Profile:
    """The profile of a dialect; assertions with our own certificates allow clocks more."""
    found = profile(dialect.profile)
    return msgspec.structs.replace(found, skew=30) if dialect.profile == "twiin" else found


def _read(form: Form) -> dict[str, Jws | LdnError]:
    found: dict[str, Jws | LdnError] = {}
    for parameter in _SIGNED:
        if parameter in form:
            try:
                found[parameter] = jose.read(form[parameter], _trail(parameter))
            except LdnError as error:
                found[parameter] = error
    return found


def _last(tokens: Iterable[Jws]) -> float:
    """When the last of them ends by its own word, not believed yet."""
    return max((moment(t.claims.get("exp")) or 0.0 for t in tokens), default=0.0)


def _trail(parameter: str) -> Trail:
    return Trail(issue=Issue.LOGIN if parameter == "client_assertion" else Issue.FORBIDDEN)


def _used(token: Jws) -> frozenset[str]:
    names = (token.claim("jti"), token.claim("nonce"))
    return frozenset(f"{token.claim('iss')}|{name}" for name in names if name)


def _bound(certificate: bytes) -> str:
    return thumbprint(certificate) if certificate else ""
