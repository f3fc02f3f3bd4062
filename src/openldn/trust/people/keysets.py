"""The published keys of who signs about people (JWK Set): fetched within bounds, found by name."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import parse
from openldn.fhir.codec.model import Limits
from openldn.trust import jose
from openldn.trust.documents import Documents, Terms
from openldn.trust.trail import Rule, Trail

FETCHED = Rule("keys.set", "RFC 7517 §5", "the key set of the signer can be had")
NAMED = Rule("keys.kid", "RFC 7515 §4.1.4", "the key set has a signing key of this name")
INTENDED = Rule("keys.alg", "RFC 7517 §4.4", "the key is meant for this algorithm")

T = TypeVar("T")
_LIMITS = Limits(size=1024 * 1024, depth=8, nodes=2_000, values=10_000, digits=20)
_MOST_KEYS = 100
_PAUSE = 5.0  # seconds between two looks for a key we do not know: nobody makes us ask without end


@dataclass(frozen=True)
class KeySet:
    """Signing keys by name, and the one algorithm a key is for where its owner says so."""

    keys: Mapping[str, jose.Key] = field(repr=False)
    algorithms: Mapping[str, str]


def read(body: bytes, before: KeySet | None = None) -> KeySet:
    """The signing keys in a JWK Set; kinds we do not know are left out.

    Raises LdnError(invalid) for what is no key set, has no usable key, or names two keys alike.
    """
    value = parse(body, _LIMITS)
    listed = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
        raise LdnError(Issue.INVALID, "this is no key set; its operator's turn")
    keys: dict[str, jose.Key] = {}
    algorithms: dict[str, str] = {}
    for jwk in (k for k in listed if isinstance(k, dict) and _signs(k)):
        name, key = str(jwk["kid"]), _key(jwk)
        if name in keys:
            raise LdnError(Issue.INVALID, "two keys of the set have one name; its operator's turn")
        if key is not None:
            keys[name] = key
            algorithms[name] = str(jwk.get("alg") or "")
    if not keys:
        raise LdnError(Issue.INVALID, "the key set holds no key to sign with; its operator's turn")
    return KeySet(keys, algorithms)


def _signs(jwk: Mapping[str, Any]) -> bool:
    named = isinstance(jwk.get("kid"), str) and bool(jwk["kid"])
    return named and jwk.get("use", "sig") == "sig"


def _key(jwk: Mapping[str, Any]) -> jose.Key | None:
    try:
        return jose.key_of_jwk(jwk)
    except LdnError:
        return None


# A key that its owner withdrew is believed for at most ten minutes more, and only while the
# owner's server is silent; otherwise one minute.
TERMS = Terms(read, fresh=60, stale=600)


@dataclass(frozen=True)
class Signer:
    """Where the keys of a signer stand, and the algorithms it may use."""

    url: str
    algorithms: tuple[str, ...]


async def believe(token: jose.Jws, signer: Signer, documents: Documents, trail: Trail) -> None:
    """Believe that a key in the signer's set signed this token.

    A name we do not know makes us look anew, for keys are replaced. Raises LdnError(the trail's
    issue) when the set cannot be had or the signature is not by the key named.
    """
    url, name, algorithm = signer.url, token.header_text("kid"), token.header_text("alg")
    trail.require(algorithm in signer.algorithms, jose.ALGORITHM, algorithm[:10])
    found = await fetched(documents.get(url, TERMS), FETCHED, trail)
    if name not in found.keys and (documents.age(url) or 0.0) >= _PAUSE:
        found = await fetched(_renewed(documents, url), FETCHED, trail)
    trail.require(name in found.keys, NAMED)
    trail.require(found.algorithms[name] in {"", algorithm}, INTENDED)
    jose.verify(token, found.keys[name], signer.algorithms, trail)


async def _renewed(documents: Documents, url: str) -> KeySet:
    try:
        async with asyncio.timeout(documents.patience):
            return await documents.refresh(url, TERMS)
    except TimeoutError as error:
        text = "the key set did not come in time; its operator's turn"
        raise LdnError(Issue.TIMEOUT, text, detail="document") from error


async def fetched(document: Awaitable[T], rule: Rule, trail: Trail) -> T:
    """The document; one that cannot be had fails the check `rule`."""
    try:
        value = await document
    except LdnError as error:
        trail.require(False, rule, error.detail)
        raise
    trail.note(rule)
    return value
