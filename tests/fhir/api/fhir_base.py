"""A FHIR base over real HTTP and a real PostgreSQL, for as long as a test's scenario runs."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from openldn.base.http import HttpClient, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import open_pool
from openldn.fhir.api import Api, fhir_routes
from openldn.fhir.codec import Format, decode, dump, encode, parse
from openldn.fhir.http import application
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.model import Place
from openldn.fhir.records.store import Records

HOLDER = "00000001"
JSON = "application/fhir+json"
XML = "application/fhir+xml"


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return parse(self.body)

    @property
    def issue(self) -> str:
        """The first issue of the OperationOutcome, as "code: text"."""
        [first] = self.json["issue"]
        return f"{first['code']}: {first['diagnostics']}"

    @property
    def ids(self) -> list[str]:
        """Type/id of every entry with a resource."""
        found = [e["resource"] for e in self.json.get("entry", []) if "resource" in e]
        return [f"{r['resourceType']}/{r['id']}" for r in found if "id" in r]

    def link(self, relation: str) -> str:
        """The URL of this link, or nothing."""
        return next((k["url"] for k in self.json["link"] if k["relation"] == relation), "")


@dataclass(frozen=True)
class Base:
    """The base under test and a client for it."""

    url: str
    version: FhirVersion
    client: HttpClient
    records: Records

    async def send(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> Reply:
        """Send a request; an underscore in a header's name is a hyphen."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named.setdefault("content-type", JSON)
        url = path if path.startswith("http") else f"{self.url}/{path}".rstrip("/")
        reply = await self.client.send(method, url, headers=named, body=body, deadline=20)
        return Reply(reply.status, reply.headers, reply.body)

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.send("GET", path, None, **headers)

    async def put(self, resource: Resource, **headers: str) -> Reply:
        path = f"{resource['resourceType']}/{resource['id']}"
        return await self.send("PUT", path, dump(resource), **headers)

    async def post(self, resource: Resource, **headers: str) -> Reply:
        """Create the resource, or process the Bundle."""
        path = "" if resource["resourceType"] == "Bundle" else resource["resourceType"]
        return await self.send("POST", path, dump(resource), **headers)

    async def form(self, path: str, text: str, **headers: str) -> Reply:
        kind = "application/x-www-form-urlencoded"
        return await self.send("POST", path, text.encode(), content_type=kind, **headers)


Scenario = Callable[[Base], Awaitable[None]]


def served(
    dsn: str, scenario: Scenario, version: FhirVersion = FhirVersion.R4, **options: Any
) -> None:
    """Run the scenario against a fresh base at /fhir; `options` are fields of Api."""

    async def run() -> None:
        pool = await open_pool(dsn, size=12)
        client = HttpClient()
        try:
            records = Records(pool, utc_now, new_uuid)
            await records.prepare()
            api = Api(records, version, here, **options)
            app = application(fhir_routes(api, "/fhir"), role="test", new_id=new_uuid)
            async with serving(app, "127.0.0.1", 0, None) as port:
                try:
                    await scenario(Base(f"http://127.0.0.1:{port}/fhir", version, client, records))
                finally:
                    await client.close()
        finally:
            await pool.close()

    async def here(request: object) -> Place:
        return Place(HOLDER, version)

    asyncio.run(run())


def patient(id: str = "p1", bsn: str = "999900006", **more: Any) -> Resource:
    identifier = [{"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": bsn}]
    return {"resourceType": "Patient", "id": id, "identifier": identifier, **more}


def observation(id: str, of: str = "p1", code: str = "29463-7", **more: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": f"Patient/{of}"},
        **more,
    }


def organization(id: str, name: str = "Ziekenhuis Test", **more: Any) -> Resource:
    return {"resourceType": "Organization", "id": id, "name": name, **more}


def entry(method: str, url: str, resource: Resource | None = None, **more: Any) -> Resource:
    """An entry of a transaction or batch; `full_url` stands beside the request."""
    full = {"fullUrl": more.pop("full_url")} if "full_url" in more else {}
    held = {"resource": resource} if resource else {}
    return {**full, **held, "request": {"method": method, "url": url, **more}}


def bundle(kind: str, *entries: Resource) -> Resource:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def written(resource: Resource, form: Format, version: FhirVersion) -> bytes:
    return encode(resource, form, version)


def read(reply: Reply, version: FhirVersion) -> Resource:
    """The resource of a reply in whatever format its Content-Type names."""
    form = Format.XML if "xml" in reply.headers["content-type"] else Format.JSON
    return decode(reply.body, form, version)
