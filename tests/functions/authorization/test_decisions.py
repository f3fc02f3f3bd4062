"""The decision point: generic functions §3.4 and §3.5, rules Z01 to Z21."""

from dataclasses import replace
from datetime import timedelta

import pytest
from functions.authorization.decision_cases import (
    BSN,
    CLINIC,
    CONDITION,
    FORM,
    JANSEN,
    NOW,
    PIETERSEN,
    SCT,
    Register,
    Registry,
    asking,
    codes,
    consent,
    decided,
    get,
)

from openldn.base.errors import Issue, LdnError
from openldn.functions.authorization.model import Consent
from openldn.functions.authorization.question import Context, Question
from openldn.functions.authorization.request import HttpRequest


def test_a_query_of_the_exchange_with_consent_is_allowed_without_a_reason() -> None:
    decision = decided(CONDITION)

    assert decision.allow
    assert decision.reasons == ()


def test_z01_without_a_scope_nothing_is_allowed_and_the_error_says_so() -> None:
    question = replace(CONDITION, subject=replace(CONDITION.subject, scopes=()))

    decision = decided(question)

    assert (decision.allow, decision.policies) == (False, {})
    assert "no scope" in decision.error


@pytest.mark.parametrize("scope", ["test_x", "system", "TEST-x", "System"])
def test_z02_a_scope_that_policy_engines_keep_for_themselves_is_refused(scope: str) -> None:
    with pytest.raises(LdnError) as refused:
        decided(asking("/Condition?patient=jansen", "bgz", scope))

    assert refused.value.status == 400


def test_z03_letter_case_and_dashes_name_one_policy_that_is_evaluated_once() -> None:
    registry = Registry()

    decision = decided(asking("/Condition?patient=jansen", "BgZ", "bgz"), registry=registry)

    assert list(decision.policies) == ["bgz"]
    assert registry.asked == [JANSEN]
    assert list(decided(asking("/Task/1", "eOverdracht-sender")).policies) == ["eoverdracht_sender"]


def test_z04_a_policy_nobody_knows_does_not_stop_one_that_allows() -> None:
    decision = decided(asking("/Condition?patient=jansen", "astrology", "bgz"))

    assert decision.allow
    assert [v.allow for v in decision.policies.values()] == [False, True]
    assert codes(decision) == [("not_implemented", "known")]


@pytest.mark.parametrize(
    "query",
    ["clinical-status=active", "patient.identifier=x", "_has:x=y", "patient:Patient=jansen"],
)
def test_z05_a_parameter_outside_the_capabilities_denies(query: str) -> None:
    decision = decided(asking(f"/Condition?patient=jansen&{query}"))

    assert not decision.allow
    assert ("not_allowed", "capable") in codes(decision)


@pytest.mark.parametrize("query", ["_include=Condition:asserter", "_revinclude=Provenance:target"])
def test_z06_an_include_outside_the_capabilities_denies(query: str) -> None:
    decision = decided(asking(f"/Condition?patient=jansen&{query}"))

    assert ("not_allowed", "capable") in codes(decision)


@pytest.mark.parametrize("query", ["patient=jansen&patient=jansen", "patient=jansen,pietersen"])
def test_z07_a_patient_named_twice_denies(query: str) -> None:
    decision = decided(asking(f"/Condition?{query}"))

    assert not decision.allow
    assert ("unexpected_input", "patient") in codes(decision)


def test_z08_patient_and_subject_together_deny() -> None:
    decision = decided(asking("/Condition?patient=jansen&subject=Patient/jansen"))

    assert ("unexpected_input", "patient") in codes(decision)


@pytest.mark.parametrize("value", ["http://other|999900006", "999900006", f"{BSN}|", "|999900006"])
def test_z09_a_patient_is_searched_by_bsn_and_its_system(value: str) -> None:
    decision = decided(asking(f"/Patient?identifier={value}", "pzp_gf"))

    assert not decision.allow
    assert ("unexpected_input", "patient") in codes(decision)


def test_z10_a_registry_that_is_away_denies_with_an_internal_error() -> None:
    decision = decided(CONDITION, says=None)

    assert not decision.allow
    assert ("internal_error", "consent") in codes(decision)


def test_z10_in_an_emergency_silence_passes_and_an_objection_does_not() -> None:
    emergency = replace(CONDITION, context=replace(CONDITION.context, purpose="BTG"))

    assert decided(emergency, says=None).allow
    assert decided(emergency, says=Consent.UNKNOWN).allow
    assert not decided(emergency, says=Consent.DENY).allow
    assert not decided(CONDITION, says=Consent.UNKNOWN).allow


def test_z11_a_patient_with_two_bsns_denies() -> None:
    decision = decided(CONDITION, register=Register({"jansen": [JANSEN, PIETERSEN]}))

    assert not decision.allow
    assert ("pip_error", "patient") in codes(decision)


def test_what_the_holder_knows_being_away_denies() -> None:
    decision = decided(CONDITION, register=Register(away=True))

    assert not decision.allow
    assert ("pip_error", "information") in codes(decision)


def test_z12_of_two_local_consents_of_one_scope_the_objection_wins() -> None:
    both = Register(kept={"Task/1": [consent(), consent(permit=False)]})

    assert decided(asking("/Task/1", "eoverdracht_sender"), register=both).allow is False

    one = Register(kept={"Task/1": [consent()]})
    assert decided(asking("/Task/1", "eoverdracht_sender"), register=one).allow

    objection = Register(kept={"Patient/jansen": [consent("patient-privacy", permit=False)]})
    assert not decided(CONDITION, register=objection).allow


def test_z13_a_consent_past_its_period_or_of_another_does_not_count() -> None:
    question = asking("/Task/1", "eoverdracht_sender")
    past = consent(end=NOW)
    to_come = consent(start=NOW + timedelta(seconds=1))
    of_another = consent(actors=frozenset({"00000009"}))
    over = consent(permit=False, end=NOW)

    for useless in (past, to_come, of_another):
        assert not decided(question, register=Register(kept={"Task/1": [useless]})).allow
    assert decided(question, register=Register(kept={"Task/1": [consent(), over]})).allow


def test_z14_id_and_bsn_of_different_people_deny() -> None:
    decision = decided(asking("/Condition?patient=jansen", bsn=PIETERSEN))

    assert not decision.allow
    assert ("unexpected_input", "patient") in codes(decision)
    assert decided(asking("/Condition?patient=jansen", bsn=JANSEN)).allow


def test_z14_where_nobody_can_tell_that_id_and_bsn_are_one_it_denies() -> None:
    question = asking("/Condition?patient=jansen", bsn=JANSEN)

    decision = decided(question, change=lambda point: replace(point, information=None))

    assert ("pip_error", "patient") in codes(decision)


def test_z14_the_context_and_the_request_name_one_patient() -> None:
    question = asking(f"/Patient?identifier={BSN}|{JANSEN}", "pzp_gf", bsn=PIETERSEN)

    assert ("unexpected_input", "patient") in codes(decided(question))


@pytest.mark.parametrize(
    ("claim", "allow"),
    [
        (f"{BSN}|{JANSEN}", True),
        (f"{BSN}|{PIETERSEN}", False),
        (JANSEN, False),
        ("", False),
        ([f"{BSN}|{JANSEN}"], False),
    ],
)
def test_z16_medication_is_for_who_has_this_patient_enrolled(claim: object, allow: bool) -> None:
    given = {"patient_enrollment_identifier": claim}
    question = asking(
        "/MedicationRequest?patient=jansen", "medicatieoverdracht_gf", bsn=JANSEN, **given
    )

    decision = decided(question)

    assert decision.allow is allow
    assert (("not_allowed", "enrolled") in codes(decision)) is not allow


@pytest.mark.parametrize(
    ("method", "path", "body", "allow"),
    [
        ("POST", "/", "", True),
        ("POST", "", "", True),
        ("POST", "/4a1c-9", "", True),
        ("POST", "/4a1c-9", "{}", False),
        ("POST", "/Task", "{}", True),
        ("POST", "/Task/1", "", True),
        ("POST", "/Patient", "", False),
        ("POST", "/Task/1/$x", "", False),
        ("POST", "/other/1", "", False),
        ("POST", "//", "", False),
        ("GET", "/", "", False),
        ("PUT", "/Task/1", "{}", False),
    ],
)
def test_z17_a_receiver_takes_the_four_shapes_of_notification(
    method: str, path: str, body: str, allow: bool
) -> None:
    question = replace(
        asking("/", "eoverdracht_receiver"), request=HttpRequest(method, path, body=body)
    )

    assert decided(question).allow is allow

    nobody = replace(question, subject=replace(question.subject, organization=""))
    assert not decided(nobody).allow


def searching(kind: str, body: str, path: str = "/Condition/_search") -> Question:
    return replace(CONDITION, request=HttpRequest("POST", path, (), kind, body))


def test_z18_a_search_by_form_is_read_whatever_its_charset() -> None:
    for kind in (FORM, f"{FORM}; charset=utf-8", f"{FORM.upper()};charset=ISO-8859-1"):
        assert decided(searching(kind, "patient=jansen")).allow
        assert not decided(searching(kind, "patient=jansen&code=x")).allow

    with pytest.raises(LdnError) as refused:
        decided(searching("application/json", '{"patient": "jansen"}'))
    assert refused.value.status == 400
    with pytest.raises(LdnError) as refused:
        decided(searching(FORM, "patient=%zz"))
    assert refused.value.issue is Issue.INVALID


def test_z18_what_stands_in_the_url_of_a_search_by_form_counts_too() -> None:
    request = HttpRequest("POST", "/Condition/_search", (("code", "x"),), FORM, "patient=jansen")

    assert not decided(replace(CONDITION, request=request)).allow


REFERRED = replace(CONDITION, context=replace(CONDITION.context, referral="Task/7"))


def test_z20_a_referral_rests_on_the_consent_bound_to_it_and_not_on_the_registry() -> None:
    bound = consent("referral", data=frozenset({"Task/7"}))
    registry = Registry(None)

    assert decided(REFERRED, register=Register(kept={"Task/7": [bound]}), registry=registry).allow
    assert registry.asked == []


@pytest.mark.parametrize(
    "kept",
    [
        (),
        (consent("referral", data=frozenset({"Task/8"})),),
        (consent("referral", data=frozenset({"Task/7"}), end=NOW),),
        (consent("referral", data=frozenset({"Task/7"}), permit=False),),
    ],
)
def test_z20_without_such_a_consent_a_referral_opens_nothing(kept: tuple[object, ...]) -> None:
    decision = decided(REFERRED, register=Register(kept={"Task/7": kept}))  # type: ignore[dict-item]

    assert not decision.allow
    assert ("not_allowed", "consented") in codes(decision)


@pytest.mark.parametrize(
    ("address", "data", "allow"),
    [
        ("/Observation/9", {"Observation/9"}, True),
        ("/Observation/9", {"Task/1"}, False),
        ("/Patient/9", set(), False),
        ("/Task/9", set(), True),
        ("/Composition/9", set(), True),
        ("/Composition/9/$document", set(), True),
        ("/Composition/9/$other", set(), False),
        ("/Task?status=requested", set(), False),
        ("/Composition/9/_history", set(), False),
    ],
)
def test_z21_a_transfer_opens_its_task_its_composition_and_what_the_consent_names(
    address: str, data: set[str], allow: bool
) -> None:
    path = address.partition("?")[0].removeprefix("/")
    resource = "/".join(path.split("/")[:2])
    register = Register(kept={resource: [consent(data=frozenset(data))]})

    assert decided(asking(address, "eoverdracht_sender"), register=register).allow is allow


def test_only_the_task_of_a_transfer_may_be_changed() -> None:
    for resource, allow in (("Task/1", True), ("Composition/1", False)):
        question = asking("/", "eoverdracht_sender")
        put = replace(question, request=HttpRequest("PUT", f"/{resource}", body="{}"))

        register = Register(kept={resource: [consent()]})
        assert decided(put, register=register).allow is allow
        assert not decided(put).allow


def test_consent_is_asked_only_when_the_rest_allows() -> None:
    registry = Registry()

    decision = decided(asking("/Condition?patient=jansen&code=x"), registry=registry)

    assert registry.asked == []
    assert codes(decision) == [("not_allowed", "capable"), ("info", "consent")]


def test_every_reason_is_told_at_once() -> None:
    question = asking("/MedicationRequest?status=x&_include=a:b", "medicatieoverdracht_gf")

    told = [rule for _, rule in codes(decided(question))]

    assert told == ["capable", "patient-known", "enrolled", "consent"]


def test_a_token_that_is_not_active_opens_nothing() -> None:
    question = replace(CONDITION, subject=replace(CONDITION.subject, active=False))

    assert not decided(question).allow


@pytest.mark.parametrize(
    ("address", "policy", "allow"),
    [
        ("/Organization?identifier=x&name:contains=brug", "mcsd_query", True),
        ("/Organization?_revinclude=Location:organization", "mcsd_query", True),
        ("/Organization?_include=Organization:partof", "mcsd_query", False),
        ("/Endpoint/1", "mcsd_query", True),
        ("/Endpoint?payload-type=x", "mcsd_query", False),
        ("/Patient?identifier=x", "mcsd_query", False),
        ("/Organization/_history?_since=2026-01-01", "mcsd_query", False),
        ("/Organization/_history?_since=2026-01-01", "mcsd_update", True),
        ("/Organization?_since=2026-01-01&_count=10", "mcsd_update", True),
        ("/Organization?name=x", "mcsd_update", False),
        ("/Organization/1", "mcsd_update", False),
        ("/_history", "mcsd_update", False),
    ],
)
def test_the_directory_is_open_as_far_as_its_capabilities(
    address: str, policy: str, allow: bool
) -> None:
    assert decided(asking(address, policy)).allow is allow


@pytest.mark.parametrize(
    ("address", "allow"),
    [
        (f"/Patient?identifier={BSN}|{JANSEN}", True),
        (
            "/Consent?patient=Patient/jansen&scope=http://terminology.hl7.org/CodeSystem/"
            f"consentscope|treatment&category={SCT}|129125009",
            True,
        ),
        (
            "/Consent?patient=jansen&scope=http://terminology.hl7.org/CodeSystem/"
            f"consentscope|treatment&category={SCT}|129125009",
            False,
        ),
        (f"/Consent?patient=Patient/jansen&category={SCT}|129125009", False),
        ("/Observation?patient=Patient/jansen", False),
    ],
)
def test_care_planning_opens_the_patient_and_the_directives(address: str, allow: bool) -> None:
    assert decided(asking(address, "pzp_gf")).allow is allow
    assert not decided(asking(address, "pzp_gf"), says=Consent.UNKNOWN).allow


def test_what_is_no_fhir_at_all_meets_no_policy_that_needs_it() -> None:
    other = Question(CONDITION.subject, get("/wado/studies"), Context(connection="dicom-wado-rs"))

    assert not decided(other).allow
    assert CLINIC not in str(decided(other).reasons)
