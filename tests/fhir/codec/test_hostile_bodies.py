"""Bodies made to harm: refused quickly, with a 4xx, before they cost much."""

import time

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import LIMITS, Format, Limits, decode, parse
from openldn.fhir.model import FhirVersion

SPACE = 'xmlns="http://hl7.org/fhir"'
DECIMAL = '{"resourceType":"Patient","extension":[{"url":"http://a","valueDecimal":%s}]}'


def nested_json(levels: int) -> bytes:
    start, end = '{"url":"a","extension":[', "]}"
    inside = '{"url":"a","valueCode":"a"}'
    nest = start * levels + inside + end * levels
    return f'{{"resourceType":"Patient","extension":[{nest}]}}'.encode()


def nested_xml(levels: int) -> bytes:
    inside = '<extension url="a"><valueCode value="a"/></extension>'
    nest = '<extension url="a">' * levels + inside + "</extension>" * levels
    return f"<Patient {SPACE}>{nest}</Patient>".encode()


def laughs() -> bytes:
    entities = '<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)
    )
    return f'<!DOCTYPE p [{entities}]><Patient {SPACE}><id value="&a9;"/></Patient>'.encode()


JSON = {
    "nothing": b"",
    "white space": b" \n ",
    "not JSON": b"<Patient/>",
    "cut off": b'{"resourceType":"Patient","active":tr',
    "more than one value": b'{"resourceType":"Patient"} {"resourceType":"Patient"}',
    "trailing comma": b'{"resourceType":"Patient",}',
    "single quotes": b"{'resourceType':'Patient'}",
    "comment": b'{"resourceType":"Patient" /* a */}',
    "not a number": (DECIMAL % "NaN").encode(),
    "infinity": (DECIMAL % "Infinity").encode(),
    "leading zero": (DECIMAL % "01").encode(),
    "huge exponent": (DECIMAL % "1e999999999").encode(),
    "huge negative exponent": (DECIMAL % "1e-999999999").encode(),
    "monstrous exponent": (DECIMAL % ("1e" + "9" * 30)).encode(),
    "many digits": (DECIMAL % ("9" * 2000)).encode(),
    "very many digits": (DECIMAL % ("9" * 1_000_000)).encode(),
    "many digits after the point": (DECIMAL % ("0." + "1" * 2000)).encode(),
    "key twice": b'{"resourceType":"Patient","active":true,"active":false}',
    "key twice, spaced": b'{"resourceType":"Patient","active" :true,"active" :false}',
    "key twice, escaped": b'{"resourceType":"Patient","active":true,"\\u0061ctive":false}',
    "key twice, deeper": b'{"resourceType":"Patient","name":[{"text":"a","text":"b"}]}',
    "resource type twice": b'{"resourceType":"Patient","active":true,"resourceType":"Group"}',
    "byte order mark": b'\xef\xbb\xbf{"resourceType":"Patient","active":true}',
    "UTF-16": '{"resourceType":"Patient","active":true}'.encode("utf-16"),
    "Latin-1": '{"resourceType":"Patient","name":[{"text":"Zoë"}]}'.encode("latin-1"),
    "invalid UTF-8": b'{"resourceType":"Patient","name":[{"text":"\xc3\x28"}]}',
    "surrogate in UTF-8": b'{"resourceType":"Patient","name":[{"text":"\xed\xa0\x80"}]}',
    "lone surrogate": b'{"resourceType":"Patient","name":[{"text":"a\\ud800"}]}',
    "surrogates the wrong way": b'{"resourceType":"Patient","name":[{"text":"\\udc00\\ud800"}]}',
    "null character": b'{"resourceType":"Patient","name":[{"text":"a\\u0000"}]}',
    "control character": b'{"resourceType":"Patient","name":[{"text":"a\\u0008"}]}',
    "short control character": b'{"resourceType":"Patient","name":[{"text":"a\\b"}]}',
    "no character": b'{"resourceType":"Patient","name":[{"text":"a\\uFFFE"}]}',
    "raw control character": b'{"resourceType":"Patient","name":[{"text":"a\x01"}]}',
    "arrays without end": b"[" * 5_000_000,
    "objects without end": b'{"a":' * 1_000_000,
    "arrays that close": b"[" * 100_000 + b"]" * 100_000,
    "deep extensions": nested_json(100),
    "deep extensions, key twice": nested_json(100).replace(b'"url":"a"', b'"url":"a","url":"a"'),
    "many arrays": b'{"resourceType":"Patient","name":[' + b"[]," * 1_500_000 + b"[]]}",
    "many numbers": b'{"resourceType":"Patient","name":[' + b"1.0," * 3_000_000 + b"1]}",
}
XML = {
    "nothing": b"",
    "not XML": b'{"resourceType":"Patient"}',
    "cut off": f"<Patient {SPACE}><active".encode(),
    "two roots": f"<Patient {SPACE}/><Patient {SPACE}/>".encode(),
    "document type": f"<!DOCTYPE Patient><Patient {SPACE}/>".encode(),
    "outside document type": (
        f'<!DOCTYPE Patient SYSTEM "http://a.example/a.dtd"><Patient {SPACE}/>'.encode()
    ),
    "outside entity": (
        f'<!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/passwd">]><Patient {SPACE}>&a;</Patient>'
    ).encode(),
    "parameter entity": (
        f'<!DOCTYPE p [<!ENTITY % a SYSTEM "http://a.example/a">%a;]><Patient {SPACE}/>'
    ).encode(),
    "billion laughs": laughs(),
    "unknown entity": f'<Patient {SPACE}><id value="&nbsp;"/></Patient>'.encode(),
    "processing instruction": f"<?php a?><Patient {SPACE}/>".encode(),
    "style sheet": f'<?xml-stylesheet href="a.xsl"?><Patient {SPACE}/>'.encode(),
    "inclusion": (
        f'<Patient {SPACE}><xi:include xmlns:xi="http://www.w3.org/2001/XInclude" '
        'href="file:///etc/passwd" parse="text"/></Patient>'
    ).encode(),
    "attribute twice": f'<Patient {SPACE}><id value="a" value="b"/></Patient>'.encode(),
    "prefix without a namespace": f"<Patient {SPACE}><f:id value='a'/></Patient>".encode(),
    "UTF-16": f'<?xml version="1.0" encoding="UTF-16"?><Patient {SPACE}/>'.encode("utf-16"),
    "Latin-1": f'<Patient {SPACE}><id value="ë"/></Patient>'.encode("latin-1"),
    "UTF-7": b'<?xml version="1.0" encoding="UTF-7"?>+ADw-Patient+AD4-',
    "invalid UTF-8": f'<Patient {SPACE}><id value="'.encode() + b'\xc3\x28"/></Patient>',
    "null character": f'<Patient {SPACE}><id value="\0"/></Patient>'.encode(),
    "reference to a control character": f'<Patient {SPACE}><id value="&#1;"/></Patient>'.encode(),
    "reference to no character": (
        f'<Patient {SPACE}><name><text value="&#xFFFE;"/></name></Patient>'.encode()
    ),
    "no character": f'<Patient {SPACE}><name><text value="\ufffe"/></name></Patient>'.encode(),
    "deep extensions": nested_xml(100),
    "elements without end": b"<a>" * 1_000_000,
    "elements that close": b"<a>" * 100_000 + b"</a>" * 100_000,
    "unknown elements": f"<Patient {SPACE}>{'<a/>' * 1_000_000}</Patient>".encode(),
    "very many elements": f"<Patient {SPACE}>{'<a/>' * 5_000_000}</Patient>".encode(),
    "huge exponent": (
        f'<Patient {SPACE}><extension url="a"><valueDecimal value="1e999999999"/></extension>'
        "</Patient>"
    ).encode(),
    "many digits": (
        f'<Patient {SPACE}><extension url="a"><valueDecimal value="{"9" * 1_000_000}"/>'
        "</extension></Patient>"
    ).encode(),
    "deep narrative": (
        f'<Patient {SPACE}><text><status value="generated"/>'
        f'<div xmlns="http://www.w3.org/1999/xhtml">{"<b>" * 200}a{"</b>" * 200}</div></text>'
        "</Patient>"
    ).encode(),
}


def refuses(body: bytes, form: Format, version: FhirVersion) -> LdnError:
    begun = time.perf_counter()
    with pytest.raises(LdnError) as caught:
        decode(body, form, version)
    assert time.perf_counter() - begun < 5
    return caught.value


@pytest.mark.parametrize("version", FhirVersion)
@pytest.mark.parametrize("kind", JSON)
def test_hostile_json_is_refused(kind: str, version: FhirVersion) -> None:
    error = refuses(JSON[kind], Format.JSON, version)

    assert error.status in {400, 413}
    assert len(error.message) < 300


@pytest.mark.parametrize("version", FhirVersion)
@pytest.mark.parametrize("kind", XML)
def test_hostile_xml_is_refused(kind: str, version: FhirVersion) -> None:
    error = refuses(XML[kind], Format.XML, version)

    assert error.status in {400, 413}
    assert len(error.message) < 300


@pytest.mark.parametrize("form", Format)
def test_a_body_beyond_the_limit_is_not_read(form: Format) -> None:
    body = b" " * (LIMITS.size + 1)

    error = refuses(body, form, FhirVersion.R4)

    assert (error.issue, error.status) == (Issue.TOO_LONG, 413)


@pytest.mark.parametrize(
    ("form", "body"), [(Format.JSON, nested_json(30)), (Format.XML, nested_xml(30))]
)
def test_thirty_levels_are_not_too_deep(form: Format, body: bytes) -> None:
    assert decode(body, form, FhirVersion.R4)["extension"]


def test_what_is_deep_in_one_format_is_not_too_deep_for_the_other() -> None:
    deepest = decode(nested_xml(61), Format.XML, FhirVersion.R4)

    assert deepest["resourceType"] == "Patient"


def test_plain_json_keeps_decimals_and_refuses_a_key_twice() -> None:
    assert str(parse(b'{"a":1.10}')["a"]) == "1.10"
    assert parse(b'{"a" : "x :y", "b":"\\":"}') == {"a": "x :y", "b": '":'}
    with pytest.raises(LdnError, match="twice"):
        parse(b'[{"a":{"b":1,"b":1}}]')


def test_nested_regular_expressions_do_not_take_forever() -> None:
    code = "a" * 50_000 + "  "
    body = f'{{"resourceType":"Patient","gender":"{code}"}}'.encode()

    assert refuses(body, Format.JSON, FhirVersion.STU3).where == "Patient.gender"


def test_a_large_attachment_is_read_in_both_formats() -> None:
    data = "QUJD" * 3_000_000  # 12 MB
    xml = f'<Binary {SPACE}><contentType value="a/b"/><data value="{data}"/></Binary>'
    json = f'{{"resourceType":"Binary","contentType":"a/b","data":"{data}"}}'

    assert decode(xml.encode(), Format.XML, FhirVersion.R4)["data"] == data
    assert decode(json.encode(), Format.JSON, FhirVersion.R4)["data"] == data


def test_a_smaller_limit_on_depth_holds() -> None:
    with pytest.raises(LdnError, match="deeper than 5 levels"):
        decode(nested_json(20), Format.JSON, FhirVersion.R4, limits=Limits(depth=5))
