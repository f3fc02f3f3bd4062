"""Malformed FHIR is refused with the place of the mistake, in both formats; values are not told."""

import json
from typing import Any, NamedTuple

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import Format, Limits, decode
from openldn.fhir.model import FhirVersion

SECRET = "999911120"  # a value that must never come back in a message
SPACE = 'xmlns="http://hl7.org/fhir"'
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'


class Wrong(NamedTuple):
    """One kind of mistake: what is sent in each format, where and how it must be told."""

    json: Any  # the keys of a Patient, or the whole body as bytes or text; None: no such mistake
    xml: str | None  # the content of a Patient, or a whole document
    where: str
    issue: Issue = Issue.STRUCTURE


def patient(**keys: Any) -> bytes:
    return json.dumps({"resourceType": "Patient", **keys}).encode()


def bundle(kind: str, **keys: Any) -> str:
    return json.dumps({"resourceType": "Bundle", "type": kind, **keys})


def bundle_xml(kind: str, content: str) -> str:
    return f'<Bundle {SPACE}><type value="{kind}"/>{content}</Bundle>'


PATIENT = {"resourceType": "Patient", "active": True}
PATIENT_XML = f'<Patient {SPACE}><active value="true"/></Patient>'
BARE_PATIENT_XML = '<Patient><active value="true"/></Patient>'
NARRATIVE = {"status": "generated"}

KINDS: dict[str, Wrong] = {
    # elements
    "unknown element": Wrong({"colour": SECRET}, f'<colour value="{SECRET}"/>', "Patient.colour"),
    "unknown element deeper": Wrong(
        {"name": [{"family": "X"}, {"fam": SECRET}]},
        f'<name><family value="X"/></name><name><fam value="{SECRET}"/></name>',
        "Patient.name[1].fam",
    ),
    "element of another type": Wrong(
        {"valueString": SECRET}, f'<valueString value="{SECRET}"/>', "Patient.valueString"
    ),
    "element name in capitals": Wrong({"Active": True}, '<Active value="true"/>', "Patient.Active"),
    "choice without its type": Wrong(
        {"deceased": True}, '<deceased value="true"/>', "Patient.deceased"
    ),
    "choice of a type not allowed": Wrong(
        {"deceasedString": SECRET}, f'<deceasedString value="{SECRET}"/>', "Patient.deceasedString"
    ),
    "two types of a choice": Wrong(
        {"deceasedBoolean": True, "deceasedDateTime": "2020"},
        '<deceasedBoolean value="true"/><deceasedDateTime value="2020"/>',
        "Patient.deceased",
    ),
    "side object of another choice": Wrong(
        {"deceasedBoolean": True, "_deceasedDateTime": {"id": "a"}},
        '<deceasedBoolean value="true"/><deceasedDateTime id="a"/>',
        "Patient.deceased",
    ),
    # cardinality
    "required element missing": Wrong(
        {"communication": [{"preferred": True}]},
        '<communication><preferred value="true"/></communication>',
        "Patient.communication[0].language",
    ),
    "required choice missing": Wrong(
        '{"resourceType":"MedicationStatement","status":"active",'
        '"subject":{"reference":"Patient/a"}}',
        f'<MedicationStatement {SPACE}><status value="active"/>'
        '<subject><reference value="Patient/a"/></subject></MedicationStatement>',
        "MedicationStatement.medication",
    ),
    "single element as an array": Wrong({"gender": ["male"]}, None, "Patient.gender"),
    "array as a single element": Wrong({"name": {"family": "X"}}, None, "Patient.name"),
    "single element twice": Wrong(
        None, '<gender value="male"/><gender value="female"/>', "Patient.gender"
    ),
    "single object twice": Wrong(
        None,
        '<maritalStatus><text value="a"/></maritalStatus>'
        '<maritalStatus><text value="b"/></maritalStatus>',
        "Patient.maritalStatus",
    ),
    "single element again, out of order": Wrong(
        None,
        '<gender value="male"/><active value="true"/><gender value="male"/>',
        "Patient.gender",
    ),
    # JSON types
    "text for an object": Wrong({"maritalStatus": SECRET}, None, "Patient.maritalStatus"),
    "object for a text": Wrong({"gender": {"value": SECRET}}, None, "Patient.gender"),
    "array in an array": Wrong({"name": [[{"family": SECRET}]]}, None, "Patient.name[0]"),
    "number for a text": Wrong({"gender": 999911120}, None, "Patient.gender"),
    "text for a boolean": Wrong({"active": "true"}, None, "Patient.active"),
    "number for a boolean": Wrong({"active": 1}, None, "Patient.active"),
    "text for a number": Wrong({"multipleBirthInteger": "2"}, None, "Patient.multipleBirthInteger"),
    "boolean for a number": Wrong(
        {"multipleBirthInteger": True}, None, "Patient.multipleBirthInteger"
    ),
    "null for a value": Wrong({"gender": None}, None, "Patient.gender"),
    "null in an array": Wrong({"name": [{"given": ["A", None]}]}, None, "Patient.name[0].given[1]"),
    "null in both arrays": Wrong(
        {"name": [{"given": ["A", None], "_given": [{"id": "x"}, None]}]},
        None,
        "Patient.name[0].given[1]",
    ),
    "arrays out of step": Wrong(
        {"name": [{"given": ["A", "B"], "_given": [{"id": "x"}]}]}, None, "Patient.name[0].given"
    ),
    "side object of an object": Wrong({"_name": [{"id": "a"}]}, None, "Patient._name"),
    "side object that is a text": Wrong({"_gender": SECRET}, None, "Patient._gender"),
    # emptiness
    "empty text": Wrong({"gender": ""}, '<gender value=""/>', "Patient.gender", Issue.INVALID),
    "text of white space": Wrong(
        {"name": [{"family": "  "}]},
        '<name><family value="  "/></name>',
        "Patient.name[0].family",
        Issue.INVALID,
    ),
    "empty object": Wrong({"maritalStatus": {}}, "<maritalStatus/>", "Patient.maritalStatus"),
    "empty array": Wrong({"name": []}, None, "Patient.name"),
    "empty primitive": Wrong({"_gender": {}}, "<gender/>", ""),
    # primitives
    "date with a slash": Wrong(
        {"birthDate": "1970/01/01"},
        '<birthDate value="1970/01/01"/>',
        "Patient.birthDate",
        Issue.INVALID,
    ),
    "day that does not exist": Wrong(
        {"birthDate": "2023-02-29"},
        '<birthDate value="2023-02-29"/>',
        "Patient.birthDate",
        Issue.INVALID,
    ),
    "month that does not exist": Wrong(
        {"birthDate": "2023-13-01"},
        '<birthDate value="2023-13-01"/>',
        "Patient.birthDate",
        Issue.INVALID,
    ),
    "date with a time": Wrong(
        {"birthDate": "2023-01-01T10:00:00Z"},
        '<birthDate value="2023-01-01T10:00:00Z"/>',
        "Patient.birthDate",
        Issue.INVALID,
    ),
    "time without a zone": Wrong(
        {"deceasedDateTime": "2023-01-01T10:00:00"},
        '<deceasedDateTime value="2023-01-01T10:00:00"/>',
        "Patient.deceasedDateTime",
        Issue.INVALID,
    ),
    "hour 24": Wrong(
        {"deceasedDateTime": "2023-01-01T24:00:00Z"},
        '<deceasedDateTime value="2023-01-01T24:00:00Z"/>',
        "Patient.deceasedDateTime",
        Issue.INVALID,
    ),
    "instant without a time": Wrong(
        {"meta": {"lastUpdated": "2023-01-01"}},
        '<meta><lastUpdated value="2023-01-01"/></meta>',
        "Patient.meta.lastUpdated",
        Issue.INVALID,
    ),
    "id with a character not allowed": Wrong(
        {"id": "a_b"}, '<id value="a_b"/>', "Patient.id", Issue.INVALID
    ),
    "id that is too long": Wrong(
        {"id": "a" * 65}, f'<id value="{"a" * 65}"/>', "Patient.id", Issue.INVALID
    ),
    "code with doubled white space": Wrong(
        {"gender": "ma  le"}, '<gender value="ma  le"/>', "Patient.gender", Issue.INVALID
    ),
    "code with white space before it": Wrong(
        {"gender": " male"}, '<gender value=" male"/>', "Patient.gender", Issue.INVALID
    ),
    "uri with a space": Wrong(
        {"identifier": [{"system": "http://a b"}]},
        '<identifier><system value="http://a b"/></identifier>',
        "Patient.identifier[0].system",
        Issue.INVALID,
    ),
    "boolean in capitals": Wrong(
        b'{"resourceType":"Patient","active":TRUE}', '<active value="TRUE"/>', "*", Issue.INVALID
    ),
    "integer with a fraction": Wrong(
        b'{"resourceType":"Patient","multipleBirthInteger":2.0}',
        '<multipleBirthInteger value="2.0"/>',
        "Patient.multipleBirthInteger",
        Issue.INVALID,
    ),
    "integer beyond 32 bits": Wrong(
        {"multipleBirthInteger": 2147483648},
        '<multipleBirthInteger value="2147483648"/>',
        "Patient.multipleBirthInteger",
        Issue.INVALID,
    ),
    "positive integer zero": Wrong(
        {"telecom": [{"rank": 0}]},
        '<telecom><rank value="0"/></telecom>',
        "Patient.telecom[0].rank",
        Issue.INVALID,
    ),
    "base64 cut off": Wrong(
        {"photo": [{"data": "QUJ"}]},
        '<photo><data value="QUJ"/></photo>',
        "Patient.photo[0].data",
        Issue.INVALID,
    ),
    "base64 of other characters": Wrong(
        {"photo": [{"data": "QU-_"}]},
        '<photo><data value="QU-_"/></photo>',
        "Patient.photo[0].data",
        Issue.INVALID,
    ),
    "decimal as a text": Wrong(
        {"extension": [{"url": "http://a", "valueDecimal": "1.5"}]},
        None,
        "Patient.extension[0].valueDecimal",
    ),
    "decimal with a comma": Wrong(
        b'{"resourceType":"Patient","extension":[{"url":"http://a","valueDecimal":1,5}]}',
        '<extension url="http://a"><valueDecimal value="1,5"/></extension>',
        "*",
        Issue.INVALID,
    ),
    # extensions
    "extension without its url": Wrong(
        {"extension": [{"valueCode": "a"}]},
        '<extension><valueCode value="a"/></extension>',
        "Patient.extension[0].url",
    ),
    "extension with a value and extensions": Wrong(
        {
            "extension": [
                {"url": "http://a", "valueCode": "a", "extension": [{"url": "b", "valueCode": "c"}]}
            ]
        },
        '<extension url="http://a"><extension url="b"><valueCode value="c"/></extension>'
        '<valueCode value="a"/></extension>',
        "Patient.extension[0]",
    ),
    "extension with neither": Wrong(
        {"extension": [{"url": "http://a"}]}, '<extension url="http://a"/>', "Patient.extension[0]"
    ),
    # resources
    "unknown resource": Wrong(
        b'{"resourceType":"Patiens","active":true}', f"<Patiens {SPACE}/>", "resourceType"
    ),
    "abstract resource": Wrong(
        b'{"resourceType":"DomainResource"}', f"<DomainResource {SPACE}/>", "resourceType"
    ),
    "data type for a resource": Wrong(
        b'{"resourceType":"HumanName","family":"X"}', f"<HumanName {SPACE}/>", "resourceType"
    ),
    "no resource type": Wrong(b'{"active":true}', None, "resourceType"),
    "resource type that is a number": Wrong(b'{"resourceType":7}', None, "resourceType"),
    "resource type within a data type": Wrong(
        {"name": [{"resourceType": "HumanName", "family": "X"}]},
        None,
        "Patient.name[0].resourceType",
    ),
    "array for a resource": Wrong(b"[]", None, ""),
    "text for a resource": Wrong(b'"Patient"', None, ""),
    "null for a resource": Wrong(b"null", None, ""),
    "resource contained in a contained one": Wrong(
        {"contained": [{**PATIENT, "contained": [PATIENT]}]},
        "<contained><Patient><contained>" + BARE_PATIENT_XML + "</contained>"
        '<active value="true"/></Patient></contained>',
        "Patient.contained[0].contained",
    ),
    "unknown resource contained": Wrong(
        {"contained": [{"resourceType": "Patiens"}]},
        "<contained><Patiens/></contained>",
        "*",
    ),
    "two resources in one element": Wrong(
        None,
        "<contained>" + BARE_PATIENT_XML * 2 + "</contained>",
        "*",
    ),
    "nothing contained": Wrong({"contained": [{}]}, "<contained/>", "*"),
    # Bundles
    "Bundle without a type": Wrong(
        '{"resourceType":"Bundle","entry":[]}', f'<Bundle {SPACE}><id value="a"/></Bundle>', "*"
    ),
    "empty entry": Wrong(
        bundle("collection", entry=[{"fullUrl": "urn:a"}]),
        bundle_xml("collection", '<entry><fullUrl value="urn:a"/></entry>'),
        "Bundle.entry[0]",
    ),
    "transaction entry without a request": Wrong(
        bundle("transaction", entry=[{"resource": PATIENT}]),
        bundle_xml("transaction", f"<entry><resource>{BARE_PATIENT_XML}</resource></entry>"),
        "Bundle.entry[0].request",
    ),
    "request in a collection": Wrong(
        bundle("collection", entry=[{"request": {"method": "GET", "url": "a"}}]),
        bundle_xml(
            "collection",
            '<entry><request><method value="GET"/><url value="a"/></request></entry>',
        ),
        "Bundle.entry[0].request",
    ),
    "search in a collection": Wrong(
        bundle("collection", entry=[{"resource": PATIENT, "search": {"mode": "match"}}]),
        bundle_xml(
            "collection",
            f"<entry><resource>{BARE_PATIENT_XML}</resource>"
            '<search><mode value="match"/></search></entry>',
        ),
        "Bundle.entry[0].search",
    ),
    "total in a collection": Wrong(
        bundle("collection", total=0),
        bundle_xml("collection", '<total value="0"/>'),
        "Bundle.total",
    ),
    "document that does not begin with a Composition": Wrong(
        bundle("document", entry=[{"resource": PATIENT}]),
        bundle_xml("document", f"<entry><resource>{BARE_PATIENT_XML}</resource></entry>"),
        "Bundle.entry[0].resource",
    ),
    "mistake in a resource of a Bundle": Wrong(
        bundle("collection", entry=[{"resource": PATIENT}, {"resource": {**PATIENT, "x": 1}}]),
        bundle_xml(
            "collection",
            f"<entry><resource>{BARE_PATIENT_XML}</resource></entry>"
            '<entry><resource><Patient><x value="1"/></Patient></resource></entry>',
        ),
        "Bundle.entry[1].resource.x",
    ),
    # narrative
    "script in the narrative": Wrong(
        {"text": {**NARRATIVE, "div": f"{DIV}<script>alert(1)</script></div>"}},
        f'<text><status value="generated"/>{DIV}<script>alert(1)</script></div></text>',
        "Patient.text.div",
        Issue.INVALID,
    ),
    "event in the narrative": Wrong(
        {"text": {**NARRATIVE, "div": f'{DIV}<p onclick="a()">a</p></div>'}},
        f'<text><status value="generated"/>{DIV}<p onclick="a()">a</p></div></text>',
        "Patient.text.div",
        Issue.INVALID,
    ),
    "link to a script in the narrative": Wrong(
        {"text": {**NARRATIVE, "div": f'{DIV}<a href="javascript:a()">a</a></div>'}},
        f'<text><status value="generated"/>{DIV}<a href="javascript:a()">a</a></div></text>',
        "Patient.text.div",
        Issue.INVALID,
    ),
    "image from elsewhere in the narrative": Wrong(
        {"text": {**NARRATIVE, "div": f'{DIV}<img src="https://a.example/b.png"/></div>'}},
        f'<text><status value="generated"/>{DIV}<img src="https://a.example/b.png"/></div></text>',
        "Patient.text.div",
        Issue.INVALID,
    ),
    "style from elsewhere in the narrative": Wrong(
        {"text": {**NARRATIVE, "div": f'{DIV}<p style="background:url(//a)">a</p></div>'}},
        f'<text><status value="generated"/>{DIV}<p style="background:url(//a)">a</p></div></text>',
        "Patient.text.div",
        Issue.INVALID,
    ),
    "frame in the narrative": Wrong(
        {"text": {**NARRATIVE, "div": f'{DIV}<iframe src="a">a</iframe></div>'}},
        f'<text><status value="generated"/>{DIV}<iframe src="a">a</iframe></div></text>',
        "Patient.text.div",
        Issue.INVALID,
    ),
    "empty narrative": Wrong(
        {"text": {**NARRATIVE, "div": f"{DIV} </div>"}},
        f'<text><status value="generated"/>{DIV} </div></text>',
        "Patient.text.div",
        Issue.INVALID,
    ),
    "narrative that is no div": Wrong(
        {"text": {**NARRATIVE, "div": '<p xmlns="http://www.w3.org/1999/xhtml">a</p>'}},
        '<text><status value="generated"/><p xmlns="http://www.w3.org/1999/xhtml">a</p></text>',
        "*",
        Issue.INVALID,
    ),
    "narrative without its namespace": Wrong(
        {"text": {**NARRATIVE, "div": "<div>a</div>"}},
        '<text><status value="generated"/><div>a</div></text>',
        "*",
        Issue.INVALID,
    ),
    "narrative that is not well-formed": Wrong(
        {"text": {**NARRATIVE, "div": f"{DIV}<p>a</div>"}}, None, "Patient.text.div", Issue.INVALID
    ),
    # XML of its own
    "text between elements": Wrong(None, f'<active value="true"/>{SECRET}', "Patient"),
    "text in a primitive": Wrong(None, "<gender>male</gender>", "*"),
    "text in an object": Wrong(None, f"<maritalStatus>{SECRET}</maritalStatus>", "*"),
    "unknown attribute": Wrong(None, f'<name use="{SECRET}"/>', "*"),
    "unknown attribute of a primitive": Wrong(
        None, '<gender value="male" code="m"/>', "Patient.gender"
    ),
    "no namespace": Wrong(None, '<Patient><active value="true"/></Patient>', ""),
    "other namespace": Wrong(None, '<Patient xmlns="urn:hl7-org:v3"/>', ""),
    "element of another namespace": Wrong(None, '<x xmlns="urn:x"/>', "Patient"),
    "url as an element": Wrong(
        None,
        '<extension><url value="http://a"/><valueCode value="a"/></extension>',
        "*",
    ),
}


def json_body(wrong: Wrong) -> bytes:
    if isinstance(wrong.json, dict):
        return patient(**wrong.json)
    return wrong.json if isinstance(wrong.json, bytes) else wrong.json.encode()


def xml_body(wrong: Wrong) -> bytes:
    assert wrong.xml is not None
    whole = wrong.xml.startswith(("<Patient", "<Bundle")) or SPACE in wrong.xml
    return (wrong.xml if whole else f"<Patient {SPACE}>{wrong.xml}</Patient>").encode()


def refusal(body: bytes, form: Format, version: FhirVersion = FhirVersion.STU3) -> LdnError:
    with pytest.raises(LdnError) as caught:
        decode(body, form, version)
    return caught.value


@pytest.mark.parametrize("version", FhirVersion)
@pytest.mark.parametrize("kind", [k for k, w in KINDS.items() if w.json is not None])
def test_malformed_json_is_refused_with_its_place(kind: str, version: FhirVersion) -> None:
    wrong = KINDS[kind]

    error = refusal(json_body(wrong), Format.JSON, version)

    assert error.status == 400
    assert error.issue in {wrong.issue, Issue.STRUCTURE}
    assert wrong.where in {"*", "", error.where}
    assert SECRET not in f"{error.message} {error.detail} {error.where}"


@pytest.mark.parametrize("version", FhirVersion)
@pytest.mark.parametrize("kind", [k for k, w in KINDS.items() if w.xml is not None])
def test_malformed_xml_is_refused_with_its_place(kind: str, version: FhirVersion) -> None:
    wrong = KINDS[kind]

    error = refusal(xml_body(wrong), Format.XML, version)

    assert error.status == 400
    assert error.issue in {wrong.issue, Issue.STRUCTURE}
    assert wrong.where in {"*", "", "resourceType", error.where}
    assert SECRET not in f"{error.message} {error.detail} {error.where}"


def test_there_are_more_than_fifty_kinds_for_each_format() -> None:
    assert len([w for w in KINDS.values() if w.json is not None]) > 50
    assert len([w for w in KINDS.values() if w.xml is not None]) > 50


def test_the_first_of_several_problems_is_told_and_the_others_are_counted() -> None:
    error = refusal(patient(active="yes", gender="", birthDate="never"), Format.JSON)

    assert error.where == "Patient.active"
    assert error.message.endswith("; 2 more problems found")


def test_a_name_that_cannot_be_an_element_is_not_repeated() -> None:
    error = refusal(patient(**{f"BSN {SECRET}": 1}), Format.JSON)

    assert error.where == "Patient.(unnamed)"


def test_reading_stops_at_a_hundred_problems() -> None:
    error = refusal(patient(name=[{"x": 1}] * 1000), Format.JSON)

    assert error.message.endswith("; 99 more problems found")


def test_a_limit_can_be_set_lower() -> None:
    with pytest.raises(LdnError) as caught:
        decode(patient(active=True), Format.JSON, FhirVersion.R4, limits=Limits(size=10))

    assert caught.value.status == 413
