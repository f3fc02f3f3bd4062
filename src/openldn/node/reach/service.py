"""Walks the way to another party, as far as it can be walked without a patient."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import Clock, NewId
from openldn.fhir.identifiers import Ura
from openldn.functions.addressing.model import Directory, Endpoint
from openldn.infrastructures.capability import State, Statement
from openldn.infrastructures.model import Call, Search
from openldn.infrastructures.statements import Bound, told, untold
from openldn.node.reach.model import Aim, Came, Found, Report, Step
from openldn.node.reach.reading import unpatiented, unreached, untokened
from openldn.patterns.capability import Can, judge
from openldn.patterns.exchange import Release
from openldn.trust.parties import Requester
from openldn.trust.peers import of_infrastructure
from openldn.trust.tokens.model import AccessToken, Tokens

_FAIL, _UNSURE = Came.FAIL, Came.UNSURE
_ROLE = re.compile(r"[0-9]{2}\.[0-9]{3}")
_SHOWN = 8  # queries named in a fact


class Road(Protocol):
    """The port of a road that can be tried."""

    @property
    def tokens(self) -> Tokens:
        """Where tokens for this road come from."""
        ...

    @property
    def forget(self) -> Callable[[AccessToken], None]:
        """Makes that a token is not used again."""
        ...

    async def tried(
        self, endpoint: Endpoint, search: Search, call: Call, token: AccessToken
    ) -> Reply:
        """The holder's reply as it is."""
        ...


@dataclass(frozen=True)
class Ways:
    """What this node can travel with."""

    roads: Mapping[str, Road]
    through: Callable[[str], str]  # road -> broker that speaks for us; raises not-supported
    clients: Callable[[Ura], HttpClient]
    ailing: Callable[[str], Awaitable[str]]  # road -> key of what is wrong with our own proof


@dataclass
class _Way:
    """What was found so far."""

    aim: Aim
    endpoint: Endpoint | None = None
    release: Release | None = None
    trust: Found | None = None
    statement: Statement | None = None
    token: AccessToken | None = None

    @property
    def at(self) -> Endpoint:
        """The address, once that step was walked."""
        assert self.endpoint is not None  # noqa: S101  (the order of STEPS)
        return self.endpoint


@dataclass(frozen=True)
class Reach:
    """Tries the way from one organization to another."""

    ura: Ura
    name: str
    directory: Directory
    ways: Ways
    clock: Clock
    new_id: NewId
    patience: float = 8.0  # seconds for one step
    _trying: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4), repr=False)

    async def __call__(self, aim: Aim) -> Report:
        """What came of each step; never raises for what is wrong on the way."""
        way, steps, moment = _Way(aim), list[Step](), self.clock()
        stopped = False
        async with self._trying:
            for name, walk in _STEPS:
                step = Step(name, Found("not-tried", Came.NOT_TRIED))
                if not stopped:
                    step = await self._walked(name, walk, way)
                stopped = stopped or step.found.came is Came.FAIL
                steps.append(step)
        return Report(self.ura, aim, moment, tuple(steps))

    async def _walked(self, name: str, walk: "_Walk", way: _Way) -> Step:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.patience):
                found = await walk(self, way)
        except TimeoutError:
            found = Found(_LATE[name], _FAIL, f"no answer within {self.patience:g} s")
        return Step(name, found, round((time.monotonic() - began) * 1000, 1))

    async def _participant(self, way: _Way) -> Found:
        for ura, whose in ((self.ura, "us-"), (way.aim.holder, "")):
            try:
                known = await self.directory.organization(ura)
            except LdnError as error:
                return _undirected(error, f"participant.{whose}unknown")
            if not known.active:
                return Found(f"participant.{whose}inactive", _FAIL)
        return Found("participant.known", facts={"name": known.name})

    async def _endpoint(self, way: _Way) -> Found:
        try:
            way.endpoint = await self.directory.endpoint(way.aim.holder, way.aim.payload)
        except LdnError as error:
            return _undirected(error, "endpoint.none")
        return Found("endpoint.found", facts={"address": way.at.url})

    async def _road(self, way: _Way) -> Found:
        road = way.at.infrastructure
        facts = {"road": road, "profile": of_infrastructure(road).name} if road else {}
        if road not in self.ways.roads:
            return Found("road.none", _FAIL, facts={"road": road})
        try:
            broker = self.ways.through(road)
        except LdnError as error:
            return Found("road.unable", _FAIL, error.message, facts)
        if broker:
            return Found("road.broker", facts={**facts, "broker": broker})
        return Found("road.own", facts=facts)

    async def _dialect(self, way: _Way) -> Found:
        fhir = way.at.fhir
        if way.aim.pushed is not None:
            return Found("dialect.shared", facts={"fhir": str(fhir)})
        way.release = next((r for r in way.aim.exchange.releases if r.fhir is fhir), None)
        if way.release is None:
            return Found("dialect.fhir", _FAIL, facts={"fhir": str(fhir)})
        agreed = of_infrastructure(way.at.infrastructure)
        facts = {"fhir": str(fhir), "release": way.release.id, "wire": agreed.wire}
        return Found("dialect.shared", facts=facts)

    async def _tls(self, way: _Way) -> Found:
        """Also learns what the steps trust and capability tell: one connection shows it all."""
        road, asked = way.at.infrastructure, self.clock()
        if ailing := await self.ways.ailing(road):
            way.trust = Found(ailing, _FAIL)
        headers = {"accept": f"application/fhir+json; fhirVersion={way.at.fhir.mime}"}
        try:
            client = self.ways.clients(way.at.holder).counted(Bound())
            url = f"{way.at.url}/metadata"
            reply = await client.send("GET", url, headers=headers, deadline=self.patience)
        except LdnError as error:
            reached, trust = unreached(error)
            way.trust = way.trust or trust
            return Found("tls.reached") if way.trust else reached
        way.statement = _statement(reply, asked)
        return Found("tls.reached", facts={"status": str(reply.status)})

    async def _trust(self, way: _Way) -> Found:
        return way.trust or Found("trust.believed")

    async def _token(self, way: _Way) -> Found:
        aim, road = way.aim, self.ways.roads[way.at.infrastructure]
        scopes = frozenset({aim.scope})
        # Without a person and a patient: nobody is named who did not ask.
        requester = Requester(self.ura, scopes, aim.purpose, self.name)
        try:
            way.token = await road.tokens.token(
                way.at.holder, way.at.authorization_server, requester
            )
        except LdnError as error:
            return untokened(error)
        road.forget(way.token)  # so that the next try is a real one too
        return Found("token.given", facts={"scope": " ".join(sorted(scopes))})

    async def _capability(self, way: _Way) -> Found:
        if way.aim.pushed is not None:
            return Found("capability.pushed")
        assert way.statement and way.release  # noqa: S101  (the order of STEPS)
        named = of_infrastructure(way.at.infrastructure).patient != "token"
        ability = judge(way.statement, way.release, way.at.fhir, named)
        if ability.state is not State.TOLD:
            return Found("capability.untold", _UNSURE, ability.warning)
        cannot, doubtful = ability.some(Can.NO), ability.some(Can.UNSURE)
        facts = {"queries": ", ".join((cannot or doubtful)[:_SHOWN])}
        if cannot and len(cannot) == len(ability.queries):
            return Found("capability.none", _FAIL, ability.warning)
        if cannot:
            return Found("capability.some", _UNSURE, facts=facts)
        if doubtful:
            return Found("capability.unsure", _UNSURE, facts=facts)
        return Found("capability.all", facts={"queries": str(len(ability.queries))})

    async def _policy(self, way: _Way) -> Found:
        aim = way.aim
        if aim.purpose not in aim.exchange.purposes:
            return Found("policy.purpose", _FAIL)
        if aim.role and not _ROLE.fullmatch(aim.role):
            return Found("policy.role", _FAIL)
        if aim.pushed is not None:
            return await self._knocked(way)
        assert way.release and way.token  # noqa: S101  (the order of STEPS)
        first = next(q for q in way.release.plan if not q.operation)
        # No patient, and none wanted: a holder that answers all the same tells a number at most.
        search = Search(first.path, (*first.pairs, ("_count", "0")))
        until = asyncio.get_running_loop().time() + self.patience
        requester = Requester(self.ura, frozenset(), aim.purpose)
        call = Call(requester, self.new_id(), "", until)
        road = self.ways.roads[way.at.infrastructure]
        try:
            return unpatiented(await road.tried(way.at, search, call, way.token))
        except LdnError as error:
            return Found("policy.fails", _FAIL, error.message)

    async def _knocked(self, way: _Way) -> Found:
        """A push of nothing, about nobody: refused for that alone where the way is open."""
        assert way.token  # noqa: S101  (the order of STEPS)
        url, mime = way.at.url, f"application/fhir+json; fhirVersion={way.at.fhir.mime}"
        headers = {"content-type": mime, "accept": mime, **way.token.headers("POST", url)}
        client = self.ways.clients(way.at.holder).counted(Bound())
        try:
            reply = await client.send(
                "POST", url, headers=headers, body=b"", deadline=self.patience
            )
        except LdnError as error:
            return Found("policy.fails", _FAIL, error.message)
        return unpatiented(reply)


_Walk = Callable[[Reach, _Way], Awaitable[Found]]
# In the order of the way; each may rest on what those before it found.
_STEPS: tuple[tuple[str, _Walk], ...] = (
    ("participant", Reach._participant),
    ("endpoint", Reach._endpoint),
    ("road", Reach._road),
    ("dialect", Reach._dialect),
    ("tls", Reach._tls),
    ("trust", Reach._trust),
    ("token", Reach._token),
    ("capability", Reach._capability),
    ("policy", Reach._policy),
)
STEPS = tuple(name for name, _ in _STEPS)
_LATE = dict.fromkeys(STEPS, "tls.timeout") | {
    "participant": "directory.away",
    "endpoint": "directory.away",
    "token": "token.away",
    "policy": "policy.fails",
}


def _undirected(error: LdnError, unknown: str) -> Found:
    if error.issue is Issue.NOT_FOUND:
        return Found(unknown, _FAIL)
    return Found("directory.away", _FAIL, error.message)


def _statement(reply: Reply, asked: datetime) -> Statement:
    try:
        return told(reply, asked)
    except LdnError as error:
        return untold(error, asked)
