"""The policy is data, and each of its rows matters: without it some scenario ends otherwise."""

from collections.abc import Callable
from typing import Any

import pytest
from integration.reconcile_cases import (
    ICD10,
    LOINC,
    SCT,
    A,
    B,
    C,
    Said,
    agreement,
    allergy,
    concept,
    contact,
    directive,
    dose,
    identifier,
    images,
    letter,
    organization,
    patient,
    pressure,
    problem,
    procedure,
    result,
    said,
    smoking,
    source,
    table,
    verified,
)

from openldn.base.errors import LdnError
from openldn.fhir.model import Resource
from openldn.integration.reconcile import DEFAULT, Policy
from openldn.integration.reconcile.kinds import KINDS, zib_of
from openldn.integration.reconcile.model import Rule
from openldn.integration.reconcile.policy import changed, without

X = identifier("X77")
UID = identifier("urn:oid:1.2.840.99.1", system="urn:dicom:uid")
AC = {**identifier("AC1", "ACSN"), "assigner": organization(A)}
MAPS = [table((SCT, "372687004", "wider", SCT, "764146007"), (SCT, "1", "wider", SCT, "233604007"))]
MBH: Resource = {
    "url": "http://nictiz.nl/fhir/StructureDefinition/ext-PharmaceuticalTreatment.Identifier",
    "valueIdentifier": identifier("M1"),
}


def goal(own: str, **more: Any) -> Resource:
    return {
        "resourceType": "Goal",
        "id": own,
        "lifecycleStatus": "active",
        "description": {"text": "lopen"},
        "subject": {"reference": "Patient/p"},
        **more,
    }


def device(own: str, **more: Any) -> Resource:
    return {"resourceType": "Device", "id": own, **more}


def bare_letter(own: str, **more: Any) -> Resource:
    return letter(own, data=("AAAA" if own == "a" else "BBBB"), **more)


def study(own: str, **more: Any) -> Resource:
    return images(own, identifier(f"local-{own}"), **more)


PER_KIND: dict[str, Callable[..., Resource]] = {
    "Z-PRB": problem,
    "Z-ALG": allergy,
    "Z-MED": agreement,
    "Z-PRC": procedure,
    "Z-VAC": dose,
    "Z-LAB": lambda own, **more: result(own, "4.1", **more),
    "Z-VIT": lambda own, **more: pressure(own, ("8480-6", "120"), **more),
    "Z-SOC": lambda own, **more: smoking(own, "77176002", **more),
    "Z-ENC": lambda own, **more: contact(own, "2025-03-04T10:00:00+01:00", **more),
    "Z-DOC": bare_letter,
    "Z-IMG": study,
    "Z-DIR": lambda own, **more: directive(own, "permit", "2020-01-01", **more),
    "Z-CPL": goal,
    "Z-OTH": device,
}


def pair(one: Resource, other: Resource) -> tuple[Any, ...]:
    return (source(A, one), source(B, other))


def tied(make: Callable[..., Resource], one: Resource, other: Resource) -> tuple[Any, ...]:
    """Two with one identifier that differ in something; the one of B is the newer."""
    older = {"meta": {"lastUpdated": "2020-01-01T00:00:00Z"}, "identifier": [X]}
    newer = {"meta": {"lastUpdated": "2025-01-01T00:00:00Z"}, "identifier": [X]}
    return pair(make("a", **older, **one), make("b", **newer, **other))


def lab(own: str, **more: Any) -> Resource:
    return result(own, more.pop("value", "4.1"), **more)


def vital(own: str, **more: Any) -> Resource:
    return pressure(own, ("8480-6", more.pop("value", "120")), **more)


TUBE: Resource = {"specimen": {"identifier": identifier("S9")}}
ELSEWHERE = {"effectiveDateTime": "2025-03-04T10:30:00+01:00"}
REPORT: Resource = {"report": [{"identifier": identifier("R5")}]}
ERROR: Resource = {"verificationStatus": verified("entered-in-error")}
OURS: Resource = {"identifier": [{**X, "assigner": organization(A)}]}
DAY = {"effectiveDateTime": "2025-03-04"}
SCENARIOS: dict[str, tuple[Any, ...]] = {
    **{
        f"{zib} with one identifier": pair(make("a", identifier=[X]), make("b", identifier=[X]))
        for zib, make in PER_KIND.items()
        if zib != "Z-IMG"
    },
    **{
        f"{zib} that tells where it came from": pair(
            make("a"), make("b", meta={"source": f"urn:{A}#{make('a')['resourceType']}/a"})
        )
        for zib, make in PER_KIND.items()
    },
    "images with one UID": pair(
        images("a", UID, numberOfInstances=3), images("b", UID, numberOfInstances=9)
    ),
    "images with one accession": pair(images("a", AC), images("b", AC)),
    "procedures with one accession": pair(
        procedure("a", identifier=[AC]), procedure("b", identifier=[AC])
    ),
    "procedures with one report": pair(procedure("a", **REPORT), procedure("b", **REPORT)),
    "one lot": pair(dose("a", lotNumber="L1"), dose("b", lotNumber="L1")),
    "one tube": pair(lab("a", **TUBE), lab("b", **TUBE, **ELSEWHERE)),
    "one master identifier": pair(
        bare_letter("a", masterIdentifier=X), bare_letter("b", masterIdentifier=X)
    ),
    "equal bytes": pair(letter("a"), letter("b")),
    "problems alike": pair(problem("a"), problem("b")),
    "allergies alike": pair(allergy("a"), allergy("b")),
    "products alike": pair(agreement("a"), agreement("b")),
    "one treatment": pair(
        agreement("a", extension=[MBH]),
        agreement("b", extension=[MBH], authoredOn="2025-06-01"),
    ),
    "procedures alike": pair(procedure("a"), procedure("b")),
    "planned and done": pair(procedure("a", "preparation"), procedure("b")),
    "doses alike": pair(dose("a"), dose("b")),
    "results alike": pair(lab("a"), lab("b")),
    "results of a day": pair(lab("a"), lab("b", **DAY)),
    "measurements alike": pair(vital("a"), vital("b")),
    "measurements of a day": pair(vital("a"), vital("b", **DAY)),
    "contacts alike": pair(
        contact("a", "2025-03-04T10:00:00+01:00"),
        contact("b", "2025-03-04T10:05:00+01:00", serviceProvider=organization(A)),
    ),
    "letters alike": pair(*(bare_letter(own, author=[organization(A)]) for own in ("a", "b"))),
    "directives alike": pair(*(directive(own, "permit", "2020-01-01") for own in ("a", "b"))),
    "circumstances alike": pair(smoking("a", "77176002"), smoking("b", "77176002")),
    "a class of problems": pair(problem("a", "1"), problem("b")),
    "a class of allergies": pair(allergy("a", "372687004"), allergy("b")),
    "a problem refuted later": tied(
        problem,
        {"verificationStatus": verified("confirmed")},
        {"verificationStatus": verified("refuted")},
    ),
    "an allergy refuted later": tied(
        allergy,
        {"verificationStatus": verified("confirmed")},
        {"verificationStatus": verified("refuted")},
    ),
    "an allergy resolved later": tied(allergy, {}, {"status": "resolved"}),
    "an allergy less critical later": tied(
        allergy, {"criticality": "high"}, {"criticality": "low"}
    ),
    "a procedure that went on": tied(procedure, {}, {"status": "in-progress"}),
    "a dose as reported": tied(dose, {"primarySource": True}, {"primarySource": False}),
    "a result corrected": tied(lab, {"status": "corrected", "value": "4.6"}, {}),
    "a measurement corrected": tied(vital, {"status": "corrected", "value": "130"}, {}),
    "a contact that ended": tied(
        lambda own, **more: contact(own, "2025-03-04T10:00:00+01:00", **more),
        {},
        {"status": "in-progress"},
    ),
    "a letter replaced": tied(
        bare_letter,
        {"relatesTo": [{"code": "replaces", "target": {"display": "x"}}]},
        {"date": "2025-05-04T10:00:00+01:00"},
    ),
    "a problem resolved": tied(problem, {}, {"status": "resolved"}),
    "a problem coded otherwise": tied(problem, {}, {"what": "22298006"}),
    "an allergy coded otherwise": tied(allergy, {}, {"what": "227493005"}),
    "an agreement stopped": tied(agreement, {}, {"status": "stopped"}),
    "a procedure coded otherwise": tied(procedure, {}, {"code": concept("80146002")}),
    "a dose coded otherwise": tied(dose, {}, {"vaccineCode": concept("871831003")}),
    "a directive ended": tied(
        lambda own, **more: directive(own, "permit", "2020-01-01", **more),
        {},
        {"status": "inactive"},
    ),
    "a circumstance answered otherwise": tied(
        lambda own, **more: smoking(own, "77176002", **more),
        {},
        {"valueCodeableConcept": concept("8517006")},
    ),
    "no known allergies": pair(allergy("a"), allergy("b", "716186003")),
    "allergies that differ": pair(
        allergy("a", criticality="high"), allergy("b", criticality="low")
    ),
    "problems of which one is refuted": pair(
        problem("a", verificationStatus=verified("confirmed")),
        problem("b", verificationStatus=verified("refuted")),
    ),
    "results that differ": pair(lab("a"), lab("b", value="4.6")),
    "measurements that differ": pair(vital("a"), vital("b", value="150")),
    "directives that differ": pair(
        directive("a", "permit", "2020-01-01"), directive("b", "deny", "2021-01-01")
    ),
    "another birth date": (
        source(A, problem("a", identifier=[X])),
        source(B, problem("b", identifier=[X]), person=patient("1971-05-06")),
    ),
    "taken back by the author": pair(
        problem("a", recordedDate="2025-02-01", **ERROR, **OURS),
        problem("b", recordedDate="2025-01-01", **OURS),
    ),
}


def ended(name: str, policy: Policy = DEFAULT) -> object:
    return said(*SCENARIOS[name], policy=policy, maps=MAPS).summary()


def touched(rule: Rule) -> list[str]:
    """The scenarios with something of the kind that a rule is about."""
    if rule.zib in {"*", "Z-PAT"}:
        return list(SCENARIOS)[-2:]
    kinds = {
        name: {zib_of(entry["resource"]) for each in given for entry in each.bundle["entry"]}
        for name, given in SCENARIOS.items()
    }
    return [name for name in SCENARIOS if rule.zib in kinds[name]]


@pytest.mark.parametrize("rule", DEFAULT.rules, ids=lambda rule: rule.id)
def test_without_this_rule_some_scenario_ends_otherwise(rule: Rule) -> None:
    less = without(DEFAULT, rule.id)

    assert len(less.rules) == len(DEFAULT.rules) - 1
    assert any(ended(name, less) != ended(name) for name in touched(rule))


def test_every_rule_has_an_id_of_its_own_and_names_its_source() -> None:
    ids = [rule.id for rule in DEFAULT.rules]

    assert len(ids) == len(set(ids))
    assert all(rule.source for rule in DEFAULT.rules)
    assert {rule.zib for rule in DEFAULT.rules} == {*KINDS, "*"}


def test_a_file_changes_options_and_lists_and_says_so_in_the_version() -> None:
    policy = changed(
        {"rules": {"Z-PRB.possible": {"days": 1}, "Z-LAB.value": False}, "lists": {"chronic": []}}
    )

    found = {rule.id: rule for rule in policy.rules}
    assert found["Z-PRB.possible"].options["days"] == 1
    assert "Z-LAB.value" not in found and not policy.lists["chronic"]
    assert policy.version != DEFAULT.version


WRONG: list[object] = [
    [],
    {"rule": {}},
    {"rules": []},
    {"rules": {"Z-XXX.y": False}},
    {"rules": {"Z-LAB.value": "off"}},
    {"lists": {"x": []}},
]


@pytest.mark.parametrize("told", WRONG, ids=str)
def test_what_a_policy_file_gets_wrong_is_refused(told: object) -> None:
    with pytest.raises(LdnError):
        changed(told)


def test_codes_are_read_by_oid_and_tables_go_on() -> None:
    maps = [table((ICD10, "J18.9", "equivalent", SCT, "5"), (SCT, "5", "equal", SCT, "233604007"))]
    oid = concept("J18.9", "urn:oid:2.16.840.1.113883.6.3")

    assert said(*pair(problem("a", code=oid), problem("b")), maps=maps).possible
    assert not said(*pair(problem("a", code=oid), problem("b"))).possible


def test_a_wider_code_never_makes_two_the_same() -> None:
    found = Said.summary(said(*SCENARIOS["a class of problems"], maps=MAPS))

    assert not said(*SCENARIOS["a class of problems"], maps=MAPS).possible
    assert found != Said.summary(said(*SCENARIOS["a class of problems"]))


def test_an_answer_in_another_language_of_units_is_compared() -> None:
    other = result("b", "5.4", "g/L", code=concept("14749-6", LOINC))
    mine = result("a", "30", "mmol/L", code=concept("14749-6", LOINC))
    factors = [{"code": "14749-6", "from": "mmol/L", "to": "g/L", "factor": "0.18016"}]

    found = said(source(A, mine), source(C, other), factors=factors)

    assert len(found.possible) == 1
