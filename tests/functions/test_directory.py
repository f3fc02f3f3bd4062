"""The directory over real TLS: specification of addressing §7.2, §7.8 (rules D01, D06-D12)."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Databases
from functions.wire_cases import CLINIC, HOSPITAL, PHARMACY, SERVER, caller, pki, served

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import dump
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.store import Records
from openldn.functions.addressing.api import routes
from openldn.functions.addressing.client import DirectoryClient
from openldn.functions.addressing.model import BGZ, Endpoint, Organization
from openldn.functions.addressing.resources import entries

ST_ELDER = Organization(HOSPITAL, "Ziekenhuis St. Elder", True, "ziekenhuis")
LINDE = Organization(CLINIC, "Kliniek De Linde", True, "kliniek")
STU3 = Endpoint(
    holder=HOSPITAL,
    infrastructure="zorgplatform",
    fhir=FhirVersion.STU3,
    url="https://a.example/fhir/STU3",
    authorization_server="https://a.example/oauth2/00000001",
    payloads=(BGZ,),
)
ORGANIZATION, ENDPOINT, _ = entries(ST_ELDER, [STU3])
FHIR = {"content-type": "application/fhir+json"}


@dataclass
class Time:
    """A clock that tells the real time and can be set forward."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def pass_by(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki(tmp_path_factory.mktemp("pki"))


@dataclass
class Network:
    """A directory that answers, and care providers that use it."""

    base: str
    folder: Path
    time: Time

    @asynccontextmanager
    async def client(self, ura: Ura) -> AsyncIterator[DirectoryClient]:
        async with caller(self.folder, ura) as http:
            yield DirectoryClient(http, self.base, self.time, deadline=3)

    async def call(
        self,
        ura: Ura,
        method: str,
        path: str,
        body: Resource | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        async with caller(self.folder, ura) as http:
            return await http.send(
                method,
                f"{self.base}{path}",
                headers={**FHIR, **(headers or {})},
                body=None if body is None else dump(body),
                deadline=10,
            )

    async def put(
        self, ura: Ura, entry: Resource, headers: Mapping[str, str] | None = None
    ) -> Reply:
        path = f"/{entry['resourceType']}/{entry['id']}"
        return await self.call(ura, "PUT", path, entry, headers)


Story = Callable[[Network], Awaitable[None]]


@asynccontextmanager
async def directory(databases: Databases, certificates: Path) -> AsyncIterator[Network]:
    async with databases.pool() as pool:
        records = Records(pool, utc_now, new_uuid)
        await records.prepare()
        async with served(certificates, routes(records, utc_now, "")) as origin:
            yield Network(f"{origin}/fhir", certificates, Time())


def in_a_network(databases: Databases, certificates: Path, story: Story) -> None:
    async def run() -> None:
        async with directory(databases, certificates) as network:
            await story(network)

    asyncio.run(run())


def told(reply: Reply) -> str:
    return str(json.loads(reply.body)["issue"][0]["diagnostics"])


def test_what_one_publishes_another_finds(databases: Databases, certificates: Path) -> None:
    async def story(network: Network) -> None:
        async with network.client(HOSPITAL) as hospital, network.client(CLINIC) as clinic:
            await hospital.publish(ST_ELDER, [STU3])
            await clinic.publish(LINDE, [])

            assert await clinic.organization(HOSPITAL) == ST_ELDER
            assert await clinic.endpoint(HOSPITAL, BGZ) == STU3
            assert await clinic.known(HOSPITAL)
            assert [o.name for o in await clinic.organizations()] == [
                "Kliniek De Linde",
                "Ziekenhuis St. Elder",
            ]

    in_a_network(databases, certificates, story)


def test_publishing_again_changes_nothing(databases: Databases, certificates: Path) -> None:
    async def story(network: Network) -> None:
        async with network.client(HOSPITAL) as hospital:
            await hospital.publish(ST_ELDER, [STU3])
            await hospital.publish(ST_ELDER, [STU3])

        reply = await network.call(CLINIC, "GET", "/Endpoint/ura-00000001-stu3-zorgplatform")
        assert reply.headers["etag"] == 'W/"1"'

    in_a_network(databases, certificates, story)


def test_a_changed_address_replaces_the_old_one(databases: Databases, certificates: Path) -> None:
    async def story(network: Network) -> None:
        async with network.client(HOSPITAL) as hospital:
            await hospital.publish(ST_ELDER, [STU3])
            moved = replace(STU3, url="https://b.example/fhir/STU3", infrastructure="direct")
            await hospital.publish(ST_ELDER, [moved])

            assert await hospital.endpoint(HOSPITAL, BGZ) == moved

        reply = await network.call(CLINIC, "GET", "/Endpoint/ura-00000001-stu3-zorgplatform")
        assert json.loads(reply.body)["status"] == "off"

    in_a_network(databases, certificates, story)


def test_who_withdrew_is_no_longer_known_within_ten_seconds(
    databases: Databases, certificates: Path
) -> None:
    async def story(network: Network) -> None:
        async with network.client(HOSPITAL) as hospital, network.client(CLINIC) as clinic:
            await hospital.publish(ST_ELDER, [STU3])
            assert await clinic.known(HOSPITAL)
            assert await clinic.endpoint(HOSPITAL, BGZ) == STU3

            await hospital.withdraw(ST_ELDER)
            network.time.pass_by(10)

            assert not await clinic.known(HOSPITAL)
            with pytest.raises(LdnError, match="no active care provider") as refusal:
                await clinic.endpoint(HOSPITAL, BGZ)
            assert refusal.value.issue is Issue.NOT_FOUND

    in_a_network(databases, certificates, story)


def test_who_was_never_there_is_not_known(databases: Databases, certificates: Path) -> None:
    async def story(network: Network) -> None:
        async with network.client(CLINIC) as clinic:
            assert not await clinic.known(PHARMACY)
            with pytest.raises(LdnError, match="knows no care provider with URA 00000003"):
                await clinic.organization(PHARMACY)

    in_a_network(databases, certificates, story)


def test_a_care_provider_without_the_exchange_is_told_as_such(
    databases: Databases, certificates: Path
) -> None:
    async def story(network: Network) -> None:
        async with network.client(CLINIC) as clinic:
            await clinic.publish(LINDE, [])

            with pytest.raises(LdnError, match="does not offer this exchange"):
                await clinic.endpoint(CLINIC, BGZ)

    in_a_network(databases, certificates, story)


STOLEN = [
    (ORGANIZATION, 403),
    (ENDPOINT, 403),
    ({**ORGANIZATION, "id": "ura-00000002"}, 403),
    ({**ENDPOINT, "id": "ura-00000002-x"}, 403),
    ({**ENDPOINT, "managingOrganization": {"reference": "Organization/ura-00000002"}}, 403),
    (
        {
            **ENDPOINT,
            "managingOrganization": {
                "reference": "Organization/ura-00000002",
                "identifier": {
                    "system": "http://fhir.nl/fhir/NamingSystem/ura",
                    "value": "00000001",
                },
            },
        },
        403,
    ),
    ({**entries(LINDE, [])[0], "id": "ura-00000001"}, 422),
    ({**entries(LINDE, [])[0], "id": "another"}, 422),
]


@pytest.mark.parametrize("standing", [False, True])
def test_nobody_writes_an_entry_for_another(
    databases: Databases, certificates: Path, standing: bool
) -> None:
    async def story(network: Network) -> None:
        if standing:
            async with network.client(HOSPITAL) as hospital:
                await hospital.publish(ST_ELDER, [STU3])

        for entry, status in STOLEN:
            reply = await network.put(CLINIC, entry, {"if-match": 'W/"1"'} if standing else None)

            assert reply.status == status, entry
        async with network.client(CLINIC) as clinic:
            assert await clinic.known(HOSPITAL) is standing
            assert not await clinic.known(CLINIC)

    in_a_network(databases, certificates, story)


def test_a_transaction_does_not_get_around_the_rule(
    databases: Databases, certificates: Path
) -> None:
    async def story(network: Network) -> None:
        entry = {
            "resource": ORGANIZATION,
            "request": {"method": "PUT", "url": "Organization/ura-00000001"},
        }
        own = {
            "resource": entries(LINDE, [])[0],
            "request": {"method": "PUT", "url": "Organization/ura-00000002"},
        }
        removal = {"request": {"method": "DELETE", "url": "Organization/ura-00000002"}}
        for stolen in (entry, removal):
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [own, stolen]}

            reply = await network.call(CLINIC, "POST", "", bundle)

            assert reply.status in {403, 405}
            async with network.client(CLINIC) as clinic:
                assert await clinic.organizations() == []

    in_a_network(databases, certificates, story)


def test_an_entry_is_never_removed(databases: Databases, certificates: Path) -> None:
    async def story(network: Network) -> None:
        await network.put(HOSPITAL, ORGANIZATION)

        direct = await network.call(HOSPITAL, "DELETE", "/Organization/ura-00000001")
        matching = await network.call(HOSPITAL, "DELETE", "/Organization?name=Ziekenhuis")

        assert (direct.status, matching.status) == (405, 405)
        assert "set active to false" in told(direct)
        async with network.client(CLINIC) as clinic:
            assert await clinic.known(HOSPITAL)

    in_a_network(databases, certificates, story)


def test_a_change_names_the_version_it_was_made_from(
    databases: Databases, certificates: Path
) -> None:
    async def story(network: Network) -> None:
        first = await network.put(HOSPITAL, ORGANIZATION)
        changed = {**ORGANIZATION, "name": "Ziekenhuis Sint Elder"}

        blind = await network.put(HOSPITAL, changed)
        stale = await network.put(HOSPITAL, changed, {"if-match": 'W/"7"'})
        right = await network.put(HOSPITAL, changed, {"if-match": first.headers["etag"]})

        assert (first.status, blind.status, stale.status, right.status) == (201, 428, 412, 200)
        assert right.headers["etag"] == 'W/"2"'

    in_a_network(databases, certificates, story)


def test_an_entry_that_breaks_a_rule_is_refused_with_its_place(
    databases: Databases, certificates: Path
) -> None:
    async def story(network: Network) -> None:
        plain = {**ENDPOINT, "address": "http://a.example/fhir"}

        reply = await network.put(HOSPITAL, plain)

        assert reply.status == 422
        assert json.loads(reply.body)["issue"][0]["expression"] == ["Endpoint.address"]

    in_a_network(databases, certificates, story)


def test_a_care_provider_has_one_entry_for_itself(databases: Databases, certificates: Path) -> None:
    async def story(network: Network) -> None:
        created = await network.call(HOSPITAL, "POST", "/Organization", ORGANIZATION)
        elsewhere = await network.put(HOSPITAL, {**ORGANIZATION, "id": "ura-00000001-b"})
        location = {
            "resourceType": "Location",
            "name": "Polikliniek",
            "status": "active",
            "type": [{"text": "polikliniek"}],
            "managingOrganization": {"reference": "Organization/ura-00000001"},
        }
        place = await network.call(HOSPITAL, "POST", "/Location", location)

        assert (created.status, elsewhere.status, place.status) == (422, 422, 201)

    in_a_network(databases, certificates, story)


def test_a_conditional_write_is_refused(databases: Databases, certificates: Path) -> None:
    async def story(network: Network) -> None:
        reply = await network.call(
            HOSPITAL, "PUT", "/Organization?name=x", {**ORGANIZATION, "id": "ura-00000001"}
        )

        assert reply.status == 405

    in_a_network(databases, certificates, story)


def test_the_directory_keeps_nothing_else(databases: Databases, certificates: Path) -> None:
    async def story(network: Network) -> None:
        for path in ("/Patient", "/Practitioner", "/PractitionerRole", "/Basic/1"):
            assert (await network.call(CLINIC, "GET", path)).status == 404

    in_a_network(databases, certificates, story)


def test_everything_is_paged_to_the_end(databases: Databases, certificates: Path) -> None:
    async def story(network: Network) -> None:
        async with network.client(HOSPITAL) as hospital, network.client(CLINIC) as clinic:
            await clinic.publish(LINDE, [])
            roads = [replace(STU3, infrastructure=f"road-{n}", payloads=()) for n in range(3)]
            await hospital.publish(ST_ELDER, [*roads, STU3])
            clinic.page = 1

            assert len(await clinic.organizations()) == 2
            assert await clinic.endpoint(HOSPITAL, BGZ) == STU3

    in_a_network(databases, certificates, story)


def test_without_the_directory_nobody_is_known_but_an_address_serves_a_minute(
    databases: Databases, certificates: Path
) -> None:
    async def run() -> None:
        async with directory(databases, certificates) as network:
            async with network.client(HOSPITAL) as hospital:
                await hospital.publish(ST_ELDER, [STU3])
            async with caller(certificates, CLINIC) as http:
                clinic = DirectoryClient(http, network.base, network.time, deadline=3)
                assert await clinic.known(HOSPITAL)
                assert await clinic.endpoint(HOSPITAL, BGZ) == STU3
                await http.close()
                gone = replace_base(clinic, "https://127.0.0.1:9/fhir")

                assert await gone.known(HOSPITAL)
                network.time.pass_by(11)

                with pytest.raises(LdnError, match="the directory: "):
                    await gone.known(HOSPITAL)
                assert await gone.endpoint(HOSPITAL, BGZ) == STU3
                network.time.pass_by(50)
                with pytest.raises(LdnError, match="the directory: "):
                    await gone.endpoint(HOSPITAL, BGZ)

    asyncio.run(run())


def replace_base(client: DirectoryClient, base: str) -> DirectoryClient:
    """The same client, its memory kept, in a world where the directory is away."""
    client.base = base
    return client


def test_a_server_is_no_member_because_it_runs_the_directory(
    databases: Databases, certificates: Path
) -> None:
    async def story(network: Network) -> None:
        async with network.client(CLINIC) as clinic:
            assert not await clinic.known(SERVER)

    in_a_network(databases, certificates, story)


def test_without_a_certificate_the_directory_tells_nothing(databases: Databases) -> None:
    async def run() -> None:
        async with databases.pool() as pool:
            records = Records(pool, utc_now, new_uuid)
            await records.prepare()
            app = application(routes(records, utc_now, ""), role="test", new_id=new_uuid)
            http = HttpClient()
            async with serving(app, "127.0.0.1", 0, None) as port:
                base = f"http://127.0.0.1:{port}/fhir"
                read = await http.send("GET", f"{base}/Organization", deadline=5)
                write = await http.send(
                    "PUT",
                    f"{base}/Organization/ura-00000001",
                    headers=FHIR,
                    body=dump(ORGANIZATION),
                    deadline=5,
                )
                await http.close()

        assert (read.status, write.status) == (401, 401)

    asyncio.run(run())
