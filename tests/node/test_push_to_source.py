"""What is pushed to a node whose records stand in a source system goes straight to that system."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from conftest import Databases
from node.push_network import Pair, Stranger, pair
from node.small_network import CLINIC
from pushes import SYSTEM, document, observation, patient, transaction, urn
from starlette.requests import Request
from starlette.responses import Response

from openldn.base.errors import Issue, LdnError
from openldn.base.http import serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import open_pool
from openldn.conformity.stations import CareStation
from openldn.fhir.api import Interaction
from openldn.fhir.codec import dump, parse
from openldn.fhir.http import application
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.model import Place
from openldn.fhir.records.store import Records
from openldn.fhir.search.parse import parse_query
from openldn.node.push.settings import PushSettings

TAKES = PushSettings(accept=("referral/send",))
PLACE = Place(str(CLINIC), FhirVersion.R4)


@dataclass
class Ehr:
    """A source system that speaks FHIR itself, and may be away."""

    records: Records
    url: str = ""
    away: bool = False
    asked: list[str] = field(default_factory=list)

    async def guard(self, request: Request, interaction: Interaction) -> None:
        self.asked.append(interaction.code)
        if self.away:
            raise LdnError(Issue.TRANSIENT, "away")

    async def count(self, type_: str, value: str) -> int:
        query = parse_query(FhirVersion.R4, type_, [("identifier", value)])
        return len((await self.records.search(PLACE, query)).matches)


@asynccontextmanager
async def ehr(databases: Databases) -> AsyncIterator[Ehr]:
    pool = await open_pool(await databases.fresh())
    try:
        found = Ehr(Records(pool, utc_now, new_uuid))
        await found.records.prepare()
        station = CareStation(found.records, CLINIC, guard=found.guard)
        app = application(station.base(FhirVersion.R4, "/r4"), role="test", new_id=new_uuid)
        async with serving(app, "127.0.0.1", 0, None) as port:
            found.url = f"http://127.0.0.1:{port}/r4"
            yield found
    finally:
        await pool.close()


@asynccontextmanager
async def before(databases: Databases, pki: Path) -> AsyncIterator[tuple[Pair, Ehr]]:
    async with ehr(databases) as source, pair(databases, pki, TAKES, r4=source.url) as two:
        yield two, source


def test_pu22_a_push_goes_straight_to_the_source_system_and_once(
    databases: Databases, pki: Path
) -> None:
    async def run() -> None:
        async with before(databases, pki) as (two, source):
            done = await two.sender.pushed(transaction(patient(), observation(1), observation(2)))
            assert done["state"] == "accepted", done
            receipt = await two.sender.receipt(done["id"])
            told = [e["response"] for e in receipt["entry"]]
            assert [t["status"][:3] for t in told] == ["200", "201", "201"]
            assert "location" not in told[0] and told[1]["location"].startswith("Observation/")
            assert await source.count("Observation", f"{SYSTEM}|o-1") == 1
            assert await two.receiver.found("Observation") == []

            content = dump(transaction(patient(), observation(3)))
            replies = [await Stranger(two).post(content, urn(3)) for _ in range(2)]
            assert replies[0].body == replies[1].body
            assert source.asked.count("transaction") == 2

            wrong = observation(4)
            wrong["request"]["ifNoneExist"] = "code=1"
            batch = dump(transaction(patient(), wrong, observation(5), kind="batch"))
            reply = await Stranger(two).post(batch, urn(5))
            statuses = [e["response"]["status"][:3] for e in parse(reply.body)["entry"]]
            assert statuses == ["200", "422", "201"], reply.body

            paper = await two.sender.pushed(document())
            assert paper["state"] == "accepted", paper
            assert await source.count("Bundle", f"urn:ietf:rfc:3986|{urn(800)}") == 1

            source.away = True
            late = dump(transaction(patient(), observation(6)))
            refused: Response | object = await Stranger(two).post(late, urn(6))
            assert getattr(refused, "status", 0) == 502
            source.away = False
            assert (await Stranger(two).post(late, urn(6))).status == 200
            assert await source.count("Observation", f"{SYSTEM}|o-6") == 1

    asyncio.run(run())
