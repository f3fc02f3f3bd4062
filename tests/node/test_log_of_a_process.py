"""What a real process writes on standard error when libraries have something to say."""

import json
import subprocess
import sys
from pathlib import Path

from functions.wire_cases import CLINIC, HOSPITAL, identity, pki

from openldn.base.http import Identity

PROGRAM = """
import asyncio, logging, sys
from pathlib import Path
import uvloop
from openldn.base import log
from openldn.base.errors import LdnError
from openldn.base.http import HttpClient, Identity, client_context, server_context, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates import check_peer

def identity(certificate, key, ca):
    return Identity(Path(certificate), Path(key), Path(ca))

async def main():
    server, client = identity(*sys.argv[2:5]), identity(*sys.argv[5:8])
    http = HttpClient(client_context(client, check_peer(Ura(sys.argv[1]))))
    app = application([], role="test", new_id=new_uuid)
    async with serving(app, "127.0.0.1", 0, server_context(server)) as port:
        try:
            await http.send("GET", f"https://127.0.0.1:{port}/", deadline=5)
        except LdnError as error:
            print(error.message)
        await http.close()
    logging.getLogger("uvicorn.error").error("about 999911120")
    logging.getLogger("aiohttp.client").warning("about 999911120")

log.configure("node")
uvloop.run(main())
"""


def words(shown: Identity) -> list[str]:
    return [str(shown.certificate), str(shown.key), str(shown.ca)]


def test_a_server_that_is_another_leaves_only_lines_of_the_catalogue(tmp_path: Path) -> None:
    pki(tmp_path)
    server, client = identity(tmp_path, CLINIC), identity(tmp_path, HOSPITAL)

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, HOSPITAL.value, *words(server), *words(client)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.strip()  # the refusal reached who asked
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {line["event"] for line in lines} <= {"failed", "request"}
    assert "uvicorn.error" in [line.get("detail") for line in lines]
    assert "999911120" not in done.stderr
