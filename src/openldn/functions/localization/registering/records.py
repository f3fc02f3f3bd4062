"""What a holder has, read from its record store: whose data changed, and of which category."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.fhir.codec import parse
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn
from openldn.fhir.model import Resource
from openldn.fhir.records.model import Place, Record
from openldn.fhir.records.store import Records
from openldn.fhir.search.model import Query
from openldn.fhir.search.parameters import types
from openldn.fhir.search.parse import parse_query
from openldn.functions.localization.categories import CATEGORIES
from openldn.functions.localization.registering.model import Changes

_PAGE = 500
_OVERLAP = timedelta(seconds=60)  # a write may be visible this long after the time it bears
_REMEMBERED = 100_000  # versions looked at within the overlap
_FIRST = "Patient"  # the category that nearly every patient has: asked first

Version = tuple[Place, str, str, int]


@dataclass
class RecordHoldings:
    """The holdings in one record store, of each FHIR version it has of this holder."""

    records: Records
    places: Sequence[Place]
    clock: Clock
    any_will_do: bool = False  # stop at the first category: the index keeps none
    _seen: dict[Version, datetime] = field(default_factory=dict, repr=False)
    _offered: tuple[str, dict[Version, datetime]] = field(default=("", {}), repr=False)

    async def changed(self, since: str) -> Changes:
        """Patients whose data were written since this cursor, a minute back for slow writers."""
        now = self.clock()
        if not since:
            return Changes((), _cursor(now))
        if since == self._offered[0]:  # what we gave last was taken in
            self._seen |= self._offered[1]
            self._forget(now)
        start = datetime.fromisoformat(since) - _OVERLAP
        found, offered = dict[str, Bsn](), dict[Version, datetime]()
        for place in self.places:
            async for record in self._since(place, start):
                for patient in await self._patients_of(place, record):
                    found[patient.value] = patient
                offered[place, record.type, record.id, record.version] = record.updated
        self._offered = (_cursor(now), offered)
        return Changes(tuple(found.values()), _cursor(now))

    async def categories(self, patient: Bsn) -> frozenset[str]:
        """The categories of which there are data of this patient."""
        found = set[str]()
        for category in sorted(CATEGORIES, key=lambda c: c != _FIRST):
            if await self._has(patient, category):
                found.add(category)
                if self.any_will_do:
                    break
        return frozenset(found)

    async def patients(self) -> AsyncIterator[Bsn]:
        """Everyone with a Patient resource that bears a BSN."""
        for place in self.places:
            page = ""
            while True:
                pairs = [("_count", str(_PAGE)), *([("_page", page)] if page else [])]
                found = await self.records.search(place, _parsed(place, "Patient", pairs))
                for record in found.matches:
                    for patient in _bsns(_body(record)):
                        yield patient
                page = found.next
                if not page:
                    break

    async def _has(self, patient: Bsn, category: str) -> bool:
        for place in self.places:
            for query in _queries(place, patient, category):
                if (await self.records.search(place, query)).matches:
                    return True
        return False

    async def _since(self, place: Place, start: datetime) -> AsyncIterator[Record]:
        """The versions written since then that were not looked at before."""
        page = ""
        while True:
            found = await self.records.history(place, since=start, count=_PAGE, page=page)
            for record in found.matches:
                version = (place, record.type, record.id, record.version)
                if version not in self._seen:
                    yield record
            page = found.next
            if not page:
                return

    def _forget(self, now: datetime) -> None:
        oldest = now - 2 * _OVERLAP
        if len(self._seen) > _REMEMBERED:
            self._seen = {v: u for v, u in self._seen.items() if u >= oldest}
        if len(self._seen) > 10 * _REMEMBERED:
            self._seen.clear()  # looking twice costs time, this much memory costs more

    async def _patients_of(self, place: Place, record: Record) -> list[Bsn]:
        """Who a version is about, or was before it: they may have data more, or less."""
        bodies = [_body(record), await self._before(place, record)]
        if record.type == "Patient":
            return [bsn for body in bodies for bsn in _bsns(body)]
        ids = sorted({id for body in bodies for id in _references(body)})
        return [bsn for id in ids for bsn in await self._bsns_of(place, id)]

    async def _bsns_of(self, place: Place, id: str) -> list[Bsn]:
        """The BSNs in a Patient resource; of a deleted one those it had."""
        try:
            return _bsns(_body(await self.records.read(place, "Patient", id)))
        except LdnError as error:
            if error.issue not in {Issue.NOT_FOUND, Issue.DELETED}:
                raise
        try:
            found = await self.records.history(place, "Patient", id, count=2)
        except LdnError as error:
            if error.issue is not Issue.NOT_FOUND:
                raise
            return []
        return [bsn for record in found.matches for bsn in _bsns(_body(record))]

    async def _before(self, place: Place, record: Record) -> Resource:
        if record.version < 2:
            return {}
        try:
            version = record.version - 1
            return _body(await self.records.vread(place, record.type, record.id, version))
        except LdnError as error:
            if error.issue not in {Issue.NOT_FOUND, Issue.DELETED}:
                raise
            return {}


def _cursor(now: datetime) -> str:
    return now.isoformat()


def _queries(place: Place, patient: Bsn, category: str) -> Iterator[Query]:
    """The searches that find data of a category, in the FHIR version of this place."""
    for text in CATEGORIES[category]:
        type, _, narrowed = text.partition("?")
        if type not in types(place.fhir):
            continue  # this version has no such resource
        name = "identifier" if type == "Patient" else "patient:Patient.identifier"
        pairs = [(name, f"{BSN_SYSTEM}|{patient.value}"), ("_count", "1")]
        parameter, _, value = narrowed.partition("=")
        if parameter:
            pairs.append((parameter, value))
        yield _parsed(place, type, pairs)


def _parsed(place: Place, type: str, pairs: Sequence[tuple[str, str]]) -> Query:
    return parse_query(place.fhir, type, pairs)


def _body(record: Record) -> Resource:
    found = parse(record.body) if record.body else {}
    return found if isinstance(found, dict) else {}


def _bsns(patient: Resource) -> list[Bsn]:
    """The BSNs of a Patient resource; a number that is none cannot be registered."""
    found = []
    for identifier in patient.get("identifier") or []:
        if identifier.get("system") == BSN_SYSTEM:
            try:
                found.append(Bsn.parse(str(identifier.get("value", ""))))
            except LdnError:
                continue
    return found


def _references(value: Any) -> Iterator[str]:
    """The ids of the Patients that a resource refers to, wherever it does."""
    if isinstance(value, dict):
        reference = value.get("reference")
        if isinstance(reference, str):
            *_, type, id = ["", *reference.partition("/_history")[0].split("/")]
            if type == "Patient":
                yield id
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
