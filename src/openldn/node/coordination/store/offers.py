"""The offers themselves, and what happened to each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import msgspec

from openldn.base.sql import Connection, Pool, Row, migrate
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.consent.sealing import Sealing
from openldn.node.coordination.model import Change, Doer, Kept, Side, digest_of
from openldn.patterns.moves import Actor
from openldn.patterns.notified_pull.model import Offer, Reason


class _Body(msgspec.Struct, frozen=True):
    offer: Offer
    patient: str = ""
    brought: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "_Body(•••)"


class _Told(msgspec.Struct, frozen=True):
    doer: Doer
    reason: Reason | None = None
    note: str = ""

    def __repr__(self) -> str:
        return "_Told(•••)"


@dataclass(frozen=True)
class Wanted:
    """Which offers; what is left out does not matter."""

    side: Side
    states: Sequence[str] = ()
    peer: Ura | None = None
    since: datetime | None = None  # changed at this moment or later
    before: tuple[datetime, str] | None = None  # cursor: changed and handle of the last one seen
    count: int = 100


@dataclass(frozen=True)
class Happened:
    """One row of the history of an offer."""

    version: int
    event: str
    actor: str
    state: str
    moment: datetime
    doer: Doer
    reason: Reason | None = field(default=None, repr=False)
    note: str = field(default="", repr=False)


async def prepare(pool: Pool) -> None:
    """Make the tables; several processes may do so at once."""
    await migrate(pool, "node.coordination", Path(__file__).parent.parent / "migrations")


@dataclass(frozen=True)
class Offers:
    """The offers of one organization."""

    holder: Ura
    sealing: Sealing = field(repr=False)

    async def read(self, db: Connection, handle: str) -> Kept | None:
        """One offer as it stands."""
        row = await db.fetchrow(
            "SELECT handle, side, subject, body FROM offer WHERE holder = $1 AND handle = $2",
            self.holder.value,
            handle,
        )
        return self._kept(row) if row else None

    async def lock(
        self, db: Connection, handles: Iterable[str], families: Iterable[str]
    ) -> list[Kept]:
        """These offers, and all candidates of these families, locked until the transaction ends.

        Always in the same order, so that nobody waits for one who waits for them.
        """
        rows = await db.fetch(
            """SELECT handle, side, subject, body FROM offer
               WHERE holder = $1 AND (handle = ANY($2) OR (family <> '' AND family = ANY($3)))
               ORDER BY handle FOR UPDATE""",
            self.holder.value,
            list(handles),
            list(families),
        )
        return [self._kept(row) for row in rows]

    async def by_base(self, db: Connection, base: str) -> Kept | None:
        """The offer that this authorization base was given for."""
        row = await db.fetchrow(
            "SELECT handle, side, subject, body FROM offer WHERE holder = $1 AND base = $2",
            self.holder.value,
            digest_of(base),
        )
        return self._kept(row) if row else None

    async def by_subject(self, db: Connection, subject: str) -> list[Kept]:
        """The offers we sent that have this Patient and this ServiceRequest."""
        rows = await db.fetch(
            """SELECT handle, side, subject, body FROM offer
               WHERE holder = $1 AND side = 'sent' AND subject <> '' AND subject = $2""",
            self.holder.value,
            subject,
        )
        return [self._kept(row) for row in rows]

    async def find(self, db: Connection, wanted: Wanted) -> list[Kept]:
        """The offers that are wanted, last changed first."""
        at, handle = wanted.before or (None, "")
        rows = await db.fetch(
            """SELECT handle, side, subject, body FROM offer
               WHERE holder = $1 AND side = $2 AND ($3::text[] = '{}' OR state = ANY($3))
                 AND ($4 = '' OR peer = $4) AND ($5::timestamptz IS NULL OR changed >= $5)
                 AND ($6::timestamptz IS NULL OR (changed, handle) < ($6, $7))
               ORDER BY changed DESC, handle DESC LIMIT $8""",
            *(self.holder.value, wanted.side.value, list(wanted.states)),
            *(wanted.peer.value if wanted.peer else "", wanted.since, at, handle, wanted.count),
        )
        return [self._kept(row) for row in rows]

    async def write(self, db: Connection, changes: Sequence[Change]) -> None:
        """Put the offers as they are now, and add what happened; the caller holds their locks."""
        last = {c.kept.handle: c.kept for c in changes}
        columns = zip(*(self._columns(k) for k in last.values()), strict=True)
        await db.execute(
            """INSERT INTO offer (holder, handle, side, task, peer, version, state, family,
                 exchange, subject, base, created, changed, body)
               SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::int[],
                 $7::text[], $8::text[], $9::text[], $10::text[], $11::bytea[],
                 $12::timestamptz[], $13::timestamptz[], $14::bytea[])
               ON CONFLICT (holder, handle) DO UPDATE SET version = excluded.version,
                 state = excluded.state, family = excluded.family, subject = excluded.subject,
                 base = excluded.base, changed = excluded.changed, body = excluded.body
               WHERE offer.version <= excluded.version""",
            self.holder.value,
            *map(list, columns),
        )
        told = zip(*(self._history(c) for c in changes), strict=True)
        await db.execute(
            """INSERT INTO offer_change
                 (holder, handle, version, event, actor, before, state, moment, correlation, told)
               SELECT $1, * FROM unnest($2::text[], $3::int[], $4::text[], $5::text[], $6::text[],
                 $7::text[], $8::timestamptz[], $9::text[], $10::bytea[])
               ON CONFLICT DO NOTHING""",
            self.holder.value,
            *map(list, told),
        )

    async def history(self, db: Connection, handle: str) -> list[Happened]:
        """What happened to this offer, first things first."""
        rows = await db.fetch(
            """SELECT version, event, actor, state, moment, told FROM offer_change
               WHERE holder = $1 AND handle = $2 ORDER BY version""",
            self.holder.value,
            handle,
        )
        return [self._happened(handle, row) for row in rows]

    async def unaudited(self, db: Connection, until: datetime, most: int) -> list[Change]:
        """What happened before `until` and is not known to stand in the audit log."""
        rows = await db.fetch(
            """SELECT c.handle, c.version, c.event, c.actor, c.before, c.state, c.moment, c.told,
                 o.side, o.subject, o.body
               FROM offer_change c JOIN offer o USING (holder, handle)
               WHERE c.holder = $1 AND NOT c.audited AND c.moment < $2
               ORDER BY c.moment LIMIT $3""",
            self.holder.value,
            until,
            most,
        )
        return [self._change(row) for row in rows]

    async def audited(self, db: Connection, changes: Iterable[tuple[str, int]]) -> None:
        """These handles and versions stand in the audit log."""
        handles, versions = zip(*changes, strict=True)
        await db.execute("SET LOCAL synchronous_commit = off")  # told twice is written once
        await db.execute(
            """UPDATE offer_change SET audited = true
               FROM unnest($2::text[], $3::int[]) AS done (handle, version)
               WHERE offer_change.holder = $1 AND offer_change.handle = done.handle
                 AND offer_change.version = done.version""",
            self.holder.value,
            list(handles),
            list(versions),
        )

    def _columns(self, kept: Kept) -> tuple[object, ...]:
        offer = kept.offer
        base = digest_of(offer.authorization) if offer.authorization else None
        own = base if kept.side is Side.SENT else None
        body = _Body(offer, kept.patient.value if kept.patient else "", kept.brought)
        return (
            *(kept.handle, kept.side.value, offer.id, kept.peer.value, offer.version, offer.state),
            *(offer.group if kept.side is Side.SENT else "", offer.exchange, kept.subject, own),
            *(offer.created, offer.changed, self._closed(body, kept.handle)),
        )

    def _history(self, change: Change) -> tuple[object, ...]:
        offer, doer = change.kept.offer, change.doer
        told = _Told(doer, offer.reason, offer.note)
        return (
            *(change.kept.handle, offer.version, change.event, change.actor.value, change.before),
            *(offer.state, offer.changed, doer.correlation, self._closed(told, change.kept.handle)),
        )

    def _closed(self, value: msgspec.Struct, handle: str) -> bytes:
        return self.sealing.close(msgspec.json.encode(value), handle.encode())

    def _kept(self, row: Row) -> Kept:
        handle = row["handle"]
        opened = self.sealing.open(row["body"], handle.encode())
        body = msgspec.json.decode(opened, type=_Body)
        patient = Bsn(body.patient) if body.patient else None
        side, subject = Side(row["side"]), row["subject"]
        return Kept(handle, side, body.offer, patient, subject, body.brought)

    def _change(self, row: Row) -> Change:
        """The change again, with the offer as it was then as far as evidence tells of it."""
        kept, then = self._kept(row), self._happened(row["handle"], row)
        offer = replace(kept.offer, version=then.version, state=then.state, changed=then.moment)
        return Change(
            replace(kept, offer=offer), then.event, Actor(then.actor), then.doer, row["before"]
        )

    def _happened(self, handle: str, row: Row) -> Happened:
        opened = self.sealing.open(row["told"], handle.encode())
        told = msgspec.json.decode(opened, type=_Told)
        known = (row["version"], row["event"], row["actor"], row["state"], row["moment"])
        return Happened(*known, told.doer, told.reason, told.note)
