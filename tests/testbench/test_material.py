"""Published test material: placeholders, which provider it goes to, what is refused."""

import re
from collections import Counter
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import NewId
from openldn.fhir.model import FhirVersion
from openldn.testbench.material import files, fill, material, material_of, unpacked
from openldn.testbench.placed import Placed

NOW = datetime(2026, 3, 31, 9, 8, 7, tzinfo=UTC)
PATIENT = """<Patient xmlns="http://hl7.org/fhir"><id value="nl-core-patient-01"/>
<birthDate value="${DATE, T, Y, -60}"/></Patient>"""
BUNDLE = """{"resourceType":"Bundle","type":"collection","entry":[
{"resource":{"resourceType":"Condition","id":"c-1","clinicalStatus":"active",
"subject":{"reference":"Patient/nl-core-patient-01"},
"assertedDate":"${DATE, T, D, -21}"}},
{"resource":{"resourceType":"Bundle","id":"inner","type":"collection"}},
{"resource":{"resourceType":"Basic","code":{"text":"without id"}}}]}"""


def numbered() -> NewId:
    numbers = count(1)
    return lambda: f"id-{next(numbers)}"


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${DATE, T, D, -21}", "2026-03-10"),
        ("${DATE,T,d,+1}", "2026-04-01"),
        ("${ DATE, T, M, -1 }", "2026-02-28"),
        ("${DATE, T, m, 1}", "2026-04-30"),
        ("${DATE, T, Y, -2}", "2024-03-31"),
        ("${DATE, T, y, 0}", "2026-03-31"),
        ("${DATETIME, T, D, 1}", "2026-04-01T09:08:07+00:00"),
        ("${CURRENTDATE}", "2026-03-31"),
        ("${UUID} ${UUID}", "id-1 id-2"),
        ("${patient} ${other} ${patient}", "id-1 id-2 id-1"),
        ("costs $5 {a} $ {b}", "costs $5 {a} $ {b}"),
    ],
)
def test_a_placeholder_gets_its_value(text: str, filled: str) -> None:
    assert fill(text, NOW, numbered()) == filled


@settings(deadline=None, max_examples=200)
@given(
    unit=st.sampled_from("DdMmYy"),
    amount=st.integers(-1200, 1200),
    day=st.dates(date(1990, 1, 1), date(2090, 12, 31)),
)
def test_every_offset_within_the_calendar_gives_a_date_that_exists(
    unit: str, amount: int, day: date
) -> None:
    now = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if unit in "Yy":
        amount //= 12
    found = date.fromisoformat(fill(f"${{DATE, T, {unit}, {amount}}}", now, numbered()))
    if unit in "Dd":
        assert (found - day).days == amount
    else:
        months = amount * (12 if unit in "Yy" else 1)
        assert (found.year - day.year) * 12 + found.month - day.month == months
        assert found.day <= day.day


@pytest.mark.parametrize(
    "text",
    [
        "${DATE, T, W, -1}",
        "${DATE, T, D}",
        "${DATE}",
        "${DATETIME, now}",
        "${DATE, T, Y, -9999}",
        "${DATE, T, Y, 9999}",
        "${DATE, T, D, 99999999}",
        "${DATE, T, M, -99999}",
    ],
)
def test_a_date_that_cannot_be_read_or_reached_is_refused(text: str) -> None:
    with pytest.raises(LdnError) as caught:
        fill(text, NOW, numbered())
    assert caught.value.issue is Issue.INVALID


@pytest.mark.parametrize("text", ["${DATE, T, D, 99999}", "${DATE, T, D, -99999}"])
def test_days_near_the_ends_of_the_calendar_never_crash(text: str) -> None:
    late, early = datetime(9990, 1, 1, tzinfo=UTC), datetime(10, 1, 1, tzinfo=UTC)
    for now in (late, early):
        try:
            assert re.fullmatch(r"\d{4}-\d\d-\d\d", fill(text, now, numbered()))
        except LdnError as error:
            assert error.issue is Issue.INVALID


@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("x/BgZ-MSZ-2-0/patient.xml", "hospital"),
        ("x/bgz-msz-2.0-stu3/patient.xml", "hospital"),
        ("bgz-msz-1.2.2-stu3/a/b.xml", "clinic"),
        ("bgz-medmij-3.0/a.json", "gp"),
        ("BgZ-3-0/a.json", "gp"),
    ],
)
def test_a_folder_tells_which_provider_gets_its_patients(path: str, member: str) -> None:
    found = material_of(Path(path))
    assert found is not None
    assert (found.member, found.fhir) == (member, FhirVersion.STU3)


def test_other_folders_belong_to_nobody() -> None:
    assert material_of(Path("zib2020-examples-r4/a.xml")) is None


def shelf(folder: Path) -> Path:
    place = folder / "bgz-msz-2.0-stu3"
    place.mkdir()
    (place / "patient.xml").write_text(PATIENT, encoding="utf-8")
    (place / "bundle.json").write_text("\ufeff" + BUNDLE, encoding="utf-8")
    return place


def loaded(folder: Path) -> tuple[list[Placed], list[tuple[str, Issue]]]:
    refused: list[tuple[str, Issue]] = []
    found = material((folder,), NOW, numbered(), lambda f, e: refused.append((f.name, e.issue)))
    return list(found), refused


def test_xml_and_json_bundles_and_single_resources_are_placed(tmp_path: Path) -> None:
    shelf(tmp_path)
    placed, refused = loaded(tmp_path)
    assert refused == []
    assert [(p.member, p.fhir, p.resource["resourceType"]) for p in placed] == [
        ("hospital", FhirVersion.STU3, "Condition"),
        ("hospital", FhirVersion.STU3, "Patient"),
    ]
    assert placed[0].resource["assertedDate"] == "2026-03-10"
    assert placed[1].resource["birthDate"] == "1966-03-31"
    assert placed[1].origin.endswith("patient.xml")


@pytest.mark.parametrize(
    ("name", "content", "issue"),
    [
        ("broken.xml", b"<Patient xmlns='http://hl7.org/fhir'>", Issue.INVALID),
        ("broken.json", b"{", Issue.INVALID),
        ("latin.json", '{"resourceType":"Patient","id":"é"}'.encode("latin-1"), Issue.STRUCTURE),
        ("date.xml", PATIENT.replace("T, Y", "T, W").encode(), Issue.INVALID),
    ],
)
def test_an_unreadable_file_is_named_and_the_others_are_loaded(
    tmp_path: Path, name: str, content: bytes, issue: Issue
) -> None:
    (shelf(tmp_path) / name).write_bytes(content)
    placed, refused = loaded(tmp_path)
    assert (len(placed), refused) == (2, [(name, issue)])


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LdnError) as caught:
        files((tmp_path / "absent",))
    assert "absent: no such file or folder" in caught.value.message


def test_a_folder_without_test_material_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(PATIENT, encoding="utf-8")
    with pytest.raises(LdnError) as caught:
        files((tmp_path,))
    assert "bgz-msz-2-0" in caught.value.message


def test_a_bundle_gives_only_what_can_be_stored_by_id() -> None:
    assert list(unpacked({"resourceType": "Bundle", "type": "collection"})) == []
    assert list(unpacked({"resourceType": "Patient"})) == [{"resourceType": "Patient"}]


def test_all_published_bgz_material_is_loaded(shared_data: Path) -> None:
    placed, refused = loaded(shared_data / "nictiz")
    # this file gives a ProcedureRequest two performers, where FHIR STU3 has room for one
    faulty = "zib-ProcedureRequest-msz-c333410e-6b2a-11ec-0000-2.xml"
    assert [name for name, _ in refused] == [faulty]
    counts = Counter(p.member for p in placed)
    assert set(counts) == {"hospital", "clinic", "gp"}
    assert all("${" not in str(p.resource) for p in placed)
    assert all(p.resource.get("id") for p in placed)
