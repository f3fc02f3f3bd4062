"""Operations: Observation/$lastn, Composition/$document, Patient/$everything."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.base.sql import connection
from openldn.fhir.api import store
from openldn.fhir.api.answers import answer, bundle_bytes, matched
from openldn.fhir.api.confine import not_found, patients_of, require_visible, visible
from openldn.fhir.api.history import count_of
from openldn.fhir.api.model import Call, bad
from openldn.fhir.api.pages import PAGE, address, seal, unseal
from openldn.fhir.api.pairs import Pairs, all_pairs, named
from openldn.fhir.api.search import lastn
from openldn.fhir.codec import parse
from openldn.fhir.records.model import Change, Place, Record

LARGEST_DOCUMENT = 2_000  # resources
STEPS = 4  # from the Composition
_USUAL, _MOST = 500, 1000  # resources of a patient on one page


async def operate(call: Call) -> Response:
    """GET or POST […]/$name: what that operation gives; raises LdnError for an unknown one."""
    level = "instance" if call.id else "type"
    known = OPERATIONS.get((call.type, level, call.operation))
    if known is None:
        text = "no such operation at this address; see /metadata for those there are"
        raise LdnError(Issue.NOT_SUPPORTED, text, status=400)
    return await known.run(call)


async def document(call: Call) -> Response:
    """Composition/[id]/$document: a Bundle of type document, the Composition first.

    It holds what the Composition points to, and what that points to, as far as it stands here.
    With `persist=true` (POST only) the Bundle is stored as well.
    Source: hl7.org/fhir/R4/composition-operation-document.html.
    """
    persist = _persist(call, await all_pairs(call))
    await call.permitted("operation")
    place = await call.place()
    composition = await call.api.records.read(place, "Composition", call.id)
    await require_visible(call, place, composition)
    records = [composition, *await _reachable(call, place, composition)]
    api = call.api.records
    head = {
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{api.new_id()}"},
        "type": "document",
        "timestamp": instant(api.clock()),
    }
    if call.api.version.value == "STU3":  # Bundle.timestamp came with R4
        head["meta"] = {"lastUpdated": head.pop("timestamp")}
    body = bundle_bytes({"id": api.new_id(), **head}, [matched(call.base, r) for r in records])
    if persist:
        await _persisted(call, place, body)
    return await answer(call, body)


def _persist(call: Call, pairs: Pairs) -> bool:
    given = {name: value for name, value in pairs}
    _require_known(call, given, {"persist"})
    value = given.get("persist", "false")
    if value not in {"true", "false"}:
        bad("parameter persist: true or false", where="persist")
    if value == "true" and not (call.api.writable and call.request.method == "POST"):
        bad("parameter persist: storing needs POST, and a base that may be written")
    return value == "true"


def _require_known(call: Call, given: Iterable[str], known: set[str]) -> None:
    for name in given:
        if name not in known and not call.lenient:
            bad(f"{named(name)} is not known to {call.operation}", where=call.operation)


async def _persisted(call: Call, place: Place, body: bytes) -> None:
    if call.patient:
        raise LdnError(Issue.FORBIDDEN, "this token gives the right to read, not to write")
    resource = parse(body)
    await call.permitted("create", resource=resource)
    change = Change("update", "Bundle", resource["id"], resource)
    await call.api.records.write(place, [change])


async def _reachable(call: Call, place: Place, start: Record) -> list[Record]:
    """What can be reached from `start` by references, nearest first, as this caller may see it."""
    seen = {(start.type, start.id)}
    reached: list[Record] = []
    edge = [start]
    for _ in range(STEPS):
        wanted = [key for record in edge for key in references(call.base, record)]
        fresh = [key for key in dict.fromkeys(wanted) if key not in seen]
        if not fresh:
            break
        seen.update(fresh)
        edge = await _fetched(call, place, fresh)
        reached += edge
        if len(reached) > LARGEST_DOCUMENT:
            text = f"this document would hold more than {LARGEST_DOCUMENT} resources"
            raise LdnError(Issue.TOO_LONG, text, status=422)
    return reached


async def _fetched(call: Call, place: Place, keys: list[store.Key]) -> list[Record]:
    async with connection(call.api.records.pool) as db:
        found = {(r.type, r.id): r for r in await store.fetch(db, place, keys)}
    return await visible(call, place, [found[key] for key in keys if key in found])


def references(base: str, record: Record) -> Iterator[store.Key]:
    """The resources of this base that a record refers to, in the order they stand there."""
    for text in _reference_texts(parse(record.body or b"{}")):
        parts = text.removeprefix(base).lstrip("/").split("/")
        if len(parts) >= 2 and parts[0].isalpha() and parts[0][:1].isupper():
            yield parts[0], parts[1]


def _reference_texts(value: Any) -> Iterator[str]:
    pending = [value]
    while pending:
        this = pending.pop()
        if isinstance(this, dict):
            if isinstance(text := this.get("reference"), str):
                yield text
            pending.extend(reversed(this.values()))
        elif isinstance(this, list):
            pending.extend(reversed(this))


async def everything(call: Call) -> Response:
    """Patient/[id]/$everything: the Patient's compartment, and what its resources point to.

    Source: hl7.org/fhir/R4/patient-operation-everything.html (`_type`, `_count`).
    """
    pairs = await all_pairs(call)
    await call.permitted("operation")
    if call.patient not in {"", call.id}:
        raise not_found()
    place = await call.place()
    await call.api.records.read(place, "Patient", call.id)  # 404 or 410 when it is not there
    page = await _page(call, place, pairs)
    head = {"type": "searchset", "link": page.links}
    entries = [matched(call.base, record, "match") for record in page.own]
    entries += [matched(call.base, record, "include") for record in page.others]
    return await answer(call, bundle_bytes(head, entries))


@dataclass(frozen=True)
class _Page:
    own: list[Record]
    others: list[Record]
    links: list[dict[str, str]]


async def _page(call: Call, place: Place, pairs: Pairs) -> _Page:
    path, after, shown = f"Patient/{call.id}/$everything", 0, ""
    given = dict(pairs)
    if shown := given.get(PAGE, ""):
        pairs, cursor = unseal(call.api.key, path, shown)
        given, after = dict(pairs), int(cursor)
    _require_known(call, given, {"_count", "_type"})
    count = count_of(given.get("_count"), _USUAL, _MOST)
    types = _types(call, given.get("_type"))
    async with connection(call.api.records.pool) as db:
        rows = await store.members(db, place, call.id, types, store.Part(after, count + 1))
    own = [record for _, record in rows[:count]]
    own.sort(key=lambda record: record.type != "Patient")
    url = f"{call.base}/{path}"
    links = [{"relation": "self", "url": address(url, [(PAGE, shown)] if shown else pairs)}]
    if len(rows) > count:
        following = seal(call.api.key, path, pairs, str(rows[count - 1][0]))
        links.append({"relation": "next", "url": address(url, [(PAGE, following)])})
    return _Page(own, await _pointed_to(call, place, own), links)


def _types(call: Call, text: str | None) -> frozenset[str]:
    if text is None:
        return call.api.served
    types = frozenset(text.split(","))
    if not types <= call.api.served:
        bad("parameter _type: resource types of this base, separated by commas", where="_type")
    return types


async def _pointed_to(call: Call, place: Place, own: list[Record]) -> list[Record]:
    """The resources of no patient that these records point to."""
    keys = dict.fromkeys(key for record in own for key in references(call.base, record))
    here = {(r.type, r.id) for r in own}
    found = await _fetched(call, place, [key for key in keys if key not in here])
    return [record for record in found if not patients_of(record, place.fhir)]


@dataclass(frozen=True)
class Operation:
    """An operation we have; `definition` is its canonical URL."""

    run: Callable[[Call], Awaitable[Response]]
    definition: str


_DEFINED = "http://hl7.org/fhir/OperationDefinition"
OPERATIONS = {  # (resource type, level, name)
    ("Observation", "type", "$lastn"): Operation(lastn, f"{_DEFINED}/Observation-lastn"),
    ("Composition", "instance", "$document"): Operation(
        document, f"{_DEFINED}/Composition-document"
    ),
    ("Patient", "instance", "$everything"): Operation(everything, f"{_DEFINED}/Patient-everything"),
}
