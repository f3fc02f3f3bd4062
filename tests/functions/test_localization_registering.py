"""Automatic registration: what the store holds, the index says; also after a kill."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from conftest import Databases
from functions.localization_cases import (
    HOSPITAL,
    JANSEN,
    PIETERSEN,
    World,
    client_of,
    patient_of,
    reached,
    world,
)
from functions.localization_worker import PLACE, registering

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import Pool, connection, open_pool
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.model import Change, Place
from openldn.fhir.records.store import Records
from openldn.functions.localization.categories import CATEGORIES
from openldn.functions.localization.client import LocalizationClient
from openldn.functions.localization.registering.model import Changes, Difference
from openldn.functions.localization.registering.records import RecordHoldings
from openldn.functions.localization.registering.service import Registering

BASES = {"list-2026": "/fhir", "ig-ministry": "/ig-ministry/fhir"}


@dataclass
class Node:
    """A holder with a record store, and an index it registers at."""

    index: World
    pool: Pool
    dsn: str
    records: Records
    client: LocalizationClient
    registering: Registering

    async def write(self, *changes: Change) -> None:
        await self.records.write(PLACE, changes)

    async def settle(self) -> None:
        """Look and tell until nothing is waiting."""
        await self.registering.look()
        while await self.registering.tell():
            pass

    async def says(self) -> set[tuple[str, str]]:
        """What the index says of this holder: id and category."""
        async with connection(self.index.index.pool) as db:
            rows = await db.fetch("SELECT lookup, category FROM localization_record")
        return {(row["lookup"].hex(), row["category"]) for row in rows}

    async def held(self, patient: Bsn) -> set[str]:
        """The categories the index has of a patient."""
        return {seen.category for seen in await self.client.registered(patient)}


@asynccontextmanager
async def node(databases: Databases, dialect: str = "list-2026") -> AsyncIterator[Node]:
    async with world(databases) as index, reached(index.index) as origin:
        dsn = await databases.fresh()
        pool, http = await open_pool(dsn), HttpClient(None)
        try:
            records = Records(pool, utc_now, new_uuid)
            await records.prepare()
            client = client_of(http, origin + BASES[dialect], HOSPITAL, index.pseudonyms, dialect)
            one = registering(pool, client)
            await one.prepare()
            yield Node(index, pool, dsn, records, client, one)
        finally:
            await http.close()
            await pool.close()


def told(
    databases: Databases, story: Callable[[Node], Awaitable[None]], dialect: str = "list-2026"
) -> None:
    async def run() -> None:
        async with node(databases, dialect) as one:
            await story(one)

    asyncio.run(run())


def person(id: str, bsn: Bsn) -> Change:
    identifier = [{"system": BSN_SYSTEM, "value": bsn.value}]
    body = {"resourceType": "Patient", "id": id, "identifier": identifier}
    return Change("update", "Patient", id, body)


def about(id: str, patient: str, kind: str = "Condition", **more: Any) -> Change:
    subject = {"subject": {"reference": f"Patient/{patient}"}}
    if kind == "AllergyIntolerance":
        subject = {"patient": subject["subject"]}
    return Change("update", kind, id, {"resourceType": kind, "id": id, **subject, **more})


def test_what_is_written_is_registered_and_what_goes_is_withdrawn(databases: Databases) -> None:
    async def story(one: Node) -> None:
        await one.registering.look()
        await one.write(person("p1", JANSEN), about("c1", "p1"))
        await one.settle()
        assert await one.client.holders(JANSEN) == [HOSPITAL]

        await one.write(Change("delete", "Condition", "c1"), Change("delete", "Patient", "p1"))
        await one.settle()
        assert await one.client.holders(JANSEN) == []
        assert (await one.registering.status()).registered == 0

    told(databases, story)


def test_what_was_there_before_registration_began_is_registered(databases: Databases) -> None:
    async def story(one: Node) -> None:
        await one.write(person("p1", JANSEN), person("p2", PIETERSEN))
        await one.settle()

        for patient in (JANSEN, PIETERSEN):
            assert await one.client.holders(patient) == [HOSPITAL]

    told(databases, story)


def test_each_category_comes_and_goes_with_its_data(databases: Databases) -> None:
    vital = [{"coding": [{"system": OBSERVED, "code": "vital-signs"}]}]

    async def story(one: Node) -> None:
        await one.registering.look()
        await one.write(
            person("p1", JANSEN),
            about("c1", "p1"),
            about("a1", "p1", "AllergyIntolerance"),
            about("o1", "p1", "Observation", category=vital),
        )
        await one.settle()
        everything = {"Patient", "Condition", "AllergyIntolerance", "ObservationVitalSigns"}
        assert await one.held(JANSEN) == everything

        await one.write(Change("delete", "AllergyIntolerance", "a1"))
        await one.settle()
        assert await one.held(JANSEN) == everything - {"AllergyIntolerance"}

    told(databases, story, "ig-ministry")


OBSERVED = "http://terminology.hl7.org/CodeSystem/observation-category"


def test_a_patient_whose_bsn_changes_is_withdrawn_under_the_old_one(databases: Databases) -> None:
    async def story(one: Node) -> None:
        await one.registering.look()
        await one.write(person("p1", JANSEN))
        await one.settle()
        await one.write(person("p1", PIETERSEN))
        await one.settle()

        assert await one.client.holders(JANSEN) == []
        assert await one.client.holders(PIETERSEN) == [HOSPITAL]

    told(databases, story)


def test_data_that_move_to_another_patient_move_in_the_index(databases: Databases) -> None:
    async def story(one: Node) -> None:
        await one.registering.look()
        await one.write(person("p1", JANSEN), person("p2", PIETERSEN), about("c1", "p1"))
        await one.settle()
        await one.write(about("c1", "p2"))
        await one.settle()

        assert await one.held(JANSEN) == {"Patient"}
        assert await one.held(PIETERSEN) == {"Patient", "Condition"}

    told(databases, story, "ig-ministry")


def test_while_the_index_is_away_wishes_wait_and_outlive_the_process(databases: Databases) -> None:
    async def story(one: Node) -> None:
        await one.registering.look()
        await one.write(person("p1", JANSEN))
        one.index.pseudonyms.active = False
        await one.settle()
        status = await one.registering.status()
        assert (status.registered, status.waiting, status.failing) == (0, 1, 1)

        one.index.pseudonyms.active = True
        later = registering(one.pool, one.client)
        later = replace(later, clock=lambda: utc_now() + timedelta(seconds=3))
        assert await later.tell() == 1
        assert await one.client.holders(JANSEN) == [HOSPITAL]
        assert (await one.registering.status()).waiting == 0

    told(databases, story)


def test_tries_that_fail_come_further_apart(databases: Databases) -> None:
    async def story(one: Node) -> None:
        await one.registering.look()
        await one.write(person("p1", JANSEN))
        await one.registering.look()
        one.index.pseudonyms.active = False
        moment, tried = utc_now(), []
        for second in range(40):
            clock = _at(moment + timedelta(seconds=second + 1))
            if await replace(one.registering, clock=clock).tell():
                tried.append(second)

        pauses = [b - a for a, b in pairwise(tried)]
        assert pauses == [1, 2, 4, 8, 16]

    told(databases, story)


def test_tries_without_end_still_come_at_the_longest_pause(databases: Databases) -> None:
    """An index that was away for days must not end the registration of a node."""

    async def story(one: Node) -> None:
        await one.registering.wishes.wish(JANSEN, [""], utc_now())
        async with connection(one.pool) as db:
            await db.execute("UPDATE localization_registration SET tries = 5000")
        one.index.pseudonyms.active = False
        assert await one.registering.tell() == 1
        assert (await one.registering.status()).failing == 1

    told(databases, story)


def test_registration_outlives_a_store_that_goes_away_while_it_tells(databases: Databases) -> None:
    async def story(one: Node) -> None:
        async def meanwhile() -> None:
            one.pool.terminate()

        await one.registering.wishes.wish(JANSEN, [""], utc_now())
        slow = replace(one.registering, index=Slow(one.client, meanwhile))
        assert await slow.tell() == 1
        with pytest.raises(LdnError):  # which `run` knows, and tries again
            await slow.tell()

    told(databases, story)


def _at(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment


class Slow:
    """An index at which something happens while it is spoken with."""

    def __init__(self, client: LocalizationClient, meanwhile: Callable[[], Awaitable[None]]):
        self.client, self.meanwhile = client, meanwhile

    async def register(self, patient: Bsn, category: str = "") -> None:
        await self.client.register(patient, category)
        await self.meanwhile()

    async def withdraw(self, patient: Bsn, category: str = "") -> None:
        await self.client.withdraw(patient, category)

    async def holders(self, patient: Bsn, category: str = "") -> list[Any]:
        return list(await self.client.holders(patient, category))


def test_data_that_go_while_they_are_registered_are_withdrawn_after(databases: Databases) -> None:
    async def story(one: Node) -> None:
        async def meanwhile() -> None:
            await one.registering.wishes.wish(JANSEN, [], utc_now())

        await one.registering.wishes.wish(JANSEN, [""], utc_now())
        slow = replace(one.registering, index=Slow(one.client, meanwhile))
        assert await slow.tell() == 1
        assert await one.client.holders(JANSEN) == [HOSPITAL]

        assert await one.registering.tell() == 1
        assert await one.client.holders(JANSEN) == []

    told(databases, story)


def test_what_one_process_is_telling_another_leaves_alone(databases: Databases) -> None:
    async def story(one: Node) -> None:
        wishes, now = one.registering.wishes, utc_now()
        await wishes.wish(JANSEN, [""], now)
        lease = timedelta(seconds=60)
        [task] = await wishes.take(now, lease, 10)

        await wishes.wish(JANSEN, [], now)
        assert await wishes.take(now + timedelta(seconds=59), lease, 10) == []
        [again] = await wishes.take(now + lease, lease, 10)
        assert (again.wanted, again.revision) == (False, task.revision + 1)

    told(databases, story)


def test_an_interrupted_look_is_made_again(databases: Databases) -> None:
    async def story(one: Node) -> None:
        await one.registering.look()
        await one.write(person("p1", JANSEN))
        holdings = Failing(one.registering.holdings)
        broken = replace(one.registering, holdings=holdings)
        with pytest.raises(LdnError):
            await broken.look()
        holdings.fails = False
        assert await broken.look() == 1
        assert await broken.look() == 0

    told(databases, story)


class Failing:
    """Holdings that cannot be asked for categories at the moment."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.fails = inner, True

    async def changed(self, since: str) -> Changes:
        found: Changes = await self.inner.changed(since)
        return found

    async def categories(self, patient: Bsn) -> frozenset[str]:
        if self.fails:
            raise LdnError(Issue.TRANSIENT, "the store is away")
        found: frozenset[str] = await self.inner.categories(patient)
        return found

    def patients(self) -> AsyncIterator[Bsn]:
        found: AsyncIterator[Bsn] = self.inner.patients()
        return found


@pytest.mark.parametrize("dialect", BASES)
def test_reconciliation_finds_and_repairs_every_kind_of_difference(
    databases: Databases, dialect: str
) -> None:
    async def story(one: Node) -> None:
        category = "Patient" if dialect == "ig-ministry" else ""
        await one.write(*(person(f"p{n}", patient_of(n)) for n in range(5)))
        await one.settle()
        assert await one.registering.compare(one.client) == Difference(5, 5)

        await one.client.withdraw(patient_of(0))  # behind our back
        await one.client.register(JANSEN, category)  # somebody we do not have
        async with connection(one.pool) as db:  # a patient and the wish, lost with a backup
            gone = patient_of(1).value
            await db.execute("DELETE FROM localization_registration WHERE patient = $1", gone)
            lost = await db.fetchval("DELETE FROM record WHERE id = 'p1' RETURNING rid")
            await db.execute("DELETE FROM record_token WHERE rid = $1", lost)
        await one.write(Change("delete", "Patient", "p2"))  # not looked at yet

        found = await one.registering.compare(one.client, repair=True)
        assert (found.missing, found.extra, found.orphans) == (1, 1, 2)
        assert not found.equal

        again = await one.registering.compare(one.client)
        assert again.equal and again.complete
        assert again.records == 3

    told(databases, story, dialect)


def test_every_category_can_be_asked_of_the_store_in_both_versions(databases: Databases) -> None:
    async def story(one: Node) -> None:
        for version in FhirVersion:
            place = Place(HOSPITAL.value, version)
            holdings = RecordHoldings(one.records, [place], utc_now)
            assert await holdings.categories(JANSEN) == frozenset()

    told(databases, story)
    assert len(CATEGORIES) == 28


def test_the_data_of_both_versions_are_registered(databases: Databases) -> None:
    async def story(one: Node) -> None:
        older = Place(HOSPITAL.value, FhirVersion.STU3)
        holdings = RecordHoldings(one.records, [PLACE, older], utc_now)
        both = replace(one.registering, holdings=holdings)
        await both.look()
        await one.records.write(older, [person("p9", PIETERSEN)])
        await one.write(person("p1", JANSEN))
        assert await both.look() == 2
        while await both.tell():
            pass

        for patient in (JANSEN, PIETERSEN):
            assert await one.client.holders(patient) == [HOSPITAL]

    told(databases, story)


def start(dsn: str, base: str, dialect: str) -> "subprocess.Popen[bytes]":
    """Registration in a process of its own."""
    root = Path(__file__).parents[2]
    arguments = (dsn, base, dialect)
    paths = f"{root / 'src'}:{root / 'tests'}"
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("localization_worker.py")), *arguments],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_after_kills_during_bursts_the_index_says_what_the_store_holds(
    databases: Databases,
) -> None:
    """Five times: writes come in bursts, registration is killed with -9 in the middle of them."""
    random = Random(20270302)

    async def burst(one: Node, people: range) -> None:
        for n in people:
            await one.write(person(f"p{n}", patient_of(n)), about(f"c{n}", f"p{n}"))
            if n and random.random() < 0.4:
                old = random.randrange(n)
                await one.write(Change("delete", "Condition", f"c{old}"))
                if random.random() < 0.7:
                    await one.write(Change("delete", "Patient", f"p{old}"))

    async def story(one: Node) -> None:
        base, killed = one.client.base, 0
        for turn in range(5):
            process = start(one.dsn, base, "list-2026")
            async with asyncio.TaskGroup() as group:
                group.create_task(burst(one, range(turn * 30, turn * 30 + 30)))
                group.create_task(_until(one, (await _told_so_far(one)) + 3, process))
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
        assert killed == 5
        assert await _told_so_far(one) > 0

        await asyncio.sleep(2.1)  # the leases of who was killed end
        one.registering = registering(one.pool, one.client)
        await one.settle()

        difference = await one.registering.compare(one.client)
        assert difference.equal and difference.complete
        async with connection(one.pool) as db:
            alive = await db.fetchval(
                "SELECT count(*) FROM record WHERE type = 'Patient' AND body IS NOT NULL"
            )
        assert difference.records == alive == len(await one.says())

    told(databases, story)


async def _told_so_far(one: Node) -> int:
    async with connection(one.index.index.pool) as db:
        return int(await db.fetchval("SELECT count(*) FROM localization_record"))


async def _until(one: Node, count: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the index was told so much; the process must not have ended by itself."""
    async with asyncio.timeout(60):
        while await _told_so_far(one) < count:
            assert process.poll() is None
            await asyncio.sleep(0.02)
