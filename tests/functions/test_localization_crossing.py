"""Random attempts across organizations at the index; `python -m benchmarks.crossing` makes
a million.
"""

import asyncio
from dataclasses import replace
from random import Random

from conftest import Databases
from functions.localization_cases import world

from openldn.base import log
from openldn.base.runtime import new_uuid
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.functions.localization.api import routes
from openldn.testbench.crossing import HOLDERS, PATIENTS, Crossing, PretendedTokens

ATTEMPTS = 1_000


def test_random_attempts_across_organizations_leak_nothing(databases: Databases) -> None:
    log.configure("test")  # lines for people cost more than the attempts

    async def run() -> None:
        async with world(databases) as one:
            tokens = PretendedTokens()
            index = replace(one.index, open=tokens.open)
            app = application(routes(index, "https://i.example"), role="test", new_id=new_uuid)
            crossing = Crossing(app, tokens, Random(4))
            await crossing.prepare()
            await crossing.run(ATTEMPTS, lanes=4)

            assert crossing.leaks == []
            assert sum(crossing.counts.values()) == ATTEMPTS
            assert min(crossing.counts.values()) > ATTEMPTS / 20
            assert await crossing.standing()
            async with index.pool.acquire() as db:
                assert await db.fetchval("SELECT count(*) FROM localization_record") == (
                    HOLDERS * PATIENTS
                )

    asyncio.run(run())


def test_the_attempts_notice_a_leak(databases: Databases) -> None:
    """Against an index that takes everybody for one organization, they must succeed."""

    log.configure("test")  # lines for people cost more than the attempts

    async def run() -> None:
        async with world(databases) as one:
            tokens = PretendedTokens()
            index = replace(one.index, open=tokens.open)
            app = application(routes(index, "https://i.example"), role="test", new_id=new_uuid)
            crossing = Crossing(app, tokens, Random(4))
            await crossing.prepare()
            victim = Ura("00000002")

            async def careless(scope: object, receive: object, send: object) -> None:
                caller = scope["openldn.caller"]  # type: ignore[index]
                scope["openldn.caller"] = replace(caller, organization=victim)  # type: ignore[index]
                await app(scope, receive, send)  # type: ignore[arg-type]

            broken = Crossing(careless, tokens, Random(4))
            broken.ids.update(crossing.ids)
            await broken.run(300)

            assert len(broken.leaks) > 5
            assert not await crossing.standing()

    asyncio.run(run())
