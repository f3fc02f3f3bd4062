"""Every interaction in both FHIR versions and both formats (hl7.org/fhir/R4/http.html)."""

import asyncio

import pytest
from fhir.api.fhir_base import (
    JSON,
    XML,
    Base,
    bundle,
    entry,
    observation,
    organization,
    patient,
    read,
    served,
    written,
)

from openldn.fhir.codec import Format, dump
from openldn.fhir.model import FhirVersion

VERSIONS = pytest.mark.parametrize("version", list(FhirVersion))
FORMATS = pytest.mark.parametrize("form", list(Format))
MIME = {Format.JSON: JSON, Format.XML: XML}


@VERSIONS
@FORMATS
def test_what_is_created_can_be_read_in_its_format(
    dsn: str, version: FhirVersion, form: Format
) -> None:
    async def scenario(base: Base) -> None:
        body = written(patient("ignored"), form, version)

        made = await base.send("POST", "Patient", body, content_type=MIME[form], accept=MIME[form])

        assert made.status == 201
        assert made.headers["etag"] == 'W/"1"'
        assert made.headers["content-type"].startswith(MIME[form])
        assert made.headers["content-type"].endswith(f"fhirVersion={version.mime}; charset=utf-8")
        id = read(made, version)["id"]
        assert id != "ignored"
        assert made.headers["location"] == f"{base.url}/Patient/{id}/_history/1"
        found = await base.get(f"Patient/{id}", accept=MIME[form])
        assert found.status == 200
        assert found.body == made.body
        assert found.headers["last-modified"].endswith("GMT")

    served(dsn, scenario, version)


@VERSIONS
@FORMATS
def test_an_update_makes_a_new_version_and_keeps_the_old(
    dsn: str, version: FhirVersion, form: Format
) -> None:
    async def scenario(base: Base) -> None:
        async def put(name: str) -> int:
            body = written(organization("o1", name), form, version)
            return (await base.send("PUT", "Organization/o1", body, content_type=MIME[form])).status

        assert [await put("A"), await put("B")] == [201, 200]

        old = await base.get("Organization/o1/_history/1", accept=MIME[form])
        new = await base.get("Organization/o1/_history/2", accept=MIME[form])
        assert [read(old, version)["name"], read(new, version)["name"]] == ["A", "B"]
        history = await base.get("Organization/o1/_history", accept=MIME[form])
        told = read(history, version)
        assert told["type"] == "history"
        assert [e["request"]["method"] for e in told["entry"]] == ["PUT", "POST"]
        assert ("response" in told["entry"][0]) == (version is FhirVersion.R4)

    served(dsn, scenario, version)


@VERSIONS
def test_a_deleted_resource_is_gone_but_its_history_stays(dsn: str, version: FhirVersion) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient())

        gone = await base.send("DELETE", "Patient/p1")
        again = await base.send("DELETE", "Patient/p1")

        assert [gone.status, again.status, gone.body] == [204, 204, b""]
        assert (await base.get("Patient/p1")).status == 410
        assert (await base.get("Patient/p1/_history/1")).status == 200
        assert (await base.get("Patient")).json["total"] == 0
        history = (await base.get("Patient/p1/_history")).json
        assert [e["request"]["method"] for e in history["entry"]] == ["DELETE", "POST"]

    served(dsn, scenario, version)


@VERSIONS
@FORMATS
def test_a_search_answers_a_searchset_with_links(
    dsn: str, version: FhirVersion, form: Format
) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient())
        await base.put(observation("w1"))

        query = "code=http://loinc.org|29463-7&_include=Observation:subject"
        reply = await base.get(f"Observation?{query}", accept=MIME[form])

        found = read(reply, version)
        assert found["type"] == "searchset"
        assert found["total"] == 1
        assert [e["search"]["mode"] for e in found["entry"]] == ["match", "include"]
        assert found["entry"][0]["fullUrl"] == f"{base.url}/Observation/w1"
        [link] = found["link"]
        assert link["relation"] == "self"
        assert "code=http%3A%2F%2Floinc.org%7C29463-7" in link["url"]
        assert "_include=Observation%3Asubject" in link["url"]

    served(dsn, scenario, version)


@VERSIONS
def test_a_search_by_post_is_the_same_search(dsn: str, version: FhirVersion) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient())
        question = "identifier=http%3A%2F%2Ffhir.nl%2Ffhir%2FNamingSystem%2Fbsn%7C999900006"

        posted = await base.form("Patient/_search", question)
        mixed = await base.form("Patient/_search?_count=5", question)

        assert posted.ids == mixed.ids == ["Patient/p1"]
        assert posted.json["entry"] == (await base.get(f"Patient?{question}")).json["entry"]

    served(dsn, scenario, version)


@VERSIONS
@FORMATS
def test_a_transaction_links_its_entries(dsn: str, version: FhirVersion, form: Format) -> None:
    async def scenario(base: Base) -> None:
        urn = "urn:uuid:5ac57d7c-3f5a-4f7e-9d5f-0a6ec3b5b8b2"
        weight = observation("w1")
        weight["subject"] = {"reference": urn}
        whole = bundle(
            "transaction",
            entry("POST", "Patient", patient(), full_url=urn),
            entry("PUT", "Observation/w1", weight),
        )
        body = written(whole, form, version)

        reply = await base.send("POST", "", body, content_type=MIME[form], accept=MIME[form])

        told = read(reply, version)
        assert (reply.status, told["type"]) == (200, "transaction-response")
        assert [e["response"]["status"] for e in told["entry"]] == ["201 Created"] * 2
        assert all("resource" not in e for e in told["entry"])
        subject = (await base.get("Observation/w1")).json["subject"]["reference"]
        assert (
            subject == told["entry"][0]["response"]["location"][len(base.url) + 1 :][: len(subject)]
        )

    served(dsn, scenario, version)


@VERSIONS
def test_a_transaction_happens_wholly_or_not_at_all(dsn: str, version: FhirVersion) -> None:
    async def scenario(base: Base) -> None:
        whole = bundle(
            "transaction",
            entry("PUT", "Patient/p1", patient()),
            entry("PUT", "Patient/p2", patient("p2"), ifMatch='W/"7"'),
        )

        reply = await base.post(whole)

        assert reply.status == 412
        assert (await base.get("Patient/p1")).status == 404

    served(dsn, scenario, version)


@VERSIONS
def test_each_entry_of_a_batch_stands_alone(dsn: str, version: FhirVersion) -> None:
    async def scenario(base: Base) -> None:
        whole = bundle(
            "batch",
            entry("PUT", "Patient/p1", patient()),
            entry("PUT", "Patient/p2", patient("other")),
            entry("GET", "Patient/p1"),
            entry("GET", "Patient?identifier=999900006"),
            entry("GET", "Patient/unknown"),
            entry("GET", "Patient?nonsense=1"),
            entry("DELETE", "Patient/p1"),
            entry("GET", "Patient/p1"),
            entry("POST", "Patient", patient()),
        )

        reply = await base.post(whole)

        answers = reply.json["entry"]
        assert reply.json["type"] == "batch-response"
        statuses = [int(e["response"]["status"][:3]) for e in answers]
        assert statuses == [201, 400, 200, 200, 404, 400, 204, 410, 201]
        assert answers[2]["resource"]["id"] == "p1"
        assert answers[3]["resource"]["total"] == 1
        assert answers[1]["response"]["outcome"]["issue"][0]["code"] == "invalid"

    served(dsn, scenario, version)


@VERSIONS
def test_the_newest_observation_of_each_code(dsn: str, version: FhirVersion) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient())
        for day, id in (("2024-01-01", "old"), ("2024-05-01", "new"), ("2024-03-01", "mid")):
            await base.put(observation(id, effectiveDateTime=day))
        await base.put(observation("pulse", code="8867-4", effectiveDateTime="2020-01-01"))

        one = await base.get("Observation/$lastn?patient=Patient/p1")
        two = await base.form("Observation/$lastn", "code=29463-7&max=2")

        assert sorted(one.ids) == ["Observation/new", "Observation/pulse"]
        assert sorted(two.ids) == ["Observation/mid", "Observation/new"]
        assert two.link("self") == f"{base.url}/Observation/$lastn?code=29463-7&max=2"

    served(dsn, scenario, version)


@VERSIONS
@FORMATS
def test_a_document_holds_what_its_composition_points_to(
    dsn: str, version: FhirVersion, form: Format
) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient(managingOrganization={"reference": "Organization/o1"}))
        await base.put(organization("o1"))
        await base.put(organization("unrelated"))
        await base.put(observation("w1"))
        await base.put(composition(version))

        reply = await base.get("Composition/c1/$document", accept=MIME[form])

        told = read(reply, version)
        kinds = [e["resource"]["resourceType"] for e in told["entry"]]
        assert told["type"] == "document"
        assert kinds == ["Composition", "Patient", "Observation", "Organization"]
        assert told["identifier"]["value"].startswith("urn:uuid:")

    served(dsn, scenario, version)


def composition(version: FhirVersion) -> dict[str, object]:
    return {
        "resourceType": "Composition",
        "id": "c1",
        "status": "final",
        "type": {"text": "overdracht"},
        "subject": {"reference": "Patient/p1"},
        "date": "2024-01-01",
        "author": [{"reference": "Patient/p1"}],
        "title": "Overdracht",
        "section": [{"title": "gewicht", "entry": [{"reference": "Observation/w1"}]}],
    }


@VERSIONS
def test_a_document_is_stored_on_request_by_post_only(dsn: str, version: FhirVersion) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient())
        await base.put(composition(version))

        asked = await base.get("Composition/c1/$document?persist=true")
        stored = await base.form("Composition/c1/$document", "persist=true")

        assert (asked.status, stored.status) == (400, 200)
        kept = await base.get(f"Bundle/{stored.json['id']}")
        assert kept.json["type"] == "document"

    served(dsn, scenario, version)


@VERSIONS
def test_everything_of_a_patient_comes_page_by_page(dsn: str, version: FhirVersion) -> None:
    async def scenario(base: Base) -> None:
        await base.put(organization("o1"))
        await base.put(organization("unrelated"))
        await base.put(patient(managingOrganization={"reference": "Organization/o1"}))
        await base.put(patient("p2", "999911120"))
        for number in range(4):
            await base.put(observation(f"w{number}"))
        await base.put(observation("other", "p2"))

        pages = [await base.get("Patient/p1/$everything?_count=2")]
        while following := pages[-1].link("next"):
            pages.append(await base.get(following))

        ids = [id for page in pages for id in page.ids]
        assert pages[0].ids[0] == "Patient/p1"
        weights = [f"Observation/w{n}" for n in range(4)]
        assert sorted(ids) == sorted([*weights, "Organization/o1", "Patient/p1"])
        only = await base.get("Patient/p1/$everything?_type=Patient")
        assert only.ids == ["Patient/p1", "Organization/o1"]
        assert (await base.get("Patient/nobody/$everything")).status == 404

    served(dsn, scenario, version)


@VERSIONS
def test_the_compartment_of_a_patient_can_be_searched(dsn: str, version: FhirVersion) -> None:
    async def scenario(base: Base) -> None:
        for id in ("p1", "p2"):
            await base.put(patient(id))
            await base.put(observation(f"w-{id}", id))

        found = await base.get("Patient/p1/Observation?code=29463-7")

        assert found.ids == ["Observation/w-p1"]
        assert found.link("self") == f"{base.url}/Patient/p1/Observation?code=29463-7"

    served(dsn, scenario, version)


@VERSIONS
def test_head_tells_what_get_would(dsn: str, version: FhirVersion) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient())

        head, got = await base.send("HEAD", "Patient/p1"), await base.get("Patient/p1")

        assert (head.status, head.body) == (200, b"")
        assert head.headers["etag"] == got.headers["etag"]
        assert head.headers["content-length"] == str(len(got.body))

    served(dsn, scenario, version)


def test_json_and_xml_of_one_search_say_the_same(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient(birthDate="1970-01-01"))
        value = {"value": 1.10, "unit": "kg"}
        await base.send(
            "PUT",
            "Observation/w1",
            dump(observation("w1", valueQuantity=value)).replace(b"1.1,", b"1.10,"),
        )

        json = await base.get("Observation?_include=Observation:subject&_format=json")
        xml = await base.get("Observation?_include=Observation:subject&_format=xml")

        assert read(json, base.version) == read(xml, base.version)
        assert b'"value":1.10' in json.body
        assert b'value value="1.10"' in xml.body

    served(dsn, scenario)


@VERSIONS
def test_a_binary_comes_as_itself_or_as_fhir(dsn: str, version: FhirVersion) -> None:
    async def scenario(base: Base) -> None:
        data = "data" if version is FhirVersion.R4 else "content"
        paper = {"resourceType": "Binary", "id": "b1", "contentType": "application/pdf"}
        await base.put({**paper, data: "JVBERi0="})

        itself = await base.get("Binary/b1", accept="application/pdf")
        as_fhir = await base.get("Binary/b1", accept="application/fhir+xml, application/pdf")
        other = await base.get("Binary/b1", accept="image/png")

        assert itself.body == b"%PDF-"
        assert itself.headers["content-type"] == "application/pdf"
        assert itself.headers["content-security-policy"].startswith("sandbox")
        assert read(as_fhir, version)["id"] == "b1"
        assert other.status == 406

    served(dsn, scenario, version)


def test_a_large_transaction_does_not_hold_up_others(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient())
        many = bundle(
            "transaction",
            *(entry("PUT", f"Observation/w{n}", observation(f"w{n}")) for n in range(2500)),
        )

        async with asyncio.TaskGroup() as group:
            large = group.create_task(base.post(many))
            await asyncio.sleep(0)
            reads = [group.create_task(base.get("Patient/p1")) for _ in range(5)]

        assert large.result().status == 200
        assert len(large.result().json["entry"]) == 2500
        assert {r.result().status for r in reads} == {200}

    served(dsn, scenario)
