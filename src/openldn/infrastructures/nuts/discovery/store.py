"""Where lists of discovery services are kept: every statement of discovery."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from openldn.base.sql import Connection, Pool, Row, connection, migrate, transaction
from openldn.infrastructures.nuts.discovery.model import Listing, Registration

SERVER, CLIENT = "server", "client"
_MOST = 1_000  # entries in one answer


@dataclass(frozen=True)
class DiscoveryStore:
    """The lists of one side in one database."""

    pool: Pool
    side: str  # SERVER or CLIENT

    async def prepare(self) -> None:
        """Make the tables; several processes may do so at once."""
        folder = Path(__file__).parent / "migrations"
        await migrate(self.pool, "infrastructures.nuts.discovery", folder)

    async def begin(self, service: str, seed: str) -> None:
        """Start a list with this seed, unless there is one already."""
        sql = """INSERT INTO discovery_list (side, service, seed, timestamp)
                 VALUES ($1, $2, $3, 0) ON CONFLICT DO NOTHING"""
        async with connection(self.pool) as db:
            await db.execute(sql, self.side, service, seed)

    async def enter(self, service: str, entry: Registration) -> int:
        """Put the entry in place of the party's earlier one; its Lamport time.

        One after the other: the row of the list is locked until the entry stands.
        """
        sql = """UPDATE discovery_list SET timestamp = timestamp + 1
                 WHERE side = $1 AND service = $2 RETURNING timestamp"""
        async with transaction(self.pool) as db:
            timestamp = await db.fetchval(sql, self.side, service)
            await self._put(db, service, entry, timestamp)
        return int(timestamp)

    async def state(self, service: str) -> Listing:
        """Seed and time of the list, without entries; an unknown one is empty."""
        sql = "SELECT seed, timestamp FROM discovery_list WHERE side = $1 AND service = $2"
        async with connection(self.pool) as db:
            row = await db.fetchrow(sql, self.side, service)
        return Listing(row["seed"], row["timestamp"]) if row else Listing("", 0)

    async def find(self, service: str, subject: str) -> Registration | None:
        """The entry of this party."""
        sql = """SELECT subject, jti, presentation, expires, retracts, claims, timestamp
                 FROM discovery_entry WHERE side = $1 AND service = $2 AND subject = $3"""
        async with connection(self.pool) as db:
            row = await db.fetchrow(sql, self.side, service, subject)
        return _entry(row) if row else None

    async def since(self, service: str, timestamp: int, now: datetime) -> Listing:
        """The entries after this time that have not expired, oldest first."""
        sql = """SELECT subject, jti, presentation, expires, retracts, claims, timestamp
                 FROM discovery_entry
                 WHERE side = $1 AND service = $2 AND timestamp > $3 AND expires > $4
                 ORDER BY timestamp LIMIT $5"""
        state = await self.state(service)
        async with connection(self.pool) as db:
            rows = await db.fetch(sql, self.side, service, timestamp, now, _MOST)
        last = rows[-1]["timestamp"] if len(rows) == _MOST else state.timestamp
        return Listing(state.seed, last, tuple(map(_entry, rows)))

    async def take(self, service: str, listing: Listing) -> None:
        """Make the copy follow this piece of the list, all or nothing.

        With another seed than the copy has, the copy begins anew.
        """
        async with transaction(self.pool) as db:
            known = await db.fetchval(
                "SELECT seed FROM discovery_list WHERE side = $1 AND service = $2 FOR UPDATE",
                self.side,
                service,
            )
            if known != listing.seed:
                await self._anew(db, service, listing.seed)
            for entry in listing.entries:
                await self._put(db, service, entry, entry.timestamp)
            await db.execute(
                "UPDATE discovery_list SET timestamp = $3 WHERE side = $1 AND service = $2",
                self.side,
                service,
                listing.timestamp,
            )

    async def search(
        self, service: str, patterns: Mapping[str, str], now: datetime
    ) -> list[Registration]:
        """The parties that are registered now and whose claims fit every pattern."""
        sql = """SELECT subject, jti, presentation, expires, retracts, claims, timestamp
                 FROM discovery_entry
                 WHERE side = $1 AND service = $2 AND expires > $3 AND retracts = ''
                   AND NOT EXISTS (
                     SELECT 1 FROM jsonb_each_text($4::jsonb) AS wanted
                     WHERE NOT COALESCE(claims ->> wanted.key ILIKE wanted.value, false))
                 ORDER BY subject LIMIT $5"""
        async with connection(self.pool) as db:
            wanted = json.dumps(dict(patterns))
            rows = await db.fetch(sql, self.side, service, now, wanted, _MOST)
        return [_entry(row) for row in rows]

    async def prune(self, service: str, now: datetime) -> int:
        """Forget what has expired; how many there were."""
        sql = """DELETE FROM discovery_entry
                 WHERE side = $1 AND service = $2 AND expires <= $3 RETURNING subject"""
        async with connection(self.pool) as db:
            return len(await db.fetch(sql, self.side, service, now))

    async def _anew(self, db: Connection, service: str, seed: str) -> None:
        await db.execute(
            "DELETE FROM discovery_entry WHERE side = $1 AND service = $2", self.side, service
        )
        await db.execute(
            """INSERT INTO discovery_list (side, service, seed, timestamp) VALUES ($1, $2, $3, 0)
               ON CONFLICT (side, service) DO UPDATE SET seed = $3, timestamp = 0""",
            self.side,
            service,
            seed,
        )

    async def _put(self, db: Connection, service: str, entry: Registration, timestamp: int) -> None:
        sql = """INSERT INTO discovery_entry (side, service, subject, timestamp, jti,
                   presentation, retracts, claims, expires)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9)
                 ON CONFLICT (side, service, subject) DO UPDATE SET timestamp = $4, jti = $5,
                   presentation = $6, retracts = $7, claims = $8::jsonb, expires = $9
                 WHERE discovery_entry.timestamp <= $4"""
        values = (entry.jti, entry.presentation, entry.retracts, json.dumps(dict(entry.claims)))
        await db.execute(sql, self.side, service, entry.subject, timestamp, *values, entry.expires)


def _entry(row: Row) -> Registration:
    return Registration(
        row["subject"],
        row["jti"],
        row["presentation"],
        row["expires"],
        row["retracts"],
        json.loads(row["claims"]),
        row["timestamp"],
    )
