"""Decisions out of the evidence again: what an AuditEvent keeps is enough to decide."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from functions.audit_cases import (
    CLINIC,
    HOSPITAL,
    HOSPITAL_NODE,
    JANSEN,
    MOMENT,
    PIETERSEN,
    REQUESTER,
    SERVED_JANSEN,
)

from openldn.exchanges.bgz import BGZ
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn, Ura
from openldn.fhir.model import FhirVersion
from openldn.functions.audit.event import audit_event
from openldn.functions.authorization.model import AllowedQuery, Asked, Basis, Consent, Facts
from openldn.functions.authorization.policy import CHEAP, checks, denials
from openldn.functions.authorization.question import Code, Reason
from openldn.node.replay import Again, Said, Tomorrow, decide_again, kept_of
from openldn.node.sources import said
from openldn.patterns.exchange import Pattern

BSN = ("patient.identifier", f"{BSN_SYSTEM}|{JANSEN.value}")
WEIGHT = ("code", "http://loinc.org|29463-7")
ROWS = tuple(AllowedQuery.parse(q.template) for q in BGZ.queries(FhirVersion.STU3))
FACTS = Facts(
    requester=REQUESTER,
    granted=HOSPITAL,
    holder=HOSPITAL,
    peer=CLINIC,
    known=True,
    asked=Asked("Condition", (BSN,)),
    allowed=ROWS,
    scope="bgz",
    purposes=BGZ.purposes,
    consent=Consent.PERMIT,
    relation="declared-by-requester",
)


def event_of(facts: Facts, **more: Any) -> dict[str, Any]:
    """The evidence that the enforcement point writes of these facts."""
    cheap = denials(facts, CHEAP)
    if cheap:
        facts = replace(facts, consent=Consent.UNASKED)
    reasons = cheap or denials(facts)
    counted = facts.consent in {Consent.PERMIT, Consent.DENY}
    path = "/".join(p for p in (facts.asked.type, facts.asked.operation) if p)
    access = replace(
        SERVED_JANSEN,
        outcome="8" if reasons else "0",
        reason=f"refused: {'; '.join(reasons)}" if reasons else "",
        requester=facts.requester,
        query=said(path, list(facts.asked.parameters)),
        interaction=facts.asked.interaction,
        checks=checks(facts),
        legal_basis=facts.basis,
        relation=facts.relation,
        consent=f"mitz-{facts.consent}/urn%3Auuid%3A1" if counted else "",
        count=0,
    )
    access = replace(access, **more)
    return audit_event(access, HOSPITAL_NODE, MOMENT + timedelta(seconds=1), "a-1")


def again(event: Mapping[str, Any], tomorrow: Tomorrow = Tomorrow()) -> Again:  # noqa: B008
    found = asyncio.run(decide_again(event, tomorrow))
    assert found is not None
    return found


OTHER = Ura("00000009")
WRONG: list[dict[str, Any]] = [
    {"granted": OTHER},
    {"peer": OTHER},
    {"known": False},
    {"requester": replace(REQUESTER, scopes=frozenset())},
    {"requester": replace(REQUESTER, purpose="HRESCH")},
    {"requester": replace(REQUESTER, person=None)},
    {"requester": replace(REQUESTER, patient=PIETERSEN)},
    {"requester": replace(REQUESTER, patient=JANSEN)},
    {"asked": Asked("Condition", (BSN, ("clinical-status", "active")))},
    {"asked": Asked("Condition", (BSN,), interaction="read")},
    {"asked": Asked("Observation", (BSN, WEIGHT), "$lastn", "operation")},
    {"asked": Asked("Observation", (BSN, WEIGHT))},
    {"asked": Asked("Condition", (BSN, BSN))},
    {"asked": Asked("Condition", (("patient.identifier", "7"),))},
    {"relation": ""},
    {"consent": Consent.DENY},
    {"consent": Consent.UNKNOWN},
    {"basis": Basis.EMERGENCY},
    {"basis": Basis.IMPLIED},
    {"basis": Basis.EMERGENCY, "consent": Consent.UNKNOWN},
    {"basis": Basis.EMERGENCY, "consent": Consent.UNKNOWN, "silence": False},
    {"basis": Basis.EMERGENCY, "consent": Consent.DENY},
]


def test_a_decision_under_the_same_rules_is_the_same() -> None:
    decided = again(event_of(FACTS))

    assert (decided.then, decided.now, decided.changed) == (Said.ALLOW, Said.ALLOW, False)


@pytest.mark.parametrize("wrong", WRONG)
def test_each_reason_comes_back_out_of_the_evidence(wrong: dict[str, Any]) -> None:
    facts = replace(FACTS, **wrong)
    expected = denials(facts, CHEAP) or denials(facts)

    decided = again(event_of(facts))

    assert decided.then is (Said.DENY if expected else Said.ALLOW)
    assert (decided.now, list(decided.reasons)) == (decided.then, expected)


def test_any_mix_of_wrong_facts_comes_back_the_same() -> None:
    random = Random(7)

    for _ in range(500):
        facts = FACTS
        for wrong in random.sample(WRONG, random.randint(0, 4)):
            facts = replace(facts, **wrong)
        expected = denials(facts, CHEAP) or denials(facts)

        decided = again(event_of(facts))

        assert decided.now is (Said.DENY if expected else Said.ALLOW), facts
        if not denials(facts, CHEAP):
            assert list(decided.reasons) == expected


def test_a_smaller_data_set_denies_what_was_allowed() -> None:
    traced = Asked("Condition", (BSN, ("_revinclude", "Provenance:target")))
    smaller = Tomorrow(releases=frozenset({"bgz-msz-1.2.2"}))

    decided = again(event_of(replace(FACTS, asked=traced)), smaller)

    assert (decided.then, decided.now) == (Said.ALLOW, Said.DENY)
    assert decided.reasons == ("the query is outside the data set of the exchange",)
    assert not again(event_of(FACTS), smaller).changed


def test_what_would_be_allowed_but_for_consent_that_nobody_asked_says_so() -> None:
    """Denied then for its data set, which has grown since: consent was never asked."""
    refused = event_of(replace(FACTS, allowed=()))

    decided = again(refused)

    assert (decided.then, decided.now) == (Said.DENY, Said.CONSENT)


def test_an_own_policy_denies_what_was_allowed_and_sees_the_question() -> None:
    seen: list[Mapping[str, Any]] = []

    async def own(document: Mapping[str, Any]) -> tuple[Reason, ...]:
        seen.append(document)
        return (Reason(Code.NOT_ALLOWED, "not on Sundays", "own"),)

    decided = again(event_of(FACTS), Tomorrow(own=own))

    assert (decided.then, decided.now, decided.reasons) == (
        Said.ALLOW,
        Said.DENY,
        ("not on Sundays",),
    )
    assert seen[0]["subject"]["organization"]["ura"] == str(CLINIC)
    again(event_of(replace(FACTS, consent=Consent.DENY)), Tomorrow(own=own))
    assert len(seen) == 1


def test_the_evidence_gives_back_who_asked_and_about_whom() -> None:
    kept = kept_of(event_of(FACTS))

    assert kept is not None
    assert kept.facts.requester.person is not None
    assert (kept.facts.requester.person.uzi, kept.facts.requester.person.role) == (
        "000095254",
        "01.015",
    )
    assert (kept.facts.requester.organization, kept.facts.holder) == (CLINIC, HOSPITAL)
    assert kept.facts.scope == BGZ.scope(Pattern.PULL)
    assert kept.patient == JANSEN


def test_a_query_without_its_patient_was_about_the_one_of_the_token() -> None:
    fixed = replace(FACTS, requester=replace(REQUESTER, patient=JANSEN), asked=Asked("Condition"))

    kept = kept_of(event_of(fixed))

    assert kept is not None and kept.facts.requester.patient == JANSEN
    assert again(event_of(fixed)).now is Said.ALLOW


@pytest.mark.parametrize(
    "more",
    [
        {"outcome": "8", "reason": "the directory cannot be reached"},
        {"outcome": "4", "reason": "a page link takes no other parameters"},
        {"exchange": "telex"},
        {"query": ""},
        {"query": "GET Condition?" + "x" * 70_000},
    ],
)
def test_an_event_that_tells_of_no_decision_is_left_out(more: dict[str, Any]) -> None:
    assert kept_of(event_of(FACTS, **more)) is None


def test_a_patient_in_the_evidence_prints_itself_nowhere() -> None:
    kept = kept_of(event_of(FACTS))

    assert JANSEN.value not in repr(kept)
    assert isinstance(kept and kept.patient, Bsn)
