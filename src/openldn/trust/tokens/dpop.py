"""Proofs that a caller holds the key its token is bound to. Source: RFC 9449."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, urlsplit

from openldn.base.errors import LdnError
from openldn.base.runtime import Clock, NewId
from openldn.fhir.codec import dump, parse
from openldn.trust import jose
from openldn.trust.jose import Jws, Key
from openldn.trust.tokens.assertions import moment
from openldn.trust.trail import Rule, Trail

ALGORITHMS = ("ES256", "PS256", "ES384", "ES512", "EdDSA")
SKEW = 5.0  # seconds that a proof may be old, or that clocks may differ
KEPT = timedelta(seconds=4 * SKEW)  # how long its jti is remembered
_LARGEST = 8 * 1024  # characters
_JTI = re.compile(r"[!-~]{8,128}")
_PORTS = {"https": 443, "http": 80}

PRESENT = Rule("dpop.missing", "RFC 9449 §7.1", "a bound token comes with a proof")
TYPE = Rule("dpop.typ", "RFC 9449 §4.3 (4)", "the proof is of type dpop+jwt")
KEY = Rule("dpop.jwk", "RFC 9449 §4.3 (6-7)", "the header holds the public key, nothing else")
METHOD = Rule("dpop.htm", "RFC 9449 §4.3 (8)", "made for this method")
URL = Rule("dpop.htu", "RFC 9449 §4.3 (9)", "made for this address, as we publish it")
TIME = Rule("dpop.iat", "RFC 9449 §4.3 (11)", "made just now")
TOKEN = Rule("dpop.ath", "RFC 9449 §4.3 (12)", "made for this token")
BOUND = Rule("dpop.jkt", "RFC 9449 §4.3 (12)", "by the key the token is bound to")
ONCE = Rule("dpop.jti", "RFC 9449 §11.1", "shown once")


@dataclass(frozen=True)
class Call:
    """What a proof must be made for."""

    method: str
    url: str  # as configured, never as the header Host has it
    now: datetime
    # the access token it comes with; empty at the token endpoint
    token: str = field(default="", repr=False)
    algorithms: tuple[str, ...] = ALGORITHMS


@dataclass(frozen=True)
class Possession:
    """A verified proof."""

    key: str  # jkt
    used: str  # to be seen once


def check(proof: str, call: Call, trail: Trail) -> Possession:
    """The key that made this proof; raises LdnError(the trail's issue).

    Whether it was shown before is for the store to say: see `used`.
    """
    trail.require(0 < len(proof) <= _LARGEST, PRESENT)
    token = jose.read(proof, trail)
    trail.require(token.header_text("typ").lower() == "dpop+jwt", TYPE)
    key = _key(token, trail)
    jose.verify(token, key, call.algorithms, trail)
    trail.require(token.claim("htm") == call.method, METHOD)
    trail.require(same_address(token.claim("htu"), call.url), URL)
    issued = moment(token.claims.get("iat"))
    trail.require(issued is not None and abs(issued - call.now.timestamp()) <= SKEW, TIME)
    trail.require(_JTI.fullmatch(token.claim("jti")) is not None, ONCE)
    if call.token:
        trail.require(token.claim("ath") == access_token_hash(call.token), TOKEN)
    thumbprint = jose.jwk_thumbprint(key)
    return Possession(thumbprint, f"{thumbprint}|{token.claim('jti')}")


def access_token_hash(token: str) -> str:
    """`ath`: the base64url SHA-256 of the token."""
    return jose.encoded(hashlib.sha256(token.encode()).digest())


def same_address(given: str, own: str) -> bool:
    """Whether both are one address, but for query and fragment (RFC 3986 §6.2.2-3)."""
    first, second = _plain(given), _plain(own)
    return first is not None and first == second


def _plain(url: str) -> tuple[str, str, int | None, str] | None:
    try:
        parts: SplitResult = urlsplit(url)
        scheme = parts.scheme.lower()
        port = parts.port or _PORTS.get(scheme)
    except ValueError:
        return None
    if scheme not in _PORTS or "@" in parts.netloc:
        return None
    return scheme, (parts.hostname or "").lower(), port, parts.path or "/"


def _key(token: Jws, trail: Trail) -> Key:
    jwk = token.header.get("jwk")
    trail.require(isinstance(jwk, dict), KEY)
    try:
        return _imported(dump(jwk))
    except LdnError as error:
        raise trail.refusal(KEY) from error


@lru_cache(maxsize=4096)
def _imported(jwk: bytes) -> Key:
    """The key in this JSON object; a caller shows the same one with every request."""
    return jose.key_of_jwk(parse(jwk))


@dataclass(frozen=True)
class Prover:
    """Makes proofs with a key of its own."""

    key: Key
    clock: Clock
    new_id: NewId

    def __call__(self, method: str, url: str, token: str = "") -> str:
        """A fresh proof for one request."""
        claims: dict[str, Any] = {
            "jti": self.new_id(),
            "htm": method,
            "htu": url.partition("?")[0].partition("#")[0],
            "iat": int(self.clock().timestamp()),
        }
        if token:
            claims["ath"] = access_token_hash(token)
        header: Mapping[str, Any] = {"typ": "dpop+jwt", "jwk": jose.public_jwk(self.key)}
        return jose.sign(claims, self.key, jose.suited(self.key)[0], header)
