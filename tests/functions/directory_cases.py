"""A directory that says what a test wants it to say, over plain HTTP on this machine."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from openldn.base.http import HttpClient, serving
from openldn.base.runtime import instant
from openldn.fhir.identifiers import URA_SYSTEM
from openldn.fhir.model import Resource
from openldn.functions.addressing.aggregate import ADMINISTRATION
from openldn.functions.addressing.store import Replicas
from openldn.functions.addressing.update import Feed, Follower

START = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def organization(id: str, *uras: str, name: str = "Zorg", **more: Any) -> Resource:
    identifiers = [{"system": URA_SYSTEM, "value": u} for u in uras]
    named = {"identifier": identifiers} if identifiers else {}
    return {"resourceType": "Organization", "id": id, "name": name, "active": True, **named, **more}


def endpoint(id: str, address: str = "https://a.example/fhir", **more: Any) -> Resource:
    return {
        "resourceType": "Endpoint",
        "id": id,
        "status": "active",
        "connectionType": {"code": "hl7-fhir-rest"},
        "payloadType": [{"coding": [{"code": "any"}]}],
        "address": address,
        **more,
    }


def administration(id: str, base: str, owner: str) -> Resource:
    """The Endpoint in the root by which an organization names its own directory."""
    return endpoint(
        id,
        base,
        managingOrganization={"reference": f"Organization/{owner}"},
        payloadType=[{"coding": [{"code": ADMINISTRATION}]}],
    )


def versioned(resource: Resource, version: int, minutes: int = 0) -> Resource:
    updated = instant(START + timedelta(minutes=minutes or version))
    return {**resource, "meta": {"versionId": str(version), "lastUpdated": updated}}


def told(resource: Resource) -> Resource:
    """An entry of a history for a version that was written."""
    place = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": place}}


def removal(type: str, id: str, version: int, minutes: int = 0) -> Resource:
    updated = instant(START + timedelta(minutes=minutes or version))
    response = {"status": "204", "etag": f'W/"{version}"', "lastModified": updated}
    return {"request": {"method": "DELETE", "url": f"{type}/{id}"}, "response": response}


@dataclass
class Told:
    """What the directory answers: per type what stands there, and its history."""

    now: datetime = START
    standing: list[Resource] = field(default_factory=list)
    history: list[Resource] = field(default_factory=list)  # entries
    page: int = 2
    asked: list[str] = field(default_factory=list)
    failing: list[Response] = field(default_factory=list)  # answers to give first
    stamped: bool = True
    base: str = ""
    during: Callable[[], None] | None = None  # runs once, after the first page

    def put(self, resource: Resource, version: int) -> None:
        """Write this version, now."""
        self.now += timedelta(minutes=1)
        meta = {"versionId": str(version), "lastUpdated": instant(self.now)}
        resource = {**resource, "meta": meta}
        held = {(r["resourceType"], r["id"]): r for r in self.standing}
        held[resource["resourceType"], resource["id"]] = resource  # at its place: pages are stable
        self.standing = list(held.values())
        self.history.insert(0, told(resource))

    def remove(self, type: str, id: str, version: int) -> None:
        self.now += timedelta(minutes=1)
        self.standing = [r for r in self.standing if (r["resourceType"], r["id"]) != (type, id)]
        entry = removal(type, id, version)
        entry["response"]["lastModified"] = instant(self.now)
        self.history.insert(0, entry)

    async def answer(self, request: Request) -> Response:
        path = request.url.path.removeprefix("/fhir/")
        self.asked.append(f"{path}?{request.url.query}")
        if self.failing:
            return self.failing.pop(0)
        type = path.partition("/")[0]
        entries = self._history(type, request) if "_history" in path else self._standing(type)
        at = int(request.query_params.get("at", 0))
        bundle: dict[str, Any] = {
            "resourceType": "Bundle",
            "type": "history" if "_history" in path else "searchset",
            "entry": entries[at : at + self.page],
        }
        if self.stamped:
            bundle["meta"] = {"lastUpdated": instant(self.now)}
        if at + self.page < len(entries):
            url = f"{self.base}/{path}?at={at + self.page}"
            if since := request.query_params.get("_since"):
                url += f"&_since={since.replace('+', '%2B')}"
            bundle["link"] = [{"relation": "next", "url": url}]
        if self.during is not None and not at:
            self.during()
            self.during = None
        return JSONResponse(bundle)

    def _standing(self, type: str) -> list[Resource]:
        return [{"resource": r} for r in self.standing if r["resourceType"] == type]

    def _history(self, type: str, request: Request) -> list[Resource]:
        since = datetime.fromisoformat(request.query_params["_since"])
        return [e for e in self.history if _type(e) == type and _updated(e) >= since]


def _type(entry: Mapping[str, Any]) -> str:
    resource = entry.get("resource")
    return str(resource["resourceType"] if resource else entry["request"]["url"].split("/")[0])


def _updated(entry: Mapping[str, Any]) -> datetime:
    resource = entry.get("resource")
    text = resource["meta"]["lastUpdated"] if resource else entry["response"]["lastModified"]
    return datetime.fromisoformat(text)


@asynccontextmanager
async def speaking(told: Told) -> AsyncIterator[Told]:
    """That directory, for as long as the block lasts; `told.base` is its address."""
    app = Starlette(routes=[Route("/fhir/{rest:path}", told.answer)])
    async with serving(app, "127.0.0.1", 0, None) as port:
        told.base = f"http://127.0.0.1:{port}/fhir"
        yield told


@dataclass
class Waited:
    """A pause that does not wait, but remembers how long it should have."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


def follower(store: Replicas, http: HttpClient, told: Told, mode: str, pause: Waited) -> Follower:
    feed = Feed(http, told.base, lambda: told.now, pause, deadline=5)
    return Follower(store, feed, mode)
