"""Keys on a real PKCS#11 token, made with SoftHSM. Source: RFC 7512; PKCS #11 v2.40."""

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from trust.parties import HOSPITAL, World

from openldn.base.errors import Issue, LdnError
from openldn.trust import jose
from openldn.trust.certificates.hsm import Address
from openldn.trust.certificates.issue import Shape, Subject, Term, issue_signing
from openldn.trust.certificates.keys import Signing
from openldn.trust.trail import Trail

PIN = "271828"
MODULES = [
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"),
]
MODULE = next((path for path in MODULES if path.exists()), None)
pytestmark = pytest.mark.skipif(
    MODULE is None or shutil.which("softhsm2-util") is None, reason="not run: SoftHSM is missing"
)


def softhsm(*words: str) -> None:
    subprocess.run(["softhsm2-util", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A hospital with an EC and an RSA key on one token; SoftHSM reads its place only once."""
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\n")
    (folder / "pin").write_text(PIN + "\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    softhsm("--init-token", "--free", "--label", "openldn", "--pin", PIN, "--so-pin", "314159")
    world = World(folder)
    for kind, mark in (("ec", "A1"), ("rsa", "A2")):
        place = folder / kind
        issue_signing(place, Subject(HOSPITAL, "Oost"), Term(world.clock), Shape(kind))
        key = str(place / "signing.key")
        names = ["--token", "openldn", "--label", kind, "--id", mark]
        softhsm("--import", key, *names, "--pin", PIN)
    yield world
    if before is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = before


def uri(name: str, **query: str) -> str:
    rest = "".join(f"&{k}={v}" for k, v in query.items())
    return f"pkcs11:token=openldn;{name}?module-path={MODULE}{rest}"


def loaded(world: World, kind: str, named: str = "") -> Signing:
    pem = world.folder / kind / "signing.pem"
    return Signing.load(uri(named or f"object={kind}"), pem, world.folder / "pin")


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [
        *(("ec", "ES256"), ("rsa", "PS256"), ("rsa", "RS256")),
        *(("rsa", "PS384"), ("rsa", "PS512"), ("rsa", "RS384"), ("rsa", "RS512")),
    ],
)
def test_a_key_on_a_token_signs_as_one_in_a_file_does(
    hospital: World, kind: str, algorithm: str
) -> None:
    signing = loaded(hospital, kind)

    token = jose.read(signing.sign({"iss": "x"}, algorithm), Trail())

    jose.verify(token, jose.key_of_certificate(signing.chain[0]), [algorithm], Trail())
    assert token.header["x5c"] == signing.x5c
    assert algorithm in jose.suited(signing.key)


@pytest.mark.parametrize("named", ["object=ec", "id=%A1", "object=ec;id=%A1"])
def test_a_key_is_found_by_label_or_id(hospital: World, named: str) -> None:
    assert loaded(hospital, "ec", named).algorithm == "ES256"


def test_the_pin_may_be_named_in_the_uri_as_a_file(hospital: World) -> None:
    place = uri("object=ec", **{"pin-source": f"file:{hospital.folder / 'pin'}"})

    assert Signing.load(place).algorithm == "ES256"


def test_the_certificate_may_stand_on_the_token(hospital: World) -> None:
    import pkcs11
    from pkcs11.util.x509 import decode_x509_certificate

    assert MODULE is not None
    leaf = x509.load_pem_x509_certificates((hospital.folder / "ec/signing.pem").read_bytes())[0]
    der = leaf.public_bytes(serialization.Encoding.DER)
    Signing.load(uri("object=ec"), secret=hospital.folder / "pin")
    with pkcs11.lib(str(MODULE)).get_token(token_label="openldn").open(rw=True) as session:
        attributes: Any = decode_x509_certificate(der)
        stored = {pkcs11.Attribute.LABEL: "ec", pkcs11.Attribute.TOKEN: True}
        session.create_object({**attributes, **stored}).copy({})

    signing = Signing.load(uri("object=ec"), secret=hospital.folder / "pin")

    assert signing.chain == (leaf,)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_the_key_never_leaves_the_token(hospital: World, kind: str) -> None:
    key: Any = loaded(hospital, kind).key.raw_value

    for take in (
        key.private_numbers,
        lambda: key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        lambda: key.exchange(None, None) if kind == "ec" else key.decrypt(b"", None),
    ):
        with pytest.raises(LdnError) as caught:
            take()
        assert caught.value.issue is Issue.NOT_SUPPORTED
    assert copy.copy(key) is copy.deepcopy(key) is key
    assert PIN not in repr(key) + repr(key.session)


def test_a_key_is_opened_again_when_its_session_has_ended(hospital: World) -> None:
    signing = loaded(hospital, "ec")
    first = signing.sign({"iss": "x"})
    key: Any = signing.key.raw_value
    key.session.close()

    again = signing.sign({"iss": "x"})

    shown = jose.key_of_certificate(signing.chain[0])
    for text in (first, again):
        jose.verify(jose.read(text, Trail()), shown, ["ES256"], Trail())


@pytest.mark.parametrize(
    ("place", "word"),
    [
        ("pkcs11:object=ec", "RFC 7512"),
        ("pkcs11:token=openldn;object=ec", "module-path"),
        (f"pkcs11:token=openldn?module-path={MODULE}", "object or id"),
        (f"pkcs11:token=openldn;object=ec?module-path={MODULE}&pin-value=1", "in a file"),
        (f"pkcs11:token=openldn;object=none?module-path={MODULE}", "no public key"),
        (f"pkcs11:token=absent;object=ec?module-path={MODULE}", "token absent"),
        ("pkcs11:token=openldn;object=ec?module-path=/absent.so", "token openldn"),
    ],
)
def test_a_uri_that_leads_to_no_key_says_what_is_wrong(
    hospital: World, place: str, word: str
) -> None:
    with pytest.raises(LdnError) as caught:
        Signing.load(place, secret=hospital.folder / "pin")

    assert word in caught.value.message


def test_a_wrong_pin_is_refused_without_telling_it(hospital: World, tmp_path: Path) -> None:
    (tmp_path / "pin").write_text("999999")
    code = (
        "import sys; from pathlib import Path\n"
        "from openldn.trust.certificates.keys import Signing\n"
        "Signing.load(sys.argv[1], secret=Path(sys.argv[2]))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, uri("object=ec"), str(tmp_path / "pin")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "check module, PIN and name" in done.stderr
    assert "999999" not in done.stderr


def test_without_a_file_for_the_pin_the_token_is_not_asked(hospital: World) -> None:
    with pytest.raises(LdnError) as caught:
        Signing.load(uri("object=ec"))

    assert "PIN" in caught.value.message


def test_the_extra_package_is_named_when_it_is_missing(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pkcs11'] = None\n"
        "from openldn.trust.certificates.keys import Signing\n"
        "Signing.load('pkcs11:token=a;object=b?module-path=/c.so')\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "openldn[hsm]" in done.stderr


def test_a_uri_is_read_as_rfc_7512_writes_it() -> None:
    text = "pkcs11:token=The%20Token;id=%01%02;type=private?module-path=/m.so&pin-source=file:/pin"

    assert Address.parse(text) == Address("/m.so", "The Token", "", b"\x01\x02", Path("/pin"))
