"""Names are chosen by who issues: another's evidence under the same name changes nothing. R61."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import Databases
from trust.broker.proofs import NOW, PROOF, asked, terms
from trust.parties import HOSPITAL, PRACTICE, World
from trust.tokens.presenting import Presenter, server

from openldn.trust.broker.convert import narrow
from openldn.trust.broker.revocation import RevocationFeed
from openldn.trust.broker.store import ConversionStore, record_of
from openldn.trust.evidence import Evidence, Kind, Status
from openldn.trust.tokens.service import AuthorizationServer
from openldn.trust.tokens.watch import Watch
from openldn.trust.trail import Trail

LISTED = Status("https://issuer.example/status/1", 7)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(
    databases: Databases, world: World, case: Callable[[AuthorizationServer], Awaitable[None]]
) -> None:
    async def inside() -> None:
        async with databases.pool() as pool:
            at = server(world, pool)
            await at.store.prepare()
            await case(at)

    asyncio.run(inside())


def test_a_credential_of_the_same_name_does_not_hide_a_revoked_one(
    databases: Databases, world: World
) -> None:
    """An organization may call what it issues to itself as the credential that is revoked."""

    async def case(at: AuthorizationServer) -> None:
        answer = await at.grant(Presenter(world).one(), world.certificate(PRACTICE))
        grant = await at.presence.found(answer["access_token"])
        assert grant is not None
        ends = grant.expires + timedelta(days=1)
        revoked = Evidence(Kind.CREDENTIAL, "urn:name", "did:web:issuer.example", ends, LISTED)
        plain = Evidence(Kind.CREDENTIAL, "urn:name", "did:jwk:itself", ends + timedelta(days=1))
        for number, evidence in enumerate(((revoked,), (plain,), (revoked, plain))):
            made = replace(grant, id=str(number), evidence=evidence)
            await at.store.add(str(number).encode(), made)

        async def still(evidence: Evidence) -> bool:
            return evidence.status != LISTED

        assert await Watch(at.store, [HOSPITAL], still, at.clock).look() == 2
        assert await at.store.find(HOSPITAL, b"0") is None
        assert await at.store.find(HOSPITAL, b"1") is not None
        assert await at.store.find(HOSPITAL, b"2") is None

    run(databases, world, case)


@pytest.mark.parametrize("last", ["revoked", "plain"])
def test_at_a_broker_it_does_not_either_nor_does_it_revoke_what_others_have(
    databases: Databases, last: str
) -> None:
    async def inside() -> None:
        async with databases.pool() as pool:
            store = ConversionStore(pool)
            await store.prepare()
            ends = NOW + timedelta(minutes=4)
            both = {
                "revoked": Evidence(Kind.CREDENTIAL, "urn:name", "did:web:a.example", ends, LISTED),
                "plain": Evidence(Kind.CREDENTIAL, "urn:name", "did:jwk:itself", ends),
            }
            for name in sorted(both, key=lambda n: n == last):
                proof = replace(PROOF, evidence=(both[name],))
                draft = narrow(proof, asked(), terms(id=name), Trail())
                await store.add(record_of(draft, "hash", Status("https://b/1", 1), Trail()))
            dead: list[str] = []

            async def revoke(jti: str) -> None:
                dead.append(jti)

            async def look(evidence: Evidence) -> bool:
                return evidence.status != LISTED

            feed = RevocationFeed(store, {Kind.CREDENTIAL: look}, revoke, lambda: NOW)
            assert await feed.look() == 1
            assert dead == ["revoked"]

    asyncio.run(inside())
