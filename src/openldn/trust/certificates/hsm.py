"""Keys on a PKCS#11 token (HSM, smart card, SoftHSM): they sign there and never leave it.

Source: RFC 7512 (the URI), PKCS #11 v2.40. Needs the extra `hsm` (python-pkcs11).
"""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Self
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

import pkcs11
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from joserfc.jwk import ECKey, RSAKey
from pkcs11.constants import Attribute, ObjectClass
from pkcs11.exceptions import PKCS11Error, UserAlreadyLoggedIn
from pkcs11.mechanisms import MGF, KeyType, Mechanism
from pkcs11.util.ec import encode_ec_public_key
from pkcs11.util.rsa import encode_rsa_public_key

from openldn.base.errors import Issue, LdnError
from openldn.trust import jose

Public = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
_PKCS1 = {
    "sha256": Mechanism.SHA256_RSA_PKCS,
    "sha384": Mechanism.SHA384_RSA_PKCS,
    "sha512": Mechanism.SHA512_RSA_PKCS,
}
_PSS = {
    "sha256": (Mechanism.SHA256_RSA_PKCS_PSS, Mechanism.SHA256, MGF.SHA256),
    "sha384": (Mechanism.SHA384_RSA_PKCS_PSS, Mechanism.SHA384, MGF.SHA384),
    "sha512": (Mechanism.SHA512_RSA_PKCS_PSS, Mechanism.SHA512, MGF.SHA512),
}


@dataclass(frozen=True)
class Address:
    """What a `pkcs11:` URI says: which module, token and object, and where the PIN stands."""

    module: str
    token: str
    object: str = ""
    id: bytes = b""
    pin: Path | None = None

    @classmethod
    def parse(cls, uri: str) -> "Address":
        """The parts of the URI; raises LdnError(invalid) for one that names no module or token.

        A PIN in the URI itself is refused: settings are read by more people than may know it.
        """
        parts = urlsplit(uri)
        pairs = (p.partition("=")[::2] for p in parts.path.split(";") if p)
        path = {name: unquote_to_bytes(value) for name, value in pairs}
        query = dict(parse_qsl(parts.query))
        if "pin-value" in query:
            raise LdnError(Issue.INVALID, "put the PIN in a file: pin-source, not pin-value")
        names = {n: path.get(n, b"").decode("utf-8", "replace") for n in ("token", "object")}
        source = query.get("pin-source", "").removeprefix("file:")
        found = cls(
            query.get("module-path", ""),
            names["token"],
            names["object"],
            path.get("id", b""),
            Path(source) if source else None,
        )
        if not found.module or not found.token or not (found.object or found.id):
            text = "a pkcs11: URI needs token, object or id, and ?module-path= (RFC 7512)"
            raise LdnError(Issue.INVALID, text)
        return found


@dataclass
class Session:
    """The key's place on its token; opened again when the token was away."""

    address: Address
    pin: str = field(repr=False)
    _key: Any = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def sign(self, data: bytes, mechanism: Mechanism, parameter: Any = None) -> bytes:
        """The token's signature; raises LdnError(transient) when the token is away."""
        with self._lock:
            try:
                return self._signed(data, mechanism, parameter)
            except PKCS11Error:
                self._key = None  # the session may have ended with the token: once more
            try:
                return self._signed(data, mechanism, parameter)
            except PKCS11Error as error:
                self._key = None
                text = "the PKCS#11 token does not sign; check that it is there and try again"
                raise LdnError(Issue.TRANSIENT, text, detail=type(error).__name__) from error

    def close(self) -> None:
        """End the session with the token; the next signature begins another."""
        if self._key is not None:
            self._key.session.close()

    def open(self) -> Any:
        """A session with the token; PKCS11Error when it cannot be had."""
        token = pkcs11.lib(self.address.module).get_token(token_label=self.address.token)
        try:
            return token.open(user_pin=self.pin)
        except UserAlreadyLoggedIn:  # a login counts for the whole process
            return token.open()

    def named(self, kind: ObjectClass) -> dict[Attribute, Any]:
        """How to find the object of this kind that the URI names."""
        wanted = {Attribute.LABEL: self.address.object, Attribute.ID: self.address.id}
        return {Attribute.CLASS: kind, **{k: v for k, v in wanted.items() if v}}

    def _signed(self, data: bytes, mechanism: Mechanism, parameter: Any) -> bytes:
        if self._key is None:
            found = list(self.open().get_objects(self.named(ObjectClass.PRIVATE_KEY)))
            if len(found) != 1:
                raise pkcs11.NoSuchKey
            self._key = found[0]
        return bytes(self._key.sign(data, mechanism=mechanism, mechanism_param=parameter))


def open_key(uri: str, secret: Path | None = None) -> tuple[jose.Key, tuple[x509.Certificate, ...]]:
    """The key at this URI, which signs as any other of `jose`, and the leaf beside it.

    Raises LdnError: invalid for the URI, exception when module, token, PIN or object fail.
    """
    address = Address.parse(uri)
    place = secret or address.pin
    if place is None:
        raise LdnError(Issue.INVALID, "name the file with the PIN of the PKCS#11 token")
    session = Session(address, place.read_text(encoding="utf-8").rstrip("\r\n"))
    try:
        opened = session.open()
        leaf = _certificates(opened, session)
        public = _public(opened, session) or (leaf[0].public_key() if leaf else None)
        opened.close()
    except (PKCS11Error, ValueError) as error:
        text = f"the key on PKCS#11 token {address.token} fails; check module, PIN and name"
        raise LdnError(Issue.EXCEPTION, text, detail=type(error).__name__) from error
    match public:
        case ec.EllipticCurvePublicKey():
            return ECKey(EcOnToken(session, public), _jwk(public)), leaf
        case rsa.RSAPublicKey():
            return RSAKey(RsaOnToken(session, public), _jwk(public)), leaf
    text = f"PKCS#11 token {address.token} has no public key or certificate under this name"
    raise LdnError(Issue.EXCEPTION, text)


def _jwk(public: Public) -> Any:
    """The JWK the library would otherwise make from the private numbers."""
    return jose.public_jwk(jose.key_of(public))


def _certificates(opened: Any, session: Session) -> tuple[x509.Certificate, ...]:
    found = opened.get_objects(session.named(ObjectClass.CERTIFICATE))
    return tuple(x509.load_der_x509_certificate(c[Attribute.VALUE]) for c in found)[:1]


def _public(opened: Any, session: Session) -> Any:
    for key in opened.get_objects(session.named(ObjectClass.PUBLIC_KEY)):
        made = encode_rsa_public_key if key.key_type == KeyType.RSA else encode_ec_public_key
        der = made(key)
        return serialization.load_der_public_key(der)  # SubjectPublicKeyInfo, or PKCS #1
    return None


class _OnToken:
    """What both kinds of key share: nothing of the private part can be had."""

    def _stays(self) -> NoReturn:
        raise LdnError(Issue.NOT_SUPPORTED, "a key on a PKCS#11 token does not leave it")

    def private_numbers(self) -> NoReturn:
        self._stays()

    def private_bytes(self, *_: object, **__: object) -> NoReturn:
        self._stays()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


class EcOnToken(_OnToken, ec.EllipticCurvePrivateKey):
    """An elliptic-curve key on a token, for ECDSA."""

    def __init__(self, session: Session, public: ec.EllipticCurvePublicKey) -> None:
        self.session, self._public = session, public

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """The signature as DER; the token sees the digest only."""
        chosen = signature_algorithm.algorithm
        if isinstance(chosen, Prehashed):
            digest = bytes(data)
        else:
            digest = _digest(chosen, data)
        raw = self.session.sign(digest, Mechanism.ECDSA)
        half = len(raw) // 2
        r, s = (int.from_bytes(part, "big") for part in (raw[:half], raw[half:]))
        return encode_dss_signature(r, s)

    def exchange(self, *_: object) -> NoReturn:
        self._stays()


class RsaOnToken(_OnToken, rsa.RSAPrivateKey):
    """An RSA key on a token, for PKCS#1 v1.5 and PSS signatures."""

    def __init__(self, session: Session, public: rsa.RSAPublicKey) -> None:
        self.session, self._public = session, public

    def public_key(self) -> rsa.RSAPublicKey:
        return self._public

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def sign(self, data: Any, padding: padding.AsymmetricPadding, algorithm: Any) -> bytes:
        """The signature; the salt of PSS is as long as the digest (RFC 7518 §3.5)."""
        if padding.name == "EMSA-PSS":
            mechanism, digest, mask = _PSS[algorithm.name]
            parameter = (digest, mask, algorithm.digest_size)
            return self.session.sign(bytes(data), mechanism, parameter)
        return self.session.sign(bytes(data), _PKCS1[algorithm.name])

    def decrypt(self, *_: object) -> NoReturn:
        self._stays()


def _digest(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    hashed = hashes.Hash(algorithm)
    hashed.update(data)
    return hashed.finalize()
