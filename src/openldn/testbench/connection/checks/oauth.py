"""C28-C32: the authorization server: where it is, what it offers, what it refuses."""

import warnings
from typing import Any
from urllib.parse import urlencode, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.errors import SecurityWarning

from openldn.base.errors import LdnError
from openldn.base.http import Reply
from openldn.fhir.codec import parse
from openldn.testbench.connection import addresses
from openldn.testbench.connection.model import Result, failed, judged, skipped
from openldn.testbench.connection.visit import Visit, hostname
from openldn.trust.jose import key_of_jwk, suited

WELL_KNOWN = "/.well-known/oauth-authorization-server"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ERRORS = {
    *("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client"),
    *("unsupported_grant_type", "invalid_scope", "invalid_dpop_proof", "use_dpop_nonce"),
}
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "k")


def places(issuer: str) -> tuple[str, ...]:
    """Where the metadata may stand: inserted (RFC 8414 §3), and appended as many do."""
    parts = urlsplit(issuer)
    origin = f"{parts.scheme}://{parts.netloc}"
    inserted = f"{origin}{WELL_KNOWN}{parts.path.rstrip('/')}"
    return tuple(dict.fromkeys((inserted, f"{issuer.rstrip('/')}{WELL_KNOWN}")))


async def metadata(visit: Visit) -> dict[str, dict[str, Any]]:
    """The metadata that was found, by address; empty without an issuer or when there is none."""
    found: dict[str, dict[str, Any]] = {}
    for place in places(visit.target.given.issuer) if visit.target.given.issuer else ():
        try:
            found[place] = await visit.document(place)
        except LdnError:
            continue
    return found


async def _one(visit: Visit) -> dict[str, Any]:
    return next(iter((await metadata(visit)).values()), {})


async def token_endpoint(visit: Visit) -> str:
    """The token endpoint when it is at a host we may call, else empty."""
    found = (await _one(visit)).get("token_endpoint")
    return found if isinstance(found, str) and visit.ours(found) else ""


def _missing(visit: Visit) -> Result:
    return skipped("metadata" if visit.target.given.issuer else "issuer")


async def published(visit: Visit) -> Result:
    """C28."""
    issuer = visit.target.given.issuer
    if not issuer:
        return skipped("issuer")
    found = await metadata(visit)
    said = "; ".join(f"{p}: {'found' if p in found else 'not found'}" for p in places(issuer))
    named = {str(d.get("issuer")) for d in found.values()}
    if named - {issuer}:
        return failed(f"{said}; issuer is another")
    return judged(bool(found), said)


async def owned(visit: Visit) -> Result:
    """C29."""
    found = await _one(visit)
    if not found:
        return _missing(visit)
    urls = {k: str(v) for k, v in found.items() if k.endswith(("_endpoint", "_uri"))}
    owner = _owner(visit.target.given.issuer)
    bad = [k for k, v in urls.items() if not v.startswith("https://") or _owner(v) != owner]
    return judged(
        not bad, f"{', '.join(urls) or 'no addresses'}; wrong: {', '.join(bad) or 'none'}"
    )


def _owner(url: str) -> str:
    """The last two labels of a host, or an address whole."""
    host = hostname(url)
    return host if addresses.literal(host) else ".".join(host.split(".")[-2:])


async def grants(visit: Visit) -> Result:
    """C30."""
    found = await _one(visit)
    if not found:
        return _missing(visit)
    named = found.get("grant_types_supported")
    offered = {str(g) for g in named} if isinstance(named, list) else set()
    needed = set(visit.target.given.grants or (JWT_BEARER,))
    lacking = ", ".join(sorted(needed - offered)) or "none"
    return judged(needed <= offered, f"offered: {', '.join(sorted(offered))}; lacking: {lacking}")


async def refusal_of_token(visit: Visit, endpoint: str) -> Reply:
    """The answer to a token request that proves nothing."""
    body = urlencode({"grant_type": JWT_BEARER}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return await visit.send(endpoint, "POST", headers=headers, body=body)


async def unproven(visit: Visit) -> Result:
    """C31."""
    found = await _one(visit)
    if not found:
        return _missing(visit)
    endpoint = await token_endpoint(visit)
    if not endpoint:
        return skipped("elsewhere")
    reply = await refusal_of_token(visit, endpoint)
    error = _error(reply)
    cached = reply.headers.get("cache-control", "none")
    said = f"status {reply.status}; error: {error or 'none'}; cache-control: {cached[:60]}"
    good = reply.status in {400, 401} and error in ERRORS and "no-store" in cached
    return judged(good, said)


def _error(reply: Reply) -> str:
    try:
        found = parse(reply.body)
    except LdnError:
        return ""
    return str(found.get("error", ""))[:40] if isinstance(found, dict) else ""


async def keys(visit: Visit) -> Result:
    """C32."""
    found = await _one(visit)
    if not found:
        return _missing(visit)
    url = found.get("jwks_uri")
    if not isinstance(url, str):
        return skipped("jwks")
    if not visit.ours(url):
        return skipped("elsewhere")
    listed = (await visit.document(url)).get("keys")
    if not isinstance(listed, list) or not listed:
        return failed("no keys")
    problems = _problems([k for k in listed if isinstance(k, dict)], await visit.chain())
    return judged(not problems, f"{len(listed)} keys; {', '.join(problems) or 'all in order'}")


def _problems(jwks: list[dict[str, Any]], chain: tuple[x509.Certificate, ...]) -> list[str]:
    ids = [str(k.get("kid", "")) for k in jwks]
    found = ["kid absent or twice"] if "" in ids or len(set(ids)) < len(ids) else []
    if any(set(_PRIVATE) & set(k) for k in jwks):
        found.append("private parts")
    tls = _spki(chain[0].public_key()) if chain else b""
    for jwk in jwks:
        found += _key_problems({k: v for k, v in jwk.items() if k not in _PRIVATE}, tls)
    return list(dict.fromkeys(found))


def _key_problems(jwk: dict[str, Any], tls: bytes) -> list[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # a weak key is what we look for
            key = key_of_jwk(jwk)
    except LdnError:
        return ["a key that cannot be used"]
    found = [] if suited(key) else ["a weak key"]
    if jwk.get("alg") and jwk["alg"] not in suited(key):
        found.append("alg does not fit the key")
    if _spki(key.public_key) == tls:
        found.append("the key of TLS")
    return found


def _spki(key: Any) -> bytes:
    found: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return found


LOOKS = {"C28": published, "C29": owned, "C30": grants, "C31": unproven, "C32": keys}
