"""The Dezi statement: IG DeziUserCredential steps 1-4, rules A14, A16, A17, R70."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trust.people.register import (
    HOSPITAL,
    ISSUER,
    KEYS,
    PRACTICE,
    Register,
    in_loop,
    register,
)

from openldn.base.errors import Issue, LdnError
from openldn.trust import jose
from openldn.trust.evidence import Kind
from openldn.trust.parties import Person
from openldn.trust.people import keysets, status
from openldn.trust.people.levels import Level
from openldn.trust.people.statement import (
    TWELVE,
    DeziExpected,
    differing,
    still,
    verify,
    vouched,
)
from openldn.trust.trail import Trail


async def refused(text: str, expected: DeziExpected) -> str:
    trail = Trail()
    with pytest.raises(LdnError) as caught:
        await verify(text, expected, trail)
    assert caught.value.issue is Issue.LOGIN
    assert trail.failed is not None
    assert trail.failed.rule.code == caught.value.detail
    assert "dezi" not in caught.value.message
    return caught.value.detail


@in_loop
async def test_a_good_statement_gives_the_person_the_organization_and_the_level() -> None:
    async with register() as dezi:
        trail = Trail()

        found = await verify(dezi.statement(), dezi.expected(), trail)

        assert found.person == Person("900022159", "01.015", "J. Zorg-Test")
        assert found.organization == HOSPITAL
        assert found.level is Level.HIGH
        assert tuple(found.values) == TWELVE
        assert found.evidence.kind is Kind.STATEMENT
        assert found.evidence.expires == found.expires
        assert found.evidence.status and found.evidence.status.url.startswith(dezi.origin)
        assert trail.failed is None
        assert "Zorg-Test" not in repr(found) + repr(trail)


@in_loop
async def test_values_may_stand_under_verklaring_but_not_differ_between_the_places() -> None:
    async with register() as dezi:
        role = {"rol_code": "01.016", "rol_naam": "Internist"}
        apart = dezi.statement(rol_code=..., rol_naam=..., verklaring=role)
        twice = dezi.statement(verklaring=role)

        found = await verify(apart, dezi.expected(), Trail())

        assert found.person.role == "01.016"
        assert await refused(twice, dezi.expected()) == "dezi.places"
        assert await refused(dezi.statement(verklaring="x"), dezi.expected()) == "dezi.values"


@in_loop
async def test_a_prefix_of_the_surname_becomes_part_of_the_name() -> None:
    async with register() as dezi:
        for prefix, name in (("van der", "J. van der Zorg-Test"), (..., "J. Zorg-Test")):
            text = dezi.statement(voorvoegsel=prefix)
            found = await verify(text, dezi.expected(), Trail())
            assert found.person.name == name


@in_loop
async def test_each_of_the_twelve_values_when_altered_is_told_by_name() -> None:
    async with register() as dezi:
        found = await verify(dezi.statement(), dezi.expected(), Trail())

        for name, value in found.values.items():
            other: str | int = value + 1 if isinstance(value, int) else f"{value}x"
            assert differing(found.values, {**found.values, name: other}) == (name,)
        assert differing(found.values, dict(found.values)) == ()


@pytest.mark.parametrize("name", TWELVE)
@in_loop
async def test_each_of_the_twelve_values_altered_inside_breaks_the_signature(name: str) -> None:
    async with register() as dezi:
        head, _, tail = dezi.statement().split(".")
        claims = dezi.claims()
        now = claims[name]
        claims[name] = now + 1 if isinstance(now, int) else f"{now}1"
        body = jose.encoded(json.dumps(claims).encode())

        found = await refused(f"{head}.{body}.{tail}", dezi.expected())

        assert found == ("dezi.iss" if name == "iss" else "jwt.signature")


BAD: list[tuple[dict[str, Any], str]] = [
    *(({name: ...}, "dezi.values") for name in TWELVE[3:] if name != "voorvoegsel"),
    *(({name: None}, "dezi.values") for name in TWELVE[3:] if name != "voorvoegsel"),
    *(({name: ["a"]}, "dezi.values") for name in TWELVE[3:]),
    *(({name: " "}, "dezi.values") for name in TWELVE[3:]),
    *(({name: "a" * 201}, "dezi.values") for name in TWELVE[3:]),
    *(({name: "\u202eab"}, "dezi.values") for name in TWELVE[3:]),
    ({"abonnee_nummer": "123456789"}, "dezi.values"),
    ({"abonnee_nummer": "\u0661\u0662"}, "dezi.values"),
    ({"rol_code": "01-015"}, "dezi.values"),
    ({"verklaring_id": ...}, "dezi.values"),
    ({"iss": "https://evil.example"}, "dezi.iss"),
    ({"iss": [ISSUER]}, "dezi.iss"),
    ({"json_schema": "https://www.dezi.nl/json_schemas/v2/verklaring.json"}, "dezi.schema"),
    ({"json_schema": ...}, "dezi.schema"),
    ({"loa_dezi": "http://eidas.europa.eu/LoA/highest"}, "dezi.loa"),
    ({"loa_dezi": ...}, "dezi.loa"),
    ({"exp": ...}, "dezi.times"),
    ({"nbf": True}, "dezi.times"),
    ({"exp": "tomorrow"}, "dezi.times"),
    ({"exp": 10**15}, "dezi.times"),
    ({"exp": 1}, "dezi.times"),
    ({"nbf": -5}, "dezi.times"),
    ({"abonnee_nummer": str(PRACTICE)}, "dezi.ura"),
    ({"status_uri": ...}, "dezi.status-uri"),
    ({"status_uri": "https://evil.example/status"}, "dezi.status-uri"),
    ({"status_uri": "http://169.254.169.254/latest"}, "dezi.status-uri"),
    ({"status_uri": "file:///etc/passwd"}, "dezi.status-uri"),
]


@in_loop
async def test_a_statement_that_lacks_or_spoils_a_value_is_refused() -> None:
    async with register() as dezi:
        for change, code in BAD:
            assert await refused(dezi.statement(**change), dezi.expected()) == code, change


SKEWS = (
    *(("exp", -4, ""), ("exp", -6, "dezi.exp"), ("exp", -7200, "dezi.exp")),
    *(("nbf", 4, ""), ("nbf", 6, "dezi.nbf"), ("nbf", 7200, "dezi.nbf")),
    *(("iat", 4, ""), ("iat", 6, "dezi.iat")),
)


@in_loop
async def test_clocks_may_differ_five_seconds_and_no_more() -> None:
    async with register() as dezi:
        moment = int(dezi.now.timestamp())
        for claim, seconds, code in SKEWS:
            times: dict[str, Any] = {"nbf": moment - 9000, "exp": moment + 9000}
            text = dezi.statement(**times | {claim: moment + seconds})
            if code:
                assert await refused(text, dezi.expected()) == code
            else:
                await verify(text, dezi.expected(), Trail())


@in_loop
async def test_keys_at_an_address_that_is_not_on_the_list_are_never_fetched() -> None:
    async with register() as dezi:
        for jku in ("https://evil.example/jwks.json", f"{dezi.key_set}?x", dezi.origin, None, ""):
            text = raw({"jku": jku}, dezi)
            assert await refused(text, dezi.expected()) == "dezi.jku"
        assert dezi.asked == []


@in_loop
async def test_an_algorithm_that_the_issuer_does_not_use_is_refused() -> None:
    async with register() as dezi:
        head, body, tail = dezi.statement().split(".")
        for name in ("none", "HS256", "RS512", ""):
            header = {"alg": name, "kid": "first", "jku": dezi.key_set}
            forged = f"{jose.encoded(json.dumps(header).encode())}.{body}.{tail}"
            assert await refused(forged, dezi.expected()) == "jwt.alg"
        assert head


@in_loop
async def test_a_key_of_another_kind_or_name_does_not_serve() -> None:
    async with register() as dezi:
        dezi.published = ["first", "curve"]
        expected = dezi.expected()
        await verify(dezi.statement(), expected, Trail())

        assert await refused(dezi.statement(header={"kid": "curve"}), expected) == "jwt.key"
        assert await refused(dezi.statement("second", {"kid": "first"}), expected) == (
            "jwt.signature"
        )
        assert await refused(dezi.statement("second"), expected) == "keys.kid"
        assert await refused(raw({"kid": 7}, dezi), expected) == "keys.kid"
        await verify(dezi.statement("curve"), expected, Trail())


@in_loop
async def test_a_new_key_is_believed_at_once_and_a_withdrawn_key_no_longer() -> None:
    async with register() as dezi:
        expected = dezi.expected()
        await verify(dezi.statement(), expected, Trail())
        dezi.published = ["second"]
        dezi.later(6)

        await verify(dezi.statement("second"), expected, Trail())

        assert await refused(dezi.statement(), expected) == "keys.kid"


@in_loop
async def test_unknown_key_names_do_not_make_us_ask_without_end() -> None:
    async with register() as dezi:
        await verify(dezi.statement(), dezi.expected(), Trail())
        asked = dezi.asked.count("keys")

        for n in range(20):
            text = dezi.statement(header={"kid": f"no-{n}"})
            assert await refused(text, dezi.expected()) == "keys.kid"

        assert dezi.asked.count("keys") == asked


@in_loop
async def test_a_key_set_that_is_slow_to_come_keeps_nobody_waiting() -> None:
    async with register(patience=0.1) as dezi:
        await verify(dezi.statement(), dezi.expected(), Trail())
        dezi.later(6)
        dezi.open.clear()
        began = time.monotonic()

        found = await refused(dezi.statement("second"), dezi.expected())

        assert found == "keys.set"
        assert time.monotonic() - began < 1
        dezi.open.set()


@in_loop
async def test_a_revoked_statement_is_refused_and_one_in_use_ends_within_a_minute() -> None:
    async with register() as dezi:
        found = await verify(dezi.statement(), dezi.expected(), Trail())
        dezi.status["status"] = "ingetrokken"

        dezi.later(61)

        assert not await still(found.evidence, dezi.documents)
        assert await refused(dezi.statement(), dezi.expected()) == "dezi.revoked"


@in_loop
async def test_what_was_revoked_stays_so_although_its_status_is_turned_back() -> None:
    async with register() as dezi:
        dezi.status["status"] = "ingetrokken"
        assert await refused(dezi.statement(), dezi.expected()) == "dezi.revoked"
        dezi.status["status"] = "actief"
        dezi.later(61)

        assert await refused(dezi.statement(), dezi.expected()) == "dezi.revoked"


@in_loop
async def test_the_last_known_status_serves_a_minute_and_then_we_refuse() -> None:
    async with register() as dezi:
        found = await verify(dezi.statement(), dezi.expected(), Trail())
        dezi.down = True

        dezi.later(59)
        assert await still(found.evidence, dezi.documents)
        await verify(dezi.statement(), dezi.expected(), Trail())
        dezi.later(2)

        assert await refused(dezi.statement(), dezi.expected()) == "dezi.status"
        with pytest.raises(LdnError) as caught:
            await still(found.evidence, dezi.documents)
        assert caught.value.issue is Issue.INCOMPLETE


ODD: tuple[Any, ...] = (
    {"verklaring_id": "another", "status": "actief"},
    {"verklaring_id": "0e970fcb-530c-482e-ba28-47b461d4dcb5", "status": "misschien"},
    {"verklaring_id": "0e970fcb-530c-482e-ba28-47b461d4dcb5", "status": ["actief"]},
    {"status": "actief"},
    {},
    [],
    "actief",
    None,
)


@in_loop
async def test_a_status_that_we_do_not_understand_never_counts_as_good() -> None:
    async with register() as dezi:
        for answer in ODD:
            dezi.status = answer
            dezi.later(61)
            assert await refused(dezi.statement(), dezi.expected()) == "dezi.status", answer


@in_loop
async def test_a_statement_that_has_ended_counts_no_more_without_asking() -> None:
    async with register() as dezi:
        found = await verify(dezi.statement(), dezi.expected(), Trail())
        asked = len(dezi.asked)
        dezi.later(3600)

        assert not await still(found.evidence, dezi.documents)
        assert len(dezi.asked) == asked


@in_loop
async def test_a_level_below_what_is_asked_is_refused() -> None:
    async with register() as dezi:
        text = dezi.statement(loa_dezi="http://eidas.europa.eu/LoA/substantial")

        await verify(text, dezi.expected(lowest=Level.SUBSTANTIAL), Trail())

        assert await refused(text, dezi.expected(lowest=Level.HIGH)) == "person.level"


@in_loop
async def test_the_person_said_to_ask_must_be_the_one_of_the_statement() -> None:
    async with register() as dezi:
        text, expected = dezi.statement(), dezi.expected()
        await vouched(text, Person("900022159", "01.015", "whatever"), expected, Trail())

        for other in (Person("900022158", "01.015"), Person("900022159", "01.016")):
            with pytest.raises(LdnError) as caught:
                await vouched(text, other, expected, Trail())
            assert caught.value.detail == "dezi.person"


@in_loop
async def test_a_statement_larger_than_any_real_one_is_not_read() -> None:
    async with register() as dezi:
        assert await refused(dezi.statement(x="a" * 20_000), dezi.expected()) == "dezi.form"


def test_a_key_set_that_names_two_keys_alike_or_has_none_is_refused() -> None:
    jwk = jose.public_jwk(jose.key_of(KEYS["first"])) | {"kid": "a"}
    for listed in ([jwk, jwk], [], [{"kty": "oct", "k": "AA", "kid": "a"}], "x", [jwk] * 101):
        with pytest.raises(LdnError) as caught:
            keysets.read(json.dumps({"keys": listed}).encode())
        assert caught.value.issue is Issue.INVALID


def test_keys_for_encryption_and_of_unknown_kinds_are_left_out() -> None:
    jwk = jose.public_jwk(jose.key_of(KEYS["first"]))
    listed = [jwk | {"kid": "a", "use": "enc"}, {"kty": "X", "kid": "b"}, jwk | {"kid": "c"}, 7]

    assert set(keysets.read(json.dumps({"keys": listed}).encode()).keys) == {"c"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
_UNHURRIED = settings(max_examples=150, deadline=None)
Try = Callable[[Callable[[Register], str]], None]


@pytest.fixture(scope="module")
def attempt() -> Iterator[Try]:
    """Verifies whatever is made, against one register that serves all examples."""
    with asyncio.Runner() as runner:
        running = register()
        dezi = runner.run(running.__aenter__())

        async def verified(text: str) -> None:
            with contextlib.suppress(LdnError):
                await verify(text, dezi.expected(), Trail())

        yield lambda make: runner.run(verified(make(dezi)))
        runner.run(running.__aexit__(None, None, None))


@_UNHURRIED
@given(st.text(max_size=300) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_whatever_text_comes_only_our_error_leaves(attempt: Try, text: str) -> None:
    attempt(lambda dezi: text)


@_UNHURRIED
@given(st.dictionaries(st.sampled_from([*TWELVE, "verklaring", "status_uri", "iat"]), JSON))
def test_whatever_claims_come_signed_only_our_error_leaves(
    attempt: Try, claims: dict[str, Any]
) -> None:
    attempt(lambda dezi: dezi.statement(**claims))


@_UNHURRIED
@given(st.dictionaries(st.sampled_from(["kid", "jku", "typ", "x5c"]), JSON))
def test_whatever_header_comes_only_our_error_leaves(attempt: Try, header: dict[str, Any]) -> None:
    attempt(lambda dezi: raw(header, dezi))


@_UNHURRIED
@given(JSON)
def test_whatever_status_or_key_set_comes_only_our_error_leaves(value: Any) -> None:
    for read in (status.read, keysets.read):
        try:
            read(json.dumps(value).encode(), None)
        except LdnError:
            continue


def raw(header: dict[str, Any], dezi: Register) -> str:
    head = {"alg": "RS256", "kid": "first", "jku": dezi.key_set} | header
    parts = dezi.statement().split(".")
    return ".".join([jose.encoded(json.dumps(head).encode()), *parts[1:]])
