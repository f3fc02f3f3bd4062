"""openldn station: one FHIR API over plain HTTP, for conformance tests."""

import asyncio
import errno
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from openldn.base import log, postgres
from openldn.base.errors import Issue, LdnError
from openldn.base.http import serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import environment
from openldn.base.sql import open_pool
from openldn.conformity.stations import CareStation
from openldn.conformity.stations.bearers import Bearers
from openldn.conformity.stations.loading import Reading
from openldn.fhir.api import everyone
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.store import Records
from openldn.testbench.material import fill

HOLDER = Ura("00000000")  # nobody's: a station for tests belongs to no care provider
SHOWN = 20  # unreadable files named one by one
START = 30.0  # seconds the database may take to start
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

OPEN = """\
**********************************************************************
  INSECURE: this FHIR API is served over plain HTTP without any
  authentication. Whoever reaches {address} reads and changes it all.
  For conformance tests with fictitious data only. Never with patients.
**********************************************************************"""
TOKENS = """\
**********************************************************************
  INSECURE: this FHIR API is served over plain HTTP with fixed tokens.
  Whoever hears the traffic at {address} has the tokens and the data.
  For conformance tests with fictitious data only. Never with patients.
**********************************************************************"""


def station(  # noqa: PLR0913  (each is an option of the command)
    fhir: Annotated[FhirVersion, typer.Option(help="FHIR version served.")],
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)],
    load: Annotated[
        list[Path] | None, typer.Option(help="File or folder of FHIR JSON or XML; repeatable.")
    ] = None,
    unlocked: Annotated[
        bool, typer.Option("--open", help="Serve everyone, without authentication.")
    ] = False,
    tokens: Annotated[
        Path | None, typer.Option(help="JSON file: bearer token -> id of the one Patient it shows.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    dsn: Annotated[str, typer.Option(help="PostgreSQL to use instead of an embedded one.")] = "",
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Folder of the embedded PostgreSQL.")
    ] = None,
) -> None:
    """Serve one FHIR API over plain HTTP for conformance tests; INSECURE."""
    if not unlocked and tokens is None:
        text = "say --open (no authentication) or --tokens FILE; this station is for tests only"
        raise LdnError(Issue.INVALID, text)
    wish = Wish(fhir, host, port, Bearers.load(tokens) if tokens else None, tuple(load or ()))
    place = folder or Path("var") / f"station-{port}"
    given = dsn or environment().get("OPENLDN_DATABASE_DSN", "")
    log.configure("station", pretty=sys.stderr.isatty())
    uvloop.run(run(wish, given, place))


@dataclass(frozen=True)
class Wish:
    """What shall be served, where, to whom."""

    fhir: FhirVersion
    host: str
    port: int
    bearers: Bearers | None
    load: tuple[Path, ...] = ()

    @property
    def warning(self) -> str:
        """What must be said loudly."""
        return (TOKENS if self.bearers else OPEN).format(address=f"{self.host}:{self.port}")


async def run(wish: Wish, dsn: str, folder: Path) -> None:
    """Serve until SIGINT or SIGTERM."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    print(wish.warning, file=sys.stderr, flush=True)
    log.emit("insecure", setting="tokens" if wish.bearers else "open")
    require_free(wish.host, wish.port)
    async with database(dsn, folder) as found, pooled(found) as records:
        filled = await filling(wish, records, stopped)
        if filled:
            await serve(wish, records, stopped)
    log.emit("stopped")


async def filling(wish: Wish, records: Records, stopped: asyncio.Event) -> bool:
    """Load what was asked, unless we are stopped meanwhile; whether to go on."""
    work = asyncio.create_task(load_all(wish, records))
    halt = asyncio.create_task(stopped.wait())
    await asyncio.wait({work, halt}, return_when=asyncio.FIRST_COMPLETED)
    halt.cancel()
    if not work.done():
        work.cancel()
        await asyncio.wait({work})
        return False
    work.result()
    return True


async def serve(wish: Wish, records: Records, stopped: asyncio.Event) -> None:
    """Answer requests until we are stopped."""
    confine = wish.bearers.patient_of if wish.bearers else everyone
    station = CareStation(records, HOLDER, confine=confine)
    app = application(station.base(wish.fhir), role="station", new_id=new_uuid)
    async with serving(app, wish.host, wish.port, None) as port:
        log.emit("started", port=port)
        print(f"ready  http://{wish.host}:{port}  (FHIR {wish.fhir.number})", flush=True)
        await stopped.wait()


def require_free(host: str, port: int) -> None:
    """Raise LdnError(conflict) when another program listens there already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = {
                errno.EADDRINUSE: "is in use; stop that program or choose another --port",
                errno.EACCES: "may not be used by this user; choose another --port",
            }.get(error.errno or 0, "cannot be used; check --host and --port")
            raise LdnError(Issue.CONFLICT, f"port {port} {reason}") from error


@asynccontextmanager
async def database(dsn: str, folder: Path) -> AsyncIterator[str]:
    """The DSN to use: the one given, or that of a PostgreSQL of our own in `folder`."""
    if dsn:
        yield dsn
        return
    place = postgres.cluster(folder)
    await asyncio.to_thread(postgres.create, place)
    folder.mkdir(parents=True, exist_ok=True)
    if postgres.running(place):
        raise LdnError(Issue.CONFLICT, f"a station already runs in {folder}; choose another --dir")
    process = postgres.start(place, folder / "postgres.log")
    try:
        async with asyncio.timeout(START):
            while not await asyncio.to_thread(postgres.ready, place):
                if process.poll() is not None:
                    raise LdnError(Issue.TRANSIENT, f"no database; see {folder}/postgres.log")
                await asyncio.sleep(0.05)
        yield place.dsn
    finally:
        await asyncio.to_thread(postgres.stop, process)


@asynccontextmanager
async def pooled(dsn: str) -> AsyncIterator[Records]:
    """The record store in this database, ready for use."""
    pool = await open_pool(dsn, size=16)
    try:
        records = Records(pool, utc_now, new_uuid)
        await records.prepare()
        yield records
    finally:
        await pool.close()


@dataclass
class Tally:
    """What became of the files, told as it goes."""

    count: int = 0
    refused: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def refuse(self, file: Path, error: LdnError) -> None:
        """Remember a file that could not be read, and why."""
        at = f" at {error.where}" if error.where else ""
        self.refused.append(f"{file}: {error.message}{at}")

    def counted(self, resources: Iterable[Resource]) -> Iterator[Resource]:
        """The resources, counted as they pass."""
        for resource in resources:
            self.count += 1
            if self.count % 1000 == 0:
                print(f"loading  {self.count} resources", file=sys.stderr, flush=True)
            yield resource

    def tell(self) -> None:
        """Say how it went; raises LdnError(invalid) when not one file could be read."""
        for line in self.refused[:SHOWN]:
            print(f"not loaded  {line}", file=sys.stderr)
        if len(self.refused) > SHOWN:
            print(f"not loaded  {len(self.refused) - SHOWN} more files", file=sys.stderr)
        seconds = time.monotonic() - self.began
        files = f", {len(self.refused)} files not readable" if self.refused else ""
        print(f"loaded  {self.count} resources in {seconds:.1f} s{files}", flush=True)
        log.emit("loaded", count=self.count, milliseconds=round(seconds * 1000))
        if self.refused and not self.count:
            raise LdnError(Issue.INVALID, "--load: not one file could be read; see above")


async def load_all(wish: Wish, records: Records) -> None:
    """Put every resource of the files in the store, by its id."""
    if not wish.load:
        return
    tally, now = Tally(), utc_now()
    reading = Reading(wish.fhir, tally.refuse, lambda text: fill(text, now, new_uuid))
    place = CareStation(records, HOLDER).place(wish.fhir)

    async def passing() -> AsyncIterator[Resource]:
        for resource in tally.counted(reading.resources(wish.load)):
            yield resource
            await asyncio.sleep(0)  # so that a signal is heard between two files

    await records.load(place, passing())
    tally.tell()
