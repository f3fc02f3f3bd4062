"""Whom a UZI certificate names. Source: CIBG, Programma van Eisen UZI-register; R63, R64."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st
from trust.parties import HOSPITAL, World
from trust.test_certificates import NUMBER, certificate, der, der_text, other

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates import party_of, require_party
from openldn.trust.certificates.issue import Subject, Term, issue_person
from openldn.trust.certificates.party import holder_of
from openldn.trust.parties import Person


def named(text: str, tag: int = 0x0C) -> bytes:
    return der(certificate([other(der_text(tag, text))]))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (NUMBER.replace("-S-", "-Z-").replace("00.000", "01.015"), "uzi.card: Z"),
        (NUMBER.replace("-S-", "-N-"), "uzi.card: N"),
        (NUMBER.replace("-S-", "-M-"), "uzi.card: M"),
        (NUMBER.replace("00.000", "01.015"), "uzi.role: 01.015"),
        (NUMBER.replace("-S-", "-X-"), "uzi.none"),
        (NUMBER.replace("00.000", "0.0"), "uzi.none"),
    ],
)
def test_what_is_not_an_organizations_system_is_refused_with_the_reason_in_the_log(
    text: str, code: str
) -> None:
    for read in (party_of, require_party):
        with pytest.raises(LdnError) as caught:
            read(named(text))

        assert (caught.value.issue, caught.value.detail) == (Issue.LOGIN, code)


def test_several_numbers_in_one_certificate_name_nobody() -> None:
    names = [
        other(der_text(0x0C, NUMBER)),
        other(der_text(0x16, NUMBER.replace("-S-", "-Z-"))),
    ]

    with pytest.raises(LdnError) as caught:
        party_of(der(certificate(names)))

    assert caught.value.detail == "uzi.several"


def test_the_same_number_written_twice_in_other_string_kinds_is_one_number() -> None:
    names = [other(der_text(tag, NUMBER)) for tag in (0x0C, 0x13, 0x16)]

    assert party_of(der(certificate(names))).ura == HOSPITAL


def test_of_two_other_names_the_one_of_type_2_5_5_5_counts() -> None:
    elsewhere = NUMBER.replace("90000382", "90000101")
    names = [
        other(der_text(0x0C, elsewhere), "1.3.6.1.4.1.311.20.2.3"),
        other(der_text(0x16, NUMBER)),
    ]

    assert party_of(der(certificate(names))).ura == HOSPITAL


def test_a_professionals_card_names_a_person_of_the_organization() -> None:
    text = NUMBER.replace("-S-", "-Z-").replace("00.000", "01.015")

    holder = holder_of(named(text))

    assert (holder.card, holder.role, holder.ura) == ("Z", "01.015", HOSPITAL)
    assert holder.person == Person("900025039", "01.015", holder.name)


@pytest.mark.parametrize("card", ["S", "M"])
def test_a_card_on_no_name_names_no_person(card: str) -> None:
    assert holder_of(named(NUMBER.replace("-S-", f"-{card}-"))).person is None


def test_a_short_ura_of_a_person_counts_as_eight_digits() -> None:
    text = "2.16.528.1.1007.99.2110-1-1111-Z-00001-01.015-00000000"

    assert holder_of(named(text)).ura == Ura("00000001")


def test_a_person_of_the_test_authority_shows_a_card_and_no_host(tmp_path: Path) -> None:
    world = World(tmp_path)
    doctor = Subject(
        HOSPITAL, "Oost", uzi="900012345", card="Z", role="01.015", person="A. de Vries"
    )

    issue_person(tmp_path / "doctor", doctor, Term(world.clock))

    content = (tmp_path / "doctor/person.pem").read_bytes()
    leaf = x509.load_pem_x509_certificates(content)[0]
    assert holder_of(der(leaf)).person == Person("900012345", "01.015", "A. de Vries")
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == []
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.SERVER_AUTH not in usages
    assert "Vries" not in repr(holder_of(der(leaf)))


def test_a_card_that_does_not_exist_is_not_issued(tmp_path: Path) -> None:
    World(tmp_path)

    for subject in (Subject(HOSPITAL, "Oost", card="Q"), Subject(HOSPITAL, "Oost", role="1.1")):
        with pytest.raises(LdnError) as caught:
            issue_person(tmp_path / "doctor", subject)
        assert caught.value.issue is Issue.INVALID


SOUND = named(NUMBER)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused_and_never_break(content: bytes) -> None:
    with pytest.raises(LdnError):
        holder_of(content)


def spoiled(content: bytearray, data: st.DataObject) -> bytearray:
    """The content with one mutation."""
    place = data.draw(st.integers(0, len(content) - 1))
    match data.draw(st.sampled_from(["flip", "cut", "repeat", "insert"])):
        case "flip":
            content[place] = data.draw(st.integers(0, 255))
        case "cut":
            del content[place : place + data.draw(st.integers(1, 20))]
        case "repeat":
            content[place:place] = content[place : place + 20]
        case "insert":
            content[place:place] = data.draw(st.binary(max_size=8))
    return content or bytearray(b"0")


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_mutated_certificate_is_read_or_refused_and_never_breaks(data: st.DataObject) -> None:
    content = bytearray(SOUND)
    for _ in range(data.draw(st.integers(1, 6))):
        content = spoiled(content, data)

    for read in (holder_of, party_of, require_party):
        try:
            read(bytes(content))
        except LdnError as error:
            assert error.issue is Issue.LOGIN


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 0x1E), st.binary(max_size=120))
def test_any_value_of_an_other_name_is_read_or_refused(tag: int, content: bytes) -> None:
    value = bytes((tag, len(content))) + content

    with pytest.raises(LdnError) as caught:
        holder_of(der(certificate([other(value)])))

    assert caught.value.issue is Issue.LOGIN


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=120), st.sampled_from([0x0C, 0x13, 0x16, 0x1E, 0x04]))
def test_any_text_in_an_other_name_is_read_or_refused(text: str, tag: int) -> None:
    content = text.encode("utf-8", "replace")[:120]
    value = bytes((tag, len(content))) + content

    with pytest.raises(LdnError):
        holder_of(der(certificate([other(value)])))


def test_the_key_of_a_mutated_certificate_cannot_break_the_reading() -> None:
    public = certificate([other(der_text(0x0C, NUMBER))]).public_key()
    spki = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    broken = SOUND.replace(spki, spki[:-10] + bytes(10))

    assert holder_of(broken).ura == HOSPITAL
