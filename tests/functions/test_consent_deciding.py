"""Deciding over choices: generic functions §4.5 (rules C11-C14, Z12, Z13, Z20)."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from functions.consent_cases import (
    ASKED,
    CLINIC,
    CLINICS,
    DENY,
    DOCTOR,
    HOSPITAL,
    HOSPITALS,
    MOMENT,
    PERMIT,
    PRACTICE,
    THE_CLINIC,
    THE_HOSPITAL,
    TREATMENT,
    UNKNOWN,
    choice,
)
from hypothesis import given
from hypothesis import strategies as st

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.functions.consent.deciding import (
    NOTHING,
    Among,
    Policy,
    applies,
    beats,
    bound,
    decide,
    effects,
    fits,
    open_categories,
    permitted,
    weighed,
    well_formed,
)
from openldn.functions.consent.kinds import kinds
from openldn.functions.consent.model import (
    ANYTHING,
    Answer,
    Basis,
    Choice,
    Decision,
    Level,
    Origin,
    Provider,
    Target,
)
from openldn.functions.consent.persons import Chooser, age, birthday, standing

KINDS = kinds()
FITS = fits(ASKED, KINDS)

SIDES = {
    "holder": [ANYTHING, HOSPITALS, THE_HOSPITAL],
    "user": [ANYTHING, CLINICS, THE_CLINIC, Target(Level.PERSON, DOCTOR.id)],
    "context": [ANYTHING, Target(Level.EXCHANGE, "bgz")],
    "resource": [ANYTHING, TREATMENT],
}
OTHERS = {
    "holder": [Target(Level.CATEGORY, "pharmacy"), Target(Level.PROVIDER, "00000009")],
    "user": [Target(Level.CATEGORY, "hospital"), Target(Level.PERSON, "000000001")],
    "context": [Target(Level.EXCHANGE, "eoverdracht")],
    "resource": [Target(Level.CATEGORY, "GGC003"), Target(Level.TASK, "Task/1")],
}


@st.composite
def _choices(draw: st.DrawFn, decisions: tuple[Decision, ...] = (PERMIT, DENY)) -> Choice:
    sides = {side: draw(st.sampled_from(SIDES[side] + OTHERS[side])) for side in SIDES}
    hours = st.integers(-3, 3)
    start, length = draw(hours), draw(st.integers(1, 4))
    return Choice(
        id=f"c-{draw(st.integers(0, 10**9))}",
        decision=draw(st.sampled_from(decisions)),
        start=draw(st.sampled_from([None, MOMENT + timedelta(hours=start)])),
        end=draw(st.sampled_from([None, MOMENT + timedelta(hours=start + length)])),
        **sides,
    )


SETS = st.lists(_choices(), max_size=7)


def verdict(*choices: Choice) -> Decision:
    return decide(choices, FITS, MOMENT).decision


def answered(decision: Decision) -> Answer:
    return Answer(decision, Origin.MITZ, "m-1", MOMENT)


def test_no_choice_is_no_answer() -> None:
    assert decide([], FITS, MOMENT) == NOTHING


def test_a_choice_about_something_else_does_not_count() -> None:
    for side, others in OTHERS.items():
        for other in others:
            assert verdict(replace(choice(PERMIT), **{side: other})) is UNKNOWN  # type: ignore[arg-type]


def test_c11_an_objection_to_one_provider_beats_a_permission_for_its_category() -> None:
    assert verdict(choice(PERMIT, user=CLINICS), choice(DENY, user=THE_CLINIC)) is DENY


def test_c12_a_permission_for_one_provider_beats_an_objection_to_its_category() -> None:
    assert verdict(choice(DENY, user=CLINICS), choice(PERMIT, user=THE_CLINIC)) is PERMIT


def test_c13_of_two_that_cannot_be_compared_the_objection_wins() -> None:
    permit, deny = choice(PERMIT, holder=THE_HOSPITAL), choice(DENY, user=THE_CLINIC)

    assert not beats(permit, deny)
    assert not beats(deny, permit)
    assert verdict(permit, deny) is DENY


def test_z12_at_equal_specificity_the_objection_wins() -> None:
    assert verdict(choice(PERMIT, holder=HOSPITALS), choice(DENY, holder=HOSPITALS)) is DENY


@pytest.mark.parametrize("decision", [PERMIT, DENY])
def test_z13_a_choice_outside_its_period_is_ignored(decision: Decision) -> None:
    second = timedelta(seconds=1)

    past = replace(choice(decision), end=MOMENT)
    future = replace(choice(decision), start=MOMENT + second)
    current = replace(choice(decision), start=MOMENT, end=MOMENT + second)

    assert verdict(past) is UNKNOWN
    assert verdict(future) is UNKNOWN
    assert verdict(current) is decision


def test_a_more_specific_permission_frees_only_what_it_is_about() -> None:
    blanket = choice(DENY, "c-1", holder=HOSPITALS)
    freed = choice(PERMIT, "c-2", holder=HOSPITALS, user=THE_CLINIC)
    aside = choice(DENY, "c-3", resource=TREATMENT)

    assert verdict(blanket, freed) is PERMIT
    assert verdict(blanket, freed, aside) is DENY


def test_an_objection_to_a_category_reaches_a_provider_of_unknown_category() -> None:
    strange = fits(replace(ASKED, requester=Provider(CLINIC.ura, "??")), KINDS)
    everyone, clinics = choice(PERMIT), choice(DENY, user=CLINICS)

    assert decide([everyone, clinics], strange, MOMENT).decision is DENY
    assert decide([choice(PERMIT, user=CLINICS)], strange, MOMENT).decision is UNKNOWN


@given(SETS, st.randoms())
def test_the_order_of_choices_does_not_matter(choices: list[Choice], random: object) -> None:
    shuffled = list(choices)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    one, other = decide(choices, FITS, MOMENT), decide(shuffled, FITS, MOMENT)

    assert one.decision is other.decision
    assert (one.choice and one.choice.id) == (other.choice and other.choice.id)


@given(SETS, _choices((DENY,)))
def test_one_more_objection_never_permits(choices: list[Choice], objection: Choice) -> None:
    before, after = verdict(*choices), verdict(*choices, objection)

    assert after is before or after is DENY


@given(SETS, _choices((PERMIT,)))
def test_one_more_permission_never_makes_an_objection(
    choices: list[Choice], permission: Choice
) -> None:
    before, after = verdict(*choices), verdict(*choices, permission)

    assert after is before or after is PERMIT


@given(SETS)
def test_a_choice_twice_is_a_choice_once(choices: list[Choice]) -> None:
    assert verdict(*choices, *choices) is verdict(*choices)


@given(SETS)
def test_an_objection_stands_unless_a_permission_beats_it(choices: list[Choice]) -> None:
    about = [c for c in choices if c.holds(MOMENT) and applies(c, FITS)]
    permits = [c for c in about if c.decision is PERMIT]
    stands = any(
        c.decision is DENY and not any(beats(permit, c) for permit in permits) for c in about
    )

    found = verdict(*choices)

    assert (found is DENY) == stands
    assert (found is PERMIT) == (bool(permits) and not stands)


@given(_choices(), _choices(), _choices())
def test_being_more_specific_is_an_order(a: Choice, b: Choice, c: Choice) -> None:
    assert not beats(a, a)
    assert not (beats(a, b) and beats(b, a))
    assert beats(a, c) or not (beats(a, b) and beats(b, c))


@given(_choices())
def test_what_the_tests_make_is_well_formed(one: Choice) -> None:
    assert well_formed(one)


@pytest.mark.parametrize(
    "wrong",
    [
        choice(UNKNOWN),
        choice(PERMIT, holder=Target(Level.PERSON, "1")),
        choice(PERMIT, user=Target(Level.CATEGORY)),
        choice(PERMIT, resource=Target(Level.ANY, "x")),
        replace(choice(PERMIT), start=MOMENT, end=MOMENT),
    ],
)
def test_what_points_at_nothing_is_not_a_choice(wrong: Choice) -> None:
    assert not well_formed(wrong)


def test_c14_an_emergency_passes_without_an_answer_and_never_over_an_objection() -> None:
    nothing = answered(UNKNOWN)

    passed = weighed(Basis.EMERGENCY, nothing, answered(UNKNOWN))

    assert (passed.decision, passed.permits, passed.emergency) == (UNKNOWN, True, True)
    assert not weighed(Basis.EMERGENCY, nothing, answered(DENY)).permits
    assert not weighed(Basis.EMERGENCY, answered(DENY), answered(PERMIT)).permits
    assert not weighed(Basis.EMERGENCY, nothing, answered(UNKNOWN), Policy(False)).permits
    assert not weighed(Basis.EXPLICIT, nothing, answered(UNKNOWN)).permits
    assert not weighed(Basis.EMERGENCY, nothing, answered(PERMIT)).emergency


def test_an_own_objection_counts_beside_the_permission_of_the_registry() -> None:
    assert weighed(Basis.EXPLICIT, answered(DENY), answered(PERMIT)).decision is DENY
    assert weighed(Basis.EXPLICIT, answered(PERMIT), answered(UNKNOWN)).decision is UNKNOWN


def test_z20_an_implied_consent_is_one_that_names_the_task() -> None:
    task = Target(Level.TASK, "Task/1")
    about = fits(replace(ASKED, task="Task/1"), KINDS)
    tied, loose = choice(PERMIT, "c-1", resource=task, user=THE_CLINIC), choice(PERMIT, "c-2")
    objection = choice(DENY, "c-3", user=THE_CLINIC)

    assert decide(bound([tied, loose], "Task/1"), about, MOMENT).decision is PERMIT
    assert decide(bound([loose], "Task/1"), about, MOMENT).decision is UNKNOWN
    assert decide(bound([tied], "Task/2"), about, MOMENT).decision is UNKNOWN
    assert decide(bound([tied, loose], ""), about, MOMENT).decision is UNKNOWN
    assert decide(bound([loose, objection], "Task/1"), about, MOMENT).decision is DENY
    assert (
        decide(bound([tied, replace(objection, user=ANYTHING)], "Task/1"), about, MOMENT).decision
        is PERMIT
    )


def test_the_preview_tells_which_holder_could_be_asked_by_whom() -> None:
    choices = [choice(PERMIT, "c-1", holder=HOSPITALS), choice(DENY, "c-2", user=THE_CLINIC)]

    found = effects(choices, Among([HOSPITAL, PRACTICE], [CLINIC, PRACTICE]), KINDS, MOMENT)

    told = {(str(e.holder.ura), str(e.requester.ura)): e.decision for e in found}
    assert told == {
        ("00000001", "00000002"): DENY,
        ("00000001", "00000003"): PERMIT,
        ("00000003", "00000002"): DENY,
    }
    assert permitted(found) == {Ura("00000001")}


def test_the_open_question_names_categories_of_holders() -> None:
    choices = [choice(PERMIT, "c-1", holder=HOSPITALS), choice(DENY, "c-2", user=THE_CLINIC)]

    assert open_categories(choices, replace(ASKED, requester=PRACTICE), KINDS, MOMENT) == (
        "hospital",
    )
    assert open_categories(choices, ASKED, KINDS, MOMENT) == ()


@pytest.mark.parametrize(
    ("born", "years", "day"),
    [
        (date(2015, 6, 10), 12, date(2027, 6, 10)),
        (date(2012, 2, 29), 12, date(2024, 2, 29)),
        (date(2012, 2, 29), 13, date(2025, 3, 1)),
    ],
)
def test_a_birthday_is_the_first_day_of_an_age(born: date, years: int, day: date) -> None:
    assert birthday(born, years) == day
    assert age(born, day) == years
    assert age(born, day - timedelta(days=1)) == years - 1


def test_parents_choose_below_12_and_confirm_until_16() -> None:
    def at(day: date) -> datetime:
        return datetime(day.year, day.month, day.day, 12, tzinfo=MOMENT.tzinfo)

    born = date(2012, 2, 29)
    below = standing(born, Chooser.PARENT, at(date(2024, 2, 28)))
    between = standing(born, Chooser.SELF, at(date(2024, 2, 29)))
    still = standing(born, Chooser.SELF, at(date(2028, 2, 28)))
    above = standing(born, Chooser.SELF, at(date(2028, 2, 29)))

    assert (below.waits, below.lapses) == (True, date(2024, 2, 29))
    assert (between.waits, between.lapses) == (True, date(2028, 2, 29))
    assert still == between
    assert (above.waits, above.lapses) == (False, None)


@pytest.mark.parametrize(
    ("born", "chooser", "issue"),
    [
        (date(2020, 1, 1), Chooser.SELF, Issue.FORBIDDEN),
        (date(2013, 1, 1), Chooser.PARENT, Issue.FORBIDDEN),
        (date(2000, 1, 1), Chooser.PARENT, Issue.FORBIDDEN),
        (date(2028, 1, 1), Chooser.SELF, Issue.INVALID),
        (date(1800, 1, 1), Chooser.SELF, Issue.INVALID),
    ],
)
def test_who_may_not_choose_is_told_so(born: date, chooser: Chooser, issue: Issue) -> None:
    with pytest.raises(LdnError) as told:
        standing(born, chooser, MOMENT)

    assert told.value.issue is issue


def test_a_day_begins_at_midnight_in_the_netherlands() -> None:
    born = date(2011, 7, 1)
    before = datetime(2027, 6, 30, 21, 59, tzinfo=MOMENT.tzinfo)

    assert standing(born, Chooser.SELF, before).waits
    assert not standing(born, Chooser.SELF, before + timedelta(minutes=1)).waits


@pytest.mark.parametrize(
    "table",
    [
        "",
        "[]",
        '{"holder": {}, "requester": {}}',
        '{"holder": {"a": ["Z3"], "b": ["Z3"]}, "requester": {}, "exchanges": {}}',
        '{"holder": {}, "requester": {}, "exchanges": {}, "more": {}}',
    ],
)
def test_a_table_of_categories_that_is_wrong_is_refused(tmp_path: Path, table: str) -> None:
    file = tmp_path / "kinds.json"
    file.write_text(table)

    with pytest.raises(LdnError) as told:
        kinds(file)

    assert told.value.issue is Issue.INVALID
    assert str(file) in told.value.message


def test_a_table_of_categories_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LdnError):
        kinds(tmp_path / "kinds.json")


def test_many_choices_are_decided_as_few_are() -> None:
    many = [choice(PERMIT, f"c-{n}", holder=HOSPITALS) for n in range(500)]

    assert decide(many, FITS, MOMENT).decision is PERMIT
    assert decide([*many, choice(DENY, "d", holder=HOSPITALS)], FITS, MOMENT).decision is DENY
