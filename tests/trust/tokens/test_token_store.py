"""The tables of tokens: what an older version kept still counts."""

import asyncio
from datetime import timedelta
from pathlib import Path

from conftest import Databases
from trust.parties import HOSPITAL, PRACTICE, Time

import openldn.trust.tokens
from openldn.base.sql import connection, migrate
from openldn.trust.tokens.store import TokenStore

MIGRATIONS = Path(openldn.trust.tokens.__file__).parent / "migrations"


def test_what_was_used_before_the_upgrade_stays_used(databases: Databases, tmp_path: Path) -> None:
    now = Time()()
    first = MIGRATIONS / "0001_create_tokens.sql"
    (tmp_path / first.name).write_text(first.read_text())

    async def inside() -> None:
        async with databases.pool() as pool:
            await migrate(pool, "trust.tokens", tmp_path)
            async with connection(pool) as db:
                await db.execute(
                    "INSERT INTO used_assertion VALUES ($1, $2, $3, $4)",
                    HOSPITAL.value,
                    PRACTICE.value,
                    "jti-00000001",
                    now + timedelta(minutes=5),
                )
            store = TokenStore(pool)
            await store.prepare()
            values = [f"{PRACTICE}|jti-00000001", f"{PRACTICE}|jti-00000002"]

            fresh = await store.use(HOSPITAL, values, now + timedelta(minutes=5))

            assert fresh == {f"{PRACTICE}|jti-00000002"}

    asyncio.run(inside())
