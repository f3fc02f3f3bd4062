"""Keys we sign with, and their certificates: from PEM files, PKCS#12, or a PKCS#11 token."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from openldn.base.errors import Issue, LdnError
from openldn.trust import jose
from openldn.trust.certificates.party import thumbprint

_PKCS12 = {".p12", ".pfx"}
_UNUSABLE = (OSError, ValueError, TypeError)


@dataclass(frozen=True)
class Signing:
    """A private key and the chain of its certificate, leaf first; a bare key has no chain."""

    key: jose.Key = field(repr=False)
    chain: tuple[x509.Certificate, ...] = field(default=(), repr=False)

    @classmethod
    def load(
        cls, key: Path | str, certificate: Path | None = None, secret: Path | None = None
    ) -> "Signing":
        """The key at `key`, as its form tells, with the chain in `certificate`.

        A PEM file; a PKCS#12 file (`.p12`, `.pfx`), which has its own chain; or a `pkcs11:` URI
        (RFC 7512), whose key never leaves the token. `secret` is the file with the password or
        PIN. Raises LdnError(exception) that names the files, never what is in them.
        """
        try:
            if str(key).startswith("pkcs11:"):
                found = _from_token(str(key), certificate, secret)
            elif Path(key).suffix.lower() in _PKCS12:
                found = _from_pkcs12(Path(key), certificate, secret)
            else:
                found = _from_pem(Path(key), certificate, secret)
        except _UNUSABLE as error:
            name = "the key of the pkcs11: URI" if str(key).startswith("pkcs11:") else key
            files = f"{name} and {certificate}" if certificate else f"{name}"
            text = f"{files} cannot be used to sign; check the files and the password"
            raise LdnError(Issue.EXCEPTION, text, detail=type(error).__name__) from error
        return _checked(found)

    @property
    def algorithm(self) -> str:
        """The algorithm we prefer for this key; others that fit: `jose.suited(key)`."""
        return jose.suited(self.key)[0]

    @property
    def x5c(self) -> list[str]:
        """The chain as it stands in a header: base64 DER, leaf first (RFC 7515 §4.1.6)."""
        return [base64.b64encode(der).decode() for der in self.ders]

    @property
    def thumbprint(self) -> str:
        """The `x5t#S256` of the leaf; of a bare key the thumbprint of its JWK."""
        return thumbprint(self.ders[0]) if self.chain else jose.jwk_thumbprint(self.key)

    @property
    def ders(self) -> tuple[bytes, ...]:
        """The chain as DER, leaf first."""
        return tuple(c.public_bytes(Encoding.DER) for c in self.chain)

    def up_to_root(self, authorities: Iterable[x509.Certificate]) -> "Signing":
        """The same, with the authorities above its chain added; did:x509 wants the root too."""
        return replace(self, chain=_upward(list(self.chain), list(authorities)))

    def sign(
        self,
        claims: Mapping[str, Any],
        algorithm: str = "",
        header: Mapping[str, Any] | None = None,
    ) -> str:
        """The claims as a compact JWS; the chain stands in `x5c` unless the header is given."""
        shown = header if header is not None else ({"x5c": self.x5c} if self.chain else {})
        return jose.sign(claims, self.key, algorithm or self.algorithm, shown)


def secret_in(path: Path | None) -> bytes | None:
    """The password or PIN in a file, without the line end; None without a file."""
    return path.read_bytes().rstrip(b"\r\n") if path is not None else None


def _from_pem(key: Path, certificate: Path | None, secret: Path | None) -> Signing:
    private = serialization.load_pem_private_key(key.read_bytes(), secret_in(secret))
    return Signing(_key(private), _chain(certificate))


def _from_pkcs12(key: Path, certificate: Path | None, secret: Path | None) -> Signing:
    bundle = pkcs12.load_pkcs12(key.read_bytes(), secret_in(secret))
    if bundle.key is None:
        raise ValueError("no key")
    inside = [bundle.cert.certificate] if bundle.cert else []
    others = [c.certificate for c in bundle.additional_certs]
    return Signing(_key(bundle.key), _chain(certificate) or _upward(inside, others))


def _from_token(uri: str, certificate: Path | None, secret: Path | None) -> Signing:
    try:
        from openldn.trust.certificates.hsm import open_key
    except ImportError as error:
        text = "keys on a PKCS#11 token need one more package; run: pip install 'openldn[hsm]'"
        raise LdnError(Issue.EXCEPTION, text) from error
    key, stored = open_key(uri, secret)
    return Signing(key, _chain(certificate) or stored)


def _upward(
    chain: list[x509.Certificate], others: list[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """The chain of a leaf from a bag in any order; PKCS#12 promises none."""
    while chain and chain[-1].subject != chain[-1].issuer:
        above = [c for c in others if c.subject == chain[-1].issuer and c not in chain]
        if not above:
            break
        chain.append(above[0])
    return tuple(chain)


def _chain(path: Path | None) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_pem_x509_certificates(path.read_bytes())) if path else ()


def _key(private: object) -> jose.Key:
    return jose.key_of(private)  # type: ignore[arg-type] # it refuses what it does not know


def _checked(found: Signing) -> Signing:
    """The same, once the key is strong enough and is that of the leaf."""
    if not jose.suited(found.key):
        text = "the signing key must be P-256, P-384, P-521, Ed25519 or RSA of 2048 bits"
        raise LdnError(Issue.EXCEPTION, text)
    if found.chain and jose.public_jwk(found.key) != jose.public_jwk(
        jose.key_of_certificate(found.chain[0])
    ):
        text = "the signing key is not that of its certificate; check which files belong together"
        raise LdnError(Issue.EXCEPTION, text, detail="another key")
    return found
