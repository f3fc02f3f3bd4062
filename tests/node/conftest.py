"""Certificates for the tests of the node, made once, and their revocation lists."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from node.small_network import authority


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("pki")
    with authority(folder):
        yield folder
