"""How fast the codec is: XML to JSON against lxml's parsing alone, and both formats per second."""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from lxml import etree

from openldn.fhir.codec import Format, decode, dump, encode
from openldn.fhir.model import FhirVersion, Resource, bundle

SIZE = 200_000  # bytes of the Bundle as XML
ROUNDS = 60
DIV = (
    '<div xmlns="http://www.w3.org/1999/xhtml"><table><caption>Meting {n}</caption>'
    "<tbody><tr><th>Waarde</th><td>{n} mmol/l</td></tr></tbody></table></div>"
)
SNOMED, LOINC, UCUM = "http://snomed.info/sct", "http://loinc.org", "http://unitsofmeasure.org"


def run() -> list[dict[str, Any]]:
    """One row per figure; `ratio` is against the baseline, `target` what it may be at most."""
    xml = indented(encode(bundle_of(SIZE), Format.XML, FhirVersion.R4))
    resource = decode(xml, Format.XML, FhirVersion.R4)
    json = dump(resource)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    baseline = best(lambda: etree.fromstring(xml, parser))
    read = best(lambda: decode(json, Format.JSON, FhirVersion.R4))
    through = best(lambda: dump(decode(xml, Format.XML, FhirVersion.R4)))
    return [
        row("codec: XML to JSON, 200 kB Bundle", through, baseline, target=3.0),
        row("codec: lxml parsing alone, 200 kB Bundle", baseline),
        row("codec: JSON read and checked", read),
        row("codec: JSON written", best(lambda: dump(resource))),
        row("codec: XML written", best(lambda: encode(resource, Format.XML, FhirVersion.R4))),
    ]


def row(
    name: str, value: float, baseline: float | None = None, target: float | None = None
) -> dict[str, Any]:
    """A figure in milliseconds."""
    ratio = round(value / baseline, 2) if baseline else None
    return {
        "name": name,
        "value": round(value, 3),
        "unit": "ms",
        "baseline": round(baseline, 3) if baseline else None,
        "ratio": ratio,
        "target": target,
    }


def best(work: Callable[[], object]) -> float:
    """The shortest of many rounds, in milliseconds: what the work costs when nothing disturbs."""
    shortest = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        shortest = min(shortest, time.perf_counter() - begun)
    return shortest * 1000


def bundle_of(size: int) -> Resource:
    """A Bundle of laboratory results and a patient, about this large as indented XML."""
    return bundle("collection", [patient(), *(observation(n) for n in range(size // 2500))])


def patient() -> Resource:
    """Somebody who does not exist."""
    own = "http://hl7.org/fhir/StructureDefinition/humanname-own-name"
    return {
        "resourceType": "Patient",
        "id": "p",
        "identifier": [{"system": "http://example.org/patients", "value": "p-1"}],
        "name": [
            {
                "use": "official",
                "family": "Vlinder",
                "_family": {"extension": [{"url": own, "valueString": "Vlinder"}]},
                "given": ["Anna", "B."],
            }
        ],
        "gender": "female",
        "birthDate": "1970-02-03",
    }


def observation(n: int) -> Resource:
    """One result, with its own id, date and value."""
    return {
        "resourceType": "Observation",
        "id": f"result-{n}",
        "meta": {
            "versionId": "1",
            "lastUpdated": f"2026-01-{n % 28 + 1:02}T10:{n % 60:02}:00+01:00",
            "profile": ["http://nictiz.nl/fhir/StructureDefinition/zib-LaboratoryTestResult"],
        },
        "text": {"status": "generated", "div": DIV.format(n=n)},
        "identifier": [{"system": "http://example.org/results", "value": f"r-{n}"}],
        "status": "final",
        "category": [
            {"coding": [{"system": SNOMED, "code": "49581000146104", "display": "Lab"}]},
            {"coding": [{"system": SNOMED, "code": "275711006", "display": "Chemie"}]},
        ],
        "code": {"coding": [{"system": LOINC, "code": "14749-6", "display": "Glucose"}]},
        "subject": {"reference": "Patient/p", "display": "A.B. Vlinder"},
        "effectiveDateTime": f"2026-01-{n % 28 + 1:02}T08:{n % 60:02}:00+01:00",
        "performer": [{"reference": "Organization/lab", "display": "Laboratorium"}],
        "valueQuantity": quantity(Decimal(n % 90).scaleb(-1)),
        "referenceRange": [
            {
                "low": quantity(Decimal("4.0")),
                "high": quantity(Decimal("5.6")),
            }
        ],
        "note": [{"text": f"Opmerking {n} bij deze uitslag"}],
    }


def quantity(value: Decimal) -> dict[str, Any]:
    """So much glucose."""
    return {"value": value, "unit": "mmol/l", "system": UCUM, "code": "mmol/L"}


def indented(xml: bytes) -> bytes:
    """The same document as most systems send it: one element per line."""
    root = etree.fromstring(xml)
    etree.indent(root)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


if __name__ == "__main__":
    for figure in run():
        print(figure)
