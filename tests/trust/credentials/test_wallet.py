"""The wallet of a node, and what it publishes: trust and broker §9 (B1, B5); GFI-001, GFI-003."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from httpx2 import ASGITransport, AsyncClient
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from trust.credentials.kit import AUDIENCE, NUTS, Party, Uzi, asking, defined, definition, opened

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid
from openldn.fhir.codec import dump
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.trust.credentials.api import did_routes, status_routes, wallet_routes
from openldn.trust.credentials.issue import (
    certificate_issuer,
    complete,
    holder_issuer,
    status_entry,
)
from openldn.trust.credentials.keeping import did_web, holder_key
from openldn.trust.credentials.model import Along, Wallet
from openldn.trust.credentials.published import PublishedLists
from openldn.trust.credentials.store import CredentialStore
from openldn.trust.credentials.wallet import OWN, NodeWallet
from openldn.trust.evidence import Status
from openldn.trust.peers import profile
from openldn.trust.trail import Trail

HOSPITAL = Ura.parse("90000382")


class World:
    """A node with a wallet."""

    def __init__(self, store: CredentialStore) -> None:
        self.uzi, self.store = Uzi(), store
        self.party: Party = self.uzi.party()
        self.wallet = self.of(HOSPITAL, self.party)

    def of(self, ura: Ura, party: Party) -> NodeWallet:
        credentials = self.uzi.verifier().credentials
        clock = self.uzi.clock
        return NodeWallet(ura, party.holder, self.store, credentials, NUTS, clock, new_uuid)


def with_world(databases: Databases, work: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        async with databases.pool() as pool:
            store = CredentialStore(pool)
            await store.prepare()
            await work(World(store))

    asyncio.run(run())


def test_the_certificate_fills_the_wallet_and_the_wallet_presents(databases: Databases) -> None:
    async def work(world: World) -> None:
        port: Wallet = world.wallet
        made = await world.wallet.renew(world.party.signing, OWN)

        vp = await port.present(definition(), AUDIENCE, 5)
        trail = Trail()
        found = await world.uzi.verifier().verify(vp, definition(), world.uzi.expected(), trail)

        assert [h.kind for h in made] == list(OWN)
        assert found.holder == world.party.holder.did
        assert len(found.credentials) == 1
        assert (
            opened(vp)[1]["nonce"]
            != opened(await port.present(definition(), AUDIENCE, 5))[1]["nonce"]
        )

    with_world(databases, work)


def test_the_submission_that_goes_along_is_the_one_that_is_taken(databases: Databases) -> None:
    async def work(world: World) -> None:
        await world.wallet.renew(world.party.signing, OWN)
        wanted = defined(asking(OWN[2]), asking(OWN[0]))

        vp, submission = await world.wallet.presented(wanted, AUDIENCE, 5)

        expected = world.uzi.expected(submission=dump(submission).decode())
        assert await world.uzi.verifier().verify(vp, wanted, expected, Trail())

    with_world(databases, work)


def test_a_missing_credential_is_named(databases: Databases) -> None:
    async def work(world: World) -> None:
        with pytest.raises(LdnError) as caught:
            await world.wallet.present(definition(), AUDIENCE, 5)
        assert caught.value.issue is Issue.FORBIDDEN
        assert "X509Credential" in caught.value.message
        await world.wallet.renew(world.party.signing)
        twice = defined(asking(OWN[0], {"path": ["$.credentialSubject.nosuch"]}))
        with pytest.raises(LdnError) as caught:
            await world.wallet.present(twice, AUDIENCE, 5)
        assert "every field" in caught.value.message

    with_world(databases, work)


def test_only_what_is_believed_and_about_us_is_kept(databases: Databases) -> None:
    async def work(world: World) -> None:
        other, stranger = world.uzi.party("90000101", "West"), Uzi().party()

        for text, code in (
            (other.x509(), "wallet.subject"),
            (stranger.x509(world.party.holder.did), "x509.issuing"),
            ("nonsense", "jwt.form"),
        ):
            with pytest.raises(LdnError) as caught:
                await world.wallet.load(text)
            assert (caught.value.issue, caught.value.detail) == (Issue.BUSINESS_RULE, code)
        assert await world.wallet.held() == []

    with_world(databases, work)


def test_loading_twice_leaves_one_and_a_wallet_sees_only_its_own(databases: Databases) -> None:
    async def work(world: World) -> None:
        text = world.party.x509()
        await world.wallet.load(text)
        await world.wallet.load(text)
        other = world.of(Ura.parse("90000101"), world.uzi.party("90000101", "West"))

        [held] = await world.wallet.held()
        assert await other.held() == []
        with pytest.raises(LdnError):
            await other.delete(held.id)
        await world.wallet.delete(held.id)
        with pytest.raises(LdnError) as caught:
            await world.wallet.delete(held.id)
        assert caught.value.issue is Issue.NOT_FOUND

    with_world(databases, work)


def test_an_x509_credential_is_made_anew_when_its_certificate_is_or_it_is_spent(
    databases: Databases,
) -> None:
    async def work(world: World) -> None:
        signing, renewed = world.party.signing, world.uzi.signing()
        [first] = await world.wallet.renew(signing)

        assert await world.wallet.renew(signing) == []
        [second] = await world.wallet.renew(renewed)
        assert [h.id for h in await world.wallet.held()] == [second.id]
        world.uzi.clock.advance(timedelta(days=240).total_seconds())
        assert await world.wallet.renew(renewed) == []
        world.uzi.clock.advance(timedelta(days=5).total_seconds())
        [third] = await world.wallet.renew(renewed)
        assert len({first.id, second.id, third.id}) == 3
        assert await world.wallet.renew(renewed, all_=True)

    with_world(databases, work)


def test_a_certificate_issues_only_what_it_can_say_of_its_owner(databases: Databases) -> None:
    async def work(world: World) -> None:
        with pytest.raises(LdnError) as caught:
            await world.wallet.renew(world.party.signing, ["ServiceProviderCredential"])
        assert caught.value.issue is Issue.INVALID

    with_world(databases, work)


def test_a_vendor_shows_the_delegation_of_the_organization_at_hand(databases: Databases) -> None:
    async def work(world: World) -> None:
        kind = "ServiceProviderDelegationCredential"
        vendor = world.of(Ura.parse("90000505"), world.uzi.party("90000505", "Leverancier"))
        practice = world.uzi.party("90000101", "West")
        for party, ura in ((practice, "90000101"), (world.party, "90000382")):
            said = {"hasDelegation": {"delegatedBy": {"identifier": [{"value": ura}]}}}
            await vendor.load(party.says(kind, said, vendor.key.did))
        path = "$.credentialSubject.hasDelegation.delegatedBy.identifier[*].value"
        wanted = defined(
            asking(
                kind,
                {"id": "who", "path": ["$.issuer"]},
                {"id": "organization_ura", "path": [path]},
            )
        )
        await world.wallet.renew(world.party.signing)
        first = await world.uzi.verifier().verify(
            await world.wallet.present(definition(), AUDIENCE, 5),
            definition(),
            world.uzi.expected(),
            Trail(),
        )

        vp = await vendor.present(wanted, AUDIENCE, 5, Along(shared=first.captured))

        expected = world.uzi.expected(shared=first.captured)
        found = await world.uzi.verifier().verify(vp, wanted, expected, Trail())
        assert found.captured["who"][0].value == world.party.holder.did

    with_world(databases, work)


def test_the_person_who_asks_goes_along(databases: Databases) -> None:
    async def work(world: World) -> None:
        await world.wallet.renew(world.party.signing)
        employee = world.wallet.employee("900012345", "A. Jansen", "01.015")

        vp = await world.wallet.present(definition(), AUDIENCE, 5, Along((employee,)))

        found = await world.uzi.verifier().verify(vp, definition(), world.uzi.expected(), Trail())
        assert found.credentials[1].claims["employee"] == ("900012345",)
        said = {name: values[0].value for name, values in found.captured.items()}
        assert said["employee_identifier"] == "900012345"
        assert said["employee_roleName"] == "01.015"

    with_world(databases, work)


def test_a_certificate_that_cannot_issue_says_so() -> None:
    uzi = Uzi()
    signing = uzi.signing()
    short = replace(signing, chain=signing.chain[:2])

    assert complete(short.chain, [uzi.root]) == signing.chain
    for call in (
        lambda: certificate_issuer(short, NUTS),
        lambda: complete(short.chain, []),
        lambda: certificate_issuer(signing, profile("lsp-nuts")),  # RS256 asks for an RSA key
    ):
        with pytest.raises(LdnError) as caught:
            call()
        assert caught.value.issue is Issue.INVALID


def test_what_is_published_is_found_where_others_look(databases: Databases, tmp_path: Path) -> None:
    async def work(world: World) -> None:
        origin = "https://node.example:8443"
        node, own = (holder_key(tmp_path / str(u), did_web(origin, u)) for u in (None, HOSPITAL))
        base = f"{origin}/statuslist/{HOSPITAL}"
        lists = PublishedLists(HOSPITAL, holder_issuer(own), base, world.store, world.uzi.clock)
        app = application(
            [*did_routes([node, own]), *status_routes(lists)], role="node", new_id=new_uuid
        )

        async with AsyncClient(transport=ASGITransport(app=app), base_url=origin) as client:
            root = await client.get("/.well-known/did.json")
            organization = await client.get(f"/iam/{HOSPITAL}/did.json")
            page = await client.get(f"/statuslist/{HOSPITAL}/0")
            absent = [
                (await client.get(path)).status_code
                for path in (
                    "/iam/90000101/did.json",
                    f"/statuslist/{HOSPITAL}/1",
                    f"/statuslist/{HOSPITAL}/99999",
                )
            ]

        assert root.json()["id"] == "did:web:node.example%3A8443"
        assert organization.json()["assertionMethod"] == [own.kid]
        assert opened(page.text)[1]["iss"] == own.did
        assert page.headers["content-type"].startswith("application/jwt")
        assert absent == [404, 404, 404]
        entry = status_entry(Status(f"{base}/0", 5), "StatusList2021Entry")
        assert entry["statusListIndex"] == "5"

    with_world(databases, work)


def test_the_wallet_on_http_is_for_its_owner_only(databases: Databases) -> None:
    async def work(world: World) -> None:
        def guard(request: Request) -> None:
            if request.headers.get("x-owner") != "yes":
                raise LdnError(Issue.FORBIDDEN, "not yours")

        routes = wallet_routes(world.wallet, lambda: world.party.signing, guard)
        app = application(routes, role="node", new_id=new_uuid)
        transport = ASGITransport(app=app)
        async with AsyncClient(transport=transport, base_url="https://node.example") as client:
            calls: list[tuple[str, str, Any]] = [
                ("GET", "/api/wallet", None),
                ("POST", "/api/wallet", {}),
                ("DELETE", "/api/wallet", {}),
                ("POST", "/api/wallet/$renew", {}),
            ]
            for method, path, body in calls:
                assert (await client.request(method, path, json=body)).status_code == 403
            client.headers["x-owner"] = "yes"
            made = await client.post("/api/wallet/$renew", json={"kinds": list(OWN[:2])})
            loaded = await client.post(
                "/api/wallet", json={"credential": world.party.provider(OWN[2])}
            )
            listed = (await client.get("/api/wallet")).json()
            for each in listed["credentials"]:
                gone = await client.request("DELETE", "/api/wallet", json={"id": each["id"]})
                assert gone.status_code == 204
            wrong = [
                (await client.post("/api/wallet", json={"credential": 5})).status_code,
                (await client.post("/api/wallet", json={"credential": "a.b.c"})).status_code,
                (await client.post("/api/wallet/$renew", json={"kinds": "x"})).status_code,
                (await client.request("DELETE", "/api/wallet", json={})).status_code,
            ]

        assert [c["type"] for c in made.json()["credentials"]] == list(OWN[:2])
        assert loaded.status_code == 201
        assert {c["type"] for c in listed["credentials"]} == set(OWN)
        assert listed["did"] == world.party.holder.did
        assert wrong == [400, 422, 400, 404]

    with_world(databases, work)


@given(st.text(max_size=200))
def test_no_origin_breaks_the_name_of_a_node(text: str) -> None:
    try:
        did_web(text)
    except LdnError as error:
        assert error.detail.startswith("did.")


def test_a_place_where_no_key_can_be_kept_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(LdnError) as caught:
        holder_key(tmp_path / "file" / "did.key", did_web("https://node.example"))
    assert "did.key" in caught.value.message


def test_a_statement_of_dezi_goes_along_when_it_is_asked(databases: Databases) -> None:
    async def work(world: World) -> None:
        await world.wallet.renew(world.party.signing)
        said = {
            "@context": ["https://www.w3.org/ns/credentials/v2"],
            "type": ["VerifiableCredential", "DeziUserCredential"],
            "issuer": "https://dezi.example",
            "validFrom": "2026-06-01T00:00:00Z",
            "validUntil": "2026-06-02T00:00:00Z",
            "credentialSubject": {"id": world.wallet.key.did},
        }
        wanted = defined(asking(OWN[0]), asking("DeziUserCredential"))

        vp = await world.wallet.present(wanted, AUDIENCE, 5, Along((said,)))

        assert opened(vp)[1]["vp"]["verifiableCredential"][1] == said
        ended = {**said, "validUntil": "2026-05-01T00:00:00Z"}
        with pytest.raises(LdnError) as caught:
            await world.wallet.present(wanted, AUDIENCE, 5, Along((ended,)))
        assert "DeziUserCredential" in caught.value.message

    with_world(databases, work)
