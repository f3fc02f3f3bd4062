"""Whom the broker believes: nothing counts before a second person agrees."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import Pool, Row, connection
from openldn.trust.certificates import thumbprint

KINDS = ("authority", "saml", "broker")
_COLUMNS = """kind, id, certificate, reason, proposed_by, proposed, approved_by, approved,
  removed_by, removed"""


@dataclass(frozen=True)
class Anchor:
    """A certificate that someone proposed to believe."""

    kind: str  # authority: signs certificates of parties; saml: pinned; broker: another broker
    id: str  # base64url SHA-256
    certificate: bytes = field(repr=False)  # DER
    reason: str
    proposed_by: str
    proposed: datetime
    approved_by: str | None = None
    approved: datetime | None = None
    removed_by: str | None = None
    removed: datetime | None = None

    @property
    def counts(self) -> bool:
        """Two persons agreed, and nobody took it back."""
        return self.approved_by is not None and self.removed_by is None

    @property
    def name(self) -> str:
        """Whom the certificate names."""
        return x509.load_der_x509_certificate(self.certificate).subject.rfc4514_string()


@dataclass(frozen=True)
class AnchorStore:
    """The anchors of one broker."""

    pool: Pool

    async def propose(self, anchor: Anchor) -> None:
        """Put an anchor forward; one that was removed may be proposed anew.

        Raises LdnError(conflict) when it stands there already.
        """
        sql = """INSERT INTO anchor (kind, id, certificate, reason, proposed_by, proposed)
                 VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (kind, id) DO UPDATE SET reason = $4, proposed_by = $5,
                   proposed = $6, approved_by = NULL, approved = NULL, removed_by = NULL,
                   removed = NULL
                 WHERE anchor.removed IS NOT NULL RETURNING id"""
        fields = (anchor.kind, anchor.id, anchor.certificate, anchor.reason)
        async with connection(self.pool) as db:
            if not await db.fetch(sql, *fields, anchor.proposed_by, anchor.proposed):
                raise LdnError(Issue.CONFLICT, "this anchor stands there already; see the list")

    async def approve(self, key: tuple[str, str], person: str, now: datetime) -> None:
        """The second person agrees; raises LdnError(forbidden) when it is the first again.

        Raises LdnError(not-found) when nothing waits for approval under this id.
        """
        sql = """UPDATE anchor SET approved_by = $3, approved = $4
                 WHERE kind = $1 AND id = $2 AND proposed_by <> $3
                   AND approved IS NULL AND removed IS NULL RETURNING id"""
        async with connection(self.pool) as db:
            if await db.fetch(sql, *key, person, now):
                return
        found = await self.find(key)
        if found is None or found.approved or found.removed:
            raise _absent()
        text = "another person than the proposer must approve; ask a colleague"
        raise LdnError(Issue.FORBIDDEN, text, detail="broker.two-persons")

    async def remove(self, key: tuple[str, str], person: str, now: datetime) -> None:
        """Stop believing; one person is enough. Raises LdnError(not-found)."""
        sql = """UPDATE anchor SET removed_by = $3, removed = $4
                 WHERE kind = $1 AND id = $2 AND removed IS NULL RETURNING id"""
        async with connection(self.pool) as db:
            if not await db.fetch(sql, *key, person, now):
                raise _absent()

    async def find(self, key: tuple[str, str]) -> Anchor | None:
        """The anchor of this kind and id."""
        sql = f"SELECT {_COLUMNS} FROM anchor WHERE kind = $1 AND id = $2"  # noqa: S608
        async with connection(self.pool) as db:
            row = await db.fetchrow(sql, *key)
        return _anchor(row) if row else None

    async def every(self) -> list[Anchor]:
        """All of them, also those that wait and those that were removed, oldest first."""
        sql = f"SELECT {_COLUMNS} FROM anchor ORDER BY proposed, kind, id"  # noqa: S608
        async with connection(self.pool) as db:
            return [_anchor(row) for row in await db.fetch(sql)]

    async def counting(self, kind: str) -> tuple[x509.Certificate, ...]:
        """The certificates of this kind that we believe now."""
        found: Sequence[Anchor] = [a for a in await self.every() if a.kind == kind and a.counts]
        return tuple(x509.load_der_x509_certificate(a.certificate) for a in found)


def anchor_of(content: bytes, kind: str, said: tuple[str, str, datetime]) -> Anchor:
    """The anchor in PEM or DER; `said`: reason, person, moment. Raises LdnError(invalid)."""
    if kind not in KINDS:
        raise LdnError(Issue.INVALID, f"an anchor is one of: {', '.join(KINDS)}")
    try:
        pem = content.lstrip().startswith(b"-----BEGIN")
        read = x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate
        found = read(content)
    except (ValueError, x509.InvalidVersion) as error:
        raise LdnError(Issue.INVALID, "this is not one certificate, PEM or DER") from error
    der = found.public_bytes(Encoding.DER)
    reason, person, moment = said
    if not reason.strip() or len(reason) > 500:
        raise LdnError(Issue.INVALID, "say in 1 to 500 characters why it is to be believed")
    return Anchor(kind, thumbprint(der), der, reason.strip(), person, moment)


def _absent() -> LdnError:
    return LdnError(Issue.NOT_FOUND, "no anchor waits under this id; see the list")


def _anchor(row: Row) -> Anchor:
    return Anchor(**dict(row))
