"""The document of a Composition: everything it leads to, of nobody else, within bounds.

Source: exchanges §2.4.
"""

import asyncio
from datetime import UTC, datetime

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import dump, parse
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.model import Found, Record
from openldn.node import documents
from openldn.node.sources import Wanted

NOW = datetime(2031, 3, 3, tzinfo=UTC)
ASKED = Wanted(FhirVersion.STU3, "Composition", "", (("_id", "c"),))


def resource(type_: str, id_: str, *references: str, **more: object) -> Resource:
    named = [{"reference": r} for r in references]
    return {"resourceType": type_, "id": id_, "entry": named, **more}


def record(content: Resource) -> Record:
    return Record(content["resourceType"], content["id"], 1, NOW, dump(content))


class Shelf:
    """A source that finds by type and ids, and remembers what it was asked."""

    def __init__(self, *contents: Resource) -> None:
        self.records = {f"{c['resourceType']}/{c['id']}": record(c) for c in contents}
        self.asked: list[str] = []

    async def search(self, wanted: Wanted) -> Found:
        self.asked.append(wanted.type)
        [(name, ids)] = wanted.pairs
        assert name == "_id"
        known = [self.records.get(f"{wanted.type}/{id_}") for id_ in ids.split(",")]
        return Found(tuple(r for r in known if r is not None))


def whole(shelf: Shelf, composition: Resource) -> list[str]:
    found = asyncio.run(documents.whole(shelf, ASKED, Found((record(composition),))))
    content = parse(documents.bundle("https://holder.example/fhir/STU3", found))
    assert content["type"] == "document"
    assert all("search" not in entry for entry in content["entry"])
    return [f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in content["entry"]]


COMPOSITION = resource(
    "Composition",
    "c",
    subject={"reference": "Patient/p"},
    section=[{"section": [{"entry": [{"reference": "Condition/1"}]}]}],
)
PATIENT = resource("Patient", "p")


def test_a_document_has_its_composition_first_and_what_its_sections_name_at_any_depth() -> None:
    shelf = Shelf(PATIENT, resource("Condition", "1"))

    assert whole(shelf, COMPOSITION) == ["Composition/c", "Condition/1", "Patient/p"]


def test_what_a_part_refers_to_comes_along_once() -> None:
    condition = resource("Condition", "1", "Practitioner/d", "Patient/p", "Composition/c")
    shelf = Shelf(PATIENT, condition, resource("Practitioner", "d", "Condition/1"))

    found = whole(shelf, COMPOSITION)

    assert sorted(found) == ["Composition/c", "Condition/1", "Patient/p", "Practitioner/d"]
    assert len(shelf.asked) == len(set(shelf.asked))


def test_what_is_about_another_patient_is_left_out() -> None:
    other = resource("Condition", "1", "Patient/q", subject={"reference": "Patient/q"})
    shelf = Shelf(PATIENT, other, resource("Patient", "q"))

    assert whole(shelf, COMPOSITION) == ["Composition/c", "Patient/p"]


def test_a_reference_that_leads_elsewhere_is_not_followed() -> None:
    away = resource("Composition", "c", "https://elsewhere.example/Condition/1", "Condition/../1")
    shelf = Shelf()

    assert whole(shelf, away) == ["Composition/c"]
    assert shelf.asked == []


def test_a_document_beyond_bounds_is_refused() -> None:
    many = [resource("Observation", str(n)) for n in range(documents.MOST + 1)]
    named = resource("Composition", "c", *(f"Observation/{r['id']}" for r in many))

    with pytest.raises(LdnError) as caught:
        whole(Shelf(*many), named)

    assert caught.value.issue is Issue.TOO_LONG


def test_without_its_composition_there_is_no_document() -> None:
    with pytest.raises(LdnError) as caught:
        asyncio.run(documents.whole(Shelf(), ASKED, Found(())))

    assert caught.value.issue is Issue.NOT_FOUND
