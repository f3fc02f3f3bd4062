"""Offers of two organizations on real stores, without the wire between them."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from conftest import Databases
from node.outbox_cases import working
from node.small_network import CLINIC, HOSPITAL

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, new_uuid, utc_now
from openldn.base.sql import Pool, open_pool
from openldn.fhir.codec import Format as Form
from openldn.fhir.codec import check, decode, dump
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.addressing.model import Endpoint, Organization
from openldn.node.coordination.model import Doer
from openldn.node.coordination.opened import Ground, Offering, offering, prepare
from openldn.node.coordination.peers import Peers
from openldn.node.coordination.requests import patient_of
from openldn.node.coordination.service import Terms
from openldn.node.coordination.subscribing import resource_of
from openldn.node.outbox.service import Outbox
from openldn.node.outbox.settings import OutboxSettings
from openldn.node.outbox.worker import Delivering
from openldn.patterns.notified_pull.changes import patched
from openldn.patterns.notified_pull.task import task_of
from openldn.trust.tokens.model import AccessToken


def base_of(ura: Ura) -> str:
    return f"https://{ura}.example/fhir/R4"


class Addresses:
    """A directory in which everybody stands."""

    async def organizations(self) -> list[Organization]:
        return [await self.organization(u) for u in (HOSPITAL, CLINIC)]

    async def organization(self, ura: Ura) -> Organization:
        return Organization(ura, f"Organization {ura}", active=True)

    async def endpoint(self, holder: Ura, payload: str) -> Endpoint:
        return Endpoint(holder, "direct", FhirVersion.R4, base_of(holder), base_of(holder))


class Witness:
    """An audit log that counts."""

    def __init__(self) -> None:
        self.count = 0

    async def record(self, events: Sequence[Any]) -> None:
        self.count += len(events)


@dataclass
class Party:
    """One organization: its processes share a database."""

    ura: Ura
    pools: list[Pool]
    processes: list[Offering]
    outboxes: list[Outbox]

    @property
    def one(self) -> Offering:
        return self.processes[0]


@dataclass
class Wire:
    """Brings what one says to a process of the other, each time another."""

    parties: dict[Ura, Party] = field(default_factory=dict)
    chance: Random = field(default_factory=lambda: Random(7))
    lost: float = 0.0  # part of the answers to a change that never arrive

    def at(self, ura: Ura) -> Offering:
        return self.chance.choice(self.parties[ura].processes)


@dataclass(frozen=True)
class Direct(Peers):
    """What `Peers` does, without connection and token; bodies still go as JSON."""

    wire: Wire = field(default_factory=Wire)

    async def notify(self, peer: Ura, bundle: Resource) -> None:
        await self.wire.at(peer).receiving.notified(self.ura, _over(bundle))

    async def read(self, peer: Ura, type_: str, id_: str) -> Resource:
        there = self.wire.at(peer)
        if type_ == "Subscription":
            found = await there.subscribing.of(self.ura, id_)
            return _over(resource_of(found))
        if type_ == "Task":
            return _over(task_of((await there.coordination.seen(self.ura, id_)).offer))
        return _over(patient_of(await there.coordination.behind(self.ura, id_)))

    async def events(self, peer: Ura, subscription: str, first: int, last: int) -> Resource:
        there = self.wire.at(peer).subscribing
        return _over(await there.events(await there.of(self.ura, subscription), first, last))

    async def search(self, peer: Ura, pairs: Mapping[str, str]) -> Resource:
        return {"resourceType": "Bundle", "type": "searchset"}

    async def patch(
        self, peer: Ura, task: str, version: int, operations: list[Resource], key: str = ""
    ) -> Resource:
        after = _over(await self.edited(peer, task, version, operations, key))
        if self.wire.chance.random() < self.wire.lost:
            raise LdnError(Issue.TIMEOUT, "the answer of the placer got lost")
        return after

    async def edited(
        self, peer: Ura, task: str, version: int, operations: list[Resource], key: str = ""
    ) -> Any:
        there = self.wire.at(peer).coordination

        def edit(before: Resource) -> Resource:
            return check(patched(before, operations), FhirVersion.R4)

        act = there.placing.edit(task, self.ura, version, edit, Doer(self.ura), key)
        changes = (await there.ledger.act(act)).changes
        return task_of((changes[0].kept if changes else await there.ledger.one(task)).offer)


def _over(resource: Resource) -> Resource:
    """The resource as it comes out at the other end."""
    return decode(dump(resource), Form.JSON, FhirVersion.R4)


def _forget(token: AccessToken) -> None:
    """There is none."""


def _nobody(ura: Ura) -> Any:
    raise LdnError(Issue.EXCEPTION, "nobody is called here")


@dataclass
class Wired:
    """A placer and a fulfiller."""

    wire: Wire
    placer: Party
    fulfiller: Party


@asynccontextmanager
async def wired(
    databases: Databases,
    folder: Path,
    clock: Clock = utc_now,
    *,
    processes: int = 1,
    workers: bool = True,
) -> AsyncIterator[Wired]:
    """Two organizations with so many processes each, of which the first delivers."""
    async with AsyncExitStack() as stack:
        wire = Wire()
        for ura in (HOSPITAL, CLINIC):
            dsn = await databases.fresh()
            pools = [await stack.enter_async_context(await _open(dsn)) for _ in range(processes)]
            await prepare(pools[0])
            outboxes = [Outbox(p, ura, clock, new_uuid, OutboxSettings(poll=0.05)) for p in pools]
            await outboxes[0].prepare()
            made = [_offering(ura, o, folder, wire, clock) for o in outboxes]
            wire.parties[ura] = Party(ura, pools, made, outboxes)
            for one, outbox in zip(made, outboxes, strict=True):
                outbox.kinds = one.kinds
                stack.push_async_callback(one.coordination.ledger.close)
            hearing = [
                asyncio.create_task(o.coordination.hub.run(p, ura))
                for o, p in zip(made, pools, strict=True)
            ]
            stack.push_async_callback(_ended, hearing)
        if workers:
            for party in wire.parties.values():
                for outbox in party.outboxes:
                    await stack.enter_async_context(working(Delivering(outbox, lambda: 0.5)))
        yield Wired(wire, wire.parties[HOSPITAL], wire.parties[CLINIC])


async def _open(dsn: str) -> Pool:
    return await open_pool(dsn)


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _offering(ura: Ura, outbox: Outbox, folder: Path, wire: Wire, clock: Clock) -> Offering:
    ground = Ground(outbox.pool, ura, folder / f"{ura}.key", outbox, Witness(), clock, new_uuid)
    tokens: Any = None  # none are asked for
    peers = Direct(ura, str(ura), Addresses(), tokens, _forget, _nobody, new_uuid, wire=wire)
    terms = Terms(timedelta(days=7), timedelta(hours=24), 5.0)
    return offering(ground, peers, Addresses(), base_of(ura), terms)
