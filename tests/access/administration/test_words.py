"""Both languages say everything that a page, a finding or an advice can ask for."""

import re
import string
import tomllib

import pytest

from openldn.access.administration.pages import FOLDER, SECTIONS, rule_in, words
from openldn.base.errors import Issue
from openldn.node.reach.model import Came
from openldn.node.reach.sayings import SAYINGS
from openldn.node.reach.service import STEPS
from openldn.node.refusing import OWN
from openldn.trust.dealings import advice
from openldn.trust.dealings.rules import OTHER, rules

DUTCH, ENGLISH = words("nl"), words("en")
TEMPLATES = "".join(p.read_text() for p in (FOLDER / "pages").glob("*.html"))


def test_both_languages_have_the_same_texts_with_the_same_places() -> None:
    def places(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert set(DUTCH.texts) == set(ENGLISH.texts)
    for key, text in DUTCH.texts.items():
        assert text.strip(), key
        assert places(text) == places(ENGLISH.texts[key]), key


def test_every_text_that_a_page_asks_for_exists() -> None:
    asked = set(re.findall(r"""\bt\(["']([^"']+)["'](?!\s*~)""", TEMPLATES))

    assert asked > {"verdict.ok.text", "step"}
    assert {key for key in asked if not key.endswith(".")} <= set(DUTCH.texts)


def test_every_finding_and_its_next_step_has_words() -> None:
    source = (FOLDER / "findings.py").read_text()
    whats = set(re.findall(r'"((?:key|credential)\.(?:ended|soon|revoked))"', source))
    whats |= {f"key.{n}" for n in ("soon", "ended", "future", "unreadable", "revoked")}
    whats |= {"lost", "waiting", "undelivered", "directory", "store", "refused.in", "refused.out"}
    whats |= {f"document.{n}" for n in ("ended", "failed", "serving")}

    assert {f"what.{w}" for w in whats} <= set(DUTCH.texts)
    steps = (
        "review",
        "renew",
        "file",
        "clock",
        "credential",
        "directory",
        "store",
        "document",
        "down",
    )
    assert {f"step.{s}" for s in steps} <= set(DUTCH.texts)


def test_every_advice_has_words_in_both_languages() -> None:
    known = [a for a in vars(advice).values() if isinstance(a, advice.Advice)]

    assert len(known) > 10
    assert {f"step.advice.{a.key}" for a in known} <= set(DUTCH.texts)


def test_every_section_has_a_name_in_the_menu() -> None:
    assert {f"nav.{s or 'overview'}" for s in SECTIONS} <= set(DUTCH.texts)


def test_dutch_words_of_rules_are_of_rules_that_exist() -> None:
    told = tomllib.loads((FOLDER / "words" / "rules-nl.toml").read_text())
    known = {*rules(), *OWN, OTHER.code}

    assert set(told) <= known, set(told) - known


def test_every_rule_has_dutch_words() -> None:
    told = tomllib.loads((FOLDER / "words" / "rules-nl.toml").read_text())

    assert {*rules(), *OWN} <= set(told), {*rules(), *OWN} - set(told)
    assert all(text.strip() and text[0] == text[0].strip() for text in told.values())


def test_every_step_of_a_way_and_every_outcome_has_dutch_words() -> None:
    told = tomllib.loads((FOLDER / "words" / "reach-nl.toml").read_text())
    known = {*SAYINGS, *(f"{key}.advice" for key, said in SAYINGS.items() if said.advice)}

    assert set(told) == known, set(told) ^ known
    assert {f"reach.step.{name}" for name in STEPS} <= set(DUTCH.texts)
    assert {f"came.{came}" for came in Came} <= set(DUTCH.texts)


def test_a_rule_without_dutch_words_is_told_in_english_and_marked_so() -> None:
    assert rule_in("nl", "jwt.alg", "…")[1] == "nl"
    assert rule_in("nl", "brand.new", "the new rule") == ("the new rule", "en")
    assert rule_in("en", "jwt.alg", "the algorithm") == ("the algorithm", "en")


@pytest.mark.parametrize("issue", list(Issue))
def test_every_kind_of_failure_is_told_with_cause_and_next_step(issue: Issue) -> None:
    for language in (DUTCH, ENGLISH):
        assert language(f"problem.{issue}").count(".") >= 2


def test_pages_have_nothing_inline_and_fetch_nothing_from_elsewhere() -> None:
    assert not re.search(r"""\sstyle=|<style|\son[a-z]+=|javascript:""", TEMPLATES)
    assert not re.search(r"""(?:src|href|action)=["'](?:https?:)?//""", TEMPLATES)
