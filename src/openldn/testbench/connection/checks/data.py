"""C33-C36: FHIR, and the documents that other parties build their trust on."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from openldn.base.errors import LdnError
from openldn.base.http import Reply
from openldn.fhir.codec import parse
from openldn.testbench.connection.model import Result, failed, judged, passed, skipped, warned
from openldn.testbench.connection.visit import NOBODY, OURS, Visit, json_of
from openldn.trust import jose
from openldn.trust.trail import Trail

VERSIONS = {"3.0.1", "3.0.2", "4.0.1", "4.3.0", "5.0.0"}
STALE = timedelta(hours=24)  # how old a list without an end may be
_KINDS = {"application/did+json", "application/json", "application/did+ld+json"}


async def capabilities(visit: Visit) -> Result:
    """C33."""
    given = visit.target.given
    if not given.fhir:
        return skipped("fhir")
    reply = await visit.send(f"{given.fhir}/metadata", headers={"accept": "application/fhir+json"})
    if reply.status != 200:
        return failed(f"/metadata: status {reply.status}")
    try:
        found = str(json_of(reply).get("fhirVersion", "none"))
    except LdnError as error:
        return failed(f"/metadata: {error.message}")
    wanted = given.fhir_version
    said = f"fhirVersion {found[:20]}" + (f"; directory: {wanted}" if wanted else "")
    return judged(found == wanted if wanted else found in VERSIONS, said)


async def tokenless(visit: Visit) -> Result:
    """C34."""
    if not visit.target.given.fhir:
        return skipped("fhir")
    who = OURS if visit.has(OURS) else NOBODY
    reply = await visit.send(f"{visit.target.given.fhir}/Patient?_count=1", who=who)
    asked = reply.headers.get("www-authenticate", "")
    said = f"status {reply.status}; www-authenticate: {asked[:60] or 'none'}"
    return judged(reply.status == 401 and bool(asked), said)


def address_of(did: str) -> str:
    """Where the document of a did:web stands; empty for another kind. Source: did:web §3.2."""
    kind, _, rest = did.partition("did:web:")
    if kind or not rest:
        return ""
    host, *path = map(unquote, rest.split(":"))
    return f"https://{host}/{'/'.join(path) if path else '.well-known'}/did.json"


async def identity(visit: Visit) -> Result:
    """C35."""
    given = visit.target.given
    url = address_of(given.did)
    if not url:
        return skipped("did")
    reply = await visit.get(url)
    kind = reply.headers.get("content-type", "none").partition(";")[0].strip()
    try:
        document = json_of(reply)
    except LdnError as error:
        return failed(f"{url}: {error.message}")
    methods = _methods(document)
    said = f"{url}: {kind}, {len(methods)} keys"
    if kind not in _KINDS or document.get("id") != given.did or not methods:
        return failed(f"{said}, id {'as asked' if document.get('id') == given.did else 'another'}")
    if not given.presentation:
        return passed(f"{said}; no --presentation, so the signer was not compared")
    problem = _signature_problem(given.presentation, methods)
    return judged(not problem, f"{said}; presentation: {problem or 'signed with one of these'}")


def _methods(document: dict[str, Any]) -> dict[str, Any]:
    """The public keys (JWK) in a DID document, by id."""
    listed = document.get("verificationMethod")
    rows = [m for m in listed if isinstance(m, dict)] if isinstance(listed, list) else []
    base = str(document.get("id"))
    found = {str(m.get("id")): m.get("publicKeyJwk") for m in rows}
    return {(base + k if k.startswith("#") else k): v for k, v in found.items() if v}


def _signature_problem(text: str, methods: dict[str, Any]) -> str:
    try:
        token = jose.read(text, Trail())
        jwk = methods.get(token.header_text("kid"))
        if jwk is None:
            return "its kid is not in the document"
        jose.verify(token, jose.key_of_jwk(jwk), jose.ALGORITHMS, Trail())
    except LdnError as error:
        return error.detail or "it cannot be read"
    return ""


async def status_list(visit: Visit) -> Result:
    """C36."""
    url = visit.target.given.status_list
    if not url:
        return skipped("status")
    reply = await visit.get(url)
    if reply.status != 200:
        return failed(f"status {reply.status}")
    return await _listed(visit, reply)


async def _listed(visit: Visit, reply: Reply) -> Result:
    text = reply.body.decode("ascii", "replace").strip().strip('"')
    try:
        token = jose.read(text, Trail())
    except LdnError:
        return _unsigned(reply)
    now = visit.clock()
    ends, made = _moment(token.claims.get("exp")), _moment(_begin(token.claims))
    said = f"made {made:%Y-%m-%d %H:%M}" if made else "no moment"
    if (ends is not None and ends < now) or (ends is None and (not made or now - made > STALE)):
        return failed(f"{said}: stale")
    signer = token.header_text("kid").partition("#")[0] or token.claim("iss")
    place = address_of(signer)
    if not place or not visit.ours(place):
        return warned(f"{said}; the signer's document is elsewhere: signature not verified")
    methods = _methods(await visit.document(place))
    problem = _signature_problem(text, methods)
    return judged(not problem, f"{said}; {problem or 'signed'}")


def _begin(claims: dict[str, Any]) -> object:
    return claims.get("iat", claims.get("nbf"))


def _unsigned(reply: Reply) -> Result:
    try:
        found = parse(reply.body)
    except LdnError:
        return failed("neither a JWT nor JSON")
    if isinstance(found, dict) and found.get("proof"):
        return warned("JSON with a linked-data proof: signature not verified")
    return failed("not signed")


def _moment(value: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(str(value)), tz=UTC)
    except (ValueError, OverflowError, OSError):
        return None


LOOKS = {"C33": capabilities, "C34": tokenless, "C35": identity, "C36": status_list}
