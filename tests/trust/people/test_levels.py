"""Levels of assurance: eIDAS, Dezi `loa_dezi`, MAX `loa_uzi` and `loa_authn`; NEN 7512."""

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.trust.people.levels import Level, level, needed, require
from openldn.trust.trail import Trail


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("http://eidas.europa.eu/LoA/high", Level.HIGH),
        ("http://eidas.europe.eu/LoA/high", Level.HIGH),  # as version 0.7 of Dezi writes it
        ("substantial", Level.SUBSTANTIAL),
        ("urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI", Level.HIGH),
        ("midden", Level.LOW),
        ("", Level.NONE),
        ("http://evil.example/LoA/high", Level.NONE),
        (3, Level.NONE),
        (None, Level.NONE),
        (["high"], Level.NONE),
    ],
)
def test_each_name_of_a_level_is_known_and_any_other_is_none(word: object, expected: Level) -> None:
    assert level(word) is expected


def test_of_two_words_the_weakest_counts() -> None:
    assert level("high", "http://eidas.europa.eu/LoA/substantial") is Level.SUBSTANTIAL
    assert level("high", "unheard of") is Level.NONE
    assert level() is Level.NONE


def test_a_level_written_by_us_is_read_by_us() -> None:
    for each in (Level.LOW, Level.SUBSTANTIAL, Level.HIGH):
        assert level(each.uri) is each
    assert Level.NONE.uri == ""


def test_breaking_the_glass_needs_the_highest_level_and_so_does_what_we_do_not_know() -> None:
    assert needed("TREAT") is Level.SUBSTANTIAL
    assert needed("BTG") is needed("ETREAT") is needed("UNHEARD") is Level.HIGH
    assert needed("TREAT", {"TREAT": "high"}) is Level.HIGH


def test_a_setting_that_names_no_level_is_an_error() -> None:
    with pytest.raises(LdnError) as caught:
        needed("TREAT", {"TREAT": "firm"})

    assert caught.value.issue is Issue.INVALID


def test_a_level_too_low_is_refused_with_its_reason() -> None:
    trail = Trail()
    require(Level.HIGH, Level.HIGH, trail)

    with pytest.raises(LdnError) as caught:
        require(Level.LOW, Level.SUBSTANTIAL, trail)

    assert caught.value.detail == "person.level"
