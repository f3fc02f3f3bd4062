"""Both languages say everything that the pages of citizens can ask for."""

import re
import string

from openldn.access.citizen.pages import FOLDER, SECTIONS, words
from openldn.functions.consent.kinds import kinds

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

    assert "preview.save" in asked
    assert {key for key in asked if not key.endswith(".")} <= set(DUTCH.texts)


def test_every_category_one_can_choose_has_words() -> None:
    named = {*kinds().holder.values(), *kinds().requester.values()}

    assert {f"category.{n}" for n in named} <= set(DUTCH.texts)


def test_every_section_has_a_name_in_the_menu() -> None:
    assert {f"nav.{s or 'overview'}" for s in SECTIONS} <= set(DUTCH.texts)
