"""The arithmetic of pseudonyms: OPRF (ristretto255, SHA-512) of RFC 9497, without its Finalize.

A personal identifier becomes a point of the group, the client multiplies it by a scalar of its
own (blinds it), the service by its secret, the recipient by the inverse of the client's scalar.
"""

import base64
import hashlib
import hmac
import re

import msgspec
import rbcl  # type: ignore[import-untyped] # it has no annotations

from openldn.base.errors import Issue, LdnError
from openldn.functions.pseudonyms.model import BSN, Target

SIZE = 32  # bytes of an element and of a scalar
ORDER = 2**252 + 27742317777372353535851937790883648493
REFUSED = "unable to evaluate blind"
_DST = b"HashToGroup-OPRFV1-\x00-ristretto255-SHA512"
_DST_PRIME = _DST + bytes([len(_DST)])
_NOBODY = "000000000"  # nobody's number: what the words hash to may be shown
_CODED = re.compile(r"[A-Za-z0-9_-]*={0,2}")
_OTHER = str.maketrans("+/", "-_")
_canonical = msgspec.json.Encoder(order="sorted")


def identifier(value: str, kind: str = BSN) -> bytes:
    """A personal identifier as canonical JSON (RFC 8785), 50 bytes for a BSN."""
    return canonical({"landCode": "NL", "type": kind, "value": value})


def canonical(members: dict[str, str]) -> bytes:
    """ASCII members as canonical JSON, in whatever order they came; raises LdnError(invalid).

    Source: RFC 8785 §3.2.
    """
    if not all(text.isascii() and text.isprintable() for pair in members.items() for text in pair):
        raise LdnError(Issue.INVALID, "a personal identifier is plain ASCII")
    return _canonical.encode(members)


def derive(personal: bytes, info: str) -> bytes:
    """The identifier bound to one recipient: HKDF-SHA256 (RFC 5869), no salt, 32 bytes."""
    extracted = hmac.digest(bytes(32), personal, "sha256")
    return hmac.digest(extracted, info.encode("ascii") + b"\x01", "sha256")


def uniform(message: bytes) -> bytes:
    """64 uniform bytes. Source: RFC 9380 §5.3.1, expand_message_xmd with SHA-512."""
    first = hashlib.sha512(bytes(128) + message + b"\x00\x40\x00" + _DST_PRIME).digest()
    return hashlib.sha512(first + b"\x01" + _DST_PRIME).digest()


def element(message: bytes) -> bytes:
    """The group element of a message. Source: RFC 9497 §4.1, HashToGroup."""
    return bytes(rbcl.crypto_core_ristretto255_from_hash(uniform(message)))


def fresh_scalar() -> bytes:
    """A random scalar that is not zero."""
    while (found := bytes(rbcl.crypto_core_ristretto255_scalar_random())) == bytes(SIZE):
        pass
    return found


def scalar_of(wide: bytes) -> bytes:
    """64 uniform bytes as a scalar; raises LdnError(invalid) in the case nobody will see."""
    found = bytes(rbcl.crypto_core_ristretto255_scalar_reduce(wide))
    return require_scalar(found)


def require_scalar(value: bytes) -> bytes:
    """The same, when it is a canonical scalar that is not zero; raises LdnError(invalid)."""
    if len(value) != SIZE or not 0 < int.from_bytes(value, "little") < ORDER:
        raise LdnError(Issue.INVALID, REFUSED, detail="scalar")
    return value


def multiply(scalar: bytes, point: bytes) -> bytes:
    """scalar · point. Raises LdnError(invalid), one text for every cause, for what is no element.

    The identity counts as none: libsodium's own check of a point lets it through.
    """
    if len(point) != SIZE or point == bytes(SIZE):
        raise LdnError(Issue.INVALID, REFUSED, detail="element")
    try:
        found = bytes(rbcl.crypto_scalarmult_ristretto255(scalar, point))
    except (RuntimeError, ValueError) as error:
        raise LdnError(Issue.INVALID, REFUSED, detail="element") from error
    if found == bytes(SIZE):
        raise LdnError(Issue.INVALID, REFUSED, detail="identity")
    return found


def unblind(blind: bytes, evaluated: bytes) -> bytes:
    """The evaluation without the client's scalar: the recipient's pseudonym, 32 bytes.

    Raises LdnError(invalid) for what is no scalar or no element.
    """
    inverse = bytes(rbcl.crypto_core_ristretto255_scalar_invert(require_scalar(blind)))
    return multiply(inverse, evaluated)


def blinded(personal: bytes, info: str, blind: bytes) -> bytes:
    """What the client sends: the identifier's element for this recipient, blinded."""
    return multiply(blind, element(derive(personal, info)))


def check_value(target: Target) -> str:
    """Tells whether two sides hash with the same words; it belongs to nobody and hides nothing.

    Organization, scope, version and the letter case of the type all count.
    """
    return encoded(derive(identifier(_NOBODY, target.kind), target.info)[:9])


def encoded(content: bytes) -> str:
    """base64url with padding, as the ministry's clients and service send it."""
    return base64.urlsafe_b64encode(content).decode()


def decoded(text: str, size: int = SIZE) -> bytes:
    """The bytes of base64 in either alphabet, padded or not; raises LdnError(invalid)."""
    plain = text.translate(_OTHER)
    if len(text) > 2 * size + 8 or not _CODED.fullmatch(plain):
        raise LdnError(Issue.INVALID, REFUSED, detail="base64")
    bare = plain.rstrip("=")
    if len(bare) % 4 == 1:
        raise LdnError(Issue.INVALID, REFUSED, detail="base64")
    found = base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    if len(found) != size:
        raise LdnError(Issue.INVALID, REFUSED, detail="size")
    return found
