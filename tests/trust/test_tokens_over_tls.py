"""Tokens between two parties over real mutual TLS. Source: RFC 6749, 6750, 8414, 8705."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import structlog
from conftest import Databases
from trust.network import Holder, asking, connected, holder
from trust.parties import (
    DOCTOR,
    HOSPITAL,
    NAMES,
    PATIENT,
    PHARMACY,
    PRACTICE,
    Time,
    World,
    bearing,
    requester,
)

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Identity, Reply
from openldn.base.log import CATALOGUE
from openldn.trust.certificates.issue import Subject, Term, issue_server

FORM = {"content-type": "application/x-www-form-urlencoded"}
Case = Callable[[Holder], Awaitable[Any]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(databases: Databases, world: World, case: Case, shown: Identity | None = None) -> Any:
    """The case against a running hospital."""

    async def with_holder() -> Any:
        async with databases.pool() as pool, holder(world, pool, shown) as running:
            return await case(running)

    return asyncio.run(with_holder())


async def post(client: HttpClient, at: Holder, body: bytes, **headers: str) -> Reply:
    merged = FORM | headers
    return await client.send("POST", at.token_url, headers=merged, body=body, deadline=10)


def good(at: Holder) -> dict[str, str]:
    return at.world.form(aud=at.server.issuer) | {
        "client_assertion": at.world.signer(PRACTICE).sign(
            at.world.claims(PRACTICE, aud=at.token_url)
        )
    }


async def patient(client: HttpClient, at: Holder, token: str) -> Reply:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return await client.send("GET", f"{at.url}/fhir/STU3/Patient", headers=headers, deadline=10)


def test_a_participant_asks_a_token_and_is_let_in_with_it(
    databases: Databases, world: World
) -> None:
    async def case(at: Holder) -> None:
        async with asking(world) as tokens, connected(world.identity(PRACTICE)) as client:
            token = await tokens.token(HOSPITAL, at.server.issuer, requester())
            reply = await patient(client, at, token.value)

        assert reply.status == 200
        assert json.loads(reply.body) == {"organization": "90000101"}
        assert token.expires == world.clock() + timedelta(minutes=10)
        assert token.value not in repr(token)

    run(databases, world, case)


def test_the_token_names_person_purpose_and_patient(databases: Databases, world: World) -> None:
    async def case(at: Holder) -> None:
        async with asking(world) as tokens:
            asked = requester(patient=PATIENT)
            token = await tokens.token(HOSPITAL, at.server.issuer, asked)
            grant = await at.server.verify(bearing(token.value, world.certificate(PRACTICE)))

        assert grant.requester == asked
        assert grant.requester.person == DOCTOR
        assert grant.id == token.id

    run(databases, world, case)


@pytest.mark.parametrize(
    ("token", "header"),
    [("", "Bearer"), ("x" * 43, 'Bearer error="invalid_token"'), ("é", None), ("a b", None)],
)
def test_without_a_token_that_counts_nobody_is_let_in(
    databases: Databases, world: World, token: str, header: str | None
) -> None:
    async def case(at: Holder) -> Reply:
        async with connected(world.identity(PRACTICE)) as client:
            return await patient(client, at, token)

    reply = run(databases, world, case)

    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith("Bearer")
    assert header is None or reply.headers["www-authenticate"] == header


def test_a_token_of_another_node_does_not_let_in(databases: Databases, world: World) -> None:
    async def case(at: Holder) -> Reply:
        async with asking(world) as tokens, connected(world.identity(PHARMACY)) as client:
            token = await tokens.token(HOSPITAL, at.server.issuer, requester())
            return await patient(client, at, token.value)

    assert run(databases, world, case).status == 401


def test_the_form_alone_without_the_right_certificate_gives_nothing(
    databases: Databases, world: World
) -> None:
    async def case(at: Holder) -> Reply:
        async with connected(world.identity(PHARMACY)) as client:
            return await post(client, at, urlencode(good(at)).encode())

    reply = run(databases, world, case)

    assert reply.status == 401
    assert json.loads(reply.body)["error"] == "invalid_client"
    assert reply.headers["cache-control"] == "no-store"


def test_a_replayed_form_gives_nothing(databases: Databases, world: World) -> None:
    async def case(at: Holder) -> list[Reply]:
        async with connected(world.identity(PRACTICE)) as client:
            body = urlencode(good(at)).encode()
            return [await post(client, at, body) for _ in range(2)]

    first, second = run(databases, world, case)

    assert first.status == 200
    assert first.headers["cache-control"] == "no-store"
    assert second.status == 400
    assert json.loads(second.body)["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"scope": "everything"}, 400, "invalid_scope"),
        ({"assertion": "x"}, 400, "invalid_grant"),
        ({"client_assertion": "x"}, 401, "invalid_client"),
        ({"client_assertion_type": "x"}, 400, "invalid_request"),
    ],
)
def test_each_refusal_has_its_word(
    databases: Databases, world: World, change: dict[str, str], status: int, error: str
) -> None:
    async def case(at: Holder) -> Reply:
        async with connected(world.identity(PRACTICE)) as client:
            return await post(client, at, urlencode(good(at) | change).encode())

    reply = run(databases, world, case)

    assert (reply.status, json.loads(reply.body)["error"]) == (status, error)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", FORM["content-type"], 400),
        (b"grant_type", FORM["content-type"], 400),
        (b"grant_type=a&grant_type=a", FORM["content-type"], 400),
        (b"\xff=\xfe", FORM["content-type"], 400),
        (b"a=%ff", FORM["content-type"], 400),
        (b"&".join(b"a%d=1" % i for i in range(100)), FORM["content-type"], 400),
        (b'{"grant_type": "x"}', "application/json", 400),
        (b"a=" + b"x" * 300_000, FORM["content-type"], 413),
    ],
)
def test_a_form_that_cannot_be_read_is_an_invalid_request(
    databases: Databases, world: World, body: bytes, kind: str, status: int
) -> None:
    async def case(at: Holder) -> Reply:
        async with connected(world.identity(PRACTICE)) as client:
            return await post(client, at, body, **{"content-type": kind})

    reply = run(databases, world, case)

    assert reply.status == status
    assert json.loads(reply.body)["error"] == "invalid_request"


def test_a_directory_that_is_away_means_try_again(databases: Databases, world: World) -> None:
    async def case(at: Holder) -> Reply:
        async def away(ura: object) -> bool:
            raise LdnError(Issue.INCOMPLETE, "the directory is away")

        at.server.known = away
        async with connected(world.identity(PRACTICE)) as client:
            return await post(client, at, urlencode(good(at)).encode())

    reply = run(databases, world, case)

    assert reply.status == 503
    assert reply.headers["retry-after"] == "5"


def test_the_server_tells_what_it_offers_where_clients_look(
    databases: Databases, world: World
) -> None:
    async def case(at: Holder) -> None:
        well_known = "/.well-known/oauth-authorization-server"
        at_issuer = f"/oauth2/{HOSPITAL}"
        async with connected(world.identity(PRACTICE)) as client:
            for path in (well_known, well_known + at_issuer, at_issuer + well_known):
                reply = await client.send("GET", at.url + path, deadline=10)
                told = json.loads(reply.body)

                assert told["issuer"] == at.server.issuer
                assert told["token_endpoint"] == at.token_url
                assert told["tls_client_certificate_bound_access_tokens"] is True
                assert told["token_endpoint_auth_signing_alg_values_supported"] == [
                    "PS256",
                    "ES256",
                    "ES512",
                ]
            for path in (f"{well_known}/oauth2/{PHARMACY}", f"/oauth2/{PHARMACY}/token"):
                method = "POST" if path.endswith("token") else "GET"
                reply = await client.send(method, at.url + path, deadline=10)

                assert reply.status == 404

    run(databases, world, case)


def test_ten_who_need_the_same_token_at_once_make_one_request(
    databases: Databases, world: World
) -> None:
    async def case(at: Holder) -> None:
        async with asking(world) as tokens:
            async with asyncio.TaskGroup() as group:
                asks = [
                    group.create_task(tokens.token(HOSPITAL, at.server.issuer, requester()))
                    for _ in range(10)
                ]
            await tokens.token(HOSPITAL, at.server.issuer, requester())

        assert len({ask.result().value for ask in asks}) == 1
        assert at.requests == [
            f"GET /.well-known/oauth-authorization-server/oauth2/{HOSPITAL}",
            f"POST /oauth2/{HOSPITAL}/token",
        ]

    run(databases, world, case)


def test_a_token_is_asked_anew_just_before_it_ends_or_when_it_was_refused(
    databases: Databases, world: World
) -> None:
    async def case(at: Holder) -> None:
        async with asking(world) as tokens:
            first = await tokens.token(HOSPITAL, at.server.issuer, requester())
            world.clock.advance(569)
            same = await tokens.token(HOSPITAL, at.server.issuer, requester())
            world.clock.advance(2)
            second = await tokens.token(HOSPITAL, at.server.issuer, requester())
            tokens.forget(second)
            third = await tokens.token(HOSPITAL, at.server.issuer, requester())

        assert first == same
        assert len({first.value, second.value, third.value}) == 3

    run(databases, world, case)


def test_one_who_gives_up_does_not_spoil_it_for_the_others(
    databases: Databases, world: World
) -> None:
    async def case(at: Holder) -> None:
        async with asking(world) as tokens:
            at.open.clear()
            first = asyncio.create_task(tokens.token(HOSPITAL, at.server.issuer, requester()))
            second = asyncio.create_task(tokens.token(HOSPITAL, at.server.issuer, requester()))
            while not at.requests:
                await asyncio.sleep(0)
            first.cancel()
            at.open.set()
            token = await second

        assert first.cancelled()
        assert len(token.value) == 43

    run(databases, world, case)


def test_a_server_that_does_not_answer_is_given_up_in_time(
    databases: Databases, world: World
) -> None:
    async def case(at: Holder) -> LdnError:
        at.open.clear()
        async with asking(world, deadline=0.3) as tokens:
            with pytest.raises(LdnError) as caught:
                await tokens.token(HOSPITAL, at.server.issuer, requester())
        return caught.value

    assert run(databases, world, case).issue is Issue.TIMEOUT


def test_an_organization_that_left_hears_that_it_is_not_accepted(
    databases: Databases, world: World
) -> None:
    world.members.remove(PRACTICE)

    async def case(at: Holder) -> LdnError:
        async with asking(world) as tokens:
            with pytest.raises(LdnError) as caught:
                await tokens.token(HOSPITAL, at.server.issuer, requester())
        return caught.value

    error = run(databases, world, case)

    assert error.issue is Issue.FORBIDDEN
    assert "invalid_client" in error.message


def test_a_server_of_another_organization_is_told_nothing(
    databases: Databases, world: World
) -> None:
    async def case(at: Holder) -> LdnError:
        async with asking(world) as tokens:
            with pytest.raises(LdnError) as caught:
                await tokens.token(HOSPITAL, at.server.issuer, requester())

        assert at.requests == []
        return caught.value

    error = run(databases, world, case, shown=world.identity(PHARMACY))

    assert error.issue is Issue.INCOMPLETE
    assert "another organization" in error.message


def strangers(world: World) -> dict[str, Identity]:
    """Certificates that TLS itself must refuse."""
    foreign = World(world.folder / "foreign", world.clock)
    past = Term(Time(world.clock() - timedelta(days=3)), days=1)
    issue_server(world.folder / "expired", Subject(PRACTICE, NAMES[PRACTICE]), past)
    ca = world.folder / "ca.pem"
    signing = world.folder / str(PRACTICE)
    return {
        "foreign": foreign.identity(PRACTICE, ca),
        "expired": world.identity("expired", ca),
        "signing": Identity(signing / "signing.pem", signing / "signing.key", ca),
    }


@pytest.mark.parametrize("kind", ["foreign", "expired", "signing"])
def test_a_certificate_we_do_not_trust_gets_no_answer_at_all(
    databases: Databases, world: World, kind: str
) -> None:
    stranger = strangers(world)[kind]

    async def case(at: Holder) -> LdnError:
        async with connected(stranger) as client:
            with pytest.raises(LdnError) as caught:
                await client.send("GET", f"{at.url}/fhir/STU3/Patient", deadline=10)

        assert at.requests == []
        return caught.value

    assert run(databases, world, case).issue is Issue.INCOMPLETE


def test_without_a_client_certificate_there_is_no_answer(
    databases: Databases, world: World
) -> None:
    context = ssl.create_default_context(cafile=str(world.folder / "ca.pem"))

    async def case(at: Holder) -> None:
        client = HttpClient(context)
        with pytest.raises(LdnError):
            await client.send("GET", f"{at.url}/fhir/STU3/Patient", deadline=10)
        await client.close()

        assert at.requests == []

    run(databases, world, case)


@pytest.mark.parametrize("kind", ["foreign", "expired"])
def test_a_server_we_do_not_trust_is_told_nothing(
    databases: Databases, world: World, kind: str
) -> None:
    shown = strangers(world)[kind]

    async def case(at: Holder) -> LdnError:
        async with asking(world) as tokens:
            with pytest.raises(LdnError) as caught:
                await tokens.token(HOSPITAL, at.server.issuer, requester())

        assert at.requests == []
        return caught.value

    assert run(databases, world, case, shown).issue is Issue.INCOMPLETE


def test_no_log_line_holds_a_token_an_assertion_a_bsn_or_a_name(
    databases: Databases, world: World
) -> None:
    async def case(at: Holder) -> list[str]:
        async with asking(world) as tokens, connected(world.identity(PRACTICE)) as client:
            token = await tokens.token(HOSPITAL, at.server.issuer, requester(patient=PATIENT))
            await patient(client, at, token.value)
            await patient(client, at, "y" * 43)
            form = good(at)
            for change in ({}, {}, {"scope": "999911120"}, {"assertion": "x" * 50}):
                await post(client, at, urlencode(form | change).encode())
            return [token.value, form["assertion"], "y" * 43]

    with structlog.testing.capture_logs() as lines:
        secret = run(databases, world, case)

    written = json.dumps(lines, default=str)
    assert {line["event"] for line in lines} == {"request", "refused"}
    for word in (*secret, "999911120", "Jansen", "BEGIN"):
        assert word not in written
    for line in lines:
        allowed = CATALOGUE[line["event"]].fields | {"event", "log_level"}
        assert set(line) <= allowed
    assert {line["peer"] for line in lines if line["event"] == "refused"} == {"90000101"}


def test_a_request_for_another_organization_than_our_own_is_not_made(world: World) -> None:
    async def case() -> None:
        async with asking(world) as tokens:
            with pytest.raises(LdnError) as caught:
                await tokens.token(HOSPITAL, "https://127.0.0.1:1/x", requester(PHARMACY))

        assert caught.value.issue is Issue.FORBIDDEN

    asyncio.run(case())
