"""Every journey is played on a running network, by the command that people type."""

import json

import pytest
from journeys.laptop import JANSEN, Laptop, openldn

from openldn.testbench.journeys.known import JOURNEYS

ALONE = [journey for journey in JOURNEYS.values() if not journey.simulators]


@pytest.mark.parametrize("journey", ALONE, ids=lambda j: j.name)
def test_every_journey_comes_to_its_end(network: Laptop, journey: object) -> None:
    name = str(getattr(journey, "name", ""))

    done = openldn("journey", "run", name, "--network", str(network.folder), "--json")

    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stdout.splitlines()[-1:] or done.stderr
    assert len(steps) == len(JOURNEYS[name].steps)
    assert all(step["good"] for step in steps)
    assert JANSEN not in done.stdout + done.stderr


def test_a_journey_is_told_in_plain_words(network: Laptop) -> None:
    done = openldn("journey", "run", "pull", "--network", str(network.folder), "--lang", "nl")

    assert done.returncode == 0, done.stdout + done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first.startswith("pull: Gericht bevragen")
    assert "Kliniek Het Veer vraagt bij Ziekenhuis De Brug op: Basisgegevensset Zorg" in done.stdout
    assert last.startswith(f"alle {len(JOURNEYS['pull'].steps)} stappen gelukt")


def test_without_a_network_nothing_is_played_and_one_line_says_so() -> None:
    done = openldn("journey", "run", "pull", "--network", "/nowhere")

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("openldn: no network at /nowhere")
