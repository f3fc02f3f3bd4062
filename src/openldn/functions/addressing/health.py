"""Whether an address in the directory works: who answers there, and as what it says it is.

Only addresses of Endpoints are tried, over HTTPS and with our own certificate, through the
client all questions go through; nothing is followed elsewhere. Source: specification §7.6.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import Clock
from openldn.fhir.codec import parse
from openldn.fhir.model import Resource
from openldn.functions.addressing.resources import REST, fhir_versions, only_notified

OK, TLS, TIMEOUT, UNREACHABLE = "ok", "tls", "timeout", "unreachable"
REFUSED, STATUS, NOT_FHIR, VERSION, ADDRESS = "refused", "status", "not-fhir", "version", "address"
_SAID = {  # what can be done, and by whom
    OK: "answers as the directory says",
    TLS: "no certificate that we trust, or ours is not trusted there; its operator's turn",
    TIMEOUT: "no answer in time; its operator's turn when this goes on",
    UNREACHABLE: "cannot be reached; its operator's turn when this goes on",
    REFUSED: "refuses who we are; ask its operator whether we are known there",
    STATUS: "answers with a failure; its operator's turn",
    NOT_FHIR: "does not answer with a CapabilityStatement; its operator's turn",
    VERSION: "speaks another FHIR version than the directory says; its operator's turn",
    ADDRESS: "is no https address that may be tried; its operator's turn",
}
_HEADERS = {"accept": "application/fhir+json"}
_WELL_KNOWN = "/.well-known/oauth-authorization-server"
_STALE = timedelta(hours=1)


@dataclass(frozen=True)
class Health:
    """How an address answered when it was last tried."""

    directory: str
    endpoint: str  # id of the Endpoint
    address: str
    tried: datetime
    kind: str
    said: str
    milliseconds: int = 0
    ok: datetime | None = None  # the last time it worked
    failed: datetime | None = None  # the last time it did not
    failure: str | None = None  # how that came out

    def stale(self, now: datetime, after: timedelta = _STALE) -> bool:
        """Whether it is too long ago that anyone tried."""
        return now - self.tried > after


@dataclass(frozen=True)
class Prober:
    """Tries addresses, a few at a time, each within a deadline."""

    http: HttpClient  # shows our certificate; `largest` bounds what it reads
    clock: Clock
    deadline: float = 5.0  # seconds for one address
    at_once: int = 16  # more than one party has addresses, so that one that hangs stops no other
    _room: asyncio.Semaphore = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_room", asyncio.Semaphore(self.at_once))

    async def probe(self, directory: str, endpoints: Iterable[Resource]) -> list[Health]:
        """How each of these Endpoints of a directory answers; never raises for one of them."""
        active = [e for e in endpoints if e.get("status") == "active" and "id" in e]
        return list(await asyncio.gather(*(self._one(directory, e) for e in active)))

    async def _one(self, directory: str, endpoint: Resource) -> Health:
        address = str(endpoint.get("address", ""))
        begun = self.clock()
        async with self._room:
            kind = await self._kind(address, endpoint) if probed(address) else ADDRESS
        now = self.clock()
        spent = max(0, int((now - begun).total_seconds() * 1000))
        base = Health(directory, str(endpoint["id"]), address, now, kind, _SAID[kind], spent)
        return replace(base, ok=now) if kind == OK else replace(base, failed=now, failure=kind)

    async def _kind(self, address: str, endpoint: Resource) -> str:
        way = _way(endpoint)
        url = way.url(address)
        try:
            reply = await self.http.send(way.method, url, headers=_HEADERS, deadline=self.deadline)
        except LdnError as error:
            return _failure(error)
        return way.judge(reply, endpoint)


def probed(address: str) -> bool:
    """Whether this address may be tried: plain https, and nothing hidden in it."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    hidden = parts.username or parts.password or parts.query or parts.fragment
    return parts.scheme == "https" and bool(parts.hostname) and not hidden and port != 0


def _described(address: str) -> str:
    return address.rstrip("/") + "/metadata"


def _well_known(address: str) -> str:
    """Where an issuer tells about itself. Source: RFC 8414 §3."""
    parts = urlsplit(address)
    return f"https://{parts.netloc}{_WELL_KNOWN}{parts.path.rstrip('/')}"


def _failure(error: LdnError) -> str:
    if error.issue is Issue.TIMEOUT:
        return TIMEOUT
    return TLS if "certificate" in error.message else UNREACHABLE


def _as_any(reply: Reply, endpoint: Resource) -> str:
    """Of what is no FHIR endpoint a well-formed answer proves that somebody is there."""
    return STATUS if reply.status >= 500 else OK


def _as_fhir(reply: Reply, endpoint: Resource) -> str:
    if reply.status in {401, 403}:
        return REFUSED
    if reply.status != 200:
        return STATUS
    try:
        found = parse(reply.body)
    except LdnError:
        return NOT_FHIR
    if not isinstance(found, dict) or found.get("resourceType") != "CapabilityStatement":
        return NOT_FHIR
    spoken = str(found.get("fhirVersion", ""))
    promised = fhir_versions(endpoint)
    fits = not promised or any(spoken.startswith(version.mime) for version in promised)
    return OK if fits else VERSION


def _as_notified(reply: Reply, endpoint: Resource) -> str:
    """Any answer but that there is nothing: one may ask for a token, or refuse the method."""
    if reply.status == 403:
        return REFUSED
    return STATUS if reply.status >= 500 or reply.status in {404, 410} else OK


@dataclass(frozen=True)
class _Way:
    """How one kind of address is tried."""

    method: str
    url: Callable[[str], str]  # of what is asked, by the address
    judge: Callable[[Reply, Resource], str]


_FHIR = _Way("GET", _described, _as_fhir)
_ISSUER = _Way("GET", _well_known, _as_any)
_NOTIFIED = _Way("OPTIONS", str, _as_notified)  # a POST without a body can be a notification


def _way(endpoint: Resource) -> _Way:
    if endpoint.get("connectionType", {}).get("code") != REST:
        return _ISSUER
    return _NOTIFIED if only_notified(endpoint) else _FHIR


@dataclass(frozen=True)
class Standing:
    """One line for people: an address, whether it works, and how old that knowledge is."""

    endpoint: str
    address: str
    kind: str
    said: str
    age: timedelta  # since it was last tried
    stale: bool
    ok: datetime | None


def shown(found: Sequence[Health], now: datetime, after: timedelta = _STALE) -> list[Standing]:
    """What a page shows of these addresses: what does not work first, then the oldest."""
    ordered = sorted(found, key=lambda h: (h.kind == OK, h.tried, h.endpoint))
    return [
        Standing(h.endpoint, h.address, h.kind, h.said, now - h.tried, h.stale(now, after), h.ok)
        for h in ordered
    ]
