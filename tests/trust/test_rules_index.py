"""The index of rules names, for every rule, tests that exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from openldn.node.refusing import OWN
from openldn.trust.dealings.rules import rules

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "reference" / "rules.md"
ROW = re.compile(r"^\| ([A-Z]{1,2}\d\d) \| (.+?) \| (.+?) \| (.*?) ?\|$", re.M)
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
TEXT = PAGE.read_text(encoding="utf-8")
ROWS = ROW.findall(TEXT)
RULES = [
    *(f"R{n:02}" for n in range(45, 76)),
    *(f"A{n:02}" for n in range(1, 21)),
    *(f"E{n:02}" for n in range(1, 9)),
    *("R76", "R77", "R84", "R86", "C40"),
    *(f"C{n:02}" for n in range(1, 17)),
    *("L34", "L35", "L36", "L37", "L44"),
    *(f"N{n:02}" for n in range(1, 8)),
    *(f"I{n:02}" for n in range(1, 7)),
    *(f"L{n:02}" for n in range(1, 34)),
    *(f"L{n:02}" for n in (*range(38, 44), 45)),
    *(f"P{n:02}" for n in range(1, 22)),
    *(f"Z{n:02}" for n in range(1, 23)),
    *(f"G{n:02}" for n in range(1, 22)),
    *(f"T{n:02}" for n in range(1, 7)),
    *(f"D{n:02}" for n in range(1, 29)),
    *(f"S{n:02}" for n in range(1, 5)),
    *(f"RT{n:02}" for n in range(1, 5)),
    *(f"R{n:02}" for n in (*range(10, 13), *range(17, 22), 23, *range(26, 45))),
    *(f"W{n:02}" for n in (*range(1, 6), 7, 8)),
    *(f"R{n:02}" for n in range(76, 84)),
    *(f"R{n:02}" for n in (*range(1, 10), *range(13, 17), 24, 25)),
    "W06",
    *(f"PU{n:02}" for n in range(1, 23)),
]  # those that must stand there; each function adds its own


@cache
def _in(file: str) -> frozenset[str]:
    """The names of the test functions in a file; none when there is no such file."""
    path = TESTS / file
    if not path.is_file():
        return frozenset()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = (n for n in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(n, kinds))
    return frozenset(f.name for f in found if f.name.startswith("test_"))


def test_every_rule_has_one_row() -> None:
    found = [rule for rule, *_ in ROWS]

    assert sorted(found) == sorted(set(found)), "a rule has one row"
    assert set(RULES) - set(found) == set()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_rule_has_an_answer_and_a_proof(row: tuple[str, str, str, str]) -> None:
    rule, text, answer, proven = row

    assert text and answer
    assert NAMED.findall(proven), f"{rule} is proven by nothing"
    assert NAMED.sub("", proven).strip() == ""


def test_every_test_that_is_named_exists() -> None:
    lost = [f"{file}::{name}" for file, name in NAMED.findall(TEXT) if name not in _in(file)]

    assert not lost


def test_every_reason_code_in_the_help_for_operators_exists() -> None:
    help_page = TESTS.parent / "docs" / "operate" / "when-something-is-wrong.md"
    table = help_page.read_text(encoding="utf-8").partition("## Reason codes")[2]
    first = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    told = {code.rstrip("…") for cell in first for code in re.findall(r"`([^`]+)`", cell)}
    known = {*rules(), *OWN, "uzi."}  # the last are details of `certificate.party`

    assert {code for code in told if not any(k.startswith(code) for k in known)} == set()
