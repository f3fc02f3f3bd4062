"""Loading lines of JSON, as `openldn synth` writes them."""

from pathlib import Path

from openldn.base.errors import LdnError
from openldn.conformity.stations.loading import Reading
from openldn.fhir.model import FhirVersion

GOOD = '{"resourceType":"Patient","id":"jansen","active":true}'
WRONG = '{"resourceType":"Patient","id":"bakker","nonsense":1}'


def test_each_line_is_a_resource_and_a_wrong_one_is_named_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / "patients.ndjson"
    file.write_text(f"{GOOD}\n\n{WRONG}\n{{\n", encoding="utf-8")
    refused: list[str] = []

    def hear(path: Path, error: LdnError) -> None:
        refused.append(error.message)

    found = list(Reading(FhirVersion.STU3, hear).resources([file]))

    assert [r["id"] for r in found] == ["jansen"]
    assert [message.partition(":")[0] for message in refused] == ["line 3", "line 4"]
    assert "nonsense" in refused[0]
