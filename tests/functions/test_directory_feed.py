"""The national feed over real TLS: specification of addressing §7.2, §7.5, §7.8 (rules D01-D18)."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from functions.directory_cases import Waited
from functions.wire_cases import CLINIC, HOSPITAL, PHARMACY, caller, pki, served

from openldn.base.http import Reply
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import dump
from openldn.fhir.http import application
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.store import Records
from openldn.functions.addressing.api import WRITING, routes
from openldn.functions.addressing.directories import Directories
from openldn.functions.addressing.gate import READ, WRITE
from openldn.functions.addressing.model import BGZ, Endpoint, Organization
from openldn.functions.addressing.profiles import faults
from openldn.functions.addressing.resources import (
    CATEGORIES,
    LOCATION_TYPES,
    SERVICE_TYPES,
    assigned,
    entries,
)
from openldn.functions.addressing.store import Replicas
from openldn.functions.addressing.update import Feed, Follower
from openldn.trust.certificates import Anchors
from openldn.trust.certificates.issue import Subject, issue_signing
from openldn.trust.certificates.keys import Signing
from openldn.trust.parties import CALLER, Caller
from openldn.trust.signatures import Chain, Signer, Verifier, sign
from openldn.trust.trail import Trail

ELDER = Organization(HOSPITAL, "Ziekenhuis St. Elder", True, "ziekenhuis")
BASE_OF = Endpoint(
    holder=HOSPITAL,
    infrastructure="direct",
    fhir=FhirVersion.R4,
    url="https://a.example/fhir/R4",
    authorization_server="",
    payloads=(BGZ,),
)
ORGANIZATION, ENDPOINT = entries(ELDER, [BASE_OF])
LOCATION: Resource = {
    "resourceType": "Location",
    "id": "ura-00000001-poli",
    "identifier": [assigned(HOSPITAL, "ura-00000001-poli")],
    "name": "Polikliniek",
    "status": "active",
    "type": [{"coding": [{"system": LOCATION_TYPES, "code": "HOSP"}]}],
    "managingOrganization": {"reference": "Organization/ura-00000001"},
}
FHIR = {"content-type": "application/fhir+json"}


def mandate(code: str, party: Ura = CLINIC, **more: Any) -> Resource:
    system = "http://minvws.github.io/generiekefuncties-docs/CodeSystem/nl-gf-authorization-type-cs"
    return {
        "resourceType": "OrganizationAffiliation",
        "id": "ura-00000001-mandate",
        "identifier": [assigned(HOSPITAL, "ura-00000001-mandate")],
        "active": True,
        "organization": {"reference": "Organization/ura-00000001"},
        "participatingOrganization": {"identifier": {"system": URA_SYSTEM, "value": str(party)}},
        "code": [{"coding": [{"system": system, "code": code}]}],
        **more,
    }


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = pki(tmp_path_factory.mktemp("pki"))
    for ura in (HOSPITAL, CLINIC):
        issue_signing(folder / str(ura), Subject(ura, f"Zorgaanbieder {ura}"))
    return folder


@dataclass
class Directory:
    """A directory that answers over TLS."""

    base: str
    folder: Path
    records: Records

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

    async def put(self, ura: Ura, entry: Resource, version: int = 0) -> Reply:
        headers = {"if-match": f'W/"{version}"'} if version else None
        path = f"/{entry['resourceType']}/{entry['id']}"
        return await self.call(ura, "PUT", path, entry, headers)

    async def read(self, path: str) -> Resource:
        found = json.loads((await self.call(PHARMACY, "GET", path)).body)
        assert isinstance(found, dict)
        return found


Story = Callable[[Directory], Awaitable[None]]


@asynccontextmanager
async def directory(
    databases: Databases, folder: Path, *, strict: bool
) -> AsyncIterator[Directory]:
    async def believe(chain: Chain, trail: Trail) -> None:
        Anchors.load(folder / "ca.pem").check(chain, utc_now())

    async with databases.pool() as pool:
        records = Records(pool, utc_now, new_uuid)
        await records.prepare()
        made = routes(records, utc_now, "", signatures=Verifier(believe), strict=strict)
        async with served(folder, made) as origin:
            yield Directory(f"{origin}/fhir", folder, records)


def in_a_directory(
    databases: Databases, folder: Path, story: Story, *, strict: bool = False
) -> None:
    async def run() -> None:
        async with directory(databases, folder, strict=strict) as found:
            await story(found)

    asyncio.run(run())


def told(reply: Reply) -> str:
    return str(json.loads(reply.body)["issue"][0]["diagnostics"])


def transaction(*resources: Resource, method: str = "PUT", match: str = "") -> Resource:
    request = {"ifMatch": match} if match else {}
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "resource": r,
                "request": {"method": method, "url": f"{r['resourceType']}/{r['id']}", **request},
            }
            for r in resources
        ],
    }


def test_d01_d02_d03_our_own_directory_is_followed_by_our_own_client(
    databases: Databases, certificates: Path
) -> None:
    async def story(found: Directory) -> None:
        await found.put(HOSPITAL, ORGANIZATION)
        await found.put(HOSPITAL, ENDPOINT)
        async with databases.pool() as pool, caller(certificates, PHARMACY) as http:
            store = Replicas(pool)
            await store.prepare()
            feed = Feed(http, found.base, utc_now, Waited(), count=1)
            directories = Directories(store, Follower(store, feed), lambda base: feed)

            [first] = (await directories.update()).values()
            await found.put(HOSPITAL, {**ENDPOINT, "status": "off"}, 1)
            [second] = (await directories.update()).values()
            [third] = (await directories.update()).values()

            assert (first.created, second.updated, third.updated) == (2, 1, 0)
            assert first.errors == second.errors == third.errors == ()
            kept = {p.resource["id"]: p.resource for p in await directories.entries()}
            assert kept[ENDPOINT["id"]]["status"] == "off"

    in_a_directory(databases, certificates, story)


def test_d01_a_page_is_never_larger_than_five_hundred(
    databases: Databases, certificates: Path
) -> None:
    async def story(found: Directory) -> None:
        from openldn.functions.addressing.gate import DIRECTORY

        many = [{**LOCATION, "id": f"ura-00000001-{n}"} for n in range(501)]
        await found.records.load(DIRECTORY, many)

        listed = await found.read("/Location?_count=5000")
        history = await found.read("/Location/_history?_count=5000")

        assert (len(listed["entry"]), len(history["entry"])) == (500, 500)
        assert listed["link"][1]["relation"] == history["link"][1]["relation"] == "next"

    in_a_directory(databases, certificates, story)


def test_d02_a_list_tells_the_time_of_the_directory_with_room_for_running_writes(
    databases: Databases, certificates: Path
) -> None:
    async def story(found: Directory) -> None:
        for path in ("/Endpoint", "/Endpoint/_history"):
            begun = datetime.now(UTC)
            told_time = (await found.read(path))["meta"]["lastUpdated"]
            behind = begun - datetime.fromisoformat(told_time)

            assert timedelta(0) < behind <= WRITING

    in_a_directory(databases, certificates, story)


def test_d06_nothing_is_removed(databases: Databases, certificates: Path) -> None:
    async def story(found: Directory) -> None:
        await found.put(HOSPITAL, ORGANIZATION)

        direct = await found.call(HOSPITAL, "DELETE", "/Organization/ura-00000001")
        bundle = {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [{"request": {"method": "DELETE", "url": "Organization/ura-00000001"}}],
        }
        within = await found.call(HOSPITAL, "POST", "", bundle)

        assert (direct.status, within.status) == (405, 405)
        assert (await found.read("/Organization/ura-00000001"))["name"] == ELDER.name

    in_a_directory(databases, certificates, story)


def test_d07_a_stale_version_is_412_and_none_is_428_also_in_a_transaction(
    databases: Databases, certificates: Path
) -> None:
    async def story(found: Directory) -> None:
        await found.put(HOSPITAL, ORGANIZATION)
        changed = {**ORGANIZATION, "name": "Ziekenhuis Sint Elder"}

        blind, stale = await found.put(HOSPITAL, changed), await found.put(HOSPITAL, changed, 9)
        within = [
            await found.call(HOSPITAL, "POST", "", transaction(changed, match=m))
            for m in ("", 'W/"9"', 'W/"1"')
        ]

        assert (blind.status, stale.status) == (428, 412)
        assert [r.status for r in within] == [428, 412, 200]

    in_a_directory(databases, certificates, story)


def test_d08_what_is_read_or_written_tells_its_version(
    databases: Databases, certificates: Path
) -> None:
    async def story(found: Directory) -> None:
        created = await found.call(HOSPITAL, "POST", "/Location", LOCATION)
        put = await found.put(HOSPITAL, ORGANIZATION)
        read = await found.call(CLINIC, "GET", "/Organization/ura-00000001")

        assert {r.headers["etag"] for r in (created, put, read)} == {'W/"1"'}
        assert (created.status, read.status) == (201, 200)

    in_a_directory(databases, certificates, story)


def without(resource: Resource, *names: str) -> Resource:
    return {name: value for name, value in resource.items() if name not in names}


BROKEN = [
    without(ORGANIZATION, "name"),
    without(ORGANIZATION, "type"),
    {**ORGANIZATION, "modifierExtension": [{"url": "https://x.example", "valueCode": "x"}]},
    {**ORGANIZATION, "implicitRules": "https://x.example"},
    without(ENDPOINT, "managingOrganization"),
    {**ENDPOINT, "connectionType": {"system": "https://x.example", "code": "x"}},
    {**ENDPOINT, "payloadType": [{"text": "alles"}]},
    without(LOCATION, "managingOrganization"),
    without(LOCATION, "status"),
    {**mandate("lrza-endpoint-admin"), "network": [{"reference": "Organization/x"}]},
    without(mandate("lrza-endpoint-admin"), "active"),
]


def test_d09_what_breaks_a_profile_is_422_and_says_where(
    databases: Databases, certificates: Path
) -> None:
    async def story(found: Directory) -> None:
        for entry in BROKEN:
            reply = await found.put(HOSPITAL, entry)

            assert reply.status == 422, entry
            [issue] = json.loads(reply.body)["issue"]
            assert issue["expression"][0].startswith(f"{entry['resourceType']}.")

    in_a_directory(databases, certificates, story)


def test_d09_the_national_profiles_ask_more(databases: Databases, certificates: Path) -> None:
    national = {
        **ENDPOINT,
        "payloadType": [{"coding": [{"system": CATEGORIES, "code": "Condition"}]}],
    }
    service: Resource = {
        "resourceType": "HealthcareService",
        "id": "ura-00000001-s",
        "identifier": [assigned(HOSPITAL, "ura-00000001-s")],
        "name": "Cardiologie",
        "type": [{"coding": [{"system": SERVICE_TYPES, "code": "165"}]}],
        "providedBy": {"reference": "Organization/ura-00000001"},
    }
    twice = [assigned(HOSPITAL, "a"), assigned(HOSPITAL, "b")]
    refused = [
        ENDPOINT,  # its payload type is of the other generation
        {**national, "identifier": twice},
        without(national, "identifier"),
        {**service, "type": [{"text": "cardiologie"}]},
        {**LOCATION, "type": [{"text": "poli"}]},
        {**mandate("x"), "code": [{"text": "beheer"}]},
    ]

    async def story(found: Directory) -> None:
        for entry in (ORGANIZATION, national, service, LOCATION, mandate("lrza-endpoint-admin")):
            assert (await found.put(HOSPITAL, entry)).status == 201, entry
        for entry in refused:
            assert (await found.put(HOSPITAL, {**entry, "id": f"{entry['id']}-2"})).status == 422

    in_a_directory(databases, certificates, story, strict=True)
    assert all(faults(entry, strict=True) for entry in refused)


def test_the_national_directory_is_copied_not_searched(
    databases: Databases, certificates: Path
) -> None:
    async def story(found: Directory) -> None:
        await found.put(HOSPITAL, ORGANIZATION)

        paths = ("/Organization", f"/Organization?identifier={URA_SYSTEM}|00000001&_count=1")
        allowed = [await found.call(CLINIC, "GET", path) for path in paths]
        searched = await found.call(CLINIC, "GET", "/Organization?name=Elder")

        assert [r.status for r in allowed] == [200, 200]
        assert searched.status == 400
        assert "keep a copy" in told(searched)

    in_a_directory(databases, certificates, story, strict=True)


def test_d11_of_a_transaction_with_one_bad_entry_nothing_is_applied(
    databases: Databases, certificates: Path
) -> None:
    async def story(found: Directory) -> None:
        broken = {**ENDPOINT, "address": "http://plain.example/fhir"}

        reply = await found.call(HOSPITAL, "POST", "", transaction(ORGANIZATION, broken))

        assert reply.status == 422
        assert (await found.call(CLINIC, "GET", "/Organization/ura-00000001")).status == 404
        whole = await found.call(HOSPITAL, "POST", "", transaction(ORGANIZATION, ENDPOINT))
        assert whole.status == 200

    in_a_directory(databases, certificates, story)


def test_d12_who_receives_a_mandate_does_not_write_it(
    databases: Databases, certificates: Path
) -> None:
    async def story(found: Directory) -> None:
        given = mandate("lrza-careprovider-admin")

        by_receiver = await found.put(CLINIC, given)
        created = await found.call(CLINIC, "POST", "/OrganizationAffiliation", given)
        await found.put(HOSPITAL, given)
        widened = await found.put(CLINIC, given, 1)

        assert (by_receiver.status, created.status, widened.status) == (403, 403, 403)

    in_a_directory(databases, certificates, story)


def test_d13_a_mandate_for_endpoints_is_for_endpoints(
    databases: Databases, certificates: Path
) -> None:
    async def story(found: Directory) -> None:
        await found.put(HOSPITAL, ORGANIZATION)
        await found.put(HOSPITAL, mandate("lrza-endpoint-admin"))

        endpoint = await found.put(CLINIC, ENDPOINT)
        off = await found.put(CLINIC, {**ENDPOINT, "status": "off"}, 1)
        organization = await found.put(CLINIC, {**ORGANIZATION, "name": "Elders"}, 1)
        part = {**without(ORGANIZATION, "identifier"), "id": "ura-00000001-ward"}
        part["partOf"] = {"reference": "Organization/ura-00000001"}
        created = await found.call(CLINIC, "POST", "/Organization", part)
        location = await found.put(CLINIC, LOCATION)

        assert (endpoint.status, off.status) == (201, 200)
        assert (organization.status, created.status, location.status) == (403, 403, 403)

    in_a_directory(databases, certificates, story)


def test_d13_a_mandate_for_the_care_provider_is_for_all_but_mandates(
    databases: Databases, certificates: Path
) -> None:
    async def story(found: Directory) -> None:
        await found.put(HOSPITAL, mandate("lrza-careprovider-admin"))

        written = [await found.put(CLINIC, e) for e in (ORGANIZATION, ENDPOINT, LOCATION)]
        another = {**mandate("lrza-careprovider-admin", PHARMACY), "id": "ura-00000001-more"}
        onward = await found.put(CLINIC, {**another, "identifier": [assigned(HOSPITAL, "more")]})
        stranger = await found.put(PHARMACY, {**ENDPOINT, "status": "off"}, 1)
        prefix = await found.put(CLINIC, {**LOCATION, "id": "ura-00000002-x", "identifier": []})

        assert [r.status for r in written] == [201, 201, 201]
        assert (onward.status, stranger.status) == (403, 403)
        assert prefix.status in {400, 403}

    in_a_directory(databases, certificates, story)


ENDED = [
    {"active": False},
    {"period": {"end": "2020-01-01"}},
    {"period": {"start": "2999-01-01"}},
    {"code": [{"coding": [{"system": "https://x.example", "code": "lrza-endpoint-admin"}]}]},
]


@pytest.mark.parametrize("ended", ENDED)
def test_d13_a_mandate_that_does_not_hold_now_gives_nothing(
    databases: Databases, certificates: Path, ended: Resource
) -> None:
    async def story(found: Directory) -> None:
        given = {**mandate("lrza-endpoint-admin"), **ended}
        assert (await found.put(HOSPITAL, given)).status == 201

        assert (await found.put(CLINIC, ENDPOINT)).status == 403

    in_a_directory(databases, certificates, story)


def test_d13_what_is_mandated_cannot_be_moved_to_another(
    databases: Databases, certificates: Path
) -> None:
    async def story(found: Directory) -> None:
        await found.put(HOSPITAL, mandate("lrza-endpoint-admin"))
        await found.put(HOSPITAL, ENDPOINT)
        mine = {**ENDPOINT, "managingOrganization": {"reference": "Organization/ura-00000002"}}

        reply = await found.put(CLINIC, mine, 1)

        assert reply.status == 403

    in_a_directory(databases, certificates, story)


def signer(folder: Path, ura: Ura) -> Signer:
    files = folder / str(ura)
    found = Signing.load(files / "signing.key", files / "signing.pem")
    return Signer(ura, found.key, found.chain)


def test_d14_a_signature_that_holds_is_kept_and_a_bad_one_is_refused(
    databases: Databases, certificates: Path
) -> None:
    async def story(found: Directory) -> None:
        stored = json.loads((await found.put(HOSPITAL, ORGANIZATION)).body)
        target = "Organization/ura-00000001"
        good = sign(stored, target, signer(certificates, HOSPITAL), utc_now())
        other = sign({**stored, "name": "X"}, target, signer(certificates, HOSPITAL), utc_now())
        foreign = sign(stored, target, signer(certificates, CLINIC), utc_now())
        unsigned = without(good, "signature")
        lost = {**good, "target": [{"reference": "Organization/nowhere"}]}

        kept = await found.call(HOSPITAL, "POST", "/Provenance", good)
        bare = await found.call(HOSPITAL, "POST", "/Provenance", unsigned)
        refused = [
            await found.call(HOSPITAL, "POST", "/Provenance", p) for p in (other, foreign, lost)
        ]
        by_another = await found.call(CLINIC, "POST", "/Provenance", foreign)
        id = json.loads(kept.body)["id"]
        again = await found.call(
            HOSPITAL, "PUT", f"/Provenance/{id}", {**good, "id": id}, {"if-match": 'W/"1"'}
        )

        assert (kept.status, bare.status) == (201, 201)
        assert [r.status for r in refused] == [422, 422, 422]
        assert (by_another.status, again.status) == (403, 405)

    in_a_directory(databases, certificates, story)


def test_d14_in_a_transaction_a_bad_signature_undoes_all(
    databases: Databases, certificates: Path
) -> None:
    async def story(found: Directory) -> None:
        stored = json.loads((await found.put(HOSPITAL, ORGANIZATION)).body)
        changed = {**stored, "name": "X"}
        bad = sign(changed, "Organization/ura-00000001", signer(certificates, HOSPITAL), utc_now())
        bundle = transaction(ENDPOINT)
        bundle["entry"].append(
            {"resource": bad, "request": {"method": "POST", "url": "Provenance"}}
        )

        reply = await found.call(HOSPITAL, "POST", "", bundle)

        assert reply.status == 422
        assert (await found.call(CLINIC, "GET", f"/Endpoint/{ENDPOINT['id']}")).status == 404

    in_a_directory(databases, certificates, story)


def test_d17_a_fhir_endpoint_tells_its_fhir_version(
    databases: Databases, certificates: Path
) -> None:
    async def story(found: Directory) -> None:
        for mimes in ([], ["application/fhir+json"], ["text/plain"]):
            entry = (
                {**ENDPOINT, "payloadMimeType": mimes}
                if mimes
                else without(ENDPOINT, "payloadMimeType")
            )
            reply = await found.put(HOSPITAL, entry)

            assert reply.status == 422
            assert "fhirVersion" in told(reply)

    in_a_directory(databases, certificates, story)


def test_d18_an_identifier_is_never_given_again(databases: Databases, certificates: Path) -> None:
    async def story(found: Directory) -> None:
        await found.put(HOSPITAL, ENDPOINT)
        withdrawn = {**ENDPOINT, "status": "entered-in-error"}
        assert (await found.put(HOSPITAL, withdrawn, 1)).status == 200
        again = {**ENDPOINT, "id": "ura-00000001-again"}
        dropped = {**withdrawn, "identifier": [assigned(HOSPITAL, "another")]}

        put = await found.put(HOSPITAL, again)
        posted = await found.call(HOSPITAL, "POST", "/Endpoint", again)
        changed = await found.put(HOSPITAL, dropped, 2)

        assert (put.status, posted.status, changed.status) == (409, 409, 409)
        assert (await found.put(HOSPITAL, {**withdrawn, "name": "oud"}, 2)).status == 200

    in_a_directory(databases, certificates, story)


@pytest.mark.parametrize("value", ["a,b", "a|b", "a$b", "a\\b", "a b"])
def test_d18_an_odd_identifier_is_compared_as_it_is_written(
    databases: Databases, certificates: Path, value: str
) -> None:
    async def story(found: Directory) -> None:
        odd = {**LOCATION, "identifier": [{"system": "https://x.example/n", "value": value}]}
        assert (await found.put(HOSPITAL, odd)).status == 201

        reply = await found.put(HOSPITAL, {**odd, "id": "ura-00000001-other"})

        assert reply.status == 409

    in_a_directory(databases, certificates, story)


def test_several_entries_may_show_one_number_of_the_chamber_of_commerce(
    databases: Databases, certificates: Path
) -> None:
    async def story(found: Directory) -> None:
        kvk = {"system": "http://fhir.nl/fhir/NamingSystem/kvk", "value": "90001234"}
        for name in ("a", "b"):
            part = {
                **ORGANIZATION,
                "id": f"ura-00000001-{name}",
                "identifier": [kvk, assigned(HOSPITAL, name)],
                "partOf": {"reference": "Organization/ura-00000001"},
            }
            assert (await found.put(HOSPITAL, part)).status == 201

    in_a_directory(databases, certificates, story)


def test_behind_a_gateway_the_caller_counts_and_its_scopes(databases: Databases) -> None:
    """The gateway puts the Caller in the scope; without a certificate nothing else is asked."""

    def behind(inner: Any, scopes: set[str]) -> Any:
        async def gateway(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                scope[CALLER] = Caller(HOSPITAL, frozenset(scopes))
            await inner(scope, receive, send)

        return gateway

    async def run() -> None:
        async with databases.pool() as pool:
            records = Records(pool, utc_now, new_uuid)
            await records.prepare()
            inner = application(routes(records, utc_now, ""), role="test", new_id=new_uuid)
            for scopes, statuses in (
                ({READ, WRITE}, (201, 200, 403)),
                ({READ}, (403, 200, 403)),
                ({WRITE}, (428, 403, 403)),
            ):
                found = await _asked(behind(inner, scopes))
                assert found == statuses, scopes

    asyncio.run(run())


async def _asked(app: Any) -> tuple[int, int, int]:
    import httpx2

    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="https://d.example") as client:
        foreign = {**ORGANIZATION, "id": "ura-00000002"}
        foreign["identifier"] = [{"system": URA_SYSTEM, "value": "00000002"}]
        replies = [
            await client.put(
                "/fhir/Organization/ura-00000001", content=dump(ORGANIZATION), headers=FHIR
            ),
            await client.get("/fhir/Organization"),
            await client.put(
                "/fhir/Organization/ura-00000002", content=dump(foreign), headers=FHIR
            ),
        ]
    return (replies[0].status_code, replies[1].status_code, replies[2].status_code)
