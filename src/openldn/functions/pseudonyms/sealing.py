"""An evaluation on its way to its recipient: JSON claims in a JWE that only its key opens.

Source: RFC 7516; generic functions §6.2 step 6.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import dump, parse
from openldn.fhir.codec.model import Limits
from openldn.trust import jose

DEFAULT = "RSA-OAEP"  # the variant with SHA-1, for the recipients there are
ALGORITHMS = (DEFAULT, "RSA-OAEP-256")
CONTENT = "A256GCM"
LARGEST = 8 * 1024  # characters of one JWE
_LIMITS = Limits(size=LARGEST, depth=4, nodes=8, values=64, digits=20)
_REGISTRY = jwe.JWERegistry(algorithms=[*ALGORITHMS, CONTENT])
_SIZES = range(2048, 8193)  # bits of a key
_PEM = 8 * 1024  # characters of a key
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)


@dataclass(frozen=True)
class Sealer:
    """Encrypts to one registered key."""

    kid: str
    key: RSAKey = field(repr=False)
    algorithm: str = DEFAULT

    def seal(self, claims: Mapping[str, Any]) -> str:
        """The claims as a compact JWE."""
        header = {
            "alg": self.algorithm,
            "enc": CONTENT,
            "cty": "application/json",
            "kid": self.kid,
        }
        return jwe.encrypt_compact(header, dump(dict(claims)), self.key, registry=_REGISTRY)


def unseal(text: str, keys: Mapping[str, RSAKey]) -> dict[str, Any]:
    """The claims in a JWE, opened with the key it names, else with any of ours.

    Raises LdnError(invalid) for what is none, or is not for us.
    """
    if len(text) > LARGEST or not all(map(_canonical, text.split("."))):
        raise _closed("form")
    kid = _header(text).get("kid")
    named = [keys[kid]] if isinstance(kid, str) and kid in keys else list(keys.values())
    for key in named:
        try:
            plain = jwe.decrypt_compact(text, key, registry=_REGISTRY).plaintext
        except (JoseError, ValueError, TypeError):
            continue
        return _claims(plain or b"")
    raise _closed("key")


def public_key(pem: str) -> rsa.RSAPublicKey:
    """The RSA public key in PEM; raises LdnError(business-rule), also for a private key."""
    text = "register an RSA public key of 2048 bits or more, in PEM"
    if len(pem) > _PEM or not pem.isascii() or "PRIVATE" in pem:
        raise LdnError(Issue.BUSINESS_RULE, text, detail="pem")
    try:
        found = serialization.load_pem_public_key(pem.strip().encode("ascii"))
    except _UNREADABLE as error:
        raise LdnError(Issue.BUSINESS_RULE, text, detail="pem") from error
    return require_rsa(found)


def require_rsa(found: object) -> rsa.RSAPublicKey:
    """The same, when others may encrypt to it; raises LdnError(business-rule)."""
    if not isinstance(found, rsa.RSAPublicKey) or found.key_size not in _SIZES:
        text = "others encrypt to this key, so it must be RSA of 2048 bits or more; send another"
        raise LdnError(Issue.BUSINESS_RULE, text, detail="key")
    return found


def pem_of(key: rsa.RSAPublicKey) -> str:
    """The key as PEM (SubjectPublicKeyInfo)."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, spki).decode("ascii")


def _canonical(part: str) -> bool:
    """Whether this is the one way to write it: with several, a used JWE could look like new."""
    try:
        return jose.encoded(jose.unpadded(part)) == part
    except LdnError:
        return False


def _header(text: str) -> dict[str, Any]:
    try:
        found = parse(jose.unpadded(text.partition(".")[0]), _LIMITS)
    except LdnError as error:
        raise _closed("form") from error
    return found if isinstance(found, dict) else {}


def _claims(plain: bytes) -> dict[str, Any]:
    try:
        found = parse(plain, _LIMITS)
    except LdnError as error:
        raise _closed("claims") from error
    if not isinstance(found, dict):
        raise _closed("claims")
    return found


def _closed(detail: str) -> LdnError:
    text = "this token cannot be opened; ask for a new one"
    return LdnError(Issue.INVALID, text, detail=f"jwe.{detail}")
