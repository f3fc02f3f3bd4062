"""The parts of one running node, put together from its settings."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.routing import BaseRoute

from openldn.base.log import emit, ended
from openldn.base.runtime import Clock, NewId
from openldn.base.sql import open_pool
from openldn.conformity.stations import CareStation
from openldn.exchanges import by
from openldn.fhir.api import Interaction
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.store import Records
from openldn.functions.addressing.client import DirectoryClient
from openldn.functions.audit.api import routes as audit_routes
from openldn.functions.audit.overview_api import SCOPE as ACCESS_LOG
from openldn.functions.audit.overview_api import PatientOrDesk, by_the_patient, overview_routes
from openldn.functions.audit.retention import retire_forever
from openldn.functions.audit.service import AuditLog
from openldn.functions.audit.vouching import Vouching
from openldn.functions.authorization.api import routes as decision_routes
from openldn.functions.authorization.own import OwnPolicy
from openldn.functions.authorization.service import DecisionPoint
from openldn.infrastructures.demanding import demanding
from openldn.node.api import Own, Unrevoked, ask_routes, collect_routes, locate_routes
from openldn.node.ask import Asker, noting
from openldn.node.believing import Believing, believing, saml_grants
from openldn.node.clients import Clients
from openldn.node.collecting import Collecting, collecting
from openldn.node.consents import Consulted, nobody, presumed
from openldn.node.coordination import wiring as offers
from openldn.node.deciding import decision_point
from openldn.node.delivering import Delivery, delivery_of
from openldn.node.dialects import wiring as dialects
from openldn.node.emergencies.opened import Emergencies, emergencies_of
from openldn.node.evidence import Gathered
from openldn.node.granting import Granting
from openldn.node.keeping import audit_of, own_policy_of, vouching_of
from openldn.node.keys import keys_of
from openldn.node.lifetime import lifetime, stop
from openldn.node.localizing import parties_of
from openldn.node.locally import kept_here, none_kept
from openldn.node.locate import Locator
from openldn.node.national import National, Ourselves, national_routes, open_national
from openldn.node.publish import keep_publishing, keep_renewed
from openldn.node.push import wiring as push
from openldn.node.reach.api import reach_routes
from openldn.node.reach.opening import reach_of
from openldn.node.refusing import Keeping
from openldn.node.roads import Means, WholeChain, own_key
from openldn.node.serve import Holder, serve_routes
from openldn.node.settings import NodeSettings
from openldn.node.shown import DocumentsShown, OwnRevocation, WalletShown
from openldn.node.sources import source_of
from openldn.node.trust import TrustState, trust_routes
from openldn.node.witness import Witness
from openldn.patterns.exchange import Pattern
from openldn.patterns.pull import Pull
from openldn.trust.certificates.renewal import TlsFiles, watch_forever
from openldn.trust.credentials.api import did_routes, wallet_routes
from openldn.trust.credentials.store import CredentialStore
from openldn.trust.credentials.wallet import NodeWallet
from openldn.trust.dealings.service import Dealings
from openldn.trust.dealings.store import DealingsStore
from openldn.trust.peers import of_infrastructure, profile
from openldn.trust.people.vouching import Vouchers, vouchers
from openldn.trust.tokens.api import routes as token_routes
from openldn.trust.tokens.service import AuthorizationServer
from openldn.trust.tokens.signer import Signer
from openldn.trust.tokens.store import TokenStore
from openldn.trust.tokens.watch import Watch

DATABASE_CONNECTIONS = 14  # two are held: by the worker of the outbox, and to hear of offers
LOOK = 5.0  # seconds between two looks at whether certificate files were renewed


@dataclass(frozen=True)
class NodeParts:
    """What a node consists of while it runs."""

    settings: NodeSettings
    records: Records
    audit: AuditLog
    vouching: Vouching
    directory: DirectoryClient
    server: AuthorizationServer
    holder: Holder
    asker: Asker
    pull: Pull
    dealings: Dealings
    believed: Believing
    means: Means
    national: National
    delivery: Delivery
    offering: offers.Offering
    pushing: push.Pushing
    emergencies: Emergencies
    locator: Locator | None  # None: the node has no index
    collecting: Collecting | None  # None: the same


@dataclass(frozen=True)
class Kept:
    """What a node keeps beside its records."""

    audit: AuditLog
    vouching: Vouching
    tokens: TokenStore
    dealings: Dealings
    credentials: CredentialStore
    people: Vouchers | None
    own: OwnPolicy | None
    national: National
    delivery: Delivery
    emergencies: Emergencies


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
        audit = audit_of(settings, records)
        stack.push_async_callback(audit.close)
        kept = Kept(
            audit,
            vouching_of(audit, settings.sealing_key),
            TokenStore(pool),
            Dealings(settings.holder, DealingsStore(pool)),
            CredentialStore(pool),
            vouchers(settings.people, settings.holder, clock) if settings.people else None,
            await own_policy_of(settings, stack),
            await stack.enter_async_context(
                open_national(settings.national, _self(settings), clients, records, audit)
            ),
            delivery_of(pool, settings.holder, clock, new_id, settings.outbox),
            emergencies_of(pool, audit, clock, new_id),
        )
        if kept.people is not None:
            stack.push_async_callback(kept.people.close)
        stores = (kept.tokens, kept.dealings.store, kept.credentials, kept.delivery)
        for part in (records, audit, *stores, kept.emergencies):
            await part.prepare()
        await offers.prepare(pool)
        await dialects.prepare(pool)
        await push.prepare(pool)
        await stack.enter_async_context(lifetime(audit, clock))
        parts = _parts(settings, clients, records, kept)
        stack.push_async_callback(parts.believed.documents.close)
        for task in map(asyncio.create_task, _background(parts, kept)):
            task.add_done_callback(ended)
            stack.push_async_callback(stop, task)
        stack.push_async_callback(kept.dealings.close, asyncio.create_task(kept.dealings.run()))
        stack.push_async_callback(_finish, parts)  # first of all: the rest serves it
        yield parts


def _self(settings: NodeSettings) -> Ourselves:
    """What of this node counts with the national functions."""
    fhir = settings.fhir(FhirVersion.R4)
    known = (settings.holder, settings.identity, fhir, settings.consents_key)
    return Ourselves(*known, settings.provider_type, f"{settings.public}/mitz/notify")


def _background(parts: NodeParts, kept: Kept) -> list[Coroutine[Any, Any, None]]:
    """What goes on beside the answering, for as long as the node runs."""
    settings, believed, clock = parts.settings, parts.believed, parts.asker.clock
    holders = [settings.holder]
    watch = Watch(kept.tokens, holders, believed.still, clock, settings.revocation_every)
    telling, following = kept.national.registering, kept.national.following
    return [
        *([telling.run()] if telling else []),
        *([following.run()] if following else []),
        *kept.delivery.background({**parts.offering.kinds, **parts.pushing.kinds}),
        *parts.offering.background(),
        *parts.pushing.background(),
        kept.emergencies.following.run(),
        keep_publishing(parts.directory, settings),
        parts.vouching.run(),
        retire_forever(parts.vouching, timedelta(days=settings.audit_keep_days)),
        watch.run(),
        believed.belief.refresh_forever(),
        keep_renewed(parts.means.wallet, parts.means.signing),
        watch_forever([TlsFiles(settings.identity, clock), parts.means.signing.files], LOOK),
    ]


def _parts(settings: NodeSettings, clients: Clients, records: Records, kept: Kept) -> NodeParts:
    clock, new_id = records.clock, records.new_id
    evidence = Witness(Gathered(kept.audit), kept.audit.source, kept.emergencies.following.wake)
    http = clients.other(settings.addressing, settings.addressing_ura)
    directory = DirectoryClient(http, settings.addressing, clock)
    believed = believing(settings, clients, kept.people, clock)
    server = _server(settings, records, kept, believed, directory)
    means = _means(settings, clients, records, kept, believed)
    offers_ = offers.offers_of(settings, kept.delivery.outbox, kept.audit, directory, means)
    offering = dialects.with_dialects(offers_, settings, kept.delivery.inbox, means)
    holder = Holder(
        ura=settings.holder,
        public=settings.public,
        sources=(sources := {v: source_of(settings, v, clients, records) for v in FhirVersion}),
        verify=server.verify,
        known=directory.known,
        audit=evidence,
        clock=clock,
        consents=offering.register.consulted(_consulted(settings, kept.national, clock)),
        kind=settings.provider_type,
        kind_of=directory.type_of,
        own=kept.own.denials if kept.own else None,
        opens=dialects.opens_of(offering, sources[FhirVersion.STU3]),
        closed=frozenset(settings.emergency_closed),
        overrules=settings.emergency_overrules_objection,
    )
    note = _keeping(kept.dealings, clock).beside(noting(evidence))
    pull = Pull(directory, means.roads(), note, clock, settings.patience, means.statements)
    people = (kept.people.vouch if kept.people else None, kept.emergencies.declare)
    asker = Asker(settings.holder, settings.name, directory, new_id, clock, *people)
    return NodeParts(
        *(settings, records, kept.audit, kept.vouching, directory, server, holder, asker),
        *(pull, kept.dealings, believed, means, kept.national, kept.delivery, offering),
        push.pushing_of(settings, records, kept, directory, means, believed.judge.believe),
        kept.emergencies,
        *((found := _locator(settings, asker, kept)), collecting(settings, pull, found, holder)),
    )


def _server(
    settings: NodeSettings,
    records: Records,
    kept: Kept,
    believed: Believing,
    directory: DirectoryClient,
) -> AuthorizationServer:
    scopes = frozenset(e.scope(Pattern.PULL) for e in by(Pattern.PULL))
    known = scopes | offers.SCOPES | push.SCOPES | {ACCESS_LOG}
    return AuthorizationServer(
        *(settings.holder, settings.issuer, kept.tokens, believed.belief.anchors),
        *(records.clock, records.new_id, directory.known, known),
        conditions={ACCESS_LOG: by_the_patient},
        dialects=frozenset(settings.dialects),
        ports=believed.ports,
        public=frozenset(settings.fhir(v) for v in FhirVersion),
        saml=saml_grants(settings, believed, scopes, records.clock),
    )


def _consulted(settings: NodeSettings, national: National, clock: Clock) -> Consulted:
    """Who is asked for consent; a stand-in takes the place of who would be."""
    if settings.insecure_presumed_consent:
        return presumed(clock)
    return national.consent.consents.ask if national.consent else nobody(clock)


def _keeping(dealings: Dealings, clock: Clock) -> Keeping:
    return Keeping(dealings, dealings, clock)


def trust_state(parts: NodeParts) -> TrustState:
    """What the node tells its own organization of its keys, credentials, peers and refusals."""
    settings, clock = parts.settings, parts.records.clock
    return TrustState(
        ura=settings.holder,
        name=settings.name,
        infrastructure=settings.infrastructure,
        keys=lambda: keys_of(settings, parts.means.signing(), clock()),
        directory=parts.directory,
        dealings=parts.dealings,
        clock=clock,
        credentials=WalletShown(parts.means.wallet, clock),
        documents=DocumentsShown(parts.believed.documents),
        revocations=_own_revocation(parts),
        profile=lambda road: of_infrastructure(road).name,
        waiting=parts.emergencies.reviewing.store.waiting,
        undelivered=parts.delivery.undelivered,
    )


def _locator(settings: NodeSettings, asker: Asker, kept: Kept) -> Locator | None:
    """What asks the index who holds data of a patient; None without an index."""
    told, index = settings.national.localization, kept.national.index
    if told is None or index is None:
        return None
    at_index, at_pseudonyms = parties_of(told)
    patience = settings.patience
    return Locator(asker, index, kept.audit, at_index, at_pseudonyms, patience=patience)


def _decides(parts: NodeParts) -> DecisionPoint:
    """The decision point for the organization's own enforcement points."""
    consent = parts.national.consent
    local = kept_here(consent.local) if consent else none_kept
    return decision_point(parts.holder, parts.records, local)


def _own_revocation(parts: NodeParts) -> OwnRevocation | None:
    """Nothing is told of revocation where a setting says that nobody asks."""
    settings = parts.settings
    if settings.insecure_unchecked_revocation:
        return None
    believed, clock = parts.believed, parts.records.clock
    certificate, signing = settings.certificate, parts.means.signing
    return OwnRevocation(believed.belief, certificate, signing, believed.ports.issuers, clock)


def _means(
    settings: NodeSettings, clients: Clients, records: Records, kept: Kept, believed: Believing
) -> Means:
    clock, new_id = records.clock, records.new_id
    wallet = NodeWallet(
        *(settings.holder, own_key(settings), kept.credentials, believed.credentials),
        *(profile("nuts-6"), clock, new_id),
    )
    signing = WholeChain.of(settings, clock)
    Signer.check(signing)
    return Means(settings, clients, signing, wallet, clock, new_id)


async def _finish(parts: NodeParts) -> None:
    """Wait for what is being asked of others, and its evidence."""
    if parts.collecting is not None:
        await parts.collecting.pattern.finish()
    await parts.pull.finish()
    await parts.pushing.carrying.close()
    if parts.locator is not None:
        await parts.locator.finish()


def node_routes(parts: NodeParts) -> list[BaseRoute]:
    """Everything one node answers, apart from its health.

    For every party: tokens, and the FHIR bases behind the enforcement point. For its own
    organization only: asking others and the index, the audit log and the data station.
    """
    own = Own(parts.settings.holder)

    async def guard(request: Request, interaction: Interaction) -> None:
        own(request)

    async def own_only(request: Request) -> None:
        own(request)
        await ours.check(request)

    station = CareStation(parts.records, parts.settings.holder, guard=guard)
    keeping = _keeping(parts.dealings, parts.records.clock)
    granting = Granting(parts.audit, parts.records.clock)
    wanted = of_infrastructure(parts.settings.infrastructure).headers
    ports = parts.believed.ports
    assert ports.believes is not None  # noqa: S101  (put together in `believing`)
    ours = Unrevoked(ports.believes, ports.issuers)
    may_read = PatientOrDesk(parts.audit, parts.server.verify, parts.settings.public)
    return [
        *keeping.around(granting.around(token_routes(parts.server, guard=own_only)), "token"),
        *keeping.around(offers.routes_of(parts.offering, parts.holder), "fhir"),
        *keeping.around(parts.pushing.routes(parts.holder), "fhir"),
        *keeping.around(demanding(serve_routes(parts.holder), wanted), "fhir"),
        *ours.around(
            offers.own_routes_of(parts.offering, parts.asker, parts.pull, parts.means, own)
        ),
        *ours.around(parts.pushing.own_routes(parts.asker, own)),
        *did_routes([parts.means.wallet.key]),
        *ours.around(wallet_routes(parts.means.wallet, parts.means.signing, own)),
        *ours.around(trust_routes(trust_state(parts))),
        *ours.around(ask_routes(parts.asker, parts.pull)),
        *ours.around(reach_routes(reach_of(parts.asker, parts.means))),
        *ours.around(decision_routes(_decides(parts), own)),
        *ours.around(locate_routes(parts.settings.holder, parts.locator)),
        *ours.around(collect_routes(parts.settings.holder, parts.collecting)),
        *ours.around(parts.delivery.routes(parts.audit, parts.directory)),
        *ours.around(audit_routes(parts.audit, parts.vouching)),
        *ours.around(parts.emergencies.routes(own, may_read)),
        *ours.around(overview_routes(parts.audit, may_read, names=parts.settings.access_log_names)),
        *ours.around(station.routes("/station")),
        *national_routes(parts.national, own_only),
    ]
