"""What a receiver learns from each shape. Source: exchange patterns §2.7; R01-R09, R13-R16."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from offers import HOME, HOSPITAL, NOW, offer, parties

from openldn.base.errors import Issue, LdnError
from openldn.fhir.model import Resource
from openldn.patterns.dialects import DIALECTS, of_peer, written
from openldn.patterns.dialects.checks import bsns
from openldn.patterns.dialects.hearing import REPLIES, Arrived, Known, headed, hear
from openldn.patterns.dialects.model import Heard
from openldn.patterns.dialects.organizations import AGB_OID, told_by
from openldn.patterns.dialects.table import SUCCESS
from openldn.patterns.dialects.telling import message, replied
from openldn.patterns.notified_pull.shapes import Shape

BSN = "999911120"
KEY = "identifier=urn%3Aietf%3Arfc%3A3986%7Curn%3Auuid%3A7d7f0a4e-55c7-4b0f-8f8a-6a1c2b3d4e5f"
ID = offer().id
PARTIES = parties(placer=HOSPITAL, fulfiller=HOME)


def notification(wire: str = "T", **fields: Any) -> Resource:
    """A notification Task as we write it, with these elements instead; None takes one away."""
    task = written(offer(), DIALECTS[wire], parties()).notification or {}
    return {k: v for k, v in {**task, **fields}.items() if v is not None}


def posted(
    task: Resource | None, path: str = "Task", wire: str = "T", *, ownerless: bool = False
) -> Heard:
    peer = Known(wire, ownerless)
    return hear(Arrived("POST", path, body=task), peer, PARTIES)


def refused(task: Resource, wire: str = "T") -> LdnError:
    with pytest.raises(LdnError) as told:
        posted(task, wire=wire)
    return told.value


SHAPES = [
    ("POST", "", True, Shape.S1),
    ("POST", "/", True, Shape.S1),
    ("POST", ID, False, Shape.S2),
    ("POST", "Task", True, Shape.S3),
    ("POST", "/Task/", True, Shape.S3),
    ("POST", f"Task/{ID}", True, Shape.S4),
    ("POST", f"Task/{ID}", False, Shape.S4_EMPTY),
    ("PUT", "Task", True, Shape.S6),
]


@pytest.mark.parametrize(("method", "path", "body", "shape"), SHAPES)
def test_each_shape_is_taken(method: str, path: str, body: bool, shape: Shape) -> None:
    given = Arrived(method, path, body=notification() if body else None)

    assert headed(given).shape is shape


@pytest.mark.parametrize(
    "given",
    [
        Arrived("POST", ""),
        Arrived("POST", "Task"),
        Arrived("POST", ID, body={"resourceType": "Task"}),
        Arrived("POST", "Task", body={"resourceType": "Patient"}),
        Arrived("POST", "Task", body={}),
        Arrived("POST", "Task/a/b", body={"resourceType": "Task"}),
        Arrived("POST", "Patient/1"),
        Arrived("POST", "%2e%2e"),
        Arrived("POST", "a" * 65),
        Arrived("PUT", f"Task/{ID}", body={"resourceType": "Task"}),
        Arrived("DELETE", f"Task/{ID}"),
    ],
    ids=str,
)
def test_any_other_form_is_refused_as_structure(given: Arrived) -> None:
    with pytest.raises(LdnError) as told:
        hear(given, Known(), PARTIES)
    assert (told.value.issue, told.value.status) == (Issue.STRUCTURE, 400)


@pytest.mark.parametrize("path", ["", "Task", f"Task/{ID}"])
@pytest.mark.parametrize("wire", ["T", "K", "NP"])
def test_the_three_shapes_with_a_task_say_the_same(path: str, wire: str) -> None:
    heard = posted(notification(wire), path, wire)

    assert (heard.sender, heard.receiver) == (HOSPITAL, HOME)
    assert (heard.identifier, heard.task) == (offer().identifier, ID)
    assert (heard.dialect, heard.authorization) == (wire, offer().authorization)
    assert heard.expires == offer().expires
    assert not (heard.cancelled or heard.warnings or heard.unusable)


def test_a_peer_of_another_wire_that_sends_a_task_speaks_the_mixed_form() -> None:
    assert posted(notification("K"), wire="N").dialect == "K"
    assert posted(notification("K"), wire="?").dialect == "K"


def test_r01_another_code_is_refused() -> None:
    for code in (None, {"coding": [{"system": "http://example.org", "code": "pull-notification"}]}):
        error = refused(notification(code=code))
        assert (error.issue, error.status, error.where) == (Issue.BUSINESS_RULE, 422, "Task.code")
    posted(notification())


@pytest.mark.parametrize(
    ("element", "value"), [("status", "cancelled"), ("status", "accepted"), ("intent", "order")]
)
def test_r02_another_status_or_intent_is_refused(element: str, value: str) -> None:
    error = refused(notification(**{element: value}))

    assert (error.status, error.where) == (422, f"Task.{element}")


def test_r03_without_identifier_it_is_refused_and_either_spelling_is_taken() -> None:
    assert refused(notification(identifier=None)).where == "Task.identifier"
    assert refused(notification(identifier=[])).status == 422
    older = [{"system": "https://tools.ietf.org/html/rfc4122", "value": offer().identifier}]
    assert posted(notification(identifier=older)).identifier == offer().identifier


def cancelled(query: str = KEY, **fields: Any) -> Heard:
    task = notification(**{"status": "cancelled", **fields})
    return hear(Arrived("PUT", "Task", query, task), Known("T"), PARTIES)


def test_r04_a_cancel_names_the_notification_it_takes_back() -> None:
    heard = cancelled()

    assert (heard.cancelled, heard.identifier, heard.sender) == (
        True,
        offer().identifier,
        HOSPITAL,
    )
    assert heard.shape is Shape.S6


@pytest.mark.parametrize(
    ("query", "fields", "issue"),
    [
        ("", {}, Issue.INVALID),
        ("status=requested", {}, Issue.INVALID),
        (f"{KEY}&{KEY}", {}, Issue.INVALID),
        ("identifier=http://example.org|x", {}, Issue.INVALID),
        ("identifier=urn:ietf:rfc:3986|urn:uuid:other", {}, Issue.BUSINESS_RULE),
        (KEY, {"identifier": None}, Issue.BUSINESS_RULE),
        (KEY, {"status": "requested"}, Issue.BUSINESS_RULE),
    ],
)
def test_r04_a_cancel_that_says_two_things_is_refused(
    query: str, fields: dict[str, Any], issue: Issue
) -> None:
    with pytest.raises(LdnError) as told:
        cancelled(query, **fields)
    assert told.value.issue is issue


def test_r04_what_we_send_to_withdraw_is_heard_as_a_withdrawal() -> None:
    given = offer(state="cancelled")
    sent = message("requested", given, written(given, DIALECTS["T"], parties()), DIALECTS["T"])
    assert sent is not None
    path, _, query = sent.path.partition("?")

    heard = hear(Arrived(sent.method, path, query, sent.body), Known("T"), PARTIES)

    assert heard.cancelled and heard.identifier == given.identifier


def test_r05_who_speaks_for_another_is_refused() -> None:
    heard = posted(notification())
    told_by(heard.sender, HOSPITAL)
    told_by(None, HOSPITAL)
    with pytest.raises(LdnError) as told:
        told_by(heard.sender, HOME)
    assert told.value.issue is Issue.FORBIDDEN


def test_r06_without_owner_only_a_peer_that_has_none_is_heard() -> None:
    error = refused(notification(owner=None))
    assert (error.issue, error.status) == (Issue.NOT_FOUND, 404)
    assert posted(notification(owner=None), ownerless=True).receiver == HOME


def test_r06_an_owner_that_nobody_knows_is_not_found() -> None:
    stranger = {"identifier": {"system": AGB_OID, "value": "99999999"}}
    assert refused(notification(owner=stranger)).status == 404


def test_r07_an_offer_that_has_ended_is_refused() -> None:
    past = {"period": {"end": NOW.isoformat()}}
    error = refused(notification(restriction=past))
    assert (error.status, error.where) == (422, "Task.restriction.period.end")
    assert posted(notification(restriction=None)).expires is None


def _identified(task: Resource) -> Resource:
    identifier = {"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": BSN}
    return {**task, "for": {"identifier": identifier}}


BSNS: list[Resource] = [
    {"for": {"identifier": {"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": BSN}}},
    {"for": {"identifier": {"system": "urn:oid:2.16.840.1.113883.2.4.6.3", "value": BSN}}},
    {"description": f"mevrouw {BSN}"},
    {"note": [{"text": f"bsn:{BSN}."}]},
    {"for": {"reference": "Patient/1", "display": BSN}},
    {"basedOn": [{"reference": "Task/1", "display": f"({BSN})"}]},
    {"for": {"reference": "Patient?identifier=http%3A%2F%2Ffhir.nl%2Ffhir%2FNamingSystem%2Fbsn|1"}},
    {
        "contained": [
            {
                "resourceType": "Patient",
                "identifier": [{"system": "http://fhir.nl/fhir/NamingSystem/bsn"}],
            }
        ]
    },
]


@pytest.mark.parametrize("fields", BSNS, ids=range(len(BSNS)))
def test_r08_nuts_has_no_bsn_anywhere(fields: Resource) -> None:
    error = refused(notification("NP", **fields), "NP")

    assert error.status == 422
    assert BSN not in error.message + error.where + error.detail


def test_r08_numbers_that_are_no_bsn_are_left_alone() -> None:
    task = notification("NP")
    assert not list(bsns(task))
    assert not list(bsns({"description": "308292007 and 3f2c6c1e-999911120"}))


def test_r08_sending_a_bsn_by_nuts_is_refused_before_it_leaves() -> None:
    given = offer(note=f"mevrouw {BSN}")
    with pytest.raises(LdnError) as told:
        written(given, DIALECTS["NP"], parties())
    assert told.value.issue is Issue.BUSINESS_RULE
    assert BSN not in str(told.value)


def test_r08_twiin_may_name_the_patient_and_the_number_stays_hidden() -> None:
    heard = posted(_identified(notification("T")))

    assert heard.bsn is not None and heard.bsn.value == BSN
    assert BSN not in repr(heard)


@pytest.mark.parametrize(
    "based",
    [None, [], [{"reference": "Patient/1"}], [{"reference": "https://evil.example/Task/1"}]],
)
def test_r09_a_workflow_task_that_is_to_be_read_is_named(based: Any) -> None:
    error = refused(notification(basedOn=based))
    assert (error.status, error.where) == (422, "Task.basedOn")


def test_r09_a_leading_slash_is_taken_with_a_warning() -> None:
    heard = posted(notification(basedOn=[{"reference": f"/Task/{ID}"}]))

    assert heard.task == ID
    assert len(heard.warnings) == 1


def test_r09_without_a_workflow_task_the_searches_stand_in_the_notification() -> None:
    task = written(offer(), DIALECTS["T"], parties(bare=True)).notification or {}
    heard = posted(task)

    assert heard.task == ""
    assert heard.queries == offer().queries


def test_r13_a_notification_with_a_search_that_leads_elsewhere_is_refused_whole() -> None:
    task = written(offer(), DIALECTS["K"], parties(bare=True)).notification or {}
    evil = {"type": {"text": "x"}, "valueString": "https://evil.example/Patient"}
    error = refused({**task, "input": [*task["input"], evil]}, "K")
    assert (error.issue, error.status) == (Issue.SECURITY, 422)


def test_r14_a_broken_escape_makes_one_input_unusable() -> None:
    task = written(offer(), DIALECTS["K"], parties(bare=True)).notification or {}
    broken = {"type": {"text": "x"}, "valueString": "Encounter?class=http%3A%2F%hl7.org"}
    heard = posted({**task, "input": [broken, *task["input"]]}, wire="K")

    assert heard.queries == offer().queries
    assert [loss.element for loss in heard.unusable] == ["Task.input[0]"]


def test_r15_r16_an_empty_notification_is_accepted_whether_or_not_its_task_exists() -> None:
    heard = posted(None, "no-such-task", "N")

    assert (heard.dialect, heard.task, heard.sender) == ("N", "no-such-task", HOSPITAL)
    assert REPLIES[heard.shape] == 202
    assert posted(None, f"Task/{ID}", "K").task == ID


def test_r15_any_success_tells_the_sender_that_it_was_told() -> None:
    for wire in DIALECTS.values():
        for status in SUCCESS:
            told = replied(status, wire.replies)
            assert told.told
            assert bool(told.warning) is (status not in wire.replies)
    assert not any(replied(s, frozenset({202})).told for s in (203, 302, 400, 404, 409, 500))


def test_organizations_by_agb_are_heard_as_ura() -> None:
    task = written(offer(), of_peer("T", "agb-oid"), parties(AGB_OID)).notification or {}
    heard = posted(task)
    assert (heard.sender, heard.receiver) == (HOSPITAL, HOME)


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=300)
@given(
    name=st.sampled_from(sorted(notification())),
    value=_json,
    wire=st.sampled_from("TK") | st.just("NP"),
)
def test_whatever_an_element_holds_the_answer_is_heard_or_a_refusal(
    name: str, value: Any, wire: str
) -> None:
    try:
        posted({**notification(wire), name: value}, wire=wire)
    except LdnError as error:
        assert 400 <= error.status < 500
