"""A portal and a node of our own behind it, served for real: TLS, certificates, lines of JSON."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from access.records import HOSTILE, JANSEN, MRS_JANSEN, PLAN, answers, audit_events
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from openldn.access.professional.api import app
from openldn.access.professional.portal import Portal, portal
from openldn.access.professional.settings import Node, PortalSettings, SignIn
from openldn.base.http import Identity, server_context, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Ura
from openldn.testbench.simulators.dezi import api as simulator
from openldn.testbench.simulators.dezi.settings import public_key
from openldn.testbench.simulators.dezi.state import Client, State
from openldn.trust.certificates.issue import (
    Subject,
    create_authority,
    issue_server,
    issue_signing,
)

T = TypeVar("T")
FULL, PARTIAL, SLOW, NOTHING, REFUSES, BREAKS, WITHOUT = (f"9000000{n}" for n in range(1, 8))
HOLDERS = (
    (FULL, "Ziekenhuis De Brug", True),
    (PARTIAL, "Kliniek Het Veer", True),
    (SLOW, "Revalidatiecentrum De Linde", True),
    (NOTHING, "Huisartsenpraktijk Het Plein", True),
    (REFUSES, "Apotheek De Vijzel", True),
    (BREAKS, "Verpleeghuis De Wilgen", True),
    (WITHOUT, "Fysiotherapie Zonder BgZ", False),
)

# who holds data of JANSEN, as the index says
HELD = (
    (FULL, "Ziekenhuis De Brug", True, ""),
    (WITHOUT, "Fysiotherapie Zonder BgZ", False, "no-endpoint"),
    ("90000044", "", False, "not-in-directory"),
)


@dataclass
class Clock:
    """A clock that a test can turn."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass
class FakeNode:
    """Answers as a node does; each holder behaves in its own way, told above."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    certificates: list[bool] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)
    directory_down: bool = False
    log_down: bool = False
    index_down: bool = False
    nonsense: Any = None  # what it answers in the place of holders
    located: list[dict[str, Any]] = field(default_factory=list)
    collected: list[dict[str, Any]] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/api/holders", self.holders),
                Route("/api/exchanges/bgz/$ask", self.ask, methods=["POST"]),
                Route("/api/locate", self.locate, methods=["POST"]),
                Route("/api/exchanges/bgz/$collect", self.collect, methods=["POST"]),
                Route("/api/emergencies", self.emergencies),
                Route("/api/emergencies/{id}/$review", self.review, methods=["POST"]),
                Route("/api/audit", self.audit),
            ]
        )

    async def holders(self, request: Request) -> Response:
        if self.directory_down:
            return outcome(503, "transient", "the directory is away; try again in a moment")
        listed = [{"ura": u, "name": n, "active": True, "bgz": able} for u, n, able in HOLDERS]
        gone = {"ura": "90000009", "name": "Opgeheven Praktijk", "active": False, "bgz": True}
        return JSONResponse({"holders": [*listed, gone]})

    async def locate(self, request: Request) -> Response:
        body = await request.json()
        self.located.append(body | {"correlation": request.headers["x-request-id"]})
        if self.nonsense is not None:
            return JSONResponse(self.nonsense)
        if self.index_down:
            return outcome(502, "incomplete", "who holds data cannot be known now: it is away")
        held = HELD if body["bsn"] == JANSEN else ()
        names = ("ura", "name", "able", "reason")
        holders = [dict(zip(names, row, strict=True)) for row in held]
        return JSONResponse({"exchange": "bgz", "holders": holders, "correlation": "x"})

    async def ask(self, request: Request) -> Response:
        tls = request.scope["extensions"]["tls"]
        body = await request.json()
        self.certificates.append(bool(tls["client_certificate"]))
        self.asked.append(body | {"correlation": request.headers["x-request-id"]})
        if body["holder"] == REFUSES:
            return outcome(403, "forbidden", "this holder refuses: no treatment relation known")
        lines = self.lines(body["holder"], request.headers["x-request-id"])
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def lines(self, holder: str, correlation: str) -> AsyncIterator[bytes]:
        queries = [{"id": i, "zib": zib, "title": {"nl": nl, "en": en}} for i, zib, nl, en in PLAN]
        plan = {"event": "plan", "holder": {"ura": holder, "name": ""}, "queries": queries}
        yield line(plan)
        held = {FULL: MRS_JANSEN, SLOW: MRS_JANSEN, PARTIAL: HOSTILE}.get(holder, [])
        for place, answer in enumerate(answers(held)):
            if holder == BREAKS and place == 5:
                return
            if holder == SLOW and place == 20:
                while not self.go_on.is_set():  # until the test says so
                    await asyncio.sleep(0.01)
            yield line(spoiled(answer) if holder == PARTIAL else answer)
        yield line({"event": "final", "correlation": correlation, "milliseconds": 120})

    async def collect(self, request: Request) -> Response:
        body = await request.json()
        self.collected.append(body)
        if self.index_down:
            return outcome(502, "incomplete", "who holds data cannot be known now: it is away")
        return StreamingResponse(self.everyone(body), media_type="application/x-ndjson")

    async def everyone(self, body: dict[str, Any]) -> AsyncIterator[bytes]:
        queries = [{"id": i, "zib": zib, "title": {"nl": nl, "en": en}} for i, zib, nl, en in PLAN]
        asked = [FULL, SLOW, REFUSES] if body["bsn"] == JANSEN else []
        head: dict[str, Any] = {"event": "holders", "holders": asked, "queries": queries}
        if "emergency" in body:
            until = (datetime.now(UTC) + timedelta(minutes=15)).isoformat()
            head["emergency"] = {"case": "c-1", "until": until, "viewer_only": True}
        yield line(head)
        for holder in asked[:2]:
            if holder == SLOW:
                refused = {"issue": "forbidden", "message": "the holder refuses this question"}
                yield ending(REFUSES, "refused", refused)
            for place, answer in enumerate(answers(MRS_JANSEN)):
                while holder == SLOW and place == 20 and not self.go_on.is_set():
                    await asyncio.sleep(0.01)
                yield line({**answer, "holder": holder})
            yield ending(holder, "ok", None)
        yield line({"event": "final", "correlation": "x", "holders": []})

    async def emergencies(self, request: Request) -> Response:
        every = request.query_params.get("all") == "yes"
        return JSONResponse({"emergencies": [c for c in self.cases if every or not c["outcome"]]})

    async def review(self, request: Request) -> Response:
        body = await request.json()
        case = next(c for c in self.cases if c["id"] == request.path_params["id"])
        if case["outcome"]:
            return outcome(409, "conflict", "this case was reviewed already")
        if len(body["text"]) < 10 or not body["outcome"]:
            return outcome(400, "invalid", "text: say why")
        if body["reviewer"]["id"] == case["person"]:
            return outcome(403, "forbidden", "who broke the glass does not review it")
        told = {"outcome": body["outcome"], "review": body["text"], "reviewed": case["began"]}
        case.update(told | {"reviewer": body["reviewer"]["name"]})
        return JSONResponse(case)

    async def audit(self, request: Request) -> Response:
        if self.log_down:
            return outcome(503, "transient", "the log is away; try again in a moment")
        wanted = request.query_params["correlation"]
        known = [a for a in self.asked if a["correlation"] == wanted]
        events = [e for a in known for e in audit_events(a)]
        entry = [{"resource": e} for e in events]
        return JSONResponse({"resourceType": "Bundle", "type": "searchset", "entry": entry})


SPOILED = {
    "B13": ("late", "timeout", "no answer within 8 s; try again later"),
    "B22": ("refused", "forbidden", "the holder refuses this query"),
    "B15": ("failed", "incomplete", "the other party broke off the connection; try again"),
}


def spoiled(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer as it is when this query fails."""
    if answer["query"] not in SPOILED:
        return answer
    status, issue, message = SPOILED[answer["query"]]
    error = {"issue": issue, "message": message}
    return answer | {"status": status, "resources": [], "includes": [], "error": error}


def case(id: str, **more: Any) -> dict[str, Any]:
    """A broken glass as a node tells of it."""
    told = {
        **{"id": id, "case": "c-1", "side": "held", "asker": PARTIAL, "name": "Kliniek Het Veer"},
        **{"patient": "******120", "person": "900000033", "role": "01.015", "code": "unconscious"},
        **{"reason": "buiten bewustzijn gevonden", "exchange": "bgz", "holders": [FULL]},
        **{"began": "2026-11-25T10:00:00Z", "ends": "2026-11-25T10:15:00Z", "opened": True},
        **{"level": "", "outcome": "", "review": "", "reviewer": "", "reviewed": ""},
    }
    return told | more


def ending(holder: str, how: str, error: dict[str, str] | None) -> bytes:
    told = {"event": "holder", "holder": holder, "name": "", "outcome": how, "missing": []}
    return line({**told, "error": error, "milliseconds": 5})


def line(event: dict[str, Any]) -> bytes:
    return dump(event) + b"\n"


def outcome(status: int, code: str, text: str) -> Response:
    issue = [{"severity": "error", "code": code, "diagnostics": text}]
    return JSONResponse({"resourceType": "OperationOutcome", "issue": issue}, status)


@dataclass
class World:
    """Everything that runs, and where."""

    url: str
    portal: Portal
    node: FakeNode
    clock: Clock
    network: Path
    dezi: State | None = None  # the provider, when people sign in there
    loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do this where the portal runs."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)


NODES = (
    ("gp", "Huisartsenpraktijk Het Plein", NOTHING, "lsp"),
    ("hospital", "Ziekenhuis De Brug", FULL, "zorgplatform"),
)


def network_file(folder: Path, port: int) -> dict[str, Any]:
    def node(key: str, name: str, ura: str, road: str) -> dict[str, Any]:
        origin = f"https://127.0.0.1:{port}"
        return {
            "key": key,
            "name": name,
            "ura": ura,
            "infrastructure": road,
            "api": f"{origin}/api",
            "fhir": {"STU3": f"{origin}/fhir/STU3", "R4": f"{origin}/fhir/R4"},
            "certificate": str(folder / "pki" / "gp" / "server.pem"),
            "key_file": str(folder / "pki" / "gp" / "server.key"),
        }

    return {
        "version": 1,
        "nodes": [node(*n) for n in NODES[:1]] + [node(*NODES[1])],
        "services": {"addressing": "https://127.0.0.1:9/fhir/R4"},
        "portals": {"home": "http://127.0.0.1:9/"},
        "trust": {"ca": str(folder / "pki" / "ca.pem")},
    }


@contextmanager
def running(folder: Path, *, provider: bool = False) -> Iterator[World]:
    """The portal and its node, in a loop of their own, for as long as the block lasts.

    With `provider` people sign in at a simulated provider, else from the portal's own list.
    """
    made: list[World] = []
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(lambda: asyncio.run(_serve(folder, made, stop, provider)))
        while not made and not served.done():
            time.sleep(0.01)
        try:
            assert made, served.exception()
            yield made[0]
        finally:
            stop.set()
        served.result(30)


def simulated(clock: Clock, port: int, key: Path) -> tuple[State, SignIn]:
    """A provider for the portal at `port`; at another site, as browsers see it."""
    origin, public = f"http://localhost:{free_port()}", f"http://127.0.0.1:{port}"
    nodes = tuple(
        Node(k, name, ura, api="", certificate="", key_file="") for k, name, ura, _ in NODES
    )
    client = Client(public_key(key), (f"{public}/sign-in/return",))
    state = State(origin, {"portal": client}, clock, new_uuid, nodes=nodes)
    return state, SignIn(issuer=origin, client_id="portal", key_file=key, public=public)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _serve(folder: Path, made: list[World], stop: threading.Event, provider: bool) -> None:
    pki = folder / "pki"
    create_authority(pki)
    practice = Subject(Ura.parse(NOTHING), "Huisartsenpraktijk Het Plein")
    issue_server(pki / "gp", practice)
    issue_signing(pki / "gp", practice)
    context = server_context(Identity(pki / "gp/server.pem", pki / "gp/server.key", pki / "ca.pem"))
    node, clock, network = FakeNode(), Clock(), folder / "network.json"
    port, dezi, sign_in = free_port(), None, None
    async with AsyncExitStack() as stack:
        if provider:
            key = pki / "gp/signing.key"
            dezi, sign_in = simulated(clock, port, key)
            host = ("127.0.0.1", int(dezi.origin.rpartition(":")[2]), None)
            await stack.enter_async_context(serving(simulator.app(dezi), *host))
        door = portal(PortalSettings(network=str(network), sign_in=sign_in), clock, new_uuid)
        behind = await stack.enter_async_context(serving(node.app(), "127.0.0.1", 0, context))
        network.write_text(json.dumps(network_file(folder, behind)))
        await stack.enter_async_context(serving(app(door), "127.0.0.1", port, None))
        made.append(World(f"http://127.0.0.1:{port}", door, node, clock, network, dezi))
        made[0].loop = asyncio.get_running_loop()
        while not stop.is_set():
            await asyncio.sleep(0.02)
