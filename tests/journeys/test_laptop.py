"""The network on a laptop starts, stops, falls and stands again; what goes wrong is told."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from journeys.laptop import HOSPITAL, Laptop, clear, fresh, openldn, reason, resources, until
from openldn.base import postgres


@pytest.fixture(scope="module")
def stage() -> Iterator[Laptop]:
    """One laptop for the tests of this module that make the network fall."""
    laptop = fresh()
    yield laptop
    clear(laptop)


@pytest.fixture
def standing(stage: Laptop) -> Laptop:
    """The network of this module, which stands and answers."""
    if stage.process is None or stage.process.poll() is not None:
        stage.up()
    return stage


def counts(laptop: Laptop) -> dict[str, int]:
    """How many records and audit events every provider keeps."""
    place = postgres.cluster(laptop.folder)

    async def run() -> dict[str, int]:
        found = {}
        for member in laptop.plan.members:
            db = await asyncpg.connect(place.dsn_of(f"openldn_{member.key}"))
            for table in ("record", "audit_event"):
                found[f"{member.key} {table}"] = await db.fetchval(f"SELECT count(*) FROM {table}")
            await db.close()
        return found

    return asyncio.run(run())


def records(laptop: Laptop) -> dict[str, int]:
    return {name: count for name, count in counts(laptop).items() if name.endswith("record")}


def nothing_lost(before: dict[str, int], after: dict[str, int]) -> bool:
    held = before["hospital record"] and before["hospital audit_event"]
    return held > 0 and all(after[name] >= before[name] for name in before)


def answers(laptop: Laptop) -> bool:
    """Whether the hospital gives the whole BgZ to the rehabilitation center."""
    reply = laptop.ask("rehabilitation", HOSPITAL)
    kinds = {r["resourceType"] for r in resources(reply)} if reply.status == 200 else set()
    return "Condition" in kinds and "OperationOutcome" not in kinds


def refused(laptop: Laptop) -> str:
    """What an `up` that cannot start tells."""
    done = openldn(*laptop.command()[3:])
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    told = refused(Laptop(tmp_path / "file" / "network"))
    assert f"cannot write in {tmp_path}/file/network" in told
    assert "--dir" in told


def test_a_port_in_use_is_named_with_its_part_and_the_way_out(laptop: Laptop) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", laptop.plan.ports["hospital"]))
        other.listen()
        told = refused(laptop)
    assert f"port {laptop.plan.ports['hospital']} (hospital)" in told
    assert "--port-base" in told
    assert not laptop.plan.network_file.exists()


def test_a_second_up_in_the_same_folder_is_refused_and_harms_nothing(standing: Laptop) -> None:
    before = standing.plan.network_file.read_bytes()
    told = refused(Laptop(standing.folder))
    assert f"a network already runs in {standing.folder}" in told
    assert standing.plan.network_file.read_bytes() == before
    assert answers(standing)


def test_network_json_tells_exactly_where_everything_is(standing: Laptop) -> None:
    told = json.loads(standing.plan.network_file.read_text(encoding="utf-8"))
    parts = {"version", "nodes", "services", "functions", "portals", "trust", "simulators"}
    assert set(told) == parts
    assert told["simulators"] == []  # only with --with-simulators
    base, pki = standing.base, f"{standing.folder}/pki"
    assert told["version"] == 1
    assert told["services"] == {
        "addressing": f"https://127.0.0.1:{base + 1}/fhir/R4",
        "broker": f"https://localhost:{base + 3}/oauth2/broker",
    }
    home = f"http://127.0.0.1:{base}/"
    beside = {"administration": f"{home}beheer/", "citizens": f"{home}mijn/"}
    assert told["portals"] == {"home": home, **beside}
    assert {f["key"]: f["api"] for f in told["functions"]} == {
        "addressing": f"https://127.0.0.1:{base + 1}",
        "localization": f"https://127.0.0.1:{base + 6}",
        "pseudonyms": f"https://127.0.0.1:{base + 7}",
        "consent": f"https://127.0.0.1:{base + 8}",
        "broker": f"https://localhost:{base + 3}",
    }
    revoked = f"http://127.0.0.1:{base + 2}/crl/issuing.crl"
    assert told["trust"] == {
        "ca": f"{pki}/ca.pem",
        "revocation": revoked,
        "saml": {
            f"https://localhost:{base + 3}/oauth2/broker": f"{pki}/broker-saml/pinned.pem",
            f"https://localhost:{base + 4}/sts": f"{pki}/zorgplatform/pinned.pem",
        },
    }
    assert len(told["nodes"]) == 5
    assert told["nodes"][0] == {
        "key": "hospital",
        "name": "Ziekenhuis De Brug",
        "ura": "90000001",
        "infrastructure": "zorgplatform",
        "api": f"https://127.0.0.1:{base + 10}/api",
        "fhir": {
            "STU3": f"https://127.0.0.1:{base + 10}/fhir/STU3",
            "R4": f"https://127.0.0.1:{base + 10}/fhir/R4",
        },
        "certificate": f"{pki}/hospital/server.pem",
        "key_file": f"{pki}/hospital/server.key",
    }


def test_network_json_is_whole_from_the_first_moment_it_is_there(standing: Laptop) -> None:
    standing.stop()
    standing.start()
    seen = ""

    def there() -> bool:
        nonlocal seen
        if not standing.plan.network_file.exists():
            return False
        seen = standing.plan.network_file.read_text(encoding="utf-8")
        return True

    while not there():
        assert standing.process is not None and standing.process.poll() is None, standing.said
    assert json.loads(seen)["version"] == 1
    assert list(standing.folder.glob(".network.json*")) == []  # the file it was written in first
    until(lambda: "all healthy" in standing.said, "all is told")
    assert "resources so far" not in standing.said  # what was loaded is not loaded again
    assert answers(standing)


def test_everything_listens_on_loopback_only(standing: Laptop) -> None:
    listening = {
        connection.laddr
        for pid in standing.pids()
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert {address.port for address in listening} == set(standing.plan.ports.values())


@pytest.mark.parametrize("part", ["hospital", "postgres"])
def test_a_part_that_is_killed_stands_again_by_itself_and_nothing_is_lost(
    standing: Laptop, part: str
) -> None:
    assert answers(standing)
    before = counts(standing)
    pid = min(standing.pids(part))
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid not in standing.pids(part), f"{part} fell", 10)
    until(lambda: answers(standing), "the whole BgZ comes again", 30)
    assert nothing_lost(before, counts(standing))
    assert "ended (signal 9), starting again" in standing.said


def test_after_a_kill_of_the_command_a_new_up_stands_without_loading_again(
    standing: Laptop,
) -> None:
    assert answers(standing)
    before = counts(standing)
    assert standing.tell(signal.SIGKILL) == -signal.SIGKILL
    standing.plan.network_file.unlink()  # what a kill leaves; `ready` waits for a new one
    standing.up()
    assert "resources so far" not in standing.said
    assert answers(standing)
    assert nothing_lost(before, counts(standing))


def test_ctrl_c_leaves_no_process_and_no_network_file(standing: Laptop) -> None:
    assert standing.stop() == 0
    assert standing.pids() == []
    assert not standing.plan.network_file.exists()
    assert not (standing.folder / "running").exists()


def test_loading_that_was_cut_off_is_completed(standing: Laptop, laptop: Laptop) -> None:
    whole = records(standing)
    laptop.start()
    until(lambda: "loading" in laptop.said, "loading began")
    laptop.tell(signal.SIGKILL)
    assert not (laptop.folder / "loaded.json").exists()
    laptop.up()
    assert records(laptop) == whole
    laptop.stop()
    (laptop.folder / "loaded.json").unlink()
    laptop.up()
    assert "resources so far" in laptop.said
    assert records(laptop) == whole


def test_a_database_server_of_ones_own_is_used(
    laptop: Laptop, database_server: postgres.Cluster
) -> None:
    laptop.up(OPENLDN_DATABASE_DSN=database_server.dsn)
    assert laptop.pids("postgres") == []
    assert not (laptop.folder / "postgres").exists()
    reply = laptop.ask("rehabilitation", HOSPITAL)
    assert reply.status == 200, reason(reply)
    assert answers(laptop)
