"""openldn directory: who takes part, at which address, and whether that address works."""

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openldn.base import log
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Identity, client_context
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import environment
from openldn.base.sql import open_pool
from openldn.cli.network import identity_of, network_at, node_of
from openldn.fhir.identifiers import Ura
from openldn.fhir.records.store import Records
from openldn.functions.addressing.aggregate import Placed
from openldn.functions.addressing.directories import Directories
from openldn.functions.addressing.health import OK, Health, Prober, shown
from openldn.functions.addressing.importing import LARGEST, Imported, ImportReport, bring_in
from openldn.functions.addressing.importing import read as read_import
from openldn.functions.addressing.lookup import Book, Listing, Need, Wanted, hidden
from openldn.functions.addressing.store import Replicas
from openldn.functions.addressing.update import AGGREGATE, REPLICATE, TYPES, Feed, Follower, Report

_READ = 256 * 1024  # bytes of an address's description that are looked at
_JITTER = 60.0  # seconds

NetworkOption = Annotated[
    Path | None, typer.Option("--network", help="Folder of a running network.")
]
NodeOption = Annotated[
    str, typer.Option("--node", help="Key of the node that asks; default the first.")
]
DirectoryOption = Annotated[
    str, typer.Option("--directory", help="FHIR base of the directory, instead of --network.")
]
Certificate = Annotated[Path | None, typer.Option(help="Certificate we show (PEM).")]
KeyFile = Annotated[Path | None, typer.Option(help="Its key (PEM).")]
Ca = Annotated[Path | None, typer.Option(help="Authorities to believe (PEM).")]
Dsn = Annotated[str, typer.Option(help="PostgreSQL of the copy; default OPENLDN_DATABASE_DSN.")]
Mode = Annotated[str, typer.Option(help=f"{REPLICATE} or {AGGREGATE}.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True)
class Where:
    """Which directory is asked, and as whom."""

    base: str
    identity: Identity


@dataclass(frozen=True)
class Opened:
    """A directory within reach; with a database also its copy."""

    http: HttpClient
    directories: Directories | None
    feed: Feed


def find(  # noqa: PLR0913  (each is an option of the command)
    name: Annotated[str, typer.Argument(help="Name, as you would type it.")] = "",
    ura: Annotated[str, typer.Option(help="URA number.")] = "",
    town: Annotated[str, typer.Option(help="Town.")] = "",
    service: Annotated[str, typer.Option(help="Kind of service: a code or a word.")] = "",
    payload: Annotated[str, typer.Option(help="Code of what it must serve.")] = "",
    category: Annotated[str, typer.Option(help="Data category it must give.")] = "",
    inactive: Annotated[
        bool, typer.Option("--inactive", help="Also who no longer takes part.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most this many.")] = 20,
    network: NetworkOption = None,
    node: NodeOption = "",
    directory: DirectoryOption = "",
    certificate: Certificate = None,
    key_file: KeyFile = None,
    ca: Ca = None,
    dsn: Annotated[str, typer.Option(help="Look in the copy in this PostgreSQL instead.")] = "",
    mode: Mode = REPLICATE,
    as_json: AsJson = False,
) -> None:
    """Find a care provider by number, name, town, kind of service or what it serves.

    Typing errors, accents and "St." for "Sint" do not matter; the best fit comes first.
    """
    if not any((name, ura, town, service, payload, category)):
        raise LdnError(Issue.INVALID, "say whom you look for: a name, or --ura, --town, --service")
    need = Need(payload, category) if payload or category else None
    number = Ura.parse(ura) if ura else None
    wanted = Wanted(number, name, town, service, need, inactive, limit)
    where = _where(locals())
    found = asyncio.run(_found(where, _mode(mode), dsn, wanted))
    if as_json:
        print(json.dumps([_plain(f) for f in found], ensure_ascii=False, indent=2))
    else:
        _show(("fit", "URA", "name", "town", "id"), [_row(f) for f in found], "nobody fits")


def sync(  # noqa: PLR0913
    network: NetworkOption = None,
    node: NodeOption = "",
    directory: DirectoryOption = "",
    certificate: Certificate = None,
    key_file: KeyFile = None,
    ca: Ca = None,
    dsn: Dsn = "",
    mode: Mode = REPLICATE,
    anew: Annotated[bool, typer.Option("--anew", help="Forget the copy first.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Go on, a pass every quarter of an hour.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the copy of the directory up to date; exit code 1 when a directory failed."""
    log.configure("directory", pretty=sys.stderr.isatty())  # beside what is printed, not in it
    reports = asyncio.run(_synced(_where(locals()), _mode(mode), _database(dsn), anew, keep))
    if as_json:
        told = {base: report.as_json() for base, report in reports.items()}
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        _tell(reports)
    if any(report.errors for report in reports.values()):
        raise typer.Exit(1)


def probe(  # noqa: PLR0913
    network: NetworkOption = None,
    node: NodeOption = "",
    directory: DirectoryOption = "",
    certificate: Certificate = None,
    key_file: KeyFile = None,
    ca: Ca = None,
    dsn: Annotated[str, typer.Option(help="Probe the copy in this PostgreSQL, and note it.")] = "",
    mode: Mode = REPLICATE,
    deadline: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds per address.")] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Try every address in the directory; exit code 1 when one does not work."""
    found = asyncio.run(_probed(_where(locals()), _mode(mode), dsn, deadline))
    if as_json:
        told = [_healthy(h) for h in found]
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        rows = [
            (s.kind, s.endpoint, s.address, s.said, f"{s.ok:%F %T}" if s.ok else "never")
            for s in shown(found, utc_now())
        ]
        heads = ("result", "endpoint", "address", "what it means", "last worked (UTC)")
        _show(heads, rows, "no addresses in the directory")
    if any(h.kind != OK for h in found):
        raise typer.Exit(1)


def import_(
    file: Annotated[Path, typer.Argument(help="A Bundle of the LRZa, or a list of ZORG-AB.")],
    dsn: Annotated[
        str, typer.Option(help="PostgreSQL of the directory; default OPENLDN_DATABASE_DSN.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing; tell what would happen.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring what another address book holds into our directory; again changes nothing.

    What an owner wrote itself is left as it is.
    """
    imported = read_import(_content(file))
    report = asyncio.run(_imported(_database(dsn), imported, dry_run))
    if as_json:
        print(json.dumps(report.as_json(), ensure_ascii=False, indent=2))
        return
    would = "would be " if dry_run else ""
    counts = f"{report.created} {would}created, {report.updated} {would}updated"
    print(f"{counts}, {report.same} the same, {len(report.skipped)} skipped")
    for kind, lines in (("skipped", report.skipped), ("warning", report.warnings)):
        for line in lines:
            print(f"{kind}: {line}")


import_.__name__ = "import"
directory = (find, import_, sync, probe)


def _where(typed: Mapping[str, Any]) -> Where:
    """The directory that was typed; raises LdnError(invalid | not-found) when it is not one."""
    if typed["network"] is not None:
        known = network_at(typed["network"])
        if not known.nodes:
            raise LdnError(Issue.NOT_FOUND, "this network has no nodes")
        one = node_of(known, typed["node"]) if typed["node"] else known.nodes[0]
        base = typed["directory"] or known.services.get("addressing", "")
        return Where(base.rstrip("/"), identity_of(known, one))
    base = str(typed["directory"])
    if not base.startswith("https://"):
        raise LdnError(Issue.INVALID, "give --network, or --directory with its https address")
    files = [typed[name] for name in ("certificate", "key_file", "ca")]
    if not all(files):
        raise LdnError(Issue.INVALID, "with --directory give --certificate, --key-file and --ca")
    return Where(base.rstrip("/"), Identity(*files))


def _mode(text: str) -> str:
    if text not in TYPES:
        raise LdnError(Issue.INVALID, f"--mode: choose {' or '.join(TYPES)}")
    return text


def _database(dsn: str) -> str:
    found = dsn or environment().get("OPENLDN_DATABASE_DSN", "")
    if not found:
        raise LdnError(Issue.INVALID, "give --dsn, or set OPENLDN_DATABASE_DSN")
    return found


def _content(file: Path) -> bytes:
    try:
        if file.stat().st_size > LARGEST:
            raise LdnError(Issue.TOO_LONG, f"{file} is larger than {LARGEST} bytes; split it")
        return file.read_bytes()
    except OSError as error:
        text = f"cannot read {file}: {error.strerror}"
        raise LdnError(Issue.NOT_FOUND, text) from error


@asynccontextmanager
async def _open(where: Where, mode: str, dsn: str) -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:
        http = HttpClient(client_context(where.identity))
        stack.push_async_callback(http.close)

        def feed(base: str) -> Feed:
            return Feed(http, base, utc_now, asyncio.sleep)

        root, directories = feed(where.base), None
        if dsn:
            pool = await open_pool(dsn)
            stack.push_async_callback(pool.close)
            store = Replicas(pool)
            await store.prepare()
            directories = Directories(store, Follower(store, root, mode), feed)
        yield Opened(http, directories, root)


async def _entries(opened: Opened) -> list[Placed]:
    """The copy where there is one, else the directory itself, whole."""
    if opened.directories is not None:
        return await opened.directories.entries()
    found = []
    for type in TYPES[REPLICATE]:
        async for page in opened.feed.pages(type, {}, type):
            found += [Placed(opened.feed.base, v.resource) for v in page.versions if v.resource]
    return found


async def _found(where: Where, mode: str, dsn: str, wanted: Wanted) -> list[Listing]:
    async with _open(where, mode, dsn) as opened:
        return Book(await _entries(opened)).find(wanted, utc_now())


async def _synced(where: Where, mode: str, dsn: str, anew: bool, keep: bool) -> dict[str, Report]:
    async with _open(where, mode, dsn) as opened:
        assert opened.directories is not None  # noqa: S101
        reports = await opened.directories.update(anew=anew)
        if keep:
            offset = random.Random()  # noqa: S311  (no secret: it spreads the load)
            await opened.directories.keep(asyncio.sleep, lambda: offset.uniform(0, _JITTER))
        return reports


async def _probed(where: Where, mode: str, dsn: str, deadline: float) -> list[Health]:
    async with _open(where, mode, dsn) as opened:
        http = HttpClient(opened.http.context, largest=_READ)
        prober = Prober(http, utc_now, deadline)
        try:
            if opened.directories is not None:
                return await opened.directories.probe(prober)
            placed = await _entries(opened)
            seen = [p.resource for p in placed if not hidden(p.resource)]
            tried = [r for r in seen if r["resourceType"] == "Endpoint"]
            return await prober.probe(opened.feed.base, tried)
        finally:
            await http.close()


async def _imported(dsn: str, imported: Imported, dry_run: bool) -> ImportReport:
    pool = await open_pool(dsn)
    try:
        records = Records(pool, utc_now, new_uuid)
        await records.prepare()
        return await bring_in(records, imported, dry=dry_run)
    finally:
        await pool.close()


def _plain(found: Listing) -> dict[str, Any]:
    return {
        **{"ura": str(found.ura or ""), "name": found.name, "towns": list(found.towns)},
        **{"active": found.active, "score": found.score},
        **{"directory": found.directory, "id": found.id},
    }


def _row(found: Listing) -> tuple[str, ...]:
    name = found.name if found.active else f"{found.name} (no longer takes part)"
    towns = ", ".join(found.towns)
    return f"{found.score:.2f}", str(found.ura or ""), name, towns, found.id


def _healthy(found: Health) -> dict[str, Any]:
    return {
        **{"directory": found.directory, "endpoint": found.endpoint, "address": found.address},
        **{"result": found.kind, "said": found.said, "milliseconds": found.milliseconds},
        "tried": found.tried.isoformat(),
        "ok": found.ok.isoformat() if found.ok else None,
        "failed": found.failed.isoformat() if found.failed else None,
    }


def _tell(reports: Mapping[str, Report]) -> None:
    for base, report in reports.items():
        print(
            f"{base}: {report.created} created, {report.updated} updated, "
            f"{report.deleted} deleted, {len(report.warnings)} warnings"
        )
        for line in report.warnings:
            print(f"  warning: {line}")
        for line in report.errors:
            print(f"  error: {line}", file=sys.stderr)


def _show(heads: Sequence[str], rows: Sequence[Sequence[str]], none: str) -> None:
    if not rows:
        print(none)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    Console(width=None if sys.stdout.isatty() else 200, emoji=False).print(table)
