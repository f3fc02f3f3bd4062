"""The parties, and the signing, that the targets of `tools/fuzz.py` share."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from trust.credentials.kit import Party, Uzi, opened
from trust.people.register import Register, register

from openldn.base.errors import LdnError
from openldn.fhir.codec import dump, parse
from openldn.trust import jose

Read = Callable[[bytes], object]
_ECDSA = bytes.fromhex("300a06082a8648ce3d040302")  # AlgorithmIdentifier: ecdsa-with-SHA256


@dataclass(frozen=True)
class Target:
    """One reader; what it may raise is its word for what is wrong."""

    read: Read
    seeds: tuple[bytes, ...]
    refuses: tuple[type[Exception], ...] = (LdnError,)


class Bench:
    """The parties and the event loop that the targets share."""

    def __init__(self, loop: asyncio.AbstractEventLoop, people: Register, folder: Path) -> None:
        self.loop, self.people = loop, people
        self.uzi = Uzi()
        self.party: Party = self.uzi.party()
        self.verifier = self.uzi.verifier()
        self.now = self.uzi.clock()
        self.signing = self.party.signing
        self.pair = (self.signing.chain[0], self.uzi.issuing)
        self.text = self.party.x509()
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(self.uzi.root.public_bytes(Encoding.PEM))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What this gives."""
        return self.loop.run_until_complete(work)

    def sealed(self, inside: bytes) -> bytes:
        """The inside of a certificate or list (TBS), signed by the issuing authority."""
        return sealed(inside, self.uzi.key)


def sealed(inside: bytes, key: object) -> bytes:
    """The inside of a certificate, list or answer (TBS), signed with this key on a curve."""
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(inside, ec.ECDSA(hashes.SHA256()))
    return der(0x30, inside + _ECDSA + der(0x03, b"\0" + signature))


@contextmanager
def bench() -> Iterator[Bench]:
    """The bench, with a register of people on a real socket."""
    loop = asyncio.new_event_loop()
    opening = register()
    people = loop.run_until_complete(opening.__aenter__())
    try:
        with TemporaryDirectory() as folder:
            yield Bench(loop, people, Path(folder))
    finally:
        loop.run_until_complete(opening.__aexit__(None, None, None))
        loop.close()


def der(tag: int, content: bytes) -> bytes:
    """One DER element."""
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    count = (size.bit_length() + 7) // 8
    return bytes((tag, 0x80 | count)) + size.to_bytes(count, "big") + content


def text_in(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def claims_in(content: bytes) -> dict[str, Any]:
    """Claims to sign, of a size that a token may have."""
    value = parse(content, jose.LIMITS)
    return value if isinstance(value, dict) else {}


def signing(text: str, key: jose.Key) -> tuple[Callable[[bytes], str], bytes]:
    """Signs other claims as this token is signed; and its own claims, to begin from."""
    header, claims = opened(text)
    algorithm = str(header.pop("alg"))
    return lambda content: jose.sign(claims_in(content), key, algorithm, header), dump(claims)
