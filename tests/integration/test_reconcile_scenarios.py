"""Scenarios R1-R32 of integration §7.2, and the decisions that complete them (decision 27)."""

import pytest
from integration.reconcile_cases import (
    BSN,
    ICD10,
    LOINC,
    SCT,
    A,
    B,
    C,
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

from openldn.fhir.model import Resource
from openldn.integration.reconcile.model import Answered, Source

X = identifier("X77")


def both(kind: str, one: str = "a", other: str = "b") -> frozenset[str]:
    return frozenset({f"{A} {kind}/{one}", f"{B} {kind}/{other}"})


def test_r1_one_identifier_at_hospital_and_gp_is_one_statement_with_two_members() -> None:
    found = said(source(A, problem("a", identifier=[X])), source(B, problem("b", identifier=[X])))

    assert set(found.same) == {both("Condition")}
    assert not found.possible
    assert found.same[both("Condition")]["reason"][0]["coding"][0]["code"] == "Z-PRB.identifier"


def test_r2_equivalent_codes_within_the_window_may_be_the_same() -> None:
    maps = [table((ICD10, "J18.9", "equivalent", SCT, "233604007"))]
    other = problem("b", onsetDateTime="2025-02-01", code=concept("J18.9", ICD10))
    mine = source(A, problem("a", onsetDateTime="2025-01-10"))

    assert said(mine, source(B, other), maps=maps).possible == {both("Condition")}
    assert not said(mine, source(B, other)).possible
    late = {**other, "onsetDateTime": "2025-09-01"}
    assert not said(mine, source(B, late), maps=maps).possible


def test_r2_what_lasts_has_no_window() -> None:
    one = source(A, problem("a", "38341003", onsetDateTime="2001-01-10"))
    other = source(B, problem("b", "38341003", onsetDateTime="2019"))

    assert said(one, other).possible == {both("Condition")}


def test_r3_left_and_right_are_distinct() -> None:
    def knee(own: str, side: str) -> Resource:
        site = {"coding": concept("72696002")["coding"] + concept(side)["coding"]}
        return problem(own, "396275006", bodySite=[site])

    left, right = source(A, knee("a", "7771000")), source(B, knee("b", "24028007"))
    asthma = source(C, problem("c", "195967001"))

    assert not said(left, right, asthma).possible
    anywhere = source(B, problem("b", "396275006"))
    assert said(left, anywhere).possible == {both("Condition")}


def test_r4_another_identifier_is_another_statement_the_same_one_a_conflict() -> None:
    old = problem("a", recordedDate="2019-01-01", onsetDateTime="2018-12-01")
    new = problem("b", status="resolved", recordedDate="2024-01-01", onsetDateTime="2018-12-01")

    apart = said(source(A, old), source(B, new))
    assert not apart.same and not apart.conflicts()
    order = [own for own in apart.statements if "Condition" in own]
    assert order[0].startswith(B), "the newest on top"
    tied = said(source(A, {**old, "identifier": [X]}), source(B, {**new, "identifier": [X]}))
    assert tied.conflicts() == {both("Condition")}
    assert tied.shown[both("Condition")]["clinicalStatus"]["coding"][0]["code"] == "resolved"


MADE_BY_A = [{**X, "assigner": organization(A)}]


def test_r5_the_author_takes_a_statement_back() -> None:
    gone = problem("a", recordedDate="2025-02-01", identifier=MADE_BY_A)
    gone |= {"verificationStatus": verified("entered-in-error")}
    stale = problem("b", recordedDate="2025-01-01", identifier=MADE_BY_A)

    found = said(source(A, gone), source(B, stale))

    assert found.shown[both("Condition")]["meta"]["tag"][0]["code"] == "withdrawn"
    assert found.conflicts("withdrawn") == {both("Condition")}
    assert f"{B} Condition/b" in found.statements


@pytest.mark.parametrize("make", [problem, allergy])
def test_r5_who_holds_a_copy_takes_nothing_back(make: object) -> None:
    gone = make("b", recordedDate="2025-02-01", identifier=MADE_BY_A)  # type: ignore[operator]
    gone |= {"verificationStatus": verified("entered-in-error")}
    kept = make("a", recordedDate="2025-01-01", identifier=MADE_BY_A)  # type: ignore[operator]
    key = both(kept["resourceType"])

    found = said(source(A, kept), source(B, gone))

    assert "verificationStatus" not in found.shown[key]
    assert key in found.conflicts()


@pytest.mark.parametrize(
    "mark",
    [
        {"recorder": organization(A)},
        {"identifier": [identifier("X77", system=f"urn:oid:1.2.{A}")]},
        {"recorder": {"reference": "PractitionerRole/r"}},
    ],
    ids=["recorder", "system", "role"],
)
def test_r5_the_author_is_known_by_who_wrote_it(mark: Resource) -> None:
    role = {"resourceType": "PractitionerRole", "id": "r", "organization": organization(A)}
    gone: Resource = {"verificationStatus": verified("entered-in-error"), "identifier": [X]}
    newer, older = {"recordedDate": "2025-02-01"}, {"recordedDate": "2025-01-01"}

    one = source(A, problem("a", **{**gone, **newer, **mark}), role)
    other = source(B, problem("b", **{"identifier": [X], **older, **mark}), role)

    found = said(one, other)
    assert found.shown[both("Condition")]["meta"]["tag"][0]["code"] == "withdrawn"


def test_r5_where_nobody_knows_the_author_the_statement_stands() -> None:
    gone: Resource = {"verificationStatus": verified("entered-in-error")}

    found = said(
        source(A, problem("a", identifier=[X], recordedDate="2025-02-01", **gone)),
        source(B, problem("b", identifier=[X], recordedDate="2025-01-01")),
    )

    assert "verificationStatus" not in found.shown[both("Condition")]
    assert found.conflicts() == {both("Condition")}


def test_two_versions_of_one_resource_are_one_statement() -> None:
    first = result("a", "4.1", status="preliminary")
    last = result("a", "4.6", status="corrected")

    found = said(source(A, first, last))

    (shown,) = [r for r in found.all if "representative" in str(r["meta"].get("tag"))]
    assert shown["status"] == "corrected"
    assert len([r for r in found.all if r["resourceType"] == "Observation"]) == 3


def test_r6_no_known_allergies_never_cancels_an_allergy() -> None:
    none = allergy("b", "716186003", recordedDate="2025-06-01")

    found = said(source(A, allergy("a", recordedDate="2020-01-01")), source(B, none))

    assert found.conflicts() == {both("AllergyIntolerance")}
    assert not found.same and not found.possible


def test_r6_no_known_food_allergy_says_nothing_of_a_drug() -> None:
    found = said(
        source(A, allergy("a", category=["medication"])), source(B, allergy("b", "429625007"))
    )

    assert not found.conflicts()


def test_r7_a_class_and_a_member_of_it_are_parent_and_child() -> None:
    maps = [table((SCT, "372687004", "wider", SCT, "764146007"))]

    found = said(source(A, allergy("a", "372687004")), source(B, allergy("b")), maps=maps)

    assert ("parent-child", (f"{B} AllergyIntolerance/b", f"{A} AllergyIntolerance/a")) in (
        found.issues
    )
    assert not found.same and not found.possible


def test_r8_the_highest_criticality_shows_and_both_values_are_a_conflict() -> None:
    low = allergy("a", criticality="low", recordedDate="2025-06-01")
    high = allergy("b", criticality="high", recordedDate="2020-06-01")

    apart = said(source(A, low), source(B, high))
    assert apart.possible == apart.conflicts() == {both("AllergyIntolerance")}
    tied = said(source(A, {**low, "identifier": [X]}), source(B, {**high, "identifier": [X]}))
    assert tied.shown[both("AllergyIntolerance")]["criticality"] == "high"
    assert tied.conflicts() == {both("AllergyIntolerance")}


def test_r9_refuted_elsewhere_is_a_conflict_and_hides_nothing() -> None:
    refuted: Resource = {"verificationStatus": verified("refuted"), "recordedDate": "2025-06-01"}
    active = allergy("b", recordedDate="2020-01-01")

    apart = said(source(A, allergy("a", **refuted)), source(B, active))
    assert apart.conflicts() == apart.possible == {both("AllergyIntolerance")}
    sure = {**active, "verificationStatus": verified("confirmed")}
    told = said(source(A, allergy("a", **refuted)), source(B, sure))
    assert told.conflicts() == told.possible == {both("AllergyIntolerance")}
    tied = said(
        source(A, allergy("a", identifier=[X], **refuted)), source(B, {**sure, "identifier": [X]})
    )
    shown = tied.shown[both("AllergyIntolerance")]
    assert shown["verificationStatus"]["coding"][0]["code"] == "confirmed"


def test_r10_one_lot_on_one_day_is_one_dose() -> None:
    found = said(source(A, dose("a", lotNumber="L1")), source(B, dose("b", lotNumber="L1")))

    assert set(found.same) == {both("Immunization")}


def test_r10_a_lot_is_the_same_dose_whatever_the_system_of_the_product_code() -> None:
    mine = dose("a", lotNumber="L1", vaccineCode=concept("1", "urn:oid:2.16.840.1.113883.2.4.4.7"))

    assert said(source(A, mine), source(B, dose("b", lotNumber="L1"))).same
    other = dose("b", lotNumber="L1", vaccineCode=concept("871831003"))
    assert not said(source(A, dose("a", lotNumber="L1")), source(B, other)).same


def test_r10_without_a_lot_a_dose_may_be_the_same() -> None:
    found = said(
        source(A, dose("a", lotNumber="L1")),
        source(B, dose("b", occurrenceDateTime="2025-03-04T09:00:00+01:00")),
    )

    assert found.possible == {both("Immunization")} and not found.same


def test_r11_another_lot_is_another_dose_whatever_the_identifier() -> None:
    one = source(A, dose("a", lotNumber="L1", identifier=[X]))
    other = source(B, dose("b", lotNumber="L2", identifier=[X]))

    found = said(one, other)

    assert not found.same and not found.possible


TUBE = {"specimen": {"identifier": identifier("S9")}}
FACTOR = [{"code": "718-7", "from": "mmol/L", "to": "g/dL", "factor": "1.6114"}]


def test_r12_one_sample_in_two_units_is_one_result() -> None:
    hb: Resource = {"code": concept("718-7", LOINC), **TUBE}
    one, other = result("a", "8.1", **hb), result("b", "13.05", "g/dL", **hb)

    assert set(said(source(A, one), source(B, other), factors=FACTOR).same) == {both("Observation")}
    assert not said(source(A, one), source(B, other)).same, "needs the factor of the analyte"


def test_r12_units_of_one_kind_need_no_table() -> None:
    found = said(source(A, result("a", "4.1")), source(B, result("b", "4100", "umol/L")))

    assert found.possible == {both("Observation")}


def test_r13_the_corrected_result_represents_and_the_chain_is_kept() -> None:
    first = result("a", "4.1", identifier=[X], status="preliminary", issued="2025-03-04T12:00:00Z")
    fixed = result("b", "4.6", identifier=[X], status="corrected", issued="2025-03-04T11:00:00Z")

    found = said(source(A, first), source(B, fixed))

    assert found.shown[both("Observation")]["status"] == "corrected"
    assert not found.conflicts()


def test_r14_one_moment_two_outcomes_is_a_conflict_without_a_pick() -> None:
    apart = said(source(A, result("a", "4.1")), source(B, result("b", "4.6")))
    assert apart.conflicts() == {both("Observation")} and not apart.possible

    tied = said(
        source(A, result("a", "4.1", identifier=[X])), source(B, result("b", "4.6", identifier=[X]))
    )
    assert tied.conflicts() == {both("Observation")} and not tied.same
    assert len(tied.statements) == 4


def test_r14_numbers_agree_within_the_coarser_precision() -> None:
    assert said(source(A, result("a", "4.1")), source(B, result("b", "4.14"))).possible
    assert said(source(A, result("a", "4.1")), source(B, result("b", "4.16"))).conflicts()


def test_r15_a_day_and_a_moment_of_it_are_possible_not_same() -> None:
    day = result("b", "4.1", effectiveDateTime="2025-03-04")

    found = said(source(A, result("a", "4.1")), source(B, day))

    assert found.possible == {both("Observation")} and not found.same
    assert not said(source(A, result("a", "4.6")), source(B, day)).issues


def test_r16_components_in_another_order_are_the_same() -> None:
    high, low = ("8480-6", "120"), ("8462-4", "80")
    one, other = pressure("a", high, low), pressure("b", low, high)

    assert said(source(A, one), source(B, other)).possible == {both("Observation")}
    tied = said(source(A, {**one, "identifier": [X]}), source(B, {**other, "identifier": [X]}))
    assert set(tied.same) == {both("Observation")} and not tied.conflicts()
    higher = pressure("b", low, ("8480-6", "121"))
    assert said(source(A, one), source(B, higher)).conflicts() == {both("Observation")}


UID = identifier("urn:oid:1.2.840.99.1", system="urn:dicom:uid")


def test_r17_one_study_in_two_archives_is_one_study_and_most_images_win() -> None:
    found = said(
        source(A, images("a", UID, numberOfInstances=3)),
        source(B, images("b", UID, numberOfInstances=9)),
    )

    assert found.shown[both("ImagingStudy")]["numberOfInstances"] == 9


def test_r18_one_accession_number_of_two_issuers_is_distinct() -> None:
    def study(own: str, ura: str) -> Resource:
        return images(own, {**identifier("AC1", "ACSN"), "assigner": organization(ura)})

    apart = said(source(A, study("a", A)), source(B, study("b", B)))
    assert not apart.same and not apart.possible
    shared = said(source(A, study("a", A)), source(B, study("b", A)))
    assert not shared.same and shared.possible == {both("ImagingStudy")}


def test_r19_equal_bytes_are_a_copy() -> None:
    found = said(source(A, letter("a")), source(B, letter("b", date="2025-03-09T10:00:00Z")))

    assert found.same[both("DocumentReference")]["activity"]["coding"][0]["code"] == "copy"
    assert not said(source(A, letter("a")), source(B, letter("b", data="JVBERi0xLjU="))).same


def test_r20_a_planned_procedure_is_fulfilled_and_both_stay() -> None:
    planned = procedure("a", "preparation", performedDateTime="2025-03-01")

    found = said(source(A, planned), source(B, procedure("b")))

    assert found.issues == [("fulfils", (f"{B} Procedure/b", f"{A} Procedure/a"))]
    assert not found.same


def test_one_procedure_on_one_day_may_be_the_same() -> None:
    assert said(source(A, procedure("a")), source(B, procedure("b"))).possible
    later = procedure("b", performedDateTime="2025-03-05")
    assert not said(source(A, procedure("a")), source(B, later)).possible


def test_r21_contrary_directives_are_a_hard_conflict_newest_first() -> None:
    found = said(
        source(A, directive("a", "permit", "2020-01-01")),
        source(B, directive("b", "deny", "2025-01-01")),
    )

    assert found.issues == [("conflict", (f"{B} Consent/b", f"{A} Consent/a"))]
    assert not found.same and not found.possible
    tied = said(
        source(A, directive("a", "permit", "2020-01-01", identifier=[X])),
        source(B, directive("b", "deny", "2025-01-01", identifier=[X])),
    )
    assert not tied.same and tied.conflicts() == {both("Consent")}


def test_r22_a_source_whose_patient_deviates_is_set_apart_loudly() -> None:
    one = source(A, problem("a", identifier=[X]))
    two = source(B, problem("b", identifier=[X]))
    odd = source(C, problem("c", identifier=[X]), person=patient("1971-05-06"))

    found = said(one, two, odd)

    assert set(found.same) == {both("Condition")}
    assert ("source-isolated" in found.codes()) and any(C in text for _, text in found.told)
    assert f"{C} Condition/c" in found.statements
    assert found.conflicts("wrong-person-risk")
    assert not said(one, odd).same, "nobody is in the majority"


def test_r22_a_coarser_birth_date_and_an_unknown_sex_deviate_from_nothing() -> None:
    one = source(A, problem("a", identifier=[X]), person=patient(gender="female"))
    two = source(B, problem("b", identifier=[X]), person=patient("1970", gender="unknown"))

    assert said(one, two).same
    man = source(B, problem("b", identifier=[X]), person=patient(gender="male"))
    assert not said(one, man).same


def test_r23_one_instant_on_two_clocks_is_one_moment() -> None:
    other = result("b", "4.1", effectiveDateTime="2025-03-04T11:00:00+02:00")

    assert said(source(A, result("a", "4.1")), source(B, other)).possible == {both("Observation")}


def test_r25_identity_goes_on_by_identifiers() -> None:
    y = identifier("Y88")
    found = said(
        source(A, problem("a", identifier=[X])),
        source(B, problem("b", identifier=[X, y])),
        source(C, problem("c", identifier=[y])),
    )

    assert set(found.same) == {both("Condition") | {f"{C} Condition/c"}}


def test_r26_what_is_possible_does_not_go_on() -> None:
    found = said(
        source(A, problem("a", onsetDateTime="2025-01-01")),
        source(B, problem("b", onsetDateTime="2025-03-20")),
        source(C, problem("c", onsetDateTime="2025-06-10")),
    )

    assert found.possible == {
        both("Condition"),
        frozenset({f"{B} Condition/b", f"{C} Condition/c"}),
    }


def test_r28_equal_words_are_nothing() -> None:
    words: Resource = {"code": {"text": "longontsteking"}}

    found = said(source(A, problem("a", **words)), source(B, problem("b", **words)))

    assert not found.possible and not found.same


def test_r31_a_product_is_the_same_contained_or_referred_to() -> None:
    code = concept("67903", "urn:oid:2.16.840.1.113883.2.4.4.10")
    held = agreement("a", contained=[{"resourceType": "Medication", "id": "m", "code": code}])
    held["medicationReference"] = {"reference": "#m"}
    del held["medicationCodeableConcept"]
    told = {**agreement("b"), "medicationReference": {"reference": "Medication/m"}}
    del told["medicationCodeableConcept"]

    found = said(
        source(A, held), source(B, told, {"resourceType": "Medication", "id": "m", "code": code})
    )

    assert found.possible == {both("MedicationRequest")}


def test_r32_contacts_at_two_organizations_are_distinct() -> None:
    start = "2025-03-04T10:00:00+01:00"

    assert not said(source(A, contact("a", start)), source(B, contact("b", start))).possible
    there = {"serviceProvider": organization(A)}
    near = contact("b", "2025-03-04T10:09:00+01:00", **there)
    assert said(source(A, contact("a", start)), source(B, near)).possible == {both("Encounter")}
    far = contact("b", "2025-03-04T10:29:00+01:00", **there)
    assert not said(source(A, contact("a", start)), source(B, far)).possible


def test_social_circumstances_are_grouped_and_all_kept() -> None:
    same = said(source(A, smoking("a", "77176002")), source(B, smoking("b", "77176002")))
    assert same.possible == {both("Observation")}
    changed = said(source(A, smoking("a", "77176002")), source(B, smoking("b", "8517006")))
    assert [code for code, _ in changed.issues] == ["related"]


def test_c8_an_answer_about_another_patient_is_left_out_whole() -> None:
    other = patient()
    other["identifier"] = [{**other["identifier"][0], "value": "999911132"}]
    wrong = source(B, problem("b", identifier=[X]), person=other)

    found = said(source(A, problem("a", identifier=[X])), wrong)

    assert not any(own.startswith(B) for own in found.statements)
    told = next(text for code, text in found.told if code == "source-quarantined")
    assert B in told and BSN not in told and "999911132" not in told


def test_c9_one_unusable_resource_is_told_with_its_place_and_the_rest_is_used() -> None:
    broken = {"resourceType": "Condition", "id": "x", "code": "J18", "subject": {}}

    found = said(source(A, problem("a"), broken))

    told = next(text for code, text in found.told if code == "resource-invalid")
    assert "Condition x" in told and A in told and "Condition.code" in told
    assert f"{A} Condition/a" in found.statements and f"{A} Condition/x" not in found.statements


def test_a_patient_without_a_number_beside_the_one_asked_for_is_somebody_else() -> None:
    stranger = {"resourceType": "Patient", "id": "q"}
    about: Resource = {"subject": {"reference": "Patient/q"}, "identifier": [X]}

    found = said(
        source(A, problem("a", identifier=[X])), source(B, stranger, problem("b", **about))
    )

    assert not found.same and not found.possible and "subject-unknown" in found.codes()


def test_an_entry_without_a_resource_spoils_no_other() -> None:
    given = source(A, problem("a"))
    given.bundle["entry"].append({"fullUrl": "urn:uuid:1"})  # type: ignore[index]

    found = said(given)

    assert f"{A} Condition/a" in found.statements and "resource-invalid" in found.codes()


def test_a_warning_of_a_source_is_told_without_its_words() -> None:
    warning = {"severity": "warning", "code": "incomplete", "diagnostics": "mevrouw Jansen"}
    given = source(A, {"resourceType": "OperationOutcome", "issue": [warning]})

    found = said(given)

    assert "source-warned" in found.codes() and "Jansen" not in str(found.told)


def test_three_kinds_of_nothing_are_told_apart() -> None:
    empty = Source(A, {"resourceType": "Bundle", "type": "collection"})
    failed = Source(A, answered=Answered.FAILED)

    assert said().codes() == {"no-locations"}
    assert said(empty).told == {
        ("coverage", "asked 1: answered 0, empty 1, quarantined 0, failed 0, refused 0, late 0")
    }
    assert any("nothing is known" in text for _, text in said(failed).told)


PLACEHOLDERS = [
    identifier("unknown"),
    identifier("0000000"),
    identifier("ORD1", "PLAC"),
    {"value": "X77"},
    {"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": BSN},
]


@pytest.mark.parametrize("number", PLACEHOLDERS, ids=["word", "zeros", "order", "bare", "bsn"])
def test_what_identifies_no_statement_ties_none(number: dict[str, object]) -> None:
    found = said(
        source(A, problem("a", identifier=[number])),
        source(B, problem("b", "22298006", identifier=[number])),
    )

    assert not found.same


def test_an_identifier_that_a_source_gives_to_several_statements_ties_none() -> None:
    found = said(
        source(A, problem("a", identifier=[X]), problem("a2", "22298006", identifier=[X])),
        source(B, problem("b", identifier=[X])),
    )

    assert not found.same


def test_a_panel_number_on_every_analyte_ties_none() -> None:
    sodium = result("b", "140", identifier=[X], code=concept("2951-2", LOINC))

    assert not said(source(A, result("a", "4.1", identifier=[X])), source(B, sodium)).same


def test_an_agreement_and_its_dispense_are_never_one() -> None:
    given = {**agreement("b", identifier=[X]), "resourceType": "MedicationDispense"}
    given |= {"category": concept("422037009"), "status": "completed"}
    del given["intent"], given["authoredOn"]

    assert not said(source(A, agreement("a", identifier=[X])), source(B, given)).same
