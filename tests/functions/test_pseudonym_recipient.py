"""What a recipient believes: generic functions §5.2, §6.2 step 8, §6.6, V10 (P10-P12)."""

import asyncio
import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from functions.pseudonym_cases import (
    BLIND,
    INDEX_OIN,
    JANSEN,
    MOMENT,
    TO_INDEX,
    Time,
    opener_of,
    private,
    world,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import RSAKey

from openldn.base.errors import Issue, LdnError
from openldn.functions.pseudonyms import oprf
from openldn.functions.pseudonyms.client import token_of
from openldn.functions.pseudonyms.recipient import opener
from openldn.functions.pseudonyms.sealing import Sealer
from openldn.functions.pseudonyms.settings import ReadingSettings
from openldn.functions.pseudonyms.settings import opener_of as opener_by
from openldn.trust import jose

ISSUED = int(MOMENT.timestamp())
POINT = oprf.element(b"any")
CLAIMS: Mapping[str, Any] = {
    "subject": f"pseudonym:eval:{oprf.encoded(POINT)}",
    "aud": TO_INDEX.organization,
    "scope": "nvi",
    "version": "1.1",
    "iat": ISSUED,
    "exp": ISSUED + 300,
    "extra_versions": {},
}


def sealed(claims: Mapping[str, Any], name: str = "index", algorithm: str = "RSA-OAEP") -> str:
    public = private(name).public_key()
    return Sealer("any", RSAKey(public, public), algorithm).seal(claims)


def token(claims: Mapping[str, Any]) -> str:
    return token_of(sealed(claims), BLIND)


def refusal(text: str, time: Time | None = None) -> LdnError:
    with pytest.raises(LdnError) as refused:
        opener_of(time or Time()).open(text)
    return refused.value


def test_p10_what_is_made_for_us_opens() -> None:
    opened = opener_of(Time()).open(token(CLAIMS))

    assert opened.elements == ((1, oprf.unblind(BLIND, POINT)),)
    assert opened.expires == datetime.fromtimestamp(ISSUED + 300, UTC)
    assert len(opened.digest) == 32


def test_p10_the_newer_algorithm_opens_too() -> None:
    made = token_of(sealed(CLAIMS, algorithm="RSA-OAEP-256"), BLIND)

    assert opener_of(Time()).open(made).elements


REFUSED: dict[str, dict[str, Any]] = {
    "token.aud": {"aud": "oin:00000099000000002000"},
    "token.aud ": {"aud": [TO_INDEX.organization]},
    "token.scope": {"scope": "lab"},
    "token.subject": {"subject": oprf.encoded(POINT)},
    "token.subject ": {"subject": None},
    "token.exp": {"exp": None},
    "token.exp ": {"exp": "2027"},
    "token.exp  ": {"exp": ISSUED + 301},
    "token.exp   ": {"iat": ISSUED + 61, "exp": ISSUED + 361},
    "token.exp    ": {"exp": True},
    "size": {"subject": "pseudonym:eval:AAAA"},
    "element": {"subject": f"pseudonym:eval:{oprf.encoded(bytes(32))}"},
    "element ": {"subject": f"pseudonym:eval:{oprf.encoded(bytes([255] * 32))}"},
    "token.versions": {"extra_versions": {"x": oprf.encoded(POINT)}},
    "token.versions ": {"extra_versions": ["1"]},
    "token.versions  ": {"extra_versions": {str(n): oprf.encoded(POINT) for n in range(1, 9)}},
    "token.versions   ": {"extra_versions": {"2": oprf.encoded(POINT)}, "key_version": 2},
    "token.versions    ": {"key_version": 0},
    "token.element": {"extra_versions": {"1": 7}},
}


@pytest.mark.parametrize("detail", REFUSED)
def test_p10_what_is_not_for_us_or_no_evaluation_is_refused_with_one_text(detail: str) -> None:
    made = token({**CLAIMS, **REFUSED[detail]})

    error = refusal(made)

    assert (error.issue, error.detail) == (Issue.INVALID, detail.strip())
    assert error.message == refusal("x").message
    assert made not in str(error)


def test_p11_a_token_counts_until_its_end_and_a_minute_of_skew() -> None:
    time, made = Time(), token(CLAIMS)

    time.pass_by(seconds=360)
    assert opener_of(time).open(made)
    time.pass_by(seconds=1)
    assert refusal(made, time).detail == "token.exp"


def test_p11_a_clock_that_is_behind_by_a_minute_is_forgiven() -> None:
    assert opener_of(Time(MOMENT - timedelta(seconds=60))).open(token(CLAIMS))
    assert refusal(token(CLAIMS), Time(MOMENT - timedelta(seconds=61))).detail == "token.exp"


def test_p12_the_same_jwe_has_the_same_digest_whatever_stands_around_it() -> None:
    jwe = sealed(CLAIMS)
    other = token_of(jwe, oprf.fresh_scalar())
    reader = opener_of(Time())

    first, again = reader.open(token_of(jwe, BLIND)), reader.open(other)

    assert first.digest == again.digest
    assert reader.open(token(CLAIMS)).digest != first.digest


def test_p12_a_used_jwe_cannot_be_written_another_way() -> None:
    """Bits that base64 does not use, and signs it skips, would make it look like a new one."""
    jwe = sealed(CLAIMS)
    *parts, tag = jwe.split(".")  # of 16 bytes: the last sign has four bits to spare
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = alphabet[alphabet.index(tag[-1]) ^ 1]
    others = [
        ".".join([*parts, tag[:-1] + spare]),
        f"{jwe}=",
        f"{jwe}\n",
        jwe.replace(".", ".\n", 1),
    ]

    assert base64.urlsafe_b64decode(f"{tag}==") == base64.urlsafe_b64decode(f"{tag[:-1]}{spare}==")
    for other in others:
        assert refusal(token_of(other, BLIND)).issue is Issue.INVALID


def test_p13_versions_come_newest_first_also_from_a_service_that_does_not_number_them() -> None:
    older = {"extra_versions": {"2": oprf.encoded(POINT), "10": oprf.encoded(POINT)}}

    told = opener_of(Time()).open(token({**CLAIMS, **older, "key_version": 14}))
    untold = opener_of(Time()).open(token({**CLAIMS, **older}))

    assert [n for n, _ in told.elements] == [14, 10, 2]
    assert [n for n, _ in untold.elements] == [11, 10, 2]


def test_p13_a_version_that_is_coming_stands_behind_the_one_that_counts() -> None:
    coming = {"extra_versions": {"4": oprf.encoded(POINT), "2": oprf.encoded(POINT)}}

    opened = opener_of(Time()).open(token({**CLAIMS, **coming, "key_version": 3}))

    assert [n for n, _ in opened.elements] == [3, 4, 2]


def test_v10_a_token_without_padding_is_read_and_plain_text_is_not() -> None:
    published = (
        "eyJldmFsdWF0ZWRfb3V0cHV0IjoiSldFX0ZST01fUFJTIiwiYmxpbmRfZmFjdG9yIjoiQ0xJRU5UX0dFTl9"
        "CTElORF9GQUNUT1IifQ"
    )

    assert json.loads(jose.unpadded(published)) == {
        "evaluated_output": "JWE_FROM_PRS",
        "blind_factor": "CLIENT_GEN_BLIND_FACTOR",
    }
    made = token(CLAIMS)
    padded = base64.urlsafe_b64encode(jose.unpadded(made)).decode()
    assert opener_of(Time()).open(padded).elements == opener_of(Time()).open(made).elements
    for text in ("UHN1ZWRvYnNuOiA5OTk5NDAwMw==", published):
        error = refusal(text)
        assert (error.status, error.message) == (400, refusal("x").message)


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{}",
        b'{"evaluated_output":1,"blind_factor":2}',
        b'{"evaluated_output":"a.b.c.d.e","blind_factor":"AAAA"}',
        b'{"evaluated_output":"a","blind_factor":"a","bsn":"999911120"}',
        b'{"evaluated_output":"a","evaluated_output":"b","blind_factor":"c"}',
        b"\xff\xfe",
        b"[" * 2000,
    ],
)
def test_what_is_no_token_is_refused(content: bytes) -> None:
    assert refusal(jose.encoded(content)).issue is Issue.INVALID


@pytest.mark.parametrize("text", ["", "=", "é", "a" * 20_000, "999911120"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    assert refusal(text).issue is Issue.INVALID


def test_an_altered_jwe_is_refused() -> None:
    jwe = sealed(CLAIMS)
    head, key, iv, body, tag = jwe.split(".")
    flipped = ("A" if body[0] != "A" else "B") + body[1:]
    none = jose.encoded(b'{"alg":"dir","enc":"A256GCM"}')
    zipped = jose.encoded(b'{"alg":"RSA-OAEP","enc":"A256GCM","zip":"DEF"}')

    for other in (
        ".".join((head, key, iv, flipped, tag)),
        ".".join((head, key, iv, body, tag[:8])),
        ".".join((none, key, iv, body, tag)),
        ".".join((zipped, key, iv, body, tag)),
        ".".join((head, key, iv, body)),
        sealed(CLAIMS, "other"),
    ):
        assert refusal(token_of(other, BLIND)).issue is Issue.INVALID


def test_claims_that_are_no_json_object_are_refused() -> None:
    public = RSAKey(private("index").public_key(), private("index").public_key())
    header = {"alg": "RSA-OAEP", "enc": "A256GCM"}
    for plain in (b"", b"{", b"[]", b'"x"', b"\xff", b'{"aud":"a","aud":"b"}'):
        made = jwe.encrypt_compact(header, plain, public)
        assert refusal(token_of(made, BLIND)).detail == "jwe.claims"


READER = opener_of(Time())


@settings(deadline=None)  # other work may hold a test up
@given(st.binary(max_size=300))
def test_whatever_is_sent_is_a_token_or_refused(content: bytes) -> None:
    for text in (content.decode("latin-1"), jose.encoded(content)):
        with pytest.raises(LdnError) as refused:
            READER.open(text)
        assert refused.value.issue is Issue.INVALID


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(deadline=None)  # other work may hold a test up
@given(st.sampled_from([*sorted(CLAIMS), "key_version"]), VALUES)
def test_whatever_a_claim_holds_the_token_opens_or_is_refused(name: str, value: Any) -> None:
    try:
        made = sealed({**CLAIMS, name: value})
    except ValueError:  # a number or a text that no JSON can hold
        return
    try:
        opened = READER.open(token_of(made, BLIND))
    except LdnError as refused:
        assert refused.issue is Issue.INVALID
    else:
        assert {len(e) for _, e in opened.elements} == {32}


def test_two_keys_open_while_one_replaces_the_other(tmp_path: Path, databases: Databases) -> None:
    async def check() -> None:
        files = [_file(tmp_path / f"{name}.key", private(name)) for name in ("index", "new")]
        async with world(databases) as made:
            names = {TO_INDEX.organization}
            reader = opener(files, names, TO_INDEX, made.time)
            key = await made.register()
            before = await made.evaluate(JANSEN)
            await made.registry.remove(key.organization, key.id)
            await made.register(key="new")
            after = await made.evaluate(JANSEN)

            assert reader.open(before).elements == reader.open(after).elements

    asyncio.run(check())


def test_settings_make_the_reader(tmp_path: Path) -> None:
    file = _file(tmp_path / "index.key", private("index"))
    told = ReadingSettings(keys=(file,), recipient=f"oin:{INDEX_OIN}", names=("ura:90000901",))

    reader = opener_by(told, Time())

    assert set(reader.names) == {f"oin:{INDEX_OIN}", "ura:90000901"}
    assert reader.open(token(CLAIMS)).elements
    assert "RSAKey" not in repr(reader)


def test_a_key_that_nobody_can_encrypt_to_is_refused_at_the_start(tmp_path: Path) -> None:
    file = _file(tmp_path / "ec.key", ec.generate_private_key(ec.SECP256R1()))

    with pytest.raises(LdnError) as refused:
        opener([file], {"oin:x"}, TO_INDEX, Time())

    assert refused.value.issue is Issue.EXCEPTION


def _file(path: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> Path:
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(pem)
    return path
