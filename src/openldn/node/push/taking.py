"""Making of a push what it asks, in the records of its receiver, within one transaction.

Identifiers are looked up for all entries first, so that references can be written at once; then
the entries go by in small groups, and never all stand in memory.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import NewId
from openldn.base.sql import Connection
from openldn.fhir.codec import parse
from openldn.fhir.identifiers import CANON, Ura
from openldn.fhir.model import Resource
from openldn.fhir.records.model import Change, Place, Written
from openldn.fhir.records.references import rewritten
from openldn.fhir.records.store.writing import matches, write
from openldn.fhir.search.model import Query
from openldn.fhir.search.parameters import parameters
from openldn.fhir.search.parse import parse_query
from openldn.patterns.push.facts import Fact, Pair, Parcel
from openldn.patterns.push.receipt import Line, status_of
from openldn.patterns.push.rules import BATCH, DOCUMENT, Finding

SENDER = f"{CANON}/NamingSystem/pushed-by"  # of the tag that says who sent a resource
_GROUP = 50  # entries that are written at once
_GROUP_SIZE = 1024 * 1024  # bytes

Parts = AsyncIterator[bytes]


@dataclass(frozen=True)
class _Goal:
    """What an entry becomes: a resource that is there, or one that is made."""

    id: str
    fresh: bool


@dataclass
class _Plan:
    """What all entries become, and what their full URLs stand for."""

    goals: dict[int, _Goal] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    failed: dict[int, Finding] = field(default_factory=dict)


@dataclass(frozen=True)
class Taking:
    """Writes what was pushed into the records at one place."""

    db: Connection
    place: Place
    sender: Ura
    now: datetime
    new_id: NewId

    async def take(
        self, parcel: Parcel, parts: Parts, refused: Mapping[int, Finding]
    ) -> list[Line]:
        """What became of each entry; of a document one line for the whole.

        Raises LdnError: multiple-matches, invalid, conflict when it cannot be written; of a batch
        that is told of the entry alone.
        """
        if parcel.form == DOCUMENT:
            return [await self._document(parts)]
        plan = await self._planned([f for f in parcel.facts if f.place not in refused])
        plan.failed.update(refused)
        if plan.failed and parcel.form != BATCH:
            raise _multiple()
        await self._written(parcel, parts, plan)
        return [_line(fact, plan) for fact in parcel.facts]

    async def _planned(self, facts: Sequence[Fact]) -> _Plan:
        plan = _Plan()
        people = [f for f in facts if f.type == "Patient"]
        await self._aim(plan, people, "")
        person = next((plan.targets[f.full_url] for f in people if f.full_url in plan.targets), "")
        await self._aim(plan, [f for f in facts if f.type != "Patient"], person)
        return plan

    async def _aim(self, plan: _Plan, facts: Sequence[Fact], patient: str) -> None:
        """Which of these are there already; with a patient only that patient's own count."""
        asked = {f.place: self._query(f, patient) for f in facts}
        changes = [Change("create", f.type, condition=asked[f.place]) for f in facts]
        found = await matches(self.db, self.place, changes)
        made: dict[Query, str] = {}
        for fact in facts:
            query = asked[fact.place]
            there = found[query]
            if len(there) > 1:
                text = "several resources have this identifier; its receiver's turn"
                where = f"Bundle.entry[{fact.place}]"
                told = Finding("store", Issue.MULTIPLE_MATCHES, text, where, fact.place)
                plan.failed[fact.place] = told
                continue
            fresh = not there and query not in made
            id = there[0].id if there else made.setdefault(query, self.new_id())
            plan.goals[fact.place] = _Goal(id, fresh)
            plan.targets[fact.full_url] = f"{fact.type}/{id}"

    def _query(self, fact: Fact, patient: str) -> Query:
        pairs: list[Pair] = list(fact.condition or ())
        known = parameters(self.place.fhir, fact.type)
        name = next((n for n in ("patient", "subject", "beneficiary") if n in known), "")
        if patient and name and fact.clinical:
            pairs.append((name, patient))
        return parse_query(self.place.fhir, fact.type, pairs)

    async def _written(self, parcel: Parcel, parts: Parts, plan: _Plan) -> None:
        most = 1 if parcel.form == BATCH else _GROUP
        group: list[Change] = []
        size, number = 0, -1
        async for part in parts:
            number += 1
            goal = plan.goals.get(number - 1)
            if goal is None or not goal.fresh or not 0 < number <= len(parcel.facts):
                continue
            group.append(self._change(parse(part)["resource"], goal.id, plan.targets))
            size += len(part)
            if len(group) >= most or size >= _GROUP_SIZE:
                await self._write(group, plan, number - 1 if parcel.form == BATCH else -1)
                group, size = [], 0
        if group:
            await self._write(group, plan, -1)

    async def _write(self, group: Sequence[Change], plan: _Plan, alone: int) -> None:
        if alone < 0:
            await self._put(group)
            return
        try:
            async with self.db.transaction():
                await self._put(group)
        except LdnError as error:
            if error.status >= 500 or group[0].type == "Patient":
                raise  # what else there is would be of nobody
            where = f"Bundle.entry[{alone}]"
            plan.failed[alone] = Finding("store", error.issue, error.message, where, alone)

    async def _put(self, group: Sequence[Change]) -> list[Written]:
        return await write(self.db, self.place, group, self.now, self.new_id)

    def _change(self, resource: Resource, id: str, targets: Mapping[str, str]) -> Change:
        bare = {n: v for n, v in resource.items() if n != "id"}
        linked = rewritten(self._tagged(bare), targets)
        return Change("update", resource["resourceType"], id, linked)

    def _tagged(self, resource: Resource) -> Resource:
        """The resource that says who sent it, whatever it said itself."""
        meta: dict[str, Any] = {**resource.get("meta", {})}
        kept = [t for t in meta.get("tag", ()) if t.get("system") != SENDER]
        meta["tag"] = [*kept, {"system": SENDER, "code": str(self.sender)}]
        return {**resource, "meta": meta}

    async def _document(self, parts: Parts) -> Line:
        whole = parse(await joined(parts))
        named = whole["identifier"]
        value = f"{named.get('system', '')}|{named['value']}"
        query = parse_query(self.place.fhir, "Bundle", [("identifier", value)])
        fresh = self._tagged({n: v for n, v in whole.items() if n != "id"})
        [done] = await self._put([Change("create", "Bundle", "", fresh, None, query)])
        return Line(done.status, f"Bundle/{done.record.id}/_history/{done.record.version}")


async def joined(parts: Parts) -> bytes:
    """The whole of a small content: what stands around the entries, and commas between them."""
    pieces = [part async for part in parts]
    return pieces[0] + b",".join(pieces[1:-1]) + pieces[-1]


def _line(fact: Fact, plan: _Plan) -> Line:
    """Of the Patient it is not told whether the receiver knew the person: that is care data."""
    if (finding := plan.failed.get(fact.place)) is not None:
        return Line(status_of([finding]), finding=finding)
    goal = plan.goals[fact.place]
    if fact.type == "Patient":
        return Line(200)
    if goal.fresh:
        return Line(201, f"{fact.type}/{goal.id}/_history/1")
    return Line(200, f"{fact.type}/{goal.id}")


def _multiple() -> LdnError:
    text = "several resources here have an identifier of this push; its receiver's turn"
    return LdnError(Issue.MULTIPLE_MATCHES, text, where="Bundle.entry")
