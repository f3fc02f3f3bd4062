"""Signs for the organization that its certificate names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.trust import jose
from openldn.trust.certificates import CertificateParty, party_of
from openldn.trust.certificates.keys import Signing

_PREFERRED = ("ES256", "PS256", "ES512")  # where the peer leaves the choice


@dataclass(frozen=True)
class Signer:
    """A key with its certificate chain; it signs, and never shows the key."""

    current: Callable[[], Signing] = field(repr=False)  # asked each time: it may be renewed

    @classmethod
    def load(cls, certificate: Path, key: Path | str, secret: Path | None = None) -> "Signer":
        """The signer of these files; raises LdnError(exception) when they do not fit."""
        found = Signing.load(key, certificate, secret)
        return cls.check(lambda: found)

    @classmethod
    def check(cls, current: Callable[[], Signing]) -> "Signer":
        """The signer with this key, once its certificate names a care provider.

        Raises LdnError(exception) when it does not.
        """
        signer = cls(current)
        try:
            _ = signer.algorithm, signer.party
        except (LdnError, StopIteration, IndexError) as error:
            text = "it names no care provider, or its key is of a kind that we do not use"
            text = f"check the signing certificate: {text}"
            raise LdnError(Issue.EXCEPTION, text, detail=type(error).__name__) from error
        return signer

    @property
    def party(self) -> CertificateParty:
        """Whom the certificate names."""
        return party_of(self.current().ders[0])

    @property
    def algorithm(self) -> str:
        """What we sign with where the peer leaves the choice."""
        return next(a for a in _PREFERRED if a in jose.suited(self.key))

    @property
    def chain(self) -> tuple[str, ...]:
        """The certificates in base64 DER, leaf first."""
        return tuple(self.current().x5c)

    @property
    def key(self) -> jose.Key:
        """The private key, to sign with."""
        return self.current().key

    def sign(self, claims: Mapping[str, Any], algorithm: str = "") -> str:
        """The claims as a compact JWS that carries its certificate chain (RFC 7515 §4.1.6)."""
        return self.current().sign(claims, algorithm or self.algorithm)
