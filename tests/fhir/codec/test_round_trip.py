"""Nothing is lost between JSON and XML, in either FHIR version."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fhir.codec.generated_fhir import resources
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openldn.base.errors import LdnError
from openldn.fhir.codec import LIMITS, Format, decode, dump, encode
from openldn.fhir.codec.narrative import normal
from openldn.fhir.codec.tables import tables
from openldn.fhir.codec.xml_plain import read_plain
from openldn.fhir.codec.xml_read import read_carefully
from openldn.fhir.model import FhirVersion, Resource

SPACE = 'xmlns="http://hl7.org/fhir"'
FILLED = {  # the placeholders of the example data
    r"\$\{DATETIME[^}]*\}": "2026-01-15T10:00:00+01:00",
    r"\$\{(?:DATE|CURRENTDATE)[^}]*\}": "2026-01-15",
    r"\$\{[^}]*\}": "11111111-1111-4111-8111-111111111111",
}
REFUSED = {  # example files that are not valid FHIR, and the place where
    "zib-ProcedureRequest-msz-c333410e-6b2a-11ec-0000-2": "ProcedureRequest.performer",
    "WoundCharacteristics-eov-test-1_1-03": "Observation.component[6].valueAttachment.data",
    "medmij-questionnaires-vl-QuestionnaireProvisioningTask-XXX_Vink-PHQ9-minimum": "Task.status",
    "algemene_bepalingen_bundle_POOB_IN990003NL_01": "Bundle.entry[0].resource.valueBoolean",
}


def through(resource: Resource, form: Format, version: FhirVersion) -> Resource:
    return decode(encode(resource, form, version), form, version)


def spelled_alike(value: Any) -> Any:
    """The same with every narrative in our spelling."""
    if isinstance(value, dict):
        return {k: normal(v) if k == "div" else spelled_alike(v) for k, v in value.items()}
    return [spelled_alike(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("version", FhirVersion)
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_resource_survives_both_formats(version: FhirVersion, data: st.DataObject) -> None:
    resource = data.draw(resources(version))

    assert through(resource, Format.JSON, version) == resource
    assert through(resource, Format.XML, version) == resource


@pytest.mark.parametrize("version", FhirVersion)
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_quick_and_the_careful_reading_agree(version: FhirVersion, data: st.DataObject) -> None:
    xml = encode(data.draw(resources(version)), Format.XML, version)

    quick = read_plain(xml, tables(version), LIMITS)

    assert quick in (None, read_carefully(xml, tables(version), LIMITS))


def test_plain_xml_takes_the_quick_way(shared_data: Path) -> None:
    quick = 0
    paths = sorted((shared_data / "nictiz" / "bgz-msz-1.2.2-stu3").rglob("*.xml"))
    for path in paths:
        body = filled(path.read_text("utf-8")).replace(b"\r\n", b"\n")
        plain = read_plain(body, tables(FhirVersion.STU3), LIMITS)
        careful = read_carefully(body, tables(FhirVersion.STU3), LIMITS)
        assert plain is None or spelled_alike(plain) == spelled_alike(careful)
        quick += plain is not None
    assert quick > 0.9 * len(paths)


def test_nothing_personal_is_remembered_between_bodies() -> None:
    name = '<name><family value="Vlinder"/></name><birthDate value="1970-02-03"/>'
    xml = f'<Patient {SPACE}><id value="p"/><active value="true"/>{name}</Patient>'
    known = tables(FhirVersion.R4)

    assert read_plain(xml.encode(), known, LIMITS) is not None

    kept = {text for table in known.made.values() for text in table.pieces}
    assert not [t for t in kept if "Vlinder" in t or "1970-02-03" in t]
    assert 'active value="true"/>' in kept


@pytest.mark.parametrize("form", Format)
def test_every_example_survives_both_formats(form: Format, shared_data: Path) -> None:
    read = 0
    for path in sorted((shared_data / "nictiz").rglob(f"*.{form}")):
        text = path.read_text(encoding="utf-8")
        if not is_fhir(text, form) or path.stem in REFUSED or "ui-mapping" in str(path):
            continue
        version = version_of(path)
        resource = decode(filled(text), form, version)
        again = through(resource, Format.XML, version)
        assert through(resource, Format.JSON, version) == resource, path.name
        assert spelled_alike(again) == spelled_alike(resource), path.name
        assert through(again, Format.XML, version) == again, path.name
        read += 1
    assert read > 100


def test_examples_that_are_not_fhir_are_refused_with_their_place(shared_data: Path) -> None:
    for name, where in REFUSED.items():
        texts = [p.read_text("utf-8") for p in (shared_data / "nictiz").rglob(f"{name}.xml")]
        [text] = [t for t in texts if is_fhir(t, Format.XML)]
        with pytest.raises(LdnError) as caught:
            decode(filled(text), Format.XML, FhirVersion.STU3)
        assert caught.value.where == where


def is_fhir(text: str, form: Format) -> bool:
    return '"resourceType"' in text if form is Format.JSON else 'org/fhir"' in text[:3000]


def version_of(path: Path) -> FhirVersion:
    whole = str(path).lower()
    return FhirVersion.R4 if "r4" in whole and "stu3" not in whole else FhirVersion.STU3


def filled(text: str) -> bytes:
    for pattern, value in FILLED.items():
        text = re.sub(pattern, value, text)
    # Some examples name a schema for editors, which the standard lets a receiver refuse.
    return re.sub(r"<\?xml-model[^?]*\?>", "", text).encode()


def test_decimals_keep_their_digits() -> None:
    body = (
        b'{"resourceType":"Observation","status":"final","code":{"text":"a"},'
        b'"valueQuantity":{"value":%s}}'
    )
    for digits in (
        b"1.10",
        b"0.0",
        b"-0.00",
        b"100",
        b"1.0000000000000000000000001",
        b"12345678901234567890",
    ):
        resource = decode(body % digits, Format.JSON, FhirVersion.R4)

        assert body % digits == encode(resource, Format.JSON, FhirVersion.R4)
        xml = encode(resource, Format.XML, FhirVersion.R4)
        assert b'<value value="%s"/>' % digits in xml
        assert body % digits == dump(decode(xml, Format.XML, FhirVersion.R4))


def test_a_small_decimal_is_written_out_in_xml() -> None:
    resource = {
        "resourceType": "Basic",
        "code": {"text": "a"},
        "extension": [{"url": "a", "valueDecimal": Decimal("0.0000000001")}],
    }

    assert b'value="0.0000000001"' in encode(resource, Format.XML, FhirVersion.STU3)


def test_values_and_side_objects_keep_step() -> None:
    xml = f"""<Patient {SPACE}>
      <name><given value="A"/><given><extension url="u"><valueCode value="c"/></extension></given>
        <given id="i" value="B"/></name>
      <birthDate value="1970"><extension url="u"><valueCode value="c"/></extension></birthDate>
      <deceasedBoolean><extension url="u"><valueCode value="c"/></extension></deceasedBoolean>
    </Patient>"""
    extension = [{"url": "u", "valueCode": "c"}]

    resource = decode(xml.encode(), Format.XML, FhirVersion.R4)

    assert resource == {
        "resourceType": "Patient",
        "name": [
            {"given": ["A", None, "B"], "_given": [None, {"extension": extension}, {"id": "i"}]}
        ],
        "birthDate": "1970",
        "_birthDate": {"extension": extension},
        "_deceasedBoolean": {"extension": extension},
    }
    assert through(resource, Format.XML, FhirVersion.R4) == resource
    assert through(resource, Format.JSON, FhirVersion.R4) == resource


def test_xml_is_written_in_the_order_of_the_definition() -> None:
    resource = {"birthDate": "1970", "active": True, "id": "a", "resourceType": "Patient"}

    xml = encode(resource, Format.XML, FhirVersion.R4)

    assert xml == (
        b'<?xml version="1.0" encoding="UTF-8"?><Patient xmlns="http://hl7.org/fhir">'
        b'<id value="a"/><active value="true"/><birthDate value="1970"/></Patient>'
    )


def test_xml_in_another_order_is_understood() -> None:
    xml = f'<Patient {SPACE}><gender value="male"/><active value="true"/><id value="a"/></Patient>'

    resource = decode(xml.encode(), Format.XML, FhirVersion.R4)

    assert resource == {"resourceType": "Patient", "gender": "male", "active": True, "id": "a"}


def test_prefixes_comments_and_a_byte_order_mark_change_nothing() -> None:
    xml = """<?xml version="1.0" encoding="utf-8"?>
    <!-- > a comment --><f:Patient xmlns:f="http://hl7.org/fhir"
        xmlns:h="http://www.w3.org/1999/xhtml" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
        xsi:schemaLocation="http://hl7.org/fhir patient.xsd">
      <f:text><f:status value="generated"/><h:div>a<!-- b --><h:b><![CDATA[<c>]]></h:b></h:div>
      </f:text><f:active value="true"/></f:Patient>"""
    div = '<div xmlns="http://www.w3.org/1999/xhtml">a<b>&lt;c&gt;</b></div>'

    resource = decode(b"\xef\xbb\xbf" + xml.strip().encode(), Format.XML, FhirVersion.R4)

    assert resource == {
        "resourceType": "Patient",
        "text": {"status": "generated", "div": div},
        "active": True,
    }


def test_line_ends_of_windows_are_line_ends() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml">a\r\nb</div>'
    xml = f'<Patient {SPACE}>\r\n<text><status value="generated"/>{div}</text>\r\n</Patient>\r\n'

    resource = decode(xml.encode(), Format.XML, FhirVersion.R4)

    assert resource["text"]["div"] == div.replace("\r\n", "\n")


def test_a_narrative_stays_as_it_was_sent() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml"  lang="nl"><p>a &gt; b</p><br /></div>'
    xml = f'<Patient {SPACE}><text><status value="generated"/>{div}</text></Patient>'

    assert decode(xml.encode(), Format.XML, FhirVersion.R4)["text"]["div"] == div


def test_special_characters_survive() -> None:
    text = "a<b>&\"c'\n\td é 😀 &amp;"
    resource = {"resourceType": "Patient", "name": [{"text": text}]}

    assert through(resource, Format.XML, FhirVersion.R4) == resource
    assert through(resource, Format.JSON, FhirVersion.STU3) == resource


def test_what_xml_cannot_hold_is_not_written() -> None:
    for resource in (
        {"resourceType": "Patiens"},
        {"resourceType": "Patient", "colour": "red"},
        {"resourceType": "Patient", "name": ["X"]},
        {"resourceType": "Patient", "birthDate": {}},
        {"resourceType": "Patient", "text": {"div": "<script/>"}},
    ):
        with pytest.raises(LdnError, match="cannot be written as XML"):
            encode(resource, Format.XML, FhirVersion.R4)
