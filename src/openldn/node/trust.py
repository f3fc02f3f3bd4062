"""The trust state of one node, for its own organization: keys, credentials, peers, refusals."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, instant
from openldn.exchanges import EXCHANGES
from openldn.fhir.http import respond_json
from openldn.fhir.identifiers import Ura
from openldn.functions.addressing.model import Directory, Endpoint, Organization
from openldn.node.api import Own
from openldn.node.keys import KeyShown, Revocation
from openldn.node.refusing import OWN
from openldn.trust.dealings.advice import advice_of, turn_of
from openldn.trust.dealings.model import MOST, Contact, Direction, Wanted
from openldn.trust.dealings.rules import OTHER, rules
from openldn.trust.dealings.service import Dealings
from openldn.trust.dealings.store import Kept

_SHOWN = 50  # refusals in the whole state
_AGES = 10**9  # seconds; the age of a copy from before the clock was set back has no end
_CODE = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
_DIGITS = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True)
class CredentialShown:
    """A credential in the node's wallet, as far as an operator needs it."""

    type: str
    issuer: str
    subject: str
    begins: datetime | None
    ends: datetime | None
    status: str  # good, revoked, unknown


@dataclass(frozen=True)
class DocumentShown:
    """A document of another party that trust rests on."""

    what: str  # crl, ocsp, did, status-list, key-set, metadata
    host: str
    age: float  # seconds since it was fetched
    state: str  # fresh, serving, ended, failed


class Credentials(Protocol):
    """The port of the wallet, as its owner sees it."""

    async def shown(self) -> Sequence[CredentialShown]:
        """Every credential the wallet holds; raises LdnError when it cannot be read."""
        ...


class Fetched(Protocol):
    """The port of the documents that trust rests on."""

    def shown(self) -> Sequence[DocumentShown]:
        """Every document we hold, and those we could not get."""
        ...


class Revocations(Protocol):
    """The port of what is known of the revocation of our own certificates."""

    async def of(self, key: KeyShown) -> Revocation:
        """What we know now; never fetches while the caller waits."""
        ...


@dataclass(frozen=True)
class TrustState:
    """Where the state of one node comes from; what is not connected is told as a reason."""

    ura: Ura
    name: str
    infrastructure: str
    keys: Callable[[], Sequence[KeyShown]]  # read anew each time: a key may be renewed
    directory: Directory
    dealings: Dealings
    clock: Clock
    credentials: Credentials | None = None
    documents: Fetched | None = None
    revocations: Revocations | None = None
    profile: Callable[[str], str] = lambda road: ""  # road -> name of the peer profile
    waiting: Callable[[], Awaitable[int]] | None = None  # broken glass that nobody reviewed yet
    undelivered: Callable[[], Awaitable[int]] | None = None  # messages that were given up
    more: Mapping[str, Any] = field(default_factory=lambda: OWN)  # rules of the node itself

    async def whole(self) -> dict[str, Any]:
        """Everything, as JSON; a part that cannot be told is empty and has its reason."""
        reasons: dict[str, str] = {}
        state = {
            "moment": instant(self.clock()),
            "organization": {"ura": str(self.ura), "name": self.name},
            "infrastructure": self.infrastructure,
            "keys": [await self._key(key) for key in self.keys()],
            "credentials": await self._part(reasons, "credentials", self._credentials),
            "peers": await self._part(reasons, "peers", self._peers),
            "refusals": await self._part(reasons, "refusals", self._latest),
            "documents": await self._part(reasons, "documents", self._documents),
        }
        counts = {
            "lost": self.dealings.lost,
            "waiting": await _counted(self.waiting),
            "undelivered": await _counted(self.undelivered),
        }
        return {**state, **counts, "reasons": reasons}

    async def _part(
        self,
        reasons: dict[str, str],
        name: str,
        tell: Callable[[], Awaitable[list[dict[str, Any]]]],
    ) -> list[dict[str, Any]]:
        try:
            return await tell()
        except LdnError as error:
            reasons[name] = error.message
            return []

    async def _key(self, key: KeyShown) -> dict[str, Any]:
        if self.revocations is None or not key.thumbprint:
            return key.told()
        return replace(key, revocation=await self.revocations.of(key)).told()

    async def _credentials(self) -> list[dict[str, Any]]:
        if self.credentials is None:
            raise LdnError(Issue.NOT_FOUND, "no wallet is connected to this node")
        return [
            {
                "type": c.type,
                "issuer": c.issuer,
                "subject": c.subject,
                "from": instant(c.begins) if c.begins else None,
                "until": instant(c.ends) if c.ends else None,
                "days": (c.ends - self.clock()).days if c.ends else None,
                "status": c.status,
            }
            for c in await self.credentials.shown()
        ]

    async def _documents(self) -> list[dict[str, Any]]:
        if self.documents is None:
            text = "this node rests on no documents of other parties, or does not tell of them"
            raise LdnError(Issue.NOT_FOUND, text)
        return [
            {"what": d.what, "host": d.host, "age": round(min(d.age, _AGES)), "state": d.state}
            for d in self.documents.shown()
        ]

    async def _peers(self) -> list[dict[str, Any]]:
        contacts = {(c.peer, c.direction): c for c in await self._contacts()}
        found = await self.directory.organizations()
        return [await self._peer(o, contacts) for o in found if o.ura != self.ura]

    async def _contacts(self) -> list[Contact]:
        return await self.dealings.store.contacts(self.ura)

    async def _peer(
        self, organization: Organization, contacts: Mapping[tuple[str, Direction], Contact]
    ) -> dict[str, Any]:
        endpoint = await self._endpoint(organization) if organization.active else None
        road = endpoint.infrastructure if endpoint else ""
        ura = str(organization.ura)

        def last(direction: Direction) -> str | None:
            contact = contacts.get((ura, direction))
            return instant(contact.moment) if contact else None

        return {
            "ura": ura,
            "name": organization.name,
            "active": organization.active,
            "infrastructure": road,
            "profile": self.profile(road) if road else "",
            "token_in": last(Direction.IN),
            "token_out": last(Direction.OUT),
            "authorization_server": endpoint.authorization_server if endpoint else "",
        }

    async def _endpoint(self, organization: Organization) -> Endpoint | None:
        for exchange in EXCHANGES.values():
            try:
                return await self.directory.endpoint(organization.ura, exchange.payload)
            except LdnError as error:
                if error.issue is not Issue.NOT_FOUND:
                    raise
        return None

    async def _latest(self) -> list[dict[str, Any]]:
        return await self.refusals(Wanted(count=_SHOWN))

    async def refusals(self, wanted: Wanted) -> list[dict[str, Any]]:
        """The refusals that are wanted, in words; raises LdnError when the store is away."""
        return [self._told(kept) for kept in await self.dealings.store.refusals(self.ura, wanted)]

    def _told(self, kept: Kept) -> dict[str, Any]:
        refusal = kept.refusal
        rule = rules().get(refusal.code) or self.more.get(refusal.code) or OTHER
        advice = advice_of(refusal.code)
        return {
            "number": kept.number,
            "moment": instant(refusal.moment),
            "correlation": refusal.correlation,
            "direction": refusal.direction.value,
            "peer": refusal.peer,
            "dialect": refusal.dialect,
            "code": refusal.code,
            "rule": rule.text,
            "source": rule.source,
            "turn": turn_of(advice, refusal.direction),
            "advice": {"key": advice.key, "text": advice.text},
        }


async def _counted(count: Callable[[], Awaitable[int]] | None) -> int:
    """How many; 0 while the store is away, which the parts with a reason tell."""
    try:
        return await count() if count else 0
    except LdnError:
        return 0


def trust_routes(state: TrustState) -> list[BaseRoute]:
    """`GET /api/trust` and `GET /api/trust/refusals`, for the node's own organization only."""
    own = Own(state.ura)

    async def trust(request: Request) -> Response:
        """GET: the whole state, with the latest refusals."""
        own(request)
        return respond_json(await state.whole())

    async def refusals(request: Request) -> Response:
        """GET ?peer=&code=&direction=&since=&until=&before=&count=: refusals, newest first."""
        own(request)
        wanted = wanted_of(parse_qsl(request.url.query, keep_blank_values=True))
        found = await state.refusals(replace(wanted, count=wanted.count + 1))
        page, more = found[: wanted.count], found[wanted.count :]
        following = ""
        if more:
            following = f"/api/trust/refusals?{urlencode(_pairs(wanted, page[-1]['number']))}"
        return respond_json({"refusals": page, "next": following, "lost": state.dealings.lost})

    return [
        Route("/api/trust", trust, methods=["GET"]),
        Route("/api/trust/refusals", refusals, methods=["GET"]),
    ]


def wanted_of(pairs: Sequence[tuple[str, str]]) -> Wanted:
    """The filter in these parameters; raises LdnError(invalid) that names the parameter."""
    given = dict(pairs)
    if len(given) != len(pairs):
        raise LdnError(Issue.INVALID, "a parameter comes twice; give each once")
    if not set(given) <= set(_READERS):
        text = f"an unknown parameter; there are: {', '.join(_READERS)}"
        raise LdnError(Issue.INVALID, text)
    values: dict[str, Any] = {n: _READERS[n](n, v) for n, v in given.items() if v}
    return Wanted(**values)


def _ura(name: str, value: str) -> str:
    return Ura.parse(value).value


def _code(name: str, value: str) -> str:
    if not _CODE.fullmatch(value):
        raise _unreadable(name, "a code such as jwt.signature")
    return value


def _direction(name: str, value: str) -> str:
    if value not in set(Direction):
        raise _unreadable(name, "in or out")
    return value


def _moment(name: str, value: str) -> datetime:
    form = "a day or a moment with a time zone, such as 2027-03-01 or 2027-03-01T12:00:00Z"
    try:
        found = datetime.fromisoformat(value if "T" in value else f"{value}T00:00:00+00:00")
    except ValueError as error:
        raise _unreadable(name, form) from error
    if found.tzinfo is None:
        raise _unreadable(name, form)
    return found


def _number(name: str, value: str) -> int:
    if not _DIGITS.fullmatch(value):
        raise _unreadable(name, "a number")
    return int(value)


def _count(name: str, value: str) -> int:
    return max(1, min(_number(name, value), MOST))


def _unreadable(name: str, form: str) -> LdnError:
    return LdnError(Issue.INVALID, f"{name}: give {form}", where=name)


_READERS: Mapping[str, Callable[[str, str], Any]] = {
    "peer": _ura,
    "code": _code,
    "direction": _direction,
    "since": _moment,
    "until": _moment,
    "before": _number,
    "count": _count,
}


def _pairs(wanted: Wanted, before: int) -> list[tuple[str, str]]:
    pairs = [
        ("peer", wanted.peer),
        ("code", wanted.code),
        ("direction", wanted.direction),
        ("since", wanted.since.isoformat() if wanted.since else ""),
        ("until", wanted.until.isoformat() if wanted.until else ""),
        ("before", str(before)),
        ("count", str(wanted.count)),
    ]
    return [(name, value) for name, value in pairs if value]
