"""The test authority: what it issues, revokes, and serves. Source: RFC 5280 §5; RFC 6960."""

import asyncio
import base64
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import ocsp
from hypothesis import given, settings
from hypothesis import strategies as st
from trust.certificates.served import Served, authority
from trust.parties import HOSPITAL, Time, World

from openldn.base.errors import Issue, LdnError
from openldn.cli.pki import pki
from openldn.trust.certificates.issue import (
    Shape,
    Subject,
    Term,
    create_authority,
    issue_server,
    served_at,
)
from openldn.trust.certificates.revocation import Freshness, read_answer, read_crl, sources
from openldn.trust.certificates.revoking import Revoking, serial_of

Pair = tuple[x509.Certificate, x509.Certificate]
KINDS = (x509.CRLDistributionPoints, x509.AuthorityInformationAccess)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def issued(world: World, shape: Shape) -> Pair:
    folder = world.folder / "one"
    issue_server(folder, Subject(HOSPITAL, "Oost"), Term(world.clock), shape)
    leaf, issuing = x509.load_pem_x509_certificates((folder / "server.pem").read_bytes())
    return leaf, issuing


def request(pair: Pair, algorithm: hashes.HashAlgorithm | None = None) -> bytes:
    builder = ocsp.OCSPRequestBuilder().add_certificate(*pair, algorithm or hashes.SHA1())
    return builder.build().public_bytes(serialization.Encoding.DER)


def test_by_default_a_certificate_names_no_list_and_no_responder(world: World) -> None:
    leaf, _ = issued(world, Shape())

    for kind in KINDS:
        with pytest.raises(x509.ExtensionNotFound):
            leaf.extensions.get_extension_for_class(kind)


def test_a_certificate_tells_where_it_can_be_looked_up(world: World) -> None:
    pair = issued(world, served_at("http://127.0.0.1:8080"))

    urls = [sources(pair, kind, Freshness(), world.clock)[0].url for kind in ("crl", "ocsp")]

    assert urls == ["http://127.0.0.1:8080/crl/issuing.crl", "http://127.0.0.1:8080/ocsp"]


def test_an_rsa_key_may_be_asked_and_others_may_encrypt_to_it(world: World) -> None:
    leaf, _ = issued(world, Shape("rsa", encipher=True))

    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    key = leaf.public_key()
    assert isinstance(key, rsa.RSAPublicKey) and key.key_size == 3072
    assert usage.key_encipherment and usage.digital_signature


def test_the_number_of_a_list_grows(world: World) -> None:
    revoking = Revoking(world.folder, world.clock)
    first = x509.load_der_x509_crl(revoking.crl())
    world.clock.advance(0.01)

    second = x509.load_der_x509_crl(revoking.crl())

    numbers = [
        c.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        for c in (first, second)
    ]
    assert numbers[0] < numbers[1]


def test_a_revocation_stands_in_the_list_and_in_the_answer_once(world: World) -> None:
    pair = issued(world, Shape())
    revoking, at = Revoking(world.folder, world.clock), (Freshness(), world.clock())
    assert not read_answer(revoking.answer(request(pair)), pair, at, None).revoked

    revoking.revoke(pair[0].serial_number, "keyCompromise")
    revoking.revoke(pair[0].serial_number)

    listed = read_crl(revoking.crl(), pair, ("http://x", world.clock()), None)
    answer = read_answer(revoking.answer(request(pair)), pair, at, None)
    [entry] = list(listed.listed)
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is (
        x509.ReasonFlags.key_compromise
    )
    assert listed.revokes(pair) and answer.revoked


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256()])
def test_the_responder_speaks_for_its_own_authority_only(
    world: World, tmp_path: Path, algorithm: hashes.HashAlgorithm
) -> None:
    pair = issued(world, Shape())
    create_authority(tmp_path / "other", world.clock)

    own = Revoking(world.folder, world.clock).answer(request(pair, algorithm))
    others = Revoking(tmp_path / "other", world.clock).answer(request(pair, algorithm))

    statuses = [ocsp.load_der_ocsp_response(a).response_status.name for a in (own, others)]
    assert statuses == ["SUCCESSFUL", "UNAUTHORIZED"]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_a_question_that_is_not_ocsp_gets_an_answer_that_says_so(question: bytes) -> None:
    answer = Revoking(Path("absent"), Time()).answer(question)

    assert ocsp.load_der_ocsp_response(answer).response_status.name == "MALFORMED_REQUEST"


def test_lists_and_answers_are_served_over_plain_http(tmp_path: Path) -> None:
    async def scenario(served: Served) -> None:
        leaf, issuing = served.chain()
        question = request((leaf, issuing))
        place = f"{served.address}/ocsp/{quote(base64.b64encode(question).decode(), safe='')}"

        for path in ("/crl/issuing.crl", "/crl/root.crl"):
            reply = await served.client.send("GET", served.address + path, deadline=5)
            assert reply.headers["content-type"] == "application/pkix-crl"
            x509.load_der_x509_crl(reply.body)
        got = await served.client.send("GET", place, deadline=5)
        posted = await served.client.send(
            "POST", f"{served.address}/ocsp", body=question, deadline=5
        )

        for reply in (got, posted):
            assert reply.headers["content-type"] == "application/ocsp-response"
            found = ocsp.load_der_ocsp_response(reply.body)
            assert found.certificate_status is ocsp.OCSPCertStatus.GOOD

    async def whole() -> None:
        async with authority(tmp_path) as served:
            await scenario(served)

    asyncio.run(whole())


def test_the_root_of_an_authority_has_one_list_for_as_long_as_it_counts(tmp_path: Path) -> None:
    clock = Time()
    create_authority(tmp_path, clock, "http://127.0.0.1:1")

    listed = x509.load_der_x509_crl((tmp_path / "root.crl").read_bytes())
    [root] = x509.load_pem_x509_certificates((tmp_path / "ca.pem").read_bytes())

    assert listed.next_update_utc == root.not_valid_after_utc
    assert listed.is_signature_valid(root.public_key())  # type: ignore[arg-type]


def test_the_command_revokes_by_file_and_by_serial_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for ura in ("90000382", "90000101"):
        pki(tmp_path, ura=ura, served_at="http://127.0.0.1:8080", key="rsa")
    by_file = tmp_path / "90000382/signing.pem"
    serial = serial_of(str(tmp_path / "90000101/signing.pem"))

    pki(tmp_path, revoke=str(by_file))
    pki(tmp_path, revoke=f"{serial:x}")

    assert set(Revoking(tmp_path).revoked()) == {serial_of(str(by_file)), serial}
    assert "2 in" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["xyz", "", "-"])
def test_what_is_no_certificate_cannot_be_revoked(what: str) -> None:
    with pytest.raises(LdnError) as caught:
        serial_of(what)

    assert caught.value.issue is Issue.INVALID


@pytest.mark.parametrize(
    "given", [{"key": "dsa"}, {"served_at": "https://x"}, {"served_at": "localhost"}]
)
def test_an_option_with_another_value_is_refused(tmp_path: Path, given: dict[str, str]) -> None:
    with pytest.raises(LdnError) as caught:
        pki(tmp_path, ura="90000382", **given)  # type: ignore[arg-type]

    assert caught.value.issue is Issue.INVALID
    assert not (tmp_path / "ca.pem").exists()


def test_a_reason_that_rfc_5280_does_not_have_is_refused(world: World) -> None:
    with pytest.raises(LdnError) as caught:
        Revoking(world.folder).revoke(1, "boredom")

    assert "keyCompromise" in caught.value.message


def test_a_spoiled_book_is_told_and_nothing_is_signed(world: World) -> None:
    (world.folder / "revoked.json").write_text("{")

    with pytest.raises(LdnError) as caught:
        Revoking(world.folder, world.clock).crl()

    assert "revoked.json" in caught.value.message


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_changed_list_or_answer_never_passes_and_never_breaks(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    world, pair, crl, answer = _documents(tmp_path_factory)
    crl_not_answer = data.draw(st.booleans())
    body = bytearray(crl if crl_not_answer else answer)
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] ^= data.draw(st.integers(1, 255))

    try:
        if crl_not_answer:
            read_crl(bytes(body), pair, ("http://x", world.clock()), None)
        else:
            read_answer(bytes(body), pair, (Freshness(), world.clock()), None)
    except LdnError as error:
        assert error.issue is Issue.INCOMPLETE
    else:  # the byte stood where no signature covers it, and nothing depends on it
        assert not crl_not_answer or place > len(crl) - 90


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=300))
def test_random_bytes_are_no_list_and_no_answer(
    tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    world, pair, *_ = _documents(tmp_path_factory)

    for read in (
        lambda: read_crl(body, pair, ("http://x", world.clock()), None),
        lambda: read_answer(body, pair, (Freshness(), world.clock()), None),
    ):
        with pytest.raises(LdnError) as caught:
            read()
        assert caught.value.issue is Issue.INCOMPLETE


_MADE: list[tuple[World, Pair, bytes, bytes]] = []


def _documents(factory: pytest.TempPathFactory) -> tuple[World, Pair, bytes, bytes]:
    if not _MADE:
        world = World(factory.mktemp("documents"))
        pair = issued(world, Shape())
        revoking = Revoking(world.folder, world.clock)
        world.clock.advance(timedelta(seconds=1).total_seconds())
        _MADE.append((world, pair, revoking.crl(), revoking.answer(request(pair))))
    return _MADE[0]
