"""Keys we sign with. Source: RFC 7512 (PKCS#11 URI), RFC 7292 (PKCS#12), RFC 7518."""

from pathlib import Path

import pytest
from trust.parties import HOSPITAL, World

from openldn.base.errors import Issue, LdnError
from openldn.trust import jose
from openldn.trust.certificates.keys import Signing
from openldn.trust.trail import Trail


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def verifies(signing: Signing, algorithm: str = "") -> bool:
    """Whether what it signs verifies with the key of its certificate."""
    token = jose.read(signing.sign({"iss": "x"}, algorithm), Trail())
    key = jose.key_of_certificate(signing.chain[0])
    jose.verify(token, key, [algorithm or signing.algorithm], Trail())
    return bool(token.header["x5c"] == signing.x5c)


def test_a_pem_key_signs_with_the_algorithm_of_its_kind_and_shows_its_chain(world: World) -> None:
    folder = world.folder / str(HOSPITAL)

    signing = Signing.load(folder / "signing.key", folder / "signing.pem")

    assert (signing.algorithm, len(signing.x5c)) == ("ES256", 2)
    assert verifies(signing)


def test_a_key_of_another_certificate_is_refused(world: World) -> None:
    folder = world.folder / str(HOSPITAL)

    with pytest.raises(LdnError) as caught:
        Signing.load(folder / "server.key", folder / "signing.pem")

    assert caught.value.issue is Issue.EXCEPTION
    assert "not that of its certificate" in caught.value.message
