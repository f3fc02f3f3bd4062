"""What the simulated provider needs to know."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from openldn.base.errors import Issue, LdnError
from openldn.base.settings import Settings
from openldn.trust import jose


class DeziSettings(Settings, frozen=True):
    """Settings of the role `dezi`, the simulated sign-in provider. TEST only."""

    public: str  # origin by which browsers and parties reach it; its issuer name
    client_id: str  # the one client that may have people sign in
    client_key: Path  # its key in PEM: public, private or certificate; the public part counts
    redirect_uris: tuple[str, ...]  # where its people may be sent back, exactly
    host: str = "127.0.0.1"
    port: int = 8403
    certificate: Path | None = None  # for HTTPS; None: plain HTTP, for loopback only
    key_file: Path | None = None
    shape: str = "dezi"  # what userinfo tells: dezi (a statement) or max (the older claims)
    statement_hours: float = 8.0


def public_key(path: Path) -> jose.Key:
    """The public key in a PEM file; raises LdnError(invalid) that names the file."""
    try:
        body = path.read_bytes()
        if b"CERTIFICATE" in body:
            return jose.key_of_certificate(x509.load_pem_x509_certificates(body)[0])
        if b"PRIVATE" in body:
            raw = serialization.load_pem_private_key(body, None).public_key()
        else:
            raw = serialization.load_pem_public_key(body)
    except (OSError, ValueError, TypeError) as error:
        text = f"client_key {path}: no key in PEM can be read there"
        raise LdnError(Issue.INVALID, text) from error
    if isinstance(raw, ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        return jose.key_of(raw)
    raise LdnError(Issue.INVALID, f"client_key {path}: use an EC, RSA or Ed25519 key")
