"""Every journey is played on a running network, by the command that people type."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from journeys.laptop import JANSEN, Laptop, clear, fresh, openldn, until
from openldn.base.runtime import utc_now
from openldn.testbench.journeys.known import JOURNEYS
from openldn.testbench.journeys.model import Journey
from openldn.testbench.laptop.leaving import take_out
from openldn.testbench.members import PARTIES

ALONE = [journey for journey in JOURNEYS.values() if not journey.simulators]
WITH_SIMULATORS = [journey for journey in JOURNEYS.values() if journey.simulators]


@pytest.fixture(scope="module")
def simulated() -> Iterator[Laptop]:
    """A network with the simulated parties in it."""
    laptop = fresh()
    laptop.up("--with-simulators")
    yield laptop
    clear(laptop)


@pytest.mark.parametrize("journey", ALONE, ids=lambda j: j.name)
def test_every_journey_comes_to_its_end(network: Laptop, journey: Journey) -> None:
    _played(journey, network)


@pytest.mark.parametrize("journey", WITH_SIMULATORS, ids=lambda j: j.name)
def test_every_journey_with_existing_systems_comes_to_its_end(
    simulated: Laptop, journey: Journey
) -> None:
    _played(journey, simulated)


def _played(journey: Journey, laptop: Laptop) -> None:
    done = openldn("journey", "run", journey.name, "--network", str(laptop.folder), "--json")

    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stdout.splitlines()[-1:] or done.stderr
    assert len(steps) == len(journey.steps)
    assert all(step["good"] for step in steps)
    assert JANSEN not in done.stdout + done.stderr


def test_a_journey_that_fails_names_the_step_and_whose_turn_it_is(simulated: Laptop) -> None:
    party = json.loads(simulated.plan.network_file.read_text())["simulators"][0]
    fault, kind = f"{party['api']}/fault", {"content-type": "application/json"}
    broken = json.dumps({"kind": "error-500", "at": "fhir", "times": 100}).encode()
    assert simulated.call(party["key"], "POST", fault, broken, kind).status == 200

    done = openldn("journey", "run", "pull-simulated", "--network", str(simulated.folder))

    assert simulated.call(party["key"], "DELETE", fault).status == 200
    assert done.returncode == 1
    *_, last = done.stdout.splitlines()
    assert last == f"step 1 of 12 failed; it is the turn of {party['name']}"


def test_a_journey_with_existing_systems_says_what_it_needs(network: Laptop) -> None:
    done = openldn("journey", "run", "pull-simulated", "--network", str(network.folder))

    assert done.returncode == 1
    assert "--with-simulators" in done.stderr


def test_a_journey_is_told_in_plain_words(network: Laptop) -> None:
    done = openldn("journey", "run", "pull", "--network", str(network.folder), "--lang", "nl")

    assert done.returncode == 0, done.stdout + done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first.startswith("pull: Gericht bevragen")
    assert "Kliniek Het Veer vraagt bij Ziekenhuis De Brug op: Basisgegevensset Zorg" in done.stdout
    assert last.startswith(f"alle {len(JOURNEYS['pull'].steps)} stappen gelukt")


def test_parties_that_no_longer_take_part_leave_the_directory(simulated: Laptop) -> None:
    """The last with these parties: they come back when their simulator starts again."""
    assert asyncio.run(take_out(simulated.plan, utc_now)) == [p.name for p in PARTIES]
    assert asyncio.run(take_out(simulated.plan, utc_now)) == []

    def gone() -> bool:
        found = simulated.call("hospital", "GET", f"{simulated.node('hospital')['api']}/holders")
        active = {h["ura"] for h in json.loads(found.body)["holders"] if h["active"]}
        return not active & {p.ura for p in PARTIES}

    until(gone, "the hospital no longer hears of them", 20)


def test_without_a_network_nothing_is_played_and_one_line_says_so() -> None:
    done = openldn("journey", "run", "pull", "--network", "/nowhere")

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("openldn: no network at /nowhere")
