"""The report: JSON for programs, a page for people, exit codes, and who may be checked."""

import asyncio
import json
from pathlib import Path

import pytest
from testbench.connection.bench import Bench, https
from testbench.connection.cases import new_only
from testbench.connection.endpoints import Page as Answer
from typer.testing import CliRunner

from openldn.base.errors import LdnError
from openldn.base.runtime import utc_now
from openldn.cli import build
from openldn.testbench.connection import record, render
from openldn.testbench.connection.checks import CHECKS
from openldn.testbench.connection.examine import report
from openldn.testbench.connection.model import Outcome, Report
from openldn.trust.certificates.tls_profiles import tls_profile

HARM = "<script>window.harmed=1</script>"
RECORD = """
host = "node.example.nl"
parties = ["Ziekenhuis De Brug", "Kliniek Het Veer"]
exchange = "bgz"
pattern = "pull"
risk = "high"
identification = "URA by certificate; person by Dezi, high"
channel = "open"
profile = "twiin-1.4"
evidence = "signed assertions and AuditEvents, kept 5 years"
ura = "90000001"
[agreement]
version = "1.0"
date = 2026-01-01
signers = ["A", "B"]
until = 2030-01-01
"""


@pytest.fixture(scope="module")
def found(bench: Bench) -> Report:
    """A report with every result in it, of a server that means harm."""

    async def made() -> Report:
        harmful = Answer(headers={"server": f"x/1.0 {HARM}"})
        async with https(missing=harmful, given=lambda _: {"renegotiation": True})(bench) as target:
            return await report(target, utc_now)

    return asyncio.run(made())


@pytest.mark.parametrize("language", ["nl", "en"])
def test_json_has_the_agreed_form(found: Report, language: str) -> None:
    whole = json.loads(render.as_json(found, language))

    assert list(whole) == ["host", "profile", "started", "version", "checks"]
    assert [c["id"] for c in whole["checks"]] == [c.id for c in CHECKS]
    keys = {"id", "result", "requirement", "evidence", "advice"}
    assert all(set(c) == keys for c in whole["checks"])
    assert {c["result"] for c in whole["checks"]} <= {"pass", "fail", "warn", "skip"}
    assert all(c["advice"] for c in whole["checks"] if c["result"] in {"fail", "warn"})


def test_a_remark_is_not_a_pass_in_json(found: Report) -> None:
    remarks = {r.check.id for r in found.rows if r.result.outcome is Outcome.INFO}
    rows = json.loads(render.as_json(found, "en"))["checks"]

    assert remarks
    assert {c["result"] for c in rows if c["id"] in remarks} == {"skip"}


def test_what_an_endpoint_says_does_no_harm_in_the_page(found: Report) -> None:
    text = render.as_html(found, "en")

    assert HARM not in text
    assert "<script" not in text
    assert "http-equiv" in text
    assert "src=" not in text
    assert "&lt;script&gt;" in text


def test_the_page_tells_results_in_words_and_every_exception(found: Report) -> None:
    text = render.as_html(found, "nl")

    assert '<html lang="nl">' in text
    assert "voldoet niet" in text
    assert "één heronderhandeling" in text
    assert text.count("<caption>") == 7
    assert all(f'id="{check.id}"' in text for check in CHECKS)


def typed(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(build(("check",)), ["check", "connection", *arguments])
    match done.exception:
        case LdnError() as error:
            return 1, error.message
    return done.exit_code, done.stdout


def test_the_command_fails_when_a_check_fails_and_writes_the_page(
    bench: Bench, tmp_path: Path
) -> None:
    async def asked(profile: str) -> tuple[int, str]:
        async with https(new_only)(bench) as target:
            show = ["--client-cert", str(bench.client.certificate)]
            show += ["--client-key", str(bench.client.key), "--ca", str(bench.pki.ca)]
            html = ["--html", str(tmp_path / "report.html"), "--check", "C01", "--check", "C03"]
            wish = [f"localhost:{target.port}", "--private", "--profile", profile, "--json"]
            return await asyncio.to_thread(typed, *wish, *show, *html, "--check", "C09")

    code, said = asyncio.run(asked("ncsc-2025-05"))

    assert code == 0
    assert [c["result"] for c in json.loads(said)["checks"]] == ["pass", "pass", "skip"]
    assert "C01" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_command_tells_a_person_what_to_do(bench: Bench) -> None:
    async def asked() -> tuple[int, str]:
        async with https(lambda b: b.tls(ciphers="DEFAULT:@SECLEVEL=0"))(bench) as target:
            wish = [f"localhost:{target.port}", "--private", "--check", "C07", "--lang", "nl"]
            return await asyncio.to_thread(typed, *wish)

    code, said = asyncio.run(asked())

    assert code == 1
    assert "voldoet niet" in said
    assert "→ C07 Laat in TLS 1.2 alleen ECDHE" in said


def test_a_record_opens_the_way_to_its_own_host_alone(tmp_path: Path) -> None:
    path = tmp_path / "record.toml"
    path.write_text(RECORD, encoding="utf-8")

    found = record.load(path, "node.example.nl", utc_now().date())

    assert found.profile == "twiin-1.4"
    assert tls_profile(found.profile)
    code, said = typed("other.example.nl", "--record", str(path))
    assert code == 1
    assert "is of node.example.nl" in said


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        ("2030-01-01", "2020-01-01", "the agreement ended"),
        ('"high"', '"low"', "never of low risk"),
        ('"high"', '"none"', "risk"),
        ("pattern", "patern", "patern"),
        ("[agreement]", "[agreement", "--record"),
    ],
)
def test_a_record_that_does_not_count_is_refused(
    tmp_path: Path, before: str, after: str, word: str
) -> None:
    path = tmp_path / "record.toml"
    path.write_text(RECORD.replace(before, after, 1), encoding="utf-8")

    code, said = typed("node.example.nl", "--record", str(path))

    assert code == 1
    assert word in said
