"""The asking side against servers that answer badly. Source: RFC 6749 §5, RFC 8414 §3."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from trust.parties import HOSPITAL, ISSUER, PRACTICE, World, requester

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.http import application
from openldn.trust import jose
from openldn.trust.certificates.issue import create_authority
from openldn.trust.peers import profile
from openldn.trust.tokens.assertions import Expected, verified
from openldn.trust.tokens.belief import Anchored
from openldn.trust.tokens.client import TokenClient, metadata_url
from openldn.trust.tokens.signer import Signer
from openldn.trust.trail import Trail

GOOD = {"access_token": "a" * 43, "token_type": "Bearer", "expires_in": 600}
WELL_KNOWN = "/.well-known/oauth-authorization-server/oauth2/90000382"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def asked(
    world: World,
    token: object = GOOD,
    *,
    status: int = 200,
    metadata: object | None = None,
    metadata_status: int = 200,
) -> Any:
    """What the asking side makes of a server that answers this; the token or the LdnError."""

    async def case() -> Any:
        issuer = ""

        async def tell_metadata(request: Request) -> Response:
            plain = {"issuer": issuer, "token_endpoint": f"{issuer}/token"}
            told = metadata(issuer) if callable(metadata) else metadata
            return _response(plain if metadata is None else told, metadata_status)

        async def tell_token(request: Request) -> Response:
            await request.body()
            return _response(token, status)

        table = [
            Route(WELL_KNOWN, tell_metadata),
            Route("/oauth2/90000382/token", tell_token, methods=["POST"]),
        ]
        client = HttpClient()
        app = application(table, role="test", new_id=new_uuid)
        async with serving(app, "127.0.0.1", 0, None) as port:
            issuer = f"http://127.0.0.1:{port}/oauth2/90000382"
            asking = TokenClient(
                world.signer(PRACTICE), lambda ura: client, world.clock, new_uuid, 5
            )
            try:
                return await asking.token(HOSPITAL, issuer + "/", requester())
            except LdnError as error:
                return error
            finally:
                await client.close()

    return asyncio.run(case())


def _response(content: object, status: int) -> Response:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Response(body, status, {"content-type": "application/json"})


def test_a_plain_answer_is_taken(world: World) -> None:
    token = asked(world)

    assert token.value == "a" * 43
    assert (token.expires - world.clock()).total_seconds() == 600


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b"[" * 100_000,
        [],
        {},
        GOOD | {"token_type": "mac"},
        GOOD | {"access_token": ""},
        GOOD | {"access_token": "a b"},
        GOOD | {"access_token": "a\r\nx-more: b"},
        GOOD | {"access_token": "a" * 9000},
        GOOD | {"expires_in": "soon"},
    ],
)
def test_an_answer_we_do_not_understand_is_the_other_sides_turn(
    world: World, token: object
) -> None:
    error = asked(world, token)

    assert isinstance(error, LdnError)
    assert error.issue is Issue.INCOMPLETE
    assert "report this to its operator" in error.message


@pytest.mark.parametrize("seconds", [-5, 0, 10**15])
def test_a_strange_lifetime_does_no_harm(world: World, seconds: int) -> None:
    token = asked(world, GOOD | {"expires_in": seconds})

    assert 0 <= (token.expires - world.clock()).total_seconds() <= 86_400


def test_a_token_for_less_than_we_ask_is_not_taken(world: World) -> None:
    error = asked(world, GOOD | {"scope": "other"})

    assert error.issue is Issue.FORBIDDEN


@pytest.mark.parametrize(
    ("code", "issue"),
    [
        ("invalid_client", Issue.FORBIDDEN),
        ("invalid_grant", Issue.FORBIDDEN),
        ("invalid_scope", Issue.FORBIDDEN),
        ("unsupported_grant_type", Issue.FORBIDDEN),
        ("999911120 is not welcome", Issue.INCOMPLETE),
    ],
)
def test_a_refusal_is_told_in_words_we_know_only(world: World, code: str, issue: Issue) -> None:
    error = asked(world, {"error": code, "error_description": "patient 999911120"}, status=400)

    assert error.issue is issue
    assert "999911120" not in error.message + error.detail


@pytest.mark.parametrize(("status", "body"), [(500, b""), (503, b"[]"), (429, b"{}"), (302, b"")])
def test_a_server_in_trouble_is_not_a_refusal(world: World, status: int, body: bytes) -> None:
    error = asked(world, body, status=status)

    assert error.issue is Issue.INCOMPLETE


@pytest.mark.parametrize(
    ("metadata", "status"),
    [
        ({"issuer": "https://other.example", "token_endpoint": "http://127.0.0.1/x"}, 200),
        ({"issuer": "http://127.0.0.1"}, 200),
        (b"nothing", 200),
        (b"", 404),
        (b"", 301),
    ],
)
def test_metadata_of_another_issuer_or_none_is_not_used(
    world: World, metadata: object, status: int
) -> None:
    error = asked(world, metadata=metadata, metadata_status=status)

    assert error.issue is Issue.INCOMPLETE


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        (ISSUER, "https://127.0.0.1:8443" + WELL_KNOWN),
        ("https://as.example", "https://as.example/.well-known/oauth-authorization-server"),
        ("https://as.example/", "https://as.example/.well-known/oauth-authorization-server"),
    ],
)
def test_metadata_stands_between_host_and_path(issuer: str, url: str) -> None:
    assert metadata_url(issuer) == url


@pytest.mark.parametrize(
    "issuer", ["", "as.example", "ftp://as.example", "https://", "https://a/?q=1", "https://[x"]
)
def test_what_is_no_issuer_is_not_called(issuer: str) -> None:
    with pytest.raises(LdnError) as caught:
        metadata_url(issuer)

    assert caught.value.issue is Issue.INCOMPLETE


def reissued(world: World, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> Signer:
    """The practice's signing certificate once more, for a key of another kind."""
    folder = world.folder / str(PRACTICE)
    old = x509.load_pem_x509_certificates((folder / "signing.pem").read_bytes())[0]
    authority = create_authority(world.folder)
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc)
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    chain = [builder.sign(authority.key, hashes.SHA256()), authority.certificate]
    pem = serialization.Encoding.PEM
    (folder / "other.pem").write_bytes(b"".join(c.public_bytes(pem) for c in chain))
    kind, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "other.key").write_bytes(key.private_bytes(pem, kind, none))
    return Signer.load(folder / "other.pem", folder / "other.key")


def test_a_party_with_an_rsa_certificate_signs_with_ps256(world: World) -> None:
    signer = reissued(world, rsa.generate_private_key(public_exponent=65537, key_size=2048))
    believes = Anchored(world.anchors, world.clock)
    expected = Expected(frozenset({ISSUER}), world.clock(), profile("twiin"), believes)
    token = jose.read(signer.sign(world.claims()), Trail())

    word = asyncio.run(verified(token, expected, Trail(), client=True))

    assert signer.algorithm == "PS256"
    assert word.subject == "90000101"
    assert word.organizations == {PRACTICE}


def test_a_key_of_a_kind_we_do_not_use_is_told(world: World) -> None:
    with pytest.raises(LdnError, match="check the signing certificate"):
        reissued(world, ec.generate_private_key(ec.SECP384R1()))


def test_signing_files_that_do_not_belong_together_are_told(world: World) -> None:
    own, other = world.folder / str(PRACTICE), world.folder / str(HOSPITAL)
    pairs = [
        (own / "signing.pem", other / "signing.key"),
        (own / "absent.pem", own / "signing.key"),
        (own / "signing.key", own / "signing.key"),
    ]
    for certificate, key in pairs:
        with pytest.raises(LdnError) as caught:
            Signer.load(certificate, key)
        assert "PRIVATE KEY" not in str(caught.value)


def test_a_signer_does_not_show_its_key(world: World) -> None:
    signer = world.signer(PRACTICE)

    assert repr(signer) == "Signer()"
    assert signer.algorithm == "ES256"


@pytest.mark.parametrize(
    "change",
    [
        lambda issuer: {"token_endpoint": issuer.replace("127.0.0.1", "localhost") + "/token"},
        lambda issuer: {"token_endpoint": issuer.replace("://", "://a@") + "/token"},
        lambda issuer: {"token_endpoint": "http://[/token"},
        lambda issuer: {"presentation_definition_endpoint": "http://localhost:1/definition"},
        lambda issuer: {"presentation_definition_endpoint": "file:///etc/passwd"},
    ],
)
def test_metadata_sends_our_proof_to_no_other_place(world: World, change: Any) -> None:
    """Who answers for a holder may not make us call, or prove ourselves to, any other server."""

    def told(issuer: str) -> dict[str, str]:
        moved: dict[str, str] = change(issuer)
        return {"issuer": issuer, "token_endpoint": f"{issuer}/token"} | moved

    error = asked(world, metadata=told)

    assert isinstance(error, LdnError)
    assert error.detail == "metadata of another issuer"
