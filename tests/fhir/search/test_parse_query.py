"""What a request means, and what is refused by name.

Verifies hl7.org/fhir/R4/search.html and the rules SR-3 and SR-4 of the Dutch qualification.
"""

from urllib.parse import parse_qsl

import pytest
from fhir.search.shelf import query

from openldn.base.errors import Issue, LdnError
from openldn.fhir.model import FhirVersion
from openldn.fhir.search.model import Criterion, Kind, Query, Value
from openldn.fhir.search.parse import parse_criterion, parse_query

STU3, R4 = FhirVersion.STU3, FhirVersion.R4


def criterion(text: str, version: FhirVersion = STU3) -> Criterion:
    [found] = query(version, text).criteria
    return found


VALUES = {  # query -> (prefix, system, code, text) of each value
    "Observation?code=a": [("eq", None, "a", "a")],
    "Observation?code=s|a": [("eq", "s", "a", "s|a")],
    "Observation?code=|a": [("eq", "", "a", "|a")],
    "Observation?code=s|": [("eq", "s", "", "s|")],
    "Observation?code=s|a, s|b": [("eq", "s", "a", "s|a"), ("eq", "s", "b", "s|b")],
    "Observation?code=a\\,b": [("eq", None, "a,b", "a\\,b")],
    "Observation?code=a\\|b": [("eq", None, "a|b", "a\\|b")],
    "Observation?code=a\\\\,b": [("eq", None, "a\\", "a\\\\"), ("eq", None, "b", "b")],
    "Observation?date=ge2026-01-01": [("ge", None, "", "2026-01-01")],
    "Observation?date=2026": [("eq", None, "", "2026")],
    "Observation?value-quantity=gt5.40|u|mg": [("gt", "u", "mg", "5.40")],
    "Observation?value-quantity=5||mg": [("eq", None, "mg", "5")],
    "Observation?patient=p1": [("eq", "Patient", "p1", "p1")],
    "Observation?subject=p1": [("eq", "", "p1", "p1")],
    "Observation?subject:Patient=p1": [("eq", "Patient", "p1", "p1")],
    "Observation?subject=Patient/p1/_history/3": [("eq", "Patient", "p1", "Patient/p1/_history/3")],
    "Observation?subject=urn:uuid:0-1": [("eq", "", "urn:uuid:0-1", "urn:uuid:0-1")],
    "Patient?name=eq": [("eq", None, "", "eq")],
    "Patient?active:missing=true": [("eq", None, "", "true")],
}


@pytest.mark.parametrize(("text", "values"), VALUES.items())
def test_a_value_is_read_by_the_kind_of_its_parameter(
    text: str, values: list[tuple[str, str | None, str, str]]
) -> None:
    found = criterion(text).values

    assert [(v.prefix, v.system, v.code, v.text) for v in found] == values


def test_a_composite_names_its_code_and_compares_the_rest() -> None:
    [value] = criterion("Observation?component-code-value-quantity=s|8480-6$gt120").values

    assert value == Value("120", "gt", token="s|8480-6")


CHAINS = {
    "Observation?patient.identifier=s|1": [("patient", "Patient")],
    "Coverage?beneficiary.identifier=s|1": [("beneficiary", "Patient")],
    "MedicationRequest?medication.code=s|1": [("medication", "Medication")],
    "Observation?subject:Patient.identifier=1": [("subject", "Patient")],
    "Observation?context:Encounter.episodeofcare=EpisodeOfCare/1": [("context", "Encounter")],
    "Observation?patient.general-practitioner:Practitioner.name=x": [
        ("patient", "Patient"),
        ("general-practitioner", "Practitioner"),
    ],
    "Patient?_has:Observation:patient:code=1": [("patient", "Patient")],
}


@pytest.mark.parametrize(("text", "hops"), CHAINS.items())
def test_a_chain_follows_references_to_the_type_that_is_meant(
    text: str, hops: list[tuple[str, str]]
) -> None:
    assert [(h.parameter.name, h.target) for h in criterion(text).chain] == hops


def test_a_control_parameter_changes_the_answer_and_not_the_matches() -> None:
    asked = query(
        STU3,
        "Observation?_count=5000&_sort=-date,code&_total=accurate&_format=json"
        "&_include=Observation:subject:Patient&_revinclude:iterate=Provenance:target",
    )

    assert (asked.count, asked.total, asked.criteria) == (1000, True, ())
    assert [(s.parameter.name, s.descending) for s in asked.sort] == [
        ("date", True),
        ("code", False),
    ]
    assert [(i.parameter.name, i.target, i.iterate, i.reverse) for i in asked.includes] == [
        ("subject", "Patient", False, False),
        ("target", "", True, True),
    ]


def test_every_parameter_that_was_understood_is_repeated_in_order() -> None:
    text = "code=s%7Ca&_count=3&_include=Observation:subject&code=b"

    asked = query(STU3, f"Observation?{text}")

    assert asked.understood == tuple(parse_qsl(text))


REFUSED = {
    "Observation?nonsense=1": "nonsense",
    "Observation?code:in=x": ":in",
    "Observation?code:exact=x": ":exact",
    "Observation?date:exact=2026": ":exact",
    "Observation?_id:not=1": ":not",
    "Observation?code=": "code",
    "Observation?code=a,": "code",
    "Observation?code=|": "code",
    "Observation?code=a|b|c": "code",
    "Observation?date=yesterday": "date",
    "Observation?date=2026-13": "date",
    "Observation?date=xx2026": "date",
    "Observation?date=2026-01-01T10": "date",
    "Observation?value-quantity=heavy": "value-quantity",
    "Observation?value-quantity=1e99999": "value-quantity",
    "Observation?value-quantity=5|mg": "value-quantity",
    "Observation?subject=Patient/": "subject",
    "Observation?subject=a b": "subject",
    "Observation?subject:Patient=Group/1": "subject",
    "Observation?subject:Medication=1": "subject",
    "Observation?subject.identifier=1": "subject:Patient.identifier",
    "Observation?subject:Medication.code=1": "subject",
    "Observation?code.x=1": "code",
    "Observation?patient.nonsense=1": "nonsense",
    "Observation?code-value-quantity=5": "code-value-quantity",
    "Observation?code-value-quantity=s|$5": "code-value-quantity",
    "Patient?_has:Observation:patient=1": "_has",
    "Patient?_has:Observation:code:status=1": "_has",
    "Patient?active:missing=maybe": "active",
    "Observation?_count=many": "_count",
    "Observation?_count=-1": "_count",
    "Observation?_total=roughly": "_total",
    "Observation?_summary=text": "_summary",
    "Observation?_elements=code": "_elements",
    "Observation?_sort=nonsense": "_sort",
    "Observation?_sort=subject": "_sort",
    "Observation?_sort=date,code,status,_id": "_sort",
    "Observation?_sort:desc=date": "_sort",
    "Observation?_include=Observation:code": "_include",
    "Observation?_include=Observation:nonsense": "_include",
    "Observation?_include=Nonsense:subject": "_include",
    "Observation?_include=Observation:subject:Nonsense": "_include",
    "Observation?_include:all=Observation:subject": "_include",
    "Observation?_revinclude=*": "_revinclude",
    "Observation?_contained=true": "_contained",
    "Observation?_filter=x": "_filter",
    "Observation?_text=x": "_text",
    "Location?near=1|2": "near",
}


@pytest.mark.parametrize(("text", "named"), REFUSED.items())
def test_what_is_not_understood_is_refused_by_its_name(text: str, named: str) -> None:
    version = R4 if text.startswith("Location") else STU3

    with pytest.raises(LdnError) as caught:
        query(version, text)

    assert (caught.value.issue, caught.value.status) == (Issue.INVALID, 400)
    assert named in caught.value.message


def test_a_refusal_never_repeats_the_value() -> None:
    for text in ("Patient?identifier=|999900006|x", "Patient?birthdate=999900006x"):
        with pytest.raises(LdnError) as caught:
            query(STU3, text)
        assert "999900006" not in f"{caught.value.message}{caught.value.detail}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("code", "a\0b"),
        ("code", "\ud800"),
        ("code", "x" * 9_000),
        ("code", ",".join("x" * 501)),
        ("co\0de", "x"),
        ("patient" + ".general-practitioner:Patient" * 8 + ".name", "x"),
        ("_has:Observation:patient:" * 9 + "code", "x"),
        (":" * 50, "x"),
        ("." * 50, "x"),
        ("_include", ":" * 50),
        ("date", "²026"),
        ("_count", "²"),
    ],
)
def test_hostile_input_is_refused_and_nothing_more(name: str, value: str) -> None:
    with pytest.raises(LdnError) as caught:
        parse_query(STU3, "Observation", [(name, value)])

    assert caught.value.issue is Issue.INVALID


def test_too_many_parameters_are_refused() -> None:
    with pytest.raises(LdnError):
        parse_query(STU3, "Observation", [("code", "x")] * 101)


def test_too_much_at_once_is_refused() -> None:
    dates = [("date", ",".join(["2026"] * 20))] * 6
    chains = [("patient.general-practitioner:Practitioner.name", "x")] * 12

    for pairs in (dates, chains):
        with pytest.raises(LdnError) as caught:
            parse_query(STU3, "Observation", pairs)
        assert caught.value.issue is Issue.INVALID


def test_a_lenient_caller_hears_what_was_left_out() -> None:
    pairs = [("nonsense", "1"), ("code:in", "x"), ("code", "a")]

    asked = parse_query(STU3, "Observation", pairs, lenient=True)

    assert asked.ignored == ("nonsense", "code:in")
    assert asked.understood == (("code", "a"),)
    assert len(asked.criteria) == 1


def test_leniency_does_not_cover_a_malformed_value() -> None:
    with pytest.raises(LdnError):
        parse_query(STU3, "Observation", [("date", "yesterday")], lenient=True)


def test_one_filter_can_be_read_by_itself() -> None:
    found = parse_criterion(STU3, "Observation", "patient.identifier", "s|1")

    assert (found.parameter.kind, found.values[0].code) == (Kind.TOKEN, "1")


FIELD = {  # queries of the other exchanges: all must be understood
    STU3: """
        EpisodeOfCare?type=s|364320009&status=active&_include=EpisodeOfCare:organization
        EpisodeOfCare?_include=EpisodeOfCare:care-manager
        Composition?type=http://loinc.org|67781-5
        AllergyIntolerance?category=medication
        MedicationRequest?periodofuse=ge2026-01-01&category=s|1&_include=MedicationRequest:medication
        MedicationRequest?medicationtreatment=urn:oid:1.2|x&medication.code=s|1&identifier=s|2
        MedicationDispense?category=1,2&_include=MedicationDispense:medication
        MedicationDispense?requestdate=ge2026&requestdate=le2026&_include=MedicationDispense:patient
        Observation?code=https://referentiemodel.nhg.org/tabellen/nhg-tabel-45|&date=ge2026-01-01
        DocumentManifest?status=current&created=ge2026-01-01&created=le2026-02-01
        DocumentReference?status=current&indexed=ge2026-01-01&indexed=le2026-02-01
        CarePlan?_include=CarePlan:activity-goal:Goal&_include=CarePlan:activity-outcomereference:Observation
        CarePlan?_include=CarePlan:activity-medicaldevice:DeviceUseStatement&category=s|243114000
        CarePlan?_include:recurse=DeviceUseStatement:device:Device
        Observation?context:Encounter.episodeofcare=EpisodeOfCare/x
        Condition?context=EpisodeOfCare/x
        Encounter?episodeofcare=x&_include=Encounter:practitioner
        Procedure?context=x&_include=Procedure:performer&_include=Procedure:based-on
        Task?code=http://loinc.org|74468-0&status=requested
        Appointment?date=ge2026-01-01&date=le2026-02-01
        Procedure?category=s|387713003, s|258174001&_include=Procedure:based-on
    """,
    R4: """
        MedicationRequest?category=s|33633005&_include=MedicationRequest:medication&period-of-use=ge2026
        MedicationRequest?_include=MedicationRequest:reason&_include=MedicationRequest:next-practitioner
        MedicationRequest?_include=MedicationRequest:requester&_include=MedicationRequest:subject
        MedicationRequest?_include=MedicationRequest:dispense-location&is-latest-stop=false
        MedicationRequest?pharmaceutical-treatment-identifier=urn:oid:1.2|x&medication.code=s|1
        MedicationRequest?_include:iterate=PractitionerRole:organization
        MedicationRequest?_include:iterate=PractitionerRole:practitioner
        MedicationRequest?_include:iterate=PractitionerRole:location
        MedicationDispense?category=s|373784005&whenhandedover=ge2026&whenhandedover=le2027
        MedicationDispense?_include=MedicationDispense:performer&_include=MedicationDispense:destination
        MedicationDispense?period-of-use=lt2026&_include=MedicationDispense:medication
        MedicationStatement?category=s|1&period-of-use=le2026&_include=MedicationStatement:author
        MedicationStatement?_include=MedicationStatement:prescriber&_include=MedicationStatement:source
        MedicationStatement?subject:Patient.identifier=s|1
        MedicationAdministration?category=s|18629005&effective-time=ge2026
        MedicationAdministration?_include=MedicationAdministration:performer&patient.identifier=s|1
        Immunization?_include=Immunization:patient&_include=Immunization:location
        Immunization?_include=Immunization:performer
        DocumentReference?patient.identifier=s|1&type=http://loinc.org|60591-5&status=current
        Flag?patient=x&category=s|1&date=ge2026
        Provenance?target=Flag/1
        Endpoint?identifier=s|1&organization=x
        Organization?identifier=http://fhir.nl/fhir/NamingSystem/ura|00000001&_include=Organization:endpoint
        HealthcareService?organization.identifier=s|1
    """,
}
LINES = [(v, line.strip()) for v, text in FIELD.items() for line in text.strip().splitlines()]


@pytest.mark.parametrize(("version", "text"), LINES)
def test_the_queries_of_the_dutch_exchanges_are_understood(version: FhirVersion, text: str) -> None:
    asked = query(version, text)

    assert isinstance(asked, Query)
    assert len(asked.understood) == text.count("&") + 1
