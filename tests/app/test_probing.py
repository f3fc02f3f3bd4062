"""The addresses in the directory, tried by its operator: docs/reference/addressing.md."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from functions.directory_cases import START, Told, Waited, endpoint, organization, speaking
from functions.wire_cases import CLINIC, HOSPITAL, caller, pki, served
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from trust import parties
from trust.network import connected, free_port

from openldn.app import role_of
from openldn.app.addressing import AddressingSettings
from openldn.app.probing import MOST, PATH, Probing, owners
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, serving
from openldn.base.settings import check
from openldn.base.sql import Pool
from openldn.fhir.codec import dump, parse
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.addressing.aggregate import Placed
from openldn.functions.addressing.directories import Directories
from openldn.functions.addressing.health import Health, Prober
from openldn.functions.addressing.model import Endpoint, Organization
from openldn.functions.addressing.resources import entries
from openldn.functions.addressing.store import Replicas
from openldn.functions.addressing.update import Feed, Follower

EVERY = 60.0
R4 = ["application/fhir+json; fhirVersion=4.0"]
PATIENCE = 30.0  # seconds


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki(tmp_path_factory.mktemp("pki"))


@dataclass
class Standing:
    """A directory with its operator's probing, and an address that counts who tries it."""

    told: Told
    probing: Probing
    pool: Pool
    origin: str
    tried: list[str] = field(default_factory=list)
    now: datetime = START
    down: bool = False

    async def answer(self, request: Request) -> Response:
        self.tried.append(request.path_params["name"])
        if self.down:
            return Response(status_code=500)
        return JSONResponse({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})

    def put(self, id: str, version: int, at: str, **more: Any) -> None:
        owner = {"reference": "Organization/ura-90000001"}
        address = f"{self.origin}/{at}"
        entry = endpoint(id, address, payloadMimeType=R4, managingOrganization=owner, **more)
        self.told.put(entry, version)

    async def look(self, *, seconds: float = 0) -> list[str]:
        """What was tried by a look, so much later."""
        self.now += timedelta(seconds=seconds)
        self.tried.clear()
        await self.probing.look()
        return sorted(self.tried)


@asynccontextmanager
async def standing(databases: Databases, certificates: Path) -> AsyncIterator[Standing]:
    made: list[Standing] = []

    async def answer(request: Request) -> Response:
        return await made[0].answer(request)

    async with (
        databases.pool() as pool,
        speaking(Told()) as told,
        served(certificates, [Route("/{name}/metadata", answer)], HOSPITAL) as origin,
        caller(certificates, CLINIC) as http,
    ):
        plain = HttpClient()
        store = Replicas(pool)
        await store.prepare()
        feed = Feed(plain, told.base, lambda: told.now, Waited(), deadline=5)
        directories = Directories(store, Follower(store, feed), lambda base: feed)
        prober = Prober(http, lambda: made[0].now, deadline=5)
        probing = Probing(directories, prober, lambda: made[0].now, EVERY)
        made.append(Standing(told, probing, pool, origin))
        told.put(organization("ura-90000001", "90000001", name="Ziekenhuis De Brug"), 1)
        try:
            yield made[0]
        finally:
            await plain.close()


def run(
    databases: Databases, certificates: Path, case: Callable[[Standing], Awaitable[None]]
) -> None:
    async def whole() -> None:
        async with standing(databases, certificates) as here:
            await case(here)

    asyncio.run(whole())


def test_a_new_or_moved_address_is_tried_at_once_and_every_address_each_round(
    databases: Databases, certificates: Path
) -> None:
    async def case(here: Standing) -> None:
        here.put("a", 1, "one")
        assert await here.look() == ["one"]
        assert await here.look(seconds=1) == [], "nothing changed and no round is due"
        here.put("b", 1, "two")
        assert await here.look(seconds=1) == ["two"]
        here.put("a", 2, "three")
        assert await here.look(seconds=1) == ["three"]
        assert await here.look(seconds=EVERY) == ["three", "two"]

    run(databases, certificates, case)


def test_an_entry_that_is_written_again_and_again_is_not_tried_more_often(
    databases: Databases, certificates: Path
) -> None:
    """Nobody can have the operator knock at another's door by writing."""

    async def case(here: Standing) -> None:
        here.put("a", 1, "one")
        await here.look()
        for version in range(2, 6):
            here.put("a", version, "one", name=f"version {version}")
            assert await here.look(seconds=1) == []

    run(databases, certificates, case)


def test_what_is_told_names_the_owner_the_last_success_and_the_last_failure(
    databases: Databases, certificates: Path
) -> None:
    async def case(here: Standing) -> None:
        here.put("a", 1, "one")
        await here.look()
        worked = (await here.probing.told())["addresses"]
        here.down = True
        await here.look(seconds=EVERY)
        [fails] = (await here.probing.told())["addresses"]
        here.down = False
        await here.look(seconds=EVERY)
        [again] = (await here.probing.told())["addresses"]

        assert [(a["name"], a["ura"], a["kind"]) for a in worked] == [
            ("Ziekenhuis De Brug", "90000001", "ok")
        ]
        assert worked[0]["failed"] is None and worked[0]["failure"] is None
        assert (fails["kind"], fails["failure"], fails["ok"]) == (
            "status",
            "status",
            worked[0]["ok"],
        )
        assert (again["kind"], again["failure"]) == ("ok", "status")
        assert again["failed"] == fails["failed"] < again["ok"]

    run(databases, certificates, case)


def test_knowledge_of_three_rounds_ago_is_stale_and_does_not_count_as_working(
    databases: Databases, certificates: Path
) -> None:
    async def case(here: Standing) -> None:
        here.put("a", 1, "one")
        await here.look()
        here.now += timedelta(seconds=3 * EVERY)
        assert (await here.probing.told())["working"] == 1
        here.now += timedelta(seconds=1)
        told = await here.probing.told()
        assert (told["working"], told["addresses"][0]["stale"]) == (0, True)

    run(databases, certificates, case)


def test_a_directory_that_cannot_be_read_is_told_and_its_addresses_are_still_tried(
    databases: Databases, certificates: Path
) -> None:
    async def case(here: Standing) -> None:
        here.put("a", 1, "one")
        await here.look()
        here.told.failing += [Response(status_code=403)]
        assert await here.look(seconds=EVERY) == ["one"]
        assert "answers with status 403" in (await here.probing.told())["trouble"]
        await here.look()
        assert (await here.probing.told())["trouble"] == ""

    run(databases, certificates, case)


def test_the_last_address_that_goes_is_forgotten(databases: Databases, certificates: Path) -> None:
    async def case(here: Standing) -> None:
        here.put("a", 1, "one")
        await here.look()
        here.told.remove("Endpoint", "a", 2)
        await here.look(seconds=1)
        assert (await here.probing.told())["addresses"] == []

    run(databases, certificates, case)


def test_no_more_than_so_many_are_told_and_what_does_not_work_first(
    databases: Databases, certificates: Path
) -> None:
    async def case(here: Standing) -> None:
        found = [
            Health("d", f"e{n:04}", f"https://{n}.example", START, "ok", "", ok=START)
            for n in range(MOST + 1)
        ]
        bad = Health("d", "z", "https://z.example", START, "tls", "", failed=START, failure="tls")
        await here.probing.directories.store.note([*found, bad])
        told = await here.probing.told()
        assert (told["total"], len(told["addresses"])) == (MOST + 2, MOST)
        assert told["addresses"][0]["endpoint"] == "z"

    run(databases, certificates, case)


def test_it_goes_on_looking_while_its_own_store_is_away(
    databases: Databases, certificates: Path
) -> None:
    waited: list[float] = []

    async def case(here: Standing) -> None:
        async def pause(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 3:
                raise asyncio.CancelledError

        await here.pool.close()
        with pytest.raises(asyncio.CancelledError):
            await here.probing.keep(pause, lambda most: most)

    run(databases, certificates, case)
    assert waited == [3.0, 18.0, 18.0]  # each with an offset of its own


def test_an_endpoint_of_nobody_is_nobodys() -> None:
    lost: Resource = {"resourceType": "Endpoint", "id": "x", "managingOrganization": "?"}
    other: Resource = {**lost, "id": "y", "managingOrganization": {"reference": "Organization/o"}}
    found = owners([Placed("d", lost), Placed("d", other), Placed("d", organization("o"))])

    assert found == {("d", "x"): ("", ""), ("d", "y"): ("", "Zorg")}


async def call(client: HttpClient, method: str, url: str, body: Resource | None = None) -> Any:
    headers = {"content-type": "application/fhir+json"}
    sent = None if body is None else dump(body)
    reply = await client.send(method, url, headers=headers, body=sent, deadline=10)
    return reply.status, parse(reply.body)


def role(world: parties.World, dsn: str, port: int, **more: Any) -> AddressingSettings:
    shown = world.identity(parties.PRACTICE)
    files = {"certificate": shown.certificate, "key_file": shown.key, "ca": shown.ca}
    plain = {name: str(path) for name, path in files.items()}
    whole = {**plain, "public": f"https://127.0.0.1:{port}", "dsn": dsn, "port": port, **more}
    return check(whole, AddressingSettings, "test")


def test_the_operator_alone_reads_which_addresses_work(
    databases: Databases, tmp_path: Path
) -> None:
    world, port = parties.World(tmp_path), free_port()
    base = f"https://127.0.0.1:{port}"
    nobody = f"https://127.0.0.1:{free_port()}"
    hospital = parties.HOSPITAL
    offered = Endpoint(hospital, "direct", FhirVersion.R4, f"{nobody}/fhir", f"{nobody}/oauth2")
    own = entries(Organization(hospital, "Ziekenhuis Oost", True), [offered])

    async def told(client: HttpClient) -> Any:
        return await call(client, "GET", base + PATH)

    async def case() -> None:
        settings = role(world, await databases.fresh(), port, probe_every=1)
        async with (
            role_of("addressing").build(settings) as (one,),
            serving(one.app, "127.0.0.1", port, one.context),
            connected(world.identity(hospital)) as provider,
            connected(world.identity(parties.PRACTICE)) as operator,
        ):
            for entry in own:
                place = f"{base}/fhir/R4/{entry['resourceType']}/{entry['id']}"
                assert (await call(provider, "PUT", place, entry))[0] == 201
            async with asyncio.timeout(PATIENCE):
                while len((found := await told(operator))[1]["addresses"]) < 2:
                    await asyncio.sleep(0.05)
            assert found[0] == 200
            assert {a["kind"] for a in found[1]["addresses"]} == {"unreachable"}
            assert {a["name"] for a in found[1]["addresses"]} == {"Ziekenhuis Oost"}
            refused = await told(provider)
            assert refused[0] == 403 and "addresses" not in refused[1]

    asyncio.run(case())


def test_a_directory_that_tries_nothing_says_so(databases: Databases, tmp_path: Path) -> None:
    world, port = parties.World(tmp_path), free_port()

    async def case() -> Any:
        settings = role(world, await databases.fresh(), port)
        async with (
            role_of("addressing").build(settings) as (one,),
            serving(one.app, "127.0.0.1", port, one.context),
            connected(world.identity(parties.PRACTICE)) as operator,
        ):
            return await call(operator, "GET", f"https://127.0.0.1:{port}{PATH}")

    assert asyncio.run(case()) == (200, {"every": 0, "addresses": []})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"probe_every": 0.5}, "from 1 to 86400 seconds"),
        ({"probe_every": -1}, "from 1 to 86400 seconds"),
        ({"probe_every": float("nan")}, "from 1 to 86400 seconds"),
        ({"probe_every": float("inf")}, "from 1 to 86400 seconds"),
        ({"probe_every": 60, "gateway": {}}, "the gateway does not let in"),
    ],
)
def test_settings_that_make_no_sense_are_told_at_the_start(
    tmp_path: Path, more: dict[str, Any], said: str
) -> None:
    async def case() -> None:
        settings = role(parties.World(tmp_path), "postgresql://nowhere.invalid/x", 1, **more)
        async with role_of("addressing").build(settings):
            raise AssertionError("it opened")

    with pytest.raises(LdnError, match=said) as refused:
        asyncio.run(case())
    assert refused.value.issue is Issue.INVALID
