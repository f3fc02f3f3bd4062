"""What a node asks of the national functions: pseudonyms, the index, consent."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
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
from openldn.functions.consent.client import Mitz, RegistryClient
from openldn.functions.consent.kinds import kinds
from openldn.functions.consent.lasting import Lasting
from openldn.functions.consent.local import AtHolder, LocalConsents, Notifications
from openldn.functions.consent.model import Consents
from openldn.functions.consent.sealing import Sealing
from openldn.functions.localization.client import LocalizationClient
from openldn.functions.localization.dialects import DIALECTS, Dialect, Holder
from openldn.functions.pseudonyms.settings import AskingSettings, client_of
from openldn.node.clients import Clients
from openldn.trust.certificates import require_party

CONSENT_SCOPE = "consent:ask"


class IndexSettings(Settings, frozen=True):
    """The national index, and how it is spoken to."""

    url: str  # FHIR base of the index
    origin: str  # of its token endpoint; its audience too
    ura: str = ""  # whose certificate it must show; empty: its host name is enough
    dialect: str = "list-2026"  # or ig-ministry, ig-nuts


class RegistrySettings(Settings, frozen=True):
    """Who is asked whether the patient consents."""

    url: str  # origin
    ura: str = ""  # whose certificate it must show; empty: its host name is enough
    wire: str = "registry"  # our own registry, or mitz-otv


class NationalSettings(Settings, frozen=True):
    """The national functions a node leans on; what is left out is done without."""

    pseudonyms: AskingSettings | None = None
    localization: IndexSettings | None = None  # needs `pseudonyms` too
    consent: RegistrySettings | None = None
    consent_key: Path | None = None  # made at first start; None: consent.key beside the signing key


@dataclass(frozen=True)
class Self:
    """What of a node counts with the national functions."""

    ura: Ura
    source: str  # its application: the origin others reach it at
    key: Path  # file with the key of its own consents


@dataclass(frozen=True)
class Consenting:
    """Consent at this holder: its own, the registry's, and what the registry comes to tell."""

    local: LocalConsents
    lasting: Lasting
    consents: Consents
    registry: Ura | None  # whose certificate notifications come with
    notifications: Notifications = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "notifications", Notifications(self.local, self.lasting))


@dataclass(frozen=True)
class National:
    """The functions that this node asks; None for what it does without."""

    index: LocalizationClient | None = None
    consenting: Consenting | None = None


async def open_national(
    settings: NationalSettings, own: Self, clients: Clients, records: Records
) -> National:
    """The clients, and the tables of the holder's own consents.

    Raises LdnError: invalid for settings that do not fit together, exception for a key file or
    a check value that cannot be used.
    """
    asking = _Asking(own, clients, records.new_id, records.clock)
    consenting = None
    if settings.consent is not None:
        consenting = asking.consenting(settings.consent, records.pool)
        await consenting.local.prepare()
    return National(asking.index(settings), consenting)


def national_routes(
    national: National, own_only: Callable[[Request], Awaitable[None]]
) -> list[Route]:
    """The holder's own consents, for its own software, and where the registry tells of changes."""
    if national.consenting is None:
        return []
    consenting = national.consenting

    async def from_registry(request: Request) -> None:
        if require_party(peer_certificate(request.scope)).ura != consenting.registry:
            text = "only the consent registry of this node tells of changes here"
            raise LdnError(Issue.FORBIDDEN, text, detail="consent.not-the-registry")

    return [
        *notify_routes(consenting.notifications, from_registry),
        *consent_routes(consenting.local, own_only, "/api/fhir/R4"),
    ]


@dataclass(frozen=True)
class _Asking:
    """Makes the clients of one node."""

    own: Self
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

    def consenting(self, settings: RegistrySettings, pool: Pool) -> Consenting:
        """The registry behind a short memory, weighed with the holder's own consents."""
        http, table = self.clients.other(settings.url, settings.ura), kinds()
        url, headers = settings.url.rstrip("/"), self._headers(settings)
        asked: Consents = RegistryClient(http, url, self.clock, headers=headers)
        if settings.wire == "mitz-otv":
            asked = Mitz(http, url, self.clock, self.new_id, table)
        elif settings.wire != "registry":
            text = f"national.consent.wire: choose registry or mitz-otv, not {settings.wire!r}"
            raise LdnError(Issue.INVALID, text)
        sealing = Sealing(key_of(self.own.key))
        local = LocalConsents(pool, self.clock, self.new_id, table, sealing, self.own.ura)
        lasting = Lasting(asked, self.clock)
        registry = Ura.parse(settings.ura) if settings.ura else None
        return Consenting(local, lasting, AtHolder(local, lasting, self.clock), registry)

    def _headers(self, settings: RegistrySettings) -> Callable[[], Awaitable[Mapping[str, str]]]:
        tokens = self._tokens(settings.url, settings.ura)

        async def headers() -> Mapping[str, str]:
            return {"authorization": f"Bearer {await tokens.bearer(CONSENT_SCOPE)}"}

        return headers

    def _tokens(self, origin: str, ura: str) -> ServiceTokens:
        base = origin.rstrip("/")
        target = Target(base, base, str(self.own.ura), source=self.own.source)
        return ServiceTokens(target, self.clients.other(base, ura), self.clock, self.new_id)


def _dialect(name: str) -> Dialect:
    if name not in DIALECTS:
        text = f"national.localization.dialect: choose one of {', '.join(DIALECTS)}"
        raise LdnError(Issue.INVALID, text)
    return DIALECTS[name]
