"""The secrets that pseudonyms are made with: sealed in the store, open in memory only.

Source: generic functions §6.2 step 5, §6.5.
"""

import hmac
import os
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.functions.pseudonyms import oprf
from openldn.functions.pseudonyms.model import EVERY, KeyVersion
from openldn.trust import keyfile

UNREADABLE = "vault"
_NONCE = 12  # bytes


@dataclass(frozen=True)
class Vault:
    """Seals the secrets of key versions with the key of the service."""

    key: bytes = field(repr=False)  # 32 bytes

    @classmethod
    def at(cls, path: Path) -> "Vault":
        """With the key in this file, made when there is none; keep it as long as the store.

        Raises LdnError(exception) when the file cannot be used.
        """
        return cls(keyfile.secret(path, "the pseudonym service"))

    def seal(self, organization: Ura, scope: str, version: int, secret: bytes) -> bytes:
        """The secret, encrypted and bound to its place in the store."""
        nonce = os.urandom(_NONCE)
        place = _place(organization, scope, version)
        return nonce + AESGCM(self.key).encrypt(nonce, oprf.require_scalar(secret), place)

    def open(self, version: KeyVersion) -> bytes:
        """The secret of a version; raises LdnError(transient) when it cannot be had.

        That is: it is destroyed, or the store and the key of the service do not fit.
        """
        sealed = version.sealed or b""
        place = _place(version.organization, version.scope, version.version)
        try:
            return AESGCM(self.key).decrypt(sealed[:_NONCE], sealed[_NONCE:], place)
        except (InvalidTag, ValueError) as error:
            text = "the keys of the pseudonym service cannot be read; its operator's turn"
            raise LdnError(Issue.TRANSIENT, text, detail=UNREADABLE) from error

    def secret(self, version: KeyVersion, scope: str) -> bytes:
        """The scalar for this scope; under a root each scope has one of its own."""
        found = self.open(version)
        if version.scope != EVERY:
            return found
        words = f"openldn pseudonyms|{version.organization}|{scope}|{version.version}"
        return oprf.scalar_of(hmac.digest(found, words.encode(), "sha512"))


def _place(organization: Ura, scope: str, version: int) -> bytes:
    return f"{organization}|{scope}|{version}".encode()
