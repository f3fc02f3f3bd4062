"""The simulated Zorgplatform on HTTP: STS, launches, FHIR, and the controls of the test."""

import asyncio
import base64
import binascii
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import Identity, peer_certificate, server_context
from openldn.fhir.http import application, read_body, read_json, respond, respond_json
from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import FhirVersion
from openldn.testbench.simulators.zorgplatform.model import Fault, ZorgplatformSettings
from openldn.testbench.simulators.zorgplatform.platform import Platform, Professional
from openldn.trust.certificates.tls_profiles import restrict, tls_profile
from openldn.trust.evidence import Proof
from openldn.trust.saml.sts_service import read_envelope, refused
from openldn.trust.saml.sts_service import respond as respond_soap

_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"),
    autoescape=True,
    undefined=StrictUndefined,
)
_LARGEST_FORM = 16 * 1024
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action "


def context_of(settings: ZorgplatformSettings) -> ssl.SSLContext:
    """TLS of the simulator: a client certificate is asked of all, demanded by the STS and FHIR.

    Browsers come without one, for launches.
    """
    identity = Identity(settings.certificate, settings.key_file, settings.ca)
    context = restrict(server_context(identity), tls_profile("ncsc-2.1"))
    context.verify_mode = ssl.CERT_OPTIONAL
    if settings.tls_1_2:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def app(platform: Platform) -> Any:
    """The whole simulator as an ASGI application."""
    routes = [
        Route("/health", _health),
        *_sts(platform),
        *_launches(platform),
        *_fhir(platform),
        *_controls(platform),
    ]
    return application(routes, role="sim-zorgplatform", new_id=platform.new_id)


async def _health(request: Request) -> Response:
    return respond_json({"status": "ready"})


def _sts(platform: Platform) -> list[Route]:
    async def issue(request: Request) -> Response:
        """POST: WS-Trust, RST/Issue."""
        fault = platform.fault("sts")
        if broken := await _broken(fault):
            return broken
        try:
            envelope = await read_envelope(request)
            client = peer_certificate(request.scope) or b""
            answer = await platform.issue(envelope, client, fault)
        except LdnError as error:
            platform.note("sts.refused", detail=error.detail)
            return refused(error, request.state.correlation, platform.clock())
        cut = len(answer) // 2 if fault and fault.kind == "truncated" else len(answer)
        return respond_soap(answer[:cut], 200)

    return [Route("/sts", issue, methods=["POST"])]


async def _broken(fault: Fault | None) -> Response | None:
    """The answer of a fault that has nothing to do with what was asked; None when it goes on."""
    match fault:
        case Fault(kind="error-500"):
            return Response(b"", 500)
        case Fault(kind="error-503"):
            return Response(b"", 503)
        case Fault(kind="delay", seconds=seconds):
            await asyncio.sleep(seconds)
    return None


def _launches(platform: Platform) -> list[Route]:
    async def choose(request: Request) -> Response:
        """GET: a page to launch an application as a professional."""
        return _page("choose.html", "'self'", parties=sorted(platform.launches))

    async def launch(request: Request) -> Response:
        """POST: a page that posts SAMLResponse to the application, as a browser would."""
        form = await _form(request)
        fault = platform.fault("sso")
        if broken := await _broken(fault):
            return broken
        url, posted = platform.launch(form.get("party", ""), _professional(form), fault)
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        return _page("launch.html", origin, url=url, response=posted)

    return [
        Route("/sso", choose, methods=["GET"]),
        Route("/sso/launch", launch, methods=["POST"]),
    ]


async def _form(request: Request) -> dict[str, str]:
    body = await read_body(request, _LARGEST_FORM)
    try:
        return dict(parse_qsl(body.decode("ascii"), errors="strict", max_num_fields=20))
    except ValueError as error:
        raise LdnError(Issue.INVALID, "the form cannot be read") from error


def _professional(form: Mapping[str, str]) -> Professional:
    patient = form.get("patient", "")
    return Professional(
        user=form.get("user", ""),
        name=form.get("name", ""),
        role=form.get("role") or "223366009",
        patient=Bsn.parse(patient) if patient else None,
        workflow=form.get("workflow", ""),
    )


def _page(name: str, action: str, **values: object) -> Response:
    body = _PAGES.get_template(name).render(values)
    headers = {"content-security-policy": _POLICY + action, "cache-control": "no-store"}
    return Response(body, media_type="text/html", headers=headers)


def _fhir(platform: Platform) -> list[Route]:
    async def patient(request: Request) -> Response:
        """GET Patient: the one patient of the token, whatever else was asked."""
        proof = _proven(platform, request)
        bsn = proof.patient.value if proof.patient else ""
        found = platform.patients.get(bsn)
        if found is None or platform.fault("fhir", "patient-404"):
            raise LdnError(Issue.NOT_FOUND, "no such patient here")
        entry = {"fullUrl": f"{platform.api}Patient/{found.get('id', '1')}", "resource": found}
        bundle = {"resourceType": "Bundle", "type": "searchset", "total": 1, "entry": [entry]}
        return respond(request, bundle, FhirVersion.STU3)

    async def task(request: Request) -> Response:
        """GET Task: the workflow the token is for, and no other."""
        proof, asked = _proven(platform, request), str(request.path_params["id"])
        if not proof.authorization_base or asked != proof.authorization_base:
            raise LdnError(Issue.FORBIDDEN, "the token is not for this workflow")
        if asked not in platform.tasks:
            raise LdnError(Issue.NOT_FOUND, "no such workflow here")
        return respond(request, platform.tasks[asked], FhirVersion.STU3)

    return [
        Route("/fhir/V1/Patient", patient, methods=["GET"]),
        Route("/fhir/V1/Task/{id}", task, methods=["GET"]),
    ]


def _proven(platform: Platform, request: Request) -> Proof:
    """Who asks, by the header `Authorization: SAML <base64>`; raises LdnError(login)."""
    refusal = LdnError(Issue.LOGIN, "show an assertion of our STS: Authorization: SAML <base64>")
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "saml" or not peer_certificate(request.scope):
        raise refusal
    try:
        proof = platform.believed(base64.b64decode(value, validate=True))
    except binascii.Error as error:
        raise refusal from error
    platform.note("fhir.read", proof.claims[proof.subject]["organization"][0].value)
    return proof


def _controls(platform: Platform) -> list[Route]:
    async def state(request: Request) -> Response:
        """GET: what it keeps; POST: patients and tasks to keep; DELETE: as it began."""
        if request.method == "POST":
            given = await read_json(request)
            platform.patients.update(given.get("patients", {}))
            platform.tasks.update(given.get("tasks", {}))
        elif request.method == "DELETE":
            for kept in (platform.patients, platform.tasks, platform.pending, platform.events):
                kept.clear()
        return respond_json(platform.state())

    async def fault(request: Request) -> Response:
        """POST: a fault to show; DELETE: none any more."""
        if request.method == "DELETE":
            platform.pending.clear()
        else:
            platform.pending.append(_fault(await read_json(request)))
        return respond_json(platform.state())

    async def events(request: Request) -> Response:
        """GET: what happened."""
        return respond_json(platform.log())

    return [
        Route("/control/state", state, methods=["GET", "POST", "DELETE"]),
        Route("/control/fault", fault, methods=["POST", "DELETE"]),
        Route("/control/events", events, methods=["GET"]),
    ]


def _fault(given: dict[str, Any]) -> Fault:
    try:
        return msgspec.convert(given, Fault, strict=False)
    except msgspec.ValidationError as error:
        raise LdnError(Issue.INVALID, f"a fault is described otherwise: {error}") from error
