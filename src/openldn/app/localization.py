"""The role `localization`: the index of who holds data of whom, behind its gateway."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from starlette.routing import BaseRoute

from openldn.app import Role, Served
from openldn.app.common import Front, behind_gateway
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Identity, client_context
from openldn.base.log import emit
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import Settings
from openldn.base.sql import open_pool
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.functions.addressing.client import DirectoryClient
from openldn.functions.addressing.model import BGZ
from openldn.functions.authentication.settings import GatewaySettings
from openldn.functions.localization import api
from openldn.functions.localization.keys import key_of
from openldn.functions.localization.model import Opened
from openldn.functions.localization.nuts import Nuts, Probe, nuts_routes
from openldn.functions.localization.profiles import IG_MINISTRY, IG_NUTS, LIST_2026, PROFILES
from openldn.functions.localization.service import Index
from openldn.functions.pseudonyms.model import target
from openldn.functions.pseudonyms.recipient import Opener, opener
from openldn.trust.parties import Caller

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
        index = Index(pool, key, opening.open, utc_now, new_uuid, audiences)
        index.openable = lambda: bool(opening.opener.keys)
        await index.prepare()
        stack.push_async_callback(_stop, asyncio.create_task(_sweep(index)))
        routes = api.routes(
            index,
            settings.public.rstrip("/"),
            [p for p in PROFILES if p.name in settings.profiles],
        )
        if IG_NUTS in settings.profiles:
            routes = [*_older(settings, index, stack), *routes]
        app = application(routes, role="localization", new_id=new_uuid)
        front = Front(settings.public, settings.identity, pool)
        guarded, context = await behind_gateway(app, "localization", settings.gateway, front)
        yield (Served(guarded, settings.host, settings.port, context),)


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
