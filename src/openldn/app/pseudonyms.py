"""The role `pseudonyms`: makes pseudonyms without knowing of whom."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from openldn.app import Role, Served
from openldn.app.common import HEALTH, Front, behind_gateway
from openldn.app.evidence import Evidence, open_evidence, outcome_of
from openldn.base.http import Identity
from openldn.base.log import ended
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import Settings
from openldn.base.sql import Pool, open_pool
from openldn.fhir.http import application
from openldn.functions.audit.model import Thing
from openldn.functions.authentication.settings import GatewaySettings
from openldn.functions.pseudonyms import api
from openldn.functions.pseudonyms.rate import Bound, Rate
from openldn.functions.pseudonyms.registry import Registry
from openldn.functions.pseudonyms.sealing import DEFAULT
from openldn.functions.pseudonyms.service import Asked, Evaluations, destroy_forever
from openldn.functions.pseudonyms.vault import Vault

Many = Annotated[int, msgspec.Meta(ge=1)]


class PseudonymsSettings(Settings, frozen=True):
    """Settings of the role `pseudonyms`, the pseudonym service."""

    dsn: str  # PostgreSQL database of this service alone
    certificate: Path  # server certificate, leaf first
    key_file: Path
    ca: Path  # the authorities whose parties may ask
    public: str  # origin that clients reach it at
    secret_key: Path  # seals the secrets in the database; made at first start; keep it
    recipients: tuple[str, ...] = ()  # who may register keys: "oin:…" or "ura:…"
    own_recipients: tuple[str, ...] = ()  # recipients that may ask for their own pseudonyms too
    algorithm: str = DEFAULT  # of the answers, or RSA-OAEP-256
    per_minute: Many = 1200  # evaluations of one acting organization
    per_day: Many = 200_000  # the same in a day; who asks for everybody enumerates the BSNs
    overlap_days: Annotated[int, msgspec.Meta(ge=1)] = 90  # a secret lives beside its successor
    destroy_every: float = 3600.0  # seconds between two looks at secrets that ended
    audit_key: Path | None = None  # of the evidence log, kept as long as it; None: beside key_file
    audit_keep_days: int = 1827  # how long evidence is kept; five years at least
    gateway: GatewaySettings = GatewaySettings()  # who comes in
    host: str = "127.0.0.1"
    port: int = 8443


@asynccontextmanager
async def pseudonyms(settings: PseudonymsSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The pseudonym service behind its gateway."""
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings.dsn)
        stack.push_async_callback(pool.close)
        identity = Identity(settings.certificate, settings.key_file, settings.ca)
        evidence = await stack.enter_async_context(
            open_evidence("pseudonyms", settings, personal=False)
        )
        evaluations = await open_evaluations(settings, pool)
        evaluations.tell = Told(evidence)
        work = destroy_forever(evaluations.registry, settings.destroy_every)
        running = asyncio.create_task(work)
        running.add_done_callback(ended)
        stack.push_async_callback(_stop, running)
        routes = [HEALTH, *api.routes(evaluations, settings.recipients)]
        app = application(routes, role="pseudonyms", new_id=new_uuid)
        front = Front(settings.public, identity, pool, evidence)
        guarded, context = await behind_gateway(app, "pseudonyms", settings.gateway, front)
        yield (Served(guarded, settings.host, settings.port, context),)


async def open_evaluations(settings: PseudonymsSettings, pool: Pool) -> Evaluations:
    """What answers, with its tables and keys; raises LdnError when either cannot be used."""
    overlap = timedelta(days=settings.overlap_days)
    vault = Vault.at(settings.secret_key)
    registry = Registry(pool, vault, utc_now, new_uuid, overlap=overlap)
    await registry.prepare()
    rate = Rate((Bound(settings.per_minute, 60), Bound(settings.per_day, 86_400)))
    own = settings.own_recipients
    return Evaluations(registry, rate, utc_now, algorithm=settings.algorithm, own=own)


@dataclass(frozen=True)
class Told:
    """Each question as evidence: for which recipient and scope, and of no patient (rule G10)."""

    evidence: Evidence

    async def __call__(self, asked: Asked) -> None:
        """Keep it; raises LdnError(transient) when that cannot be: then nothing is answered."""
        versions = ",".join(map(str, asked.versions))
        facts = (("scope", asked.scope), ("key-version", versions))
        about = (Thing(id=asked.recipient, details=facts),)
        error = asked.refused
        if error is None:
            event = self.evidence.event("pseudonym-evaluated", asked.caller, things=about)
        else:
            outcome, reason = outcome_of(error), error.message
            event = self.evidence.event(
                "pseudonym-refused", asked.caller, things=about, outcome=outcome, reason=reason
            )
        await self.evidence.record([event])


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


ROLE = Role(PseudonymsSettings, pseudonyms)
