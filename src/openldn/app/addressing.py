"""The role `addressing`: the directory of care providers and their addresses."""

import random
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path

from openldn.app import Role, Served
from openldn.app.common import HEALTH, Front, behind_gateway, secured
from openldn.app.evidence import Evidence, open_evidence, request_under_way
from openldn.app.probing import PATH, probing, unprobed
from openldn.app.status import Tells, watched
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Identity, client_context, peer_certificate
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import Settings
from openldn.base.sql import Pool, open_pool
from openldn.fhir.http import application
from openldn.fhir.identifiers import Oin
from openldn.fhir.records.model import Written
from openldn.fhir.records.store import Records
from openldn.functions.addressing import api
from openldn.functions.audit.model import Event, Party, Thing
from openldn.functions.authentication.party import party_on
from openldn.functions.authentication.settings import GatewaySettings
from openldn.trust.certificates import Anchors
from openldn.trust.certificates.belief import Belief
from openldn.trust.documents import Documents, hosts
from openldn.trust.signatures import Verifier

_LEAST, _MOST = 1, 86_400  # seconds between two tries of an address


class AddressingSettings(Settings, frozen=True):
    """Settings of the role `addressing`, the directory."""

    dsn: str  # PostgreSQL database of the directory alone
    certificate: Path  # server certificate, leaf first
    key_file: Path
    ca: Path  # the authorities whose parties may read, and write their own entry
    public: str  # origin that parties reach the directory at
    host: str = "127.0.0.1"
    port: int = 8443
    strict: bool = False  # ask the whole of the national profiles; copied, not searched
    fetch_hosts: tuple[str, ...] = ()  # hosts of lists of revoked certificates, for signatures
    audit_key: Path | None = None  # of the evidence log, kept as long as it; None: beside key_file
    audit_keep_days: int = 1827  # how long evidence is kept; five years at least
    probe_every: float = 0.0  # seconds between two tries of every address in it; 0: none is tried
    gateway: GatewaySettings | None = None  # none: the certificate on the connection says who calls


@asynccontextmanager
async def addressing(settings: AddressingSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The directory of care providers and their addresses."""
    identity = Identity(settings.certificate, settings.key_file, settings.ca)
    _require_sense(settings)
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings.dsn)
        stack.push_async_callback(pool.close)
        evidence = await stack.enter_async_context(open_evidence("addressing", settings))
        records = Records(pool, utc_now, new_uuid)
        await records.prepare()
        public = f"{settings.public}/fhir/R4"
        made = api.routes(
            records,
            utc_now,
            public,
            "/fhir/R4",
            signatures=_verifier(settings, identity, stack),
            strict=settings.strict,
            tell=Told(evidence),
        )
        app = application([HEALTH, *made], role="addressing", new_id=new_uuid)
        context: ssl.SSLContext | None = secured(identity)
        if settings.gateway is None:
            tells = await _probing(settings, public, identity, pool, stack)
            app = evidence.around(watched(app, "addressing", identity, {PATH: tells}))
        else:
            front = Front(settings.public, identity, pool, evidence)
            app, context = await behind_gateway(app, "addressing", settings.gateway, front)
        yield (Served(app, settings.host, settings.port, context),)


@dataclass(frozen=True)
class Told:
    """What was written in the directory, as evidence; it waits on disk while the log is away."""

    evidence: Evidence

    async def __call__(self, written: Sequence[Written]) -> None:
        """Keep it; raises LdnError(transient) when neither the log nor the disk takes it."""
        await self.evidence.record([self._event(one) for one in written])

    def _event(self, one: Written) -> Event:
        interaction = "create" if one.status == HTTPStatus.CREATED else "update"
        entry = f"{one.record.type}/{one.record.id}"
        about = (Thing(entry, details=(("version", str(one.record.version)),)),)
        told = self.evidence.event("directory-written", interaction=interaction, things=about)
        scope = request_under_way()
        if told.client is None and scope is not None:  # no gateway: the certificate says who
            party = party_on(peer_certificate(scope), utc_now())
            return replace(
                told,
                client=Party(party.id),
                organization=party.ura or Oin.parse(party.id),
                organization_name=party.name,
            )
        return told


def _require_sense(settings: AddressingSettings) -> None:
    if settings.probe_every and not _LEAST <= settings.probe_every <= _MOST:
        text = f"probe_every: 0 tries no address, else from {_LEAST} to {_MOST} seconds"
        raise LdnError(Issue.INVALID, text)
    if settings.probe_every and settings.gateway is not None:
        text = (
            "probe_every reads the directory by certificate, which the gateway does not let in; "
            "set it to 0, and run: openldn directory sync and probe, elsewhere"
        )
        raise LdnError(Issue.INVALID, text)


async def _probing(
    settings: AddressingSettings, base: str, identity: Identity, pool: Pool, stack: AsyncExitStack
) -> Tells:
    """What the operator is told of the addresses, which are tried as long as the role serves."""
    if not settings.probe_every:
        return unprobed
    spread = random.Random()  # noqa: S311  (no secret: it spreads the load)
    made = probing(base, identity, pool, settings.probe_every, lambda most: spread.uniform(0, most))
    return (await stack.enter_async_context(made)).told


def _verifier(settings: AddressingSettings, identity: Identity, stack: AsyncExitStack) -> Verifier:
    """Believes who signs as it believes who calls, and looks whether they were revoked."""
    secure, plain = HttpClient(client_context(identity)), HttpClient()
    documents = Documents(
        lambda url: secure if url.startswith("https:") else plain,
        hosts(settings.fetch_hosts),
        utc_now,
    )
    for part in (secure, plain, documents):
        stack.push_async_callback(part.close)
    return Verifier(Belief(Anchors.load(settings.ca), documents, utc_now).believe)


ROLE = Role(AddressingSettings, addressing)
