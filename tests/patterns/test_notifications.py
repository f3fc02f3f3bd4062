"""Notifications, subscriptions, requests to stop and the shapes of the inbox."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import Format, decode, dump
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion
from openldn.patterns.notified_pull.model import Offer
from openldn.patterns.notified_pull.notification import (
    MOST,
    Event,
    Kind,
    Notification,
    bundle_of,
    missing,
    read_notification,
)
from openldn.patterns.notified_pull.shapes import Heading, Shape, heading
from openldn.patterns.notified_pull.states import FULFILLER_STARTS
from openldn.patterns.notified_pull.stopping import (
    CANCELLATION,
    abort,
    cancellation,
    read_abort,
)
from openldn.patterns.notified_pull.subscription import (
    Subscription,
    read_subscription,
    require_same_payload,
    resource_of,
)

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
BASE = "https://placer.example/fhir"
SUBSCRIPTION = f"{BASE}/Subscription/s1"
PLACER, FULFILLER, STRANGER = Ura("90000001"), Ura("90000002"), Ura("90000003")


def event(number: int, **more: str) -> Event:
    return Event(number, NOW, f"{BASE}/Task/t{number}", **more)


def told(*events: Event, kind: Kind = Kind.EVENT, since: int = 7) -> Notification:
    return Notification(kind, SUBSCRIPTION, since, events)


GOOD = [
    told(event(7)),
    told(event(6), event(7, authorization="opaque-1")),
    told(kind=Kind.HEARTBEAT, since=12),
    told(kind=Kind.HANDSHAKE, since=0),
]


@pytest.mark.parametrize("notification", GOOD)
def test_a_notification_we_write_is_sound_r4_and_is_read_back_whole(
    notification: Notification,
) -> None:
    bundle = decode(dump(bundle_of(notification)), Format.JSON, FhirVersion.R4)
    assert read_notification(bundle) == notification


def test_a_notification_names_no_patient_and_hides_its_authorization() -> None:
    assert "opaque-1" not in repr(GOOD[1])


def parameters(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = bundle["entry"][0]["resource"]["parameter"]
    return found


def broken(change: Any, notification: Notification = GOOD[1]) -> dict[str, Any]:
    bundle = bundle_of(notification)
    change(bundle)
    return bundle


def without(name: str) -> Any:
    def change(bundle: dict[str, Any]) -> None:
        kept = [p for p in parameters(bundle) if p["name"] != name]
        bundle["entry"][0]["resource"]["parameter"] = kept

    return change


def part_without(name: str) -> Any:
    def change(bundle: dict[str, Any]) -> None:
        last = parameters(bundle)[-1]
        last["part"] = [p for p in last["part"] if p["name"] != name]

    return change


def put(path: list[Any], value: Any) -> Any:
    def change(bundle: Any) -> None:
        for step in path[:-1]:
            bundle = bundle[step]
        bundle[path[-1]] = value

    return change


FIRST = ["entry", 0]
WRONG = {
    "R40 the request of the first entry": put([*FIRST, "request", "url"], f"{BASE}/Task"),
    "R40 its method": put([*FIRST, "request", "method"], "POST"),
    "R40 no status": put([*FIRST, "resource"], {"resourceType": "Task"}),
    "R40 type of bundle": put(["type"], "collection"),
    "R40 empty": put(["entry"], []),
    "R40 no topic": without("topic"),
    "R40 no subscription": without("subscription"),
    "R41 value alone": part_without("authorization-type"),
    "R41 type alone": part_without("authorization-value"),
    "no number": part_without("event-number"),
    "no time": part_without("timestamp"),
    "no event": without("notification-event"),
    "no address": put(["entry", 1], {"fullUrl": "x"}),
    "relative subscription": put(
        [*FIRST, "resource", "parameter", 0, "valueReference", "reference"], "Subscription/s1"
    ),
    "a word for a number": put(
        [*FIRST, "resource", "parameter", -1, "part", 0, "valueString"], "seven"
    ),
    "another type": put([*FIRST, "resource", "parameter", 3, "valueCode"], "query-status"),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_r40_r41_a_notification_of_another_form_is_refused(change: Any) -> None:
    with pytest.raises(LdnError) as refused:
        read_notification(broken(change))
    assert refused.value.status == 422


def test_r41_a_heartbeat_carries_no_authorization() -> None:
    with pytest.raises(LdnError, match="R41"):
        read_notification(
            broken(lambda _: None, told(event(7, authorization="x"), kind=Kind.HEARTBEAT))
        )


def test_a_heartbeat_without_a_count_and_a_flood_are_refused() -> None:
    with pytest.raises(LdnError, match="how many"):
        read_notification(
            broken(without("events-since-subscription-start"), told(kind=Kind.HEARTBEAT))
        )
    flood = told(*(event(n) for n in range(1, MOST + 2)))
    with pytest.raises(LdnError) as refused:
        read_notification(bundle_of(flood))
    assert refused.value.issue is Issue.TOO_LONG


@given(st.integers(0, 50), st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(0, 60))
def test_r42_a_gap_is_every_number_between_what_was_seen_and_what_is_told(
    seen: int, numbers: list[int], since: int
) -> None:
    gap = missing(seen, told(*(event(n) for n in sorted(numbers))))
    assert set(gap) == set(range(seen + 1, min(numbers)))
    beat = missing(seen, told(kind=Kind.HEARTBEAT, since=since))
    assert set(beat) == set(range(seen + 1, since + 1))


# --- subscriptions -----------------------------------------------------------------------------

ASKED = Subscription(FULFILLER, "https://fulfiller.example/notify", 60, "s1")


def test_a_subscription_we_write_is_sound_r4_and_is_read_back_whole() -> None:
    assert read_subscription(decode(dump(resource_of(ASKED)), Format.JSON, FhirVersion.R4)) == ASKED


UNFIT = {
    "R39 another filter": (["_criteria", "extension", 0, "valueString"], "owner=Organization/1"),
    "R39 no URA": (["_criteria", "extension", 0, "valueString"], "owner:identifier=x|90000002"),
    "R39 a list": (
        ["_criteria", "extension", 0, "valueString"],
        "owner:identifier=http://fhir.nl/fhir/NamingSystem/ura|1,2",
    ),
    "R43 whole resources": (
        ["channel", "_payload", "extension", 0, "valueCode"],
        "full-resource",
    ),
    "another channel": (["channel", "type"], "email"),
    "plain http": (["channel", "endpoint"], "http://fulfiller.example/notify"),
    "no heartbeat": (["channel", "extension"], []),
    "a heartbeat each second": (["channel", "extension", 0, "valueUnsignedInt"], 1),
    "another topic": (["criteria"], "http://example.org/topic"),
}


@pytest.mark.parametrize("case", UNFIT.values(), ids=UNFIT)
def test_r39_a_subscription_of_another_form_is_refused(case: tuple[list[Any], Any]) -> None:
    resource = resource_of(ASKED)
    put(*case)(resource)
    with pytest.raises(LdnError) as refused:
        read_subscription(resource)
    assert refused.value.status == 422


def test_r43_the_payload_mode_of_a_subscription_does_not_change() -> None:
    before, after = resource_of(ASKED), resource_of(ASKED)
    require_same_payload(before, after)
    put(["channel", "_payload", "extension", 0, "valueCode"], "full-resource")(after)
    with pytest.raises(LdnError, match="R43"):
        require_same_payload(before, after)


# --- asking to stop ----------------------------------------------------------------------------


def offer(state: str) -> Offer:
    sides = (PLACER, FULFILLER)
    known = Offer("t1", "urn:uuid:1", *sides, "bgz", "refer", NOW, NOW, state, 3)
    return replace(known, focus="ServiceRequest/r1")


@pytest.mark.parametrize("state", FULFILLER_STARTS.states)
def test_r37_a_cancellation_is_asked_for_while_the_work_goes_on_only(state: str) -> None:
    if state == "in-progress":
        task = cancellation(offer(state), "c1", "moved away", NOW)
        decode(dump(task), Format.JSON, FhirVersion.R4)
        assert (task["focus"], task["status"]) == ({"reference": "Task/t1"}, "requested")
        return
    with pytest.raises(LdnError) as refused:
        cancellation(offer(state), "c1", "moved away", NOW)
    assert refused.value.issue is Issue.CONFLICT


def test_r37_a_request_to_stop_is_answered_once() -> None:
    assert CANCELLATION.terminal == {"accepted", "rejected", "cancelled", "entered-in-error"}


def test_r38_only_the_fulfiller_of_a_request_asks_to_end_it_and_as_a_proposal() -> None:
    known = (offer("accepted"),)
    task = decode(dump(abort(known[0], "we closed", NOW)), Format.JSON, FhirVersion.R4)
    stop = read_abort(task, FULFILLER, known)
    assert (stop.focus, stop.requester, stop.reason) == (
        "ServiceRequest/r1",
        FULFILLER,
        "we closed",
    )
    for wrong, caller, offers, status in (
        (task, STRANGER, known, 403),
        (task, PLACER, known, 403),
        (task, FULFILLER, (), 403),
        ({**task, "intent": "order"}, FULFILLER, known, 422),
        ({**task, "status": "accepted"}, FULFILLER, known, 422),
        ({**task, "code": {"text": "stop"}}, FULFILLER, known, 422),
    ):
        with pytest.raises(LdnError) as refused:
            read_abort(wrong, caller, offers)
        assert refused.value.status == status


# --- shapes ------------------------------------------------------------------------------------

SHAPES: list[tuple[str, str, str, Heading]] = [
    ("POST", "", "Task", Heading(Shape.S1)),
    ("POST", "/", "Task", Heading(Shape.S1)),
    ("POST", "abc-1", "", Heading(Shape.S2, "abc-1")),
    ("POST", "Task", "Task", Heading(Shape.S3)),
    ("POST", "Task/abc-1", "Task", Heading(Shape.S4, "abc-1")),
    ("POST", "Task/abc-1", "", Heading(Shape.S4_EMPTY, "abc-1")),
    ("POST", "", "Bundle", Heading(Shape.S5)),
    ("PUT", "Task", "Task", Heading(Shape.S6)),
]


@pytest.mark.parametrize(("method", "path", "body", "expected"), SHAPES)
def test_each_shape_in_use_is_known_by_its_outside(
    method: str, path: str, body: str, expected: Heading
) -> None:
    assert heading(method, path.split("/"), body) == expected


@given(
    st.sampled_from(["POST", "PUT", "GET", "DELETE"]),
    st.lists(st.sampled_from(["", "Task", "x", "Bundle"]), max_size=4),
    st.sampled_from(["", "Task", "Bundle", "Patient"]),
)
def test_any_other_combination_is_refused_as_structure(
    method: str, path: list[str], body: str
) -> None:
    try:
        found = heading(method, path, body)
    except LdnError as error:
        assert error.issue is Issue.STRUCTURE
    else:
        assert found.shape in Shape
