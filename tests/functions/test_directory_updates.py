"""The update client: specification of addressing §7.3, §7.4 (rules D01-D05, D10, D18-D28)."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from conftest import Databases
from functions.directory_cases import (
    START,
    Told,
    Waited,
    administration,
    endpoint,
    follower,
    organization,
    speaking,
    told,
)
from starlette.responses import Response

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient
from openldn.fhir.model import Resource
from openldn.functions.addressing.directories import Directories
from openldn.functions.addressing.replica import newest, present
from openldn.functions.addressing.store import Replicas
from openldn.functions.addressing.update import AGGREGATE, REPLICATE, Feed, Report

Story = Callable[["World"], Awaitable[None]]


@dataclass
class World:
    """A store, a root directory, and providers' own directories."""

    store: Replicas
    http: HttpClient
    root: Told
    own: dict[str, Told] = field(default_factory=dict)
    waited: Waited = field(default_factory=Waited)

    def feed(self, base: str) -> Feed:
        # the root names https addresses; on this machine they are plain
        at = {f"https://{n}.example/fhir": t.base for n, t in self.own.items()}.get(base, base)
        return Feed(self.http, at, lambda: self.root.now, self.waited, deadline=5)

    def all(self, mode: str = REPLICATE) -> Directories:
        return Directories(
            self.store, follower(self.store, self.http, self.root, mode, self.waited), self.feed
        )

    async def kept(self, base: str = "") -> list[Resource]:
        held = await self.store.versions(base or self.root.base)
        return list(present(newest(held).values()))

    async def names(self) -> list[str]:
        return sorted(str(r.get("name", r["id"])) for r in await self.kept())


@asynccontextmanager
async def world(databases: Databases, *own: str) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(databases.pool())
        store = Replicas(pool)
        await store.prepare()
        root = await stack.enter_async_context(speaking(Told()))
        made = {name: await stack.enter_async_context(speaking(Told())) for name in own}
        http = HttpClient()
        stack.push_async_callback(http.close)
        yield World(store, http, root, made)


def in_a_world(databases: Databases, story: Story, *own: str) -> None:
    async def run() -> None:
        async with world(databases, *own) as made:
            await story(made)

    asyncio.run(run())


def report_of(reports: dict[str, Report]) -> Report:
    [report] = reports.values()
    return report


def test_d01_a_list_is_read_page_by_page_to_its_end(databases: Databases) -> None:
    async def story(world: World) -> None:
        for n in range(7):
            world.root.put(organization(f"o{n}", f"0000000{n}", name=f"zorg {n}"), 1)

        report = report_of(await world.all().update())

        assert (report.created, report.errors) == (7, ())
        assert len(await world.names()) == 7

    in_a_world(databases, story)


def test_d01_types_come_in_their_order_one_after_another(databases: Databases) -> None:
    async def story(world: World) -> None:
        await world.all().update()

        types = [path.partition("?")[0] for path in world.root.asked]
        assert types == [
            path
            for type in (
                *("Organization", "Location", "HealthcareService", "Endpoint"),
                "OrganizationAffiliation",
            )
            for path in (type, f"{type}/_history")
        ]

    in_a_world(databases, story)


def test_d02_what_changes_during_the_first_load_is_caught_up(databases: Databases) -> None:
    async def story(world: World) -> None:
        for n in range(4):
            world.root.put(organization(f"o{n}", name=f"zorg {n}"), 1)

        def meanwhile() -> None:
            world.root.put(organization("o0", name="changed"), 2)
            world.root.put(organization("new", name="fresh"), 1)
            world.root.remove("Organization", "o3", 2)

        world.root.during = meanwhile
        await world.all().update()

        assert await world.names() == ["changed", "fresh", "zorg 1", "zorg 2"]

    in_a_world(databases, story)


def test_d03_the_watermark_is_inclusive_and_a_replay_changes_nothing(
    databases: Databases,
) -> None:
    async def story(world: World) -> None:
        world.root.put(organization("o1", name="zorg"), 1)
        directories = world.all()
        await directories.update()

        again = report_of(await directories.update())

        assert again == Report()
        assert any("_history?_since=2026" in a for a in world.root.asked)
        assert len([a for a in world.root.asked if a.startswith("Organization?")]) == 1

    in_a_world(databases, story)


def test_d03_the_watermark_moves_also_when_nothing_was_written(databases: Databases) -> None:
    async def story(world: World) -> None:
        directories = world.all()
        await directories.update()
        world.root.now += timedelta(hours=1)
        await directories.update()

        marks = await world.store.watermarks(world.root.base)
        assert set(marks.values()) == {START + timedelta(hours=1)}

    in_a_world(databases, story)


def test_d04_an_older_version_in_the_history_changes_nothing(databases: Databases) -> None:
    async def story(world: World) -> None:
        world.root.put(organization("o1", name="old"), 1)
        world.root.put(organization("o1", name="new"), 2)
        directories = world.all()
        await directories.update()
        world.root.history.reverse()  # oldest first
        world.root.history.append(world.root.history[0])

        await directories.update()

        assert await world.names() == ["new"]

    in_a_world(databases, story)


def test_d05_a_reference_to_what_is_not_known_is_accepted(databases: Databases) -> None:
    async def story(world: World) -> None:
        lost = {"reference": "Organization/unknown"}
        world.root.put(endpoint("e1", managingOrganization=lost), 1)

        report = report_of(await world.all().update())

        assert (report.created, report.errors, report.warnings) == (1, (), ())

    in_a_world(databases, story)


def test_d10_a_directory_that_asks_for_patience_gets_it(databases: Databases) -> None:
    async def story(world: World) -> None:
        world.root.failing = [
            Response(status_code=429, headers={"retry-after": "17"}),
            Response(status_code=503),
        ]

        report = report_of(await world.all().update())

        assert report.errors == ()
        assert world.waited.seconds[0] >= 17
        assert len(world.waited.seconds) == 2

    in_a_world(databases, story)


def test_d10_a_date_to_wait_for_is_understood(databases: Databases) -> None:
    async def story(world: World) -> None:
        later = "Wed, 25 Nov 2026 12:00:40 GMT"
        world.root.failing = [Response(status_code=429, headers={"retry-after": later})]

        await world.all().update()

        assert world.waited.seconds == [40.0]

    in_a_world(databases, story)


def test_d10_who_asks_for_an_hour_is_left_alone_for_an_hour(databases: Databases) -> None:
    async def story(world: World) -> None:
        world.root.failing = [Response(status_code=429, headers={"retry-after": "3600"})]
        directories = world.all()

        first = report_of(await directories.update())
        asked = len(world.root.asked)
        second = report_of(await directories.update())
        world.root.now += timedelta(seconds=3601)
        third = report_of(await directories.update())

        assert "asks us to wait" in first.errors[0]
        assert "asked us to wait" in second.errors[0]
        assert (asked, third.errors) == (1, ())
        assert world.waited.seconds == []

    in_a_world(databases, story)


def test_nothing_is_served_before_the_first_pass_is_complete(databases: Databases) -> None:
    async def story(world: World) -> None:
        world.root.put(organization("o1", "00000001"), 1)
        directories = world.all()
        busy = Response(status_code=500)

        with pytest.raises(LdnError, match="not copied to its end yet") as refusal:
            await directories.entries()
        assert refusal.value.issue is Issue.TRANSIENT
        world.root.failing = [busy]
        failed = report_of(await directories.update())
        assert "status 500" in failed.errors[0]
        with pytest.raises(LdnError):
            await directories.entries()

        await directories.update()
        assert len(await directories.entries()) == 1

    in_a_world(databases, story)


def test_a_pass_that_broke_off_is_done_again_from_the_last_good_watermark(
    databases: Databases,
) -> None:
    async def story(world: World) -> None:
        for n in range(5):
            world.root.put(organization(f"o{n}", name=f"zorg {n}"), 1)
        directories = world.all()

        def broken() -> None:
            world.root.failing = [Response(status_code=500)]

        world.root.during = broken
        first = report_of(await directories.update())
        assert first.errors and await world.store.watermarks(world.root.base) == {}
        assert len(await world.names()) == 2  # the page that came is kept

        # another process, another day
        second = report_of(await world.all().update())
        assert (second.created, second.errors) == (3, ())

    in_a_world(databases, story)


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b'{"resourceType":"Patient"}',
        b'{"resourceType":"Bundle","type":"searchset","link":[{"relation":"next",'
        b'"url":"https://elsewhere.example/fhir/Organization"}]}',
    ],
)
def test_an_answer_that_makes_no_sense_is_told(databases: Databases, body: bytes) -> None:
    async def story(world: World) -> None:
        world.root.failing = [Response(body)]

        report = report_of(await world.all().update())

        assert len(report.errors) == 1
        assert "elsewhere.example" not in report.errors[0]

    in_a_world(databases, story)


def test_a_list_without_end_is_left(databases: Databases) -> None:
    async def story(world: World) -> None:
        url = f"{world.root.base}/Organization?at=1"
        link = [{"relation": "next", "url": url}]
        body = {"resourceType": "Bundle", "type": "searchset", "link": link}
        world.root.failing = [Response(json.dumps(body)) for _ in range(3)]

        report = report_of(await world.all().update())

        assert report.errors
        assert len(world.root.asked) == 2

    in_a_world(databases, story)


def test_without_its_own_time_the_date_of_the_answer_counts(databases: Databases) -> None:
    async def story(world: World) -> None:
        world.root.stamped = False
        await world.all().update()

        marks = await world.store.watermarks(world.root.base)
        assert len(marks) == 5

    in_a_world(databases, story)


def reading(*, alpha: str = "00000001", beta: str = "") -> list[Resource]:
    """The root: organizations, and by an Endpoint the directory of each."""
    found: list[Resource] = []
    for name, ura in (("alpha", alpha), ("beta", beta)):
        if ura:
            found.append(organization(name, ura, name=f"{name} volgens LRZa"))
            found.append(administration(f"adm-{name}", f"https://{name}.example/fhir", name))
    return found


async def aggregated(world: World) -> tuple[dict[str, Report], list[Resource]]:
    directories = world.all(AGGREGATE)
    reports = await directories.update()
    return reports, [p.resource for p in await directories.entries()]


def ids(resources: list[Resource]) -> set[str]:
    return {f"{r['resourceType']}/{r['id']}" for r in resources}


WARNED = "https://alpha.example/fhir"


def test_d19_organizations_outside_the_tree_are_skipped_with_a_warning(
    databases: Databases,
) -> None:
    async def story(world: World) -> None:
        for n, resource in enumerate(reading()):
            world.root.put(resource, n + 1)
        own = world.own["alpha"]
        loop = {"reference": "Organization/b"}
        for resource in (
            organization("main", "00000001", name="alpha zelf"),
            organization("ward", partOf={"reference": "Organization/main"}),
            organization("two", "00000001", "00000002"),
            organization("foreign", "00000009"),
            organization("bare"),
            organization("a", partOf=loop),
            organization("b", partOf={"reference": "Organization/a"}),
        ):
            own.put(resource, 1)

        reports, entries = await aggregated(world)

        assert ids(entries) == {"Organization/main", "Organization/ward"}
        warned = reports[WARNED].warnings
        assert {w.partition(":")[0] for w in warned} == {
            "Organization/two",
            "Organization/foreign",
            "Organization/bare",
            "Organization/a",
            "Organization/b",
        }

    in_a_world(databases, story, "alpha")


def test_d19_a_chain_of_more_than_ten_is_not_followed(databases: Databases) -> None:
    async def story(world: World) -> None:
        for n, resource in enumerate(reading()):
            world.root.put(resource, n + 1)
        world.own["alpha"].put(organization("p0", "00000001"), 1)
        for n in range(1, 13):
            above = {"reference": f"Organization/p{n - 1}"}
            world.own["alpha"].put(organization(f"p{n}", partOf=above), 1)

        _, entries = await aggregated(world)

        assert len([r for r in entries if r["resourceType"] == "Organization"]) == 10

    in_a_world(databases, story, "alpha")


def test_d20_services_and_locations_without_an_organization_are_skipped(
    databases: Databases,
) -> None:
    async def story(world: World) -> None:
        for n, resource in enumerate(reading()):
            world.root.put(resource, n + 1)
        mine, lost = {"reference": "Organization/main"}, {"reference": "Organization/other"}
        for resource in (
            organization("main", "00000001"),
            {"resourceType": "HealthcareService", "id": "in", "providedBy": mine},
            {"resourceType": "HealthcareService", "id": "none"},
            {"resourceType": "HealthcareService", "id": "lost", "providedBy": lost},
            {"resourceType": "Location", "id": "in", "managingOrganization": mine},
            {"resourceType": "Location", "id": "none"},
            {"resourceType": "PractitionerRole", "id": "none"},
        ):
            world.own["alpha"].put(resource, 1)

        reports, entries = await aggregated(world)

        assert ids(entries) == {"Organization/main", "HealthcareService/in", "Location/in"}
        assert len(reports[WARNED].warnings) == 4

    in_a_world(databases, story, "alpha")


def test_d21_an_endpoint_nobody_refers_to_is_skipped(databases: Databases) -> None:
    async def story(world: World) -> None:
        for n, resource in enumerate(reading()):
            world.root.put(resource, n + 1)
        mine = {"reference": "Organization/main"}
        for resource in (
            organization("main", "00000001", endpoint=[{"reference": "Endpoint/direct"}]),
            {
                "resourceType": "HealthcareService",
                "id": "s",
                "providedBy": mine,
                "endpoint": [{"reference": "Endpoint/service"}],
            },
            {
                "resourceType": "HealthcareService",
                "id": "stray",
                "endpoint": [{"reference": "Endpoint/stray"}],
            },
            endpoint("direct"),
            endpoint("service"),
            endpoint("stray"),
            endpoint("loose", managingOrganization=mine),
        ):
            world.own["alpha"].put(resource, 1)

        reports, entries = await aggregated(world)

        found = {i for i in ids(entries) if i.startswith("Endpoint")}
        assert found == {"Endpoint/direct", "Endpoint/service"}
        assert sum("refers" in w for w in reports[WARNED].warnings) == 2

    in_a_world(databases, story, "alpha")


def test_d25_an_organization_that_gets_another_ura_is_read_anew(databases: Databases) -> None:
    async def story(world: World) -> None:
        for n, resource in enumerate(reading()):
            world.root.put(resource, n + 1)
        own = world.own["alpha"]
        own.put(organization("main", "00000009"), 1)
        directories = world.all(AGGREGATE)
        await directories.update()
        own.put(organization("main", "00000001"), 2)
        own.asked.clear()

        reports = await directories.update()

        assert reports[WARNED].errors == ()
        assert any(a.startswith("Organization?") for a in own.asked)
        assert ids([p.resource for p in await directories.entries()]) == {"Organization/main"}

    in_a_world(databases, story, "alpha")


def test_d26_the_name_is_that_of_the_root(databases: Databases) -> None:
    async def story(world: World) -> None:
        for n, resource in enumerate(reading()):
            world.root.put(resource, n + 1)
        world.own["alpha"].put(organization("main", "00000001", name="Wij zelf"), 1)

        _, entries = await aggregated(world)

        assert [r["name"] for r in entries] == ["alpha volgens LRZa"]

    in_a_world(databases, story, "alpha")


def test_d27_a_directory_that_the_root_no_longer_names_is_forgotten(
    databases: Databases,
) -> None:
    async def story(world: World) -> None:
        for n, resource in enumerate(reading()):
            world.root.put(resource, n + 1)
        world.own["alpha"].put(organization("main", "00000001"), 1)
        directories = world.all(AGGREGATE)
        await directories.update()
        assert len(await directories.entries()) == 1
        world.root.remove("Endpoint", "adm-alpha", 9)

        reports = await directories.update()

        assert reports[WARNED].deleted == 1
        assert await world.store.directories() == [world.root.base]
        [left] = await directories.entries()
        assert left.directory == world.root.base

    in_a_world(databases, story, "alpha")


def test_d28_one_directory_that_fails_does_not_stop_the_others(databases: Databases) -> None:
    async def story(world: World) -> None:
        for n, resource in enumerate(reading(beta="00000002")):
            world.root.put(resource, n + 1)
        world.own["alpha"].failing = [Response(status_code=500)]
        world.own["beta"].put(organization("main", "00000002"), 1)

        reports, entries = await aggregated(world)

        assert "status 500" in reports[WARNED].errors[0]
        assert reports["https://beta.example/fhir"].created == 1
        assert "Organization/main" in ids(entries)

    in_a_world(databases, story, "alpha", "beta")


def test_in_the_national_directory_people_are_left_out(databases: Databases) -> None:
    async def story(world: World) -> None:
        world.root.put({"resourceType": "Practitioner", "id": "p"}, 1)
        world.root.put(organization("o1", "00000001"), 1)
        await world.all().update()

        assert ids(await world.kept()) == {"Organization/o1"}

    in_a_world(databases, story)


def test_a_report_has_the_shape_others_know() -> None:
    assert Report(1, 2, 3, ("w",), ("e",)).as_json() == {
        "created": 1,
        "updated": 2,
        "deleted": 3,
        "warnings": ["w"],
        "errors": ["e"],
    }


def test_d24_an_entry_without_request_is_told_in_the_report(databases: Databases) -> None:
    async def story(world: World) -> None:
        world.root.put(organization("o1", "00000001"), 1)
        del world.root.history[0]["request"]
        world.root.history.append(told({**world.root.standing[0], "id": "o2"}))

        report = report_of(await world.all().update())

        assert report.errors == ()
        assert len(report.warnings) == 1 and "without request" in report.warnings[0]
        assert report.created == 2

    in_a_world(databases, story)


def test_it_goes_on_every_quarter_of_an_hour_with_an_offset_of_its_own(
    databases: Databases,
) -> None:
    async def story(world: World) -> None:
        directories, waited = world.all(), list[float]()

        async def pause(seconds: float) -> None:
            waited.append(seconds)
            world.root.put(organization(f"o{len(waited)}", name=f"zorg {len(waited)}"), 1)
            if len(waited) == 3:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await directories.keep(pause, lambda: 7.5)

        assert waited == [907.5] * 3
        assert await world.names() == ["zorg 1", "zorg 2"]

    in_a_world(databases, story)


def test_a_directory_that_never_came_is_left_out_and_the_root_speaks_for_it(
    databases: Databases,
) -> None:
    async def story(world: World) -> None:
        for n, resource in enumerate(reading()):
            world.root.put(resource, n + 1)
        world.own["alpha"].failing = [Response(status_code=500)]

        reports, entries = await aggregated(world)

        assert reports[WARNED].errors
        assert ids(entries) == {"Organization/alpha"}

    in_a_world(databases, story, "alpha")
