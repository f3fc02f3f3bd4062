"""Routing over a copy of the directory: specification §10 (rules R01-R04)."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from conftest import Databases
from functions.directory_cases import endpoint, organization
from functions.wire_cases import CLINIC, HOSPITAL, caller, pki, served

from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.model import Resource
from openldn.fhir.records.store import Records
from openldn.functions.addressing.aggregate import Placed
from openldn.functions.addressing.api import routes
from openldn.functions.addressing.gate import DIRECTORY
from openldn.functions.addressing.lookup import Book, Need
from openldn.functions.addressing.resources import assigned
from openldn.functions.addressing.routing import Asked, Declined, Route, Router, task_extensions

D = "https://lrza.example/fhir"
NOW = datetime(2027, 3, 2, 9, 14, tzinfo=UTC)
MRI = "https://a.example/ActivityDefinition/mri"
NOTIFY = "Twiin-TA-notification"
SUPPORTED = "http://x.example/StructureDefinition/supported-activity-definitions"
R4 = ["application/fhir+json; fhirVersion=4.0"]


def at(id: str, code: str = NOTIFY, **more: Any) -> Resource:
    payload = [{"coding": [{"code": code}]}]
    return endpoint(id, payloadType=payload, payloadMimeType=R4, **more)


def refer(type: str, id: str) -> Resource:
    return {"reference": f"{type}/{id}"}


def service(id: str, owner: str = "ward", *addresses: str, **more: Any) -> Resource:
    return {
        "resourceType": "HealthcareService",
        "id": id,
        "name": id,
        "providedBy": refer("Organization", owner),
        "endpoint": [refer("Endpoint", a) for a in addresses],
        **more,
    }


def location(id: str, owner: str) -> Resource:
    managing = refer("Organization", owner)
    return {"resourceType": "Location", "id": id, "name": id, "managingOrganization": managing}


def offering(*canonicals: str) -> list[Resource]:
    return [{"extension": [{"url": SUPPORTED, "valueCanonical": c} for c in canonicals]}]


ACTIVITY = {
    "resourceType": "ActivityDefinition",
    "url": MRI,
    "extension": [
        {"url": "http://x.example/endpoint", "valueReference": refer("Endpoint", "of-mri")}
    ],
}
ENTRIES = [
    organization("main", "00000001"),
    organization("division", partOf=refer("Organization", "main")),
    organization("ward", partOf=refer("Organization", "division")),
    location("gate", "main"),
    at("of-service"),
    at("of-mri"),
    at("other", "bgz"),
    service("radiology", "ward", "of-service", type=offering(MRI)),
    service("plain", "ward", "of-service"),
    service("own", "ward", "of-service", location=[refer("Location", "gate")]),
    service("bare", "main"),
    service("wrong", "main", "other"),
    service("closed", "main", "of-service", active=False),
]
ROUTER = Router(Book([Placed(D, r) for r in ENTRIES]), {MRI: ACTIVITY})


def asked(owner: str, *instantiates: str, location: str = "") -> Asked:
    owner = owner if "/" in owner else f"HealthcareService/{owner}"
    return Asked(D, owner, Need(NOTIFY), location, instantiates)


def went(router: Router, question: Asked) -> Route:
    found = router.route(question, NOW)
    assert isinstance(found, Route), found
    return found


def why(router: Router, question: Asked) -> str:
    found = router.route(question, NOW)
    assert isinstance(found, Declined), found
    return found.reason


def test_rt01_the_address_of_the_activity_goes_before_that_of_the_service() -> None:
    assert went(ROUTER, asked("radiology", MRI)).endpoint.resource["id"] == "of-mri"
    assert went(ROUTER, asked("radiology", f"{MRI}")).service.resource["id"] == "radiology"
    assert went(ROUTER, asked("plain")).endpoint.resource["id"] == "of-service"


def test_rt01_when_the_activity_has_no_suitable_address_that_of_the_service_serves() -> None:
    bare = replace(ROUTER, definitions={MRI: {"resourceType": "ActivityDefinition", "url": MRI}})
    unknown = replace(ROUTER, definitions={})

    for router in (bare, unknown):
        assert went(router, asked("radiology", MRI)).endpoint.resource["id"] == "of-service"


def test_one_of_both_must_have_an_address_that_serves_this() -> None:
    for owner in ("bare", "wrong"):
        assert "has an address" in why(ROUTER, asked(owner))


def test_rt02_without_a_place_of_its_own_it_is_that_of_the_organization_above() -> None:
    found = went(ROUTER, asked("plain"))

    assert found.location is not None
    assert found.location.resource["id"] == "gate"
    own = went(ROUTER, asked("own")).location
    assert own is not None and own.resource["id"] == "gate"


def test_rt02_a_circle_or_a_long_way_up_ends() -> None:
    loop = [
        organization("a", partOf=refer("Organization", "b")),
        organization("b", partOf=refer("Organization", "a")),
        at("of-service"),
        service("s", "a", "of-service"),
    ]
    far = [organization("o0", "00000001"), location("gate", "o0"), at("of-service")]
    far += [organization(f"o{n}", partOf=refer("Organization", f"o{n - 1}")) for n in range(1, 13)]
    far += [service("s", "o12", "of-service"), service("near", "o9", "of-service")]

    assert went(Router(Book([Placed(D, r) for r in loop])), asked("s")).location is None
    router = Router(Book([Placed(D, r) for r in far]))
    assert went(router, asked("s")).location is None
    near = went(router, asked("near")).location
    assert near is not None and near.resource["id"] == "gate"


def test_rt02_a_place_that_is_asked_must_be_one_of_the_service() -> None:
    assert went(ROUTER, asked("plain", location="Location/gate")).location is not None
    assert "at this place" in why(ROUTER, asked("plain", location="Location/elsewhere"))


def test_rt02_of_several_places_none_is_chosen() -> None:
    more = Router(Book([*ROUTER.book.entries, Placed(D, location("back", "main"))]))

    assert went(more, asked("plain")).location is None
    back = went(more, asked("plain", location="Location/back")).location
    assert back is not None and back.resource["id"] == "back"


def test_rt03_a_request_without_the_activity_that_is_asked_is_declined_unless_set_otherwise() -> (
    None
):
    for question in (asked("radiology"), asked("radiology", "https://b.example/other")):
        assert "names one of its activities" in why(ROUTER, question)
        lenient = replace(ROUTER, lenient=True)
        assert went(lenient, question).endpoint.resource["id"] == "of-service"


def test_an_organization_with_one_service_is_enough_and_with_more_it_is_not() -> None:
    only = Router(Book([Placed(D, r) for r in ENTRIES if r["id"] not in {"wrong", "plain", "own"}]))

    assert went(only, asked("Organization/ward", MRI)).service.resource["id"] == "radiology"
    assert "offers 3 services" in why(ROUTER, asked("Organization/ward"))
    assert "offers 0 services" in why(ROUTER, asked("Organization/division"))


def test_who_is_unknown_closed_or_no_service_gets_nothing() -> None:
    assert "does not know" in why(ROUTER, asked("nobody"))
    assert "no longer offered" in why(ROUTER, asked("closed"))
    assert "a service or an organization" in why(ROUTER, asked("Location/gate"))


def test_rt04_a_reference_without_identifier_can_be_read(
    databases: Databases, tmp_path: Path
) -> None:
    mine = refer("Organization", "ura-00000001")
    bare = {**service("ura-00000001-s", "ura-00000001"), "endpoint": []}
    bare = {**bare, "type": [{"text": "zorg"}]}
    named = {**location("ura-00000001-l", "ura-00000001"), "managingOrganization": mine}
    named["identifier"] = [assigned(HOSPITAL, "ura-00000001-l")]

    async def run() -> None:
        folder = pki(tmp_path)
        async with databases.pool() as pool:
            records = Records(pool, utc_now, new_uuid)
            await records.prepare()
            await records.load(DIRECTORY, [bare, named])
            async with (
                served(folder, routes(records, utc_now, "")) as origin,
                caller(folder, CLINIC) as http,
            ):
                base = f"{origin}/fhir"
                route = Route(Placed(base, bare), Placed(base, at("x")), Placed(base, named))
                who, where = (e["valueReference"] for e in task_extensions(route))

                reply = await http.send("GET", who["reference"], deadline=5)

                assert json.loads(reply.body)["id"] == "ura-00000001-s"
                assert "identifier" not in who
                assert where["identifier"]["value"].startswith("urn:uuid:")
                assert where["reference"] == "Location/ura-00000001-l"

    asyncio.run(run())
