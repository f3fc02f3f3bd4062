"""The administration and a node of our own behind it, served for real over TLS."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from access.world import Clock, outcome
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from openldn.access.administration.api import app
from openldn.access.administration.desk import open_desk
from openldn.access.administration.settings import AdministrationSettings
from openldn.base.errors import Issue, LdnError
from openldn.base.http import Identity, server_context, serving
from openldn.base.runtime import instant, new_uuid, utc_now
from openldn.fhir.identifiers import Ura
from openldn.fhir.observed import Observed
from openldn.node.reach.model import Came, Found, Step
from openldn.node.trust import wanted_of
from openldn.trust.certificates.issue import Subject, create_authority, issue_server

HOSPITAL, CLINIC, PHARMACY = "90000001", "90000002", "90000005"
THUMBPRINT = "szqMaTpnD6GN0aRrT98eV4bhAoOgyItEZVyskYyL_Qc"
HOSTILE = '<script>window.harmed = true</script>"><img src=x onerror=harmed()>'


def key(use: str, left: int, level: str = "ok", **more: Any) -> dict[str, Any]:
    ends = utc_now() + timedelta(days=left)
    shown = {
        "use": use,
        "kind": "certificate",
        "algorithm": "EC secp256r1",
        "thumbprint": THUMBPRINT,
        "subject": "CN=localhost,O=Ziekenhuis De Brug,C=NL",
        "issuer": "CN=TEST UZI-register Zorgverlener Server CA,O=TEST OpenLDN,C=NL",
        "from": instant(ends - timedelta(days=365)),
        "until": instant(ends),
        "days": left,
        "level": level,
        "store": "file",
        "revocation": {"source": "none", "checked": None, "state": "unknown"},
    }
    return shown | more


AUDIT = {
    "use": "audit",
    "kind": "secret",
    "algorithm": "HMAC-SHA-256",
    "thumbprint": "",
    "subject": "",
    "issuer": "",
    "from": None,
    "until": None,
    "days": None,
    "level": "ok",
    "store": "file",
    "revocation": {"source": "none", "checked": None, "state": "unknown"},
}


def peer(ura: str, name: str, road: str, **more: Any) -> dict[str, Any]:
    shown = {
        "ura": ura,
        "name": name,
        "active": True,
        "infrastructure": road,
        "profile": {"lsp": "twiin", "nuts": "nuts-6"}.get(road, ""),
        "token_in": instant(utc_now() - timedelta(minutes=4)),
        "token_out": None,
        "authorization_server": f"https://127.0.0.1:8411/oauth2/{ura}",
    }
    return shown | more


def refusal(number: int, minutes: float, code: str = "jwt.signature", **more: Any) -> Any:
    shown = {
        "number": number,
        "moment": instant(utc_now() - timedelta(minutes=minutes)),
        "correlation": f"5a0c1d9e-question-{number}",
        "direction": "in",
        "peer": CLINIC,
        "dialect": "token",
        "code": code,
        "rule": "the signature is by this key",
        "source": "RFC 7515 §5.2",
        "turn": "peer",
        "advice": {"key": "signature", "text": "check which key and algorithm signs"},
    }
    return shown | more


def well() -> dict[str, Any]:
    """A node with nothing wrong."""
    return {
        "moment": instant(utc_now()),
        "organization": {"ura": HOSPITAL, "name": "Ziekenhuis De Brug"},
        "infrastructure": "zorgplatform",
        "keys": [key("tls", 301), key("signing", 301), AUDIT],
        "credentials": [],
        "peers": [
            peer(PHARMACY, "Apotheek De Vijzel", "lsp"),
            peer(CLINIC, "Kliniek Het Veer", "lsp"),
            peer("90000003", "Revalidatiecentrum De Linde", "nuts", active=False),
        ],
        "refusals": [],
        "documents": [],
        "lost": 0,
        "waiting": 0,
        "undelivered": 0,
        "reasons": {
            "credentials": "no wallet is connected to this node",
            "documents": "this node rests on no documents of other parties",
        },
    }


def trouble() -> dict[str, Any]:
    """A node where everything that can be wrong is."""
    good = {"source": "crl", "checked": instant(utc_now()), "state": "good"}
    revoked = good | {"state": "revoked"}
    return well() | {
        "keys": [
            key("tls", 5, "urgent", revocation=good),
            key("signing", -3, "ended", revocation=revoked, store="pkcs12"),
            key("wallet", 20, "soon", store="pkcs11", algorithm="RSA 3072"),
            key("tls", 0, "unreadable", thumbprint="", days=None, until=None),
            AUDIT,
        ],
        "credentials": [
            credential("X509Credential", 12, "good"),
            credential("HealthcareProviderCredential", 200, "revoked"),
        ],
        "documents": [
            {"what": "crl", "host": "crl.uzi-register.example", "age": 9_000, "state": "failed"},
            {"what": "status-list", "host": "vc.example", "age": 61, "state": "serving"},
            {"what": "did", "host": "node.example", "age": 5, "state": "fresh"},
        ],
        "lost": 3,
        "reasons": {},
    }


def credential(type_: str, days: int, status: str) -> dict[str, Any]:
    ends = utc_now() + timedelta(days=days)
    return {
        "type": type_,
        "issuer": f"did:x509:0:sha256:{THUMBPRINT}::san:otherName:2.16.528.1.1007.99.2110",
        "subject": "did:web:node.example:90000001",
        "from": instant(ends - timedelta(days=365)),
        "until": instant(ends),
        "days": days,
        "status": status,
    }


def refused() -> list[Any]:
    """What was refused lately, newest first."""
    out = {"direction": "out", "turn": "us", "dialect": "lsp", "peer": PHARMACY}
    policy = {"advice": {"key": "policy", "text": "look up the correlation id"}}
    found = [refusal(n, 120 - n) for n in range(120, 3, -1)]
    return [
        refusal(123, 1, "http.403", rule="the peer's policy permits our question", **out, **policy),
        refusal(
            122,
            2,
            "vp.nonce-of-later",
            peer="",
            rule="a rule that has no Dutch words",
            advice={"key": "something-new", "text": "an advice that has no words here"},
        ),
        refusal(121, 3, "x.hostile", peer="90000008", rule=HOSTILE, correlation=HOSTILE),
        *found,
    ]


def remembered(*refused: tuple[str, int, str], milliseconds: float = 1.5) -> Observed:
    """The memory of a function: two requests that went well, and these refusals."""
    kept = Observed("localization", utc_now)
    for _ in range(2):
        kept.note("localize", 200, milliseconds, None)
    for route, status, code in refused:
        error = LdnError(Issue.FORBIDDEN, "not yours", detail=code)
        kept.note(route, status, milliseconds, error)
    return kept


def tried(name: str, minutes: float, kind: str = "ok", **more: Any) -> dict[str, Any]:
    """An address as the directory tells of it."""
    moment = instant(utc_now() - timedelta(minutes=minutes))
    shown = {
        "ura": HOSPITAL,
        "name": name,
        "endpoint": f"ura-{HOSPITAL}-stu3-lsp",
        "address": f"https://{'very-long-name-of-a-host.' * 4}example/fhir/STU3",
        "kind": kind,
        "said": "in English",
        "milliseconds": 12,
        "tried": moment,
        "stale": False,
        "ok": moment if kind == "ok" else None,
        "failed": None if kind == "ok" else moment,
        "failure": None if kind == "ok" else kind,
    }
    return shown | more


def addresses(*listed: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What the directory tells of these addresses."""
    told = {"every": 60.0, "moment": instant(utc_now()), "round": None, "trouble": ""}
    working = sum(a["kind"] == "ok" for a in listed)
    return {**told, "total": len(listed), "working": working, "addresses": [*listed], **more}


def mixed() -> dict[str, Any]:
    """One address that works, one known too long ago, one that does not, one that does harm."""
    yesterday = instant(utc_now() - timedelta(days=1))
    return addresses(
        tried("Kliniek Het Veer", 1, ok=instant(utc_now()), failed=yesterday, failure="refused"),
        tried("Apotheek De Vijzel", 90, stale=True),
        tried("Ziekenhuis De Brug", 1, "timeout", ok=yesterday),
        tried(HOSTILE, 2, HOSTILE, address=HOSTILE, failure=HOSTILE, tried=HOSTILE, ok=HOSTILE),
        total=900,
        trouble=HOSTILE,
    )


def message(number: int, state: str = "dead", **more: Any) -> dict[str, Any]:
    """A message as the outbox of a node tells of it."""
    made = instant(utc_now() - timedelta(minutes=200 - number))
    refused = "business-rule (422): the other party refuses it with status 422; find out why"
    shown = {
        "id": f"5f0c1d9e-0000-4000-8000-{number:012}",
        "sequence": number,
        "state": state,
        "peer": CLINIC,
        "kind": "notification",
        "subject": f"Task/{number}",
        "bytes": 812,
        "attempts": 1,
        "reason": refused if state == "dead" else "",
        "created": made,
        "tried": made,
        "due": None,
        "settled": made if state == "dead" else None,
    }
    return shown | more


def waiting() -> list[dict[str, Any]]:
    """Dead letters, more than fit on a page, some that wait and one that does harm."""
    harm = {"id": HOSTILE, "peer": "90000008", "kind": HOSTILE, "subject": HOSTILE}
    return [
        message(1, reason=HOSTILE, **harm),
        *(message(n) for n in range(2, 55)),
        message(60, "queued", attempts=7, due=instant(utc_now())),
        message(61, "leased"),
    ]


def silent(ura: str, circuit: str = "open") -> dict[str, Any]:
    """A party we send to, as the outbox of a node tells of it."""
    since = None if circuit == "closed" else instant(utc_now() - timedelta(hours=1))
    return {
        "ura": ura,
        "circuit": circuit,
        "failures": 0 if circuit == "closed" else 9,
        "failing": since,
        "retry": since and instant(utc_now()),
        "queued": 2,
    }


def offer(road: str, **more: Any) -> dict[str, Any]:
    shown = {"exchange": "bgz", "patterns": ["pull"], "infrastructure": road, "fhir": "STU3"}
    return {**shown, "agreement": {"direct": "twiin"}.get(road, road), **more}


def network(*more: dict[str, Any]) -> dict[str, Any]:
    """Who takes part, as a node tells it."""

    def one(ura: str, name: str, road: str) -> dict[str, Any]:
        offers = [offer(road)] if road else []
        return {"ura": ura, "name": name, "type": "", "active": bool(road), "offers": offers}

    exchange = {"code": "bgz", "title": {"nl": "Basisgegevensset Zorg", "en": "Basic data"}}
    return {
        "organizations": [
            one(PHARMACY, "Apotheek De Vijzel", "lsp"),
            one(CLINIC, "Kliniek Het Veer", "lsp"),
            one("90000003", "Revalidatiecentrum De Linde", ""),
            one(HOSPITAL, "Ziekenhuis De Brug", "zorgplatform"),
            *more,
        ],
        "total": 4 + len(more),
        "exchanges": [{**exchange, "patterns": ["pull"], "purposes": ["TREAT"]}],
    }


def reached(failing: str = "", key: str = "", **more: Any) -> dict[str, Any]:
    """What came of each step of a way, as a node tells it."""
    steps, stopped = [], False
    for name, good in WAY.items():
        found = Found("not-tried", Came.NOT_TRIED) if stopped else Found(good)
        if name == failing:
            found, stopped = Found(key, Came.FAIL, **more), True
        steps.append(Step(name, found, 1.5).told())
    verdict = "no" if stopped else "yes"
    return {"verdict": verdict, "failing": failing, "steps": steps}


WAY = {
    "participant": "participant.known",
    "endpoint": "endpoint.found",
    "road": "road.broker",
    "dialect": "dialect.shared",
    "tls": "tls.reached",
    "trust": "trust.believed",
    "token": "token.given",
    "capability": "capability.all",
    "policy": "policy.open",
}


@dataclass
class FakeNode:
    """Tells what a test wants it to tell."""

    state: dict[str, Any] = field(default_factory=well)
    refusals: list[Any] = field(default_factory=list)
    down: bool = False
    asked: list[str] = field(default_factory=list)
    certificates: list[bool] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=lambda: remembered().told())
    addresses: dict[str, Any] | None = None  # None: does not tell
    network: dict[str, Any] = field(default_factory=network)
    reached: dict[str, Any] = field(default_factory=reached)
    wanted: list[str] = field(default_factory=list)  # ways that were asked
    messages: list[dict[str, Any]] = field(default_factory=list)  # of the outbox
    acts: list[tuple[str, str, Any]] = field(default_factory=list)  # on it: act, id, body

    def app(self) -> Starlette:
        trust, refusals = "/api/trust", "/api/trust/refusals"
        routes = [Route(trust, self.trust), Route(refusals, self.listed)]
        told = [Route("/status", self.told), Route("/health/addresses", self.works)]
        ways = [Route("/api/network", self.map), Route("/api/reach", self.way)]
        acts = [Route("/api/outbox/{id}/${act}", self.act, methods=["POST"])]
        box = [Route("/api/outbox", self.outbox), *acts]
        return Starlette(routes=[*routes, *told, *ways, *box])

    async def outbox(self, request: Request) -> Response:
        """As a node tells what it has to tell others."""
        query = request.query_params
        states = {"queued", "leased"} if query["state"] == "queued" else {query["state"]}
        fits = [m for m in self.messages if m["state"] in states]
        fits = [m for m in fits if m["sequence"] > int(query.get("after", 0))]
        page = fits[: int(query["count"])]
        dead = sum(m["state"] == "dead" for m in self.messages)
        oldest = self.messages[0]["created"] if self.messages else None
        return JSONResponse(
            {
                "messages": page,
                "next": "/api/outbox?after=1" if len(fits) > len(page) else "",
                "counts": {"queued": len(self.messages) - dead, "dead": dead, "oldest": oldest},
                "peers": [silent(CLINIC), silent(PHARMACY, "closed")] if self.messages else [],
            }
        )

    async def act(self, request: Request) -> Response:
        """As a node retries or drops; a message that is gone is a conflict."""
        id, act = request.path_params["id"], request.path_params["act"]
        body = await request.json()
        if act == "drop" and len(body["reason"]) < 3:
            return outcome(400, "invalid", "give a reason of 3 to 200 signs")
        kept = [m for m in self.messages if m["id"] == id]
        if not kept or kept[0]["state"] == "leased":
            return outcome(409, "conflict", "a message that is leased cannot make the move")
        self.acts.append((act, id, body))
        kept[0]["state"] = "queued" if act == "retry" else "dropped"
        return JSONResponse(kept[0])

    async def map(self, request: Request) -> Response:
        """As a node tells who takes part."""
        return JSONResponse(self.network)

    async def way(self, request: Request) -> Response:
        """As a node tells what came of each step."""
        self.wanted.append(request.url.query)
        return JSONResponse(self.reached)

    async def told(self, request: Request) -> Response:
        """As a function of the network tells of itself."""
        return JSONResponse(self.status)

    async def works(self, request: Request) -> Response:
        """As the directory tells which addresses work."""
        if self.addresses is None:
            return outcome(403, "forbidden", "this is for the operator of this function only")
        return JSONResponse(self.addresses)

    async def trust(self, request: Request) -> Response:
        tls = request.scope["extensions"]["tls"]
        self.certificates.append(bool(tls["client_certificate"]))
        if self.down:
            return outcome(503, "transient", "the store is away; start it and try again")
        return JSONResponse(self.state | {"refusals": self.refusals[:50]})

    async def listed(self, request: Request) -> Response:
        self.asked.append(request.url.query)
        if self.down:
            return outcome(503, "transient", "the store is away; start it and try again")
        try:
            wanted = wanted_of(request.query_params.multi_items())
        except LdnError as error:
            return outcome(error.status, str(error.issue), error.message)
        fits = [r for r in self.refusals if not wanted.before or r["number"] < wanted.before]
        for name in ("peer", "code", "direction"):
            value = getattr(wanted, name)
            fits = [r for r in fits if not value or r[name] == value]
        page, more = fits[: wanted.count], fits[wanted.count :]
        return JSONResponse({"refusals": page, "next": "more" if more else "", "lost": 0})


@dataclass
class World:
    """Everything that runs, and where."""

    url: str
    node: FakeNode
    clock: Clock


@contextmanager
def running(folder: Path) -> Iterator[World]:
    """The administration and its node, in a loop of their own, for as long as the block lasts."""
    made: list[World] = []
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(lambda: asyncio.run(_serve(folder, made, stop)))
        while not made and not served.done():
            time.sleep(0.01)
        try:
            assert made, served.exception()
            yield made[0]
        finally:
            stop.set()
        served.result(30)


async def _serve(folder: Path, made: list[World], stop: threading.Event) -> None:
    pki = folder / "pki"
    create_authority(pki)
    issue_server(pki / "hospital", Subject(Ura.parse(HOSPITAL), "Ziekenhuis De Brug"))
    shown = (pki / "hospital/server.pem", pki / "hospital/server.key", pki / "ca.pem")
    node, clock, network = FakeNode(), Clock(), folder / "network.json"
    settings = AdministrationSettings(network=str(network), insecure_simulated_operators=True)
    async with AsyncExitStack() as stack:
        context = server_context(Identity(*shown))
        behind = await stack.enter_async_context(serving(node.app(), "127.0.0.1", 0, context))
        network.write_text(json.dumps(network_file(pki, behind)))
        desk = await stack.enter_async_context(open_desk(settings, clock, new_uuid))
        port = await stack.enter_async_context(serving(app(desk), "127.0.0.1", 0, None))
        made.append(World(f"http://127.0.0.1:{port}", node, clock))
        while not stop.is_set():
            await asyncio.sleep(0.02)


def network_file(pki: Path, port: int) -> dict[str, Any]:
    def entry(key: str, name: str, ura: str, road: str, at: int) -> dict[str, Any]:
        origin = f"https://127.0.0.1:{at}"
        return {
            "key": key,
            "name": name,
            "ura": ura,
            "infrastructure": road,
            "api": f"{origin}/api",
            "fhir": {},
            "certificate": str(pki / "hospital" / "server.pem"),
            "key_file": str(pki / "hospital" / "server.key"),
        }

    hospital = entry("hospital", "Ziekenhuis De Brug", HOSPITAL, "zorgplatform", port)
    silent = entry("silent", "Praktijk Zonder Node", "90000004", "lsp", 9)
    other = entry("other", "Node Van Een Ander", CLINIC, "lsp", port)
    trust = {"ca": str(pki / "ca.pem")}
    localization = entry("localization", "Localization", HOSPITAL, "direct", port)
    consent = entry("consent", "Consent", "90000094", "direct", 9)
    directory = entry("addressing", "Addressing", HOSPITAL, "direct", port)
    functions = [
        each | {"api": each["api"].removesuffix("/api")}
        for each in (localization, consent, directory)
    ]
    return {
        "version": 1,
        "nodes": [hospital, silent, other],
        "services": {},
        "functions": functions,
        "trust": trust,
    }
