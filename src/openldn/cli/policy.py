"""openldn policy: why something is allowed or not, and what another policy would change."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import utc_now
from openldn.cli.audit import found_events, shown_query
from openldn.cli.network import network_at, node_of
from openldn.exchanges import EXCHANGES
from openldn.fhir.codec import parse
from openldn.functions.authorization.explaining import DENIES, HOLDS, OPEN, Given, Told
from openldn.functions.authorization.explaining import explain as explained
from openldn.functions.authorization.masking import masked
from openldn.functions.authorization.model import Consent
from openldn.functions.authorization.own import OwnPolicy
from openldn.functions.authorization.question import Question
from openldn.functions.authorization.service import DecisionPoint
from openldn.functions.authorization.shapes import shape
from openldn.node.replay import Again, Tomorrow, decide_again

_LARGEST = 2 * 1024 * 1024  # bytes that are read from a file or standard input
DENIED = 1  # exit code of `explain`
_WORDS = {
    "en": {
        "policy": "policy",
        "rule": "what must hold",
        "outcome": "outcome",
        "clause": "source",
        HOLDS: "holds",
        DENIES: "denies",
        OPEN: "not asked",
        "allow": "allowed",
        "deny": "denied",
    },
    "nl": {
        "policy": "beleid",
        "rule": "wat moet gelden",
        "outcome": "uitkomst",
        "clause": "bron",
        HOLDS: "klopt",
        DENIES: "weigert",
        OPEN: "niet gevraagd",
        "allow": "toegestaan",
        "deny": "geweigerd",
    },
}
_STYLES = {HOLDS: "green", DENIES: "bold red", OPEN: "yellow"}


class Language(StrEnum):
    """In which language something is explained."""

    EN = "en"
    NL = "nl"


class Answered(StrEnum):
    """What the registry of consents is taken to say."""

    PERMIT = "permit"
    DENY = "deny"
    UNKNOWN = "unknown"


class Form(StrEnum):
    """The wire shape of a question."""

    AUTO = "auto"
    FLAT = "pdp-flat"
    AUTHZEN = "authzen-ig"
    OPA = "opa-data"


def explain(  # noqa: PLR0913  (each is an option of the command)
    what: Annotated[str, typer.Argument(help="A file with the question, or - for input.")],
    form: Annotated[Form, typer.Option("--shape", help="Its wire shape.")] = Form.AUTO,
    consent: Annotated[
        Answered, typer.Option(help="What the registry of consents says.")
    ] = Answered.UNKNOWN,
    register: Annotated[
        Path | None, typer.Option(help="Bundle of Patient and Consent that the holder has.")
    ] = None,
    own: Annotated[Path | None, typer.Option(help="The holder's own Rego file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
    lang: Annotated[Language, typer.Option(help="Language of the explanation.")] = Language.EN,
) -> None:
    """Explain the decision on a question: each rule of each policy, and where it comes from.

    Exit code 0 when it is allowed, 1 when it is denied.
    """
    body = _read(what)
    question = _question(body, form)
    told = asyncio.run(_told(question, Consent(consent.value), register, own))
    if as_json:
        shown = {**_as_json(told, lang.value), "question": masked(body)}
        print(json.dumps(shown, ensure_ascii=False, indent=2))
    else:
        _show(told, lang.value)
    if not told.decision.allow:
        raise SystemExit(DENIED)


def replay(  # noqa: PLR0913  (each is an option of the command)
    network: Annotated[Path, typer.Option(help="Folder in which `openldn up` runs.")],
    node: Annotated[str, typer.Option(help="Key of the node, as in network.json.")],
    since: Annotated[str, typer.Option(help="From this day or moment; default: a day ago.")] = "",
    release: Annotated[
        list[str] | None, typer.Option(help="Only these releases of the exchange stay allowed.")
    ] = None,
    own: Annotated[Path | None, typer.Option(help="An own Rego file that would count.")] = None,
    limit: Annotated[int, typer.Option(help="At most this many events.", min=1)] = 10_000,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Decide the questions a node got again, by the rules of this version, and show what changes.

    The evidence in its audit log is enough; no patient data is looked at.
    """
    known = network_at(network)
    one = node_of(known, node)
    kept = _releases(release or [])
    begin = since or (utc_now() - timedelta(days=1)).isoformat(timespec="seconds")
    pairs = [("date", f"ge{begin}"), ("_tag", "data-served"), ("_count", str(min(limit, 1000)))]

    async def run() -> list[Again | None]:
        events = await found_events(known, one, pairs, limit)
        return await _again(events, kept, own)

    found = asyncio.run(run())
    again = [a for a in found if a is not None]
    if as_json:
        print(json.dumps(_report(again, len(found)), ensure_ascii=False, indent=2))
    else:
        _show_changes(again, len(found))


policy = (explain, replay)


def _read(what: str) -> Mapping[str, Any]:
    try:
        body = sys.stdin.buffer.read(_LARGEST) if what == "-" else Path(what).read_bytes()
    except OSError as error:
        raise LdnError(Issue.INVALID, f"cannot read {what}: {error.strerror}") from error
    value = parse(body)
    if not isinstance(value, dict):
        raise LdnError(Issue.STRUCTURE, f"{what} holds no JSON object")
    return value


def _question(body: Mapping[str, Any], form: Form) -> Question:
    """The question; without a shape it is told from what the document has."""
    if form is not Form.AUTO:
        return shape(form.value).read(body)
    given = body.get("input")
    if not isinstance(given, Mapping):
        return shape(Form.AUTHZEN.value).read(body)
    return shape(Form.OPA.value if "action" in given else Form.FLAT.value).read(body)


async def _told(
    question: Question, consent: Consent, register: Path | None, own: Path | None
) -> Told:
    async def says(question: Question, bsn: str) -> Consent:
        return consent

    entries = _read(str(register)).get("entry", []) if register else []
    information = Given([e["resource"] for e in entries if "resource" in e]) if register else None
    judge = await OwnPolicy.open(own) if own else None
    try:
        point = DecisionPoint(utc_now, information, says, judge.judge if judge else None)
        return await explained(point, question)
    finally:
        if judge:
            await judge.close()


def _as_json(told: Told, language: str) -> dict[str, Any]:
    rules = [
        {
            "policy": line.policy,
            "rule": line.rule,
            "text": line.text(language),
            "outcome": line.outcome,
            "source": line.clause,
            "reason": line.reason,
        }
        for line in told.lines
    ]
    return {"allow": told.decision.allow, "error": told.decision.error, "rules": rules}


def _show(told: Told, language: str) -> None:
    words = _WORDS[language]
    console = Console(width=None if sys.stdout.isatty() else 160, emoji=False)
    table = Table(words["policy"], words["rule"], words["outcome"], words["clause"], box=None)
    for line in told.lines:
        said = line.text(language)
        reason = f"\n{line.reason}" if line.reason and language == "en" else ""
        outcome = f"[{_STYLES[line.outcome]}]{words[line.outcome]}[/]"
        table.add_row(line.policy, escape(said + reason), outcome, line.clause)
    console.print(table)
    if told.decision.error:
        console.print(escape(told.decision.error))
    console.print(words["allow" if told.decision.allow else "deny"])


def _releases(names: Sequence[str]) -> frozenset[str]:
    known = sorted(r.id for e in EXCHANGES.values() for r in e.releases)
    if strange := sorted(set(names) - set(known)):
        text = f"no release {', '.join(strange)}; choose from {', '.join(known)}"
        raise LdnError(Issue.NOT_FOUND, text)
    return frozenset(names)


async def _again(
    events: Sequence[Mapping[str, Any]], releases: frozenset[str], own: Path | None
) -> list[Again | None]:
    judge = await OwnPolicy.open(own) if own else None
    try:
        tomorrow = Tomorrow(releases, judge.denials if judge else None)
        return [await decide_again(event, tomorrow) for event in events]
    finally:
        if judge:
            await judge.close()


def _report(again: Sequence[Again], events: int) -> dict[str, Any]:
    counted = Counter(f"{a.then} > {a.now}" for a in again)
    changed = [
        {
            "recorded": a.event.get("recorded", ""),
            "query": _query(a.event),
            "then": a.then,
            "now": a.now,
            "reasonsThen": list(a.before),
            "reasonsNow": list(a.reasons),
        }
        for a in again
        if a.changed
    ]
    skipped = events - len(again)
    return {"decided": len(again), "skipped": skipped, "counts": counted, "changed": changed}


def _query(event: Mapping[str, Any]) -> str:
    """The query as it may be shown: without the patient."""
    told = [e.get("description", "") for e in event.get("entity", ()) if "query" in e]
    return shown_query(told[0]) if told else ""


def _show_changes(again: Sequence[Again], events: int) -> None:
    report = _report(again, events)
    console = Console(width=None if sys.stdout.isatty() else 200, emoji=False)
    table = Table("when (UTC)", "then", "now", "query", "why", box=None)
    for change in report["changed"]:
        why = "; ".join(change["reasonsNow"] or change["reasonsThen"])
        row = (change["recorded"], change["then"], change["now"], change["query"], why)
        table.add_row(*(escape(str(value)) for value in row))
    if report["changed"]:
        console.print(table)
    for name, count in sorted(report["counts"].items()):
        console.print(f"{count:6} {name}")
    console.print(
        f"{len(report['changed'])} of {report['decided']} decisions would change; "
        f"{report['skipped']} events tell of no decision"
    )
