"""The broker between real parties, lists and sockets: B2, B8, B9, R61, R68."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Databases
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from trust.broker.proofs import audience
from trust.broker.running import OWNER, STS, Running, running
from trust.parties import HOSPITAL, PHARMACY, PRACTICE

from openldn.base.errors import LdnError
from openldn.base.runtime import new_uuid
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Ura
from openldn.trust.broker.service import CERTIFICATE, JWT, SAML, VP
from openldn.trust.brokered import completed
from openldn.trust.certificates import thumbprint
from openldn.trust.certificates.keys import Signing
from openldn.trust.credentials.credential import Credentials, Trust
from openldn.trust.credentials.definitions import shipped_policies
from openldn.trust.credentials.issue import HolderKey, Making, complete, issue_x509, present
from openldn.trust.credentials.model import Expected, Presented
from openldn.trust.credentials.presentation import Verifier
from openldn.trust.credentials.resolver import Resolver
from openldn.trust.credentials.status import StatusLists
from openldn.trust.evidence import Evidence, Kind, Proof
from openldn.trust.jose import encoded, key_of, key_of_jwk, public_jwk, read
from openldn.trust.peers import profile
from openldn.trust.saml.make import Content, Towards, make
from openldn.trust.saml.variants import variant
from openldn.trust.tokens.dialects import CLIENT_ASSERTION_TYPE, JWT_BEARER
from openldn.trust.tokens.ports import Peer, Ports
from openldn.trust.tokens.service import AuthorizationServer
from openldn.trust.tokens.store import TokenStore
from openldn.trust.trail import Trail

ISSUER = "https://hospital.example/oauth2/90000382"
Case = Callable[[Running], Awaitable[None]]


@pytest.fixture
def at(databases: Databases, tmp_path: Path) -> Callable[[Case], None]:
    async def run(case: Case) -> None:
        async with running(tmp_path, await databases.fresh()) as there:
            await there.approve((tmp_path / "issuing.pem").read_bytes())
            await case(there)

    return lambda case: asyncio.run(run(case))


def holder(there: Running, side: str) -> None:
    there.audiences[ISSUER] = audience(side, issuer=ISSUER, holder=HOSPITAL)


def statuses(there: Running) -> StatusLists:
    """How the hospital looks at the lists of others, every 20 seconds."""
    documents, trust = there.documents(), trust_of(there)
    resolver = Resolver(documents)
    return StatusLists(documents, resolver, there.made.trusted, trust, there.clock, 20.0)


def trust_of(there: Running) -> Trust:
    did = f"did:web:{there.url.removeprefix('https://').replace(':', '%3A')}"
    return Trust(frozenset(), {"BrokeredOrganizationCredential": frozenset({did})})


async def presented(there: Running, lists: StatusLists, vp: str) -> Presented:
    credentials = Credentials(lists.resolver, there.made.trusted, lists.trust, lists)
    asked = Expected(frozenset({ISSUER}), there.clock(), profile("ig-2026"))
    definition = shipped_policies()["bgz"].organization
    return await Verifier(credentials).verify(vp, definition, asked, Trail())


async def from_lsp(there: Running, **form: str) -> tuple[int, dict[str, Any]]:
    holder(there, "nuts")
    plain = {"subject_token": there.assertion(), "subject_token_type": JWT}
    asked = {"audience": ISSUER, "requested_token_type": VP}
    return await there.exchange(PRACTICE, **plain | asked | form)


def test_an_lsp_party_reaches_a_nuts_holder(at: Callable[[Case], None]) -> None:
    async def case(there: Running) -> None:
        status, answer = await from_lsp(there)
        assert (status, answer.get("issued_token_type")) == (200, VP), answer

        shown = await presented(there, statuses(there), answer["access_token"])
        captured = {name: [v.value for v in values] for name, values in shown.captured.items()}
        assert captured["organization_ura"] == [str(PRACTICE)]
        assert captured["organization_name"] == ["Huisartsenpraktijk West"]
        assert captured["purpose"] == ["TREAT"]
        said = shown.credentials[0].content["credentialSubject"]
        found = completed(_proof(shown), said, there.certificate(PRACTICE), Trail())
        assert found.act == (f"{there.url}/oauth2/broker",)
        assert found.scopes == frozenset({"bgz"})
        with pytest.raises(LdnError) as error:
            completed(_proof(shown), said, there.certificate(PHARMACY), Trail())
        assert error.value.detail == "brokered.cnf"

    at(case)


def test_what_is_revoked_at_the_source_is_dead_within_a_minute(at: Callable[[Case], None]) -> None:
    async def case(there: Running) -> None:
        _, answer = await from_lsp(there)
        lists = statuses(there)
        shown = await presented(there, lists, answer["access_token"])
        [derived] = [e for e in shown.evidence if e.kind is Kind.CREDENTIAL]
        assert await lists.still(derived)
        assert await there.made.feed.look() == 0

        signing = there.folder(PRACTICE) / "signing.pem"
        there.served.revoking.revoke(_serial(signing))
        began, dead = there.clock(), False
        while not dead:
            there.clock.advance(20)
            await there.made.feed.look()
            dead = not await lists.still(derived)
            await asyncio.sleep(0.1)  # what is renewed behind an answer comes in
            assert there.clock() - began <= timedelta(seconds=60)

        reply = await there.send("GET", f"/trail/{answer['jti']}", HOSPITAL)
        told = msgspec.json.decode(reply.body)
        assert told["revoked"]
        assert told["reason"].startswith("certificate ")
        status, refused = await from_lsp(there)
        assert (status, refused["error"]) == (400, "invalid_request")

    at(case)


def test_a_certificate_becomes_an_assertion_that_an_authorization_server_takes(
    at: Callable[[Case], None], databases: Databases
) -> None:
    async def case(there: Running) -> None:
        holder(there, "lsp")
        status, answer = await there.exchange(
            subject_token=there.chain(PRACTICE),
            subject_token_type=CERTIFICATE,
            audience=ISSUER,
            requested_token_type=JWT,
        )
        assert status == 200, answer

        async with databases.pool() as pool:
            server = await _server(there, TokenStore(pool))
            form = {
                "grant_type": JWT_BEARER,
                "assertion": answer["access_token"],
                "client_assertion": answer["client_assertion"],
                "client_assertion_type": CLIENT_ASSERTION_TYPE,
                "scope": "bgz",
            }
            with pytest.raises(LdnError):
                await server.grant(form | {"scope": "lab"}, there.certificate(PRACTICE))
            again = await there.exchange(
                subject_token=there.chain(PRACTICE),
                subject_token_type=CERTIFICATE,
                audience=ISSUER,
                requested_token_type=JWT,
            )
            fresh = {k: again[1][v] for k, v in PAIRS.items()}
            granted = await server.grant(form | fresh, there.certificate(PRACTICE))
            assert granted["scope"] == "bgz"
            with pytest.raises(LdnError) as error:
                await server.grant(form | fresh, there.certificate(PRACTICE))
            assert error.value.detail == "assertion.once"

    at(case)


def test_a_zorgplatform_user_reaches_an_lsp_holder_under_a_uzi_number(
    at: Callable[[Case], None],
) -> None:
    async def case(there: Running) -> None:
        holder(there, "lsp")
        pem = (there.folder(PRACTICE) / "signing.pem").read_bytes()
        await there.approve(pem[: pem.index(b"-----END CERTIFICATE-----") + 26], "saml")
        status, answer = await there.exchange(
            subject_token=assertion(there, "900012345@2.16.528.1.1007.3.1"),
            subject_token_type=SAML,
            audience=ISSUER,
            requested_token_type=JWT,
        )
        assert status == 200, answer
        claims = read(answer["access_token"], Trail()).claims
        assert claims["person"] == {"uzi": "900012345", "role": "01.015", "name": "A. Jansen"}
        assert (claims["sub"], claims["patient"]) == (str(PRACTICE), "999911120")
        assert (claims["via"], claims["purpose"]) == (["zorgplatform"], "TREAT")

        local = assertion(there, "jansen@2.16.840.1.113883.2.4.3.124.8.50.8")
        status, answer = await there.exchange(
            subject_token=local,
            subject_token_type=SAML,
            audience=ISSUER,
            requested_token_type=JWT,
        )
        claims = read(answer["access_token"], Trail()).claims
        assert "person" not in claims
        assert claims["user"]["id"].startswith("jansen@")
        assert await there.made.feed.look() == 0

        [pinned] = await there.made.trusted.store.counting("saml")
        key = ("saml", thumbprint(pinned.public_bytes(Encoding.DER)))
        await there.made.trusted.store.remove(key, "ann", there.clock())
        await there.made.trusted.refresh()
        assert await there.made.feed.look() == 2

    at(case)


def test_a_nuts_party_reaches_a_zorgplatform_holder(at: Callable[[Case], None]) -> None:
    async def case(there: Running) -> None:
        holder(there, "zorgplatform")
        own = there.folder(PRACTICE)
        loaded = Signing.load(own / "signing.key", own / "signing.pem")
        signing = Signing(loaded.key, complete(loaded.chain, there.served.root.certificates))
        jwk = key_of(ec.generate_private_key(ec.SECP256R1()))
        presenter = HolderKey(f"did:jwk:{encoded(dump(public_jwk(jwk)))}", "0", jwk)
        making = Making(there.clock, new_uuid)
        held = issue_x509(signing, presenter.did, profile("ig-2026"), making)
        vp = present(presenter, [held], there.made.broker.url, 5, making)

        status, answer = await there.exchange(
            subject_token=vp,
            subject_token_type=VP,
            audience=ISSUER,
            requested_token_type=SAML,
        )
        assert status == 200, answer
        assert answer["issued_token_type"] == SAML
        reply = await there.send("GET", f"/trail/{answer['jti']}", PRACTICE)
        told = msgspec.json.decode(reply.body)
        assert (told["conversion"], told["via"]) == ("B6", ["nuts"])

    at(case)


def assertion(there: Running, name: str) -> str:
    """What the STS of Zorgplatform says of a user, in base64, for the broker."""
    own, now = there.folder(PRACTICE), there.clock()
    values = {
        "purpose": "TREATMENT",
        "resource": "999911120",
        "organization": f"urn:oid:2.16.528.1.1007.3.3.{PRACTICE}",
        "role": "62247001",
        "name": "A. Jansen",
    }
    signing = Signing.load(own / "signing.key", own / "signing.pem")
    towards = Towards(
        (there.made.broker.url,), profile("zorgplatform"), variant("zorgplatform-token"), signing
    )
    content = Content(STS, name, values, now, now + timedelta(minutes=10))
    return base64.b64encode(make(content, towards, new_uuid)).decode()


PAIRS = {"assertion": "access_token", "client_assertion": "client_assertion"}


async def _server(there: Running, store: TokenStore) -> AuthorizationServer:
    """The hospital's authorization server, at which the broker is registered."""
    await store.prepare()
    reply = await there.send("GET", "/oauth2/broker/jwks", HOSPITAL)
    [jwk] = msgspec.json.decode(reply.body)["keys"]
    broker = there.made.broker.url
    ends = there.clock() + timedelta(days=30)

    async def registered(issuer: str, kid: str) -> Peer | None:
        if (issuer, kid) != (broker, jwk["kid"]):
            return None
        evidence = Evidence(Kind.ASSERTION, kid, issuer, ends)
        members = frozenset({PRACTICE, PHARMACY})
        return Peer(broker, key_of_jwk(jwk), members, profile("twiin"), evidence, "the broker")

    async def known(ura: Ura) -> bool:
        return True

    return AuthorizationServer(
        holder=HOSPITAL,
        issuer=ISSUER,
        store=store,
        anchors=there.served.root,
        clock=there.clock,
        new_id=new_uuid,
        known=known,
        scopes=frozenset({"bgz", "lab"}),
        ports=Ports(registered=registered),
    )


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({"audience": "https://stranger.example"}, 400, "invalid_target"),
        ({"subject_token": "a.b.c"}, 400, "invalid_request"),
        ({"subject_token_type": "urn:x"}, 400, "invalid_request"),
        ({"requested_token_type": "urn:x"}, 400, "unsupported_grant_type"),
        ({"requested_token_type": SAML}, 400, "unsupported_grant_type"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"scope": ""}, 400, "invalid_request"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_a_refusal_speaks_oauth_and_gives_no_hint(
    at: Callable[[Case], None], change: dict[str, str], status: int, word: str
) -> None:
    async def case(there: Running) -> None:
        found, answer = await from_lsp(there, **change)
        assert (found, answer["error"]) == (status, word)
        assert set(answer) == {"error", "error_description"}
        assert "broker." not in answer["error_description"]

    at(case)


def test_only_operators_see_and_change_anchors(at: Callable[[Case], None]) -> None:
    async def case(there: Running) -> None:
        assert (await there.send("GET", "/anchors", PHARMACY)).status == 403
        listed = msgspec.json.decode((await there.send("GET", "/anchors", PRACTICE)).body)
        [anchor] = listed["anchors"]
        assert (anchor["proposed_by"], anchor["approved_by"]) == ("ann", "bob")

        gone = await there.send("DELETE", f"/anchors/authority/{anchor['id']}", PRACTICE)
        assert msgspec.json.decode(gone.body)["counts"] is False
        await there.made.trusted.refresh()
        status, answer = await from_lsp(there)
        assert (status, answer["error"]) == (400, "invalid_request")

    at(case)


def test_the_documents_of_the_broker_are_public_to_parties(at: Callable[[Case], None]) -> None:
    async def case(there: Running) -> None:
        metadata = await there.send(
            "GET", "/.well-known/oauth-authorization-server/oauth2/broker", PHARMACY
        )
        told = msgspec.json.decode(metadata.body)
        assert told["issuer"] == there.made.broker.url
        assert set(told["subject_token_types_supported"]) == {JWT, VP, SAML, CERTIFICATE}
        for path, name in (("/.well-known/did.json", ""), (f"/org/{OWNER}/did.json", str(OWNER))):
            found = msgspec.json.decode((await there.send("GET", path, PHARMACY)).body)
            assert found["id"].endswith(name)
        assert (await there.send("GET", "/org/12/did.json", PHARMACY)).status == 404
        assert (await there.send("GET", "/trail/absent", PHARMACY)).status == 404

    at(case)


def _proof(shown: Presented) -> Proof:
    """What the authorization server makes of it, before the word of the broker is read."""
    return Proof(
        dialect="D1",
        subject=shown.holder,
        organization=PRACTICE,
        issued=shown.issued,
        expires=shown.expires,
        evidence=shown.evidence,
    )


def _serial(pem: Path) -> int:
    return x509.load_pem_x509_certificates(pem.read_bytes())[0].serial_number


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {},
        {"content-type": "application/json", "origin": "https://elsewhere.example"},
        {"content-type": "application/json", "sec-fetch-site": "cross-site"},
        {"content-type": "application/json", "sec-fetch-site": "same-site"},
    ],
    ids=str,
)
def test_no_page_elsewhere_makes_an_operator_approve(
    at: Callable[[Case], None], headers: dict[str, str]
) -> None:
    """A browser shows the operator's certificate for whatever page asks it to send a form."""

    async def case(there: Running) -> None:
        [held] = await there.made.trusted.store.every()
        pem = (there.folder(PRACTICE) / "signing.pem").read_text().partition("-----END")[0]
        pem += "-----END CERTIFICATE-----\n"
        body = msgspec.json.encode({"kind": "saml", "certificate": pem, "reason": "x"})

        async def sent(method: str, path: str, by: Ura, body: bytes | None) -> int:
            url = there.url + path
            client = there.clients[by]
            return (await client.send(method, url, headers=headers, body=body, deadline=9)).status

        assert await sent("POST", "/anchors", PRACTICE, body) in {403, 415}
        assert await sent("POST", f"/anchors/authority/{held.id}/approve", HOSPITAL, None) in {
            403,
            415,
        }
        if headers.get("origin") or headers.get("sec-fetch-site"):
            assert await sent("DELETE", f"/anchors/authority/{held.id}", HOSPITAL, None) == 403
        assert [a.kind for a in await there.made.trusted.store.every()] == ["authority"]

    at(case)


def test_a_revoked_certificate_on_the_connection_ends_what_was_minted_over_it(
    at: Callable[[Case], None],
) -> None:
    """What is minted is bound to that certificate: who stole its key gets nothing more."""

    async def case(there: Running) -> None:
        status, _ = await from_lsp(there)
        assert status == 200
        assert await there.made.feed.look() == 0

        there.served.revoking.revoke(_serial(there.folder(PRACTICE) / "server.pem"))
        there.clock.advance(20)
        await there.made.feed.look()
        there.clock.advance(20)
        assert await there.made.feed.look() in {0, 1}
        assert not await there.made.feed.store.outstanding(there.clock())
        status, refused = await from_lsp(there)
        assert (status, refused["error"]) == (400, "invalid_request")

    at(case)
