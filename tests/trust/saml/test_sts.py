"""WS-Trust between two parties over real mutual TLS.

Source: WS-Trust 1.4 §4; infrastructures §3.
"""

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from trust.parties import DOCTOR, HOSPITAL, PATIENT, PRACTICE, World, requester
from trust.saml.saml_world import keys
from trust.saml.sts_world import API, PRACTICE_OID, Running, signing, sts, sts_of

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, client_context
from openldn.base.runtime import new_uuid
from openldn.trust.parties import Requester
from openldn.trust.saml import soap, trust
from openldn.trust.saml.organizations import organizations
from openldn.trust.saml.read import SamlExpected, read
from openldn.trust.saml.sts import StsClient
from openldn.trust.saml.variants import variant
from openldn.trust.trail import Trail

Case = Callable[[Running], Awaitable[Any]]
URL = "https://sts.example/sts"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(world: World, case: Case, **other: Any) -> Any:
    async def with_sts() -> Any:
        async with sts(world, **other) as running:
            return await case(running)

    return asyncio.run(with_sts())


def request_of(world: World, asked: Requester | None = None, **other: Any) -> bytes:
    """The envelope the practice would send."""
    return _client(world, **other).request(asked or requester(patient=PATIENT))


def _client(world: World, **other: Any) -> StsClient:
    account = replace(Running(world, sts_of(world, URL)).account(), **other)
    return StsClient(account, HttpClient(), world.clock, new_uuid)


def test_a_professional_gets_an_assertion_for_the_header(world: World) -> None:
    async def case(at: Running) -> Any:
        async with at.asking() as client:
            return await client.for_workflow(HOSPITAL, requester(patient=PATIENT), "w-1"), at

    token, at = run(world, case)

    assert token.headers("GET", API) == {"authorization": f"SAML {token.value}"}
    proof = read(base64.b64decode(token.value), _of_the_api(world, at), Trail())
    assert (proof.organization, proof.patient, proof.purpose) == (PRACTICE, PATIENT, "TREAT")
    assert proof.person is not None
    assert proof.person.uzi == f"{DOCTOR.uzi}@{PRACTICE_OID.removeprefix('urn:oid:')}"
    assert proof.authorization_base == "w-1"
    assert proof.expires == token.expires <= world.clock() + timedelta(minutes=12)


def _of_the_api(world: World, at: Running) -> SamlExpected:
    return SamlExpected(
        audience=API,
        now=world.clock(),
        profile=at.sts.profile,
        variant=variant("zorgplatform-token"),
        pinned={at.sts.url: (at.sts.signing.chain[0],)},
        organization=organizations({PRACTICE_OID: PRACTICE}),
    )


def test_a_system_gets_an_assertion_for_operations(world: World) -> None:
    async def case(at: Running) -> Any:
        async with at.asking() as client:
            return await client.token(HOSPITAL, at.sts.url, _system()), at

    token, at = run(world, case)

    proof = read(base64.b64decode(token.value), _of_the_api(world, at), Trail())
    assert (proof.person, proof.purpose) == (None, "HOPERAT")


def _system() -> Requester:
    return replace(requester(), person=None)


def test_who_need_the_same_at_once_wait_for_one_request(world: World) -> None:
    async def case(at: Running) -> Any:
        async with at.asking() as client, asyncio.TaskGroup() as group:
            asked = requester(patient=PATIENT)
            tasks = [group.create_task(client.token(HOSPITAL, "", asked)) for _ in range(20)]
        return {task.result().value for task in tasks}

    assert len(run(world, case)) == 1


def test_an_assertion_is_used_until_shortly_before_its_end(world: World) -> None:
    async def case(at: Running) -> Any:
        async with at.asking() as client:
            first = await client.token(HOSPITAL, "", requester())
            second = await client.token(HOSPITAL, "", requester())
            client.forget(second)
            third = await client.token(HOSPITAL, "", requester())
            world.clock.advance(11 * 60 + 40)
            fourth = await client.token(HOSPITAL, "", requester())
            return [t.value for t in (first, second, third, fourth)]

    first, second, third, fourth = run(world, case)

    assert first == second
    assert len({second, third, fourth}) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signing": keys("another practice")}, "FailedAuthentication"),
        ({"audience": "https://another.example"}, "FailedAuthentication"),
        ({"identifier": "urn:oid:1.2.3"}, "FailedAuthentication"),
        ({"applies_to": "https://another.example/"}, "RequestFailed"),
    ],
)
def test_a_refusal_tells_whose_turn_it_is_in_words_of_the_standard(
    world: World, change: dict[str, Any], words: str
) -> None:
    async def case(at: Running) -> Any:
        async with at.asking(at.account(**change)) as client:
            await client.token(HOSPITAL, "", requester())

    with pytest.raises(LdnError) as caught:
        run(world, case)
    assert caught.value.issue is Issue.FORBIDDEN
    assert words in caught.value.message


def test_another_client_certificate_is_refused(world: World) -> None:
    async def case(at: Running) -> Any:
        async with at.asking(shown=world.identity(HOSPITAL)) as client:
            await client.token(HOSPITAL, "", requester())

    with pytest.raises(LdnError, match="FailedAuthentication"):
        run(world, case)


def test_without_a_client_certificate_nothing_is_given(world: World) -> None:
    async def case(at: Running) -> Any:
        bare = ssl.create_default_context(cafile=str(world.folder / "ca.pem"))
        client = HttpClient(bare)
        try:
            return await client.send("POST", at.sts.url, body=b"", deadline=5)
        finally:
            await client.close()

    with pytest.raises(LdnError) as caught:
        run(world, case)
    assert caught.value.issue is Issue.INCOMPLETE


def test_an_assertion_of_an_sts_that_is_not_pinned_is_not_taken(world: World) -> None:
    async def case(at: Running) -> Any:
        other = at.account(pinned=(signing(world, "another sts").certificate,))
        async with at.asking(other) as client:
            await client.token(HOSPITAL, "", requester())

    with pytest.raises(LdnError) as caught:
        run(world, case)
    assert caught.value.issue is Issue.INCOMPLETE
    assert caught.value.detail == "saml.signature"


def test_only_our_own_organization_asks(world: World) -> None:
    with pytest.raises(LdnError, match="own organization"):
        asyncio.run(_client(world).token(HOSPITAL, "", requester(HOSPITAL)))


def test_a_purpose_without_a_word_in_the_dialect_is_told(world: World) -> None:
    asked = replace(requester(), purpose="BTG")

    with pytest.raises(LdnError, match="purpose"):
        request_of(world, asked)


def refusal(world: World, envelope: bytes, **other: Any) -> str:
    """The rule by which the STS refuses this."""
    server = sts_of(world, URL, **other)
    with pytest.raises(LdnError) as caught:
        asyncio.run(server.issue(envelope, world.certificate(PRACTICE)))
    return caught.value.detail


def test_a_request_counts_once(world: World) -> None:
    server, envelope = sts_of(world, URL), request_of(world)
    shown = world.certificate(PRACTICE)

    asyncio.run(server.issue(envelope, shown))

    with pytest.raises(LdnError) as caught:
        asyncio.run(server.issue(envelope, shown))
    assert caught.value.detail == "sts.fresh"


def test_a_message_older_than_its_timestamp_is_refused(world: World) -> None:
    envelope = request_of(world)

    world.clock.advance(300 + 6)

    assert refusal(world, envelope) == "soap.timestamp"


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        (b"/RST/Issue</a:Action>", b"/RST/Renew</a:Action>", "soap.addressing"),
        (b"<u:Expires>", b"<u:Expires/><u:Expires>", "soap.timestamp"),
        (URL.encode() + b"</a:To>", b"https://elsewhere.example</a:To>", "soap.addressing"),
        (b"addressing/anonymous", b"addressing/none", "soap.addressing"),
        (b"200512/Bearer", b"200512/SymmetricKey", "wst.request"),
        (b"#SAMLV2.0", b"#SAMLV1.1", "wst.request"),
        (b"200512/Issue</trust:RequestType>", b"200512/Cancel</trust:RequestType>", "wst.request"),
        (API.encode() + b"</", b"</", "wst.applies-to"),
        (b"soap-envelope", b"soap-onvelope", "soap.envelope"),
        (b"<s:Header>", b'<s:Header><x s:mustUnderstand="1"/>', "soap.must-understand"),
        (b"<s:Body>", b"<s:Body><more/>", "soap.envelope"),
    ],
)
def test_a_request_that_is_not_as_agreed_is_refused(
    world: World, old: bytes, new: bytes, rule: str
) -> None:
    envelope = request_of(world)
    assert old in envelope

    assert refusal(world, envelope.replace(old, new)) == rule


def test_a_second_assertion_in_the_header_is_refused(world: World) -> None:
    envelope = request_of(world)
    at = envelope.index(b"</o:Security>")
    start = envelope.index(b"<Assertion")

    doubled = envelope[:at] + envelope[start:at].replace(b'ID="_', b'ID="_x') + envelope[at:]

    assert refusal(world, doubled) == "soap.token"


def test_a_party_cannot_speak_for_another_tenant(world: World) -> None:
    stranger = replace(requester(), person=replace(DOCTOR, uzi="jansen@1.2.3.4"))

    assert refusal(world, request_of(world, stranger)) == "sts.own-name"


def test_a_token_never_outlives_the_assertion_it_was_asked_with(world: World) -> None:
    envelope = request_of(world)
    world.clock.advance(240)

    server = sts_of(world, URL)
    content, _ = server.said(asyncio.run(server.asked(envelope, world.certificate(PRACTICE))))

    eleven = world.clock() + timedelta(minutes=11)
    assert eleven - timedelta(milliseconds=1) < content.ends <= eleven


def test_a_fault_says_nothing_but_its_code(world: World) -> None:
    async def case(at: Running) -> Any:
        client = HttpClient(client_context(world.identity(PRACTICE)))
        headers = {"content-type": soap.MEDIA_TYPE}
        try:
            return [
                await client.send("POST", at.sts.url, headers=headers, body=body, deadline=5)
                for body in (b"<x/>", b"<!DOCTYPE x><x/>", b"", request_of(world))
            ]
        finally:
            await client.close()

    replies = run(world, case)

    for reply in replies:
        fault = soap.read_answer(reply.body, Trail())
        assert (reply.status, trust.read_fault(fault)) == (400, "FailedAuthentication")
        assert reply.headers["content-type"].startswith(soap.MEDIA_TYPE)
        assert b"the request is refused" in reply.body


def test_another_content_type_is_refused(world: World) -> None:
    async def case(at: Running) -> Any:
        client = HttpClient(client_context(world.identity(PRACTICE)))
        try:
            return await client.send("POST", at.sts.url, body=b"<x/>", deadline=5)
        finally:
            await client.close()

    assert run(world, case).status == 415


def test_words_of_the_sts_are_never_repeated(world: World) -> None:
    body = trust.fault("FailedAuthentication", sender=True)
    evil = soap.answer("", body, world.clock()).replace(
        b"trust:FailedAuthentication", b"trust:Patient999911120"
    )

    assert trust.read_fault(soap.read_answer(evil, Trail())) == ""
