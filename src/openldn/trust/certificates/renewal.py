"""Certificates and keys that are renewed while we run: taken in use without a restart.

Files are looked at, not subscribed to: that works on every disk. A pair that is half written,
does not fit or does not count yet is left alone, and the old one stays in use.
"""

import asyncio
import os
import ssl
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from openldn.base.errors import Issue, LdnError
from openldn.base.http import Identity, Shown, showing
from openldn.base.log import emit
from openldn.base.runtime import Clock
from openldn.trust.certificates.keys import Signing

Stamp = tuple[tuple[int, int, int], ...]  # per file: when written, which one, how long


class Watched(Protocol):
    """Something made of files."""

    def look(self) -> bool:
        """Take what changed in use; whether anything was."""
        ...


async def watch_forever(watched: Iterable[Watched], every: float) -> None:
    """Look for as long as this runs; `every` is seconds between looks."""
    things = tuple(watched)
    while True:
        for thing in things:
            thing.look()
        await asyncio.sleep(every)


@dataclass
class TlsFiles:
    """The certificate and key of an identity, shown on each new connection, both ways."""

    identity: Identity
    clock: Clock
    _seen: Stamp = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._seen = stamp(self.paths)

    @property
    def paths(self) -> tuple[Path, Path]:
        """The files that are looked at."""
        return self.identity.certificate, self.identity.key

    def look(self) -> bool:
        """Show the new pair on new connections once it is whole; whether it is shown now.

        What cannot be used is told in the log once, until the files change again.
        """
        found = stamp(self.paths)
        if found == self._seen:
            return False
        try:
            self._show(found)
        except (LdnError, OSError, ValueError, TypeError) as error:
            self._seen = _settled(self._seen, found, error)
            _kept(self.identity.certificate, error)
            return False
        self._seen = found
        emit("renewed", detail=f"{self.identity.certificate}")
        return True

    def _show(self, found: Stamp) -> None:
        chain, key = (path.read_bytes() for path in self.paths)
        if stamp(self.paths) != found:
            raise LdnError(Issue.CONFLICT, "the files change while they are read")
        leaf = usable(chain, key, self.clock)
        contexts = showing(self.identity)
        if any(_kind(leaf) != _kind(context.leaf) for context in contexts):
            # OpenSSL would go on showing the old one to who prefers its kind of key
            raise LdnError(Issue.CONFLICT, "another kind of key: restart to take it in use")
        with _as_file(chain) as chain_file, _as_file(key) as key_file:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain_file, key_file)
            for context in contexts:
                _load(context, (chain_file, key_file), leaf)


@dataclass
class SigningFiles:
    """A signing key whose files may be renewed; `current` is the last that was whole."""

    key: Path | str
    certificate: Path | None
    clock: Clock
    secret: Path | None = None
    current: Signing = field(init=False, repr=False)
    _seen: Stamp = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._seen = stamp(self.paths)
        self.current = Signing.load(self.key, self.certificate, self.secret)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are looked at; a key on a token is known by its certificate."""
        named = [None if str(self.key).startswith("pkcs11:") else Path(self.key), self.certificate]
        return tuple(path for path in named if path is not None)

    def look(self) -> bool:
        """Sign with the new key once its files are whole; whether it is used now."""
        found = stamp(self.paths)
        if found == self._seen:
            return False
        try:
            fresh = Signing.load(self.key, self.certificate, self.secret)
            if fresh.chain:
                _counts(fresh.chain[0], self.clock)
        except LdnError as error:
            self._seen = _settled(self._seen, found, error)
            _kept(self.paths[-1], error)
            return False
        self._seen, self.current = found, fresh
        emit("renewed", detail=f"{self.paths[-1]}")
        return True


def usable(chain: bytes, key: bytes, clock: Clock) -> x509.Certificate:
    """The leaf of this PEM chain, once the key is its own and it counts now.

    Raises LdnError(conflict) or ValueError when not.
    """
    leaf = x509.load_pem_x509_certificates(chain)[0]
    if serialization.load_pem_private_key(key, None).public_key() != leaf.public_key():
        raise LdnError(Issue.CONFLICT, "the key is not that of the certificate")
    _counts(leaf, clock)
    return leaf


def stamp(paths: Iterable[Path]) -> Stamp:
    """What tells whether one of these files was written or replaced; missing files count too."""
    return tuple(_of_file(path) for path in paths)


def _of_file(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return found.st_mtime_ns, found.st_ino, found.st_size


def _counts(leaf: x509.Certificate, clock: Clock) -> None:
    if leaf.not_valid_after_utc < clock():
        raise LdnError(Issue.CONFLICT, "the certificate has expired")
    if clock() < leaf.not_valid_before_utc:
        raise LdnError(Issue.TRANSIENT, "the certificate does not count yet")


def _load(context: Shown, files: tuple[str, str], leaf: x509.Certificate) -> None:
    context.load_cert_chain(*files)
    context.leaf = leaf


def _kind(leaf: x509.Certificate) -> type[object]:
    return type(leaf.public_key())


def _settled(seen: Stamp, found: Stamp, error: Exception) -> Stamp:
    """What to wait for: a change of the files, unless time alone will make them fit."""
    waiting = isinstance(error, LdnError) and error.issue is Issue.TRANSIENT
    return seen if waiting else found


def _kept(path: Path, error: Exception) -> None:
    if isinstance(error, LdnError) and error.issue is Issue.TRANSIENT:
        return
    said = error.message if isinstance(error, LdnError) else type(error).__name__
    emit("unrenewed", issue="conflict", detail=f"{path}: {said}; the old one stays in use")


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A name under which OpenSSL can read this content, which stands in memory where it can."""
    if not hasattr(os, "memfd_create"):  # only Linux has it
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            yield file.name
        return
    handle = os.memfd_create("pem")
    with os.fdopen(handle, "wb") as memory:
        memory.write(content)
        memory.flush()
        yield f"/proc/self/fd/{handle}"
