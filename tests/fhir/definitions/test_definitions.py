"""The shipped definitions are the official ones, whole, and of the right version."""

import hashlib
import re
import runpy
from pathlib import Path

import pytest

from openldn.fhir.codec.primitives import PRIMITIVES
from openldn.fhir.codec.tables import Kind, tables
from openldn.fhir.definitions import content, definitions
from openldn.fhir.model import FhirVersion

ROOT = Path(__file__).parents[3]
SAMPLES = [
    "a", "A-1.b", "a b", "a  b", " a", "", "true", "false", "TRUE", "0", "-1", "01", "1.10", "1e3",
    "2147483647", "1970", "1970-02", "1970-02-28", "1970-13-01", "0000", "12:30:00", "24:00:00",
    "12:30:60", "12:30:00.123", "1970-02-28T12:30:00Z", "1970-02-28T12:30:00",
    "1970-02-28T12:30:00.5+14:00", "1970-02-28T12:30Z", "QUJD", "QUI=", "QU", "urn:oid:1.2.3",
    "urn:oid:2.0", "urn:oid:01.2", "urn:uuid:00000000-0000-4000-8000-000000000000", "a" * 64,
    "a" * 65, "http://a.example/b?c=d", "\t", "a\nb",
]  # fmt: skip


@pytest.mark.parametrize("version", FhirVersion)
def test_a_shipped_file_is_what_its_header_says(version: FhirVersion) -> None:
    header, body = content(version)

    assert header.fhir == version.number
    assert header.license == "CC0-1.0"
    assert header.sha256 == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("version", FhirVersion)
def test_a_shipped_file_was_made_from_a_pinned_source(version: FhirVersion) -> None:
    sources = runpy.run_path(str(ROOT / "tools" / "definition_sources.py"))["SOURCES"]
    pinned = {s.file: s.sha256 for s in sources}
    header, _ = content(version)

    assert header.sources
    assert all(pinned[file] == sha256 for file, sha256 in header.sources.items())


@pytest.mark.parametrize(("version", "count"), [(FhirVersion.STU3, 117), (FhirVersion.R4, 146)])
def test_every_resource_of_the_version_is_there(version: FhirVersion, count: int) -> None:
    found = definitions(version).resources

    assert len(found) == count
    assert {"Patient", "Bundle", "Parameters", "Binary", "OperationOutcome"} <= found
    assert not {"Resource", "DomainResource"} & found


def test_an_element_keeps_its_order_cardinality_and_types() -> None:
    patient = definitions(FhirVersion.R4).types["Patient"]
    elements = {e.name: e for e in patient.elements}

    assert list(elements)[:6] == ["id", "meta", "implicitRules", "language", "text", "contained"]
    assert (elements["name"].least, elements["name"].many) == (0, True)
    assert elements["deceased"].choice
    assert elements["deceased"].types == ("boolean", "dateTime")
    assert elements["contact"].types == ("Patient.contact",)


def test_a_group_can_hold_itself() -> None:
    item = definitions(FhirVersion.STU3).types["Questionnaire.item"]

    assert {e.name: e.types for e in item.elements}["item"] == ("Questionnaire.item",)


@pytest.mark.parametrize("version", FhirVersion)
def test_every_type_can_be_read(version: FhirVersion) -> None:
    known = tables(version)
    for name, definition in definitions(version).types.items():
        if definition.kind != "primitive":
            for prop in known.of(name).props.values():
                assert prop.kind is Kind.RESOURCE or prop.table.name in known.source.types


@pytest.mark.parametrize("version", FhirVersion)
def test_every_primitive_of_the_definitions_is_known(version: FhirVersion) -> None:
    types = definitions(version).types

    assert {n for n, t in types.items() if t.kind == "primitive"} <= set(PRIMITIVES[version])


@pytest.mark.parametrize("version", FhirVersion)
def test_what_we_accept_the_published_expressions_accept(version: FhirVersion) -> None:
    for name, definition in definitions(version).types.items():
        if definition.regex:
            published = re.compile(definition.regex)
            accepts = PRIMITIVES[version][name].accepts
            loose = [s for s in SAMPLES if accepts(s) and not published.fullmatch(s)]
            assert set(loose) <= ({"12:30:60"} if name == "time" else set()), name  # a leap second


@pytest.mark.parametrize("version", FhirVersion)
def test_what_the_published_expressions_accept_we_accept(version: FhirVersion) -> None:
    stricter = {  # by the text of the specification
        "string": {"\t"},  # at least one character that is no white space
        "markdown": {"\t"},
        "uri": {""},
        "url": {""},
        "canonical": {""},
        "date": {"0000"},
        "base64Binary": set[str](),
    }
    for name, definition in definitions(version).types.items():
        if definition.regex:
            published = re.compile(definition.regex)
            accepts = PRIMITIVES[version][name].accepts
            strict = {s for s in SAMPLES if published.fullmatch(s) and not accepts(s)}
            assert strict <= stricter.get(name, set()), name
