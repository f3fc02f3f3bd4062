"""The evidence that a national service keeps: a log of its own, which only its operator may read.

The functions tell what happened in facts of their own; here those become events of the catalogue.
What every event has from the request (time, request id, address) is added here.

Source: specification of audit events §8.4, §8.6; rules G03, G08, G09, G10.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from openldn.app.status import certificate_of
from openldn.base.errors import Issue, LdnError
from openldn.base.http import Identity, peer_certificate
from openldn.base.log import ended
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import open_pool
from openldn.fhir.http import Rim, unrimmed
from openldn.fhir.identifiers import Oin
from openldn.functions.audit import api
from openldn.functions.audit.evidence_api import PATH
from openldn.functions.audit.heads import HeadKey, Kept
from openldn.functions.audit.model import Event, Party, Source
from openldn.functions.audit.retention import retire_forever
from openldn.functions.audit.service import AuditLog, key_of
from openldn.functions.audit.spool import Spool
from openldn.functions.audit.vouching import Vouching
from openldn.functions.authentication.party import party_on
from openldn.trust.parties import CALLER, Caller, caller_of

CONNECTIONS = 3  # to the database: one writes, two read; of their own, so that no act waits for one
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Keeps(Protocol):
    """The settings of a role that keeps evidence."""

    @property
    def dsn(self) -> str:
        """The database of the role."""
        ...

    @property
    def certificate(self) -> Path:
        """What it shows on its connections: whose log it is."""
        ...

    @property
    def key_file(self) -> Path:
        """The key of that certificate."""
        ...

    @property
    def ca(self) -> Path:
        """Whom it believes."""
        ...

    @property
    def public(self) -> str:
        """Origin that callers reach the role at."""
        ...

    @property
    def audit_key(self) -> Path | None:
        """The key of the log; None: beside `key_file`."""
        ...

    @property
    def audit_keep_days(self) -> int:
        """How long events are kept."""
        ...


@dataclass(frozen=True)
class _Moment:
    """The request under way, as its evidence tells it."""

    started: datetime
    scope: Scope = field(repr=False)

    def told(self, event: Event, ended: datetime) -> Event:
        """The event with what it has from the request."""
        request = Request(self.scope)
        address = request.client.host if request.client else ""
        client = replace(event.client, address=address) if event.client else None
        trace = request.headers.get("traceparent", "")
        return replace(
            event,
            started=self.started,
            ended=ended,
            client=client,
            correlation=getattr(request.state, "correlation", ""),
            trace=trace if _TRACE.fullmatch(trace) else "",
        )


_MOMENT: ContextVar[_Moment | None] = ContextVar("openldn.evidence", default=None)


@dataclass(frozen=True)
class Evidence:
    """The log of one role."""

    log: AuditLog
    vouching: Vouching

    async def record(self, events: Sequence[Event]) -> None:
        """Write these durably, with what they have from the request under way.

        Raises LdnError(transient) when that cannot be: what they tell of must not happen then.
        """
        moment, now = _MOMENT.get(), self.log.clock()
        told = [moment.told(event, now) if moment else event for event in events]
        await self.log.record(told)

    def event(self, code: str, caller: Caller | None = None, **facts: Any) -> Event:
        """An event of what this caller did; the caller of the request unless another is named."""
        who = caller or _caller()
        if who is not None:
            number = who.acting or str(who.oin or who.organization)
            facts = {
                "client": Party(number),
                "organization": who.oin or who.organization,
                "organization_name": who.name,
                **facts,
            }
        return Event(code, self.log.clock(), **facts)

    def around(self, app: Rim) -> Rim:
        """The role with its log at `/api/audit`, and each request under way known here."""
        own = unrimmed(api.routes(self.log, self.vouching, _own))

        def wrapped(inner: ASGIApp) -> ASGIApp:
            async def kept(scope: Scope, receive: Receive, send: Send) -> None:
                if scope["type"] != "http":
                    await inner(scope, receive, send)
                elif scope["path"] == PATH or scope["path"].startswith(f"{PATH}/"):
                    await own(scope, receive, send)
                else:
                    await self._during(inner, scope, receive, send)

            return kept

        return replace(app, inner=wrapped(app.inner))

    async def _during(self, inner: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        before = _MOMENT.set(_Moment(self.log.clock(), scope))
        try:
            await inner(scope, receive, send)
        finally:
            _MOMENT.reset(before)


def outcome_of(error: LdnError) -> str:
    """The outcome of what failed. Source: specification of audit events §8.5."""
    if error.issue in {Issue.TRANSIENT, Issue.EXCEPTION}:
        return "12"
    refused = error.status in {401, 403} or error.status >= 500
    return "8" if refused else "4"


def request_under_way() -> Scope | None:
    """The request that is served now, if one is."""
    moment = _MOMENT.get()
    return moment.scope if moment else None


def _caller() -> Caller | None:
    scope = request_under_way()
    return caller_of(scope) if scope is not None and CALLER in scope else None


def _own(request: Request, log: AuditLog) -> None:
    """Raises LdnError(forbidden) unless the organization that keeps the log asks."""
    if party_on(peer_certificate(request.scope), log.clock()).id != str(log.source.holder):
        text = "an audit log is shown to the organization that keeps it, with its own certificate"
        raise LdnError(Issue.FORBIDDEN, text)


@asynccontextmanager
async def open_evidence(
    role: str, settings: Keeps, *, personal: bool = True, kind: str = "4"
) -> AsyncIterator[Evidence]:
    """The log of a role, with what goes on beside it: heads, what waited, retention.

    A service that may know no BSN is not `personal`; `kind` is 4 for an application, 6 for a
    gateway (security-source-type). Raises LdnError: transient when the database is away, exception
    for a key or certificate that cannot be used.
    """
    # one key of each role: beside it stand the heads of its log
    sealing = settings.audit_key or settings.key_file.with_name(f"{role}-audit.key")
    source = _source(role, settings, kind, personal=personal)
    pool = await open_pool(settings.dsn, size=CONNECTIONS)
    try:
        spool = Spool(sealing.with_suffix(".spool"))
        log = AuditLog(pool, source, key_of(sealing), utc_now, new_uuid, spool=spool)
        await log.prepare()
        heads = Kept(sealing.with_suffix(".heads"))
        vouching = Vouching(log, HeadKey.at(sealing.with_suffix(".heads.pem")), heads)
        kept = timedelta(days=settings.audit_keep_days)
        tasks = [*map(asyncio.create_task, (vouching.run(), retire_forever(vouching, kept)))]
        for task in tasks:
            task.add_done_callback(ended)
        try:
            yield Evidence(log, vouching)
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await log.close()
    finally:
        await pool.close()


def _source(role: str, settings: Keeps, kind: str, *, personal: bool) -> Source:
    identity = Identity(settings.certificate, settings.key_file, settings.ca)
    party = party_on(certificate_of(identity), utc_now())
    holder = party.ura or Oin.parse(party.id)
    node = urlsplit(settings.public).hostname or role
    return Source(holder, node, settings.public, kind=kind, personal=personal)
