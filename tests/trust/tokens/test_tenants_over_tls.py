"""Several organizations at one address, over real mutual TLS; A03, A07-A09, E07, R53, R65, R67."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from conftest import Databases
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from trust.network import connected, free_port
from trust.parties import HOSPITAL, PHARMACY, PRACTICE, SCOPE, World, requester
from trust.tokens.presenting import POLICIES, Presenter, ports, server, submission
from trust.tokens.test_plain_dialects import exchanging

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply, peer_certificate, server_context, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.codec import parse
from openldn.fhir.http import application
from openldn.trust import jose
from openldn.trust.certificates import require_party, thumbprint
from openldn.trust.credentials.definitions import load_policies
from openldn.trust.credentials.model import Definition
from openldn.trust.parties import Requester
from openldn.trust.peers import profile
from openldn.trust.tokens.api import routes, shown
from openldn.trust.tokens.client import TokenClient
from openldn.trust.tokens.dpop import Prover
from openldn.trust.tokens.service import AuthorizationServer
from openldn.trust.tokens.speaking import Certified, Exchanged, OnePresentation, TwoPresentations

FORM = {"content-type": "application/x-www-form-urlencoded"}
WELL_KNOWN = "/.well-known/oauth-authorization-server"
DEFINED = {
    "id": "organization",
    "format": {"jwt_vc": {"alg": ["ES256"]}, "jwt_vp": {"alg": ["ES256"]}},
    "input_descriptors": [
        {
            "id": "HealthcareProviderCredential",
            "constraints": {
                "fields": [
                    {
                        "path": ["$.type"],
                        "filter": {"type": "string", "const": "HealthcareProviderCredential"},
                    },
                    {
                        "id": "organization_ura",
                        "path": ["$.credentialSubject.identifier.value"],
                        "filter": {"type": "string", "pattern": "^([0-9]+)$"},
                    },
                ]
            },
        }
    ],
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@dataclass
class House:
    """One address with the hospital and the pharmacy behind it."""

    world: World
    url: str
    hospital: AuthorizationServer
    pharmacy: AuthorizationServer
    clients: dict[str, HttpClient]

    async def call(
        self,
        path: str,
        form: Mapping[str, str] | bytes | None = None,
        *,
        who: str = "practice",
        **headers: str,
    ) -> Reply:
        body = form if isinstance(form, bytes) else urlencode(form).encode() if form else None
        return await self.clients[who].send(
            "GET" if form is None else "POST",
            self.url + path,
            headers=(FORM if form is not None else {}) | headers,
            body=body,
            deadline=10,
        )


@asynccontextmanager
async def house(databases: Databases, world: World, **other: Any) -> AsyncIterator[House]:
    async with databases.pool() as pool:
        port = free_port()
        url = f"https://127.0.0.1:{port}"
        hospital = server(world, pool, f"{url}/oauth2/{HOSPITAL}", HOSPITAL, **other)
        pharmacy = server(world, pool, f"{url}/oauth2/{PHARMACY}", PHARMACY, **other)
        await hospital.store.prepare()

        async def own(request: Request) -> None:
            if require_party(peer_certificate(request.scope)).ura != HOSPITAL:
                raise LdnError(Issue.FORBIDDEN, "for our own servers only")

        async def protected(request: Request) -> Response:
            grant = await hospital.verify(shown(request, url))
            return JSONResponse({"organization": grant.requester.organization.value})

        table = [*routes(hospital, pharmacy, guard=own), Route("/fhir/STU3/Patient", protected)]
        app = application(table, role="test", new_id=new_uuid)
        context = server_context(world.identity(HOSPITAL))
        async with (
            serving(app, "127.0.0.1", port, context),
            connected(world.identity(PRACTICE)) as practice,
            connected(world.identity(HOSPITAL)) as itself,
        ):
            clients = {"practice": practice, "hospital": itself}
            yield House(world, url, hospital, pharmacy, clients)


def run(
    databases: Databases, world: World, case: Callable[[House], Awaitable[Any]], **other: Any
) -> Any:
    async def inside() -> Any:
        async with house(databases, world, **other) as at:
            return await case(at)

    return asyncio.run(inside())


def good(at: House) -> dict[str, str]:
    issuer = at.hospital.issuer
    signer, claims = at.world.signer(PRACTICE), at.world.claims(PRACTICE, aud=issuer)
    assertion = at.world.form(aud=issuer)["assertion"]
    return at.world.signed(assertion, signer.sign(claims))


async def token_of(at: House, **headers: str) -> dict[str, Any]:
    reply = await at.call(f"/oauth2/{HOSPITAL}/token", good(at), **headers)
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = json.loads(reply.body)
    return answer


def test_each_tenant_tells_of_itself_at_both_well_known_places(
    databases: Databases, world: World
) -> None:
    async def case(at: House) -> None:
        for tenant in (at.hospital, at.pharmacy):
            path = tenant.issuer.removeprefix(at.url)
            for place in (WELL_KNOWN + path, path + WELL_KNOWN):
                told = json.loads((await at.call(place)).body)
                assert told == tenant.metadata()
                assert told["issuer"] == tenant.issuer
                assert told["introspection_endpoint"] == f"{tenant.issuer}/introspect"
                assert "ES256" in told["dpop_signing_alg_values_supported"]
                assert set(told["vp_formats"]) >= {"jwt_vp_json", "jwt_vc_json"}
        for unknown in (WELL_KNOWN, f"{WELL_KNOWN}/oauth2/{PRACTICE}"):
            assert (await at.call(unknown)).status == 404

    run(databases, world, case)


def test_a_token_of_one_tenant_is_unknown_at_the_other(databases: Databases, world: World) -> None:
    async def case(at: House) -> None:
        elsewhere = await at.call(f"/oauth2/{PHARMACY}/token", good(at))
        answer = await token_of(at)
        asked = {"token": answer["access_token"]}
        here = await at.call(f"/oauth2/{HOSPITAL}/introspect", asked, who="hospital")
        there = await at.call(f"/oauth2/{PHARMACY}/introspect", asked, who="hospital")

        assert (elsewhere.status, json.loads(elsewhere.body)["error"]) == (401, "invalid_client")
        assert json.loads(here.body)["active"] is True
        assert json.loads(there.body) == {"active": False}

    run(databases, world, case)


def test_introspection_tells_of_a_token_and_nothing_of_garbage(
    databases: Databases, world: World
) -> None:
    async def case(at: House) -> None:
        answer = await token_of(at)
        path = f"/oauth2/{HOSPITAL}/introspect"
        reply = await at.call(path, {"token": answer["access_token"]}, who="hospital")
        told = json.loads(reply.body)

        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["pragma"] == "no-cache"
        assert (told["scope"], told["iss"], told["jti"]) == (
            SCOPE,
            at.hospital.issuer,
            answer["jti"],
        )
        assert told["cnf"] == {"x5t#S256": thumbprint(world.certificate(PRACTICE))}
        assert told["exp"] - told["iat"] == 600
        for garbage in ("x", "é" * 10, "x" * 5000, "null"):
            reply = await at.call(path, {"token": garbage}, who="hospital")
            assert (reply.status, json.loads(reply.body)) == (200, {"active": False})
        world.clock.advance(601)
        reply = await at.call(path, {"token": answer["access_token"]}, who="hospital")
        assert json.loads(reply.body) == {"active": False}

    run(databases, world, case)


def test_introspection_without_a_token_or_by_others_is_refused(
    databases: Databases, world: World
) -> None:
    async def case(at: House) -> list[int]:
        path = f"/oauth2/{HOSPITAL}/introspect"
        asks = [
            await at.call(path, {"other": "x"}, who="hospital"),
            await at.call(path, {"token": ""}, who="hospital"),
            await at.call(path, b"token=a&token=b", who="hospital"),
            await at.call(path, {"token": "x"}),
        ]
        return [reply.status for reply in asks]

    assert run(databases, world, case) == [400, 400, 400, 403]


def test_the_definition_of_a_scope_can_be_read(databases: Databases, world: World) -> None:
    async def case(at: House) -> None:
        path = f"/oauth2/{HOSPITAL}/presentation_definition"
        reply = await at.call(f"{path}?scope={SCOPE}")
        wrong = await at.call(f"{path}?scope=everything")

        assert json.loads(reply.body)["id"] == "organization"
        assert (wrong.status, json.loads(wrong.body)["error"]) == (400, "invalid_scope")

    run(databases, world, case)


def test_a_bound_token_needs_its_proof_whatever_the_caller_calls_us(
    databases: Databases, world: World
) -> None:
    own = Prover(jose.key_of(ec.generate_private_key(ec.SECP256R1())), world.clock, new_uuid)

    async def case(at: House) -> None:
        proof = own("POST", f"{at.hospital.issuer}/token")
        answer = await token_of(at, dpop=proof)
        token = answer["access_token"]
        path, name = "/fhir/STU3/Patient", f"DPoP {token}"
        here = own("GET", at.url + path, token)
        evil = own("GET", "https://evil.example" + path, token)

        assert answer["token_type"] == "DPoP"
        assert (await at.call(path, authorization=name, dpop=here)).status == 200
        for headers in (
            {"authorization": name},
            {"authorization": name, "dpop": here},  # shown before
            {"authorization": name, "dpop": evil, "host": "evil.example"},
            {"authorization": f"Bearer {token}", "dpop": own("GET", at.url + path, token)},
            {"authorization": "DPoP " + "x" * 43, "dpop": here},
        ):
            reply = await at.call(path, None, **headers)
            assert reply.status == 401
            assert reply.headers["www-authenticate"].startswith("DPoP error=")

    run(databases, world, case)


def asking(at: House, **other: Any) -> TokenClient:
    practice = at.clients["practice"]
    return TokenClient(
        at.world.signer(PRACTICE), lambda _: practice, at.world.clock, new_uuid, **other
    )


def test_we_speak_each_dialect_that_a_peers_profile_names(
    databases: Databases, world: World
) -> None:
    who = Presenter(world)
    policies = load_policies(json.dumps({SCOPE: {"organization": DEFINED}}).encode())

    async def organization(
        definition: Definition, audience: str, seconds: int, asked: Requester
    ) -> tuple[str, Mapping[str, Any]]:
        return who.vp(audience, seconds), parse(submission().encode())

    async def vendor(
        definition: Definition, audience: str, seconds: int, asked: Requester
    ) -> tuple[str, Mapping[str, Any]]:
        return who.vendor_vp(audience, seconds), {}

    async def case(at: House) -> dict[str, str]:
        shown = thumbprint(world.certificate(PRACTICE))
        issuer, found = at.hospital.issuer, {}
        speakers = {
            "D1": OnePresentation(organization),
            "D3": TwoPresentations(organization, vendor, POLICIES),
            "D5": Certified(world.signer(PRACTICE), shown, new_uuid),
        }
        for name in ("nuts-6", "ig-2026", "twiin"):
            at.hospital.ports = ports(world, policies=policies if name == "nuts-6" else POLICIES)
            chosen = profile(name)
            client = asking(at, speakers=speakers, profiles=lambda _, chosen=chosen: chosen)
            token = await client.token(HOSPITAL, issuer, requester())
            grant = await at.hospital.presence.found(token.value)
            assert grant and grant.requester.organization == PRACTICE
            found[name] = grant.dialect
        return found

    told = run(databases, world, case)

    assert told == {"nuts-6": "D1", "ig-2026": "D3", "twiin": "D2"}


def test_a_client_with_a_key_gets_bound_tokens_and_proves_itself(
    databases: Databases, world: World
) -> None:
    async def case(at: House) -> int:
        own = Prover(jose.key_of(ec.generate_private_key(ec.SECP256R1())), world.clock, new_uuid)
        client = asking(at, prover=own)
        token = await client.token(HOSPITAL, at.hospital.issuer, requester())
        headers = token.headers("GET", f"{at.url}/fhir/STU3/Patient?x=1")
        assert token.scheme == "DPoP"
        return (await at.call("/fhir/STU3/Patient", None, **headers)).status

    assert run(databases, world, case) == 200


def test_a_peer_without_a_dialect_in_common_is_told(databases: Databases, world: World) -> None:
    async def case(at: House) -> LdnError:
        client = asking(at, profiles=lambda _: profile("fsc"))
        with pytest.raises(LdnError) as caught:
            await client.token(HOSPITAL, at.hospital.issuer, requester())
        return caught.value

    assert run(databases, world, case).issue is Issue.NOT_SUPPORTED


def test_what_another_network_gave_is_exchanged(databases: Databases, world: World) -> None:
    exchange_profile = profile("twiin")

    async def subject(order: object) -> tuple[str, str]:
        return "PHNhbWw+", "urn:ietf:params:oauth:token-type:saml2"

    async def case(at: House) -> str:
        wanted = msgspec.structs.replace(exchange_profile, token_out=("D6",))
        speaker = Exchanged(world.signer(PRACTICE), subject, new_uuid)
        client = asking(at, speakers={"D6": speaker}, profiles=lambda _: wanted)
        token = await client.token(HOSPITAL, at.hospital.issuer, requester())
        grant = await at.hospital.presence.found(token.value)
        assert grant and grant.act == (str(PRACTICE),)
        return grant.requester.organization.value

    assert run(databases, world, case, ports=exchanging(world)) == str(PHARMACY)
