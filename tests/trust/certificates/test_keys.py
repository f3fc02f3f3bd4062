"""Keys we sign with. Source: RFC 7512 (PKCS#11 URI), RFC 7292 (PKCS#12), RFC 7518."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from trust.parties import HOSPITAL, World

from openldn.base.errors import Issue, LdnError
from openldn.trust import jose
from openldn.trust.certificates.chain import ordered_chain
from openldn.trust.certificates.issue import Shape, Subject, Term, issue_signing
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


def bundle(world: World, password: bytes | None, kind: str = "ec") -> Path:
    """A PKCS#12 file of the hospital, with the chain upside down."""
    folder = world.folder / str(HOSPITAL)
    issue_signing(folder, Subject(HOSPITAL, "Oost"), Term(world.clock), Shape(kind))
    key = serialization.load_pem_private_key((folder / "signing.key").read_bytes(), None)
    leaf, issuing = x509.load_pem_x509_certificates((folder / "signing.pem").read_bytes())
    [root] = world.anchors.certificates
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    how = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    content = pkcs12.serialize_key_and_certificates(b"oost", key, leaf, [root, issuing], how)
    path = world.folder / "oost.p12"
    path.write_bytes(content)
    (world.folder / "password").write_bytes((password or b"") + b"\n")
    return path


@pytest.mark.parametrize(
    ("kind", "algorithms"), [("ec", ["ES256"]), ("rsa", ["PS256", "RS256", "PS512", "RS384"])]
)
def test_a_pkcs12_file_signs_and_gives_its_chain_leaf_first(
    world: World, kind: str, algorithms: list[str]
) -> None:
    path = bundle(world, b"correct horse", kind)

    signing = Signing.load(path, secret=world.folder / "password")

    assert signing.algorithm == algorithms[0]
    assert len(signing.chain) == 3
    assert signing.chain[1].subject == signing.chain[0].issuer
    assert all(verifies(signing, algorithm) for algorithm in algorithms)


def test_a_wrong_password_is_refused_without_telling_it(world: World) -> None:
    path = bundle(world, b"correct horse")
    (world.folder / "password").write_text("wrong donkey")

    with pytest.raises(LdnError) as caught:
        Signing.load(path, secret=world.folder / "password")

    assert caught.value.issue is Issue.EXCEPTION
    assert "donkey" not in f"{caught.value.message} {caught.value.detail}"


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x30\x03\x02\x01\x03"])
@pytest.mark.parametrize("name", ["key.pem", "key.p12", "key.pfx"])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(LdnError) as caught:
        Signing.load(tmp_path / name)

    assert name in caught.value.message


def test_a_key_too_weak_to_sign_with_is_refused(tmp_path: Path) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    (tmp_path / "weak.key").write_bytes(
        weak.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )

    with pytest.raises(LdnError) as caught:
        Signing.load(tmp_path / "weak.key")

    assert "2048" in caught.value.message


def test_a_bare_key_signs_without_a_chain(world: World) -> None:
    signing = Signing.load(world.folder / str(HOSPITAL) / "signing.key")

    token = jose.read(signing.sign({"iss": "x"}), Trail())

    assert "x5c" not in token.header
    assert signing.thumbprint == jose.jwk_thumbprint(signing.key)


def test_a_key_never_shows_in_its_repr(world: World) -> None:
    folder = world.folder / str(HOSPITAL)
    assert repr(Signing.load(folder / "signing.key", folder / "signing.pem")) == "Signing()"


def test_a_chain_is_completed_up_to_its_root_where_a_credential_asks_it(world: World) -> None:
    folder = world.folder / str(HOSPITAL)
    signing = Signing.load(folder / "signing.key", folder / "signing.pem")

    whole = signing.up_to_root(world.anchors.certificates)

    assert list(ordered_chain(whole.x5c, Trail())) == list(whole.chain)
    assert whole.chain[2] == world.anchors.certificates[0]
    assert whole.up_to_root(world.anchors.certificates).chain == whole.chain
