"""Resources on a shelf: a real store with literal resources, asked by queries as text."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from openldn.base.sql import open_pool
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.model import Found, Place
from openldn.fhir.records.store import Records
from openldn.fhir.search.model import Query
from openldn.fhir.search.parse import parse_query

HOLDER = "00000001"


def moment() -> datetime:
    return datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def query(version: FhirVersion, text: str) -> Query:
    """The query of "Type?name=value&…" as a request would carry it."""
    type, _, search = text.partition("?")
    pairs = parse_qsl(search, keep_blank_values=True, strict_parsing=bool(search))
    return parse_query(version, type, pairs)


@dataclass(frozen=True)
class Shelf:
    dsn: str
    version: FhirVersion = FhirVersion.STU3

    @property
    def place(self) -> Place:
        return Place(HOLDER, self.version)

    def load(self, resources: Iterable[Resource], holder: str = HOLDER) -> None:
        async def run() -> None:
            pool = await open_pool(self.dsn)
            try:
                records = Records(pool, moment, lambda: "fresh")
                await records.prepare()
                await records.load(Place(holder, self.version), resources)
            finally:
                await pool.close()

        asyncio.run(run())

    def ask(self, *queries: Query | str) -> list[Found]:
        async def run() -> list[Found]:
            pool = await open_pool(self.dsn)
            try:
                records = Records(pool, moment, lambda: "fresh")
                asked = [query(self.version, q) if isinstance(q, str) else q for q in queries]
                return [await records.search(self.place, q) for q in asked]
            finally:
                await pool.close()

        return asyncio.run(run())

    def ids(self, text: Query | str) -> list[str]:
        """Ids of the matches, in the order given."""
        [found] = self.ask(text)
        return [record.id for record in found.matches]
