"""Tokens in use: kept, looked up with a short memory, and checked against what is shown."""

import base64
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from cryptography import x509

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates import thumbprint
from openldn.trust.tokens import dpop
from openldn.trust.tokens.model import Grant, ReadSaml, Shown
from openldn.trust.tokens.store import TokenStore
from openldn.trust.trail import Trail

_URL_SAFE = str.maketrans("-_", "+/")
FRESH = timedelta(seconds=5)  # how long a token is believed without asking the store again


class _Seen(NamedTuple):
    grant: Grant
    read: datetime
    until: datetime


@dataclass
class Presence:
    """The tokens of one holder, and what must be shown with them."""

    holder: Ura
    store: TokenStore
    clock: Clock
    known: Callable[[Ura], Awaitable[bool]]
    remembered: int
    _seen: OrderedDict[bytes, _Seen] = field(default_factory=OrderedDict, repr=False)

    async def keep(self, token: str, grant: Grant) -> None:
        """Keep a grant; its token is used at once, many times in parallel."""
        key = _hash(token)
        await self.store.add(key, grant)
        self._remember(key, grant, grant.issued)

    async def verified(self, shown: Shown) -> Grant:
        """What the token stands for, once all it is bound to was shown.

        Raises LdnError(login): a token that is shown with the wrong scheme, certificate or
        proof counts as little as one that does not exist.
        """
        now = self.clock()
        grant = await self._current(_hash(shown.token), now)
        if grant is None or not grant.issued <= now < grant.expires:
            raise _refused("token: unknown" if grant is None else "token: expired")
        self._require_certificate(grant, shown, now)
        await self._require_key(grant, shown, now)
        return grant

    async def by_saml(self, shown: Shown, read: ReadSaml | None) -> Grant:
        """What a SAML assertion stands for; raises LdnError(login) where none is taken."""
        if read is None:
            raise _refused("token: saml")
        try:
            padded = shown.token.rstrip("=").translate(_URL_SAFE)  # AORTA sends base64url
            assertion = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
        except ValueError as error:
            raise _refused("token: saml form") from error
        grant = await read(assertion, shown.certificate)
        if not await self.known(grant.requester.organization):
            raise _refused("client.known")
        return grant

    async def found(self, token: str) -> Grant | None:
        """The living grant of this token, for introspection; None when it does not count."""
        now = self.clock()
        grant = await self._current(_hash(token), now)
        return grant if grant and grant.issued <= now < grant.expires else None

    def _require_certificate(self, grant: Grant, shown: Shown, now: datetime) -> None:
        """Source: RFC 8705 §3; a connection may outlive its certificate, so time is looked at."""
        if not grant.binding.certificate:
            return
        if not shown.certificate:
            raise _refused("token: no certificate")
        own, begins, ends = _read(shown.certificate)
        if not hmac.compare_digest(grant.binding.certificate, own):
            raise _refused("token: other certificate")
        if not begins <= now <= ends:
            raise _refused("token: certificate expired")

    async def _require_key(self, grant: Grant, shown: Shown, now: datetime) -> None:
        """Source: RFC 9449 §7.1-2: no bound token as Bearer, no free one as DPoP."""
        bound = bool(grant.binding.key)
        if shown.scheme != ("dpop" if bound else "bearer"):
            raise _refused("dpop.scheme" if bound else "token: not bound to a key")
        if not bound:
            return
        call = dpop.Call(shown.method, shown.url, now, shown.token)
        trail = Trail()
        possession = dpop.check(shown.proof, call, trail)
        same = hmac.compare_digest(possession.key.encode(), grant.binding.key.encode())
        trail.require(same, dpop.BOUND)
        fresh = await self.store.use(self.holder, [possession.used], now + dpop.KEPT)
        trail.require(bool(fresh), dpop.ONCE)

    async def _current(self, key: bytes, now: datetime) -> Grant | None:
        seen = self._seen.get(key)
        if seen and seen.read <= now < seen.until:
            return seen.grant
        self._seen.pop(key, None)
        grant = await self.store.find(self.holder, key)
        if grant is None or not await self.known(grant.requester.organization):
            return None
        self._remember(key, grant, now)
        return grant

    def _remember(self, key: bytes, grant: Grant, now: datetime) -> None:
        self._seen[key] = _Seen(grant, now, now + FRESH)
        while len(self._seen) > self.remembered:
            self._seen.popitem(last=False)


@lru_cache(maxsize=4096)
def _read(der: bytes) -> tuple[str, datetime, datetime]:
    """Thumbprint and validity; a connection shows the same certificate many times."""
    certificate = x509.load_der_x509_certificate(der)
    return thumbprint(der), certificate.not_valid_before_utc, certificate.not_valid_after_utc


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _refused(detail: str) -> LdnError:
    text = "the access token does not count here; ask a new one"
    return LdnError(Issue.LOGIN, text, detail=detail)
