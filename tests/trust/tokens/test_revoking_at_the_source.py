"""A revoked certificate ends the tokens that rest on it. Source: trust and broker §9, B9; A13."""

import asyncio
from pathlib import Path

import pytest
from conftest import Databases
from trust.certificates.served import Served, authority
from trust.parties import HOSPITAL, NAMES, PRACTICE, World, bearing
from trust.tokens.presenting import Presenter, ports, server

from openldn.base.errors import LdnError
from openldn.trust.certificates.belief import Belief
from openldn.trust.certificates.issue import Subject, Term, issue_signing, served_at
from openldn.trust.certificates.revocation import Freshness
from openldn.trust.evidence import Kind
from openldn.trust.tokens.errors import Refused
from openldn.trust.tokens.watch import EVERY, Watch, by_kind

MINUTE = Freshness(fresh=30.0)


def belief_of(served: Served) -> Belief:
    return Belief(served.root, served.documents(), served.clock, MINUTE)


def world_of(served: Served) -> World:
    """Parties whose signing certificates name the list of the authority."""
    world = World(served.folder, served.clock)
    subject = Subject(PRACTICE, NAMES[PRACTICE])
    folder = served.folder / str(PRACTICE)
    issue_signing(folder, subject, Term(served.clock), served_at(served.address))
    return world


@pytest.mark.parametrize("dialect", ["D2", "D3"])
def test_tokens_of_a_revoked_certificate_end_within_a_minute(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    async def inside() -> None:
        async with authority(tmp_path) as served, databases.pool() as pool:
            world, belief = world_of(served), belief_of(served)
            at = server(world, pool, ports=ports(world, believes=belief))
            await at.store.prepare()
            who, shown = Presenter(world), world.certificate(PRACTICE)
            form = world.form() if dialect == "D2" else who.two()
            token = (await at.grant(form, shown))["access_token"]
            watch = Watch(
                at.store, [HOSPITAL], by_kind({Kind.CERTIFICATE: belief.still}), world.clock
            )
            assert await watch.look() == 0
            served.revoke(str(PRACTICE))

            withdrawn = 0
            for _ in range(2):
                world.clock.advance(EVERY)
                await belief.refresh()
                withdrawn += await watch.look()
            world.clock.advance(5)

            assert withdrawn == 1
            with pytest.raises(LdnError, match="login"):
                await at.verify(bearing(token, shown))
            with pytest.raises(Refused) as caught:
                await at.grant(world.form() if dialect == "D2" else who.two(), shown)
            assert "certificate.revoked" in caught.value.detail

    asyncio.run(inside())
