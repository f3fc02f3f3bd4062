"""Signs for the organization that its certificate names."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from openldn.base.errors import Issue, LdnError
from openldn.trust import jose
from openldn.trust.certificates import CertificateParty, party_of
from openldn.trust.tokens.assertions import der_of

_PREFERRED = ("ES256", "PS256", "ES512")  # where the peer leaves the choice


@dataclass(frozen=True)
class Signer:
    """A key with its certificate chain; it signs, and never shows the key."""

    party: CertificateParty
    algorithm: str
    chain: tuple[str, ...] = field(repr=False)  # base64 DER, leaf first
    key: jose.Key = field(repr=False)

    @classmethod
    def load(cls, certificate: Path, key: Path) -> "Signer":
        """The signer of these PEM files; raises LdnError(exception) when they do not fit."""
        try:
            chain = x509.load_pem_x509_certificates(certificate.read_bytes())
            private = serialization.load_pem_private_key(key.read_bytes(), password=None)
            if chain[0].public_key() != private.public_key():
                raise ValueError("key of another certificate")
            own = jose.key_of(private)  # type: ignore[arg-type]  # other kinds are refused there
            algorithm = next(a for a in _PREFERRED if a in jose.suited(own))
            party = party_of(der_of(chain[0]))
        except (OSError, ValueError, TypeError, StopIteration, LdnError) as error:
            text = f"{certificate} and {key} cannot be used to sign; check the signing certificate"
            raise LdnError(Issue.EXCEPTION, text, detail=type(error).__name__) from error
        encoded = tuple(base64.b64encode(der_of(c)).decode() for c in chain)
        return cls(party, algorithm, encoded, own)

    def sign(self, claims: Mapping[str, Any], algorithm: str = "") -> str:
        """The claims as a compact JWS that carries its certificate chain (RFC 7515 §4.1.6)."""
        header = {"x5c": list(self.chain)}
        return jose.sign(claims, self.key, algorithm or self.algorithm, header)
