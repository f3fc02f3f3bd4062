"""The keys of a DID: out of its document, out of itself, or out of a chain of certificates.

Source: DID Core §7, did:web, did:key (W3C CCG), did:jwk; GFI-001 of the NL Generic Functions IG.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import base58
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from openldn.base.errors import LdnError
from openldn.fhir.codec import parse as parse_json
from openldn.fhir.codec.model import Limits
from openldn.trust import jose
from openldn.trust.credentials.did import Did, parse_url, refuse
from openldn.trust.credentials.did_x509 import AGREEMENT, ASSERTION, Chain, pinned, read_chain
from openldn.trust.documents import Ask, Documents, Terms
from openldn.trust.trail import Rule, Trail

AUTHENTICATION = "authentication"
RELATIONS = (ASSERTION, AUTHENTICATION, AGREEMENT, "capabilityInvocation", "capabilityDelegation")

DOCUMENT = Rule("did.document", "GFI-001", "the document of the DID can be had, and is about it")
METHOD_KEY = Rule("did.key", "DID Core §5.2", "the document has this key, for this use")

# Seconds a document is used unasked, and at most: a key that its owner took out is dead within a
# minute, and within ten when its owner's server is silent.
FRESH, STALE = 15.0, 600.0
RENEWED = 5.0  # seconds after which an unknown key makes us look again
_LIMITS = Limits(size=128 * 1024, depth=12, nodes=2_000, values=8_000, digits=20)
_MOST_KEYS = 50
_ACCEPT = "application/did+ld+json, application/did+json, application/json"


@dataclass(frozen=True)
class Methods:
    """The keys of one DID by fragment, and what each may be used for."""

    did: str
    keys: Mapping[str, tuple[jose.Key, frozenset[str]]] = field(repr=False)
    chain: Chain | None = None  # of a did:x509
    authority: Any = None  # the certificate in the chain that a did:x509 names

    def key(self, kid: str, relations: Collection[str], trail: Trail) -> jose.Key:
        """The key with this kid for one of these uses; raises LdnError(the trail's issue)."""
        found = self.keys.get(parse_url(kid, self.did, trail))
        if found is None or found[1].isdisjoint(relations):
            refuse(METHOD_KEY, trail)
        return found[0]


@dataclass(frozen=True)
class Resolver:
    """Resolves the four methods; only did:web needs the network."""

    documents: Documents | None  # None: did:web cannot be resolved here
    fresh: float = FRESH
    stale: float = STALE

    async def methods(self, did: Did, header: Mapping[str, Any], trail: Trail) -> Methods:
        """The keys of `did`; `header` is that of the token, for the chain of a did:x509.

        Raises LdnError(the trail's issue) with the reason code.
        """
        match did.method:
            case "web":
                return await self._web(did, str(header.get("kid", "")), trail)
            case "x509":
                return of_chain(did, header, trail)
            case "key":
                return _or_refused(of_key(did.text), trail)
            case _:
                return _or_refused(of_jwk(did.text), trail)

    async def _web(self, did: Did, kid: str, trail: Trail) -> Methods:
        if self.documents is None:
            refuse(DOCUMENT, trail)
        terms = Terms(_reading(did.text), self.fresh, self.stale)
        ask = Ask(accept=_ACCEPT)
        try:
            found = await self.documents.get(did.address, terms, ask)
        except LdnError as error:
            # as much is said of an unknown party as of a false signature: nothing
            trail.require(False, DOCUMENT, error.detail)
            raise
        trail.note(DOCUMENT)
        if not kid or kid.rpartition("#")[2] in found.keys:
            return found
        return await self._newer(self.documents, did.address, terms, found)

    async def _newer(
        self, documents: Documents, url: str, terms: Terms[Methods], found: Methods
    ) -> Methods:
        """The document anew, for the key may be newer than our copy; else what we have.

        Strangers cannot make us ask more often than this.
        """
        if (documents.age(url) or 0.0) <= RENEWED:
            return found
        with suppress(LdnError, TimeoutError):
            async with asyncio.timeout(documents.patience):
                return await documents.refresh(url, terms, Ask(accept=_ACCEPT))
        return found


def of_chain(did: Did, header: Mapping[str, Any], trail: Trail) -> Methods:
    """The key of a did:x509, whose chain stands in the header; says nothing of trust yet."""
    chain = read_chain(header, trail)
    authority = pinned(did, chain, trail)
    relations = chain.usages | ({AUTHENTICATION} if ASSERTION in chain.usages else set())
    return Methods(did.text, {"0": (chain.key, frozenset(relations))}, chain, authority)


@lru_cache(maxsize=4096)
def of_key(did: str) -> Methods | None:
    """The key that a did:key is; None for one that is not a key we use."""
    text = did.removeprefix("did:key:")
    if not text.startswith("z") or len(text) > 800:
        return None
    try:
        raw = base58.b58decode(text[1:])
        key = jose.key_of(_raw_key(raw))
    except (LdnError, ValueError, UnsupportedAlgorithm):
        return None
    return Methods(did, {text: (key, frozenset(RELATIONS) - {AGREEMENT})})


@lru_cache(maxsize=4096)
def of_jwk(did: str) -> Methods | None:
    """The key that a did:jwk is; None for one that is not a public key we use."""
    try:
        jwk = parse_json(jose.unpadded(did.removeprefix("did:jwk:")), _LIMITS)
        key = jose.key_of_jwk(jwk) if isinstance(jwk, dict) else None
    except LdnError:
        return None
    if key is None:
        return None
    uses = {"sig": frozenset(RELATIONS) - {AGREEMENT}, "enc": frozenset({AGREEMENT})}
    return Methods(did, {"0": (key, uses.get(str(jwk.get("use")), frozenset(RELATIONS)))})


_CURVES: dict[bytes, tuple[ec.EllipticCurve, int]] = {
    b"\x80\x24": (ec.SECP256R1(), 33),
    b"\x81\x24": (ec.SECP384R1(), 49),
    b"\x82\x24": (ec.SECP521R1(), 67),
}


def _raw_key(raw: bytes) -> jose.PublicKey:
    """The public key behind its multicodec prefix; ValueError for others."""
    prefix, content = raw[:2], raw[2:]
    if prefix == b"\xed\x01":
        return ed25519.Ed25519PublicKey.from_public_bytes(content)
    if prefix in _CURVES:
        curve, size = _CURVES[prefix]
        if len(content) != size:
            raise ValueError("not a compressed point")
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, content)
    if prefix == b"\x85\x24":
        return _rsa(content)
    raise ValueError("not a kind of key we use")


def _rsa(pkcs1: bytes) -> rsa.RSAPublicKey:
    found = serialization.load_der_public_key(pkcs1)
    if not isinstance(found, rsa.RSAPublicKey):
        raise ValueError("not an RSA key")
    return found


def _or_refused(found: Methods | None, trail: Trail) -> Methods:
    return refuse(METHOD_KEY, trail) if found is None else found


def _reading(did: str) -> Callable[[bytes, Methods | None], Methods]:
    def read(body: bytes, _: Methods | None) -> Methods:
        document = parse_json(body, _LIMITS)
        trail = Trail()
        trail.require(isinstance(document, dict) and document.get("id") == did, DOCUMENT)
        methods = document.get("verificationMethod", [])
        trail.require(isinstance(methods, list) and len(methods) <= _MOST_KEYS, DOCUMENT)
        return Methods(did, dict(_keys(did, document, methods)))

    return read


def _keys(
    did: str, document: Mapping[str, Any], methods: list[Any]
) -> Iterator[tuple[str, tuple[jose.Key, frozenset[str]]]]:
    """The keys that we can use; those of another form or controller are passed over."""
    for method in methods:
        jwk = method.get("publicKeyJwk") if isinstance(method, dict) else None
        if not isinstance(jwk, dict) or method.get("controller", did) != did:
            continue
        name = _fragment(did, method.get("id"))
        if not name:
            continue
        used = (r for r in RELATIONS if name in _named(did, document.get(r)))
        try:
            yield name, (jose.key_of_jwk(jwk), frozenset(used))
        except LdnError:
            continue


def _named(did: str, references: object) -> set[str]:
    return {_fragment(did, r) for r in references} if isinstance(references, list) else set()


def _fragment(did: str, reference: object) -> str:
    """The fragment of an absolute or relative DID URL within this document; else empty."""
    if isinstance(reference, dict):
        reference = reference.get("id")
    if not isinstance(reference, str):
        return ""
    base, _, fragment = reference.partition("#")
    return fragment if base in {did, ""} else ""
