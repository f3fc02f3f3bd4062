"""A node's dealings with the index: who holds data of a patient, and telling what we hold."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Identity, client_context
from openldn.base.runtime import Clock, NewId
from openldn.base.settings import Settings
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.model import Place
from openldn.fhir.records.store import Records
from openldn.functions.audit.model import Party
from openldn.functions.authentication.client import ServiceTokens, Target
from openldn.functions.localization.client import LocalizationClient
from openldn.functions.localization.dialects import DIALECTS, Holder
from openldn.functions.localization.registering.records import RecordHoldings
from openldn.functions.localization.registering.service import Registering
from openldn.functions.localization.registering.store import Wishes
from openldn.functions.pseudonyms.settings import AskingSettings, client_of
from openldn.trust.certificates import check_peer


class LocalizingSettings(Settings, frozen=True, kw_only=True):
    """The index this organization registers at and asks."""

    index: str  # FHIR base of the index, in the profile of `dialect`
    source: str  # our application as the index knows it: its client id
    oin: str  # our OIN: the pseudonym service knows us by it
    pseudonyms: AskingSettings  # where tokens for patients are asked
    dialect: str = "list-2026"  # or ig-ministry, ig-nuts
    ura: str = ""  # whose certificate the index must show; empty: its host name is enough
    tokens: str = ""  # token endpoint of the index; empty: its origin
    audience: str = ""  # target_audience of the index; empty: its origin
    pseudonyms_tokens: str = ""  # token endpoint of the pseudonym service; empty: its origin
    pseudonyms_audience: str = ""  # target_audience of it; empty: its origin
    asking: str = "cc-org-id"  # how tokens are asked at both
    every: float = 1.0  # seconds between two looks at what the store has


@asynccontextmanager
async def open_localization(
    settings: LocalizingSettings, identity: Identity, holder: Holder, runtime: tuple[Clock, NewId]
) -> AsyncIterator[LocalizationClient]:
    """The port of localization at the index of these settings, for this holder.

    Raises LdnError: invalid for a dialect or wire profile that does not exist, exception when
    the words of pseudonyms differ from those of the recipient.
    """
    clock, new_id = runtime
    dialect = DIALECTS.get(settings.dialect)
    if dialect is None:
        text = f"no dialect {settings.dialect!r} of localization; choose of {', '.join(DIALECTS)}"
        raise LdnError(Issue.INVALID, text)
    async with AsyncExitStack() as stack:
        index = await _client(stack, identity, settings.ura)
        service = await _client(stack, identity, settings.pseudonyms.ura)
        profile = settings.asking
        at_index = Target(
            settings.tokens or _origin(settings.index),
            settings.audience or _origin(settings.index),
            holder.ura.value,
            settings.source,
            profile,
        )
        at_service = Target(
            settings.pseudonyms_tokens or _origin(settings.pseudonyms.url),
            settings.pseudonyms_audience or _origin(settings.pseudonyms.url),
            settings.oin,
            profile=profile,
        )
        asked = ServiceTokens(at_service, service, clock, new_id)
        made = client_of(settings.pseudonyms, service, asked, new_id)
        shown = ServiceTokens(at_index, index, clock, new_id)
        base = settings.index.rstrip("/")
        yield LocalizationClient(index, base, holder, made.token, shown.bearer, new_id, dialect)


def registering(
    client: LocalizationClient,
    records: Records,
    versions: Sequence[FhirVersion] = tuple(FhirVersion),
    *,
    every: float = 1.0,
) -> Registering:
    """Registration of what this record store has of the holder; `prepare` it, then `run` it."""
    ura = client.holder.ura
    places = [Place(ura.value, version) for version in versions]
    lasting = RecordHoldings(records, places, records.clock, any_will_do=not client.categorized)
    return Registering(
        Wishes(records.pool, ura), lasting, client, records.clock, client.categorized, every=every
    )


def parties_of(settings: LocalizingSettings) -> tuple[Party, Party]:
    """The index and the pseudonym service of these settings, as the audit log names them."""
    told = settings.pseudonyms
    return _party(settings.index, settings.ura), _party(told.url, told.ura)


def _party(url: str, ura: str) -> Party:
    if ura:
        return Party(ura, URA_SYSTEM, address=url)
    return Party(urlsplit(url).hostname or url, address=url)


async def _client(stack: AsyncExitStack, identity: Identity, ura: str) -> HttpClient:
    check = check_peer(Ura.parse(ura)) if ura else None
    http = HttpClient(client_context(identity, check))
    stack.push_async_callback(http.close)
    return http


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
