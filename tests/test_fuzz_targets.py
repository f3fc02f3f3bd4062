"""The targets of tools/fuzz.py still read what is right, and withstand a little of what is not."""

from collections.abc import Iterator

import pytest
from fuzz import by_chance
from fuzz_bench import Bench, bench
from fuzz_targets import TARGETS


@pytest.fixture(scope="module")
def at() -> Iterator[Bench]:
    with bench() as found:
        yield found


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_withstands_what_chance_makes_of_its_seeds(at: Bench, name: str) -> None:
    target = TARGETS[name](at)

    assert by_chance(target, seconds=1.0, most=300) > 0


@pytest.mark.parametrize("name", sorted(set(TARGETS) - {"tls-answer", "profile"}))
def test_the_first_seed_of_a_target_is_accepted(at: Bench, name: str) -> None:
    target = TARGETS[name](at)

    target.read(target.seeds[0])
