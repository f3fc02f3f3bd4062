"""Every state of every dialect, walked whole. Source: exchange patterns §4.1-§4.4; W06."""

from itertools import product

import pytest
from offers import CONTENTS, NOW, offer, parties

from openldn.base.errors import Issue, LdnError
from openldn.fhir.model import FhirVersion, Resource
from openldn.patterns.dialects import DIALECTS, FORMS, read, written
from openldn.patterns.dialects.answers import UNTOLD, answered, applied, follow, take
from openldn.patterns.dialects.model import Carriage, Dialect
from openldn.patterns.dialects.states import (
    CARE_PLAN,
    NOTICE,
    ON_HOLD,
    TRANSFER,
    WORKFLOW,
    followed,
    spoken,
    state_of,
    status_of,
    steps,
)
from openldn.patterns.moves import START, Actor, Table
from openldn.patterns.notified_pull.model import Given, Period, Reason
from openldn.patterns.notified_pull.states import PROPOSED, TABLES

LEGACY = (TRANSFER, NOTICE, WORKFLOW, CARE_PLAN)
SPOKEN = [DIALECTS[code] for code in FORMS]
STATES = sorted({s for t in TABLES.values() for s in t.states})
WHOLE = list(product(SPOKEN, STATES))
S, R = Actor.PLACER, Actor.FULFILLER


def short(value: object) -> str:
    """A name of a case that fits on a line, the same in every process."""
    return str(getattr(value, "code", "") or getattr(value, "name", "") or value)


by_name = pytest.mark.parametrize("table", LEGACY, ids=lambda t: t.name)


def refused(table: Table, before: str, after: str, actor: Actor) -> Issue:
    with pytest.raises(LdnError) as told:
        table.between(before, after, actor)
    return told.value.issue


@by_name
def test_r19_r20_each_pair_of_states_is_allowed_exactly_as_the_table_says(table: Table) -> None:
    for before, after, actor in product((START, *table.states), table.states, Actor):
        rows = [m for m in table.moves if before in m.before and m.after == after]
        if any(m.actor is actor for m in rows):
            assert table.between(before, after, actor).after == after
        else:
            wrong = refused(table, before, after, actor)
            assert wrong is (Issue.FORBIDDEN if rows else Issue.CONFLICT)


def test_r19_who_may_answer_and_who_may_agree_in_eoverdracht() -> None:
    for after in ("accepted", "rejected", ON_HOLD):
        TRANSFER.between("requested", after, R)
        assert refused(TRANSFER, "requested", after, S) is Issue.FORBIDDEN
    for after in ("requested", "cancelled"):
        TRANSFER.between(ON_HOLD, after, S)
        assert refused(TRANSFER, ON_HOLD, after, R) is Issue.FORBIDDEN


def test_r20_only_who_receives_completes_or_time_does() -> None:
    assert TRANSFER.between("in-progress", "completed", R).event == "complete"
    assert TRANSFER.between("in-progress", "completed", S).event == "elapse"
    assert refused(CARE_PLAN, "in-progress", "completed", S) is Issue.FORBIDDEN


@by_name
def test_r21_nothing_leaves_a_terminal_state(table: Table) -> None:
    assert table.terminal <= {"completed", "cancelled", "rejected", "failed"}
    for before, after, actor in product(table.terminal, table.states, Actor):
        assert refused(table, before, after, actor) is Issue.CONFLICT


@pytest.mark.parametrize(("dialect", "state"), WHOLE, ids=short)
def test_each_state_comes_back_or_is_told_as_lost(dialect: Dialect, state: str) -> None:
    said = status_of(state, dialect)

    assert said.statuses[0] in dialect.table.states
    assert bool(said.losses) is (state_of(said.statuses[0], dialect) != state)
    terminal = {"cancelled", "rejected", "completed", "failed"}
    ended = {s for t in TABLES.values() for s in t.terminal}
    assert (said.statuses[0] in terminal) is (state in ended)


def test_w06_on_hold_is_a_counter_proposal_and_goes_out_as_on_hold() -> None:
    dialect = DIALECTS["N"]
    assert state_of(ON_HOLD, dialect) == PROPOSED
    assert status_of(PROPOSED, dialect) == ((ON_HOLD,), ())

    proposed = Period(NOW)
    given = offer(state=PROPOSED, table="placer-starts", proposed=proposed, note="bed is free then")
    task = written(given, dialect, parties()).task or {}
    assert (task["status"], task["statusReason"]["text"]) == (ON_HOLD, given.note)
    assert task["output"][0]["type"]["coding"][0]["code"] == "146851000146105"
    found = read(None, task, dialect, parties()).offer
    assert (found.state, found.proposed, found.note) == (PROPOSED, proposed, given.note)


def test_w06_in_shared_care_planning_on_hold_is_a_pause_and_told_as_lost() -> None:
    task = written(offer(state="in-progress"), DIALECTS["O"], parties()).task or {}
    found = read(None, {**task, "status": ON_HOLD}, DIALECTS["O"], parties())

    assert found.offer.state == "in-progress"
    assert [loss.element for loss in found.losses] == ["Task.status"]


def test_an_agreed_date_starts_eoverdracht_again_as_requested() -> None:
    dialect = DIALECTS["N"]
    assert spoken(dialect, PROPOSED, "received", S).statuses == ("requested",)
    assert [
        s.event for s in followed(TABLES["placer-starts"], PROPOSED, "requested", dialect, S)
    ] == ["agree"]


CELLS = [
    (d, t, m.event, m.actor, before, m.after)
    for d in SPOKEN
    for t in TABLES.values()
    for m in t.moves
    for before in m.before
    if before != START
]


@pytest.mark.parametrize(
    ("dialect", "table", "event", "actor", "before", "after"), CELLS, ids=short
)
def test_each_step_is_told_as_its_cell_says(
    dialect: Dialect, table: Table, event: str, actor: Actor, before: str, after: str
) -> None:
    told = spoken(dialect, before, after, actor)
    at = dialect.statuses[before]
    for status in told.statuses:  # by the dialect's own rows, one after the other
        dialect.table.between(at, status, actor)
        at = status
    assert told.losses or at == dialect.statuses[after] or at == "requested"
    if dialect.steps[event].carriage is Carriage.NOT_EXPRESSIBLE:
        assert told.losses
    assert told.statuses or told.losses or dialect.statuses[before] == dialect.statuses[after]


def test_what_has_no_row_is_told_by_the_nearest_one() -> None:
    dialect = DIALECTS["N"]
    assert spoken(dialect, "accepted", "rejected", R).statuses == ("cancelled",)
    assert spoken(DIALECTS["O"], "accepted", "completed", R).statuses == (
        "in-progress",
        "completed",
    )
    assert spoken(dialect, PROPOSED, "rejected", R).statuses == ()
    assert spoken(dialect, PROPOSED, "rejected", R).losses
    assert steps(TRANSFER, "completed", "requested", S) is None


FOLLOWED = [
    ("placer-starts", "in-progress", "cancelled", S, "failed"),
    ("placer-starts", "in-progress", "cancelled", R, "failed"),
    ("placer-starts", "requested", "cancelled", R, "rejected"),
    ("placer-starts", "requested", "cancelled", S, "cancelled"),
    ("placer-starts", "accepted", "in-progress", S, "in-progress"),
    ("placer-starts", "requested", "on-hold", R, PROPOSED),
    ("placer-starts", PROPOSED, "requested", S, "received"),
    ("fulfiller-starts", "accepted", "requested", S, "accepted"),
    ("placer-starts", "received", "requested", S, "received"),
    ("placer-starts", "completed", "completed", R, "completed"),
]


@pytest.mark.parametrize(("table", "before", "status", "actor", "after"), FOLLOWED)
def test_an_offer_follows_what_a_task_of_eoverdracht_says(
    table: str, before: str, status: str, actor: Actor, after: str
) -> None:
    found = followed(TABLES[table], before, status, DIALECTS["N"], actor)
    given = offer(state=before, table=table)
    moved = applied(given, found, Given(), NOW)

    assert moved.state == after
    if after in ("failed", "rejected", "cancelled"):
        assert moved.reason == UNTOLD


def served(state: str = "requested", **fields: object) -> Resource:
    given = offer(state=state, table="placer-starts", exchange="eoverdracht", use_case="transfer")
    return {**(written(given, DIALECTS["N"], parties()).task or {}), **fields}


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("Task.for.reference", {"for": {"reference": "Patient/other"}}),
        (
            "Task.owner.identifier.value",
            {
                "owner": {
                    "identifier": {
                        "system": "http://fhir.nl/fhir/NamingSystem/ura",
                        "value": "90000009",
                    }
                }
            },
        ),
        ("Task.intent", {"intent": "plan"}),
        ("Task.input", {"input": [{"type": {"text": "x"}, "valueString": "y"}]}),
        ("Task.identifier", {"identifier": []}),
        ("Task.priority", {"priority": "stat"}),
        ("Task.id", {"id": "other"}),
        ("Task.requester", {"requester": None}),
        ("Task.note", {"note": [{"text": "x"}]}),
    ],
)
def test_r18_what_else_is_changed_is_refused_and_named(where: str, change: Resource) -> None:
    put = {k: v for k, v in {**served(), "status": "accepted", **change}.items() if v is not None}
    with pytest.raises(LdnError) as told:
        answered(served(), put, DIALECTS["N"])

    assert (told.value.status, told.value.where) == (422, where)


def test_r18_a_task_written_by_another_program_is_the_same_task() -> None:
    put = dict(reversed({**served(), "status": "accepted"}.items()))
    put["text"] = {"status": "generated", "div": "<div/>"}
    put["lastModified"] = "2026-03-02T00:00:00Z"

    assert answered(served(), put, DIALECTS["N"]).status == "accepted"


def test_r18_another_date_comes_with_its_remark() -> None:
    output = [
        {
            "type": {"coding": [{"system": "http://snomed.info/sct", "code": "146851000146105"}]},
            "valueDateTime": "2026-03-09",
        }
    ]
    put = served() | {"status": ON_HOLD, "output": output, "statusReason": {"text": "bed free"}}
    given = offer(table="placer-starts")
    moved = take(given, served(), put, DIALECTS["N"], NOW)

    assert (moved.state, moved.note) == (PROPOSED, "bed free")
    assert moved.proposed == Period(NOW.replace(day=9, hour=0))


def test_r19_r21_a_status_that_may_not_be_brought_is_refused() -> None:
    for before, after, issue in (
        ("requested", "in-progress", Issue.CONFLICT),
        ("requested", "completed", Issue.CONFLICT),
        ("accepted", "in-progress", Issue.FORBIDDEN),
        ("received/counter-proposed", "requested", Issue.FORBIDDEN),
        ("completed", "accepted", Issue.CONFLICT),
        ("rejected", "accepted", Issue.CONFLICT),
    ):
        task = served(before)
        with pytest.raises(LdnError) as told:
            answered(task, {**task, "status": after}, DIALECTS["N"])
        assert told.value.issue is issue, (before, after)


def test_the_same_answer_twice_has_one_effect() -> None:
    given = offer(table="placer-starts")
    put = {**served(), "status": "accepted"}
    once = take(given, served(), put, DIALECTS["N"], NOW)
    again = take(once, served("accepted"), put, DIALECTS["N"], NOW)

    assert once.state == "accepted"
    assert again == once


def test_a_refusal_without_words_is_told_as_such() -> None:
    put = {**served(), "status": "rejected"}
    moved = take(offer(table="placer-starts"), served(), put, DIALECTS["N"], NOW)
    assert (moved.state, moved.reason) == ("rejected", UNTOLD)

    put["statusReason"] = {"text": "no bed"}
    moved = take(offer(table="placer-starts"), served(), put, DIALECTS["N"], NOW)
    assert moved.reason == Reason("no bed")


def test_a_receiver_that_reads_again_takes_over_what_is_new_and_undoes_nothing() -> None:
    mine = offer(state="accepted", table="placer-starts")
    same = follow(
        mine, offer(state="requested", table="placer-starts"), "requested", DIALECTS["T"], NOW
    )
    assert same is mine
    later = offer(state="in-progress", queries=(), authorization="", resources=offer().queries)
    moved = follow(mine, later, "in-progress", DIALECTS["N"], NOW)

    assert (moved.state, moved.resources) == ("in-progress", later.resources)
    assert moved.authorization == mine.authorization
    assert moved.version == mine.version + 1


def test_every_dialect_has_a_version_and_a_content() -> None:
    assert {d.fhir for d in SPOKEN} == set(FhirVersion)
    assert {c.table for c in CONTENTS} <= set(TABLES)
