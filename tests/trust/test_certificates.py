"""UZI server certificates. Source: CIBG, Programma van Eisen UZI-register; Nuts RFC023."""

import os
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from trust.parties import HOSPITAL, PRACTICE, Time, World, der_of

from openldn.base.errors import Issue, LdnError
from openldn.cli.pki import pki
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates import (
    Anchors,
    CertificateParty,
    check_peer,
    party_of,
    require_party,
    thumbprint,
)
from openldn.trust.certificates.issue import (
    Subject,
    Term,
    create_authority,
    issue_server,
    issue_signing,
)
from openldn.trust.certificates.party import OTHER_NAME, text_of, uzi_of

NUMBER = "2.16.528.1.1007.99.2110-1-900025039-S-90000382-00.000-00000000"
KEY = ec.generate_private_key(ec.SECP256R1())


def der_text(tag: int, text: str) -> bytes:
    content = text.encode()
    size = len(content)
    length = bytes((size,)) if size < 128 else bytes((0x81, size))
    return bytes((tag,)) + length + content


def other(value: bytes, oid: str = "2.5.5.5") -> x509.OtherName:
    return x509.OtherName(x509.ObjectIdentifier(oid), value)


def certificate(
    names: Sequence[x509.GeneralName],
    *,
    usages: Sequence[x509.ObjectIdentifier] = (),
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = KEY,
) -> x509.Certificate:
    """A self-signed certificate with these alternative names."""
    title = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "OLVG Oost")])
    begin = Time()()
    builder = (
        x509.CertificateBuilder()
        .subject_name(title)
        .issuer_name(title)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin - timedelta(days=1))
        .not_valid_after(begin + timedelta(days=1))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(key, hashes.SHA256())


def der(made: x509.Certificate) -> bytes:
    return made.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("tag", [0x0C, 0x13, 0x16])
def test_a_uzi_certificate_names_its_care_provider(tag: int) -> None:
    made = certificate([x509.DNSName("node.example"), other(der_text(tag, NUMBER))])

    assert party_of(der(made)) == CertificateParty(
        Ura("90000382"), "900025039", "00000000", "OLVG Oost"
    )


def test_a_short_ura_counts_as_eight_digits() -> None:
    text = "2.16.528.1.1007.99.2110-1-1111-S-00001-00.000-00000000"
    made = certificate([other(der_text(0x0C, text))])

    assert party_of(der(made)).ura == Ura("00000001")


def test_names_of_another_make_may_stand_beside_the_uzi_number() -> None:
    names = [
        other(der_text(0x0C, "someone@example"), "1.3.6.1.4.1.311.20.2.3"),
        other(der_text(0x0C, "something else")),
        other(der_text(0x0C, NUMBER)),
    ]

    assert party_of(der(certificate(names))).ura == HOSPITAL


@pytest.mark.parametrize(
    "names",
    [
        [],
        [x509.DNSName("node.example")],
        [other(der_text(0x0C, NUMBER), "2.5.5.6")],
        [other(der_text(0x1E, NUMBER))],
        [other(der_text(0x0C, NUMBER.replace("-S-", "-Z-")))],
        [other(der_text(0x0C, NUMBER.replace("00.000", "01.015")))],
        [other(der_text(0x0C, NUMBER.replace("90000382", "900003821")))],
        [other(der_text(0x0C, NUMBER.replace("90000382", "٩0000382")))],
        [other(der_text(0x0C, NUMBER + "\n"))],
        [other(der_text(0x0C, f"x{NUMBER}"))],
        [
            other(der_text(0x0C, NUMBER)),
            other(der_text(0x0C, NUMBER.replace("90000382", "90000101"))),
        ],
    ],
)
def test_a_certificate_without_one_clear_uzi_number_names_nobody(
    names: list[x509.GeneralName],
) -> None:
    with pytest.raises(LdnError) as caught:
        party_of(der(certificate(names)))

    assert caught.value.issue is Issue.LOGIN


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\x0c",
        b"\x0c\x05abc",
        b"\x0c\x02abc",
        b"\x0c\x80abc",
        b"\x0c\x81",
        b"\x0c\x81\x03abc",
        b"\x0c\x82\x00\x03abc",
        b"\x0c\x83\x00\x00\x03abc",
        b"\x0c\x01\xff",
        b"\x04\x03abc",
    ],
)
def test_a_text_that_is_not_der_is_refused(junk: bytes) -> None:
    with pytest.raises(ValueError):
        text_of(junk)


@pytest.mark.parametrize("junk", [b"", b"0", b"not a certificate", b"0" * 100_000])
def test_what_is_no_certificate_is_refused(junk: bytes) -> None:
    with pytest.raises(LdnError):
        party_of(junk)


@settings(deadline=None)
@given(text=st.text(max_size=400), tag=st.sampled_from([0x0C]))
def test_every_text_comes_back_from_its_der_form(text: str, tag: int) -> None:
    content = text.encode()
    size = len(content)
    head = bytes((size,)) if size < 128 else bytes((0x81, size)) if size < 256 else b""
    head = head or b"\x82" + size.to_bytes(2, "big")

    assert text_of(bytes((tag,)) + head + content) == text


@settings(deadline=None, max_examples=500)
@given(content=st.binary(max_size=40) | st.binary(max_size=8).map(lambda b: b"\x0c\x82" + b))
def test_any_bytes_are_a_text_or_refused_as_a_value(content: bytes) -> None:
    try:
        found = text_of(content)
    except ValueError:
        return

    assert found.encode() == content[-len(found.encode()) :] or not found


@settings(deadline=None)
@given(
    ura=st.integers(0, 99_999_999),
    uzi=st.integers(0, 999_999_999),
    agb=st.integers(0, 99_999_999),
)
def test_every_uzi_number_is_read_as_it_was_written(ura: int, uzi: int, agb: int) -> None:
    text = f"2.16.528.1.1007.99.2110-1-{uzi:09}-S-{ura}-00.000-{agb:08}"

    assert uzi_of(text) == (f"{uzi:09}", Ura(f"{ura:08}"), f"{agb:08}")


def test_a_caller_without_certificate_is_nobody() -> None:
    for nothing in (None, b""):
        with pytest.raises(LdnError) as caught:
            require_party(nothing)
        assert caught.value.status == 401


def test_a_certificate_for_servers_only_is_not_a_clients() -> None:
    made = certificate([other(der_text(0x0C, NUMBER))], usages=[ExtendedKeyUsageOID.SERVER_AUTH])

    with pytest.raises(LdnError, match="TLS client"):
        require_party(der(made))


def test_a_certificate_without_stated_use_may_be_a_clients() -> None:
    assert require_party(der(certificate([other(der_text(0x0C, NUMBER))]))).ura == HOSPITAL


def test_a_key_that_is_not_for_signing_signs_nothing(tmp_path: Path) -> None:
    authority = create_authority(tmp_path)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.certificate.subject)
        .public_key(KEY.public_key())
        .serial_number(7)
        .not_valid_before(Time()() - timedelta(days=1))
        .not_valid_after(Time()() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([other(der_text(0x0C, NUMBER))]), critical=True)
        .add_extension(for_agreement(), critical=True)
        .sign(authority.key, hashes.SHA256())
    )

    with pytest.raises(LdnError):
        Anchors.load(tmp_path / "ca.pem").check([made, authority.certificate], Time()())


def for_agreement() -> x509.KeyUsage:
    names = "digital_signature content_commitment key_encipherment data_encipherment"
    more = "key_cert_sign crl_sign encipher_only decipher_only"
    return x509.KeyUsage(**dict.fromkeys(f"{names} {more}".split(), False), key_agreement=True)


def test_a_connection_that_outlives_its_certificate_counts_no_more(tmp_path: Path) -> None:
    world = World(tmp_path)
    shown = world.certificate(PRACTICE)

    assert require_party(shown, world.clock()).ura == PRACTICE
    world.clock.advance(366 * 86_400)
    with pytest.raises(LdnError, match="renew"):
        require_party(shown, world.clock())


def test_the_server_must_be_the_holder(tmp_path: Path) -> None:
    world = World(tmp_path)
    check = check_peer(HOSPITAL)

    check(world.certificate(HOSPITAL))
    for wrong in (world.certificate(PRACTICE), der(certificate([x509.DNSName("node.example")]))):
        with pytest.raises(LdnError) as caught:
            check(wrong)
        assert caught.value.issue is Issue.INCOMPLETE


def test_a_thumbprint_is_the_base64url_sha256() -> None:
    assert thumbprint(b"") == "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"


def chain_of(pem: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem.read_bytes())


def test_a_chain_leads_to_the_anchor_or_is_refused(tmp_path: Path) -> None:
    world, foreign = World(tmp_path / "own"), World(tmp_path / "foreign")
    signing = chain_of(world.folder / str(PRACTICE) / "signing.pem")
    unsuited = [
        chain_of(foreign.folder / str(PRACTICE) / "signing.pem"),
        signing[:1],  # the issuing authority is missing
        signing[1:],  # an authority itself
        [certificate([other(der_text(0x0C, NUMBER))])],  # self-signed
        [signing[0], *chain_of(world.folder / "ca.pem")],
    ]

    world.anchors.check(signing, world.clock())
    for chain in unsuited:
        with pytest.raises(LdnError) as caught:
            world.anchors.check(chain, world.clock())
        assert caught.value.issue is Issue.LOGIN


def test_a_chain_counts_between_its_dates_only(tmp_path: Path) -> None:
    world = World(tmp_path)
    signing = chain_of(world.folder / str(PRACTICE) / "signing.pem")

    for days in (-1, 366):
        with pytest.raises(LdnError):
            world.anchors.check(signing, world.clock() + timedelta(days=days))


def test_an_issued_authority_cannot_make_another(tmp_path: Path) -> None:
    [issuing] = chain_of_issuing(tmp_path)

    basic = issuing.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert basic.ca and basic.path_length == 0


def chain_of_issuing(folder: Path) -> list[x509.Certificate]:
    create_authority(folder)
    return chain_of(folder / "issuing.pem")


def test_an_anchor_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for name in ("ca.pem", "absent.pem"):
        with pytest.raises(LdnError, match=r"trust\.ca"):
            Anchors.load(tmp_path / name)


def test_an_authority_is_made_once_and_used_again(tmp_path: Path) -> None:
    first = create_authority(tmp_path)
    anchor = (tmp_path / "ca.pem").read_bytes()
    again = create_authority(tmp_path)

    assert again.certificate == first.certificate
    assert (tmp_path / "ca.pem").read_bytes() == anchor


def test_an_authority_that_is_damaged_foreign_or_expired_is_told(tmp_path: Path) -> None:
    create_authority(tmp_path / "a")
    create_authority(tmp_path / "b")
    key = (tmp_path / "a" / "issuing.key").read_bytes()
    later = Time(Time()() + timedelta(days=3651))

    with pytest.raises(LdnError, match="expired"):
        create_authority(tmp_path / "a", later)
    (tmp_path / "b" / "issuing.key").write_bytes(key)
    with pytest.raises(LdnError, match="belong together"):
        create_authority(tmp_path / "b")
    (tmp_path / "a" / "issuing.key").unlink()
    with pytest.raises(LdnError, match="no usable authority"):
        create_authority(tmp_path / "a")


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    World(tmp_path)

    for path in tmp_path.rglob("*.key"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "ca.pem").stat().st_mode & 0o444 == 0o444
    assert not list(tmp_path.rglob("*.part"))


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(LdnError, match="choose another folder"):
        create_authority(tmp_path / "file" / "below")


@pytest.mark.parametrize(
    "subject",
    [
        Subject(PRACTICE, "x" * 65),
        Subject(PRACTICE, ""),
        Subject(PRACTICE, "West", uzi="12a"),
        Subject(PRACTICE, "West", agb="-"),
        Subject(PRACTICE, "West", hosts=("a..b",)),
    ],
)
def test_a_subject_that_fits_no_certificate_is_refused(tmp_path: Path, subject: Subject) -> None:
    create_authority(tmp_path)

    with pytest.raises(LdnError) as caught:
        issue_server(tmp_path / "west", subject)

    assert caught.value.issue is Issue.INVALID


def test_five_parties_are_ready_within_a_third_of_a_second(tmp_path: Path) -> None:
    began = time.perf_counter()
    create_authority(tmp_path)
    for number in range(5):
        subject = Subject(Ura(f"9000000{number}"), "Zorgaanbieder")
        issue_server(tmp_path / str(number), subject)
        issue_signing(tmp_path / str(number), subject)

    assert time.perf_counter() - began < 0.3


def test_the_command_makes_everything_an_organization_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pki(tmp_path)
    pki(tmp_path, ura="123", name="Huisartsenpraktijk West", host=["west.example"], days=1)

    shown = party_of(der_of(tmp_path / "00000123" / "server.pem"))
    assert (shown.ura, shown.name) == (Ura("00000123"), "Huisartsenpraktijk West")
    assert sorted(os.listdir(tmp_path / "00000123")) == [
        "server.key",
        "server.pem",
        "signing.key",
        "signing.pem",
    ]
    assert "ca.pem" in capsys.readouterr().out


def test_the_command_makes_nothing_for_a_ura_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(LdnError):
        pki(tmp_path, ura="12x")

    assert not list(tmp_path.iterdir())


def test_the_type_of_the_name_is_the_registers() -> None:
    assert OTHER_NAME.dotted_string == "2.5.5.5"


def test_a_term_ends_after_its_days() -> None:
    clock = Time()

    assert Term(clock, days=2).ends() == clock() + timedelta(days=2)
