"""Invariants P-1 to P-10 of integration §9, on generated sources."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.reconcile_cases import (
    QUESTION,
    Said,
    agreement,
    allergy,
    contact,
    directive,
    dose,
    identifier,
    images,
    letter,
    patient,
    problem,
    procedure,
    result,
    smoking,
    source,
    verified,
)

from openldn.fhir.codec import check, dump
from openldn.fhir.model import FhirVersion, Resource
from openldn.integration.reconcile import DEFAULT, Source, reconcile
from openldn.integration.reconcile.again import apart

UID = identifier("urn:oid:1.2.840.99.1", system="urn:dicom:uid")
MAKERS: list[Any] = [
    problem,
    allergy,
    lambda own, **more: allergy(own, "716186003", **more),
    lambda own, **more: allergy(own, criticality="high", **more),
    lambda own, **more: allergy(own, status="resolved", **more),
    lambda own, **more: result(own, "4.1", **more),
    lambda own, **more: result(own, "4.6", status="corrected", **more),
    lambda own, **more: smoking(own, "77176002", **more),
    lambda own, **more: dose(own, lotNumber="L1", **more),
    procedure,
    lambda own, **more: contact(own, "2025-03-04T10:00:00+01:00", **more),
    letter,
    lambda own, **more: images(own, UID, **{k: v for k, v in more.items() if k != "identifier"}),
    lambda own, **more: directive(own, "permit", "2020-01-01", **more),
    lambda own, **more: directive(own, "deny", "2021-01-01", **more),
    agreement,
]
NUMBERS = [[], [identifier("X77")], [identifier("Y88")], [identifier("X77"), identifier("Y88")]]


@st.composite
def statements(draw: st.DrawFn) -> list[Resource]:
    made = []
    for place in range(draw(st.integers(0, 5))):
        maker = draw(st.sampled_from(MAKERS))
        numbers = draw(st.sampled_from(NUMBERS))
        one = maker(f"s{place}", **({"identifier": numbers} if numbers else {}))
        if one["resourceType"] == "Condition" and draw(st.booleans()):
            one["recordedDate"] = draw(st.sampled_from(["2020", "2024-05", "2025-01-02"]))
        if one["resourceType"] == "AllergyIntolerance" and draw(st.integers(0, 4)) == 0:
            one["verificationStatus"] = verified(draw(st.sampled_from(["refuted", "confirmed"])))
        made.append(one)
    return made


@st.composite
def answers(draw: st.DrawFn) -> list[Source]:
    births = st.sampled_from(["1970-05-06", "1970-05-06", "1970-05-06", "1971-05-06"])
    count = draw(st.integers(1, 4))
    return [
        source(f"0000000{n}", *draw(statements()), person=patient(draw(births)))
        for n in range(1, count + 1)
    ]


QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def made(sources: list[Source]) -> Resource:
    return reconcile(sources, QUESTION)


@QUICK
@given(answers(), st.randoms(use_true_random=False))
def test_p1_the_order_of_sources_and_entries_changes_no_byte(
    sources: list[Source], chance: Any
) -> None:
    turned = []
    for each in sources:
        held: Any = each.bundle
        entries = list(held["entry"])
        chance.shuffle(entries)
        turned.append(Source(each.ura, {**held, "entry": entries}))
    chance.shuffle(turned)

    assert dump(made(turned)) == dump(made(sources))


@QUICK
@given(answers())
def test_p2_reconciling_the_outcome_changes_no_byte(sources: list[Source]) -> None:
    once = made(sources)
    parts, told = apart(once)

    assert dump(reconcile(parts, QUESTION, told=told)) == dump(once)


@QUICK
@given(answers())
def test_p3_every_statement_is_there_once_and_unchanged(sources: list[Source]) -> None:
    found = Said(made(sources))

    given = {}
    for each in sources:
        held: Any = each.bundle
        for entry in held["entry"]:
            one = entry["resource"]
            given[f"{each.ura} {one['resourceType']}/{one['id']}"] = one
    assert given.keys() == found.statements.keys()
    own = {"id", "meta", "identifier"}
    for name, before in given.items():
        after = found.statements[name]
        assert {k: v for k, v in before.items() if k not in own} == {
            k: v for k, v in after.items() if k not in own
        }
        assert [i for i in before.get("identifier", ())] == after["identifier"][:-1]
    clustered = [name for key in found.same for name in key]
    assert len(clustered) == len(set(clustered))


@QUICK
@given(answers(), statements())
def test_p4_a_further_source_hides_no_active_allergy(
    sources: list[Source], more: list[Resource]
) -> None:
    further = [*sources, source("00000009", *more)]

    before, after = (_active(Said(made(each))) for each in (sources, further))

    assert before <= after


def _active(found: Said) -> set[str]:
    """The active allergies that one sees: on their own, or by what stands for them."""
    tied = {name: key for key in found.same for name in key}
    seen = set()
    for name, one in found.statements.items():
        if not name.split()[1].startswith("Allergy") or not _is_active(one):
            continue
        shown = found.shown[tied[name]] if name in tied else one
        if _is_active(shown):
            seen.add(name)
    return seen


def _is_active(one: Resource) -> bool:
    status = one["clinicalStatus"]["coding"][0]["code"]
    verification = one.get("verificationStatus", {"coding": [{"code": ""}]})["coding"][0]["code"]
    return bool(status == "active" and verification != "refuted")


@QUICK
@given(answers())
def test_p5_who_stands_for_others_is_one_of_them_unchanged(sources: list[Source]) -> None:
    found = Said(made(sources))

    for key, shown in found.shown.items():
        bare = {k: v for k, v in shown.items() if k not in {"id", "meta"}}
        members = [found.statements[name] for name in key]
        without = [
            {
                **{k: v for k, v in m.items() if k not in {"id", "meta", "identifier"}},
                **({"identifier": m["identifier"][:-1]} if m["identifier"][:-1] else {}),
            }
            for m in members
        ]
        assert bare in without


@QUICK
@given(answers())
def test_p8_every_tie_names_a_rule_of_the_policy(sources: list[Source]) -> None:
    rules = {rule.id for rule in DEFAULT.rules}
    for one in Said(made(sources)).all:
        if one["resourceType"] == "Provenance":
            named = {c["code"] for c in one["reason"][0]["coding"]}
        elif one["resourceType"] in {"Linkage", "DetectedIssue"}:
            named = {one["meta"]["tag"][1]["code"]}
        else:
            continue
        assert named and named <= rules


@QUICK
@given(answers())
def test_p10_a_source_that_is_taken_away_leaves_nothing(sources: list[Source]) -> None:
    parts, told = apart(made(sources))
    rest = [part for part in parts if part.ura != "00000001"]

    left = reconcile(rest, QUESTION, told=told)

    never = made([s for s in sources if s.ura != "00000001"])
    if len(sources) > 1:
        assert dump(left) == dump(never)


@QUICK
@given(answers())
def test_the_outcome_is_valid_fhir(sources: list[Source]) -> None:
    check(made(sources), FhirVersion.R4)
