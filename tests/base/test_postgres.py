"""A PostgreSQL of our own: made whole or made anew, for its owner only, gone with its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from openldn.base import postgres
from openldn.base.errors import LdnError

KEEPER = """
import sys, time
from pathlib import Path
from openldn.base import postgres
place = postgres.cluster(Path(sys.argv[1]))
postgres.create(place)
process = postgres.start(place, Path(sys.argv[1]) / "log")
while not postgres.ready(place):
    time.sleep(0.02)
print(process.pid, flush=True)
time.sleep(60)
"""


def until(true: object, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster")
    for each in (folder, *folder.parents[:3]):
        if each.stat().st_uid == os.geteuid() and each != Path("/"):
            each.chmod(each.stat().st_mode | 0o055)
    return folder


def test_a_half_made_data_folder_is_made_anew(home: Path) -> None:
    place = postgres.cluster(home)
    place.data.mkdir(parents=True)
    (place.data / "PG_VERSION").write_text("18\n")
    (place.data.parent / "postgres.unfinished").touch()

    postgres.create(place)

    assert (place.data / "postgresql.conf").exists()
    assert not (place.data.parent / "postgres.unfinished").exists()


def test_a_data_folder_that_is_there_is_left_alone(home: Path) -> None:
    place = postgres.cluster(home)
    postgres.create(place)
    before = (place.data / "PG_VERSION").stat().st_mtime_ns

    postgres.create(place)

    assert (place.data / "PG_VERSION").stat().st_mtime_ns == before


def test_the_data_are_for_their_owner_only(home: Path) -> None:
    place = postgres.cluster(home)

    postgres.create(place)

    assert place.data.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(LdnError, match="choose another folder"):
        postgres.create(postgres.Cluster(tmp_path / "file" / "in", tmp_path, tmp_path))


def test_the_server_ends_when_its_parent_is_killed(home: Path) -> None:
    keeper = subprocess.Popen(
        [sys.executable, "-c", KEEPER, str(home)], stdout=subprocess.PIPE, text=True
    )
    assert keeper.stdout is not None
    number = int(keeper.stdout.readline())

    keeper.send_signal(signal.SIGKILL)
    keeper.wait()
    keeper.stdout.close()

    assert until(lambda: not Path(f"/proc/{number}").exists())
    assert not postgres.running(postgres.cluster(home))


def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.symlink_to(tmp_path)
    place = postgres.Cluster(tmp_path / "data", trap, tmp_path)

    with pytest.raises(LdnError, match="belongs to another"):
        postgres.start(place, tmp_path / "log")
