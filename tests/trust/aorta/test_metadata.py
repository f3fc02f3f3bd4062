"""Signed metadata of authorization servers. Source: RFC 8414 §2.1, §3; AORTA-on-FHIR."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from trust.network import free_port
from trust.parties import HOSPITAL, PRACTICE, World
from trust.saml.saml_world import NOW, keys

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, client_context, server_context, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.http import application
from openldn.trust import jose
from openldn.trust.aorta.metadata import (
    CACHING,
    MAX_AGE,
    AortaMetadata,
    MetadataSource,
    Registered,
    Signs,
    jwks,
    key_set,
    make,
    metadata_url,
    read,
)
from openldn.trust.documents import Documents, hosts
from openldn.trust.trail import Trail

ISSUER = "https://as.aorta.example/za"
ES512, RS256 = keys("as", "ec521").key, keys("as").key
VALUES: dict[str, Any] = {
    "issuer": ISSUER,
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/jwks",
    "response_types_supported": ["token"],
}


def signs(key: jose.Key = ES512, algorithm: str = "ES512") -> Signs:
    return Signs(key, "k1", algorithm)


def registered(*known: jose.Key) -> Registered:
    return Registered(ISSUER, known or (ES512,))


def body(change: dict[str, Any] | None = None, **values: Any) -> bytes:
    """Metadata whose signed values are these; `change` is made after signing."""
    made = make({**VALUES, **values}, signs(), NOW)
    return json.dumps({**made, **(change or {})}).encode()


def refusal(content: bytes, known: Registered | None = None) -> str:
    with pytest.raises(LdnError) as caught:
        read(content, known or registered(), NOW, Trail())
    return caught.value.detail


def test_signed_metadata_is_believed() -> None:
    found = read(body(), registered(), NOW, Trail())

    assert found.token_endpoint == f"{ISSUER}/token"
    assert found.jwks_uri == f"{ISSUER}/jwks"


def test_metadata_signed_with_rs256_is_believed() -> None:
    made = json.dumps(make(VALUES, signs(RS256, "RS256"), NOW)).encode()

    assert read(made, registered(ES512, RS256), NOW, Trail()).issuer == ISSUER


def test_any_of_the_registered_keys_may_have_signed() -> None:
    assert read(body(), registered(ES512, keys("next", "ec521").key), NOW, Trail())
    assert read(body(), registered(keys("next", "ec521").key, ES512), NOW, Trail())


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (json.dumps(VALUES).encode(), "aorta.metadata.signed"),
        (body({"signed_metadata": 7}), "aorta.metadata.signed"),
        (body({"signed_metadata": "a.b.c"}), "jwt.form"),
        (body({"token_endpoint": "https://evil.example/token"}), "aorta.metadata.same"),
        (body({"registration_endpoint": "https://evil.example"}), "aorta.metadata.same"),
        (body({"issuer": "https://evil.example"}), "aorta.metadata.same"),
        (body(issuer="https://other.example"), "aorta.metadata.issuer"),
        (body(token_endpoint="http://as.aorta.example/token"), "aorta.metadata.https"),
        (body(token_endpoint="https://u:p@as.aorta.example/token"), "aorta.metadata.https"),
        (body(token_endpoint=""), "aorta.metadata.form"),
        (body(jwks_uri="file:///etc/passwd"), "aorta.metadata.https"),
        (body(exp=1), "aorta.metadata.current"),
        (body(exp="never"), "aorta.metadata.current"),
        (b"[]", "aorta.metadata.form"),
        (b"{", "aorta.metadata.form"),
        (b'{"issuer":"a","issuer":"b"}', "aorta.metadata.form"),
        (b"", "aorta.metadata.form"),
    ],
)
def test_metadata_that_is_not_wholly_signed_is_refused(content: bytes, rule: str) -> None:
    assert refusal(content) == rule


def test_metadata_signed_by_another_is_refused() -> None:
    assert refusal(body(), registered(keys("other", "ec521").key)) == "jwt.signature"


def test_an_algorithm_that_does_not_fit_the_registered_key_is_refused() -> None:
    assert refusal(body(), registered(RS256)) == "jwt.alg"


def test_metadata_of_before_the_signature_ended_is_told_with_its_end() -> None:
    found = read(body(exp=int(NOW.timestamp()) + 60), registered(), NOW, Trail())

    assert found.ends is not None and (found.ends - NOW).total_seconds() == 60


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_metadata_of_any_kind_escapes_as_a_refusal_only(content: bytes) -> None:
    with pytest.raises(LdnError):
        read(content, registered(), NOW, Trail())


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        (ISSUER, "https://as.aorta.example/.well-known/oauth-authorization-server/za"),
        ("https://a.example", "https://a.example/.well-known/oauth-authorization-server"),
        ("https://a.example/", "https://a.example/.well-known/oauth-authorization-server"),
    ],
)
def test_the_well_known_part_stands_before_the_path(issuer: str, url: str) -> None:
    assert metadata_url(issuer) == url


@pytest.mark.parametrize(
    "issuer", ["", "http://a.example", "https://a.example?x", "https://u@a.example", "https://[x"]
)
def test_what_is_no_issuer_is_refused(issuer: str) -> None:
    with pytest.raises(LdnError):
        metadata_url(issuer)


def test_keys_come_back_by_their_kid_without_their_secret() -> None:
    made = jwks({"one": ES512, "two": RS256})

    found = key_set(made, Trail())

    assert {k: jose.jwk_thumbprint(v) for k, v in found.items()} == {
        "one": jose.jwk_thumbprint(ES512),
        "two": jose.jwk_thumbprint(RS256),
    }
    assert b'"d"' not in made


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b'{"keys":[]}',
        b'{"keys":[{}]}',
        b'{"keys":[{"kid":"a","kty":"oct","k":"AA"}]}',
        b'{"keys":["a"]}',
        b'{"keys":{"kid":"a"}}',
    ],
)
def test_a_key_set_that_cannot_be_used_is_refused(content: bytes) -> None:
    with pytest.raises(LdnError) as caught:
        key_set(content, Trail())
    assert caught.value.detail == "aorta.jwks"


def test_a_kid_that_stands_twice_is_refused() -> None:
    entry = jose.public_jwk(ES512) | {"kid": "same"}

    with pytest.raises(LdnError):
        key_set(json.dumps({"keys": [entry, entry]}).encode(), Trail())


@dataclass
class Server:
    """An authorization server on a real TLS socket, and who looks at it."""

    source: MetadataSource
    issuer: str
    values: dict[str, Any]
    asked: list[str] = field(default_factory=list)


@asynccontextmanager
async def served(world: World, key: jose.Key = ES512) -> AsyncIterator[Server]:
    port = free_port()
    issuer = f"https://127.0.0.1:{port}/za"
    values = {**VALUES, "issuer": issuer, "token_endpoint": f"{issuer}/token"}
    values["jwks_uri"] = f"{issuer}/jwks"
    client = HttpClient(client_context(world.identity(PRACTICE)))
    documents = Documents(lambda _: client, hosts({"127.0.0.1"}), world.clock)
    known = Registered(issuer, (ES512,))
    source = MetadataSource(documents, {issuer: known}.get, world.clock)
    at = Server(source, issuer, values)

    async def metadata(request: Request) -> Response:
        at.asked.append(request.url.path)
        made = make(at.values, Signs(key, "k1", "ES512"), world.clock())
        return Response(json.dumps(made).encode(), headers=CACHING)

    async def key_document(request: Request) -> Response:
        return Response(jwks({"k1": ES512}), headers=CACHING)

    routes = [
        Route("/.well-known/oauth-authorization-server/za", metadata),
        Route("/za/jwks", key_document),
    ]
    app = application(routes, role="test", new_id=new_uuid)
    async with serving(app, "127.0.0.1", port, server_context(world.identity(HOSPITAL))):
        try:
            yield at
        finally:
            await documents.close()
            await client.close()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_metadata_is_fetched_once_until_its_age(world: World) -> None:
    async def case() -> list[str]:
        async with served(world) as at:
            for _ in range(3):
                assert (await at.source.get(at.issuer)).token_endpoint == f"{at.issuer}/token"
            world.clock.advance(MAX_AGE + 1)
            await at.source.get(at.issuer)
            return at.asked

    assert asyncio.run(case()) == ["/.well-known/oauth-authorization-server/za"] * 2


def test_a_key_is_found_at_the_address_that_was_signed(world: World) -> None:
    async def case() -> list[jose.Key | None]:
        async with served(world) as at:
            return [await at.source.key(at.issuer, kid) for kid in ("k1", "k2")]

    known, unknown = asyncio.run(case())

    assert known is not None and unknown is None


def test_metadata_that_turns_bad_never_replaces_or_outlives_the_good(world: World) -> None:
    async def case() -> AortaMetadata:
        async with served(world) as at:
            await at.source.get(at.issuer)
            at.values["token_endpoint"] = "http://evil.example"
            world.clock.advance(MAX_AGE - 1)
            kept = await at.source.get(at.issuer)
            assert kept.token_endpoint == f"{at.issuer}/token"
            world.clock.advance(2)
            return await at.source.get(at.issuer)

    with pytest.raises(LdnError) as caught:
        asyncio.run(case())
    assert caught.value.issue is Issue.INCOMPLETE


def test_a_server_that_is_not_registered_is_not_even_asked(world: World) -> None:
    async def case() -> list[str]:
        async with served(world) as at:
            with pytest.raises(LdnError) as caught:
                await at.source.get("https://127.0.0.1:1/other")
            assert caught.value.issue is Issue.FORBIDDEN
            return at.asked

    assert asyncio.run(case()) == []
