"""The Coordination Task: what we write is read back, what breaks the profile is named."""

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import Format, decode, dump
from openldn.fhir.identifiers import BSN_SYSTEM, URA_SYSTEM, Ura
from openldn.fhir.model import FhirVersion
from openldn.patterns.notified_pull.changes import asked, patched, require_changeable
from openldn.patterns.notified_pull.model import Label, Offer, Period, Pointer, Reason
from openldn.patterns.notified_pull.profile import broken, require
from openldn.patterns.notified_pull.reading import concept, moment
from openldn.patterns.notified_pull.states import TABLES, state_of
from openldn.patterns.notified_pull.task import offer_of, task_of
from openldn.patterns.notified_pull.words import (
    ASK_WHO,
    COORDINATION,
    PROPOSED_DATE,
    WORKFLOW,
)

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
TO = Ura("90000002")
SERVICE = Label("http://example.org/services", "cardio", TO, "Cardiology")

moments = st.integers(946_684_800_000, 4_102_444_800_000).map(
    lambda milliseconds: (
        datetime.fromtimestamp(milliseconds // 1000, UTC)
        + timedelta(milliseconds=milliseconds % 1000)
    )
)
words = st.text(st.characters(min_codepoint=33, max_codepoint=0x24F), min_size=1, max_size=20)
codes = st.from_regex(r"[a-z]{1,8}(-[a-z]{1,8})?", fullmatch=True)
pointers = st.builds(Pointer, words, codes, st.just("http://loinc.org"))
offers = st.sampled_from([(t, s) for t in TABLES.values() for s in t.states]).flatmap(
    lambda place: st.builds(
        Offer,
        id=codes,
        identifier=st.uuids().map(lambda u: f"urn:uuid:{u}"),
        placer=st.just(Ura("90000001")),
        fulfiller=st.just(TO),
        exchange=codes,
        use_case=codes,
        created=moments,
        changed=moments,
        state=st.just(place[1]),
        version=st.integers(1, 10**8),
        table=st.just(place[0].name),
        focus=st.just("ServiceRequest/s1"),
        # a candidate is told for whom when it is chosen
        patient=st.just("" if place == (TABLES["candidates"], "accepted") else "Patient/p1"),
        group=codes,
        queries=st.lists(pointers, max_size=3).map(tuple),
        resources=st.lists(pointers, max_size=3).map(tuple),
        authorization=codes,
        service=st.sampled_from([None, SERVICE]),
        location=st.sampled_from([None, Label("http://example.org/rooms", "A1", TO)]),
        reason=st.sampled_from([None, Reason("no bed"), Reason("full", "full", "http://x.org")]),
        note=words,
        proposed=st.one_of(st.none(), st.builds(Period, moments, moments)),
        expires=st.one_of(st.none(), moments),
    )
)


def offer(**more: Any) -> Offer:
    known = {"state": "requested", "version": 1, "focus": "ServiceRequest/s1", **more}
    known.setdefault("patient", "Patient/p1")
    who = (Ura("90000001"), TO, "bgz", "refer", NOW, NOW)
    return Offer("t1", "urn:uuid:5f2d1c9e-7a34-4a4e-9d3c-0a1b2c3d4e5f", *who, **known)


@given(offers)
def test_an_offer_written_as_a_task_is_read_back_whole(told: Offer) -> None:
    task = decode(dump(task_of(told)), Format.JSON, FhirVersion.R4)  # sound R4, by the definitions
    starts = told.table if told.table != "candidates" or told.patient else "fulfiller-starts"
    back = offer_of(task, starts)
    assert back == told


@given(offers.filter(lambda o: o.state != "accepted/selected" or o.patient))
def test_what_we_write_holds_by_the_profile(told: Offer) -> None:
    explained = {"rejected", "cancelled"} | {"failed"}
    unexplained = told.status in explained and told.reason is None
    assert [r.id for r in broken(task_of(told))] == (["R30"] if unexplained else [])


def changed(**elements: Any) -> dict[str, Any]:
    return {**task_of(offer()), **elements}


SELECTED = concept(WORKFLOW, "selected")
KVK = {"identifier": {"system": "http://fhir.nl/fhir/NamingSystem/kvk", "value": "12345678"}}
OWNED = {"system": "http://example.org/services", "value": "cardio", "assigner": KVK}
NOT_SELECTED = {**concept(WORKFLOW, "not-selected"), "text": "another"}
BREAKERS: list[tuple[str, dict[str, Any]]] = [
    ("R26", changed(status="draft")),
    ("R26", changed(status="ready")),
    ("R26", changed(status="on-hold")),
    ("R27", changed(status="rejected", statusReason=NOT_SELECTED)),
    ("R28", changed(businessStatus=SELECTED, code=concept(WORKFLOW, "request-fulfillment"))),
    ("R28", {k: v for k, v in changed(businessStatus=SELECTED).items() if k != "for"}),
    ("R29", changed(code=concept(WORKFLOW, ASK_WHO))),
    ("R30", changed(status="rejected")),
    ("R30", changed(status="cancelled", statusReason={"text": " "})),
    ("R31", changed(**{"for": {"identifier": {"system": BSN_SYSTEM, "value": "999911120"}}})),
    ("R32", changed(owner={"identifier": OWNED})),
    ("W", changed(intent="proposal")),
    ("W", changed(input=[])),
    ("W", {k: v for k, v in changed().items() if k != "focus"}),
    ("W", changed(code=concept(WORKFLOW, "abort"))),
]


@pytest.mark.parametrize(("rule", "task"), BREAKERS)
def test_r26_to_r32_a_task_that_breaks_a_rule_is_refused_by_its_name(
    rule: str, task: dict[str, Any]
) -> None:
    with pytest.raises(LdnError) as told:
        require(task)
    assert told.value.issue is Issue.BUSINESS_RULE
    assert rule in {r.id for r in broken(task)}
    assert "999911120" not in str(told.value)


@pytest.mark.parametrize("rule", ["R30", "R31"])
def test_r30_r31_peers_of_the_drafts_are_warned_only(rule: str) -> None:
    for task in (t for r, t in BREAKERS if r == rule):
        (warning,) = require(task, mild=True)
        assert rule in warning


def test_r32_the_custodian_of_a_service_is_a_care_provider() -> None:
    told = task_of(offer(service=SERVICE))
    assert require(told) == []
    assert told["owner"]["identifier"]["assigner"]["identifier"]["value"] == TO.value
    assert offer_of(told).fulfiller == TO


def test_a_task_that_names_nobody_is_refused_with_the_element() -> None:
    for name in ("requester", "owner", "authoredOn"):
        task = {k: v for k, v in task_of(offer()).items() if k != name}
        with pytest.raises(LdnError) as told:
            offer_of(task)
        assert told.value.where.startswith(f"Task.{name}")


# --- changes -----------------------------------------------------------------------------------

FREE: dict[str, Any] = {
    "status": "accepted",
    "statusReason": {"text": "full"},
    "businessStatus": concept(COORDINATION, "counter-proposed"),
    "note": [{"text": "Tuesday?"}],
    "executionPeriod": {"start": "2026-03-03"},
    "output": [{"type": {"text": "report"}, "valueString": "x"}],
}
FIXED: dict[str, Any] = {
    "requester": {"identifier": {"system": URA_SYSTEM, "value": "90000009"}},
    "owner": {"identifier": {"system": URA_SYSTEM, "value": "90000009"}},
    "focus": {"reference": "ServiceRequest/other"},
    "for": {"reference": "Patient/other"},
    "basedOn": [{"reference": "ServiceRequest/other"}],
    "intent": "proposal",
    "restriction": {"period": {"end": "2099-01-01"}},
    "input": [],
    "priority": "urgent",
    "identifier": [],
}


@pytest.mark.parametrize("name", FREE)
def test_r18_the_fulfiller_may_change_what_its_answer_needs(name: str) -> None:
    before = task_of(offer())
    require_changeable(before, {**before, name: FREE[name], "lastModified": "2026-03-02"})


@pytest.mark.parametrize("name", FIXED)
def test_r18_w04_any_other_change_is_refused_naming_the_element(name: str) -> None:
    before = task_of(offer())
    for after in ({**before, name: FIXED[name]}, {k: v for k, v in before.items() if k != name}):
        if after == before:
            continue
        with pytest.raises(LdnError) as told:
            require_changeable(before, after)
        assert (told.value.status, told.value.where) == (422, f"Task.{name}")


def test_w08_a_date_may_be_proposed_as_a_period_or_as_an_input() -> None:
    before = task_of(offer())
    dated = {"type": concept(COORDINATION, PROPOSED_DATE), "valueDateTime": "2026-03-03T10:00:00Z"}
    cp = {"status": "received", "businessStatus": FREE["businessStatus"]}
    for after, start in (
        ({**before, **cp, "executionPeriod": {"start": "2026-03-03T10:00:00Z"}}, 10),
        ({**before, **cp, "input": [*before["input"], dated]}, 10),
    ):
        require_changeable(before, after)
        state, brought = asked(after)
        assert state == state_of("received", "counter-proposed")
        assert brought.proposed == Period(datetime(2026, 3, 3, start, tzinfo=UTC))


@pytest.mark.parametrize("shift", [timedelta(0), timedelta(hours=1)])
def test_a_day_ends_at_its_dutch_midnight(shift: timedelta) -> None:
    assert moment("2026-03-01") == datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert moment("2026-07-01", end=True).hour == 21
    with pytest.raises(LdnError, match="month"):
        moment("2026-03")


# --- JSON Patch --------------------------------------------------------------------------------


def test_r34_a_json_patch_changes_a_copy_of_the_task() -> None:
    before = task_of(offer())
    kept = deepcopy(before)
    after = patched(before, [{"op": "replace", "path": "/status", "value": "accepted"}])
    assert (after["status"], before) == ("accepted", kept)


MALFORMED: list[Any] = [
    [3],
    [{"op": "replace"}],
    [{"op": "addne", "path": "/a", "value": 1}],
    [{"op": "add", "path": 3, "value": 1}],
    [{"op": "add", "path": "status", "value": 1}],
    [{"op": "replace", "path": "", "value": 3}],
    [{"op": "test", "path": "/status", "value": "requested"}] * 51,
]
UNFIT: list[Any] = [
    [{"op": "test", "path": "/status", "value": "accepted"}],
    [{"op": "remove", "path": "/nowhere"}],
    [{"op": "add", "path": "/input/99", "value": {}}],
    [{"op": "add", "path": "/status/-", "value": 1}],
    [{"op": "move", "from": "/code", "path": "/code/coding"}],
]


@pytest.mark.parametrize("patch", MALFORMED)
def test_r34_what_is_no_patch_is_invalid(patch: Any) -> None:
    with pytest.raises(LdnError) as told:
        patched(task_of(offer()), patch)
    assert told.value.issue is Issue.INVALID


@pytest.mark.parametrize("patch", UNFIT)
def test_r34_a_patch_that_does_not_fit_is_a_conflict(patch: Any) -> None:
    with pytest.raises(LdnError) as told:
        patched(task_of(offer()), patch)
    assert told.value.issue is Issue.CONFLICT


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
paths = st.sampled_from(["", "/", "/status", "/input/0", "/input/-", "/a/b", "/code/coding/0/x"])
operations = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"])},
    optional={"path": paths | st.integers(), "from": paths, "value": json},
)


@given(st.lists(operations | json, max_size=4))
def test_r34_no_patch_is_a_fault_of_ours(patch: list[Any]) -> None:
    _refused_or_fine(lambda: patched(task_of(offer()), patch))


def _refused_or_fine(act: Callable[[], Any]) -> None:
    try:
        act()
    except LdnError as error:
        assert error.status in (400, 409, 422)
