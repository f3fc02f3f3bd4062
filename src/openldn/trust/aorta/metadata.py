"""Metadata of AORTA's authorization servers: signed, and believed only when it is.

Source: RFC 8414 §2.1, §3; AORTA-on-FHIR, Interfaces Autorisatie Server (Metadata, JWKS).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.fhir.codec import parse
from openldn.trust import jose
from openldn.trust.documents import Documents, Terms
from openldn.trust.trail import Rule, Trail

MAX_AGE = 14_400  # seconds metadata serves: AORTA's initial value of max-age
CACHING = {"cache-control": f"must-revalidate, max-age={MAX_AGE}", "pragma": "no-cache"}
_WELL_KNOWN = "/.well-known/oauth-authorization-server"

FORM = Rule(
    "aorta.metadata.form", "RFC 8414 §3.2", "the metadata is a JSON object with a token URL"
)
ISSUER = Rule("aorta.metadata.issuer", "RFC 8414 §3.3", "it is of the issuer that was asked for")
SIGNED = Rule("aorta.metadata.signed", "AORTA-on-FHIR metadata", "it comes signed")
SAME = Rule("aorta.metadata.same", "RFC 8414 §2.1", "plain values agree with the signed ones")
SECURE = Rule("aorta.metadata.https", "RFC 8414 §2", "every address is https, without credentials")
CURRENT = Rule("aorta.metadata.current", "RFC 7519 §4.1.4", "the signature has not ended")
KEYS = Rule("aorta.jwks", "RFC 7517 §5", "a key set has public keys with a kid of their own")


@dataclass(frozen=True)
class AortaMetadata:
    """What an authorization server vouches for about itself."""

    issuer: str
    token_endpoint: str
    jwks_uri: str
    ends: datetime | None = None  # of the signature, when it tells
    all: Mapping[str, Any] | None = None  # every signed value


@dataclass(frozen=True)
class Registered:
    """The keys an authorization server signs its metadata with, known beforehand."""

    issuer: str
    keys: Sequence[jose.Key]
    algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "ES512")


def metadata_url(issuer: str) -> str:
    """Where the metadata of this issuer stands: the well-known part comes before its path.

    Raises LdnError(invalid) for what is no issuer. Source: RFC 8414 §3.1.
    """
    try:
        parts = urlsplit(issuer)
    except ValueError as error:
        raise _bad_issuer() from error
    wrong = parts.scheme != "https" or not parts.netloc or parts.query or parts.fragment
    if wrong or "@" in parts.netloc:
        raise _bad_issuer()
    return f"https://{parts.netloc}{_WELL_KNOWN}{parts.path.rstrip('/')}"


def make(values: Mapping[str, Any], signing: "Signs", now: datetime) -> dict[str, Any]:
    """The metadata, plain and signed; `values` has at least issuer and token_endpoint."""
    claims = {**values, "iss": values["issuer"], "iat": int(now.timestamp())}
    token = jose.sign(claims, signing.key, signing.algorithm, {"kid": signing.kid})
    return {**values, "signed_metadata": token}


@dataclass(frozen=True)
class Signs:
    """What an authorization server signs with."""

    key: jose.Key
    kid: str
    algorithm: str  # ES512 or RS256


def read(body: bytes, registered: Registered, now: datetime, trail: Trail) -> AortaMetadata:
    """The signed values of the metadata; raises LdnError(the trail's issue).

    Nothing unsigned is used: a value that stands outside the signature must be the same inside.
    """
    plain = _object(body, trail)
    token = plain.pop("signed_metadata", None)
    trail.require(isinstance(token, str), SIGNED)
    signed = jose.read(str(token), trail)
    _verify(signed, registered, trail)
    claims = dict(signed.claims)
    issuer = registered.issuer
    trail.require(claims.get("iss") == issuer == claims.get("issuer"), ISSUER)
    trail.require(all(claims.get(k, _ABSENT) == v for k, v in plain.items()), SAME)
    ends = _ends(claims, now, trail)
    endpoint, keys = str(claims.get("token_endpoint", "")), str(claims.get("jwks_uri", ""))
    trail.require(bool(endpoint), FORM)
    addresses = [issuer, endpoint, *([keys] if keys else [])]
    trail.require(all(map(_secure, addresses)), SECURE)
    return AortaMetadata(issuer, endpoint, keys, ends, claims)


_ABSENT = object()


def _object(body: bytes, trail: Trail) -> dict[str, Any]:
    try:
        value = parse(body, jose.LIMITS)
    except LdnError:
        value = None
    trail.require(isinstance(value, dict), FORM)
    return dict(value)


def _verify(signed: jose.Jws, registered: Registered, trail: Trail) -> None:
    """Believe that one of the registered keys signed it."""
    fitting = [k for k in registered.keys if signed.header_text("alg") in jose.suited(k)]
    trail.require(bool(fitting), jose.ALGORITHM)
    for key in fitting[:-1]:
        try:
            jose.verify(signed, key, registered.algorithms, Trail())
        except LdnError:
            continue
        trail.note(jose.SIGNATURE)
        return
    jose.verify(signed, fitting[-1], registered.algorithms, trail)


def _ends(claims: Mapping[str, Any], now: datetime, trail: Trail) -> datetime | None:
    if "exp" not in claims:
        return None
    moment = claims["exp"]
    fits = isinstance(moment, int) and not isinstance(moment, bool) and 0 <= moment < 2**33
    trail.require(fits, CURRENT)
    ends = datetime.fromtimestamp(moment, now.tzinfo)
    trail.require(now < ends, CURRENT)
    return ends


def _secure(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc


def key_set(body: bytes, trail: Trail) -> dict[str, jose.Key]:
    """The public keys of a JWKS by kid; raises LdnError(the trail's issue)."""
    found: dict[str, jose.Key] = {}
    entries = _object(body, trail).get("keys")
    trail.require(isinstance(entries, list) and 0 < len(entries) <= 50, KEYS)
    for entry in entries if isinstance(entries, list) else ():
        kid = entry.get("kid") if isinstance(entry, dict) else None
        trail.require(isinstance(kid, str) and kid not in found, KEYS)
        try:
            found[str(kid)] = jose.key_of_jwk(entry)
        except LdnError as error:
            raise _unfit(trail) from error
    return found


def jwks(keys: Mapping[str, jose.Key]) -> bytes:
    """The JWKS of these keys, their public parts only."""
    entries = [{**jose.public_jwk(key), "kid": kid, "use": "sig"} for kid, key in keys.items()]
    return msgspec.json.encode({"keys": entries})


@dataclass(frozen=True)
class MetadataSource:
    """Metadata and keys of the authorization servers that are registered, kept for a while."""

    documents: Documents
    registered: Callable[[str], Registered | None]  # by issuer
    clock: Clock

    async def get(self, issuer: str) -> AortaMetadata:
        """The signed metadata; raises LdnError: forbidden (not registered), incomplete, timeout."""
        known = self.registered(issuer)
        if known is None:
            text = "this authorization server is not registered; add its issuer and key"
            raise LdnError(Issue.FORBIDDEN, text, detail="aorta.metadata: unknown")

        def fresh(body: bytes, _: AortaMetadata | None) -> AortaMetadata:
            return read(body, known, self.clock(), Trail(issue=Issue.INCOMPLETE))

        # must-revalidate: a copy beyond its age may not serve (RFC 9111 §5.2.2.2)
        terms = Terms(fresh, fresh=MAX_AGE, stale=MAX_AGE, ends=lambda found: found.ends)
        return await self.documents.get(metadata_url(issuer), terms)

    async def key(self, issuer: str, kid: str) -> jose.Key | None:
        """The key with this kid at the server's own address; None when it has none of that name."""
        address = (await self.get(issuer)).jwks_uri
        terms = Terms(_keys, fresh=MAX_AGE, stale=MAX_AGE)
        return (await self.documents.get(address, terms)).get(kid) if address else None


def _keys(body: bytes, _: dict[str, jose.Key] | None) -> dict[str, jose.Key]:
    return key_set(body, Trail(issue=Issue.INCOMPLETE))


def _unfit(trail: Trail) -> LdnError:
    try:
        trail.require(False, KEYS)
    except LdnError as error:
        return error
    raise AssertionError("a failed check refuses")


def _bad_issuer() -> LdnError:
    return LdnError(Issue.INVALID, "an issuer is an https URL without query; check the settings")
