"""Ten thousand replays, in two processes and after a restart: none is taken. R46, A02; issue 3."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from conftest import Databases
from trust.parties import PRACTICE, World
from trust.tokens.presenting import Presenter, server

from openldn.base.sql import open_pool

REPLAYS = 2_500  # by each process, of each request, before and after the restart

# A process of its own: it shows the same requests again and again, and tells what was taken.
CHILD = """
import asyncio, json, sys
from datetime import datetime
from pathlib import Path
from trust.parties import PRACTICE, Time, World
from trust.tokens.presenting import server
from openldn.base.errors import LdnError
from openldn.base.sql import open_pool

folder, dsn, moment, times = sys.argv[1:]
forms = json.loads((Path(folder) / "forms.json").read_text())

class Kept(World):
    def __post_init__(self):
        pass  # the authority and its parties are there already

async def main():
    world = Kept(Path(folder), Time(datetime.fromisoformat(moment)))
    pool = await open_pool(dsn, size=8)
    at = server(world, pool, refusal=0.0)
    certificate = world.certificate(PRACTICE)
    taken, refused = 0, 0
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(int(times) // 50):
        done = await asyncio.gather(
            *(at.grant(form, certificate) for form in forms for _ in range(50)),
            return_exceptions=True,
        )
        assert all(isinstance(d, dict | LdnError) for d in done), done
        taken += sum(isinstance(d, dict) for d in done)
        refused += sum(isinstance(d, LdnError) for d in done)
    await pool.close()
    print(json.dumps([taken, refused]))

asyncio.run(main())
"""


def both(folder: Path, dsn: str, moment: str, times: int) -> list[list[int]]:
    """What two processes that begin at the same time were given."""
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), *sys.path])}
    command = [sys.executable, "-c", CHILD, str(folder), dsn, moment, str(times)]
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        for _ in range(2)
    ]
    for process in running:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    told = []
    for process in running:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        out, _ = process.communicate(timeout=240)
        assert process.returncode == 0
        told.append(json.loads(out))
    return told


def test_of_ten_thousand_replays_none_is_taken(databases: Databases, tmp_path: Path) -> None:
    world = World(tmp_path)
    moment = world.clock().isoformat()

    async def prepared() -> str:
        dsn = await databases.fresh()
        pool = await open_pool(dsn)
        await server(world, pool).store.prepare()
        await pool.close()
        return dsn

    dsn = asyncio.run(prepared())
    forms = [Presenter(world).one(), world.form(PRACTICE)]
    (tmp_path / "forms.json").write_text(json.dumps(forms))

    first = both(tmp_path, dsn, moment, REPLAYS // 2)
    again = both(tmp_path, dsn, moment, REPLAYS // 2)

    # each request was taken once, by whichever process came first, and never again
    assert sum(taken for taken, _ in first) == len(forms)
    assert sum(taken for taken, _ in again) == 0
    assert sum(refused for _, refused in (*first, *again)) == 4 * REPLAYS - len(forms)
