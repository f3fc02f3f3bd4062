"""The keys of a TLS connection, so that what a server says under encryption can be looked at.

Enough to see a handshake to its end and to say no more; nothing of a care provider passes here.
Source: RFC 8446 §5.2, §7.1; RFC 5246 §5, §6.3; RFC 5288 §3.
"""

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from openldn.testbench.connection.hello import DATA, NotTlsError, record, vector
from openldn.testbench.connection.numbers import GROUPS, SUITES_1_2

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
_KEY_SIZES = {0x1301: 16, 0x1302: 32, 0x1303: 32}
_GCM_1_2 = {number: 32 if "AES256" in name else 16 for name, number in SUITES_1_2.items()}
_CURVES: dict[int, ec.EllipticCurve] = {
    GROUPS["P-256"]: ec.SECP256R1(),
    GROUPS["P-384"]: ec.SECP384R1(),
    GROUPS["P-521"]: ec.SECP521R1(),
}


@dataclass(frozen=True)
class Shown:
    """What we show as a client: the chain (DER, leaf first) and its key."""

    chain: tuple[bytes, ...]
    key: Private


def signed(key: Private, content: bytes, *, new: bool) -> tuple[int, bytes]:
    """The scheme and the signature; in TLS 1.3 (`new`) RSA signs with PSS."""
    match key:
        case ec.EllipticCurvePrivateKey() if key.curve.name == "secp384r1":
            return 0x0503, key.sign(content, ec.ECDSA(hashes.SHA384()))
        case ec.EllipticCurvePrivateKey():
            return 0x0403, key.sign(content, ec.ECDSA(hashes.SHA256()))
        case ed25519.Ed25519PrivateKey():
            return 0x0807, key.sign(content)
    sha = hashes.SHA256()
    if new:
        return 0x0804, key.sign(content, padding.PSS(padding.MGF1(sha), 32), sha)
    return 0x0401, key.sign(content, padding.PKCS1v15(), sha)


@dataclass(frozen=True)
class Agreement:
    """Our half of a key agreement; the number of its group."""

    group: int
    secret: x25519.X25519PrivateKey | ec.EllipticCurvePrivateKey

    @classmethod
    def fresh(cls, group: int) -> "Agreement":
        """A new one; raises NotTlsError for a group we cannot compute."""
        if group == GROUPS["X25519"]:
            return cls(group, x25519.X25519PrivateKey.generate())
        if curve := _CURVES.get(group):
            return cls(group, ec.generate_private_key(curve))
        raise NotTlsError(f"the server chose group {group}, which was not offered")

    @property
    def public(self) -> bytes:
        """What the other side needs."""
        if isinstance(self.secret, x25519.X25519PrivateKey):
            return self.secret.public_key().public_bytes_raw()
        return self.secret.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def shared(self, other: bytes) -> bytes:
        """The secret both have; raises NotTlsError for a share that is none."""
        try:
            if isinstance(self.secret, x25519.X25519PrivateKey):
                return self.secret.exchange(x25519.X25519PublicKey.from_public_bytes(other))
            point = ec.EllipticCurvePublicKey.from_encoded_point(self.secret.curve, other)
            return self.secret.exchange(ec.ECDH(), point)
        except ValueError as error:
            raise NotTlsError("the server's key share is not a point of its group") from error


@dataclass
class Sealer:
    """One direction of TLS 1.3: seals and opens records."""

    aead: AESGCM | ChaCha20Poly1305
    iv: bytes
    count: int = 0

    def seal(self, kind: int, content: bytes) -> bytes:
        """A whole record with this inside."""
        inner = content + bytes((kind,))
        head = record(DATA, b"", 0x0303)[:3] + (len(inner) + 16).to_bytes(2, "big")
        return head + self.aead.encrypt(self._nonce(), inner, head)

    def open(self, head: bytes, content: bytes) -> tuple[int, bytes]:
        """Kind and content of a record; raises cryptography's InvalidTag."""
        inner = self.aead.decrypt(self._nonce(), content, head).rstrip(b"\0")
        if not inner:
            raise NotTlsError("an encrypted record holds nothing")
        return inner[-1], inner[:-1]

    def _nonce(self) -> bytes:
        number = self.count.to_bytes(12, "big")
        self.count += 1
        return bytes(a ^ b for a, b in zip(self.iv, number, strict=True))


@dataclass(frozen=True)
class Schedule:
    """The secrets of one TLS 1.3 connection."""

    suite: int
    handshake: bytes

    @classmethod
    def begin(cls, suite: int, shared: bytes) -> "Schedule":
        """The schedule once both know `shared`; raises NotTlsError for a suite not offered."""
        if suite not in _KEY_SIZES:
            raise NotTlsError(f"the server chose suite 0x{suite:04x}, which was not offered")
        start = cls(suite, b"")
        early = start._extract(b"", b"\0" * start._hash().digest_size)
        return cls(suite, start._extract(start.derive(early, "derived", b""), shared))

    def sealer(self, label: str, said: bytes, *, application: bool = False) -> Sealer:
        """The keys of one direction after everything `said` in the handshake."""
        return self.sealer_of(self.traffic(label, said, application=application))

    def sealer_of(self, secret: bytes) -> Sealer:
        """The keys that a traffic secret gives."""
        key = self._expand(secret, "key", b"", _KEY_SIZES[self.suite])
        aead = ChaCha20Poly1305(key) if self.suite == 0x1303 else AESGCM(key)
        return Sealer(aead, self._expand(secret, "iv", b"", 12))

    def traffic(self, label: str, said: bytes, *, application: bool = False) -> bytes:
        """A traffic secret."""
        return self.derive(self._master() if application else self.handshake, label, said)

    def finished(self, secret: bytes, said: bytes) -> bytes:
        """The body of the Finished message of who has this traffic secret."""
        size = self._hash().digest_size
        key = self._expand(secret, "finished", b"", size)
        return hmac.new(key, self.digest(said), self._hash().name).digest()

    def digest(self, said: bytes) -> bytes:
        """The hash of the handshake so far."""
        return hashlib.new(self._hash().name, said).digest()

    def derive(self, secret: bytes, label: str, said: bytes) -> bytes:
        """Derive-Secret of RFC 8446 §7.1."""
        return self._expand(secret, label, self.digest(said), self._hash().digest_size)

    def _master(self) -> bytes:
        salt = self.derive(self.handshake, "derived", b"")
        return self._extract(salt, b"\0" * self._hash().digest_size)

    def _hash(self) -> hashes.HashAlgorithm:
        return hashes.SHA384() if self.suite == 0x1302 else hashes.SHA256()

    def _extract(self, salt: bytes, secret: bytes) -> bytes:
        return hmac.new(salt, secret, self._hash().name).digest()

    def _expand(self, secret: bytes, label: str, context: bytes, size: int) -> bytes:
        info = size.to_bytes(2, "big") + vector(b"tls13 " + label.encode(), 1) + vector(context, 1)
        return HKDFExpand(self._hash(), size, info).derive(secret)


@dataclass
class OldSealer:
    """One direction of TLS 1.2 with AES-GCM."""

    aead: AESGCM
    salt: bytes
    count: int = 0

    def seal(self, kind: int, content: bytes) -> bytes:
        """The content of a record with this inside."""
        explicit = self.count.to_bytes(8, "big")
        sealed = self.aead.encrypt(self.salt + explicit, content, self._data(kind, len(content)))
        return explicit + sealed

    def open(self, kind: int, content: bytes) -> bytes:
        """What is inside the content of a record; raises cryptography's InvalidTag."""
        if len(content) < 24:
            raise NotTlsError("an encrypted record is too short")
        data = self._data(kind, len(content) - 24)
        return self.aead.decrypt(self.salt + content[:8], content[8:], data)

    def _data(self, kind: int, size: int) -> bytes:
        number = self.count.to_bytes(8, "big")
        self.count += 1
        return number + bytes((kind, 3, 3)) + size.to_bytes(2, "big")


@dataclass(frozen=True)
class OldKeys:
    """The secrets of one TLS 1.2 connection with AES-GCM."""

    name: str  # of the hash
    master: bytes

    @classmethod
    def begin(cls, suite: int, shared: bytes, randoms: bytes) -> "OldKeys":
        """The keys once both know `shared`; `randoms`: the client's, then the server's."""
        name = "sha384" if _key_size(suite) == 32 else "sha256"
        return cls(name, _prf(name, shared, b"master secret" + randoms, 48))

    def sealers(self, suite: int, randoms: bytes) -> tuple[OldSealer, OldSealer]:
        """Ours and the server's; `randoms` as above."""
        size = _key_size(suite)
        seed = b"key expansion" + randoms[32:] + randoms[:32]
        block = _prf(self.name, self.master, seed, 2 * size + 8)
        client, server = block[:size], block[size : 2 * size]
        salts = block[2 * size :]
        return OldSealer(AESGCM(client), salts[:4]), OldSealer(AESGCM(server), salts[4:])

    def finished(self, who: str, said: bytes) -> bytes:
        """The body of the Finished message of "client" or "server"."""
        digest = hashlib.new(self.name, said).digest()
        return _prf(self.name, self.master, f"{who} finished".encode() + digest, 12)


def _key_size(suite: int) -> int:
    if suite not in _GCM_1_2:
        raise NotTlsError(f"the server chose suite 0x{suite:04x}, which was not offered")
    return _GCM_1_2[suite]


def _prf(name: str, secret: bytes, seed: bytes, size: int) -> bytes:
    out, link = b"", seed
    while len(out) < size:
        link = hmac.new(secret, link, name).digest()
        out += hmac.new(secret, link + seed, name).digest()
    return out[:size]
