"""Discovery of Nuts parties (R72; Nuts RFC022): the list, and copies that follow it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from trust.credentials.kit import NUTS, Party, Uzi, definition, opened, resigned, signed

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, serving
from openldn.base.runtime import new_uuid
from openldn.base.sql import Pool, open_pool
from openldn.fhir.http import application
from openldn.infrastructures.nuts.discovery.api import routes
from openldn.infrastructures.nuts.discovery.client import DiscoveryClient
from openldn.infrastructures.nuts.discovery.model import RETRACTED, Discovery
from openldn.infrastructures.nuts.discovery.service import DiscoveryServer
from openldn.infrastructures.nuts.discovery.store import CLIENT, SERVER, DiscoveryStore
from openldn.infrastructures.nuts.discovery.verify import Verifying

HOUR = timedelta(hours=1)
LONGEST = 24 * HOUR


@dataclass
class World:
    """An operator of a list and a party that follows it, each in its own half of a database."""

    authority: Uzi
    server: DiscoveryServer
    client: DiscoveryClient
    pool: Pool
    origin: str
    servers: dict[str, DiscoveryServer]

    def registration(self, party: Party, life: timedelta = HOUR) -> str:
        return party.present("care", lifetime=int(life.total_seconds()))

    def retraction(self, party: Party, jti: str, **claims: Any) -> str:
        now = int(self.authority.clock().timestamp())
        vp = {"type": ["VerifiablePresentation", RETRACTED]}
        said = {"iss": party.holder.did, "sub": party.holder.did, "aud": "care", "vp": vp}
        times = {"nbf": now, "exp": now + 3600, "jti": new_uuid(), "nonce": new_uuid()}
        return signed({**said, **times, "retract_jti": jti} | claims, party.holder)

    async def names(self) -> list[str]:
        found = await self.client.search({"organization_ura": "*"})
        return [r.claims["organization_ura"] for r in found]

    async def begun_anew(self) -> DiscoveryServer:
        """The same list, begun anew by its operator."""
        again = replace(self.server, store=DiscoveryStore(self.pool, "anew"))
        await again.prepare()
        self.servers["care"] = again
        return again


@asynccontextmanager
async def world(dsn: str) -> AsyncIterator[World]:
    authority = Uzi()
    pool = await open_pool(dsn)
    service = Discovery("care", "", definition(), LONGEST)
    verify = Verifying(authority.verifier(), "care", LONGEST, NUTS, authority.clock)
    server = DiscoveryServer(
        service, DiscoveryStore(pool, SERVER), verify, authority.clock, new_uuid
    )
    await server.prepare()
    servers, http = {"care": server}, HttpClient()
    app = application(routes(servers), role="test", new_id=new_uuid)
    async with serving(app, "127.0.0.1", 0, None) as port:
        origin = f"http://127.0.0.1:{port}"
        copied = replace(service, endpoint=f"{origin}/discovery/care")
        store = DiscoveryStore(pool, CLIENT)
        client = DiscoveryClient(copied, store, http, verify, authority.clock)
        try:
            yield World(authority, server, client, pool, origin, servers)
        finally:
            await http.close()
            await pool.close()


def run(dsn: str, test: Callable[[World], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with world(dsn) as made:
            await test(made)

    asyncio.run(inside())


async def refused(asking: Coroutine[Any, Any, Any]) -> str:
    with pytest.raises(LdnError) as caught:
        await asking
    return caught.value.detail


def test_who_registers_is_found_by_who_follows_the_list(dsn: str) -> None:
    async def test(made: World) -> None:
        oost, west = made.authority.party("90000382"), made.authority.party("90000383", "West")
        await made.client.register(made.registration(oost))
        await made.client.register(made.registration(west))

        assert await made.client.update() == 2
        assert sorted(await made.names()) == ["90000382", "90000383"]
        [found] = await made.client.search({"organization_name": "we*"})
        assert found.subject == west.holder.did
        assert await made.client.search({"organization_name": "nowhere*"}) == []
        assert await made.client.update() == 0

    run(dsn, test)


def test_a_party_has_one_entry_and_the_last_one_counts(dsn: str) -> None:
    async def test(made: World) -> None:
        oost = made.authority.party()
        for _ in range(3):
            await made.client.register(made.registration(oost))
            await made.client.update()

        [entry] = (await made.server.listing(0)).entries
        assert entry.timestamp == 3
        assert await made.names() == ["90000382"]

    run(dsn, test)


def test_registering_the_same_twice_changes_nothing(dsn: str) -> None:
    async def test(made: World) -> None:
        text = made.registration(made.authority.party())
        await made.client.register(text)
        await made.client.register(text)

        assert (await made.server.listing(0)).timestamp == 1

    run(dsn, test)


def test_what_is_retracted_is_no_longer_found(dsn: str) -> None:
    async def test(made: World) -> None:
        oost = made.authority.party()
        text = made.registration(oost)
        await made.client.register(text)
        await made.client.update()
        await made.client.register(made.retraction(oost, opened(text)[1]["jti"]))
        await made.client.update()

        assert await made.names() == []
        await made.client.register(made.registration(oost))
        await made.client.update()
        assert await made.names() == ["90000382"]

    run(dsn, test)


def test_nobody_retracts_for_another_or_what_is_not_there(dsn: str) -> None:
    async def test(made: World) -> None:
        oost, west = made.authority.party(), made.authority.party("90000383")
        text = made.registration(oost)
        await made.server.register(text)
        jti = opened(text)[1]["jti"]

        for wrong in (
            made.retraction(west, jti),
            made.retraction(oost, "another"),
            made.retraction(oost, ""),
            resigned(made.retraction(oost, jti), west.holder.key),
            made.retraction(oost, jti, aud="elsewhere"),
            made.retraction(oost, jti, exp=1),
        ):
            assert await refused(made.server.register(wrong))
        assert len((await made.server.listing(0)).entries) == 1

    run(dsn, test)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"exp": 2**33}, "vp.lifetime"),
        ({"jti": None}, "discovery.jti"),
        ({"aud": "elsewhere"}, "vp.aud"),
        ({"retract_jti": "x"}, "discovery.retraction"),
    ],
)
def test_a_registration_that_breaks_a_rule_is_refused(
    dsn: str, change: dict[str, Any], code: str
) -> None:
    async def test(made: World) -> None:
        party = made.authority.party()
        text = resigned(made.registration(party), party.holder.key, **change)

        assert await refused(made.server.register(text)) == code
        assert await refused(made.client.register(text)) == "discovery: 400"

    run(dsn, test)


def test_a_credential_must_outlive_the_registration(dsn: str) -> None:
    async def test(made: World) -> None:
        party = made.authority.party()
        short = party.x509(life=timedelta(minutes=5))
        text = party.present("care", [short], lifetime=3600)

        assert await refused(made.server.register(text))

    run(dsn, test)


def test_what_expires_is_gone_from_list_and_copy(dsn: str) -> None:
    async def test(made: World) -> None:
        await made.client.register(made.registration(made.authority.party()))
        await made.client.update()
        made.authority.clock.advance(3601)

        assert (await made.server.listing(0)).entries == ()
        assert await made.names() == []
        assert await made.client.update() == 0

    run(dsn, test)


def test_another_seed_begins_the_copy_anew(dsn: str) -> None:
    async def test(made: World) -> None:
        oost, west = made.authority.party(), made.authority.party("90000383")
        for party in (oost, made.authority.party("90000384")):
            await made.client.register(made.registration(party))
        await made.client.update()

        again = await made.begun_anew()
        await again.register(made.registration(west))
        await made.client.update()

        assert await made.names() == ["90000383"]

    run(dsn, test)


def test_an_entry_that_does_not_pass_is_left_out_and_not_the_others(dsn: str) -> None:
    async def test(made: World) -> None:
        oost, west = made.authority.party(), made.authority.party("90000383")
        await made.client.register(made.registration(oost))
        await made.client.register(made.registration(west))
        leaf = oost.signing.thumbprint
        made.authority.belief.revoked.add(leaf)  # between the list and the copy

        assert await made.client.update() == 1
        assert await made.names() == ["90000383"]

    run(dsn, test)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"seed":"","timestamp":1,"entries":{}}',
        b'{"seed":"s","timestamp":-1,"entries":{}}',
        b'{"seed":"s","timestamp":1,"entries":{"x":"y"}}',
        b'{"seed":"s","timestamp":1,"entries":{"1":2}}',
        b'{"seed":"s","timestamp":1e400,"entries":{}}',
    ],
)
def test_a_list_that_makes_no_sense_changes_nothing(dsn: str, body: bytes) -> None:
    async def answer(request: Request) -> Response:
        return Response(body, media_type="application/json")

    async def test(made: World) -> None:
        await made.client.register(made.registration(made.authority.party()))
        await made.client.update()
        app = application([Route("/x", answer)], role="test", new_id=new_uuid)
        async with serving(app, "127.0.0.1", 0, None) as port:
            bad = replace(made.client.service, endpoint=f"http://127.0.0.1:{port}/x")
            with pytest.raises(LdnError) as caught:
                await replace(made.client, service=bad).update()
        assert caught.value.issue is Issue.INCOMPLETE
        assert await made.names() == ["90000382"]

    run(dsn, test)


def test_a_word_to_search_by_has_wildcards_at_its_ends_only(dsn: str) -> None:
    async def test(made: World) -> None:
        await made.client.register(made.registration(made.authority.party()))
        await made.client.update()

        assert len(await made.client.search({"organization_ura": "*0382"})) == 1
        assert await made.client.search({"organization_ura": "%"}) == []
        assert await made.client.search({"organization_ura": "9000_382"}) == []
        for bad in ("", "9*2", "x" * 300):
            with pytest.raises(LdnError):
                await made.client.search({"organization_ura": bad})

    run(dsn, test)


def test_the_list_is_told_over_http_from_a_moment_on(dsn: str) -> None:
    async def test(made: World) -> None:
        http = HttpClient()
        url = f"{made.origin}/discovery/care"
        await made.client.register(made.registration(made.authority.party()))

        for query, status in (("", 200), ("?timestamp=1", 200), ("?timestamp=x", 400)):
            assert (await http.send("GET", url + query, deadline=5)).status == status
        absent = await http.send("GET", f"{made.origin}/discovery/other", deadline=5)
        assert absent.status == 404
        for body in (b"", b"\xff", b"a.b.c", b"x" * 200_000):
            reply = await http.send("POST", url, body=body, deadline=5)
            assert reply.status in {400, 413}
        await http.close()

    run(dsn, test)
