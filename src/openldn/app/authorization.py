"""The role `authorization`: the decision point of one organization, in every wire shape."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from starlette.requests import Request

from openldn.app import Role, Served
from openldn.app.common import HEALTH, Front, behind_gateway, secured
from openldn.app.evidence import open_evidence
from openldn.app.status import watched
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Identity, client_context, peer_certificate
from openldn.base.log import emit
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import Settings
from openldn.base.sql import open_pool
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.functions.authentication.settings import GatewaySettings
from openldn.functions.authorization import api
from openldn.functions.authorization.client import FhirInformation
from openldn.functions.authorization.model import Consent
from openldn.functions.authorization.own import OwnPolicy
from openldn.functions.authorization.question import Information, Question
from openldn.functions.authorization.service import DecisionPoint, nobody_agrees
from openldn.trust.certificates import require_party
from openldn.trust.parties import caller_of


class AuthorizationSettings(Settings, frozen=True, kw_only=True):
    """Settings of the role `authorization`, the decision point."""

    certificate: Path  # server and client certificate, leaf first
    key_file: Path
    ca: Path  # the authorities whose parties may ask
    askers: tuple[str, ...]  # URAs whose enforcement points may ask, by their certificate
    pip: str = ""  # FHIR R4 base of the holder's own register, for identity and local consents;
    # empty: only what the request tells
    own_policy: Path | None = None  # Rego of the holder itself; it can only deny further
    own_patience: float = 1.0  # seconds that Rego has for one decision
    insecure_presumed_consent: bool = False  # stand-in until consent is asked: everyone agrees
    gateway: GatewaySettings | None = None  # none: the certificate on the connection says who asks
    public: str = ""  # with a gateway: origin that enforcement points reach it at
    dsn: str = ""  # with a gateway: PostgreSQL database of its tokens; empty: given elsewhere
    audit_key: Path | None = None  # of the evidence log, kept as long as it; None: beside key_file
    audit_keep_days: int = 1827  # how long evidence is kept; five years at least
    host: str = "127.0.0.1"
    port: int = 8443


@asynccontextmanager
async def authorization(settings: AuthorizationSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The decision point: policies of the exchanges, and the holder's own file after them."""
    identity = Identity(settings.certificate, settings.key_file, settings.ca)
    async with AsyncExitStack() as stack:
        information: Information | None = None
        if settings.pip:
            http = HttpClient(client_context(identity))
            stack.push_async_callback(http.close)
            information = FhirInformation(http, settings.pip.rstrip("/"))
        own = None
        if settings.own_policy:
            own = await OwnPolicy.open(settings.own_policy, settings.own_patience)
            stack.push_async_callback(own.close)
        if settings.insecure_presumed_consent:
            emit("insecure", setting="insecure_presumed_consent")
        agreed = _everyone if settings.insecure_presumed_consent else nobody_agrees
        point = DecisionPoint(utc_now, information, agreed, own.judge if own else None)
        yield (await _served(point, settings, identity, stack),)


async def _served(
    point: DecisionPoint, settings: AuthorizationSettings, identity: Identity, stack: AsyncExitStack
) -> Served:
    """The decision point on its address: by certificate alone, or behind the gateway."""
    known = frozenset(map(Ura.parse, settings.askers))
    by = _by_certificate if settings.gateway is None else _by_token
    routes = [HEALTH, *api.routes(point, by(known))]
    app = application(routes, role="authorization", new_id=new_uuid)
    if settings.gateway is None:
        app = watched(app, "authorization", identity)
        return Served(app, settings.host, settings.port, secured(identity))
    pool, evidence = None, None
    if settings.dsn:
        pool = await open_pool(settings.dsn)
        stack.push_async_callback(pool.close)
        keeping = open_evidence("authorization", settings, kind="6")
        evidence = await stack.enter_async_context(keeping)
    front = Front(settings.public, identity, pool, evidence)
    app, context = await behind_gateway(app, "authorization", settings.gateway, front)
    return Served(app, settings.host, settings.port, context)


async def _everyone(question: Question, bsn: str) -> Consent:
    return Consent.PERMIT


def _by_certificate(known: frozenset[Ura]) -> api.Guard:
    def guard(request: Request) -> None:
        _require(require_party(peer_certificate(request.scope), utc_now()).ura, known)

    return guard


def _by_token(known: frozenset[Ura]) -> api.Guard:
    def guard(request: Request) -> None:
        caller = caller_of(request.scope)
        caller.need("authorization:decide")
        _require(caller.organization, known)

    return guard


def _require(asking: Ura, known: frozenset[Ura]) -> None:
    if asking not in known:
        text = "only the enforcement points of this organization may ask for decisions"
        raise LdnError(Issue.FORBIDDEN, text)


ROLE = Role(AuthorizationSettings, authorization)
