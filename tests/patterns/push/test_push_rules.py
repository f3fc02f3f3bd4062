"""What a receiver takes and refuses of a Bundle, rule by rule; patterns §8."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from pushes import (
    JANSEN,
    OTHER,
    PATIENT,
    SYSTEM,
    created,
    document,
    observation,
    parcel_of,
    patient,
    transaction,
    urn,
)

from openldn.fhir.codec import check
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn
from openldn.fhir.model import FhirVersion, Resource
from openldn.patterns.push.rules import RULES, Terms, findings, split

TYPES = frozenset({"Patient", "Observation", "Practitioner", "Composition", "Binary"})
TERMS = Terms(Bsn(JANSEN), ("transaction", "batch"), TYPES)
PAPERS = Terms(Bsn(JANSEN), ("document",), TYPES)


def codes(bundle: Resource, terms: Terms = TERMS) -> list[str]:
    return list(dict.fromkeys(f.code for f in findings(parcel_of(bundle), terms)))


def bare(type_: str, **more: Any) -> Resource:
    return {"resourceType": type_, "identifier": [{"system": SYSTEM, "value": "x"}], **more}


def entry(resource: Resource, **more: Any) -> Resource:
    return {**created(resource, urn(70), f"identifier={SYSTEM}|x"), **more}


def test_what_is_right_is_taken() -> None:
    named = entry(bare("Practitioner"))
    whole = transaction(patient(), observation(1, performer=[{"reference": urn(70)}]), named)

    check(deepcopy(whole), FhirVersion.R4)

    assert codes(whole) == []
    assert codes({**whole, "type": "batch", "entry": whole["entry"][:1]}) == []
    assert codes(document(), PAPERS) == []


def asked(**request: Any) -> Resource:
    one = observation(1)
    return {**one, "request": {**one["request"], **request}}


def without(name: str) -> Resource:
    one = observation(1)
    return {**one, "request": {k: v for k, v in one["request"].items() if k != name}}


WRONG: dict[str, tuple[str, Callable[[], Resource]]] = {
    "pu03 an update": ("create", lambda: asked(method="PUT", url="Observation/1")),
    "pu03 a deletion": ("create", lambda: asked(method="DELETE", url="Observation/1")),
    "pu03 a search": ("create", lambda: asked(method="GET", url="Observation?code=1")),
    "pu03 an address of another base": (
        "create",
        lambda: asked(url="https://elsewhere.example/Observation"),
    ),
    "pu03 with a version": ("create", lambda: asked(ifMatch='W/"1"')),
    "pu03 created without condition": ("create", lambda: without("ifNoneExist")),
    "pu03 a condition on something else": ("create", lambda: asked(ifNoneExist="code=1")),
    "pu03 two conditions": (
        "create",
        lambda: asked(ifNoneExist=f"identifier={SYSTEM}|o-1&status=final"),
    ),
    "pu03 a condition of another resource": (
        "create",
        lambda: asked(ifNoneExist=f"identifier={SYSTEM}|o-2"),
    ),
    "pu03 a condition without system": ("create", lambda: asked(ifNoneExist="identifier=o-1")),
    "pu04 a type that is not taken": (
        "type",
        lambda: entry(bare("Condition", subject={"reference": PATIENT})),
    ),
    "pu04 no resource": ("type", lambda: {"fullUrl": urn(70), "request": {"method": "POST"}}),
    "pu05 an address of the sender": (
        "address",
        lambda: {**observation(1), "fullUrl": "https://hospital.example/fhir/Observation/1"},
    ),
    "pu05 the address of another entry": (
        "address",
        lambda: {**observation(1), "fullUrl": PATIENT},
    ),
    "pu06 another base": (
        "reference",
        lambda: observation(1, encounter={"reference": "https://10.0.0.1/fhir/Encounter/1"}),
    ),
    "pu06 the sender's own base": (
        "reference",
        lambda: observation(1, encounter={"reference": "Encounter/1"}),
    ),
    "pu06 a patient by condition": (
        "reference",
        lambda: observation(1, focus=[{"reference": f"Patient?identifier={BSN_SYSTEM}|{JANSEN}"}]),
    ),
    "pu06 a condition that is a search": (
        "reference",
        lambda: observation(1, performer=[{"reference": "Practitioner?name=jansen"}]),
    ),
    "pu07 another person by number": (
        "patient",
        lambda: observation(1, performer=[{"identifier": {"system": BSN_SYSTEM, "value": OTHER}}]),
    ),
    "pu07 a second patient": (
        "patient",
        lambda: {**patient(), "fullUrl": urn(71)},
    ),
    "pu08 about somebody else": ("subject", lambda: observation(1, subject=urn(70))),
    "pu08 about nobody": ("subject", lambda: {**observation(1), "resource": _no_subject()}),
}


def _no_subject() -> Resource:
    resource: Resource = observation(1)["resource"]
    return {k: v for k, v in resource.items() if k != "subject"}


@pytest.mark.parametrize("case", WRONG, ids=lambda c: c.replace(" ", "-"))
def test_pu03_to_pu08_each_wrong_entry_is_refused_by_its_rule(case: str) -> None:
    code, make = WRONG[case]

    assert code in codes(transaction(patient(), make()))


def test_pu07_the_patient_is_the_one_of_the_token() -> None:
    assert "patient" in codes(transaction(patient(OTHER), observation(1)))
    assert "patient" in codes(transaction(observation(1)))
    two = patient()
    two["resource"]["identifier"].append({"system": BSN_SYSTEM, "value": OTHER})
    assert "patient" in codes(transaction(two, observation(1)))
    hidden = patient(contained=[{"identifier": [{"system": BSN_SYSTEM, "value": OTHER}]}])
    assert "patient" in codes(transaction(hidden))
    assert "patient" in codes({**document(), "entry": document()["entry"][:1]}, PAPERS)


def test_pu07_a_patient_is_only_made_when_nobody_has_the_number() -> None:
    other = patient()
    other["resource"]["identifier"].append({"system": SYSTEM, "value": "p-1"})
    other["request"]["ifNoneExist"] = f"identifier={SYSTEM}|p-1"

    assert codes(transaction(other)) == ["patient"]


def test_pu09_size_and_number_have_bounds() -> None:
    whole = transaction(patient(), observation(1), observation(2))

    assert codes(whole, Terms(Bsn(JANSEN), ("transaction",), TYPES, most_entries=2)) == ["bounds"]
    assert codes(whole, Terms(Bsn(JANSEN), ("transaction",), TYPES, most_bytes=999)) == ["bounds"]
    small = Terms(Bsn(JANSEN), ("transaction",), TYPES, most_entry_bytes=99)
    assert codes(whole, small) == ["bounds"]
    assert "bounds" in codes(transaction())


def test_pu10_a_document_begins_with_its_composition_and_says_what_it_is() -> None:
    whole = document()

    assert codes({**whole, "entry": whole["entry"][::-1]}, PAPERS) == ["document"]
    assert codes({**whole, "identifier": {}}, PAPERS) == ["document"]
    assert codes({**whole, "timestamp": ""}, PAPERS) == ["document"]


def test_pu10_a_document_may_have_addresses_of_its_sender_as_long_as_nothing_leads_out() -> None:
    base = "https://hospital.example/fhir/"
    whole = document(observation(1, "Patient/1")["resource"])
    whole["entry"][1]["fullUrl"] = f"{base}Patient/1"
    whole["entry"][0] |= {"fullUrl": f"{base}Composition/1"}
    whole["entry"][0]["resource"]["subject"] = {"reference": "Patient/1"}
    whole["entry"][2]["fullUrl"] = f"{base}Observation/1"

    assert codes(whole, PAPERS) == []
    whole["entry"][2]["resource"]["encounter"] = {"reference": "Encounter/1"}
    assert codes(whole, PAPERS) == ["reference"]


def test_pu02_a_form_that_is_not_taken_is_refused() -> None:
    assert codes(transaction(patient(), kind="message")) == ["form"]
    assert codes(document()) == ["form", "create"] or "form" in codes(document())
    assert "form" in codes(transaction(patient()), PAPERS)


def test_pu11_of_a_batch_single_entries_are_refused_and_the_rest_stands() -> None:
    wrong = asked(ifNoneExist="code=1")
    linked = observation(2, hasMember=[{"reference": urn(3)}])
    whole = transaction(patient(), wrong, linked, observation(3), kind="batch")

    against, single = split(parcel_of(whole), TERMS)

    assert against == []
    assert {place: f.code for place, f in single.items()} == {1: "create", 2: "batch"}


def test_pu11_against_another_patient_the_whole_batch_is_refused() -> None:
    whole = transaction(patient(), {**patient(OTHER), "fullUrl": urn(5)}, kind="batch")

    against, _ = split(parcel_of(whole), TERMS)

    assert {f.code for f in against} == {"patient"}


def test_pu09_ten_thousand_wrong_entries_are_judged_at_once_and_told_briefly() -> None:
    whole = transaction(*(observation(n, subject=urn(99_999)) for n in range(10_000)))

    told = findings(parcel_of(whole), Terms(Bsn(JANSEN), ("transaction",), TYPES, 20_000))

    assert len(told) == 20


def test_no_finding_repeats_what_was_sent() -> None:
    secret = "zeldzame-waarde"
    wrong = observation(1, encounter={"reference": f"https://{secret}.example/Encounter/1"})
    wrong["request"]["ifNoneExist"] = f"identifier={secret}"
    told = findings(parcel_of(transaction(patient(OTHER), wrong)), TERMS)

    assert told
    assert not any(w in f"{f.text}{f.where}" for f in told for w in (secret, OTHER, JANSEN))


def test_each_rule_has_its_own_code() -> None:
    assert len({r.code for r in RULES}) == len(RULES)
