"""`openldn policy`: a decision explained, and yesterday's decisions under another policy."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from functions.audit_cases import JANSEN, SERVED_JANSEN, log_of
from functions.authorization.decision_cases import BSN, CONDITION, asking
from functions.authorization.test_shapes import WRITERS
from functions.test_audit_command import network_file
from functions.wire_cases import HOSPITAL, pki, served
from node.test_replay import FACTS, event_of
from typer.testing import CliRunner, Result

from openldn.base.runtime import new_uuid, utc_now
from openldn.cli import build
from openldn.functions.audit.api import routes
from openldn.functions.audit.model import Access
from openldn.functions.authorization.explaining import RULES
from openldn.functions.authorization.policies import POLICIES
from openldn.functions.authorization.question import Question

PATIENT = {
    "resourceType": "Patient",
    "id": "jansen",
    "identifier": [{"system": BSN, "value": JANSEN.value}],
}


def run(*words: str, typed: str = "") -> Result:
    return CliRunner().invoke(build(("policy", "pki")), ["policy", *words], input=typed)


def explained(question: Question, folder: Path, *words: str, shape: str = "pdp-flat") -> Result:
    """What is said of this question, with a register that knows Mrs Jansen."""
    register = folder / "register.json"
    register.write_text(json.dumps({"resourceType": "Bundle", "entry": [{"resource": PATIENT}]}))
    typed = json.dumps(WRITERS[shape](question))
    return run("explain", "-", "--register", str(register), *words, typed=typed)


@pytest.mark.parametrize("shape", WRITERS)
def test_a_question_in_each_shape_is_recognized_and_explained(shape: str, tmp_path: Path) -> None:
    result = explained(CONDITION, tmp_path, "--consent", "permit", shape=shape)

    assert result.exit_code == 0, result.output
    assert result.output.rstrip().endswith("allowed")
    assert result.output.count("holds") == 4
    assert "GF §4.5" in result.output


def test_a_denial_names_each_rule_that_denies_and_exits_with_one(tmp_path: Path) -> None:
    question = asking("/Condition?patient=jansen&code=x", "bgz", "other-use")

    result = explained(question, tmp_path, "--consent", "permit")

    assert result.exit_code == 1
    assert "denies" in result.output and "not asked" in result.output
    assert "other_use" in result.output
    assert result.output.rstrip().endswith("denied")


def test_it_speaks_dutch(tmp_path: Path) -> None:
    result = explained(CONDITION, tmp_path, "--lang", "nl")

    assert "weigert" in result.output
    assert "de toestemming is er die de grondslag vraagt" in result.output
    assert result.output.rstrip().endswith("geweigerd")


def test_as_json_it_is_for_programs_and_holds_no_bsn(tmp_path: Path) -> None:
    question = asking(f"/Patient?identifier={BSN}|{JANSEN.value}", "pzp_gf", bsn=JANSEN.value)

    result = explained(question, tmp_path, "--json")

    told = json.loads(result.output)
    assert told["allow"] is False
    assert told["question"]["input"]["request"]["query"] == "[REDACTED]"
    assert told["question"]["input"]["request"]["path"] == "/Patient"
    assert {r["policy"] for r in told["rules"]} == {"pzp_gf"}
    assert [r["rule"] for r in told["rules"] if r["outcome"] == "denies"] == ["always-consented"]
    assert JANSEN.value not in result.output


def test_an_own_file_is_shown_as_the_rule_it_is(tmp_path: Path) -> None:
    pytest.importorskip("regopy")
    own = tmp_path / "own.rego"
    own.write_text(
        'package openldn.own\nimport rego.v1\ndeny contains "no" if input.resource.type\n'
    )

    result = explained(CONDITION, tmp_path, "--consent", "permit", "--own", str(own))

    assert result.exit_code == 1
    assert "the holder's own policy has nothing against it" in result.output


def test_every_rule_has_words_in_both_languages() -> None:
    rules = {rule.name for policy in POLICIES.values() for rule in policy.rules}
    troubles = {"patient", "information", "consent", "own", "known"}

    assert set(RULES) == rules | troubles
    assert all(dutch and english for dutch, english in RULES.values())


def test_what_is_no_question_is_told_in_a_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("[]")

    for words in (("explain", str(broken)), ("explain", "/nowhere.json")):
        result = run(*words)
        assert result.exit_code == 1
        assert result.exception is not None


def replayed(databases: Databases, folder: Path, accesses: Sequence[Access], *words: str) -> Result:
    """What `replay` says of a hospital's log with these accesses."""

    async def go() -> Result:
        async with databases.pool() as pool:
            log = replace(log_of(pool), new_id=new_uuid)
            log.clock = utc_now
            await log.prepare()
            await log.record(accesses)
            async with served(folder, routes(log), HOSPITAL) as origin:
                network_file(folder, origin)
                place = ("replay", "--network", str(folder), "--node", "hospital")
                return await asyncio.to_thread(run, *place, *words)

    return asyncio.run(go())


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki(tmp_path_factory.mktemp("pki"))


TRACED = replace(
    SERVED_JANSEN,
    query=f"{SERVED_JANSEN.query.replace('AllergyIntolerance', 'Condition')}"
    "&_revinclude=Provenance%3Atarget",
)
REFUSED = replace(
    SERVED_JANSEN,
    outcome="8",
    reason="refused: the patient objects",
    consent="mitz-deny",
    checks="TTFF",
)
AWAY = replace(SERVED_JANSEN, outcome="8", reason="the directory cannot be reached")
DAY = tuple(
    replace(access, correlation=f"request-{number}")
    for number, access in enumerate((SERVED_JANSEN, TRACED, REFUSED, AWAY))
)


def test_under_the_same_policy_nothing_changes(databases: Databases, certificates: Path) -> None:
    result = replayed(databases, certificates, DAY)

    assert result.exit_code == 0, result.output
    assert "0 of 3 decisions would change; 1 events tell of no decision" in result.output


def test_a_smaller_release_shows_what_would_no_longer_be_answered(
    databases: Databases, certificates: Path
) -> None:
    result = replayed(databases, certificates, DAY, "--release", "bgz-msz-1.2.2", "--json")

    # the server of this test logs to the same stream
    report: dict[str, Any] = json.loads(result.output[result.output.index("{\n") :])
    [change] = report["changed"]
    assert (change["then"], change["now"]) == ("allow", "deny")
    assert "Provenance:target" in change["query"]
    assert change["reasonsNow"] == ["the query is outside the data set of the exchange"]
    assert report["counts"] == {"allow > allow": 1, "allow > deny": 1, "deny > deny": 1}
    assert JANSEN.value not in result.output


def test_an_own_file_of_tomorrow_is_tried_on_the_questions_of_yesterday(
    databases: Databases, certificates: Path, tmp_path: Path
) -> None:
    pytest.importorskip("regopy")
    own = tmp_path / "own.rego"
    own.write_text(
        "package openldn.own\nimport rego.v1\n"
        'deny contains "no allergies" if input.resource.type == "AllergyIntolerance"\n'
    )

    result = replayed(databases, certificates, DAY, "--own", str(own))

    assert "no allergies" in result.output
    assert "1 of 3 decisions would change" in result.output
    assert JANSEN.value not in result.output


def test_a_release_nobody_knows_is_told_with_those_there_are(
    databases: Databases, certificates: Path
) -> None:
    result = replayed(databases, certificates, (), "--release", "bgz-9")

    assert result.exit_code == 1
    assert "bgz-msz-2.0" in str(result.exception)


def test_the_evidence_of_the_tests_is_that_of_a_node() -> None:
    assert event_of(FACTS)["meta"]["tag"][0]["code"] == "data-served"
