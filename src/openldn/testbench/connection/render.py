"""A report as JSON, for programs, and as a page, for people."""

from collections.abc import Iterator
from functools import cache
from importlib.metadata import version as version_of
from importlib.resources import files
from typing import Any

import jinja2
import msgspec

from openldn.testbench.connection.checks import GROUPS
from openldn.testbench.connection.model import Checked, Outcome, Report

# For programs there are four results; a remark is no judgment, so it is not a pass.
_PLAIN = {Outcome.INFO: Outcome.SKIP}

MARKS = {"pass": "✓", "fail": "✗", "warn": "!", "info": "i", "skip": "–"}


def as_json(report: Report, language: str) -> bytes:
    """{"host", "profile", "started", "version", "checks": [{"id", "result", …}]}."""
    whole = {
        "host": report.target.name,
        "profile": report.target.profile.name,
        "started": report.started,
        "version": version_of("openldn"),
        "checks": [_row(row, language) for row in report.rows],
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=1)


def _row(row: Checked, language: str) -> dict[str, str]:
    outcome = row.result.outcome
    return {
        "id": row.check.id,
        "result": _PLAIN.get(outcome, outcome).value,
        "requirement": row.check.requirement.of(language),
        "evidence": row.result.told(language),
        "advice": advice(row, language),
    }


def advice(row: Checked, language: str) -> str:
    """What to do about it; empty when it is as it should be or could not be judged."""
    calm = row.result.outcome in {Outcome.PASS, Outcome.SKIP}
    return "" if calm else row.check.advice.of(language)


def grouped(report: Report) -> Iterator[tuple[str, list[Checked]]]:
    """The rows by group, groups in the order of the specification; empty groups are left out."""
    for group in GROUPS:
        if rows := [r for r in report.rows if r.check.group == group]:
            yield group, rows


@cache
def words(language: str) -> dict[str, Any]:
    """The words around the checks, in this language."""
    content = (files(__package__) / "report" / "words.toml").read_bytes()
    found: dict[str, Any] = msgspec.toml.decode(content)[language]
    return found


def as_html(report: Report, language: str) -> str:
    """A page that needs nothing else: no script, no font, no picture from elsewhere."""
    loader = jinja2.PackageLoader("openldn.testbench.connection", "report")
    pages = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    return pages.get_template("report.html").render(
        report=report,
        words=words(language),
        language=language,
        version=version_of("openldn"),
        groups=list(grouped(report)),
        count=report.count(),
        marks=MARKS,
        outcomes=list(Outcome),
    )
