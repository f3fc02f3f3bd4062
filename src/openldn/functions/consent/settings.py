"""What a holder needs to ask for consent, from its settings: one call that ties the parts."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from openldn.base.http import HttpClient
from openldn.base.runtime import Clock, NewId
from openldn.base.settings import Settings
from openldn.base.sql import Pool
from openldn.fhir.identifiers import Ura
from openldn.functions.consent.client import Mitz, RegistryClient, Subscriptions
from openldn.functions.consent.deciding import Policy
from openldn.functions.consent.kinds import Kinds, kinds
from openldn.functions.consent.lasting import Lasting
from openldn.functions.consent.local import AtHolder, LocalConsents, Notifications
from openldn.functions.consent.sealing import Sealing

Bearer = Callable[[str], Awaitable[str]]  # a token with this scope


class AskingSettings(Settings, frozen=True):
    """Whom a holder asks for consent, and how."""

    url: str  # origin of the registry, without trailing slash
    profile: Literal["registry", "mitz-otv"] = "registry"  # ours, or Mitz
    patience: float = 2.5  # seconds for one question
    within: float = 3.0  # seconds an answer is used; with a look each second at most 5 in all
    emergency_without_answer: bool = True  # an emergency passes when nobody objects or answers
    kinds: Path | None = None  # table of categories, JSON; None: the shipped one
    gateway_system: str = ""  # "urn:oid:…" of the system that is connected to Mitz
    source_system: str = ""  # "urn:oid:…" of the system that holds the data


@dataclass(frozen=True)
class Means:
    """What the holder has to do it with."""

    pool: Pool
    http: HttpClient  # shows the certificate of the holder
    clock: Clock
    new_id: NewId
    sealing: Sealing = field(repr=False)
    holder: Ura
    bearer: Bearer | None = None  # None: the certificate is enough, as it is for Mitz


@dataclass(frozen=True)
class Holding:
    """Consent at the holder: `consents` is the port that a disclosure asks."""

    consents: AtHolder
    lasting: Lasting  # what was asked lately; `forget_all` after an outage of notifications
    local: LocalConsents  # own consents: `refer`, `record`, `withdraw`
    notifications: Notifications  # what a registry comes to tell
    subscriptions: Subscriptions


async def holding(settings: AskingSettings, means: Means) -> Holding:
    """The parts, tied together, with their tables up to date."""
    table = kinds(settings.kinds) if settings.kinds else kinds()
    local = LocalConsents(means.pool, means.clock, means.new_id, table, means.sealing, means.holder)
    await local.prepare()
    lasting = Lasting(_asked(settings, means, table), means.clock, settings.within)
    policy = Policy(settings.emergency_without_answer)
    subscriptions = Subscriptions(
        means.http,
        settings.url,
        headers=_headers(means.bearer, "consent:subscribe"),
        gateway=settings.gateway_system,
        source=settings.source_system,
    )
    return Holding(
        AtHolder(local, lasting, means.clock, policy),
        lasting,
        local,
        Notifications(local, lasting),
        subscriptions,
    )


def _asked(settings: AskingSettings, means: Means, table: Kinds) -> Mitz | RegistryClient:
    headers = _headers(means.bearer, "consent:ask")
    if settings.profile == "mitz-otv":
        return Mitz(
            means.http,
            settings.url,
            means.clock,
            means.new_id,
            table,
            settings.patience,
            headers,
        )
    return RegistryClient(means.http, settings.url, means.clock, settings.patience, headers)


def _headers(
    bearer: Bearer | None, scope: str
) -> Callable[[], Awaitable[Mapping[str, str]]] | None:
    if bearer is None:
        return None

    async def headers() -> Mapping[str, str]:
        return {"authorization": f"Bearer {await bearer(scope)}"}

    return headers
