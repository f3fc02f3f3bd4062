"""Certificates for the endpoints under check, made once per module."""

import pytest
from testbench.connection.bench import Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))
