"""Poisoned notifications of other dialects: never a fault of ours, never led to another address.

10,000 are made from a well-formed one by mistakes and attacks; the same seed makes the same. They
come in without TLS, through the same routes. Source: pattern rules R08, R13, R14; exchange
patterns §2.7.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
import pytest
from conftest import Databases
from node.dialect_network import Both, Stage, notification, rows, stage
from node.small_network import CLINIC, HOSPITAL, JANSEN

from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.http import application
from openldn.node.coordination.admission import Admission
from openldn.trust.parties import Requester
from openldn.trust.tokens.model import Binding, Grant

COUNT = 10_000 if os.environ.get("OPENLDN_LONG") else 2_000
WIRES = ("T", "NP", "K", "N", "O", "H")
ELSEWHERE = (
    "https://evil.example/Condition",
    "http://169.254.169.254/latest/meta-data",
    "//evil.example/x",
    "\\\\evil.example\\x",
    "file:///etc/passwd",
    "https:%2f%2fevil.example%2fx",
    "%68ttp://evil.example",
    "../../../api/offers",
    "Condition/%2e%2e/%2e%2e/admin",
    "Patient@evil.example",
    "/Condition",
    "Task/../../x",
)
BROKEN = (
    *("Condition?code=%", "Encounter?class=http%3A%2F%hl7.org", "A%zz", "Observation?a=%E0%A4%A"),
    *(
        "Condition?x=1,Observation?y=2",
        "Condition?\x00",
        "Condition?a b",
        "?",
        "",
        "%00",
        "Condition?=",
    ),
)
TEXTS = (
    *ELSEWHERE,
    *BROKEN,
    "x" * 5_000,
    "\u0000",
    "\ud7ff\uffff",
    "é\u202e",
    JANSEN,
    "'; --",
    "urn:uuid:",
)
DATES = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026", "2026-02-30", "now", "")
VALUES: tuple[Any, ...] = (None, 0, -1, True, [], {}, [[]], [None], {"a": {}}, 1e308, "Task")


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    pairs: Any = ()
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in pairs:
        yield from _places(item, (*at, key))


def _put(task: Any, at: tuple[Any, ...], value: Any) -> None:
    for key in at[:-1]:
        task = task[key]
    task[at[-1]] = value


def _deep(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"extension": [value]}
    return value


def _poisoned(chance: random.Random) -> tuple[str, str, bytes, str]:
    """Method, path with query, body and content type of one message."""
    task = deepcopy(notification())
    task["groupIdentifier"]["value"] = f"urn:uuid:{chance.getrandbits(128):032x}"
    task["identifier"][0]["value"] = f"urn:uuid:{chance.getrandbits(64):032x}"
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        with suppress(TypeError, KeyError, IndexError):  # an earlier one took the place away
            _poison(task, chance)
    body = msgspec.json.encode(task)
    path = chance.choice(
        (
            "",
            "/",
            "/Task",
            "/Task",
            "/Task",
            "/Task",
            "/Task/17",
            "/17",
            "/%2e%2e",
            "/Task/..",
            "/a/b/c",
        )
    )
    method = "POST"
    if chance.random() < 0.15:
        method, path = (
            "PUT",
            f"/Task?identifier={chance.choice((*BROKEN[:4], 'urn:uuid:1', 'a|b|c', '%ff'))}",
        )
    if chance.random() < 0.2:
        return method, path, *_spoilt(body, chance)
    return method, path, body, "application/fhir+json"


def _spoilt(body: bytes, chance: random.Random) -> tuple[bytes, str]:
    """The body as no FHIR, or of another type than it says."""
    xml = b"<Task xmlns='http://hl7.org/fhir'><id value='1'/></Task>"
    entity = b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><Task>&e;</Task>"
    json = "application/fhir+json"
    return chance.choice(
        (
            (body[: chance.randrange(len(body))], json),
            (bytes(chance.randrange(256) for _ in range(40)), json),
            (xml, "application/fhir+xml"),
            (entity, "text/xml"),
            (b"", json),
            (body, "text/html"),
            (body, ""),
            (body, "application/json; charset=latin-1"),
        )
    )


def _poison(task: dict[str, Any], chance: random.Random) -> None:
    match chance.randrange(9):
        case 0 | 1:
            task["input"][2]["valueString"] = chance.choice((*ELSEWHERE, *BROKEN))
        case 2:
            task["input"][1]["valueBoolean"] = True
            task["basedOn"] = [
                {"reference": chance.choice((*ELSEWHERE, "Task/..", "Task/a%2fb", "/Task/1"))}
            ]
        case 3:
            url = "http://nuts-foundation.github.io/nl-generic-functions-ig/StructureDefinition/task-stu3-"
            place = chance.choice(("healthcareservice", "location"))
            value = {"reference": chance.choice(ELSEWHERE)}
            task["extension"] = [{"url": f"{url}{place}", "valueReference": value}]
        case 4:
            task["restriction"] = {"period": {"end": chance.choice(DATES)}}
        case 5:
            task["note"] = [
                {"text": f"BSN {JANSEN}", "extension": [_deep(chance.choice((2, 60, 300)))]}
            ]
        case 6:
            task["requester"]["onBehalfOf"]["reference"] = chance.choice(ELSEWHERE)
            task["for"]["reference"] = chance.choice(("Patient/1", *ELSEWHERE))
        case _:
            at = chance.choice(list(_places(task)))
            _put(task, at, chance.choice((*TEXTS, *VALUES)))


async def let_in(request: Any, *scopes: str) -> Grant:
    """A door that lets the hospital in without a certificate or token."""
    now = utc_now()
    requester = Requester(HOSPITAL, frozenset(scopes), "TREAT")
    return Grant("a-token", requester, CLINIC, Binding(), now, now + timedelta(hours=1))


@pytest.fixture(scope="module")
def nodes(databases: Databases, pki: Path) -> Iterator[Stage]:
    with stage(databases, pki) as opened:
        yield opened


async def _answer(app: Any, method: str, path: str, body: bytes, kind: str) -> int:
    where, _, query = path.partition("?")
    headers: Any = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
    scope: dict[str, Any] = {
        "headers": headers,
        "path": f"/notification{where}",
        **{"type": "http", "method": method},
        **{"query_string": query.encode(), "http_version": "1.1", "scheme": "https"},
        **{"server": ("localhost", 443), "client": ("127.0.0.1", 1), "root_path": ""},
    }
    told: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            told.append(message["status"])

    await app(scope, receive, send)
    return told[0]


def test_r08_r13_r14_poisoned_notifications_break_nothing_and_lead_nowhere(
    nodes: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    really = HttpClient.send

    async def watched(self: HttpClient, method: str, url: str, **more: Any) -> Reply:
        called.append(url)
        return await really(self, method, url, **more)

    async def scene(two: Both) -> None:
        monkeypatch.setattr(HttpClient, "send", watched)
        parts, chance = two.fulfiller.node.parts, random.Random(20261125)
        holder = parts.holder
        door = cast(Admission, let_in)
        app = application(parts.offering.routes(door, holder.audit), role="test", new_id=new_uuid)
        seen: Counter[int] = Counter()
        for n in range(COUNT):
            two.speak(WIRES[n % len(WIRES)])
            message = _poisoned(chance)
            status = await _answer(app, *message)
            seen[status] += 1
            assert status < 500, message
        await _quiet(two)
        assert {200, 201, 202} & set(seen) and {400, 404, 415, 422} <= set(seen), seen

    nodes.play(scene)
    ours = {urlsplit(n.url).netloc for n in nodes.two.network.nodes.values()}
    ours.add(urlsplit(nodes.two.network.addressing).netloc)
    ours.add(urlsplit((nodes.two.network.pki / "address").read_text()).netloc)  # revocation lists
    reached = {urlsplit(url).netloc for url in called}
    assert reached - ours == set()
    assert not any(".." in url or "evil" in url or "%" in urlsplit(url).path for url in called)


async def _quiet(two: Both) -> None:
    sql = "SELECT count(*) FROM outbox_message WHERE state IN ('queued', 'leased')"
    async with asyncio.timeout(60):
        while (await rows(two.fulfiller.node, sql))[0][0]:
            await asyncio.sleep(0.05)


def test_r08_a_bsn_anywhere_in_a_notification_on_nuts_is_refused(nodes: Stage) -> None:
    async def scene(two: Both) -> None:
        system = "http://fhir.nl/fhir/NamingSystem/bsn"
        ways: list[dict[str, Any]] = [
            {"for": {"identifier": {"system": system, "value": JANSEN}}},
            {"for": {"reference": f"Patient?identifier={system}|{JANSEN}"}},
            {"description": f"over {JANSEN}"},
            {"note": [{"text": f"patiënt {JANSEN}, graag bellen"}]},
            {"reason": {"text": JANSEN}},
        ]
        for fields in ways:
            task = notification(**{"for": None, **fields})
            reply = await two.hospital.send("POST", two.fulfiller.node, "/notification/Task", task)
            assert reply.status == 422, fields
            assert JANSEN.encode() not in reply.body

    nodes.play(scene, "NP")
