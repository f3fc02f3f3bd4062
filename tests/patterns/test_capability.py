"""What a holder can answer of a release, by what it tells of itself."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from openldn.exchanges.bgz import BGZ
from openldn.fhir.model import FhirVersion
from openldn.infrastructures.capability import Capability, Offered, State, Statement, read
from openldn.node.capabilities import capability_statement
from openldn.patterns.capability import Ability, Can, judge

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
STU3 = FhirVersion.STU3
OURS = read(capability_statement(STU3, "https://hospital.example/fhir/STU3", NOW))


def judged(capability: Capability, *, release: str = "", named: bool = True) -> Ability:
    told = Statement(State.TOLD, NOW, capability)
    return judge(told, BGZ.release(release), STU3, named)


@pytest.mark.parametrize("release", [r.id for r in BGZ.releases])
@pytest.mark.parametrize("named", [True, False])
def test_a_node_of_our_own_promises_every_query_of_every_release(release: str, named: bool) -> None:
    found = judged(OURS, release=release, named=named)

    assert {(j.query.id, j.reasons) for j in found.queries if j.can is not Can.YES} == set()
    assert len(found.queries) == len(BGZ.release(release).plan)


def without(type_: str, **changed: frozenset[str]) -> Capability:
    types = {**OURS.types, type_: replace(OURS.types[type_], **changed)}
    return replace(OURS, types=types)


def one(found: Ability, id_: str) -> tuple[Can, tuple[str, ...]]:
    return next((j.can, j.reasons) for j in found.queries if j.query.id == id_)


def test_a_type_that_is_not_offered_cannot_be_asked() -> None:
    types = {k: v for k, v in OURS.types.items() if k != "Flag"}

    found = judged(replace(OURS, types=types))

    assert found.some(Can.NO) == ["B12"]
    assert one(found, "B12") == (Can.NO, ("Flag is not offered",))


def test_a_type_that_can_only_be_read_cannot_be_searched() -> None:
    found = judged(without("Flag", interactions=frozenset({"read"})))

    assert one(found, "B12") == (Can.NO, ("Flag cannot be searched",))


def test_a_chained_patient_counts_where_its_first_link_is_listed() -> None:
    assert one(judged(without("Flag", parameters=frozenset({"patient"}))), "B12")[0] is Can.YES
    bare = without("Flag", parameters=frozenset({"status"}))
    assert one(judged(bare), "B12") == (
        Can.UNSURE,
        ("search parameter patient.identifier is not listed",),
    )
    assert one(judged(bare, named=False), "B12")[0] is Can.YES


def test_an_include_or_operation_that_is_not_listed_leaves_doubt() -> None:
    found = judged(without("Coverage", includes=frozenset({"Coverage:payor"})))
    assert one(found, "B02")[0] is Can.YES
    assert one(judged(without("Coverage", includes=frozenset())), "B02")[0] is Can.UNSURE

    silent = replace(without("Observation", operations=frozenset()), operations=frozenset())
    assert one(judged(silent), "B05") == (Can.UNSURE, ("$lastn is not listed",))


@pytest.mark.parametrize(("told", "said"), [("4.0.1", "R4"), ("5.0.0", "another")])
def test_another_fhir_version_answers_nothing(told: str, said: str) -> None:
    found = judged(replace(OURS, fhir=told))

    assert len(found.some(Can.NO)) == 29
    assert f"FHIR {said}" in found.warning


def test_a_version_that_is_not_told_is_not_held_against_it() -> None:
    assert judged(replace(OURS, fhir="")).warning == ""


@pytest.mark.parametrize("state", [State.WRONG, State.MISSING])
def test_without_a_statement_every_query_is_in_doubt_with_the_reason(state: State) -> None:
    told = Statement(state, NOW, reason="the holder does not tell")

    found = judge(told, BGZ.release(), STU3, True)

    assert (found.state, found.warning) == (state, "the holder does not tell")
    assert len(found.some(Can.UNSURE)) == 29


def test_a_statement_that_offers_nothing_promises_nothing() -> None:
    assert len(judged(Capability("3.0.2", {"Patient": Offered()})).some(Can.NO)) == 28
