"""Certificates of a small network, made once."""

from pathlib import Path

import pytest
from node.small_network import make_pki


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    make_pki(folder)
    return folder
