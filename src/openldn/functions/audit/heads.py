"""Signed tree heads: what the keeper of a log vouches for at a moment, and cannot take back.

Source: RFC 9162 §4.10 (signed tree head), RFC 7515 (JWS); specification of audit events §8.8.
"""

import base64
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from openldn.base.errors import Issue, LdnError
from openldn.trust import jose, keyfile
from openldn.trust.certificates.keys import Signing
from openldn.trust.trail import Rule, Trail

TYPE = "audit-head+jwt"
CONTENT = Rule("audit.head.content", "RFC 9162 §4.10", "the head names a log, a size and a root")
ISSUER = Rule("audit.head.holder", "RFC 9162 §4.10", "the head is one of this log")


@dataclass(frozen=True)
class TreeHead:
    """What was signed: so many events, with this root, the last of them with this hash."""

    holder: str
    size: int
    root: bytes
    last: bytes  # hash of the last event in the chain
    signed: datetime
    jws: str = field(repr=False)


@dataclass(frozen=True)
class HeadKey:
    """The key that heads of a log are signed with."""

    signing: Signing

    @classmethod
    def at(cls, path: Path) -> "HeadKey":
        """The key in this PEM file; made when there is none yet.

        Raises LdnError(exception) when the file cannot be used.
        """
        keyfile.kept(path, "the tree heads", keyfile.signing_key)
        return cls(Signing.load(path))

    @property
    def public(self) -> jose.Key:
        """What a head of this key is checked with."""
        return jose.key_of_jwk(jose.public_jwk(self.signing.key))

    def head(self, holder: str, size: int, root: bytes, last: bytes, signed: datetime) -> TreeHead:
        """A head, signed."""
        claims = {
            "iss": holder,
            "iat": int(signed.timestamp()),
            "size": size,
            "root": jose.encoded(root),
            "last": jose.encoded(last),
        }
        header = {"typ": TYPE, "kid": jose.jwk_thumbprint(self.signing.key)}
        jws = self.signing.sign(claims, header=header)
        whole = datetime.fromtimestamp(int(signed.timestamp()), UTC)
        return TreeHead(holder, size, root, last, whole, jws)


def read_head(jws: str, key: jose.Key, holder: str) -> TreeHead:
    """The head in this JWS, by this key and of this log.

    Raises LdnError(conflict) for anything else: it is no evidence.
    """
    trail = Trail(issue=Issue.CONFLICT)
    token = jose.read(jws, trail)
    jose.verify(token, key, jose.suited(key), trail)
    claims = token.claims
    size, signed = claims.get("size"), claims.get("iat")
    whole = isinstance(size, int) and isinstance(signed, int) and 0 < signed < 1 << 35
    trail.require(whole and token.header_text("typ") == TYPE, CONTENT)
    assert isinstance(size, int) and isinstance(signed, int)  # noqa: S101  (just required)
    trail.require(token.claim("iss") == holder and size >= 0, ISSUER)
    try:
        root, last = (jose.unpadded(token.claim(name)) for name in ("root", "last"))
    except LdnError as error:
        raise trail.refusal(CONTENT) from error
    return TreeHead(holder, size, root, last, datetime.fromtimestamp(signed, UTC), jws)


@dataclass(frozen=True)
class Kept:
    """The heads of a log, kept in a file outside its database: one JWS a line.

    Who holds the database but not this file cannot put an older copy of the log in its place.
    """

    path: Path

    def add(self, head: TreeHead) -> None:
        """Write this head behind the others, safe on disk; raises LdnError(exception)."""
        try:
            with self.path.open("ab") as file:
                file.write(head.jws.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            text = f"the heads of the audit log, {self.path}, cannot be kept: {error.strerror}"
            raise LdnError(Issue.EXCEPTION, text) from error

    def read(self, key: jose.Key, holder: str) -> list[TreeHead]:
        """The heads in it; raises LdnError(conflict) for a line that is none of this log."""
        try:
            lines = self.path.read_text(encoding="ascii").split()
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            text = f"the heads of the audit log, {self.path}, cannot be read"
            raise LdnError(Issue.EXCEPTION, text) from error
        return [read_head(line, key, holder) for line in lines]


def by_size(heads: Iterable[TreeHead]) -> dict[int, TreeHead]:
    """The heads by how many events they vouch for.

    Raises LdnError(conflict) when two of one size differ: the log was written twice.
    """
    found: dict[int, TreeHead] = {}
    for head in heads:
        other = found.setdefault(head.size, head)
        if (other.root, other.last) != (head.root, head.last):
            text = f"two signed heads of {head.size} events differ: there were two logs"
            raise LdnError(Issue.CONFLICT, text, detail="audit.head.fork")
    return found


def text_of(content: bytes) -> str:
    """Bytes as they stand in exports and proofs: base64."""
    return base64.b64encode(content).decode()
