"""A service put behind the gateway from its settings, and tokens that are given elsewhere.

Source: generic functions §2.6; RFC 7662; RFC 9068.
"""

import asyncio
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from conftest import Databases
from cryptography import x509
from functions.gated import NVI, Behind, behind, decoded, service
from joserfc.jwk import ECKey
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from trust.certificates.served import authority
from trust.network import connected, free_port
from trust.parties import HOSPITAL, PHARMACY, PRACTICE, World

from openldn.app.common import Front, behind_gateway
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply, serving
from openldn.base.runtime import new_uuid
from openldn.base.settings import check
from openldn.base.sql import Pool
from openldn.fhir.http import application
from openldn.fhir.identifiers import Oin, Ura
from openldn.functions.authentication.client import ServiceTokens, Target
from openldn.functions.authentication.connections import Connections
from openldn.functions.authentication.elsewhere import Terms, pass_of
from openldn.functions.authentication.model import Organization, Register
from openldn.functions.authentication.settings import GatewaySettings, register_of
from openldn.trust import jose
from openldn.trust.certificates import thumbprint
from openldn.trust.certificates.issue import Subject, Term, issue_server, served_at
from openldn.trust.trail import Trail

OWN = "00000003123456780000"
SETTINGS = """
audiences = ["nvi-audience"]
per_minute = 600

[[organizations]]
ura = "90000101"
oin = "00000003123456780000"
name = "Praktijk West"

[[mandates]]
organization = "90000382"
acting = "90000101"
scopes = ["nvi:read"]
until = 2999-01-01T00:00:00Z
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def settings_of(text: str) -> GatewaySettings:
    return check(tomllib.loads(text), GatewaySettings, "test")


@dataclass
class Fronted:
    url: str
    seen: list[Request]

    async def get(self, client: HttpClient, token: str, path: str = "/fhir/List") -> Reply:
        headers = {"authorization": f"Bearer {token}"}
        return await client.send("GET", self.url + path, headers=headers, deadline=10)


@asynccontextmanager
async def fronted(
    world: World, pool: Pool | None, settings: GatewaySettings, name: str = "localization"
) -> AsyncIterator[Fronted]:
    port, seen = free_port(), list[Request]()
    url = f"https://127.0.0.1:{port}"
    front = Front(url, world.identity(HOSPITAL), pool)
    app, context = await behind_gateway(service(seen), name, settings, front)
    async with serving(app, "127.0.0.1", port, context):
        yield Fronted(url, seen)


def test_a_service_stands_behind_the_gateway_with_its_settings(
    databases: Databases, world: World
) -> None:
    async def case() -> None:
        async with (
            databases.pool() as pool,
            fronted(world, pool, settings_of(SETTINGS)) as at,
            connected(world.identity(PRACTICE)) as client,
        ):
            target = Target(at.url, NVI, "90000382")
            tokens = ServiceTokens(target, client, world.clock, new_uuid)
            heard = decoded(await at.get(client, await tokens.bearer("nvi:read")))
            with pytest.raises(LdnError, match="mandate"):
                await tokens.bearer("nvi:create")
            own = replace(target, organization="90000101")
            tokens = ServiceTokens(own, client, world.clock, new_uuid)
            plain = decoded(await at.get(client, await tokens.bearer("nvi:create")))

        assert (heard["organization"], heard["acting"]) == ("90000382", "90000101")
        assert (plain["organization"], plain["oin"], plain["acting"]) == ("90000101", OWN, "")

    asyncio.run(case())


def test_a_service_without_lists_says_so_at_its_start(databases: Databases, world: World) -> None:
    async def case() -> None:
        async with databases.pool() as pool, fronted(world, pool, GatewaySettings()):
            pass

    with structlog.testing.capture_logs() as lines:
        asyncio.run(case())

    told = [line["setting"] for line in lines if line["event"] == "insecure"]
    assert told == ["gateway.fetch_hosts"]


def test_to_believe_headers_is_told_at_the_start(world: World, databases: Databases) -> None:
    upstream = '[upstream]\naudiences = ["x"]\ninsecure_trust_headers_from = ["127.0.0.1"]\n'
    front = "insecure_plain_http = true\n"

    async def case() -> Any:
        async with databases.pool() as pool:
            where = Front("https://x", world.identity(HOSPITAL), pool)
            return await behind_gateway(
                service([]), "localization", settings_of(upstream + front), where
            )

    with structlog.testing.capture_logs() as lines:
        _, context = asyncio.run(case())

    told = {line["setting"] for line in lines if line["event"] == "insecure"}
    assert "gateway.upstream.insecure_trust_headers_from" in told
    assert "gateway.upstream.insecure_plain_http" in told
    assert context is None


@pytest.mark.parametrize(
    ("text", "name", "why"),
    [
        ("", "nothing", "no service 'nothing'"),
        ("", "localization", "keeps no tokens"),
        ('[elsewhere]\nissuer = "https://as"\n', "localization", "introspection or keys"),
        (
            '[elsewhere]\nissuer = "https://as"\nkeys = "https://as/jwks"\n[upstream]\n'
            'audiences = ["x"]\ninsecure_trust_headers_from = ["127.0.0.1"]\n',
            "consent",
            "no gateway of others",
        ),
        (
            '[[mandates]]\norganization = "1"\nacting = "2"\nuntil = 2030-01-01T00:00:00\n',
            "localization",
            "time zone",
        ),
        ('[[mandates]]\norganization = "1"\nacting = "x"\n', "localization", "URA"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_at_the_start(
    world: World, text: str, name: str, why: str
) -> None:
    front = Front("https://x", world.identity(HOSPITAL), None)

    with pytest.raises(LdnError, match=why):
        asyncio.run(behind_gateway(service([]), name, settings_of(text), front))


def test_a_limit_below_what_retry_after_promises_is_no_setting() -> None:
    with pytest.raises(LdnError, match="per_minute"):
        settings_of("per_minute = 11")


def test_a_short_ura_in_a_mandate_is_the_padded_one() -> None:
    told = settings_of('[[mandates]]\norganization = "1"\nacting = "2"\n')

    [mandate] = register_of(told).mandates
    assert (mandate.organization, mandate.acting) == (Ura("00000001"), "00000002")


Given = Callable[[Behind, Fronted, HttpClient], Awaitable[None]]


def by_introspection(databases: Databases, world: World, case: Given, ura: str = "") -> None:
    """The case with a token desk that the hospital runs, and a service that asks it."""

    async def both() -> None:
        async with databases.pool() as pool, behind(world, pool) as desk:
            told = f'issuer = "{desk.url}"\nintrospection = "{desk.url}/introspect"\nura = "{ura}"'
            settings = settings_of(f'audiences = ["{NVI}"]\n[elsewhere]\n{told}\n')
            async with (
                fronted(world, None, settings) as at,
                connected(world.identity(PRACTICE)) as client,
            ):
                await case(desk, at, client)

    asyncio.run(both())


def test_a_token_of_an_endpoint_elsewhere_is_asked_there(
    databases: Databases, world: World
) -> None:
    world.issue(str(HOSPITAL), PHARMACY)  # the machine of the service may introspect

    async def case(desk: Behind, at: Fronted, client: HttpClient) -> None:
        token = await desk.token(client, source_id="ehr-7")
        heard = decoded(await at.get(client, token))
        unknown = await at.get(client, "x" * 43)
        async with connected(world.identity("other")) as thief:
            stolen = await at.get(thief, token)

        assert (heard["organization"], heard["source"]) == ("90000101", "ehr-7")
        assert heard["scopes"] == ["nvi:localize", "nvi:read"]
        assert (unknown.status, stolen.status) == (401, 401)
        assert (await at.get(client, token, "/token")).status == 404  # it gives none itself

    world.issue("other", PRACTICE)
    by_introspection(databases, world, case)


def test_without_an_answer_of_the_endpoint_nobody_comes_in(
    databases: Databases, world: World
) -> None:
    async def case(desk: Behind, at: Fronted, client: HttpClient) -> None:
        refused = await at.get(client, await desk.token(client))

        assert refused.status == 502
        assert at.seen == []

    by_introspection(databases, world, case)  # the hospital is not named as introspector
    by_introspection(databases, world, case, ura="90000505")  # another answers than agreed


@dataclass
class Endpoint:
    """A token endpoint of others that signs its tokens."""

    issuer: str
    key: ECKey

    def token(self, world: World, **other: Any) -> str:
        moment = int(world.clock().timestamp())
        claims = {
            "iss": self.issuer,
            "sub": "90000101",
            "aud": ["elsewhere", NVI],
            "scope": "nvi:read nvi:other",
            "iat": moment,
            "exp": moment + 300,
            "jti": "t-1",
            "client_id": "ehr-7",
            "cnf": {"x5t#S256": thumbprint(world.certificate(PRACTICE))},
        }
        said = {k: v for k, v in (claims | other).items() if v is not None}
        return jose.sign(said, self.key, "ES256", {"kid": "k1", "typ": "at+jwt"})


def test_a_token_that_its_endpoint_signed_is_proven_with_its_keys(world: World) -> None:
    key, other = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")

    async def keys(request: Request) -> Response:
        return JSONResponse({"keys": [jose.public_jwk(key) | {"kid": "k1", "use": "sig"}]})

    async def case() -> None:
        published = application([Route("/jwks", keys)], role="test", new_id=new_uuid)
        async with serving(published, "127.0.0.1", 0, None) as port:
            issuer = f"http://127.0.0.1:{port}"
            told = f'issuer = "{issuer}"\nkeys = "{issuer}/jwks"\nalgorithms = ["ES256"]'
            settings = settings_of(f'audiences = ["{NVI}"]\n[elsewhere]\n{told}\n')
            by, false = Endpoint(issuer, key), Endpoint(issuer, other)
            async with (
                fronted(world, None, settings) as at,
                connected(world.identity(PRACTICE)) as client,
            ):
                heard = decoded(await at.get(client, by.token(world)))
                assert (heard["organization"], heard["scopes"]) == ("90000101", ["nvi:read"])
                assert heard["source"] == "ehr-7"
                moment = int(world.clock().timestamp())
                for token in (
                    false.token(world),
                    by.token(world, iss="https://other.example"),
                    by.token(world, cnf=None),
                    by.token(world, exp=None),
                    by.token(world, exp=moment - 1),
                    by.token(world, iat=moment + 60),
                    by.token(world, aud="elsewhere"),
                    by.token(world, sub="nobody"),
                    by.token(world, sub=OWN),
                    by.token(world)[:-8],
                ):
                    assert (await at.get(client, token)).status == 401
                mandate = await at.get(client, by.token(world, sub="90000382"))
                assert mandate.status == 403
                assert len(at.seen) == 1

    asyncio.run(case())


def test_what_a_token_elsewhere_says_becomes_a_caller() -> None:
    register = Register((Organization(PRACTICE, Oin(OWN), "West"),))
    claims = {
        "iss": "https://as",
        "sub": OWN,
        "aud": NVI,
        "iat": 1_800_000_000,
        "exp": 1_800_000_600,
        "act": {"sub": "00000003876543210000"},
        "cnf": {"x5t#S256": "abc"},
        "organization_name": "West",
    }

    found = pass_of(claims, Terms("https://as", frozenset({NVI}), register), Trail())

    assert found.caller.organization == PRACTICE
    assert (found.caller.oin, found.caller.name) == (Oin(OWN), "West")
    assert found.caller.acting == "00000003876543210000"
    assert found.expires - found.issued == timedelta(seconds=600)


def test_who_is_revoked_gets_no_token_and_is_not_let_in(databases: Databases, world: World) -> None:
    class Lists:
        revoked = False

        async def believe(self, chain: Any, trail: Trail, revocation: str = "") -> Any:
            assert [c.subject for c in chain]
            if self.revoked:
                raise LdnError(Issue.LOGIN, "revoked", detail="certificate.revoked")

    lists: Any = Lists()

    async def case() -> None:
        async with (
            databases.pool() as pool,
            behind(world, pool, connections=Connections(world.clock, lists)) as at,
            connected(world.identity(PRACTICE)) as client,
        ):
            token = await at.token(client)
            before = await at.get(client, "/fhir/List", token)
            lists.revoked = True
            after = await at.get(client, "/fhir/List", token)
            refused = await at.ask(client, at.form())

        assert (before.status, after.status, refused.status) == (200, 401, 401)
        assert decoded(refused)["error"] == "invalid_client"

    asyncio.run(case())


def test_a_certificate_on_the_list_of_its_authority_opens_nothing(
    databases: Databases, tmp_path: Path
) -> None:
    async def case() -> None:
        async with authority(tmp_path) as served, databases.pool() as pool:
            world = World(served.folder, served.clock)
            for ura in (PRACTICE, PHARMACY):
                folder, subject = served.folder / str(ura), Subject(ura, "x")
                issue_server(folder, subject, Term(served.clock), served_at(served.address))
            leaf = x509.load_der_x509_certificate(world.certificate(PHARMACY))
            served.revoking.revoke(leaf.serial_number)
            host = served.address.removeprefix("http://")
            issuers = served.folder / "issuing.pem"
            told = f'audiences = ["{NVI}"]\nfetch_hosts = ["{host}"]\nissuers = "{issuers}"'
            async with fronted(world, pool, settings_of(told)) as at:
                given: dict[Ura, object] = {}
                for ura in (PRACTICE, PHARMACY, HOSPITAL):
                    async with connected(world.identity(ura)) as client:
                        target = Target(at.url, NVI, str(ura))
                        tokens = ServiceTokens(target, client, world.clock, new_uuid)
                        try:
                            reply = await at.get(client, await tokens.bearer("nvi:read"))
                            given[ura] = reply.status
                        except LdnError as error:
                            given[ura] = error.detail

        assert given[PRACTICE] == 200
        assert given[PHARMACY] == "token endpoint: invalid_client"
        assert given[HOSPITAL] == "token endpoint: invalid_client"  # it names no list at all

    asyncio.run(case())
