"""Every dialect both ways: what it can say comes back the same, what it cannot is told as lost.

Source: exchange patterns §3.2; pattern rules §5.
"""

from dataclasses import fields, replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from offers import HOSPITAL, NOW, offer, offers, parties

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import check
from openldn.patterns.dialects import DIALECTS, FORMS, of_peer, read, written
from openldn.patterns.dialects.model import Carriage, Dialect
from openldn.patterns.dialects.organizations import AGB_OID, DID
from openldn.patterns.notified_pull.model import Offer, Period, Reason
from openldn.patterns.notified_pull.states import TABLES

SPOKEN = [DIALECTS[code] for code in FORMS]
ELEMENTS = [f.name for f in fields(Offer)]
NOTHING = ("", (), None)
WENT = "the patient went home"

each = pytest.mark.parametrize("dialect", SPOKEN, ids=lambda d: d.code)


def back(given: Offer, dialect: Dialect) -> tuple[Offer, set[str]]:
    """The offer as it comes back, and what was told as lost."""
    told = written(given, dialect, parties())
    found = read(told.notification, told.task, dialect, parties())
    assert not found.losses
    return found.offer, {loss.element for loss in told.losses}


@each
@settings(max_examples=40)
@given(given=offers())
def test_what_comes_back_is_the_same_or_was_told_as_lost(dialect: Dialect, given: Offer) -> None:
    found, lost = back(given, dialect)

    for element in ELEMENTS:
        same = getattr(found, element) == getattr(given, element)
        assert same or element in lost, (element, getattr(given, element), getattr(found, element))


@each
@settings(max_examples=40)
@given(given=offers())
def test_nothing_is_told_as_lost_that_the_table_calls_carried_whole(
    dialect: Dialect, given: Offer
) -> None:
    _, lost = back(given, dialect)

    assert not {element for element in lost if dialect.cells[element].whole}
    for element, cell in dialect.cells.items():
        if cell.carriage is not Carriage.CARRIED and getattr(given, element) not in NOTHING:
            assert element in lost


@each
@settings(max_examples=40)
@given(given=offers())
def test_what_was_read_is_written_the_same_again(dialect: Dialect, given: Offer) -> None:
    first = written(given, dialect, parties())
    found = read(first.notification, first.task, dialect, parties()).offer
    again = written(found, dialect, parties())

    dated = "proposed" in {loss.element for loss in first.losses}  # said to a person, in a note
    for one, other in ((first.notification, again.notification), (first.task, again.task)):
        if one is not None and other is not None and not dated:
            assert {**one, "code": 0} == {**other, "code": 0}
            assert one["status"] == other["status"]


@each
@settings(max_examples=40)
@given(given=offers())
def test_what_is_written_is_fhir_of_its_version(dialect: Dialect, given: Offer) -> None:
    told = written(given, dialect, parties())

    for task in (told.notification, told.task):
        if task is not None:
            check(task, dialect.fhir)


@each
def test_the_table_has_a_cell_for_each_part_of_an_offer_and_each_step(dialect: Dialect) -> None:
    assert list(dict.fromkeys(dialect.cells)) == list(dialect.cells)
    assert set(dialect.cells) == set(ELEMENTS)
    assert set(dialect.steps) == {m.event for t in TABLES.values() for m in t.moves}


@pytest.mark.parametrize("code", ["T", "K"])
@settings(max_examples=40)
@given(given=offers())
def test_a_notification_without_workflow_task_says_what_it_can(code: str, given: Offer) -> None:
    known = parties(bare=True)
    told = written(given, DIALECTS[code], known)
    assert told.task is None
    found = read(told.notification, None, DIALECTS[code], known).offer
    lost = {loss.element for loss in told.losses}

    assert (found.queries, found.resources) == (given.queries, given.resources)
    for element in ELEMENTS:
        assert getattr(found, element) == getattr(given, element) or element in lost, element


def test_nuts_refuses_to_go_without_its_workflow_task() -> None:
    with pytest.raises(LdnError) as told:
        written(offer(), DIALECTS["NP"], parties(bare=True))
    assert told.value.issue is Issue.BUSINESS_RULE


@pytest.mark.parametrize(("wire", "kind", "system"), [("T", "agb-oid", AGB_OID), ("N", "did", DID)])
def test_organizations_go_by_the_identifier_of_the_peer_and_come_back_as_ura(
    wire: str, kind: str, system: str
) -> None:
    dialect = of_peer(wire, kind)
    told = written(offer(resources=()), dialect, parties(system))

    task = told.task or {}
    assert task["owner"]["identifier"]["system"] == system
    assert read(told.notification, told.task, dialect, parties()).offer.placer == HOSPITAL


def test_an_organization_that_nobody_knows_is_not_found_whichever_way() -> None:
    told = written(offer(), of_peer("T", "agb-oid"), parties(AGB_OID))
    unknown = replace(parties(), ura=lambda named: None)
    with pytest.raises(LdnError) as coming:
        read(told.notification, told.task, DIALECTS["T"], unknown)
    with pytest.raises(LdnError) as going:
        written(offer(), of_peer("T", "agb-oid"), replace(unknown, name=lambda ura: None))

    assert coming.value.issue is going.value.issue is Issue.NOT_FOUND
    assert coming.value.where == "Task.requester"


def test_only_the_beginning_of_another_date_is_said_by_eoverdracht() -> None:
    proposed = Period(NOW, NOW + timedelta(days=1))
    given = offer(state="received/counter-proposed", table="placer-starts", proposed=proposed)
    found, lost = back(given, DIALECTS["N"])

    assert found.proposed == Period(NOW)
    assert "proposed" in lost


def test_a_failure_is_told_as_cancelled_with_its_reason() -> None:
    given = offer(state="failed", reason=Reason(WENT))
    for code in ("T", "N", "NP", "K"):
        told = written(given, DIALECTS[code], parties()).task or {}
        assert (told["status"], told["statusReason"]["text"]) == ("cancelled", WENT)
    assert (written(given, DIALECTS["O"], parties()).task or {})["status"] == "failed"


@each
@given(given=offers())
@settings(max_examples=40)
def test_no_bsn_is_written_in_any_dialect(dialect: Dialect, given: Offer) -> None:
    told = written(given, dialect, parties())
    for task in (told.notification, told.task):
        assert "NamingSystem/bsn" not in repr(task)
    if told.notification is not None:
        assert "for" not in told.notification
