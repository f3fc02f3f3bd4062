"""Poisoned notifications of the harmonized form: never a fault of ours, never an address followed.

Made from a well-formed one by mistakes and attacks; the same seed makes the same. They come in
through the routes of a node on a real store. Source: R13, R14, R31, R40-R42; patterns §2.7 (S5).
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
from conftest import Databases
from node.small_network import CLINIC, HOSPITAL, JANSEN
from node.test_poisoned_notifications import BROKEN, ELSEWHERE, TEXTS, VALUES, _answer
from node.wired_offers import Wired, base_of, wired

from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.http import application
from openldn.node.coordination.admission import Admission
from openldn.patterns.notified_pull.notification import Event, Kind, Notification, bundle_of
from openldn.trust.parties import Requester
from openldn.trust.tokens.model import Binding, Grant

COUNT = 10_000 if os.environ.get("OPENLDN_LONG") else 2_000
BASE = base_of(HOSPITAL)
BSN_SYSTEM = "http://fhir.nl/fhir/NamingSystem/bsn"
IDS = (*ELSEWHERE, *BROKEN, JANSEN, "a/../b", "%2e%2e", "a" * 65, "é", "..", ".", "x?y=1", "x#y")
Json = dict[str, Any]


async def let_in(request: Any, *scopes: str) -> Grant:
    """A door that lets the hospital in without a certificate or token."""
    now = utc_now()
    requester = Requester(HOSPITAL, frozenset(scopes), "TREAT")
    return Grant("a-token", requester, CLINIC, Binding(), now, now + timedelta(hours=1))


def good(number: int) -> Json:
    focus = f"{BASE}/Task/task-{number}"
    event = Event(number, utc_now(), focus)
    told = Notification(Kind.EVENT, f"{BASE}/Subscription/one", number, (event,))
    found: Json = msgspec.json.decode(msgspec.json.encode(bundle_of(told)))
    return found


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    pairs: Any = ()
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in pairs:
        yield from places(item, (*at, key))


def put(value: Any, at: tuple[Any, ...], new: Any) -> None:
    for key in at[:-1]:
        value = value[key]
    value[at[-1]] = new


def _focus(bundle: Json, reference: str) -> None:
    _parts(bundle)[2]["valueReference"]["reference"] = reference


def _parts(bundle: Json) -> list[Json]:
    parts: list[Json] = bundle["entry"][0]["resource"]["parameter"][-1]["part"]
    return parts


def _subscription(bundle: Json, url: str) -> None:
    given = bundle["entry"][0]["resource"]["parameter"]
    given[0]["valueReference"]["reference"] = url
    bundle["entry"][0]["request"]["url"] = f"{url}/$status"


def _anything(bundle: Json, chance: random.Random) -> None:
    put(bundle, chance.choice(list(places(bundle))), chance.choice((*TEXTS, *VALUES)))


NUMBERS = ("-1", "0", "1e9", "9" * 18, "9" * 40, "٣")
DATES = ("", "now", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")
POISONS: tuple[Callable[[Json, random.Random], object], ...] = (
    lambda b, c: _focus(b, f"{BASE}/Task/{c.choice(IDS)}"),
    lambda b, c: _focus(b, c.choice(ELSEWHERE)),
    lambda b, c: _subscription(b, f"{c.choice(ELSEWHERE)}/Subscription/{c.choice(IDS)}"),
    lambda b, c: _subscription(b, f"{BASE}/Subscription/{c.choice(IDS)}"),
    lambda b, c: b["entry"][0]["request"].update(url=c.choice((*ELSEWHERE, *BROKEN))),
    lambda b, c: _parts(b)[0].update(valueString=c.choice(NUMBERS)),
    lambda b, c: _parts(b)[1].update(valueInstant=c.choice(DATES)),
    lambda b, c: b.update(identifier={"system": BSN_SYSTEM, "value": JANSEN}),
    lambda b, c: b.update(entry=b["entry"] * c.choice((0, 2, 200))),
    *[_anything] * 3,
)


def poisoned(number: int, chance: random.Random) -> tuple[bytes, str]:
    """The body and content type of one message."""
    bundle = good(number)
    for _ in range(chance.choice((1, 1, 2, 3))):
        with suppress(TypeError, KeyError, IndexError, AttributeError):
            chance.choice(POISONS)(bundle, chance)
    body, json = msgspec.json.encode(bundle), "application/fhir+json"
    if chance.random() < 0.8:
        return body, json
    entity = b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><Bundle>&e;</Bundle>"
    return chance.choice(
        (
            (body[: chance.randrange(len(body))], json),
            (b'{"resourceType":"Bundle",' + b'"x":{' * 400 + b"}" * 401, json),
            (b"<Bundle xmlns='http://hl7.org/fhir'><type value='history'/></Bundle>", "text/xml"),
            (entity, "application/fhir+xml"),
            (body, "text/html"),
            (body, "application/fhir+json; charset=latin-1"),
        )
    )


def test_r13_r31_poisoned_events_break_nothing_and_lead_nowhere(
    databases: Databases, tmp_path: Path
) -> None:
    async def run() -> None:
        async with wired(databases, tmp_path, workers=False) as two:
            app, chance, seen = inbox(two), random.Random(20261126), Counter[int]()
            for number in range(1, COUNT + 1):
                body, kind = poisoned(number, chance)
                status = await _answer(app, "POST", "", body, kind)
                seen[status] += 1
                assert status < 500, body
            assert {200, 400, 422} <= set(seen), seen
            await only_to_the_sender(two)

    asyncio.run(run())


def inbox(two: Wired) -> Any:
    """The routes of the clinic. Nobody can be called: its peers know no connections."""
    door, audit = cast(Admission, let_in), cast(Any, two.fulfiller.one.ground.log)
    return application(two.fulfiller.one.routes(door, audit), role="test", new_id=new_uuid)


async def only_to_the_sender(two: Wired) -> None:
    """What waits to be asked is asked of the sender, by ids that can stand in an address."""
    pool = two.fulfiller.one.ground.pool
    async with pool.acquire() as db:
        queued = await db.fetch("SELECT peer, id, body FROM outbox_message")
        heard = await db.fetch("SELECT placer, subscription, task FROM heard")
    assert queued and heard
    assert {row["peer"] for row in queued} == {str(HOSPITAL)}
    words = {str(v) for row in (*queued, *heard) for v in row.values()}
    bad = ("evil", "%", "/..", ":..", "//", JANSEN)
    assert [w for w in words if any(b in w for b in bad) or w in {".", ".."}] == []


def test_r31_a_bsn_in_a_notification_is_refused_and_not_repeated(
    databases: Databases, tmp_path: Path
) -> None:
    async def run() -> None:
        async with wired(databases, tmp_path, workers=False) as two:
            app = inbox(two)
            ways: list[Json] = []
            for change in ("identifier", "focus", "subscription"):
                bundle = good(1)
                given = bundle["entry"][0]["resource"]["parameter"]
                if change == "identifier":
                    bundle["identifier"] = {"system": BSN_SYSTEM, "value": JANSEN}
                elif change == "focus":
                    given[-1]["part"][2]["valueReference"] = {"reference": f"{BASE}/Task/{JANSEN}"}
                else:
                    url = f"{BASE}/Subscription/{JANSEN}"
                    given[0]["valueReference"]["reference"] = url
                    bundle["entry"][0]["request"]["url"] = f"{url}/$status"
                ways.append(bundle)
            for bundle in ways:
                body = msgspec.json.encode(bundle)
                assert await _answer(app, "POST", "", body, "application/fhir+json") == 422
            body = msgspec.json.encode(good(1))
            assert await _answer(app, "POST", "", body, "application/fhir+json") == 200

    asyncio.run(run())
