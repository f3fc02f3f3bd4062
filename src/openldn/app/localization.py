"""The role `localization`: the index of who holds data of whom, behind its gateway."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from openldn.app import Role, Served
from openldn.app.common import Front, behind_gateway
from openldn.app.evidence import Evidence, open_evidence
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Identity, client_context
from openldn.base.log import emit, ended
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import Settings
from openldn.base.sql import open_pool
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.functions.addressing.client import DirectoryClient
from openldn.functions.addressing.model import BGZ
from openldn.functions.audit.catalogue import SYSTEMS
from openldn.functions.audit.elements import masked
from openldn.functions.audit.model import Event, Thing
from openldn.functions.authentication.settings import GatewaySettings
from openldn.functions.localization import api
from openldn.functions.localization.keys import key_of
from openldn.functions.localization.model import Filter, Find, Happened, Opened, Register, Remove
from openldn.functions.localization.nuts import Nuts, Probe, nuts_routes
from openldn.functions.localization.profiles import IG_MINISTRY, IG_NUTS, LIST_2026, PROFILES
from openldn.functions.localization.service import Index
from openldn.functions.pseudonyms.model import target
from openldn.functions.pseudonyms.recipient import Opener, opener
from openldn.trust.parties import CALLER, Caller, caller_of

RESOURCES = SYSTEMS["RT"]  # the kinds of resource
_SWEEP = 60.0  # seconds between two looks at what is remembered of tokens
_PROBING = 3.0  # seconds a holder has to say whether its record may be shown


class TokenSettings(Settings, frozen=True):
    """How tokens for patients are opened: made by the pseudonym service for this index alone."""

    recipient: str  # as the pseudonym service knows the index: "oin:…" or "ura:…"
    keys: tuple[Path, ...] = ()  # private keys (PEM, RSA) registered there; none: tokens wait (503)
    names: tuple[str, ...] = ()  # other names of the index in a token's `aud`
    info: str = "info-oin"  # info string profile, or the whole string
    scope: str = ""  # empty: that of the info string


class LocalizationSettings(Settings, frozen=True):
    """Settings of the role `localization`, the index."""

    dsn: str  # PostgreSQL database of the index alone
    certificate: Path  # server certificate, leaf first
    key_file: Path
    ca: Path  # the authorities whose parties may come in
    public: str  # origin that callers reach the index at
    index_key: Path  # made at first start, kept as long as there are records
    tokens: TokenSettings  # how tokens for patients are opened
    profiles: tuple[str, ...] = (LIST_2026.name, IG_MINISTRY.name)  # also ig-nuts, the older form
    audiences: tuple[str, ...] = ()  # taken in a token; empty: what the gateway takes
    addressing: str = ""  # FHIR base of the directory; ig-nuts shows addresses from it
    probe_holder: bool = False  # ig-nuts: ask the holder (HEAD) before its record is shown
    audit_key: Path | None = None  # of the evidence log, kept as long as it; None: beside key_file
    audit_keep_days: int = 1827  # how long evidence is kept; five years at least
    gateway: GatewaySettings = msgspec.field(default_factory=GatewaySettings)  # who comes in
    connections: int = 16  # to the database, at once
    host: str = "127.0.0.1"
    port: int = 8443

    @property
    def identity(self) -> Identity:
        """What the index shows on its connections and whom it believes."""
        return Identity(self.certificate, self.key_file, self.ca)


@dataclass(frozen=True)
class Tokens:
    """Opens tokens for patients, off the event loop: an RSA operation takes a millisecond."""

    opener: Opener = field(repr=False)

    async def open(self, token: str) -> Opened:
        """What is in a token; raises LdnError(transient) while there is no key."""
        if not self.opener.keys:
            text = "the index has no key to open tokens with; try again later; its operator's turn"
            raise LdnError(Issue.TRANSIENT, text, detail="no key")
        return await asyncio.to_thread(self.opener.open, token)


@asynccontextmanager
async def localization(settings: LocalizationSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The index in every profile that is on, behind the gateway."""
    if unknown := set(settings.profiles) - {*(p.name for p in PROFILES), IG_NUTS}:
        raise LdnError(Issue.INVALID, f"no profile of localization: {', '.join(sorted(unknown))}")
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings.dsn, size=settings.connections)
        stack.push_async_callback(pool.close)
        opening = Tokens(_opener(settings.tokens))
        key, audiences = key_of(settings.index_key), frozenset(settings.audiences)
        evidence = await stack.enter_async_context(
            open_evidence("localization", settings, personal=False)
        )
        index = Index(pool, key, opening.open, utc_now, new_uuid, audiences)
        index.openable = lambda: bool(opening.opener.keys)
        index.tell = Told(evidence)
        await index.prepare()
        running = asyncio.create_task(_sweep(index))
        running.add_done_callback(ended)
        stack.push_async_callback(_stop, running)
        routes = api.routes(
            index,
            settings.public.rstrip("/"),
            [p for p in PROFILES if p.name in settings.profiles],
        )
        if IG_NUTS in settings.profiles:
            routes = [*_older(settings, index, stack), *routes]
        app = application(routes, role="localization", new_id=new_uuid)
        app = replace(app, inner=_denials(app.inner, evidence))
        front = Front(settings.public, settings.identity, pool, evidence)
        guarded, context = await behind_gateway(app, "localization", settings.gateway, front)
        yield (Served(guarded, settings.host, settings.port, context),)


@dataclass(frozen=True)
class Told:
    """What happened in the index as evidence, with a keyed digest for the patient (rule G10)."""

    evidence: Evidence

    async def __call__(self, happened: Sequence[Happened]) -> None:
        """Keep it; raises LdnError(transient) when that cannot be: then it does not happen."""
        events = [event for one in happened for event in self._events(one)]
        if events:
            await self.evidence.record(events)

    def _events(self, one: Happened) -> Iterator[Event]:
        """What changes nothing and discloses nothing is none: a registration that stands."""
        records, about = one.done.records, {"subject": one.subject}
        lists = tuple(Thing(f"List/{record.id}") for record in records)
        match one.act:
            case Register() if records:
                yield self._event("localization-registered", one, **about, things=lists)
            case Remove() if records and one.act.filter.id:
                yield self._event("localization-removed", one, **about, things=lists)
            case Remove() if records:
                yield self._event("localization-removed-all", one, **about, count=len(records))
            case Find(own=False) if one.subject:
                holders = len({record.custodian for record in records})
                query = f"GET List?subject:identifier=***{_category(one.act.filter)}"
                yield self._event("localization-queried", one, **about, query=query, count=holders)

    def _event(self, code: str, one: Happened, **facts: Any) -> Event:
        return self.evidence.event(code, one.caller, **facts)


def _category(filter: Filter) -> str:
    return f"&code={masked(filter.category)}" if filter.category else ""


def _denials(inner: ASGIApp, evidence: Evidence) -> ASGIApp:
    """The index, and whoever is refused something that is not theirs is in the evidence."""

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await inner(scope, receive, send)
        except LdnError as error:
            if error.status == 403 and CALLER in scope:
                await evidence.record([_denied(scope, error, evidence)])
            raise

    return watched


def _denied(scope: Scope, error: LdnError, evidence: Evidence) -> Event:
    about = Thing(id="List", system=RESOURCES, description=f"{scope['method']}: {error.message}")
    return evidence.event(
        "localization-denied",
        caller_of(scope),
        things=(about,),
        outcome="8",
        reason=error.detail or error.message,
    )


def _opener(settings: TokenSettings) -> Opener:
    to = target(settings.recipient, settings.info, scope=settings.scope)
    return opener(settings.keys, frozenset({to.organization, *settings.names}), to, utc_now)


def _older(settings: LocalizationSettings, index: Index, stack: AsyncExitStack) -> list[BaseRoute]:
    """The routes of ig-nuts, with addresses from the directory."""
    http = HttpClient(client_context(settings.identity))
    stack.push_async_callback(http.close)
    address = _address(settings, http)
    probe = _probe(address, http) if settings.probe_holder else None
    return nuts_routes(Nuts(index, address, probe))


def _address(settings: LocalizationSettings, http: HttpClient) -> Callable[[Ura], Awaitable[str]]:
    directory = DirectoryClient(http, settings.addressing, utc_now)

    async def address(holder: Ura) -> str:
        if not settings.addressing:
            raise LdnError(Issue.NOT_FOUND, "there is no directory to look in")
        return (await directory.endpoint(holder, BGZ)).url

    return address


def _probe(address: Callable[[Ura], Awaitable[str]], http: HttpClient) -> Probe:
    async def probe(holder: Ura, caller: Caller) -> bool:
        """Whether the holder answers a HEAD; one that cannot be asked shows nothing."""
        try:
            reply = await http.send("HEAD", await address(holder), deadline=_PROBING)
        except LdnError:
            return False
        return 200 <= reply.status < 300

    return probe


async def _sweep(index: Index) -> None:
    while True:
        await asyncio.sleep(_SWEEP)
        try:
            await index.sweep()
        except LdnError as error:
            emit("failed", issue=str(error.issue), detail=error.detail or "sweep")


async def _stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


ROLE = Role(LocalizationSettings, localization)
