"""Patients at rest: a keyed digest to find them by, and sealed text only the service can open."""

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import lru_cache
from os import urandom

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn

_NONCE = 12  # bytes


@dataclass(frozen=True)
class Sealing:
    """Made from one secret of at least 32 bytes, which lives as long as the store."""

    secret: bytes = field(repr=False)
    _parts: dict[bytes, bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.secret) < 32:
            text = "the key of the consent store has less than 32 bytes; make a new one"
            raise LdnError(Issue.EXCEPTION, text)
        parts = {name: self._made(name) for name in (b"find", b"code", b"seal")}
        object.__setattr__(self, "_parts", parts)

    def digest(self, patient: Bsn) -> bytes:
        """What a patient is found by: not to be made or turned back without the secret."""
        return _found_by(self._part(b"find"), patient.value)

    def code(self, written: str) -> bytes:
        """The digest of a link code."""
        return hmac.digest(self._part(b"code"), written.encode(), "sha256")

    def close(self, content: bytes, about: bytes) -> bytes:
        """The content, sealed; it opens only together with `about`."""
        nonce = urandom(_NONCE)
        return nonce + AESGCM(self._part(b"seal")).encrypt(nonce, content, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """What was closed; raises LdnError(exception) when key or content is another."""
        try:
            return AESGCM(self._part(b"seal")).decrypt(sealed[:_NONCE], sealed[_NONCE:], about)
        except (InvalidTag, ValueError) as error:
            text = "a sealed row cannot be opened; the key of the store was replaced"
            raise LdnError(Issue.EXCEPTION, text) from error

    def _part(self, name: bytes) -> bytes:
        return self._parts[name]

    def _made(self, name: bytes) -> bytes:
        return hashlib.sha256(b"openldn consent " + name + b"\x00" + self.secret).digest()


@lru_cache(maxsize=4096)  # one pull asks dozens of times about one patient
def _found_by(key: bytes, number: str) -> bytes:
    return hmac.digest(key, number.encode(), "sha256")
