"""The secret key of the index, and what it makes of a patient."""

import base64
import hmac
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from openldn.base.errors import Issue, LdnError
from openldn.functions.localization.model import Opened
from openldn.functions.localization.store import Looked
from openldn.trust import keyfile

SIZE = 32  # bytes of a group element


def key_of(path: Path) -> bytes:
    """The index key kept in this file; made when there is none yet.

    Every process of one index uses the same key, as long as there are records: another key finds
    none of them. Raises LdnError(exception) when the file cannot be used.
    """
    return keyfile.secret(path, "the index")


def proof(key: bytes) -> bytes:
    """What tells keys apart without telling them."""
    return hmac.digest(key, b"openldn index key", "sha256")


@dataclass(frozen=True)
class Digests:
    """The digests made with the index key; the key schedule is done once, for it costs most."""

    key: bytes = field(repr=False)
    _lookup: "hmac.HMAC" = field(init=False, repr=False, compare=False)
    _log: "hmac.HMAC" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Prepare one for records and one for logs: neither tells the other."""
        object.__setattr__(self, "_lookup", hmac.new(self.key, digestmod="sha256"))
        log = hmac.digest(self.key, b"openldn index log", "sha256")
        object.__setattr__(self, "_log", hmac.new(log, digestmod="sha256"))

    def looked(self, opened: Opened) -> Looked:
        """Where the records of this patient stand; raises LdnError(invalid) without an element.

        Source: specification of localization §5.8: HMAC-SHA256(index key, group element).
        """
        if not opened.elements or any(len(n) != SIZE for _, n in opened.elements):
            raise LdnError(Issue.INVALID, "the token names no patient; ask a new one")
        return Looked(tuple((v, _with(self._lookup, n)) for v, n in opened.elements))

    def alias(self, looked: Looked) -> "Alias":
        """What may be told of a patient: the same for the same patient, useless elsewhere."""
        return Alias(_with(self._log, looked.newest))


class Alias(NamedTuple):
    """A digest that stands for a patient where the patient may not be known."""

    digest: bytes

    @property
    def trace(self) -> str:
        """What a log may say."""
        return self.digest[:16].hex()

    @property
    def subject(self) -> str:
        """What evidence says: the same digest, whole."""
        return base64.urlsafe_b64encode(self.digest).rstrip(b"=").decode()


def _with(prepared: "hmac.HMAC", content: bytes) -> bytes:
    made = prepared.copy()
    made.update(content)
    return made.digest()
