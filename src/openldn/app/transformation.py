"""The role `transformation`: resources of one FHIR version in the other, for whoever may ask."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from openldn.app import Role, Served
from openldn.app.common import HEALTH, Front, behind_gateway
from openldn.app.evidence import Evidence, open_evidence
from openldn.base.http import Identity
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import Settings
from openldn.base.sql import Pool, open_pool
from openldn.fhir.http import application
from openldn.functions.audit.catalogue import SYSTEMS
from openldn.functions.audit.model import Thing
from openldn.functions.authentication.settings import GatewaySettings
from openldn.functions.transformation import api
from openldn.functions.transformation.model import DEVICE
from openldn.functions.transformation.service import Report, Transformation

RESOURCES = SYSTEMS["RT"]  # the kinds of resource


class TransformationSettings(Settings, frozen=True, kw_only=True):
    """Settings of the role `transformation`."""

    certificate: Path  # server certificate, leaf first
    key_file: Path
    ca: Path  # the authorities whose parties may ask
    public: str  # origin that clients reach it at
    dsn: str = ""  # PostgreSQL database for tokens and evidence; empty: who asks keeps the evidence
    audit_key: Path | None = None  # of the evidence log, kept as long as it; None: beside key_file
    audit_keep_days: int = 1827  # how long evidence is kept; five years at least
    device: str = DEVICE  # who assembled an output, as its Provenance says
    gateway: GatewaySettings = GatewaySettings()  # who comes in
    host: str = "127.0.0.1"
    port: int = 8443


@asynccontextmanager
async def transformation(settings: TransformationSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The service behind its gateway; it keeps only the tokens of the gateway and its evidence."""
    async with AsyncExitStack() as stack:
        pool: Pool | None = None
        evidence: Evidence | None = None
        service = Transformation(utc_now, new_uuid, settings.device)
        if settings.dsn:
            pool = await open_pool(settings.dsn)
            stack.push_async_callback(pool.close)
            evidence = await stack.enter_async_context(open_evidence("transformation", settings))
            service = replace(service, tell=Told(evidence))
        routes = [HEALTH, *api.routes(service)]
        app = application(routes, role="transformation", new_id=new_uuid)
        identity = Identity(settings.certificate, settings.key_file, settings.ca)
        front = Front(settings.public, identity, pool, evidence)
        guarded, context = await behind_gateway(app, "transformation", settings.gateway, front)
        yield (Served(guarded, settings.host, settings.port, context),)


@dataclass(frozen=True)
class Told:
    """What was transformed, as evidence: of which kind, from and to which version, by which map."""

    evidence: Evidence

    async def __call__(self, report: Report) -> None:
        """Keep it; raises LdnError(transient) when that cannot be: then nothing is answered."""
        lost = (("lost", str(report.lost)), ("kept", str(report.kept)))
        things = (
            Thing(id=report.kind, system=RESOURCES, description=f"in: {report.source}"),
            Thing(
                id=report.kind, system=RESOURCES, description=f"out: {report.target}", details=lost
            ),
            *(Thing(id=used.canonical, description="map") for used in report.maps),
        )
        outcome = "0" if report.made else "4"
        event = self.evidence.event("message-transformed", things=things, outcome=outcome)
        await self.evidence.record([event])


ROLE = Role(TransformationSettings, transformation)
