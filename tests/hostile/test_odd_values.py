"""Values at the edge of what a library can hold are refused as any other, never as a fault."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from trust.parties import HOSPITAL, ISSUER, PRACTICE, World
from trust.tokens.presenting import Presenter, resigned, server, submission

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid
from openldn.trust import jose
from openldn.trust.credentials.issue import holder_issuer, issue_credential, present
from openldn.trust.saml.xml import moment
from openldn.trust.tokens.errors import Refused
from openldn.trust.tokens.service import AuthorizationServer
from openldn.trust.trail import Trail

LAST = 253_402_300_799  # 9999-12-31T23:59:59Z
EC_KEY, UNKNOWN = bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d0209")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(
    databases: Databases, world: World, case: Callable[[AuthorizationServer], Awaitable[Any]]
) -> Any:
    async def inside() -> Any:
        async with databases.pool() as pool:
            at = server(world, pool)
            await at.store.prepare()
            return await case(at)

    return asyncio.run(inside())


def refused(databases: Databases, world: World, form: dict[str, str]) -> Refused:
    async def case(at: AuthorizationServer) -> Refused:
        with pytest.raises(Refused) as caught:
            await at.grant(form, world.certificate(PRACTICE))
        return caught.value

    found: Refused = run(databases, world, case)
    return found


def test_a_credential_until_the_end_of_time_is_judged_as_any_other(
    databases: Databases, world: World
) -> None:
    who = Presenter(world)
    member = {"identifier": "900012345", "name": "x", "roleName": "01.015"}
    content = {"id": who.holder.did, "member": member}
    issuer = holder_issuer(who.holder)
    own = issue_credential(issuer, "NutsEmployeeCredential", content, who.making)
    said = jose.read(own, Trail())
    endless = said.claims | {"exp": LAST}
    own = jose.sign(endless, who.holder.key, "ES256", {"kid": who.holder.kid})
    vp = present(who.holder, [who.credential, own], ISSUER, 5, who.making)

    async def case(at: AuthorizationServer) -> None:
        form = who.one(assertion=vp, presentation_submission=submission())
        assert "access_token" in await at.grant(form, world.certificate(PRACTICE))

    run(databases, world, case)


@pytest.mark.parametrize("written", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"])
def test_a_moment_that_cannot_be_reckoned_with_is_refused(written: str) -> None:
    with pytest.raises(LdnError) as caught:
        moment(written, Trail())
    assert caught.value.detail == "saml.time"


def test_a_certificate_with_a_key_nobody_knows_is_refused(
    databases: Databases, world: World
) -> None:
    token = world.signer(PRACTICE).sign(world.claims())
    read = jose.read(token, Trail())
    der = base64.b64decode(read.header["x5c"][0])
    odd = base64.b64encode(der.replace(EC_KEY, UNKNOWN)).decode()
    header = read.header | {"x5c": [odd, *read.header["x5c"][1:]]}
    forged = jose.sign(world.claims(), world.signer(PRACTICE).key, "ES256", header)

    error = refused(databases, world, world.signed(forged, forged))

    assert error.issue is not Issue.EXCEPTION, error.detail


@pytest.mark.parametrize("name", [5, ["a"], {"a": "b"}, True])
def test_a_presentation_without_a_name_that_can_be_kept_counts_not_even_once(
    databases: Databases, world: World, name: object
) -> None:
    """A jti that is no text was never marked as used: who saw it could show it again."""
    who = Presenter(world)
    nameless = resigned(who.vp(lifetime=60), who.holder, {"jti": name}, drop=("nonce",))
    assert refused(databases, world, who.two(assertion=nameless)).detail == "vp.claims"


def test_what_was_used_is_remembered_for_as_long_as_it_can_be_shown(
    databases: Databases, world: World
) -> None:
    """The profile of a registered peer may allow more than that of the dialect."""

    async def case(at: AuthorizationServer) -> None:
        now = at.clock()
        await at.store.use(HOSPITAL, ["probe"], now)
        ends = int((now + timedelta(seconds=3600)).timestamp())
        claims = world.claims(jti=new_uuid(), exp=ends)
        token = world.signer(PRACTICE).sign(claims)
        with pytest.raises(Refused):
            await at.grant(world.signed(token, token), world.certificate(PRACTICE))
        await at.store.sweep(HOSPITAL, now + timedelta(seconds=3600 + 119))
        fresh = await at.store.use(HOSPITAL, [f"{PRACTICE}|{claims['jti']}"], now)
        assert not fresh

    run(databases, world, case)
