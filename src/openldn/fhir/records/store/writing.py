"""Carrying out changes inside one SQL transaction: all or none."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import parse_qsl

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import NewId
from openldn.base.sql import Connection
from openldn.fhir.model import Resource
from openldn.fhir.records.bodies import dumped, same_content, stamped
from openldn.fhir.records.model import Change, Keys, Place, Record, Written
from openldn.fhir.records.plan import Key, Matches, Step, check, plan, targets
from openldn.fhir.records.references import base_of, conditions, rewritten, split_condition
from openldn.fhir.records.store.rows import Fresh, Row, index, insert, lock, supersede
from openldn.fhir.records.store.search import search
from openldn.fhir.search.keys import keys_of
from openldn.fhir.search.model import Query
from openldn.fhir.search.parse import parse_query

_BREATH = 32  # resources between two moments in which other requests may go on


@dataclass(frozen=True)
class Put:
    """A resource to store under this key; `row` is what stands there now."""

    key: Key
    resource: Resource
    row: Row | None


async def write(
    db: Connection, place: Place, changes: Sequence[Change], now: datetime, new_id: NewId
) -> list[Written]:
    """What each change came to, in the order given; the caller holds the transaction.

    Deletions go first, then creates and updates; references are resolved last, as
    hl7.org/fhir/R4/http.html#trules has it. Raises Raced, and LdnError as `Records.write` does.
    """
    check(changes)
    steps = plan(changes, await matches(db, place, changes), new_id)
    asked = {s.key for s in steps if s.id and not s.fresh and (s.writes or _deletes(s))}
    current = await lock(db, place, asked) if asked else {}
    for step in steps:
        _require_version(step, current.get(step.key))
    done = await _delete(db, place, [s for s in steps if _deletes(s)], (current, now))
    puts = _puts(steps, current)
    done |= await _put_resolved(db, place, puts, now)
    return _answers(steps, done, now)


def _deletes(step: Step) -> bool:
    return step.change.method == "delete"


async def matches(db: Connection, place: Place, changes: Sequence[Change]) -> Matches:
    """At most two matches of each condition; nobody else can act on the same one meanwhile."""
    queries = {c.condition: None for c in changes if c.condition is not None}
    if queries:
        numbers = sorted({_number(place, q) for q in queries})
        await db.execute("SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS k", numbers)
    return {q: await _search(db, place, q) for q in queries}


def _number(place: Place, query: Query) -> int:
    text = f"{place.holder}/{place.fhir}/{query.type}?{sorted(map(repr, query.criteria))}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)


async def _search(db: Connection, place: Place, query: Query) -> Sequence[Record]:
    if not query.criteria:
        text = "a condition needs at least one search parameter; name what makes it one resource"
        raise LdnError(Issue.INVALID, text, where=query.type)
    plain = Query(query.type, query.criteria, count=2)
    return (await search(db, place, plain)).matches


def _require_version(step: Step, row: Row | None) -> None:
    wanted = step.change.if_match
    if wanted is None or (row is not None and row.version == wanted):
        return
    text = "the resource is not at the version of If-Match; read it again and decide anew"
    raise LdnError(Issue.CONFLICT, text, where=step.change.type, status=412)


async def _delete(
    db: Connection, place: Place, steps: Sequence[Step], at: tuple[Mapping[Key, Row], datetime]
) -> dict[Key, Written]:
    current, now = at
    done: dict[Key, Written] = {}
    news = []
    for step in steps:
        row = current.get(step.key)
        if row is not None and row.body is not None:
            new = Fresh(step.key, row.rid, row.version + 1, max(now, row.updated), None)
            news.append(new)
            done[step.key] = Written(204, _record(new))
        else:
            version, updated = (row.version, row.updated) if row else (0, now)
            done[step.key] = Written(204, Record(*step.key, version, updated, None))
    if news:
        await supersede(db, place, news)
    return done


def _puts(steps: Sequence[Step], current: Mapping[Key, Row]) -> list[Put]:
    to = targets(steps)
    return [
        Put(
            s.key,
            rewritten(s.change.resource or {}, to, base_of(s.change.full_url)),
            current.get(s.key),
        )
        for s in steps
        if s.writes
    ]


async def _put_resolved(
    db: Connection, place: Place, puts: Sequence[Put], now: datetime
) -> dict[Key, Written]:
    """Store what is complete, then, round by round, what refers to it by a condition."""
    waiting = {p.key: (p, conditions(p.resource)) for p in puts}
    plain = [p for p, wanted in waiting.values() if not wanted]
    later = [(p, wanted) for p, wanted in waiting.values() if wanted]
    if not later:
        return await put(db, place, plain, now)
    reserved = await _reserved(db, place, puts, now)
    later = [(replace(p, row=reserved.get(p.key, p.row)), wanted) for p, wanted in later]
    done = await put(db, place, [replace(p, row=reserved.get(p.key, p.row)) for p in plain], now)
    while later:
        to = await _resolved(db, place, {text for _, wanted in later for text in wanted})
        ready = [(p, w) for p, w in later if w <= to.keys()]
        if not ready:
            text = "a conditional reference fits no resource; send that resource first"
            raise LdnError(Issue.INVALID, text, where=later[0][0].key[0])
        full = [replace(p, resource=rewritten(p.resource, to)) for p, _ in ready]
        done |= await put(db, place, full, now)
        later = [(p, w) for p, w in later if not w <= to.keys()]
    return done


async def _reserved(
    db: Connection, place: Place, puts: Sequence[Put], now: datetime
) -> dict[Key, Row]:
    """Rows for new ids, at once and in order, so that later rounds wait for nobody."""
    news = [Fresh(p.key, 0, 0, now, None) for p in puts if p.row is None]
    rids = await insert(db, place, news) if news else {}
    return {key: Row(rid, 0, now, None) for key, rid in rids.items()}


async def _resolved(db: Connection, place: Place, texts: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in sorted(texts):
        type, query = split_condition(text)
        pairs = parse_qsl(query, keep_blank_values=True)
        matches = await _search(db, place, parse_query(place.fhir, type, pairs))
        if len(matches) > 1:
            told = "a conditional reference fits several resources; make it fit one"
            raise LdnError(Issue.MULTIPLE_MATCHES, told, where=type)
        if matches:
            found[text] = f"{type}/{matches[0].id}"
    return found


async def put(
    db: Connection, place: Place, puts: Sequence[Put], now: datetime
) -> dict[Key, Written]:
    """Store these resources; one that says what already stands there keeps its version."""
    done: dict[Key, Written] = {}
    news: list[tuple[Fresh, Keys]] = []
    for number, p in enumerate(puts):
        if number % _BREATH == 0:
            await asyncio.sleep(0)
        if (same := _unchanged(p)) is not None:
            done[p.key] = Written(200, same)
            continue
        new, keys = _fresh(p, place, now)
        news.append((new, keys))
        done[p.key] = Written(201 if p.row is None or p.row.body is None else 200, _record(new))
    await _store(db, place, news)
    return done


async def _store(db: Connection, place: Place, news: Sequence[tuple[Fresh, Keys]]) -> None:
    known = [n for n, _ in news if n.rid]
    unknown = [n for n, _ in news if not n.rid]
    rids = await insert(db, place, unknown) if unknown else {}
    if known:
        await supersede(db, place, known)
    if news:
        await index(db, place, [(n.rid or rids[n.key], n.key[0], keys) for n, keys in news])


def _unchanged(put: Put) -> Record | None:
    row = put.row
    if row is None or row.body is None:
        return None
    asked = dumped(stamped(put.resource, put.key[1], row.version, row.updated))
    if not same_content(asked, row.body):
        return None
    return Record(*put.key, row.version, row.updated, row.body)


def _fresh(put: Put, place: Place, now: datetime) -> tuple[Fresh, Keys]:
    row = put.row or Row(0, 0, now, None)
    updated = max(now, row.updated)
    resource = stamped(put.resource, put.key[1], row.version + 1, updated)
    new = Fresh(put.key, row.rid, row.version + 1, updated, dumped(resource))
    return new, keys_of(resource, place.fhir)


def _record(new: Fresh) -> Record:
    return Record(*new.key, new.version, new.updated, new.body)


def _answers(steps: Sequence[Step], done: Mapping[Key, Written], now: datetime) -> list[Written]:
    answers: list[Written] = []
    for step in steps:
        if step.same_as >= 0:
            answers.append(Written(200, answers[step.same_as].record))
        elif step.settled is not None:
            answers.append(Written(200, step.settled))
        else:
            nothing = Written(204, Record(step.change.type, "", 0, now, None))
            answers.append(done.get(step.key, nothing) if step.id else nothing)
    return answers
