"""The role `consent`: the consent registry that stands in for Mitz."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from openldn.app import Role, Served
from openldn.app.common import HEALTH, Front, behind_gateway
from openldn.app.evidence import Evidence, open_evidence
from openldn.base.http import Identity
from openldn.base.log import ended
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import Settings
from openldn.base.sql import Pool, open_pool
from openldn.fhir.http import application
from openldn.functions.audit.model import Thing
from openldn.functions.authentication.settings import GatewaySettings
from openldn.functions.consent import api
from openldn.functions.consent.kinds import kinds
from openldn.functions.consent.notifying import CheckedLines, Delivery
from openldn.functions.consent.persons import Chooser
from openldn.functions.consent.sealing import Sealing
from openldn.functions.consent.service import Recorded, Registry
from openldn.trust import keyfile


class ConsentSettings(Settings, frozen=True):
    """Settings of the role `consent`, the consent registry."""

    dsn: str  # PostgreSQL database of the registry alone
    certificate: Path  # server and client certificate, leaf first
    key_file: Path
    ca: Path  # the authorities whose parties may ask and are notified
    public: str  # origin that parties reach the registry at
    store_key: Path  # made at first start, kept as long as the database: it finds patients in it
    doors: tuple[str, ...] = ()  # URAs and OINs of the doors by which citizens choose
    notify_hosts: tuple[str, ...] = ()  # "host" or "host:port" where subscribers may be notified
    kinds: Path | None = None  # table of categories, JSON; None: the shipped one
    audit_key: Path | None = None  # of the evidence log, kept as long as it; None: beside key_file
    audit_keep_days: int = 1827  # how long evidence is kept; five years at least
    gateway: GatewaySettings = GatewaySettings()
    host: str = "127.0.0.1"
    port: int = 8443


@asynccontextmanager
async def consent(settings: ConsentSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The registry behind its gateway, and the delivery of its notifications."""
    identity = Identity(settings.certificate, settings.key_file, settings.ca)
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings.dsn)
        stack.push_async_callback(pool.close)
        lines = CheckedLines(identity)
        stack.push_async_callback(lines.close)
        evidence = await stack.enter_async_context(open_evidence("consent", settings))
        registry, delivery = await _parts(settings, pool, lines)
        registry.tell = Told(evidence)
        doors = api.Doors(frozenset(settings.doors), settings.notify_hosts)
        routes = [HEALTH, *api.routes(registry, doors)]
        app = application(routes, role="consent", new_id=new_uuid)
        front = Front(settings.public, identity, pool, evidence)
        served, context = await behind_gateway(app, "consent", settings.gateway, front)
        running = asyncio.create_task(delivery.run())
        running.add_done_callback(ended)
        stack.push_async_callback(_stop, running)
        yield (Served(served, settings.host, settings.port, context),)


@dataclass(frozen=True)
class Told:
    """Choices that were written, as evidence: whose, by whom and through which door."""

    evidence: Evidence

    async def __call__(self, recorded: Recorded) -> None:
        """Keep it; raises LdnError(transient) when that cannot be: then nothing is written."""
        code = "consent-withdrawn" if recorded.withdrawn else "consent-recorded"
        event = self.evidence.event(
            code,
            citizen="PAT" if recorded.by is Chooser.SELF else "AGNT",
            purpose="PATRQT",
            patient=recorded.patient,
            things=(
                Thing(f"Consent/{recorded.id}", details=(("version", str(recorded.version)),)),
            ),
        )
        await self.evidence.record([event])


async def _stop(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _parts(
    settings: ConsentSettings, pool: Pool, lines: CheckedLines
) -> tuple[Registry, Delivery]:
    sealing = Sealing(keyfile.secret(settings.store_key, "the consent registry"))
    table = kinds(settings.kinds) if settings.kinds else kinds()
    delivery = Delivery(pool, utc_now, sealing, lines)
    registry = Registry(pool, utc_now, new_uuid, table, sealing, delivery.wake)
    await registry.prepare()
    return registry, delivery


ROLE = Role(ConsentSettings, consent)
