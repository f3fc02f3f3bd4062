"""One and two presentations (D1, D3). Source: Nuts RFC021; GFI-004; R45-R52; A01, A02."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from trust.parties import HOSPITAL, ISSUER, PHARMACY, PRACTICE, SCOPE, World, bearing
from trust.tokens.presenting import Presenter, ports, resigned, server

from openldn.base.errors import LdnError
from openldn.base.sql import open_pool
from openldn.trust.tokens.errors import Refused
from openldn.trust.tokens.introspection import introspected
from openldn.trust.tokens.ports import Ports
from openldn.trust.tokens.service import AuthorizationServer

OTHER_TENANT = "https://127.0.0.1:8443/oauth2/90000505"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def who(world: World) -> Presenter:
    return Presenter(world)


def run(
    databases: Databases,
    world: World,
    case: Callable[[AuthorizationServer], Awaitable[Any]],
    **other: Any,
) -> Any:
    async def inside() -> Any:
        async with databases.pool() as pool:
            at = server(world, pool, **other)
            await at.store.prepare()
            return await case(at)

    return asyncio.run(inside())


def refusals(
    databases: Databases, world: World, *forms: dict[str, str], **other: Any
) -> list[Refused]:
    """How a server refuses these requests, one after the other."""

    async def case(at: AuthorizationServer) -> list[Refused]:
        found = []
        for form in forms:
            with pytest.raises(Refused) as caught:
                await at.grant(form, world.certificate(PRACTICE))
            found.append(caught.value)
        return found

    told: list[Refused] = run(databases, world, case, **other)
    return told


def accepted(databases: Databases, world: World, form: dict[str, str]) -> dict[str, Any]:
    async def case(at: AuthorizationServer) -> dict[str, Any]:
        return await at.grant(form, world.certificate(PRACTICE))

    answer: dict[str, Any] = run(databases, world, case)
    return answer


def test_one_presentation_opens_the_holder(
    databases: Databases, world: World, who: Presenter
) -> None:
    async def case(at: AuthorizationServer) -> None:
        answer = await at.grant(who.one(), world.certificate(PRACTICE))
        grant = await at.verify(bearing(answer["access_token"], world.certificate(PRACTICE)))

        assert grant.dialect == "D1"
        assert grant.subject == who.holder.did
        assert grant.requester.organization == PRACTICE
        assert grant.requester.organization_name == "Huisartsenpraktijk West"
        assert grant.requester.purpose == "TREAT"
        assert {e.kind for e in grant.evidence} == {"credential", "certificate"}

    run(databases, world, case)


def test_two_presentations_name_organization_and_vendor(
    databases: Databases, world: World, who: Presenter
) -> None:
    async def case(at: AuthorizationServer) -> None:
        answer = await at.grant(who.two(), world.certificate(PHARMACY))
        world.clock.advance(6)  # so that the store is asked
        grant = await at.verify(bearing(answer["access_token"], world.certificate(PHARMACY)))
        told = introspected(grant, at.issuer, at.audience)

        assert (grant.dialect, grant.system) == ("D3", who.vendor.did)
        assert grant.requester.organization == PRACTICE
        [ura] = told["assertions"][who.holder.did]["delegating_hcp_ura"]
        assert ura["value"] == "90000101"
        assert set(ura) == {"value", "iss", "iat", "exp"}
        assert list(told["client_assertions"]) == [who.vendor.did]

    run(databases, world, case)


def test_a_nuts_resource_server_hears_the_flat_claims_too(
    databases: Databases, world: World, who: Presenter
) -> None:
    async def case(at: AuthorizationServer) -> None:
        answer = await at.grant(who.one(), world.certificate(PRACTICE))
        grant = await at.presence.found(answer["access_token"])
        assert grant

        assert introspected(grant, at.issuer, at.audience)["delegating_hcp_ura"] == "90000101"

    run(databases, world, case)


def test_a_presentation_of_more_than_five_seconds_is_refused(
    databases: Databases, world: World, who: Presenter
) -> None:
    long = who.one(assertion=who.vp(lifetime=6))

    [error] = refusals(databases, world, long)

    assert (error.word, error.detail) == ("invalid_request", "vp.lifetime")
    assert accepted(databases, world, who.one())["token_type"] == "Bearer"


@pytest.mark.parametrize(
    ("shift", "fits"), [(5, True), (6, False), (-10, True), (-11, False), (7200, False)]
)
def test_clocks_of_presenters_differ_five_seconds_and_no_more(
    databases: Databases, world: World, who: Presenter, shift: int, fits: bool
) -> None:
    now = int(world.clock().timestamp())
    world.clock.now = world.clock.now.replace(microsecond=0)
    times = {"iat": now + shift, "nbf": now + shift, "exp": now + shift + 5}
    form = who.one(assertion=resigned(who.vp(), who.holder, times))

    if fits:
        assert "access_token" in accepted(databases, world, form)
    else:
        assert refusals(databases, world, form)[0].detail == "vp.now"


def test_a_nonce_works_once_also_after_a_failed_first_attempt(
    databases: Databases, world: World, who: Presenter
) -> None:
    first = who.one(scope="everything")

    one, two, three = refusals(databases, world, first, first, first | {"scope": SCOPE})

    assert {e.word for e in (one, two, three)} == {"invalid_request"}
    assert [two.detail, three.detail] == ["assertion.once"] * 2


@pytest.mark.parametrize("audience", [OTHER_TENANT, f"{ISSUER}/token", "https://elsewhere.example"])
def test_a_presentation_for_another_audience_is_refused(
    databases: Databases, world: World, who: Presenter, audience: str
) -> None:
    one = who.one(assertion=who.vp(audience))
    two = who.two(assertion=who.vp(audience, 60))
    vendor = who.two(client_assertion=who.vendor_vp(audience))

    words = [e.word for e in refusals(databases, world, one, two, vendor)]

    assert words == ["invalid_request", "invalid_grant", "invalid_client"]


def test_who_presents_is_the_subject_of_the_credentials(
    databases: Databases, world: World, who: Presenter
) -> None:
    who.credential = who.provider_credential(who.vendor.did)

    one, two = refusals(databases, world, who.one(), who.two())

    assert (one.word, one.detail) == ("invalid_request", "vp.presenter")
    assert (two.word, two.detail) == ("invalid_grant", "vp.presenter")


def test_a_definition_that_is_not_fulfilled_is_told_without_secrets(
    databases: Databases, world: World, who: Presenter
) -> None:
    who.credential = who.delegated(who.vendor, who.holder.did, PRACTICE)

    [error] = refusals(databases, world, who.one())

    assert error.word == "invalid_request"
    for word in ("90000101", "did:jwk", "Huisartsenpraktijk"):
        assert word not in f"{error.message} {error.description} {error.detail}"


def test_a_vendor_without_a_delegation_of_this_organization_is_refused(
    databases: Databases, world: World, who: Presenter
) -> None:
    own_word, other_ura = who.delegation, who.delegation
    own_word = who.delegated(who.vendor, who.vendor.did, PRACTICE)
    other_ura = who.delegated(who.holder, who.vendor.did, PHARMACY)

    for wrong in (own_word, other_ura):
        who.delegation = wrong
        [error] = refusals(databases, world, who.two())
        assert error.word == "invalid_client"


def test_two_presentations_with_one_nonce_are_refused(
    databases: Databases, world: World, who: Presenter
) -> None:
    nonce = {"nonce": "n-0123456789"}
    form = who.two(
        assertion=resigned(who.vp(lifetime=60), who.holder, nonce),
        client_assertion=resigned(who.vendor_vp(), who.vendor, nonce),
    )

    [error] = refusals(databases, world, form)

    assert error.word == "invalid_request"


@pytest.mark.parametrize("claim", ["iss", "aud", "jti", "iat", "exp", "vp"])
def test_an_assertion_without_one_of_its_claims_is_refused(
    databases: Databases, world: World, who: Presenter, claim: str
) -> None:
    grant = who.two(assertion=resigned(who.vp(lifetime=60), who.holder, {}, [claim]))
    client = who.two(client_assertion=resigned(who.vendor_vp(), who.vendor, {}, [claim]))

    words = [e.word for e in refusals(databases, world, grant, client)]

    assert words == ["invalid_grant", "invalid_client"]


def test_a_presentation_without_a_nonce_is_refused(
    databases: Databases, world: World, who: Presenter
) -> None:
    [error] = refusals(
        databases, world, who.one(assertion=resigned(who.vp(), who.holder, {}, ["nonce"]))
    )

    assert (error.word, error.detail) == ("invalid_request", "vp.nonce")


@pytest.mark.parametrize("extra", ["presentation_submission", "client_id"])
def test_two_presentations_come_without_submission_and_client_id(
    databases: Databases, world: World, who: Presenter, extra: str
) -> None:
    [error] = refusals(databases, world, who.two(**{extra: "x"}))

    assert (error.word, error.detail) == ("invalid_request", "form: forbidden")


def test_a_presentation_and_a_plain_assertion_may_be_mixed(
    databases: Databases, world: World, who: Presenter
) -> None:
    form = who.two(client_assertion=world.signer(PRACTICE).sign(world.claims()))

    assert accepted(databases, world, form)["scope"] == SCOPE


def test_a_plain_client_of_another_organization_does_not_speak_for_this_one(
    databases: Databases, world: World, who: Presenter
) -> None:
    form = who.two(client_assertion=world.signer(PHARMACY).sign(world.claims(PHARMACY)))

    [error] = refusals(databases, world, form)

    assert (error.word, error.detail) == ("invalid_client", "vp.delegation")


def test_an_unknown_party_and_a_bad_signature_look_the_same(
    databases: Databases, world: World, who: Presenter, tmp_path: Path
) -> None:
    foreign = Presenter(World(tmp_path / "foreign", world.clock))
    forged = who.one(assertion=resigned(who.vp(), foreign.holder, {"jti": "another-one"}))
    head, _, rest = who.vp().partition(".")
    body, _, _ = rest.partition(".")
    broken = who.one(assertion=f"{head}.{body}.{'A' * 86}")

    told = refusals(databases, world, foreign.one(), forged, broken)

    assert len({(e.status, e.word, e.description, e.message) for e in told}) == 1
    assert len({e.detail for e in told}) > 1


def test_metadata_lists_exactly_the_grants_that_are_taken(
    databases: Databases, world: World
) -> None:
    async def case(at: AuthorizationServer) -> list[str]:
        told: list[str] = at.metadata()["grant_types_supported"]
        for grant in ("password", "authorization_code", "urn:x", *told):
            with pytest.raises(Refused) as caught:
                await at.grant({"grant_type": grant}, world.certificate(PRACTICE))
            assert (caught.value.word == "unsupported_grant_type") == (grant not in told)
        return told

    everything = run(databases, world, case)
    plain = run(databases, world, case, ports=Ports())
    only_one = run(databases, world, case, dialects=frozenset({"D1"}))

    assert len(everything) == 3  # exchange is not offered without its port
    assert "vp_token-bearer" not in plain
    assert only_one == ["vp_token-bearer"]


def test_a_token_never_outlives_the_shortest_evidence(
    databases: Databases, world: World, who: Presenter
) -> None:
    who.making = type(who.making)(world.clock, who.making.new_id, timedelta(seconds=90))
    who.delegation = who.delegated(who.holder, who.vendor.did, PRACTICE)

    answer = accepted(databases, world, who.two())

    assert 80 <= answer["expires_in"] <= 90


def test_ten_thousand_replays_over_a_restart_and_two_processes_open_nothing(
    databases: Databases, world: World, who: Presenter
) -> None:
    form, certificate = who.one(), world.certificate(PRACTICE)

    async def attempts(dsn: str, count: int) -> list[str]:
        pools = [await open_pool(dsn, size=6) for _ in range(2)]
        servers = [server(world, pool, refusal=0.0) for pool in pools]
        await servers[0].store.prepare()
        outcomes: list[str] = []

        async def some(at: AuthorizationServer) -> None:
            for _ in range(count // 8):
                try:
                    await at.grant(form, certificate)
                    outcomes.append("granted")
                except LdnError as error:
                    outcomes.append(error.detail)

        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(some(servers[number % 2]))
        for pool in pools:
            await pool.close()
        return outcomes

    dsn = asyncio.run(databases.fresh())
    first, second = asyncio.run(attempts(dsn, 5_000)), asyncio.run(attempts(dsn, 5_008))

    assert sorted(set(first)) == ["assertion.once", "granted"]
    assert first.count("granted") == 1
    assert set(second) == {"assertion.once"}


def test_scopes_with_different_definitions_are_asked_separately(
    databases: Databases, world: World, who: Presenter
) -> None:
    two, three = refusals(databases, world, who.two(scope="audit"), who.two(scope="bgz audit"))

    assert {two.word, three.word} == {"invalid_scope"}
    assert ports(world).policies.keys() == {SCOPE}
    assert HOSPITAL != PRACTICE
