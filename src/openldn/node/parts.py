"""The parts of one running node, put together from its settings."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

from starlette.requests import Request
from starlette.routing import BaseRoute

from openldn.base.log import emit
from openldn.base.runtime import Clock, NewId
from openldn.base.sql import open_pool
from openldn.conformity.stations import CareStation
from openldn.exchanges import EXCHANGES
from openldn.fhir.api import Interaction
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.store import Records
from openldn.functions.addressing.client import DirectoryClient
from openldn.functions.audit.api import routes as audit_routes
from openldn.functions.audit.model import Source as Keeper
from openldn.functions.audit.service import AuditLog, key_of
from openldn.functions.authorization.model import Consent
from openldn.infrastructures.direct import Direct
from openldn.infrastructures.model import Infrastructure
from openldn.node.api import Own, ask_routes
from openldn.node.ask import Asker, noting
from openldn.node.clients import Clients
from openldn.node.evidence import Gathered
from openldn.node.keys import keys_of
from openldn.node.publish import keep_publishing
from openldn.node.refusing import Keeping
from openldn.node.serve import Holder, serve_routes
from openldn.node.settings import STATION, NodeSettings
from openldn.node.sources import RemoteSource, Source, StationSource
from openldn.node.trust import TrustState, trust_routes
from openldn.patterns.exchange import Pattern
from openldn.patterns.pull import Pull
from openldn.trust.certificates import Anchors
from openldn.trust.dealings.service import Dealings
from openldn.trust.dealings.store import DealingsStore
from openldn.trust.tokens.api import routes as token_routes
from openldn.trust.tokens.client import TokenClient
from openldn.trust.tokens.service import AuthorizationServer
from openldn.trust.tokens.signer import Signer
from openldn.trust.tokens.store import TokenStore

# The roads a holder can be on. Each gets an adapter of its own in time; until then the direct
# one, FHIR from node to node, stands in for all.
ROADS = ("direct", "lsp", "zorgplatform", "nuts")
DATABASE_CONNECTIONS = 12


@dataclass(frozen=True)
class NodeParts:
    """What a node consists of while it runs."""

    settings: NodeSettings
    records: Records
    audit: AuditLog
    directory: DirectoryClient
    server: AuthorizationServer
    holder: Holder
    asker: Asker
    pull: Pull
    dealings: Dealings


@dataclass(frozen=True)
class Kept:
    """What a node keeps beside its records."""

    audit: AuditLog
    tokens: TokenStore
    dealings: Dealings


@asynccontextmanager
async def open_node(
    settings: NodeSettings, clock: Clock, new_id: NewId
) -> AsyncIterator[NodeParts]:
    """A node with its database, connections and entry in the directory, for as long as it runs.

    Raises LdnError: transient when the database is away, exception for certificate files that
    cannot be used.
    """
    if settings.insecure_presumed_consent:
        emit("insecure", setting="insecure_presumed_consent")
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings.dsn, size=DATABASE_CONNECTIONS, minimum=2)
        stack.push_async_callback(pool.close)
        clients = Clients(settings.identity)
        stack.push_async_callback(clients.close)
        records = Records(pool, clock, new_id)
        keeper = Keeper(settings.holder, settings.key, settings.fhir(FhirVersion.STU3))
        audit = AuditLog(pool, keeper, key_of(settings.sealing_key), clock, new_id)
        stack.push_async_callback(audit.close)
        tokens, dealings = TokenStore(pool), Dealings(settings.holder, DealingsStore(pool))
        for part in (records, audit, tokens, dealings.store):
            await part.prepare()
        stack.push_async_callback(dealings.close, asyncio.create_task(dealings.run()))
        parts = _parts(settings, clients, records, Kept(audit, tokens, dealings))
        publishing = asyncio.create_task(keep_publishing(parts.directory, settings))
        stack.push_async_callback(_stop, publishing)
        stack.push_async_callback(parts.pull.finish)  # first of all: the rest serves it
        yield parts


def _parts(
    settings: NodeSettings,
    clients: Clients,
    records: Records,
    kept: Kept,
) -> NodeParts:
    clock, new_id = records.clock, records.new_id
    evidence = Gathered(kept.audit)
    http = clients.other(settings.addressing, settings.addressing_ura)
    directory = DirectoryClient(http, settings.addressing, clock)
    server = AuthorizationServer(
        holder=settings.holder,
        issuer=settings.issuer,
        store=kept.tokens,
        anchors=Anchors.load(settings.ca),
        clock=clock,
        new_id=new_id,
        known=directory.known,
        scopes=frozenset(e.scope(Pattern.PULL) for e in EXCHANGES.values()),
    )
    holder = Holder(
        ura=settings.holder,
        public=settings.public,
        sources={v: _source(settings, v, clients, records) for v in FhirVersion},
        verify=server.verify,
        known=directory.known,
        audit=evidence,
        clock=clock,
        consent=Consent.PERMIT if settings.insecure_presumed_consent else Consent.UNKNOWN,
    )
    roads = _roads(settings, clients, records)
    note = _keeping(kept.dealings, clock).beside(noting(evidence))
    pull = Pull(directory, roads, note, clock, settings.patience)
    asker = Asker(settings.holder, settings.name, directory, new_id, clock)
    return NodeParts(
        settings, records, kept.audit, directory, server, holder, asker, pull, kept.dealings
    )


def _keeping(dealings: Dealings, clock: Clock) -> Keeping:
    return Keeping(dealings, dealings, clock)


def trust_state(parts: NodeParts) -> TrustState:
    """What the node tells its own organization of its keys, credentials, peers and refusals."""
    settings, clock = parts.settings, parts.records.clock
    return TrustState(
        ura=settings.holder,
        name=settings.name,
        infrastructure=settings.infrastructure,
        keys=lambda: keys_of(settings, clock()),
        directory=parts.directory,
        dealings=parts.dealings,
        clock=clock,
    )


def _roads(
    settings: NodeSettings, clients: Clients, records: Records
) -> Mapping[str, Infrastructure]:
    signer = Signer.load(settings.signing_certificate, settings.signing_key)
    tokens = TokenClient(signer, clients.holder, records.clock, records.new_id)
    direct = Direct(clients.holder, tokens, tokens.forget)
    return dict.fromkeys(ROADS, direct)


def _source(
    settings: NodeSettings, version: FhirVersion, clients: Clients, records: Records
) -> Source:
    address = settings.source(version)
    if address == STATION:
        return StationSource(records, settings.holder)
    base = address.rstrip("/")
    return RemoteSource(clients.other(base), base, records.clock, settings.source_patience)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def node_routes(parts: NodeParts) -> list[BaseRoute]:
    """Everything one node answers, apart from its health.

    For every party: tokens, and the FHIR bases behind the enforcement point. For its own
    organization only: asking others, the audit log and the data station.
    """
    own = Own(parts.settings.holder)

    async def guard(request: Request, interaction: Interaction) -> None:
        own(request)

    station = CareStation(parts.records, parts.settings.holder, guard=guard)
    keeping = _keeping(parts.dealings, parts.records.clock)
    return [
        *keeping.around(token_routes(parts.server), "token"),
        *keeping.around(serve_routes(parts.holder), "fhir"),
        *trust_routes(trust_state(parts)),
        *ask_routes(parts.asker, parts.pull),
        *audit_routes(parts.audit),
        *station.routes("/station"),
    ]
