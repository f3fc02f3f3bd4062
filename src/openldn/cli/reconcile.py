"""openldn reconcile: what several organizations say about a patient, as one coherent set."""

import csv
import io
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec.syntax import dump, parse
from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import Resource
from openldn.integration.reconcile import DEFAULT, Question, Source, Told
from openldn.integration.reconcile import reconcile as reconciled
from openldn.integration.reconcile.again import apart, ours
from openldn.integration.reconcile.policy import changed


def reconcile(  # noqa: PLR0913  (an option each)
    sources: Annotated[
        Path, typer.Argument(help="A folder with one R4 Bundle per organization: <URA>.json.")
    ],
    bsn: Annotated[str, typer.Option(help="Whose data these must be.")],
    at: Annotated[str, typer.Option(help="The moment that counts as now, with its time zone.")],
    policy: Annotated[Path | None, typer.Option(help="Changes to the rules (JSON).")] = None,
    conceptmap: Annotated[
        list[Path] | None, typer.Option(help="A ConceptMap that says which codes are equal.")
    ] = None,
    unit_factors: Annotated[
        Path | None, typer.Option(help="Factors between units, by analyte (JSON or CSV).")
    ] = None,
    situation: Annotated[
        str, typer.Option(help="Leave out what it has no use for, counted: acute.")
    ] = "",
    idempotent: Annotated[
        bool, typer.Option("--idempotent", help="Reconcile twice; refuse when that differs.")
    ] = False,
) -> None:
    """Print one Bundle: members, who stands for them, what may be the same, and conflicts."""
    question = Question(Bsn.parse(bsn), _moment(at))
    rules = DEFAULT if policy is None else changed(_json(policy))
    tables: dict[str, Any] = {
        "maps": [_json(each) for each in conceptmap or ()],
        "factors": _factors(unit_factors) if unit_factors else (),
        "situation": situation,
    }
    given, told = _sources(sources)
    body = dump(reconciled(given, question, rules, told=told, **tables))
    if idempotent:
        body = _again(body, question, rules, tables)
    sys.stdout.buffer.write(body + b"\n")
    sys.stdout.buffer.flush()


def _again(body: bytes, question: Question, rules: Any, tables: dict[str, Any]) -> bytes:
    given, told = apart(parse(body))
    twice = dump(reconciled(given, question, rules, told=told, **tables))
    if twice != body:
        text = "reconciling the outcome again changes it; report this, the set is not to be used"
        raise LdnError(Issue.EXCEPTION, text)
    return twice


def _sources(folder: Path) -> tuple[list[Source], list[Told]]:
    """Each file as a source; a set that was made here before as the sources in it."""
    if not folder.is_dir():
        raise LdnError(Issue.NOT_FOUND, f"{folder} is no folder; name one with <URA>.json files")
    given, told = list[Source](), list[Told]()
    for file in sorted(folder.glob("*.json")):
        try:
            bundle = parse(file.read_bytes())
        except LdnError as error:
            given.append(Source(file.stem, problem=error.message))
            continue
        if ours(bundle):
            parts, before = apart(bundle)
            given += parts
            told += before
        else:
            given.append(Source(file.stem, bundle))
    return given, told


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise LdnError(Issue.INVALID, "--at takes an instant, as 2026-05-01T12:00:00Z") from error
    if moment.tzinfo is None:
        raise LdnError(Issue.INVALID, "--at takes an instant with its time zone, as …T12:00:00Z")
    return moment


def _json(file: Path) -> Any:
    return parse(_read(file))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise LdnError(Issue.NOT_FOUND, f"cannot read {file}: {error.strerror}") from error


def _text(body: bytes, file: Path) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LdnError(Issue.INVALID, f"{file} is no text in UTF-8; save it so") from error


def _factors(file: Path) -> list[Resource]:
    """The rows of a table of factors: a JSON list, or CSV with a heading."""
    body = _read(file)
    if body.lstrip()[:1] not in (b"[", b"{"):
        text = _text(body, file)
        mark = ";" if ";" in text.partition("\n")[0] else ","
        return list(csv.DictReader(io.StringIO(text), delimiter=mark))
    told = parse(body)
    rows = told.get("factors", told) if isinstance(told, dict) else told
    if isinstance(rows, dict):
        rows = [{"code": code, **row} for code, row in rows.items() if isinstance(row, dict)]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise LdnError(
            Issue.INVALID, "a table of factors is a list of rows: code, from, to, factor"
        )
    return rows
