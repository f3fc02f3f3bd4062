"""The node's own keys as an operator may see them: what, of whom, until when; never the key."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from openldn.base.runtime import instant
from openldn.node.settings import NodeSettings
from openldn.trust.certificates import thumbprint
from openldn.trust.certificates.forecast import URGENT, level
from openldn.trust.certificates.keys import Signing

_PKCS12 = frozenset({".p12", ".pfx"})


@dataclass(frozen=True)
class Revocation:
    """Whether a certificate was withdrawn, as far as we know."""

    source: str = "none"  # crl, ocsp, none
    checked: datetime | None = None
    state: str = "unknown"  # good, revoked, unknown


@dataclass(frozen=True)
class KeyShown:
    """One key, without the key."""

    use: str  # tls, signing, wallet, audit
    kind: str  # certificate, secret
    store: str  # file, pkcs12, pkcs11
    level: str  # ok, soon, urgent, ended, future, unreadable
    algorithm: str = ""
    thumbprint: str = ""  # of the certificate, base64url SHA-256
    subject: str = ""
    issuer: str = ""
    begins: datetime | None = None
    ends: datetime | None = None
    days: int | None = None  # whole days until it ends; negative: ago
    revocation: Revocation = Revocation()

    def told(self) -> dict[str, Any]:
        """As JSON."""
        revocation = self.revocation
        return {
            "use": self.use,
            "kind": self.kind,
            "algorithm": self.algorithm,
            "thumbprint": self.thumbprint,
            "subject": self.subject,
            "issuer": self.issuer,
            "from": instant(self.begins) if self.begins else None,
            "until": instant(self.ends) if self.ends else None,
            "days": self.days,
            "level": self.level,
            "store": self.store,
            "revocation": {
                "source": revocation.source,
                "checked": instant(revocation.checked) if revocation.checked else None,
                "state": revocation.state,
            },
        }


def level_of(begins: datetime, ends: datetime, now: datetime) -> str:
    """How near the end is, in one word."""
    if now < begins:
        return "future"
    # a certificate counts through its last moment (RFC 5280 §4.1.2.5)
    return URGENT if now == ends else level(ends - now)


def certificate_shown(
    certificate: x509.Certificate, now: datetime, *, use: str, store: str = "file"
) -> KeyShown:
    """The key of this certificate, as of now."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return KeyShown(
        use=use,
        kind="certificate",
        store=store,
        level=level_of(begins, ends, now),
        algorithm=algorithm_of(certificate),
        thumbprint=thumbprint(certificate.public_bytes(Encoding.DER)),
        subject=certificate.subject.rfc4514_string()[:200],
        issuer=certificate.issuer.rfc4514_string()[:200],
        begins=begins,
        ends=ends,
        days=(ends - now).days,
    )


def algorithm_of(certificate: x509.Certificate) -> str:
    """The kind and size of the key, in words of the trade."""
    match certificate.public_key():
        case rsa.RSAPublicKey() as key:
            return f"RSA {key.key_size}"
        case ec.EllipticCurvePublicKey() as key:
            return f"EC {key.curve.name}"
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
        case _:
            return "other"


def keys_of(settings: NodeSettings, signing: Signing | None, now: datetime) -> Sequence[KeyShown]:
    """The keys of a node: TLS as the file is, signing as it is used; what is unreadable says so."""
    tls = _file(settings.certificate, "tls", now)
    if signing is None or not signing.chain:
        told = _file(settings.signing_certificate, "signing", now)
    else:
        store = _store(str(settings.signing_key))
        told = certificate_shown(signing.chain[0], now, use="signing", store=store)
    wallet = _secret(settings.holder_key, "wallet", "EC secp256r1")
    return [tls, told, wallet, _secret(settings.sealing_key, "audit", "HMAC-SHA-256")]


def _store(key: str) -> str:
    if key.startswith("pkcs11:"):
        return "pkcs11"
    return "pkcs12" if Path(key).suffix.lower() in _PKCS12 else "file"


def _file(path: Path, use: str, now: datetime) -> KeyShown:
    store = _store(str(path))
    try:
        certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except (OSError, ValueError):
        return KeyShown(use, "certificate", store, "unreadable")
    return certificate_shown(certificate, now, use=use, store=store)


def _secret(path: Path, use: str, algorithm: str) -> KeyShown:
    """A key without an end: nothing of it is told but that it is there."""
    level = "ok" if path.is_file() else "unreadable"
    return KeyShown(use, "secret", "file", level, algorithm=algorithm)
