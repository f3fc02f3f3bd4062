"""openldn check: whether a connection is as it was agreed."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import utc_now
from openldn.testbench.connection import addresses, record, render
from openldn.testbench.connection.examine import chosen_checks
from openldn.testbench.connection.examine import report as checked
from openldn.testbench.connection.model import LANGUAGES, Outcome, Report
from openldn.testbench.connection.target import Given, Pair, Target
from openldn.testbench.connection.visit import shown
from openldn.trust.certificates.tls_profiles import DEFAULT, tls_profile
from openldn.trust.peers import profile as peer_profile

_LARGEST = 64 * 1024  # characters of a token in a file
_COLORS = {"pass": "green", "fail": "red", "warn": "yellow", "info": "cyan", "skip": "dim"}

_File = Path | None
Typed = Mapping[str, Any]  # the options, by name
ClientCert = Annotated[_File, typer.Option(help="Certificate we show (PEM).")]
ClientKey = Annotated[_File, typer.Option(help="Its key (PEM).")]
OtherCert = Annotated[_File, typer.Option(help="A second certificate, of another party.")]
OtherKey = Annotated[_File, typer.Option(help="Its key.")]
ExpiredCert = Annotated[_File, typer.Option(help="An expired certificate the server would know.")]
ExpiredKey = Annotated[_File, typer.Option(help="Its key.")]
RevokedCert = Annotated[_File, typer.Option(help="A revoked certificate the server would know.")]
RevokedKey = Annotated[_File, typer.Option(help="Its key.")]
Ca = Annotated[_File, typer.Option(help="Authorities the endpoint should lead to (PEM).")]
Profile = Annotated[str, typer.Option(help="TLS profile; none: that of --record or --peer.")]
Peer = Annotated[str, typer.Option(help="Kind of peer, whose exceptions hold (zorgplatform).")]
Record = Annotated[_File, typer.Option(help="Connection record (TOML); a public host needs one.")]
Private = Annotated[bool, typer.Option("--private", help="A test host that is not public.")]
Issuer = Annotated[str, typer.Option(help="Issuer URL of the authorization server.")]
Grant = Annotated[list[str] | None, typer.Option(help="Grant type we need there; repeatable.")]
Fhir = Annotated[str, typer.Option(help="FHIR base URL.")]
FhirVersion = Annotated[str, typer.Option(help="FHIR version in the directory (4.0.1).")]
Aorta = Annotated[str, typer.Option(help="URL that demands AORTA-ID.")]
Fsc = Annotated[bool, typer.Option("--fsc", help="The endpoint is an FSC Inway.")]
FscToken = Annotated[_File, typer.Option(help="File: FSC token of another group.")]
TokenFile = Annotated[_File, typer.Option("--token", help="File: access token for --fhir.")]
Did = Annotated[str, typer.Option(help="did:web of the organization.")]
Presentation = Annotated[_File, typer.Option(help="File: presentation (JWT) it signed.")]
StatusList = Annotated[str, typer.Option(help="URL of its status list.")]
UraOption = Annotated[str, typer.Option("--ura", help="URA it should have.")]
Directory = Annotated[str, typer.Option(help="Base URL of the mCSD directory.")]
Resolver = Annotated[str, typer.Option(help="Name server, host[:port].")]
PlainPort = Annotated[int, typer.Option(help="Port of plain HTTP.", min=1, max=65535)]
Only = Annotated[list[str] | None, typer.Option("--check", help="Only this check; repeatable.")]
Html = Annotated[_File, typer.Option(help="Write the report as a page here.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Lang = Annotated[str, typer.Option(help="Language of the report: nl or en.")]


def connection(  # noqa: PLR0913  (each is an option of the command)
    host: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="The endpoint.")],
    profile: Profile = "",
    peer: Peer = "",
    record: Record = None,
    private: Private = False,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    other_cert: OtherCert = None,
    other_key: OtherKey = None,
    expired_cert: ExpiredCert = None,
    expired_key: ExpiredKey = None,
    revoked_cert: RevokedCert = None,
    revoked_key: RevokedKey = None,
    ca: Ca = None,
    issuer: Issuer = "",
    grant: Grant = None,
    fhir: Fhir = "",
    fhir_version: FhirVersion = "",
    aorta: Aorta = "",
    fsc: Fsc = False,
    fsc_token: FscToken = None,
    token: TokenFile = None,
    did: Did = "",
    presentation: Presentation = None,
    status_list: StatusList = "",
    ura: UraOption = "",
    directory: Directory = "",
    resolver: Resolver = "",
    plain_port: PlainPort = 80,
    check: Only = None,
    html: Html = None,
    as_json: Json = False,
    lang: Lang = "en",
) -> None:
    """Check a connection against a TLS profile: C01 to C45; exit code 1 when one fails."""
    typed = locals()
    if lang not in LANGUAGES:
        raise LdnError(Issue.INVALID, "--lang: choose nl or en")
    chosen_checks(check or ())
    form = "json" if as_json else "table"
    raise typer.Exit(asyncio.run(_run(_target(host, typed), Wish(check or [], html, form, lang))))


@dataclass(frozen=True)
class Wish:
    """What shall be checked, and how it is told."""

    only: list[str]
    html: Path | None
    form: str  # table, json
    language: str


def _target(host: str, typed: Typed) -> Target:
    name, port = _split(host)
    agreed = _there("record", typed["record"])
    kept = record.load(agreed, name, utc_now().date()) if agreed else None
    profile = peer_profile(typed["peer"]) if typed["peer"] else None
    if kept is None and not typed["private"]:
        text = "give --record with the connection record of this host, or --private for a test host"
        raise LdnError(Issue.FORBIDDEN, text)
    chosen = typed["profile"] or (kept.profile if kept else profile.tls if profile else "")
    given = Given(
        client=_pair("client", typed),
        other=_pair("other", typed),
        expired=_pair("expired", typed),
        revoked=_pair("revoked", typed),
        ca=_there("ca", typed["ca"]),
        issuer=_url("issuer", typed),
        fhir=_url("fhir", typed),
        aorta=_url("aorta", typed),
        directory=_url("directory", typed),
        status_list=_url("status_list", typed),
        token=_text("token", typed),
        fsc_token=_text("fsc_token", typed),
        presentation=_text("presentation", typed),
        grants=tuple(typed["grant"] or ()),
        fhir_version=typed["fhir_version"],
        fsc=typed["fsc"],
        did=typed["did"],
        ura=typed["ura"] or (kept.ura if kept else ""),
        resolver=typed["resolver"],
        plain_port=typed["plain_port"],
        renegotiation=bool((kept and kept.renegotiation) or (profile and profile.renegotiation)),
        private=typed["private"],
    )
    return Target(name, port, tls_profile(chosen or DEFAULT), given)


def _split(text: str) -> tuple[str, int]:
    """Host and port; raises LdnError(invalid) for anything else."""
    wrong = LdnError(Issue.INVALID, f"{text!r} is not HOST or HOST:PORT; an address is no URL")
    host, colon, port = text.rpartition(":")
    if addresses.literal(text.strip("[]")):
        host, port = text.strip("[]"), "443"
    elif not colon:
        host, port = text, "443"
    elif host.startswith("["):
        host = host.strip("[]")
    if not host or not all(c.isalnum() or c in ".:-%_" for c in host) or host[0] == "-":
        raise wrong
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise wrong
    return host, int(port)


def _pair(who: str, typed: Typed) -> Pair | None:
    certificate = _there(f"{who}_cert", typed[f"{who}_cert"])
    key = _there(f"{who}_key", typed[f"{who}_key"])
    if (certificate is None) != (key is None):
        raise LdnError(Issue.INVALID, f"--{who}-cert and --{who}-key belong together; give both")
    if certificate is None or key is None:
        return None
    shown(pair := Pair(certificate, key))  # it says now what is wrong with them
    return pair


def _there(name: str, path: Path | None) -> Path | None:
    if path is not None and not path.is_file():
        raise LdnError(Issue.INVALID, f"--{_option(name)}: there is no file {path}")
    return path


def _text(name: str, typed: Typed) -> str:
    found = _there(name, typed[name])
    if found is None:
        return ""
    try:
        text = found.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise LdnError(Issue.INVALID, f"--{_option(name)}: {found} cannot be read") from error
    if not text or len(text) > _LARGEST or any(c.isspace() for c in text):
        raise LdnError(Issue.INVALID, f"--{_option(name)}: {found} does not hold one token")
    return text


def _url(name: str, typed: Typed) -> str:
    text: str = typed[name]
    if name != "issuer":  # an issuer is compared letter by letter
        text = text.rstrip("/")
    if text and not text.startswith("https://"):
        raise LdnError(Issue.INVALID, f"--{_option(name)}: give an address that begins https://")
    return text


def _option(name: str) -> str:
    return name.replace("_", "-")


async def _run(target: Target, wish: Wish) -> int:
    console = Console(stderr=True, emoji=False)
    columns = (SpinnerColumn(), TextColumn("{task.description} {task.completed}/{task.total}"))
    shown = console.is_terminal and wish.form == "table"
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task(target.name, total=len(chosen_checks(wish.only)))
        found = await checked(target, utc_now, wish.only, lambda _: progress.advance(task))
    if wish.html is not None:
        _write(wish.html, render.as_html(found, wish.language))
    if wish.form == "json":
        sys.stdout.buffer.write(render.as_json(found, wish.language) + b"\n")
    else:
        _tell(found, wish.language)
    return 1 if found.failed else 0


def _write(path: Path, page: str) -> None:
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise LdnError(Issue.EXCEPTION, f"cannot write {path}: {error.strerror}") from error


def _tell(report: Report, language: str) -> None:
    """The report as tables, and below them what to do."""
    console, words = Console(highlight=False, emoji=False), render.words(language)
    target = report.target
    console.print(f"{target.name}  ·  {target.profile.title}  ·  {report.started}", markup=False)
    for exception in report.exceptions:
        console.print(exception.of(language), markup=False)
    for group, rows in render.grouped(report):
        table = Table(title=words["groups"][group], title_justify="left", box=None, expand=True)
        table.add_column(words["check"], no_wrap=True)
        table.add_column(words["result"], no_wrap=True)
        table.add_column(words["title"], ratio=2)
        table.add_column(words["evidence"], ratio=5)
        for row in rows:
            outcome = row.result.outcome
            mark = Text(f"{render.MARKS[outcome]} {words['outcomes'][outcome]}", _COLORS[outcome])
            title = row.check.title.of(language)
            table.add_row(row.check.id, mark, title, Text(row.result.told(language)))
        console.print(table, "")
    for row in report.rows:
        if row.result.outcome in {Outcome.FAIL, Outcome.WARN}:
            console.print(f"→ {row.check.id} {render.advice(row, language)}", markup=False)
    count = report.count()
    told = ", ".join(f"{count[o]} {words['outcomes'][o]}" for o in Outcome if count[o])
    console.print(f"{told}; {report.seconds:.1f} s", markup=False)


check = (connection,)
