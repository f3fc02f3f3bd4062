"""The authorization server of one holder: it grants tokens and says what a token stands for."""

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.fhir.identifiers import Bsn, Ura
from openldn.trust.certificates import Anchors, CertificateParty, require_party, thumbprint
from openldn.trust.parties import Person, Requester
from openldn.trust.tokens.assertions import LONGEST, SKEW, Claims, Expected, verified
from openldn.trust.tokens.model import Binding, Grant, Shown
from openldn.trust.tokens.store import TokenStore

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("ES256", "PS256")
_PURPOSE = re.compile(r"[A-Z]{2,20}")
_UZI = re.compile(r"[0-9]{1,12}")
_ROLE = re.compile(r"[0-9]{2}\.[0-9]{3}")
_LONGEST_TOKEN = timedelta(minutes=15)
_FRESH = timedelta(seconds=5)  # how long a token is believed without asking the store again
_SWEEP = timedelta(minutes=1)


class _Seen(NamedTuple):
    grant: Grant
    read: datetime


@dataclass
class AuthorizationServer:
    """Grants access to the data of one holder; tokens are bound to the client certificate.

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
    remembered: int = 10_000  # tokens held in memory, so that not every request asks the store
    _seen: OrderedDict[bytes, _Seen] = field(default_factory=OrderedDict, repr=False)
    _swept: datetime | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse a lifetime beyond what the agreements allow."""
        if not timedelta(0) < self.lifetime <= _LONGEST_TOKEN:
            raise LdnError(Issue.INVALID, "a token lives at most 15 minutes; check the settings")

    def metadata(self) -> dict[str, Any]:
        """What this server tells about itself. Source: RFC 8414 §2; RFC 8705 §3.3."""
        return {
            "issuer": self.issuer,
            "token_endpoint": f"{self.issuer}/token",
            "response_types_supported": [],
            "grant_types_supported": [GRANT_TYPE],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
            "scopes_supported": sorted(self.scopes),
            "tls_client_certificate_bound_access_tokens": True,
        }

    async def grant(self, form: Mapping[str, str], certificate: bytes) -> dict[str, Any]:
        """The token response (RFC 6749 §5.1) for a request on a connection with this certificate.

        Raises LdnError: login (the client is not proven or does not take part), forbidden (the
        assertion is not accepted), business-rule (scope), not-supported (grant type), invalid.
        Source: RFC 7521 §4; RFC 7523 §2-3; RFC 8705 §3.
        """
        now = self.clock()
        party = require_party(certificate, now)
        _check_form(form)
        claims = await self._proven(form, party, now)
        if not await self.known(party.ura):
            raise LdnError(Issue.LOGIN, "the client is not accepted", detail="not known")
        scopes = self._asked(form.get("scope", ""))
        grant = Grant(
            self.new_id(),
            _requester(claims, party, scopes),
            self.holder,
            Binding(thumbprint(certificate)),
            now,
            now + self.lifetime,
        )
        token = secrets.token_urlsafe(32)
        await self.store.add(_hash(token), grant)
        self._remember(_hash(token), grant, now)  # it is used at once, many times in parallel
        await self._sweep(now)
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(self.lifetime.total_seconds()),
            "scope": " ".join(sorted(scopes)),
            "jti": grant.id,
        }

    async def verify(self, shown: Shown) -> Grant:
        """What the token that is shown here stands for.

        A withdrawn token or a departed organization is noticed within 5 seconds.
        Raises LdnError(login), which never tells which check failed. Source: RFC 8705 §3.
        """
        now = self.clock()
        require_party(shown.certificate, now)
        grant = await self._current(_hash(shown.token), now)
        bound = grant is not None and hmac.compare_digest(
            grant.binding.certificate.encode(), thumbprint(shown.certificate).encode()
        )
        if grant is None or not bound or not grant.issued <= now < grant.expires:
            text = "the access token does not count here; ask a new one"
            why = "unknown" if grant is None else "expired" if bound else "other certificate"
            raise LdnError(Issue.LOGIN, text, detail=f"token: {why}")
        return grant

    async def _proven(
        self, form: Mapping[str, str], party: CertificateParty, now: datetime
    ) -> Claims:
        """The authorization grant's claims, both assertions checked and never used before."""
        audiences = frozenset({self.issuer, f"{self.issuer}/token"})
        expected = Expected(audiences, party.ura, self.anchors, now)
        client, _ = verified(form["client_assertion"], expected)
        try:
            claims, _ = verified(form["assertion"], expected)
        except LdnError as error:
            raise _bad_grant(error.detail) from error
        kept = now + timedelta(seconds=LONGEST + 2 * SKEW)
        jtis = (client.jti, claims.jti)
        if client.jti == claims.jti or not await self.store.use(self.holder, party.ura, jtis, kept):
            raise _bad_grant("assertion: used before")
        return claims

    def _asked(self, text: str) -> frozenset[str]:
        scopes = frozenset(text.split())
        if not scopes or not scopes <= self.scopes:
            raise LdnError(Issue.BUSINESS_RULE, "ask for a scope in scopes_supported", status=400)
        return scopes

    async def _current(self, key: bytes, now: datetime) -> Grant | None:
        seen = self._seen.get(key)
        if seen and timedelta(0) <= now - seen.read < _FRESH:
            return seen.grant
        self._seen.pop(key, None)
        grant = await self.store.find(self.holder, key)
        if grant is None or not await self.known(grant.requester.organization):
            return None
        self._remember(key, grant, now)
        return grant

    def _remember(self, key: bytes, grant: Grant, now: datetime) -> None:
        self._seen[key] = _Seen(grant, now)
        while len(self._seen) > self.remembered:
            self._seen.popitem(last=False)

    async def _sweep(self, now: datetime) -> None:
        if self._swept is None or now - self._swept >= _SWEEP:
            self._swept = now
            await self.store.sweep(self.holder, now)


def _check_form(form: Mapping[str, str]) -> None:
    if "grant_type" not in form:
        raise LdnError(Issue.INVALID, "grant_type is missing")
    if form["grant_type"] != GRANT_TYPE:
        text = f"only grant_type {GRANT_TYPE} is supported"
        raise LdnError(Issue.NOT_SUPPORTED, text, status=400)
    missing = [
        k for k in ("assertion", "client_assertion", "client_assertion_type") if k not in form
    ]
    if missing:
        raise LdnError(Issue.INVALID, f"missing: {', '.join(missing)}")
    if form["client_assertion_type"] != CLIENT_ASSERTION_TYPE:
        raise LdnError(Issue.INVALID, f"client_assertion_type must be {CLIENT_ASSERTION_TYPE}")


def _requester(claims: Claims, party: CertificateParty, scopes: frozenset[str]) -> Requester:
    if not _PURPOSE.fullmatch(claims.purpose):
        raise _bad_grant("assertion: purpose")
    return Requester(
        party.ura, scopes, claims.purpose, party.name, _person(claims), _patient(claims.patient)
    )


def _person(claims: Claims) -> Person | None:
    vouched = claims.person
    if vouched is None:
        return None
    fits = _UZI.fullmatch(vouched.uzi) and _ROLE.fullmatch(vouched.role)
    if not fits or len(vouched.name) > 200 or not vouched.name.isprintable():
        raise _bad_grant("assertion: person")
    return Person(vouched.uzi, vouched.role, vouched.name)


def _patient(text: str) -> Bsn | None:
    if not text:
        return None
    try:
        return Bsn.parse(text)
    except LdnError as error:
        raise _bad_grant("assertion: patient") from error


def _bad_grant(detail: str) -> LdnError:
    text = "the assertion is not accepted; make a fresh one"
    return LdnError(Issue.FORBIDDEN, text, detail=detail, status=400)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
