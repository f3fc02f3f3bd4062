"""The records of the holders in PostgreSQL; every SQL statement stands in this package."""

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.base.sql import Connection, Pool, connection, migrate, transaction
from openldn.fhir.model import Resource
from openldn.fhir.records.bodies import is_id, is_type
from openldn.fhir.records.model import Change, Found, Place, Record, Written
from openldn.fhir.records.store.history import Wanted, history
from openldn.fhir.records.store.loading import load, upsert
from openldn.fhir.records.store.rows import Raced
from openldn.fhir.records.store.search import search
from openldn.fhir.records.store.statistics import Growth
from openldn.fhir.records.store.writing import write
from openldn.fhir.search.model import Query

_MIGRATIONS = Path(__file__).parent.parent / "migrations"
_TRIES = 6

T = TypeVar("T")

__all__ = ["Records"]


@dataclass(frozen=True)
class Records:
    """FHIR resources with their versions; what was acknowledged is on disk."""

    pool: Pool
    clock: Clock
    new_id: NewId
    _growth: Growth = field(default_factory=Growth, repr=False, compare=False)

    async def prepare(self) -> None:
        """Create or update the tables; may be called by several processes at once."""
        await migrate(self.pool, "fhir.records", _MIGRATIONS)

    async def read(self, place: Place, type: str, id: str) -> Record:
        """The resource as it stands now; raises LdnError(not-found), or deleted (410)."""
        if is_id(id) and is_type(type):
            async with connection(self.pool) as db:
                row = await db.fetchrow(
                    """SELECT version, updated, body FROM record
                        WHERE holder = $1 AND fhir = $2 AND type = $3 AND id = $4""",
                    place.holder,
                    place.fhir.value,
                    type,
                    id,
                )
            if row is not None:
                return _present(Record(type, id, *row))
        raise LdnError(Issue.NOT_FOUND, "no resource with this type and id; check both")

    async def vread(self, place: Place, type: str, id: str, version: int) -> Record:
        """One version of a resource; raises LdnError(not-found), or deleted (410)."""
        if is_id(id) and is_type(type) and 0 < version < 2**31:
            async with connection(self.pool) as db:
                row = await db.fetchrow(
                    """SELECT updated, body FROM record
                        WHERE holder = $1 AND fhir = $2 AND type = $3 AND id = $4 AND version = $5
                        UNION ALL
                       SELECT updated, body FROM record_version
                        WHERE holder = $1 AND fhir = $2 AND type = $3 AND id = $4 AND version = $5
                        LIMIT 1""",
                    place.holder,
                    place.fhir.value,
                    type,
                    id,
                    version,
                )
            if row is not None:
                return _present(Record(type, id, version, *row))
        raise LdnError(Issue.NOT_FOUND, "no such version of a resource; look in its history")

    async def history(  # noqa: PLR0913 - the six things a FHIR history request may say
        self,
        place: Place,
        type: str = "",
        id: str = "",
        *,
        since: datetime | None = None,
        count: int = 100,
        page: str = "",
    ) -> Found:
        """Versions of one resource, one type or all, newest first; deletions have no body.

        Raises LdnError: invalid for a cursor that is not ours, not-found for an unknown id.
        """
        async with connection(self.pool) as db:
            return await history(db, place, Wanted(type, id, since, count, page))

    async def write(self, place: Place, changes: Sequence[Change]) -> list[Written]:
        """What each change came to, in the order given; all are committed, or none.

        Raises LdnError: invalid, multiple-matches, too-long, or conflict with status 412 when
        If-Match names another version. Source: hl7.org/fhir/R4/http.html#trules.
        """
        return await self.committed(
            len(changes), lambda db: write(db, place, changes, self._now(), self.new_id)
        )

    async def search(self, place: Place, query: Query) -> Found:
        """One page of what the query asks; raises LdnError(invalid) for a foreign cursor."""
        async with connection(self.pool) as db:
            return await search(db, place, query)

    async def load(
        self, place: Place, resources: AsyncIterable[Resource] | Iterable[Resource]
    ) -> int:
        """How many resources now stand here under their own id; the last of an id counts.

        Each few hundred are one transaction, so a failure leaves whole resources only, and
        loading again completes it. Raises LdnError(invalid) for a resource without id.
        """
        return await load(resources, partial(self._load, place))

    async def _load(self, place: Place, batch: Sequence[Resource]) -> None:
        await self.committed(len(batch), lambda db: upsert(db, place, batch, self._now()))

    async def committed(self, count: int, work: Callable[[Connection], Awaitable[T]]) -> T:
        """What the work came to, once committed; done anew when another writer was first."""
        for _ in range(_TRIES):
            with suppress(Raced):
                async with transaction(self.pool) as db:
                    done = await work(db)
                await self._growth.add(count, self.pool)
                return done
        text = "others keep taking the same ids; try again in a moment"
        raise LdnError(Issue.CONFLICT, text)

    def _now(self) -> datetime:
        """The time in whole milliseconds, as meta.lastUpdated tells it."""
        now = self.clock()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _present(record: Record) -> Record:
    if record.body is None:
        raise LdnError(Issue.DELETED, "this resource was deleted; its history has what it was")
    return record
