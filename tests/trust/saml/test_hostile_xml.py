"""XML that is meant to do harm. Source: OWASP XML security; XML Encryption 1.1 §6."""

import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trust.saml.saml_world import NOW, assertion, believed, expected, keys, plain, sso

from openldn.base.errors import Issue, LdnError
from openldn.trust.saml import soap
from openldn.trust.saml.encryption import encrypt
from openldn.trust.saml.read import read
from openldn.trust.saml.xml import DEEPEST, MOST, moment, parse, serialized, written
from openldn.trust.trail import Trail

EARLY, LATE = (datetime(year, 1, 1) for year in (1980, 2900))  # noqa: DTZ001 naive bounds
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
LAUGHS = (
    '<!DOCTYPE l [<!ENTITY a "ha">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]><l>&i;</l>"
)
LATIN = '<?xml version="1.0" encoding="ISO-8859-1"?><a/>'
SEVEN = b'<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE a+AD4-<a/>'


def refusal(content: bytes) -> str:
    with pytest.raises(LdnError) as caught:
        read(content, expected(), Trail())
    assert caught.value.issue is Issue.LOGIN
    return caught.value.detail


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (LAUGHS.encode(), "saml.plain"),
        (b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><a/>', "saml.plain"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "saml.plain"),
        (b'<!DOCTYPE a [<!ENTITY % x SYSTEM "file:///etc/passwd">%x;]><a/>', "saml.plain"),
        (b"<!DOCTYPE a [<!ATTLIST a ID ID #IMPLIED>]><a ID='x'/>", "saml.plain"),
        (LAUGHS.encode("utf-16"), "saml.xml"),
        (LAUGHS.encode("utf-32"), "saml.xml"),
        (LATIN.encode("latin-1"), "saml.xml"),
        (SEVEN, "saml.xml"),
        (b"<a>&undeclared;</a>", "saml.xml"),
        (b"<a><b></a>", "saml.xml"),
        (b"", "saml.xml"),
        (b"\x00", "saml.xml"),
        (b"<a>\xff</a>", "saml.xml"),
        (b'<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="/etc/passwd"/></a>', ""),
        (b"<a><!-- said --></a>", "saml.plain"),
        (b"<?xml-stylesheet href='x'?><a/>", "saml.plain"),
        (b"<a/><!-- after -->", "saml.plain"),
        (b"<a ID='same'><b Id='same'/></a>", "saml.ids"),
        (b"<a ID='same'><b xml:id='same'/></a>", "saml.ids"),
        (b"<a ID='same'><b xmlns:u='urn:u' u:Id='same'/></a>", "saml.ids"),
        (b"<a ID='same'><b AssertionID='same'/></a>", "saml.ids"),
        (b"<a>" * (DEEPEST + 1) + b"</a>" * (DEEPEST + 1), "saml.size"),
        (b"<a>" * 100_000 + b"</a>" * 100_000, "saml.xml"),
        (b"<a>" + b"<b/>" * MOST + b"</a>", "saml.size"),
        (b"<a b='" + b"x" * (1024 * 1024) + b"'/>", "saml.size"),
    ],
    ids=range(26),
)
def test_harmful_xml_is_refused_before_anything_is_made_of_it(content: bytes, rule: str) -> None:
    assert refusal(content) == (rule or "saml.one")


def test_what_is_inside_encryption_is_held_to_the_same_rules() -> None:
    closed = serialized(encrypt(LAUGHS.encode(), keys("us").certificate))

    assert refusal(closed) == "saml.plain"


def test_a_bomb_takes_no_memory() -> None:
    tracemalloc.start()
    refusal(LAUGHS.encode())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 1024 * 1024


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_bytes_of_any_kind_escape_as_a_refusal_only(content: bytes) -> None:
    with pytest.raises(LdnError):
        read(content, plain(), Trail())


PIECES = (
    *("<", ">", "</", "/>", "&", ";", "#", '"', "'", "=", " ", "ID", "xmlns", ":", SAML),
    *("Assertion", "EncryptedAssertion", "Response", "!DOCTYPE", "![CDATA[", "]]>", "<!--", "-->"),
    *("xml", "?", "é", "\u0000", "0", "_x"),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_pieces_of_xml_in_any_order_escape_as_a_refusal_only(pieces: list[str]) -> None:
    with pytest.raises(LdnError):
        read("".join(pieces).encode(), plain(), Trail())


WHOLE, CLOSED = assertion(), sso()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([WHOLE, CLOSED]), st.data())
def test_a_genuine_assertion_damaged_anywhere_is_never_believed_as_another(
    whole: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    length = data.draw(st.integers(0, 12))
    new = data.draw(st.binary(max_size=12))
    damaged = whole[:at] + new + whole[at + length :]
    wanted = expected() if whole is CLOSED else plain()

    try:
        proof = read(damaged, wanted, Trail())
    except LdnError:
        return
    genuine = read(whole, wanted, Trail())
    assert proof == genuine


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_an_envelope_of_any_kind_escapes_as_a_refusal_only(content: bytes) -> None:
    with pytest.raises(LdnError):
        soap.read_request(content, "https://sts.example", NOW, timedelta(seconds=5), Trail())


@given(st.datetimes(EARLY, LATE, timezones=st.just(UTC)))
def test_a_moment_comes_back_as_it_was_written(when: datetime) -> None:
    whole = when.replace(microsecond=when.microsecond // 1000 * 1000)

    assert moment(written(whole), Trail()) == whole


@given(st.text(max_size=30))
def test_text_that_is_no_moment_escapes_as_a_refusal_only(text: str) -> None:
    try:
        moment(text, Trail())
    except LdnError as error:
        assert error.detail == "saml.time"


def test_seven_digits_of_a_second_are_read() -> None:
    assert moment("2026-03-02T09:30:00.1234567Z", Trail()).microsecond == 123456


def test_a_genuine_assertion_is_read_after_all_of_this() -> None:
    assert believed(assertion())
    assert parse(assertion(), Trail()).tag.endswith("Assertion")
