"""Transformation on the wire: one resource in, the same facts in the other version out."""

import re
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import decode, encode
from openldn.fhir.http import media_type, negotiate, read_body, respond
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.transformation.engine import other
from openldn.functions.transformation.model import Context, Transformed
from openldn.functions.transformation.service import Transformation, issues, losses
from openldn.trust.parties import caller_of

PATH = "/transform"
SCOPE = "transformation:read"
_KNOWN = ("from", "to", "signature", "_format")
_SIGNATURE = re.compile(r"(?:https://[^?#\s]{1,512}/)?Provenance/[A-Za-z0-9.-]{1,64}")
_MOST = 20  # signatures


def routes(service: Transformation) -> list[Route]:
    """`POST /transform?from=STU3&to=R4` with a resource as body."""

    async def transform(request: Request) -> Response:
        """Parameters with the resource, its losses and its Provenance; 422 without an output."""
        caller_of(request.scope).need(SCOPE)
        source, target, signatures = asked(request.url.query)
        body = await read_body(request)
        resource = decode(body, media_type(request), source)
        found = await service.convert(resource, source, target, signatures=signatures)
        if found.resource is None:
            form = negotiate(request)
            content = encode(issues(found), form, FhirVersion.R4)
            return Response(content, 422, {"content-type": f"{form.mime}; charset=utf-8"})
        return respond(request, parameters(service, found, target), target)

    return [Route(PATH, transform, methods=["POST"])]


def asked(query: str) -> tuple[FhirVersion, FhirVersion, tuple[str, ...]]:
    """From, to and the signatures; raises LdnError(invalid) that names the parameter."""
    pairs = parse_qsl(query, keep_blank_values=True)
    for name, _ in pairs:
        if name not in _KNOWN:
            text = f"an unknown parameter; there are: {', '.join(_KNOWN)}"
            raise LdnError(Issue.INVALID, text)
    signatures = tuple(value for name, value in pairs if name == "signature")
    if len(signatures) > _MOST or not all(_SIGNATURE.fullmatch(s) for s in signatures):
        text = f"signature: a reference to a Provenance, {_MOST} at most"
        raise LdnError(Issue.INVALID, text, where="signature")
    given = dict(pairs)
    target = _version("to", given.get("to", ""))
    source = _version("from", given["from"]) if "from" in given else other(target)
    if source is target:
        text = "from and to are the same version; there is nothing to do"
        raise LdnError(Issue.INVALID, text, where="to")
    return source, target, signatures


def _version(name: str, text: str) -> FhirVersion:
    for version in FhirVersion:
        if text.upper() in (version.value, version.mime, version.number):
            return version
    raise LdnError(Issue.INVALID, f"{name}: choose STU3 or R4", where=name)


def parameters(service: Transformation, found: Transformed, target: FhirVersion) -> Resource:
    """The answer; the Provenance speaks the version that was asked."""
    made = [
        {"name": "resource", "resource": found.resource},
        {"name": "losses", "resource": losses(found)},
    ]
    if found.provenance is not None:
        made.append({"name": "provenance", "resource": told(service, found.provenance, target)})
    return {"resourceType": "Parameters", "parameter": made}


def told(service: Transformation, provenance: Resource, target: FhirVersion) -> Resource:
    """A Provenance (R4) in this version."""
    if target is FhirVersion.R4:
        return provenance
    context = Context(service.clock(), provenance["id"])
    found = service.engine.transform(provenance, FhirVersion.R4, target, context)
    if found.resource is None:
        raise LdnError(Issue.EXCEPTION, "the Provenance could not be told in this version")
    return found.resource
