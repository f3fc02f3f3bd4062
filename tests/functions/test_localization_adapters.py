"""The adapters: ig-nuts over our index, and the Knooppunt's /nvi before a client; §5.5, §5.6."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest
from conftest import Databases
from functions.localization_cases import (
    CLINIC,
    HOSPITAL,
    JANSEN,
    NOBODY,
    PHARMACY,
    Answer,
    Wire,
    caller,
    client_of,
    reached,
    wired,
    world,
)
from starlette.requests import Request

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, serving
from openldn.base.runtime import new_uuid
from openldn.base.sql import connection
from openldn.fhir.codec import dump
from openldn.fhir.http import application
from openldn.fhir.identifiers import BSN_SYSTEM, URA_SYSTEM, Ura
from openldn.functions.localization.client import LocalizationClient
from openldn.functions.localization.knooppunt import knooppunt_routes
from openldn.functions.localization.lists import WITHHELD
from openldn.functions.localization.model import OAUTH_CLIENT_ID, PSEUDO_BSN, URI_SYSTEM
from openldn.functions.localization.nuts import Nuts, Probe, nuts_routes
from openldn.functions.localization.service import Index
from openldn.trust.parties import Caller

BASE = "/ig-nuts/fhir/DocumentReference"


# --- ig-nuts ------------------------------------------------------------------------------


async def address(holder: Ura) -> str:
    if holder == PHARMACY:
        raise LdnError(Issue.NOT_FOUND, "no entry")
    return f"https://{holder}.example/fhir"


def nuts(
    databases: Databases, story: Callable[[Wire], Awaitable[None]], probe: Probe | None = None
) -> None:
    def more(index: Index) -> Any:
        return nuts_routes(Nuts(index, address, probe))

    async def run() -> None:
        async with wired(databases, more) as wire:
            await story(wire)

    asyncio.run(run())


async def document(wire: Wire, ura: Ura = HOSPITAL, **changes: Any) -> dict[str, Any]:
    token = await wire.world.pseudonyms.token(JANSEN)
    found = {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": {"coding": [{"system": "http://loinc.org", "code": "55188-7"}]},
        "subject": {"identifier": {"system": PSEUDO_BSN, "value": token}},
        "custodian": {"identifier": {"system": URA_SYSTEM, "value": ura.value}},
        "content": [{"attachment": {"contentType": "application/fhir+json", "url": "https://x"}}],
        **changes,
    }
    return {name: value for name, value in found.items() if value is not None}


async def asked(wire: Wire) -> str:
    token = await wire.world.pseudonyms.token(JANSEN)
    return f"{BASE}?patient.identifier={quote(f'{PSEUDO_BSN}|{token}')}"


def test_the_older_form_shares_the_records_and_shows_no_subject(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        made = await wire.ask("POST", BASE, await document(wire))
        again = await wire.ask("POST", BASE, await document(wire))
        found = await wire.ask("GET", await asked(wire), who=caller(CLINIC))
        newer = await wire.ask("GET", f"/fhir/List?{await wire.subject(JANSEN)}")

        assert (made.status, again.status) == (201, 409)
        [entry] = found.json["entry"]
        shown = entry["resource"]
        assert "subject" not in shown
        assert shown["custodian"]["identifier"]["value"] == HOSPITAL.value
        assert shown["content"][0]["attachment"]["url"] == f"https://{HOSPITAL}.example/fhir"
        assert newer.found == [HOSPITAL.value]

    nuts(databases, story)


def test_a_holder_without_an_address_is_told_all_the_same(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        body = await document(wire, PHARMACY)
        await wire.ask("POST", BASE, body, who=caller(PHARMACY))

        [entry] = (await wire.ask("GET", await asked(wire))).json["entry"]
        assert "url" not in entry["resource"]["content"][0]["attachment"]

    nuts(databases, story)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"type": {"coding": [{"system": "http://loinc.org", "code": "1-1"}]}}, 422),
        ({"subject": {"identifier": {"system": BSN_SYSTEM, "value": JANSEN.value}}}, 422),
        ({"subject": None}, 422),
        ({"custodian": None}, 422),
        ({"custodian": {"identifier": {"system": URA_SYSTEM, "value": "2"}}}, 403),
        ({"content": None}, 422),
        ({"resourceType": "List"}, 422),
    ],
)
def test_a_document_that_breaks_the_guide_is_refused(
    databases: Databases, change: dict[str, Any], status: int
) -> None:
    async def story(wire: Wire) -> None:
        answer = await wire.ask("POST", BASE, await document(wire, **change))

        assert answer.status == status
        assert JANSEN.value not in answer.body.decode()
        assert await wire.rows() == 0

    nuts(databases, story)


def test_own_documents_are_read_and_removed_and_foreign_ones_unknown(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        id = (await wire.ask("POST", BASE, await document(wire))).json["id"]
        own = f"{BASE}/{id}"
        assert (await wire.ask("GET", own)).status == 200
        for method in ("GET", "DELETE"):
            assert (await wire.ask(method, own, who=caller(CLINIC))).status == 404
        listed = await wire.ask("GET", f"{BASE}?custodian.identifier={URA_SYSTEM}%7C1")
        assert listed.json["total"] == 1
        foreign = f"{BASE}?custodian.identifier={URA_SYSTEM}%7C1"
        assert (await wire.ask("GET", foreign, who=caller(CLINIC))).json["total"] == 0
        assert [(await wire.ask("DELETE", own)).status for _ in "ab"] == [204, 404]

    nuts(databases, story)


def test_l20_an_identifier_without_system_finds_nothing_in_the_older_form(
    databases: Databases,
) -> None:
    async def story(wire: Wire) -> None:
        await wire.ask("POST", BASE, await document(wire))
        for value in ("%7Cx", "x", "%7C"):
            answer = await wire.ask("GET", f"{BASE}?patient.identifier={value}")
            assert answer.json["total"] == 0

    nuts(databases, story)


def test_n07_lists_are_another_dialect_at_the_older_base(databases: Databases) -> None:
    async def story(wire: Wire) -> None:
        for method, path in (("GET", "/List"), ("POST", ""), ("GET", "/DocumentReference?code=x")):
            body: Any = {} if method == "POST" else None
            answer = await wire.ask(method, f"/ig-nuts/fhir{path or '/x'}", body)
            assert answer.status == 422
            assert "ig-nuts" in answer.text
        assert (await wire.ask("GET", BASE, who=NOBODY)).status == 401

    nuts(databases, story)


def test_a_holder_is_asked_first_only_where_that_is_on(databases: Databases) -> None:
    seen: list[tuple[Ura, Ura]] = []

    async def probe(holder: Ura, who: Caller) -> bool:
        seen.append((holder, who.organization))
        return holder == CLINIC

    async def story(wire: Wire) -> None:
        for ura in (HOSPITAL, CLINIC):
            body = await document(wire, ura)
            assert (await wire.ask("POST", BASE, body, who=caller(ura))).status == 201
        found = await wire.ask("GET", await asked(wire), who=caller(PHARMACY))

        names = [e["resource"]["custodian"]["identifier"]["value"] for e in found.json["entry"]]
        assert names == [CLINIC.value]
        assert set(seen) == {(HOSPITAL, PHARMACY), (CLINIC, PHARMACY)}

    nuts(databases, story, probe)


# --- knooppunt-port -----------------------------------------------------------------------

TENANT = {"x-tenant-id": f"{URA_SYSTEM}|{HOSPITAL}"}
Ask = Callable[..., Awaitable[Answer]]


@asynccontextmanager
async def door(databases: Databases, dialect: str) -> AsyncIterator[tuple[Ask, Index]]:
    """Requests to the local door of the hospital, and the index behind it."""
    base = "/fhir" if dialect == "list-2026" else "/ig-ministry/fhir"
    async with world(databases) as one, reached(one.index) as origin:
        upstream, http = HttpClient(None), HttpClient(None)

        def client(ura: Ura) -> LocalizationClient:
            if ura != HOSPITAL:
                raise LdnError(Issue.FORBIDDEN, "no organization of ours")
            return client_of(upstream, origin + base, ura, one.pseudonyms, dialect)

        async def guard(request: Request) -> None:
            if request.headers.get("x-intruder"):
                raise LdnError(Issue.LOGIN, "not a system of ours")

        app = application(knooppunt_routes(client, guard), role="node", new_id=new_uuid)
        async with serving(app, "127.0.0.1", 0, None) as port:

            async def ask(method: str, path: str, body: Any = None, **headers: str) -> Answer:
                form = isinstance(body, str)
                kind = "application/x-www-form-urlencoded" if form else "application/fhir+json"
                raw = body.encode() if form else dump(body) if body is not None else None
                named = {k.replace("_", "-"): v for k, v in headers.items()}
                sent = {k: v for k, v in {**TENANT, "content-type": kind, **named}.items() if v}
                url = f"http://127.0.0.1:{port}{path}"
                return Answer(await http.send(method, url, headers=sent, body=raw, deadline=10))

            try:
                yield ask, one.index
            finally:
                await upstream.close()
                await http.close()


def local(system: str = URI_SYSTEM, **changes: Any) -> dict[str, Any]:
    """A List as a record system sends it: with a BSN, without custodian."""
    return {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "code": {"coding": [{"code": "Condition", "system": CATEGORIES}]},
        "subject": {"identifier": {"system": BSN_SYSTEM, "value": JANSEN.value}},
        "source": {"identifier": {"system": system, "value": f"ehr-{HOSPITAL}"}},
        "emptyReason": WITHHELD,
        **changes,
    }


CATEGORIES = "http://minvws.github.io/generiekefuncties-docs/CodeSystem/nl-gf-data-categories-cs"
BSN = f"{BSN_SYSTEM}|{JANSEN.value}"


async def rows(index: Index) -> int:
    async with connection(index.pool) as db:
        return int(await db.fetchval("SELECT count(*) FROM localization_record"))


@pytest.mark.parametrize("dialect", ["list-2026", "ig-ministry"])
def test_a_record_system_registers_finds_and_removes_by_bsn(
    databases: Databases, dialect: str
) -> None:
    async def run() -> None:
        system = URI_SYSTEM if dialect == "list-2026" else OAUTH_CLIENT_ID
        async with door(databases, dialect) as (ask, index):
            made = await ask("POST", "/nvi/List", local(system))
            assert made.status == 201
            assert "subject" not in made.json
            by_id = await ask("GET", f"/nvi/List/{made.json['id']}")
            found = await ask("GET", f"/nvi/List?patient:identifier={quote(BSN)}")
            form = f"subject:identifier={quote(BSN)}&code=Condition"
            posted = await ask("POST", "/nvi/List/_search", form)
            assert by_id.status == 200
            assert found.found == posted.found == [HOSPITAL.value]
            gone = await ask("DELETE", f"/nvi/List?patient:identifier={quote(BSN)}")
            assert (gone.status, gone.body) == (204, b"")
            assert await rows(index) == 0
            for answer in (made, by_id, found, posted):
                assert JANSEN.value not in answer.body.decode()

    asyncio.run(run())


def test_a_bundle_goes_through_the_door_with_every_bsn_swapped(databases: Databases) -> None:
    async def run() -> None:
        async with door(databases, "list-2026") as (ask, index):
            entries = [
                {"resource": local(), "request": {"method": "POST", "url": "List"}},
                {"request": {"method": "GET", "url": f"List?patient:identifier={quote(BSN)}"}},
            ]
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
            answer = await ask("POST", "/nvi", bundle)

            first, second = answer.json["entry"]
            assert first["response"]["status"] == "201"
            assert second["resource"]["total"] == 1
            assert await rows(index) == 1

    asyncio.run(run())


def test_the_door_refuses_what_it_must_not_pass_on(databases: Databases) -> None:
    async def run() -> None:
        async with door(databases, "list-2026") as (ask, index):
            other = {"system": URA_SYSTEM, "value": CLINIC.value}
            foreign = [{"url": "x", "valueReference": {"identifier": other}}]
            nobody = {"identifier": {"system": BSN_SYSTEM, "value": "000000000"}}
            found = f"/nvi/List?patient:identifier={quote(BSN)}"
            for answer, status in (
                (await ask("GET", found, x_tenant_id=""), 400),
                (await ask("GET", found, x_tenant_id="1"), 400),
                (await ask("GET", found, x_tenant_id=f"{URA_SYSTEM}|2"), 403),
                (await ask("GET", found, x_intruder="1"), 401),
                (await ask("GET", "/nvi/List"), 400),
                (await ask("DELETE", "/nvi/List"), 400),
                (await ask("DELETE", "/nvi/List?code=Condition"), 400),
                (await ask("DELETE", "/nvi/List?source:identifier=%7Cx"), 400),
                (await ask("DELETE", f"{found}&code=Condition"), 400),
                (await ask("GET", "/nvi/List?_id=1"), 400),
                (await ask("GET", "/nvi/List/none"), 404),
                (await ask("POST", "/nvi/List", local(extension=foreign)), 403),
                (await ask("POST", "/nvi/List", local(subject=nobody)), 400),
                (await ask("POST", "/nvi/List", {"resourceType": "Bundle"}), 400),
                (await ask("POST", "/nvi", {"resourceType": "List"}), 400),
            ):
                assert answer.status == status
                assert JANSEN.value not in answer.body.decode()
            assert await rows(index) == 0

    asyncio.run(run())
