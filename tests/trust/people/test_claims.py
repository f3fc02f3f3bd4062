"""One set of claims from both shapes: the Dezi statement and userinfo of MAX (GF §2.5)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.trust.parties import Person
from openldn.trust.people.claims import PersonClaims, Relation, read
from openldn.trust.people.levels import Level

DEZI: dict[str, Any] = {
    "dezi_nummer": "900022159",
    "voorletters": "J.",
    "voorvoegsel": "van der",
    "achternaam": "Zorg-Test",
    "abonnee_nummer": "90000382",
    "abonnee_naam": "Ziekenhuis Oost",
    "rol_code": "01.015",
    "loa_dezi": "http://eidas.europa.eu/LoA/high",
}
MAX: dict[str, Any] = {
    "uzi_id": "900022159",
    "initials": "J.",
    "surname_prefix": "van der",
    "surname": "Zorg-Test",
    "relations": [{"ura": "90000382", "entity_name": "Ziekenhuis Oost", "roles": ["01.015"]}],
    "loa_uzi": "http://eidas.europa.eu/LoA/high",
    "loa_authn": "http://eidas.europa.eu/LoA/high",
}


def test_both_shapes_give_the_same_person() -> None:
    relation = Relation(Ura.parse("90000382"), "Ziekenhuis Oost", ("01.015",))
    expected = PersonClaims("900022159", "J.", "van der", "Zorg-Test", Level.HIGH, (relation,))

    assert read(DEZI) == read(MAX) == expected
    assert read(MAX).person("01.015") == Person("900022159", "01.015", "J. van der Zorg-Test")
    assert "Zorg-Test" not in repr(read(MAX))


def test_the_weaker_of_card_and_sign_in_is_the_level() -> None:
    assert read(MAX | {"loa_authn": "substantial"}).level is Level.SUBSTANTIAL
    assert read(MAX | {"loa_authn": None}).level is Level.NONE


def test_a_relation_without_ura_or_role_binds_to_nothing_and_is_left_out() -> None:
    whole = MAX["relations"][0]
    odd = [{"entity_name": "x", "roles": ["01.015"]}, {"ura": "1", "roles": ["doctor"]}, 7]

    assert len(read(MAX | {"relations": [*odd, whole]}).relations) == 1


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"sub": "a"},
        MAX | {"uzi_id": "A123"},
        MAX | {"uzi_id": 900022159},
        MAX | {"surname": ""},
        MAX | {"surname": ["x"]},
        MAX | {"initials": "J\u0000"},
        MAX | {"relations": []},
        MAX | {"relations": "x"},
        MAX | {"relations": [{"entity_name": "x", "roles": ["01.015"]}]},
        DEZI | {"abonnee_nummer": "123456789"},
        DEZI | {"rol_code": None},
    ],
)
def test_what_does_not_make_a_person_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(LdnError) as caught:
        read(told)

    assert caught.value.issue is Issue.LOGIN
    assert caught.value.detail.startswith("person.claims")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*DEZI, *MAX]), VALUES))
def test_whatever_is_told_only_our_error_leaves(told: dict[str, Any]) -> None:
    for shape in (DEZI, MAX):
        try:
            read(shape | told)
        except LdnError:
            continue
