"""The decision point over HTTP in each wire shape, and asking one elsewhere (Z15, Z19, E04)."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from functions.authorization.decision_cases import (
    BSN,
    CONDITION,
    FORM,
    JANSEN,
    NOW,
    PIETERSEN,
    Register,
    Registry,
    asking,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, serving
from openldn.base.log import configure
from openldn.base.runtime import new_uuid
from openldn.fhir.http import application
from openldn.functions.authorization import api
from openldn.functions.authorization.client import (
    PROFILES,
    FhirInformation,
    RemotePoint,
    local_consent,
    write_authzen,
    write_flat,
)
from openldn.functions.authorization.document import document
from openldn.functions.authorization.masking import REDACTED, masked
from openldn.functions.authorization.question import About, Decision, Matter, Question
from openldn.functions.authorization.request import HttpRequest
from openldn.functions.authorization.service import DecisionPoint
from openldn.functions.authorization.shapes import SHAPES, read_authzen, read_flat, shape

POINT = DecisionPoint(lambda: NOW, Register(), Registry())


def write_opa(question: Question) -> dict[str, Any]:
    """The question as the normalized document, with the request as it was sent."""
    given = document(Matter(question))
    given["action"]["request"] = write_flat(question)["input"]["request"]
    given["context"] = write_flat(question)["input"]["context"]
    return {"input": given}


WRITERS = {"pdp-flat": write_flat, "authzen-ig": write_authzen, "opa-data": write_opa}
QUESTIONS = [
    CONDITION,
    asking("/Condition?patient=jansen&code=x"),
    asking("/Condition?patient=pietersen"),
    asking("/Patient?_include=Patient:general-practitioner&_id=jansen", "BgZ", "unknown-use"),
    asking(
        "/MedicationRequest?patient=jansen&category=a,b",
        "medicatieoverdracht_gf",
        bsn=JANSEN,
        patient_enrollment_identifier=f"{BSN}|{JANSEN}",
    ),
    asking("/Task/1", "eoverdracht_sender"),
    asking("/Endpoint?identifier=x%7Cy", "mcsd_query"),
    asking("/x"),
    replace(
        CONDITION,
        request=HttpRequest("POST", "/Condition/_search", (), FORM, "patient=Patient%2Fjansen"),
    ),
    replace(CONDITION, context=replace(CONDITION.context, purpose="ETREAT", patient_bsn=PIETERSEN)),
]
ANSWERED = {"pdp-flat": "allow", "authzen-ig": "decision"}


async def posting(check: Callable[[str, HttpClient], Awaitable[None]], *routes: Route) -> None:
    served = routes or api.routes(POINT, lambda request: None)
    app = application(list(served), role="authorization", new_id=new_uuid)
    http = HttpClient()
    async with serving(app, "127.0.0.1", 0, None) as port:
        try:
            await check(f"http://127.0.0.1:{port}", http)
        finally:
            await http.close()


def allowed(name: str, body: Any) -> object:
    if name == "opa-data":
        return body["result"]["allow"]
    return body[ANSWERED[name]]


@pytest.mark.parametrize("question", QUESTIONS)
def test_z19_the_same_question_gets_the_same_decision_in_each_shape(question: Question) -> None:
    decisions = {}

    for name, write in WRITERS.items():
        read = shape(name).read(json.loads(json.dumps(write(question))))
        decisions[name] = asyncio.run(POINT.decide(read))

    first, *others = decisions.values()
    assert all(d == first for d in others)
    assert first == asyncio.run(POINT.decide(question))


def test_z19_over_http_every_path_of_every_shape_answers_alike() -> None:
    async def check(base: str, http: HttpClient) -> None:
        for question in QUESTIONS:
            wanted = (await POINT.decide(question)).allow
            for one in SHAPES:
                for path in one.paths:
                    body = json.dumps(WRITERS[one.name](question)).encode()
                    kind = {"content-type": "application/json"}
                    reply = await http.send(
                        "POST", base + path, headers=kind, body=body, deadline=5
                    )
                    assert reply.status == 200
                    assert allowed(one.name, json.loads(reply.body)) is wanted

    asyncio.run(posting(check))


def test_a_denial_tells_each_policy_and_all_its_reasons_in_the_flat_shape() -> None:
    decision = asyncio.run(POINT.decide(asking("/Condition?patient=jansen&code=x", "bgz", "other")))

    written = shape("pdp-flat").write(decision)

    assert written["allow"] is False
    assert set(written["policies"]) == {"bgz", "other"}
    assert written["policies"]["other"]["reasons"] == [
        {"code": "not_implemented", "description": "no policy has this name"}
    ]
    assert shape("opa-data").write(decision) == {"result": written}
    assert len(shape("authzen-ig").write(decision)["context"]["reasons"]) == 3


def test_the_facts_in_an_authzen_question_are_read_from_the_request_and_not_believed() -> None:
    body = write_authzen(asking("/Condition?patient=jansen&code=x"))
    body["action"]["fhir_rest"] = {"capability_checked": True, "search_params": {}}
    body["context"]["mitz_consent"] = True
    refusing = DecisionPoint(lambda: NOW, Register(), Registry(None))

    assert not asyncio.run(POINT.decide(read_authzen(body))).allow
    honest = read_authzen({**write_authzen(CONDITION), "context": {"mitz_consent": True}})
    assert not asyncio.run(refusing.decide(honest)).allow


@pytest.mark.parametrize("text", ["URA|2", "2", "00000002", "urn:oid:2.16.528.1.1007.3.3|2"])
def test_an_organization_is_read_in_each_form(text: str) -> None:
    body = write_flat(CONDITION)
    body["input"]["subject"]["organization_ura"] = text

    assert read_flat(body).subject.organization == "00000002"


@pytest.mark.parametrize(
    "change",
    [
        {"subject": []},
        {"subject": {"scope": 7}},
        {"subject": {"organization_ura": "kliniek"}},
        {"request": {"query": 7}},
        {"request": {"header": "content-type"}},
        {"request": {"header": ["content-type"]}},
        {"request": {"query": {"patient": [7]}}},
        {"context": {"purpose_of_use": "HRESCH"}},
    ],
)
def test_a_question_that_is_none_is_refused_as_such(change: dict[str, object]) -> None:
    with pytest.raises(LdnError) as refused:
        read_flat({"input": change})

    assert refused.value.status == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "input subject properties request action context query header body scope path"
                " method client scopes organization user content-type".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=st.dictionaries(st.sampled_from(["input", "subject", "action", "context"]), JSON))
def test_whatever_json_comes_in_it_is_a_question_or_a_refusal_and_never_allowed(
    body: dict[str, Any],
) -> None:
    for one in SHAPES:
        try:
            decision = asyncio.run(POINT.decide(one.read(body)))
        except LdnError as refused:
            assert refused.status in {400, 413}
        else:
            assert not decision.allow


def test_z15_a_decision_log_holds_no_bsn() -> None:
    question = asking(
        f"/Patient?identifier={BSN}|{JANSEN}",
        bsn=JANSEN,
        patient_enrollment_identifier=f"URN:oid:2.16.840.1.113883.2.4.6.3|{JANSEN}",
        note=f"about |{JANSEN}",
        number=int(JANSEN),
    )
    flat = write_flat(
        replace(question, request=replace(question.request, body=f"x={JANSEN}", content_type="a"))
    )

    hidden = masked({"input": flat["input"], "resource": {"content": {"id": "x"}}})

    assert JANSEN not in json.dumps(hidden)
    assert hidden["input"]["request"]["query"] == REDACTED
    assert hidden["input"]["request"]["body"] == REDACTED
    assert hidden["input"]["request"]["header"] == REDACTED
    assert hidden["input"]["context"]["patient_bsn"] == REDACTED
    assert hidden["resource"]["content"] == REDACTED
    assert hidden["input"]["subject"]["organization_ura"] == "00000002"


def test_z15_search_parameters_are_masked_by_what_they_hold() -> None:
    given = {
        "identifier": [[f"{BSN.upper()}|1"]],
        "code": [["123456789"]],
        "patient": [["Patient/1"]],
    }

    hidden = masked(given)

    assert hidden == {"identifier": REDACTED, "code": [["123456789"]], "patient": [["Patient/1"]]}
    assert masked({"identifier": [f"|{JANSEN}"]}) == {"identifier": REDACTED}
    assert masked({"flag": True, "n": 3, "none": None, "query": ""}) == {
        "flag": True,
        "n": 3,
        "none": None,
        "query": "",
    }


def test_z15_the_log_line_of_a_decision_tells_rules_and_nothing_of_the_patient(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def check(base: str, http: HttpClient) -> None:
        configure("authorization")
        question = asking(f"/Patient?identifier={BSN}|{JANSEN}&name=x", bsn=JANSEN)
        body = json.dumps(write_flat(question)).encode()
        kind = {"content-type": "application/json"}
        await http.send("POST", f"{base}/pdp", headers=kind, body=body, deadline=5)

    asyncio.run(posting(check))
    logging.captureWarnings(False)
    told = capfd.readouterr().err
    [line] = [json.loads(t) for t in told.splitlines() if '"decided"' in t]

    assert JANSEN not in told
    assert (line["allow"], line["policies"], line["shape"]) == (False, "bgz", "pdp-flat")
    assert "not_allowed:capable" in line["detail"]


def test_who_may_not_ask_gets_no_decision() -> None:
    def guard(request: Request) -> None:
        raise LdnError(Issue.FORBIDDEN, "not you")

    async def check(base: str, http: HttpClient) -> None:
        kind = {"content-type": "application/json"}
        body = json.dumps(write_flat(CONDITION)).encode()
        for one in SHAPES:
            reply = await http.send(
                "POST", base + one.paths[0], headers=kind, body=body, deadline=5
            )
            assert reply.status == 403

    asyncio.run(posting(check, *api.routes(POINT, guard)))  # type: ignore[arg-type]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_decision_point_elsewhere_says_what_ours_says(profile: str) -> None:
    async def check(base: str, http: HttpClient) -> None:
        remote = RemotePoint(http, base, profile)
        for question in QUESTIONS:
            here, there = await POINT.decide(question), await remote.decide(question)
            assert there.allow is here.allow
            assert [r.code for r in there.reasons] == (
                [] if here.allow else [r.code for r in here.reasons]
            )

    asyncio.run(posting(check))


UNUSABLE = [
    (500, b"{}"),
    (404, b'{"allow": true, "decision": true}'),
    (200, b"<html>"),
    (200, b"[true]"),
    (200, b"{}"),
    (200, b'{"allow": "true", "decision": 1}'),
    (200, b'{"allow": null, "decision": null}'),
    (302, b'{"allow": true, "decision": true}'),
]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("status", "body"), UNUSABLE)
def test_e04_an_answer_that_is_no_decision_is_never_passed_on(
    profile: str, status: int, body: bytes
) -> None:
    async def answer(request: Request) -> Response:
        return Response(body, status, {"content-type": "application/json"})

    async def check(base: str, http: HttpClient) -> None:
        with pytest.raises(LdnError) as refused:
            await RemotePoint(http, base, profile).decide(CONDITION)
        assert refused.value.status == 502

    asyncio.run(posting(check, Route("/{rest:path}", answer, methods=["POST"])))


def test_e04_a_decision_point_that_is_away_or_slow_is_502() -> None:
    held = asyncio.Event()

    async def never(request: Request) -> Response:
        await held.wait()
        return Response(b'{"allow": true}')

    async def check(base: str, http: HttpClient) -> None:
        for address, patience in ((base, 0.05), ("http://127.0.0.1:1", 2.0)):
            with pytest.raises(LdnError) as refused:
                await RemotePoint(http, address, deadline=patience).decide(CONDITION)
            assert refused.value.status == 502
        held.set()

    asyncio.run(posting(check, Route("/{rest:path}", never, methods=["POST"])))


def fhir(resource: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(resource), status, {"content-type": "application/fhir+json"})


CONSENT = {
    "resourceType": "Consent",
    "status": "active",
    "scope": {"coding": [{"system": "x", "code": "eoverdracht"}]},
    "category": [{"coding": [{"system": "x", "code": "y"}]}],
    "policyRule": {"text": "z"},
    "provision": {
        "type": "permit",
        "period": {"start": "2026-11-01", "end": "2026-11-25"},
        "actor": [
            {
                "role": {"text": "r"},
                "reference": {
                    "identifier": {
                        "system": "http://fhir.nl/fhir/NamingSystem/ura",
                        "value": "00000002",
                    }
                },
            }
        ],
        "data": [{"meaning": "instance", "reference": {"reference": "https://h.example/Task/1"}}],
    },
}


def test_what_the_holder_knows_is_read_from_its_own_fhir_register() -> None:
    asked: list[str] = []

    async def answer(request: Request) -> Response:
        asked.append(request.url.path + (await request.body()).decode())
        path = request.url.path
        if path.endswith("/Patient/jansen"):
            two = [{"system": BSN, "value": JANSEN}, {"system": "local", "value": "1"}]
            return fhir({"resourceType": "Patient", "identifier": two})
        if path.endswith("/Patient/nobody"):
            return fhir({"resourceType": "OperationOutcome"}, 404)
        if path.endswith("/Patient/broken"):
            return fhir({"resourceType": "Basic"})
        entries = [{"resource": CONSENT}, {"resource": {**CONSENT, "status": "inactive"}}]
        return fhir({"resourceType": "Bundle", "type": "searchset", "entry": entries})

    async def check(base: str, http: HttpClient) -> None:
        register = FhirInformation(http, f"{base}/fhir")
        assert list(await register.bsns("jansen")) == [JANSEN]
        assert list(await register.bsns("nobody")) == []
        with pytest.raises(LdnError):
            await register.bsns("broken")
        [found] = await register.consents(About("Task/1", "00000002"))
        assert (found.scope, found.permit) == ("eoverdracht", True)
        assert found.data == {"Task/1"}
        assert found.actors == {"00000002"}
        assert found.counts("00000002", NOW)  # the last day counts whole
        assert "data=Task%2F1" in asked[-1]

    asyncio.run(posting(check, Route("/{rest:path}", answer, methods=["GET", "POST"])))


def test_a_permission_with_exceptions_inside_is_no_permission() -> None:
    inner: dict[str, Any] = {**CONSENT["provision"], "provision": [{"type": "deny"}]}  # type: ignore[dict-item]

    found = local_consent({**CONSENT, "provision": inner})
    bare = local_consent({"resourceType": "Consent", "status": "active"})

    assert found is not None and not found.permit
    assert bare is not None and not bare.permit


def test_more_consents_than_fit_are_not_half_weighed() -> None:
    async def answer(request: Request) -> Response:
        link = [{"relation": "next", "url": "x"}]
        return fhir({"resourceType": "Bundle", "type": "searchset", "link": link})

    async def check(base: str, http: HttpClient) -> None:
        with pytest.raises(LdnError):
            await FhirInformation(http, base).consents(About("Task/1", "00000002"))

    asyncio.run(posting(check, Route("/{rest:path}", answer, methods=["POST"])))


def test_an_allowance_has_no_reasons_in_any_shape() -> None:
    allowed_ = asyncio.run(POINT.decide(CONDITION))

    assert isinstance(allowed_, Decision)
    assert shape("authzen-ig").write(allowed_) == {"decision": True, "context": {"reasons": []}}
    with pytest.raises(LdnError):
        shape("xacml")
