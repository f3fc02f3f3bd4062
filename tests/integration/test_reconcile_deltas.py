"""R29 and R30 of integration §7.2: what a situation leaves out, and what a late answer changes."""

import pytest
from hypothesis import given
from integration.reconcile_cases import (
    QUESTION,
    A,
    B,
    C,
    allergy,
    identifier,
    organization,
    problem,
    result,
    said,
    source,
    verified,
)
from integration.test_reconcile_invariants import QUICK, answers

from openldn.base.errors import LdnError
from openldn.integration.reconcile import Source, reconcile
from openldn.integration.reconcile.deltas import Change, applied, deltas, seen

X = {**identifier("X77"), "assigner": organization(A)}
OLD = {"effectiveDateTime": "2023-03-04T10:00:00+01:00"}


def test_r29_what_an_acute_situation_has_no_use_for_is_counted_and_can_be_had() -> None:
    given = source(A, result("a", "4.1"), result("b", "4.1", **OLD))

    found = said(given, situation="acute")

    assert f"{A} Observation/a" in found.statements
    assert f"{A} Observation/b" not in found.statements
    assert any(code == "left-out" and "1 of Z-LAB" in text for code, text in found.told)
    assert f"{A} Observation/b" in said(given).statements


def test_r29_a_conflict_and_an_allergy_are_never_too_old() -> None:
    given = (
        source(A, result("a", "4.1", **OLD), allergy("x", recordedDate="1990")),
        source(B, result("b", "4.6", **OLD)),
    )

    found = said(*given, situation="acute")

    assert found.conflicts() and f"{A} AllergyIntolerance/x" in found.statements


def test_r29_a_situation_nobody_knows_is_refused() -> None:
    with pytest.raises(LdnError, match="acute"):
        said(source(A), situation="leisure")


def test_r30_a_late_withdrawal_by_the_author_retracts_what_was_shown() -> None:
    shown = source(B, problem("b", identifier=[X], recordedDate="2025-01-01"))
    gone = problem("a", identifier=[X], recordedDate="2025-02-01")
    late = source(A, {**gone, "verificationStatus": verified("entered-in-error")})
    before, after = (reconcile(given, QUESTION) for given in ([shown], [shown, late]))

    changes = list(deltas(before, after))

    retracted = [c for c in changes if c.change is Change.RETRACT]
    assert [len(c.members) for c in retracted] == [1]
    assert not any("Condition" in name for held in seen(after) for name in held)


@QUICK
@given(answers(), answers())
def test_p7_the_deltas_end_in_what_all_answers_give_at_once(
    first: list[Source], more: list[Source]
) -> None:
    others = [Source(f"9{each.ura[1:]}", each.bundle) for each in more]
    before, after = reconcile(first, QUESTION), reconcile([*first, *others], QUESTION)

    view = seen(before)
    for change in deltas(before, after):
        view = applied(view, change)

    assert view == seen(after)


def test_a_third_answer_replaces_what_two_gave() -> None:
    two = [source(u, problem("p", identifier=[X])) for u in (A, B)]
    before = reconcile(two, QUESTION)
    after = reconcile([*two, source(C, problem("p", identifier=[X]))], QUESTION)

    changes = [c.change for c in deltas(before, after) if "Condition" in min(c.members)]

    assert changes == [Change.REPLACE]
