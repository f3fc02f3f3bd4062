"""The query tables of the BgZ (Nictiz MSZ 1.2.2, MSZ 2.0, MedMij 3.0; Twiin 2017)."""

from pathlib import Path

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.exchanges import EXCHANGES
from openldn.exchanges.bgz import ACT, BGZ, LOINC, SCT
from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import FhirVersion
from openldn.functions.authorization.model import AllowedQuery, Asked
from openldn.functions.authorization.policy import matches
from openldn.patterns.exchange import Pattern

JANSEN = Bsn.parse("999900006")
NAMED = "http://fhir.nl/fhir/NamingSystem/bsn|999900006"

# Written out once more, straight from the published tables.
TWIIN = """
Patient?_include=Patient:general-practitioner
Coverage?_include=Coverage:payor:Organization&_include=Coverage:payor:Patient
Consent?category=http://snomed.info/sct|11291000146105
Consent?category=http://snomed.info/sct|11341000146107
Observation/$lastn?category=http://snomed.info/sct|118228005,http://snomed.info/sct|384821006
Condition
Observation/$lastn?code=http://snomed.info/sct|365508006
Observation?code=http://snomed.info/sct|228366006
Observation?code=http://snomed.info/sct|228273003
Observation?code=http://snomed.info/sct|365980008
NutritionOrder
Flag
AllergyIntolerance
MedicationStatement?category=urn:oid:2.16.840.1.113883.2.4.3.11.60.20.77.5.3|6\
&_include=MedicationStatement:medication
MedicationRequest?category=http://snomed.info/sct|16076005&_include=MedicationRequest:medication
MedicationDispense?category=http://snomed.info/sct|422037009&_include=MedicationDispense:medication
DeviceUseStatement?_include=DeviceUseStatement:device
Immunization?status=completed
Observation/$lastn?code=http://loinc.org|85354-9
Observation/$lastn?code=http://loinc.org|29463-7
Observation/$lastn?code=http://loinc.org|8302-2,http://loinc.org|8306-3,http://loinc.org|8308-9
Observation/$lastn?category=http://snomed.info/sct|275711006\
&_include=Observation:related-target&_include=Observation:specimen
Procedure?category=http://snomed.info/sct|387713003
Encounter?class=http://hl7.org/fhir/v3/ActCode|IMP,http://hl7.org/fhir/v3/ActCode|ACUTE,\
http://hl7.org/fhir/v3/ActCode|NONAC
ProcedureRequest?status=active
ImmunizationRecommendation
DeviceRequest?status=active&_include=DeviceRequest:device
Appointment?status=booked,pending,proposed
DocumentReference?status=current
""".strip().splitlines()


def test_the_default_question_is_the_list_of_29_queries_of_2017() -> None:
    assert [q.template for q in BGZ.release().plan] == TWIIN


@pytest.mark.parametrize(
    ("release", "rows", "asked"),
    [
        ("bgz-twiin-2017", 29, 29),
        ("bgz-msz-1.2.2", 29, 25),
        ("bgz-medmij-3.0", 28, 28),
        ("bgz-msz-2.0", 63, 26),
    ],
)
def test_every_release_has_its_published_number_of_queries(
    release: str, rows: int, asked: int
) -> None:
    found = BGZ.release(release)

    assert (len(found.queries), len(found.plan)) == (rows, asked)
    assert len({(q.path, q.pairs) for q in found.queries}) == rows
    assert len({q.id for q in found.queries}) == rows
    assert [q.id for q in found.plan] == sorted(q.id for q in found.plan)


def test_msz_1_2_2_asks_no_medication() -> None:
    types = {q.type for q in BGZ.release("bgz-msz-1.2.2").queries}

    assert not {t for t in types if t.startswith("Medication")}


def test_msz_2_0_asks_provenance_with_every_search_but_not_with_lastn() -> None:
    release = BGZ.release("bgz-msz-2.0")

    traced = [q for q in release.plan if ("_revinclude", "Provenance:target") in q.pairs]
    assert traced == list(release.plan)
    assert not [q for q in release.plan if q.operation]
    assert {q.template for q in release.queries if q.operation} == {
        "Observation/$lastn?code=http://loinc.org|85354-9",
        "Observation/$lastn?code=http://loinc.org|29463-7",
        "Observation/$lastn?code=http://loinc.org|8302-2,http://loinc.org|8306-3,"
        "http://loinc.org|8308-9",
    }


def test_msz_2_0_asks_the_care_team_and_leaves_the_three_plans_out() -> None:
    types = {q.type for q in BGZ.release("bgz-msz-2.0").plan}

    assert "CareTeam" in types
    assert not types & {"ImmunizationRecommendation", "DeviceRequest", "Appointment"}


@pytest.mark.parametrize(
    ("id_", "parameter"),
    [("B01", "identifier"), ("B02", "beneficiary.identifier"), ("B06", "patient.identifier")],
)
def test_the_patient_is_named_first_by_the_parameter_of_the_type(id_: str, parameter: str) -> None:
    query = {q.id: q for q in BGZ.release().plan}[id_]

    assert query.about(JANSEN)[0] == (parameter, NAMED)
    assert query.about(JANSEN)[1:] == query.pairs


def test_whatever_is_asked_is_allowed() -> None:
    allowed = [AllowedQuery.parse(q.template) for q in BGZ.queries(FhirVersion.STU3)]

    for release in BGZ.releases:
        for query in release.plan:
            asked = Asked(query.type, query.about(JANSEN), query.operation)
            assert any(matches(asked, row) for row in allowed), query.id


def test_every_row_has_a_name_in_dutch_and_english() -> None:
    rows = [q for r in BGZ.releases for q in r.queries]

    assert all(q.title.nl and q.title.en and q.zib for q in rows)


def test_an_unknown_release_is_named_with_those_that_are_known() -> None:
    with pytest.raises(LdnError, match=r"bgz-msz-1\.2\.2") as caught:
        BGZ.release("bgz-9")

    assert caught.value.issue is Issue.NOT_FOUND


def test_the_exchange_tells_the_scope_of_each_of_its_patterns() -> None:
    assert EXCHANGES["bgz"].scope(Pattern.PULL) == "bgz"
    with pytest.raises(LdnError):
        BGZ.scope(Pattern.PUSH)
    assert not BGZ.queries(FhirVersion.R4)


def test_the_page_of_the_exchange_lists_every_row() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "exchanges" / "bgz.md"
    listed = page.read_text(encoding="utf-8").replace("\\|", "|")

    for system, short in ((SCT, "sct"), (LOINC, "loinc"), (ACT, "ActCode")):
        listed = listed.replace(f"{short}|", f"{system}|")
    for release in BGZ.releases:
        section = listed.partition(f"## {release.id}\n")[2].partition("\n## ")[0]
        for query in release.queries:
            told = "asked" if query.asked else "allowed"
            assert f"| {query.id} | {query.zib} | `{query.template}` | {told} |" in section
