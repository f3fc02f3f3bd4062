"""Published resources transform without a fatal issue; skipped where they are not at hand."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fhir.codec.test_round_trip import REFUSED, filled, is_fhir, version_of
from functions.transformation_cases import OTHER, changed, transform, unaccounted

from openldn.fhir.codec import Format, check, decode
from openldn.fhir.model import FhirVersion, Resource
from openldn.testbench.material import unpacked


def published(folder: Path) -> Iterator[tuple[str, FhirVersion, Resource]]:
    for path in sorted((folder / "nictiz").rglob("*")):
        if path.suffix not in {".xml", ".json"} or path.stem in REFUSED:
            continue
        text, form = path.read_text(encoding="utf-8-sig"), Format(path.suffix[1:])
        if not is_fhir(text, form) or "ui-mapping" in str(path):
            continue
        version = version_of(path)
        for resource in unpacked(decode(filled(text), form, version)):
            yield path.name, version, resource


def test_every_published_resource_goes_there_and_back(shared_data: Path) -> None:
    counts: Counter[str] = Counter()
    for name, version, resource in published(shared_data):
        found = transform(resource, version)
        assert found.resource is not None, (name, found.issues)
        check(found.resource, OTHER[version])
        assert unaccounted(resource, found) == [], name
        assert changed(resource, version) == [], name
        counts[f"{version} {resource['resourceType']}"] += 1
        counts["lost"] += len([g for g in found.gone if not re.search("profile", g.path)])
    assert sum(counts.values()) > 5000
