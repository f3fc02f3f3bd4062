"""A secret that is kept in a file and made when there is none yet; whoever is first, wins."""

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from openldn.base.errors import Issue, LdnError

SIZE = 32  # bytes of a secret key


def secret(path: Path, what: str) -> bytes:
    """The secret key, 32 bytes, in this file; `what` says whose: "the audit log".

    It must be kept as long as what it was used for. Raises LdnError(exception) when the file
    cannot be used.
    """
    key = kept(path, what, lambda: os.urandom(SIZE))
    if len(key) != SIZE:
        raise LdnError(Issue.EXCEPTION, f"the key of {what}, {path}, is damaged; restore it")
    return key


def signing_key() -> bytes:
    """A fresh key to sign with (EC P-256), as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def kept(path: Path, what: str, make: Callable[[], bytes]) -> bytes:
    """What stands in this file, written whole and readable to its owner only.

    Of several processes that make it at once, one does, and all read that. The folder is never
    made: one that is missing may be a disk that was not mounted, with the real secret on it.
    Raises LdnError(exception) when the file cannot be used.
    """
    try:
        if not path.exists():
            _write(path, make())
        return path.read_bytes()
    except OSError as error:
        text = f"the key of {what}, {path}, cannot be used: {error.strerror}"
        raise LdnError(Issue.EXCEPTION, text) from error


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        with suppress(FileExistsError):  # another process was first: then theirs counts
            os.link(fresh, path)
    finally:
        fresh.unlink()
