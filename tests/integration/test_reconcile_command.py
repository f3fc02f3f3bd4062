"""`openldn reconcile`: a folder of Bundles in, one Bundle out, the same bytes every time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from integration.reconcile_cases import (
    BSN,
    ICD10,
    LOINC,
    SCT,
    A,
    B,
    C,
    Said,
    concept,
    identifier,
    problem,
    result,
    source,
    table,
)
from typer.testing import CliRunner, Result

from openldn.cli import build
from openldn.fhir.codec import dump, parse
from openldn.fhir.model import Resource
from openldn.integration.reconcile.model import Source

X = identifier("X77")
TUBE: Resource = {"specimen": {"identifier": identifier("S9")}, "code": concept("718-7", LOINC)}
SOURCES = (
    source(A, problem("a", identifier=[X]), result("h", "8.1", **TUBE)),
    source(B, problem("b", identifier=[X]), result("h", "13.05", "g/dL", **TUBE)),
    source(C, problem("c", code=concept("J18.9", ICD10), meta={"source": "urn:ehr:7"})),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "sources"
    place.mkdir()
    for each in SOURCES:
        (place / f"{each.ura}.json").write_bytes(dump(each.bundle))
    return place


def run(*arguments: object) -> Result:
    typed = ["reconcile", *(str(each) for each in arguments)]
    return CliRunner().invoke(build(("reconcile",)), typed)


def asked(folder: Path, *more: object) -> bytes:
    found = run(folder, "--bsn", BSN, "--at", "2026-01-01T12:00:00+01:00", *more)
    assert found.exit_code == 0, found.output or found.exception
    return found.stdout_bytes


def test_it_prints_one_bundle_and_reconciles_its_own_outcome_to_the_same_bytes(
    folder: Path, tmp_path: Path
) -> None:
    once = asked(folder)

    assert asked(folder, "--idempotent") == once
    again = tmp_path / "again"
    again.mkdir()
    (again / "set.json").write_bytes(once)
    assert asked(again) == once
    assert Said(parse(once)).same


def test_tables_of_codes_and_units_come_from_files(folder: Path, tmp_path: Path) -> None:
    codes, units = tmp_path / "codes.json", tmp_path / "units.json"
    codes.write_bytes(dump(table((ICD10, "J18.9", "equivalent", SCT, "233604007"))))
    units.write_text(
        json.dumps([{"code": "718-7", "from": "mmol/L", "to": "g/dL", "factor": 1.6114}])
    )

    bare = Said(parse(asked(folder)))
    found = Said(parse(asked(folder, "--conceptmap", codes, "--unit-factors", units)))

    assert not bare.possible and len(bare.same) == 1
    assert len(found.possible) == 1 and len(found.same) == 2


def test_a_table_of_units_may_be_csv(folder: Path, tmp_path: Path) -> None:
    units = tmp_path / "units.csv"
    units.write_text("code;from;to;factor\n718-7;mmol/L;g/dL;1.6114\n")

    assert len(Said(parse(asked(folder, "--unit-factors", units))).same) == 2


def test_a_policy_file_takes_rules_away(folder: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"version": "ours", "rules": {"Z-PRB.identifier": false}}')

    assert not Said(parse(asked(folder, "--policy", policy))).same


def test_a_file_that_is_no_bundle_is_told_and_the_others_are_used(folder: Path) -> None:
    (folder / f"{C}.json").write_text("{")

    found = Said(parse(asked(folder, "--idempotent")))

    assert any(code == "source-quarantined" and C in text for code, text in found.told)
    assert found.same


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (["--at", "yesterday", "--bsn", BSN], "--at"),
        (["--at", "2026-01-01T12:00:00", "--bsn", BSN], "time zone"),
        (["--at", "2026-01-01T12:00:00Z", "--bsn", "1"], "BSN"),
    ],
)
def test_what_was_mistyped_is_told(folder: Path, more: list[str], word: str) -> None:
    found = run(folder, *more)

    assert found.exit_code == 1 and word in str(found.exception)


def test_the_same_bytes_in_another_process_with_the_entries_turned_round(folder: Path) -> None:
    once = asked(folder)
    for each in SOURCES:
        held: Resource = each.bundle  # type: ignore[assignment]
        turned = {**held, "entry": held["entry"][::-1]}
        (folder / f"{each.ura}.json").write_bytes(dump(turned))
    typed = [str(folder), "--bsn", BSN, "--at", "2026-01-01T12:00:00+01:00"]

    done = subprocess.run(
        [sys.executable, "-m", "openldn", "reconcile", *typed], capture_output=True, check=True
    )

    assert done.stdout == once


def test_nothing_but_meta_id_and_identifier_of_a_member_changes() -> None:
    given: Source = SOURCES[2]
    held: Resource = given.bundle  # type: ignore[assignment]
    before = held["entry"][1]["resource"]

    after = Said(parse(dump(_set()))).statements[f"{C} Condition/c"]

    own = {"id", "meta", "identifier"}
    assert {k: v for k, v in after.items() if k not in own} == {
        k: v for k, v in before.items() if k not in own
    }
    assert after["meta"]["source"].endswith(C)
    assert after["meta"]["extension"][0]["valueUri"] == "urn:ehr:7"


def _set() -> Resource:
    from integration.reconcile_cases import QUESTION

    from openldn.integration.reconcile import reconcile

    return reconcile(SOURCES, QUESTION)
