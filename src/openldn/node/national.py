"""What a node asks of the national functions: pseudonyms, the index, consent."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.base.runtime import Clock, NewId
from openldn.base.settings import Settings
from openldn.base.sql import Pool
from openldn.fhir.identifiers import Ura
from openldn.fhir.records.store import Records
from openldn.functions.audit.service import key_of
from openldn.functions.authentication.client import ServiceTokens, Target
from openldn.functions.consent.api_holder import consent_routes, notify_routes
from openldn.functions.consent.sealing import Sealing
from openldn.functions.consent.settings import AskingSettings as AskingConsent
from openldn.functions.consent.settings import Holding, Means, holding
from openldn.functions.localization.client import LocalizationClient
from openldn.functions.localization.dialects import DIALECTS, Dialect, Holder
from openldn.functions.pseudonyms.settings import AskingSettings, client_of
from openldn.node.clients import Clients
from openldn.trust.certificates import require_party


class IndexSettings(Settings, frozen=True):
    """The national index, and how it is spoken to."""

    url: str  # FHIR base of the index
    origin: str  # of its token endpoint; its audience too
    ura: str = ""  # whose certificate it must show; empty: its host name is enough
    dialect: str = "list-2026"  # or ig-ministry, ig-nuts


class RegistrySettings(AskingConsent, frozen=True, kw_only=True):
    """Who is asked whether the patient consents."""

    ura: str = ""  # whose certificate it must show; empty: its host name is enough


class NationalSettings(Settings, frozen=True):
    """The national functions a node leans on; what is left out is done without."""

    pseudonyms: AskingSettings | None = None
    localization: IndexSettings | None = None  # needs `pseudonyms` too
    consent: RegistrySettings | None = None
    consent_key: Path | None = None  # made at first start; None: consent.key beside the signing key


@dataclass(frozen=True)
class Ourselves:
    """What of a node counts with the national functions."""

    ura: Ura
    source: str  # its application: the origin others reach it at
    key: Path  # file with the key of its own consents


@dataclass(frozen=True)
class National:
    """The functions that this node asks; None for what it does without."""

    index: LocalizationClient | None = None
    consent: Holding | None = None
    registry: Ura | None = None  # whose certificate its notifications come with


async def open_national(
    settings: NationalSettings, own: Ourselves, clients: Clients, records: Records
) -> National:
    """The clients, and the tables of the holder's own consents.

    Raises LdnError: invalid for settings that do not fit together, exception for a key file or
    a check value that cannot be used.
    """
    asking = _Asking(own, clients, records.new_id, records.clock)
    asked = settings.consent
    if asked is None:
        return National(asking.index(settings))
    consent = await holding(asked, asking.means(asked, records.pool))
    registry = Ura.parse(asked.ura) if asked.ura else None
    return National(asking.index(settings), consent, registry)


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


@dataclass(frozen=True)
class _Asking:
    """Makes the clients of one node."""

    own: Ourselves
    clients: Clients
    new_id: NewId
    clock: Clock

    def index(self, settings: NationalSettings) -> LocalizationClient | None:
        """The client of the index, with tokens of the pseudonym service."""
        told, asked = settings.localization, settings.pseudonyms
        if told is None:
            return None
        if asked is None:
            text = "national.localization needs national.pseudonyms; set both or neither"
            raise LdnError(Issue.INVALID, text)
        service = self.clients.other(asked.url, asked.ura)
        makes = client_of(asked, service, self._tokens(asked.url, asked.ura), self.new_id)
        tokens = self._tokens(told.origin, told.ura)
        return LocalizationClient(
            http=self.clients.other(told.url, told.ura),
            base=told.url.rstrip("/"),
            holder=Holder(self.own.ura, self.own.source),
            token=makes.token,
            bearer=tokens.bearer,
            new_id=self.new_id,
            dialect=_dialect(told.dialect),
        )

    def means(self, settings: RegistrySettings, pool: Pool) -> Means:
        """What the holder has to ask the registry with; Mitz knows it by its certificate."""
        own, http = self.own, self.clients.other(settings.url, settings.ura)
        tokens = self._tokens(settings.url, settings.ura)
        bearer = tokens.bearer if settings.profile == "registry" else None
        sealing = Sealing(key_of(own.key))
        return Means(pool, http, self.clock, self.new_id, sealing, own.ura, bearer)

    def _tokens(self, origin: str, ura: str) -> ServiceTokens:
        base = origin.rstrip("/")
        target = Target(base, base, str(self.own.ura), source=self.own.source)
        return ServiceTokens(target, self.clients.other(base, ura), self.clock, self.new_id)


def _dialect(name: str) -> Dialect:
    if name not in DIALECTS:
        text = f"national.localization.dialect: choose one of {', '.join(DIALECTS)}"
        raise LdnError(Issue.INVALID, text)
    return DIALECTS[name]
