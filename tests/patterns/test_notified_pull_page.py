"""The page about notified pull draws the tables that the code decides by."""

import re
from pathlib import Path

import pytest

from openldn.patterns.moves import mermaid, rows
from openldn.patterns.notified_pull.states import TABLES

PAGE = Path(__file__).parents[2] / "docs" / "explain" / "notified-pull.md"


@pytest.mark.parametrize("name", TABLES)
def test_each_table_is_drawn_and_told_as_the_code_has_it(name: str) -> None:
    part = PAGE.read_text(encoding="utf-8").partition(f"### {name}\n")[2]
    part = re.split(r"^##", part, maxsplit=1, flags=re.M)[0]

    assert f"```mermaid\n{mermaid(TABLES[name])}```" in part
    assert rows(TABLES[name]) in part


def test_no_other_table_is_drawn() -> None:
    drawn = re.findall(r"^### (\S+)$", PAGE.read_text(encoding="utf-8"), re.M)

    assert drawn == list(TABLES)
