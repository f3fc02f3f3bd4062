"""Both languages say everything, and neither shows a key or a gap."""

import re
import string
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openldn.access.professional import pages
from openldn.access.professional.people import practitioners
from openldn.access.professional.sections import OTHER, SECTIONS
from openldn.access.professional.settings import Node
from openldn.access.professional.words import FOLDER, LANGUAGES, language_of, words
from openldn.base.errors import Issue

DUTCH, ENGLISH = words("nl"), words("en")
TEMPLATES = "".join(p.read_text() for p in (FOLDER.parent / "pages").glob("*.html"))


def test_both_languages_have_the_same_texts() -> None:
    assert set(DUTCH.texts) == set(ENGLISH.texts)


def test_every_text_says_something_and_fills_in_the_same_places() -> None:
    def places(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for key, text in DUTCH.texts.items():
        assert text.strip(), key
        assert places(text) == places(ENGLISH.texts[key]), key


def test_every_text_that_a_page_asks_for_exists() -> None:
    asked = set(re.findall(r"""\bt\(["']([^"']+)["'](?!\s*~)""", TEMPLATES))
    assert asked > {"find.title", "answer.done"}
    assert {key for key in asked if not key.endswith(".")} <= set(DUTCH.texts)


def test_every_section_and_column_has_a_heading() -> None:
    for section in (*SECTIONS, OTHER):
        assert f"section.{section.key}" in DUTCH.texts
        assert {f"column.{c.key}" for c in section.columns} <= set(DUTCH.texts)


@pytest.mark.parametrize("issue", list(Issue))
def test_every_kind_of_failure_is_told_with_cause_and_next_step(issue: Issue) -> None:
    for language in (DUTCH, ENGLISH):
        text = language(f"problem.{issue}")
        assert text.count(".") >= 2, text


def test_every_simulated_practitioner_has_a_role_in_words_and_a_number_of_no_real_card() -> None:
    for key in ("hospital", "clinic", "rehabilitation", "gp", "pharmacy", "something-else"):
        node = Node(key, "X", "90000001", "https://x/api", "c", "k")
        for person in practitioners(node):
            assert f"role.{person.role}" in DUTCH.texts
            assert re.fullmatch(r"9999\d{5}", person.uzi)
            assert "Test" in person.name


def test_dates_are_written_as_people_write_them() -> None:
    assert DUTCH.date("2026-11-21") == "21 nov. 2026"
    assert ENGLISH.date("2026-11") == "Nov 2026"
    assert DUTCH.date("1975") == "1975"
    assert DUTCH.date("2026-07-01T22:30:00Z") == "2 juli 2026 00:30"
    assert DUTCH.moment(datetime(2026, 1, 5, 9, 4, 3, tzinfo=UTC), seconds=True) == (
        "5 jan. 2026 10:04:03"
    )


def test_what_is_no_date_is_shown_as_it_came() -> None:
    for text in ("2026-02-30", "2026-13-01", "0000", "gisteren", "2026-01-01T99:99:99Z"):
        assert DUTCH.date(text) == text


def test_numbers_keep_every_digit() -> None:
    assert DUTCH.number(Decimal("1.10")) == "1,10"
    assert ENGLISH.number(Decimal("1.10")) == "1.10"
    assert DUTCH.number(Decimal("1E+50")) == "1E+50"


@given(st.text(max_size=40))
@settings(deadline=None)
def test_any_text_can_be_asked_for_a_date(text: str) -> None:
    assert isinstance(DUTCH.date(text), str)


def test_the_language_is_the_one_chosen_then_the_browsers_then_dutch() -> None:
    assert language_of("en", "nl-NL") == "en"
    assert language_of("", "fr-FR, en-GB;q=0.8, nl;q=0.5") == "en"
    assert language_of("xx", "") == "nl"
    assert LANGUAGES == ("nl", "en")


def test_pages_fetch_nothing_from_elsewhere() -> None:
    outside = re.compile(r"""(?:src|href|action)=["'](?:https?:)?//|url\(|@import""")
    styles = b"".join(content for content, _ in pages.ASSETS.values()).decode()
    assert not outside.search(TEMPLATES)
    assert not outside.search(styles.replace('xmlns="http://www.w3.org/2000/svg"', ""))


def test_no_page_has_style_or_script_inline() -> None:
    assert not re.search(r"""\sstyle=|<style|\son[a-z]+=|javascript:""", TEMPLATES)
    assert all("src=" in script for script in re.findall(r"<script[^>]*>", TEMPLATES))
