"""What a node asks of the national functions: pseudonyms, the index, consent."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from starlette.requests import Request
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import Identity, peer_certificate
from openldn.base.settings import Settings
from openldn.fhir.identifiers import Ura
from openldn.fhir.records.store import Records
from openldn.functions.authentication.client import ServiceTokens, Target
from openldn.functions.consent.api_holder import consent_routes, notify_routes
from openldn.functions.consent.following import Following
from openldn.functions.consent.model import Provider
from openldn.functions.consent.sealing import Sealing
from openldn.functions.consent.settings import AskingSettings as AskingConsent
from openldn.functions.consent.settings import Holding, Means, holding
from openldn.functions.localization.client import LocalizationClient
from openldn.functions.localization.dialects import Holder
from openldn.functions.localization.registering.service import Registering
from openldn.node.acts import Asking, Indexed, own_consents, party_at, subscribed, unheard
from openldn.node.clients import Clients
from openldn.node.evidence import Log
from openldn.node.localizing import (
    LocalizingSettings,
    open_localization,
    parties_of,
    registering,
)
from openldn.trust import keyfile
from openldn.trust.certificates import require_party


class RegistrySettings(AskingConsent, frozen=True, kw_only=True):
    """Who is asked whether the patient consents."""

    ura: str = ""  # whose certificate it must show; empty: its host name is enough


class NationalSettings(Settings, frozen=True):
    """The national functions a node leans on; what is left out is done without."""

    localization: LocalizingSettings | None = None  # the index, and pseudonyms for it
    consent: RegistrySettings | None = None
    consent_key: Path | None = None  # made at first start; None: consent.key beside the signing key


@dataclass(frozen=True)
class Ourselves:
    """What of a node counts with the national functions."""

    ura: Ura
    identity: Identity
    fhir: str  # base at which others ask its data
    key: Path  # file with the key of its own consents
    kind: str = ""  # type of care provider, which a registry must know of who subscribes
    notified: str = ""  # where a registry tells of changed choices (URL)


@dataclass(frozen=True)
class National:
    """The functions that this node asks; None for what it does without."""

    index: LocalizationClient | None = None
    registering: Registering | None = None  # tells the index what we hold
    consent: Holding | None = None
    registry: Ura | None = None  # whose certificate its notifications come with
    following: Following | None = None  # our subscriptions to choices


@asynccontextmanager
async def open_national(
    settings: NationalSettings, own: Ourselves, clients: Clients, records: Records, log: Log
) -> AsyncIterator[National]:
    """The functions this node asks, and the tables of what it keeps for them.

    Raises LdnError: invalid for settings that do not fit together, exception for a key file or
    a check value that cannot be used.
    """
    async with AsyncExitStack() as stack:
        national = National()
        if asked := settings.consent:
            means = _means(asked, own, clients, records)
            national = await _consent(asked, own, means, log)
        if told := settings.localization:
            holder = Holder(own.ura, told.source, own.fhir)
            runtime = (records.clock, records.new_id)
            opened = open_localization(told, own.identity, holder, runtime)
            index = await stack.enter_async_context(opened)
            telling = registering(index, records, every=told.every)
            await telling.prepare()
            indexed = Indexed(index, log, parties_of(told)[0], own.ura, records.clock)
            if follows := national.following:
                indexed = replace(indexed, began=follows.follow, ended=follows.leave)
            telling = replace(telling, index=indexed)
            national = replace(national, index=index, registering=telling)
        yield national


async def _consent(settings: RegistrySettings, own: Ourselves, means: Means, log: Log) -> National:
    """Consent at this holder, with evidence of what is asked and kept, and its subscriptions."""
    consent, registry = await holding(settings, means), party_at(settings.url, settings.ura)
    following = None
    if own.kind and own.notified:
        following = Following(
            *(means.pool, means.clock, means.sealing, consent.subscriptions),
            *(Provider(own.ura, own.kind), own.notified, subscribed(log, registry, means.clock)),
        )
    heard = following.follow if following else unheard
    lasting = consent.lasting
    lasting.inner = Asking(lasting.inner, log, registry, means.clock, means.new_id, heard)
    return National(
        consent=replace(consent, local=own_consents(consent.local, log)),
        registry=Ura.parse(settings.ura) if settings.ura else None,
        following=following,
    )


def _means(settings: RegistrySettings, own: Ourselves, clients: Clients, records: Records) -> Means:
    """What the holder has to ask the registry with; Mitz knows it by its certificate."""
    clock, new_id = records.clock, records.new_id
    http, base = clients.other(settings.url, settings.ura), settings.url.rstrip("/")
    tokens = ServiceTokens(Target(base, base, str(own.ura)), http, clock, new_id)
    bearer = tokens.bearer if settings.profile == "registry" else None
    sealing = Sealing(keyfile.secret(own.key, "our own consents"))
    return Means(records.pool, http, clock, new_id, sealing, own.ura, bearer)


def national_routes(
    national: National, own_only: Callable[[Request], Awaitable[None]]
) -> list[Route]:
    """The holder's own consents, for its own software, and where the registry tells of changes."""
    if national.consent is None:
        return []
    consent = national.consent

    async def from_registry(request: Request) -> None:
        if require_party(peer_certificate(request.scope)).ura != national.registry:
            text = "only the consent registry of this node tells of changes here"
            raise LdnError(Issue.FORBIDDEN, text, detail="consent.not-the-registry")

    return [
        *notify_routes(consent.notifications, from_registry),
        *consent_routes(consent.local, own_only, "/api/fhir/R4"),
    ]
