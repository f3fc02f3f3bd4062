"""A station with real test patients answers the BgZ queries by the rules of the qualification.

Source: specification of exchanges, rules SR-1 to SR-6, SR-8, SR-16.
"""

import re
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from fhir.api.fhir_base import Base, read, served

from openldn.base.errors import LdnError
from openldn.base.runtime import new_uuid, utc_now
from openldn.conformity.stations.loading import Reading
from openldn.exchanges.bgz import BGZ
from openldn.fhir.codec import dump
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.model import Place
from openldn.testbench.material import fill

STU3 = FhirVersion.STU3
QUERIES = sorted({q.template for release in BGZ.releases for q in release.queries})


async def loaded(base: Base, *folders: Path) -> list[str]:
    """Load what these folders hold; the files that could not be read."""
    refused: list[str] = []

    def refuse(file: Path, error: LdnError) -> None:
        refused.append(f"{file.name}: {error.message}")

    now = utc_now()
    reading = Reading(base.version, refuse, lambda text: fill(text, now, new_uuid))
    await base.records.load(Place("00000001", base.version), reading.resources(folders))
    return refused


def plain(path: str, pairs: list[tuple[str, str]]) -> str:
    return f"{path}?{urlencode(pairs)}" if pairs else path


def same_narratives(resource: Resource) -> str:
    """The resource as text; an empty element in a narrative is written in one way."""
    text = dump(resource).decode()
    return re.sub(r"<(\w+)([^<>]*)></\1>", r"<\1\2/>", text)


def broken_rules(base: Base, pairs: list[tuple[str, str]], found: Resource) -> list[str]:
    """The rules this searchset breaks."""
    entries = found.get("entry", [])
    matches = [e for e in entries if e["search"]["mode"] == "match"]
    [self_link] = [k["url"] for k in found["link"] if k["relation"] == "self"]
    repeated = parse_qsl(self_link.partition("?")[2], keep_blank_values=True)
    rules = {
        "SR-1": found["type"] == "searchset",
        "SR-2": "total" not in found or found["total"] <= len(matches),
        "SR-4": all(pair in repeated for pair in pairs),
        "SR-5": all(re.match(r"https?://|urn:(oid|uuid):", e["fullUrl"]) for e in entries),
        "SR-6": all(e["fullUrl"].endswith("/" + e["resource"]["id"]) for e in entries),
    }
    return [rule for rule, kept in rules.items() if not kept]


def test_every_bgz_query_is_answered_by_the_rules_in_both_formats(
    dsn: str, shared_data: Path
) -> None:
    async def scenario(base: Base) -> None:
        folder = shared_data / "nictiz"
        refused = await loaded(base, folder / "bgz-msz-2.0-stu3", folder / "bgz-msz-1.2.2-stu3")
        assert len(refused) < 5, refused
        answered = 0
        for template in QUERIES:
            path, _, query = template.partition("?")
            pairs = parse_qsl(query, keep_blank_values=True)

            json_reply = await base.get(plain(path, pairs), accept="application/fhir+json")
            xml_reply = await base.get(plain(path, pairs), accept="application/fhir+xml")

            assert json_reply.status == 200, (template, json_reply.body[:300])
            found = read(json_reply, STU3)
            assert broken_rules(base, pairs, found) == [], template
            assert same_narratives(read(xml_reply, STU3)) == same_narratives(found), template
            answered += bool(found.get("entry"))
        assert answered > len(QUERIES) / 2

    served(dsn, scenario, STU3)


def test_a_document_of_a_real_handover_is_complete(dsn: str, shared_data: Path) -> None:
    async def scenario(base: Base) -> None:
        await loaded(base, shared_data / "nictiz" / "eoverdracht-4.2-stu3")
        compositions = (await base.get("Composition")).ids
        assert compositions

        for composition in compositions:
            reply = await base.get(f"{composition}/$document", accept="application/fhir+xml")
            document = read(reply, STU3)
            assert document["entry"][0]["resource"]["resourceType"] == "Composition"
            inside = {
                f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in document["entry"]
            }
            named = re.findall(
                r'"reference":"([A-Z]\w+/[^"/]+)"',
                dump(document["entry"][0]).decode(),
            )
            for reference in named:
                assert reference in inside or (await base.get(reference)).status == 404

    served(dsn, scenario, STU3)
