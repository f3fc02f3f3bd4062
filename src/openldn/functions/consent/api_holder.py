"""Consent at the holder on the wire: its own consents, and what a registry comes to tell.

Own consents are for the holder's own software; a patient stands in the body of a search.
"""

from collections.abc import Awaitable, Callable, Collection
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.base.runtime import Clock
from openldn.fhir.codec import decode
from openldn.fhir.http import media_type, read_body, respond
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.consent.api import named
from openldn.functions.consent.local import LocalConsents, Notifications, Recorded
from openldn.trust.certificates import require_party

_LARGEST = 1024 * 1024  # bytes of a body
_FORM = "application/x-www-form-urlencoded"

Guard = Callable[[Request], Awaitable[None]]  # lets the caller pass or raises LdnError


def only(parties: Collection[Ura], clock: Clock) -> Guard:
    """Lets in who shows the certificate of one of these care providers or registries."""
    known = frozenset(parties)

    async def guard(request: Request) -> None:
        if require_party(peer_certificate(request.scope), clock()).ura not in known:
            text = "only the consent registry tells of choices here; check its certificate"
            raise LdnError(Issue.FORBIDDEN, text, detail="consent.registry")

    return guard


def notify_routes(notifications: Notifications, from_registry: Guard) -> list[Route]:
    """Where a registry tells that choices changed; `from_registry` knows it by certificate."""

    async def take_notification(request: Request) -> Response:
        """POST: a Bundle in XML or JSON; 204 once it is kept."""
        await from_registry(request)
        body = await read_body(request, _LARGEST)
        await notifications.take(decode(body, media_type(request), FhirVersion.R4))
        return Response(status_code=204)

    return [Route("/mitz/notify", take_notification, methods=["POST"])]


def consent_routes(local: LocalConsents, own_software: Guard, prefix: str) -> list[Route]:
    """FHIR Consent (IHE PCF) for the holder's own software, below `prefix`."""

    async def create_consent(request: Request) -> Response:
        """POST: a new Consent."""
        await own_software(request)
        return _shown(request, await local.record(await _consent(request)), 201)

    async def search_consents(request: Request) -> Response:
        """POST: the Consents about one patient, `patient.identifier` in the form."""
        await own_software(request)
        found = await local.find(await _patient(request))
        entries = [{"resource": each.consent} for each in found]
        bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
        return respond(request, bundle | ({"entry": entries} if entries else {}), FhirVersion.R4)

    async def read_consent(request: Request) -> Response:
        """GET: one Consent."""
        await own_software(request)
        found = await local.read(named(request))
        if found is None:
            raise LdnError(Issue.NOT_FOUND, "there is no such consent")
        return _shown(request, found)

    async def update_consent(request: Request) -> Response:
        """PUT: the next version of a Consent; If-Match names the one it replaces."""
        await own_software(request)
        version = _expected(request)
        given = await _consent(request)
        return _shown(request, await local.record(given, named(request), version))

    async def withdraw_consent(request: Request) -> Response:
        """DELETE: the Consent ends; it stays readable, inactive."""
        await own_software(request)
        return _shown(request, await local.withdraw(named(request)))

    one = f"{prefix}/Consent/{{id}}"
    return [
        Route(f"{prefix}/Consent", create_consent, methods=["POST"]),
        Route(f"{prefix}/Consent/_search", search_consents, methods=["POST"]),
        Route(one, read_consent, methods=["GET"]),
        Route(one, update_consent, methods=["PUT"]),
        Route(one, withdraw_consent, methods=["DELETE"]),
    ]


async def _consent(request: Request) -> Resource:
    return decode(await read_body(request, _LARGEST), media_type(request), FhirVersion.R4)


async def _patient(request: Request) -> Bsn:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise LdnError(Issue.NOT_SUPPORTED, f"send {_FORM}", status=415)
    pairs = parse_qsl((await read_body(request, 4096)).decode("utf-8", "replace"))
    system, _, value = dict(pairs).get("patient.identifier", "").partition("|")
    if len(pairs) != 1 or system != BSN_SYSTEM:
        text = f"name one patient by patient.identifier={BSN_SYSTEM}|…, in the body"
        raise LdnError(Issue.INVALID, text)
    return Bsn.parse(value)


def _expected(request: Request) -> int:
    number = request.headers.get("if-match", "").strip().removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        text = "send If-Match with the version you read (its ETag)"
        raise LdnError(Issue.INVALID, text, status=428)
    return int(number)


def _shown(request: Request, found: Recorded, status: int = 200) -> Response:
    headers = {"etag": f'W/"{found.version}"'}
    return respond(request, found.consent, FhirVersion.R4, status=status, headers=headers)
