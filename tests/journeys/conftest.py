"""One running network for all tests of a worker that only use it."""

from collections.abc import Iterator

import pytest

from journeys.laptop import Laptop, clear, fresh


@pytest.fixture(scope="package")
def network() -> Iterator[Laptop]:
    """A network that stands, with the fictitious patients."""
    laptop = fresh()
    laptop.up()
    yield laptop
    clear(laptop)


@pytest.fixture
def laptop() -> Iterator[Laptop]:
    """A laptop of this test alone, on which nothing runs yet."""
    own = fresh()
    yield own
    clear(own)
