"""Requests to stop, at both sides."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from openldn.base.sql import Connection, Row
from openldn.fhir.identifiers import Ura
from openldn.functions.consent.sealing import Sealing
from openldn.node.coordination.model import Stop


class _Why(msgspec.Struct, frozen=True):
    reason: str
    answer: str = ""

    def __repr__(self) -> str:
        return "_Why(•••)"


@dataclass(frozen=True)
class Stops:
    """The requests to stop of one organization, made and received."""

    holder: Ura
    sealing: Sealing = field(repr=False)

    async def last(self, db: Connection, offers: Iterable[str]) -> list[Stop]:
        """The last request about each of these offers; the caller holds their locks, or looks."""
        rows = await db.fetch(
            """SELECT DISTINCT ON (offer) id, offer, state, version, changed, body FROM stop
               WHERE holder = $1 AND offer = ANY($2) ORDER BY offer, changed DESC, id""",
            self.holder.value,
            list(offers),
        )
        return [self._stop(row) for row in rows]

    async def read(self, db: Connection, id: str) -> Stop | None:
        """A request that we made."""
        row = await db.fetchrow(
            """SELECT id, offer, state, version, changed, body FROM stop
               WHERE holder = $1 AND id = $2""",
            self.holder.value,
            id,
        )
        return self._stop(row) if row else None

    async def write(self, db: Connection, stop: Stop) -> None:
        """Put it as it is now."""
        why = msgspec.json.encode(_Why(stop.reason, stop.answer))
        await db.execute(
            """INSERT INTO stop (holder, id, offer, state, version, changed, body)
               VALUES ($1, $2, $3, $4, $5, $6, $7)
               ON CONFLICT (holder, offer, id) DO UPDATE SET state = excluded.state,
                 version = excluded.version, changed = excluded.changed, body = excluded.body
               WHERE stop.version <= excluded.version""",
            *(self.holder.value, stop.id, stop.offer, stop.state, stop.version, stop.changed),
            self.sealing.close(why, stop.offer.encode()),
        )

    def _stop(self, row: Row) -> Stop:
        opened = self.sealing.open(row["body"], row["offer"].encode())
        why = msgspec.json.decode(opened, type=_Why)
        known = (row["id"], row["offer"], row["state"], row["version"], row["changed"])
        return Stop(*known, why.reason, why.answer)
