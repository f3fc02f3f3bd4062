"""Plain assertions, certificates and exchange. Source: RFC 7523, 8693, 8705; R54, R55, R68."""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import Databases
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from trust.parties import ISSUER, PHARMACY, PRACTICE, SCOPE, World, bearing
from trust.tokens.presenting import authorities, ports, server

from openldn.base.runtime import new_uuid
from openldn.fhir.codec import dump
from openldn.trust import jose
from openldn.trust.certificates import thumbprint
from openldn.trust.evidence import Evidence, Kind, Proof
from openldn.trust.peers import profile
from openldn.trust.tokens.dialects import CLIENT_ASSERTION_TYPE, EXCHANGE
from openldn.trust.tokens.errors import Refused, invalid_target
from openldn.trust.tokens.introspection import introspected
from openldn.trust.tokens.ports import Issued, Peer, Swap
from openldn.trust.tokens.rate import Rate
from openldn.trust.tokens.service import AuthorizationServer
from openldn.trust.trail import Trail

TOKEN = f"{ISSUER}/token"
OTHER = "https://127.0.0.1:8443/oauth2/90000505"
TWIIN = "https://broker.example/gtk"
SAML = "urn:ietf:params:oauth:token-type:saml2"
Case = Callable[[AuthorizationServer], Awaitable[Any]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def run(databases: Databases, world: World, case: Case, **other: Any) -> Any:
    async def inside() -> Any:
        async with databases.pool() as pool:
            at = server(world, pool, **other)
            await at.store.prepare()
            return await case(at)

    return asyncio.run(inside())


def refusals(
    databases: Databases, world: World, *forms: dict[str, str], **other: Any
) -> list[Refused]:
    async def case(at: AuthorizationServer) -> list[Refused]:
        found = []
        for form in forms:
            with pytest.raises(Refused) as caught:
                await at.grant(form, world.certificate(PRACTICE))
            found.append(caught.value)
        return found

    told: list[Refused] = run(databases, world, case, **other)
    return told


class Gateway:
    """A party of another network with a registered key, that asks for the practice."""

    def __init__(self, world: World, curve: ec.EllipticCurve | None = None) -> None:
        self.world = world
        self.key = jose.key_of(ec.generate_private_key(curve or ec.SECP521R1()))
        ends = world.clock() + timedelta(days=1)
        self.evidence = Evidence(Kind.ASSERTION, f"{TWIIN}#k1", TWIIN, ends)

    async def registered(self, issuer: str, kid: str) -> Peer | None:
        if (issuer, kid) != (TWIIN, "k1"):
            return None
        public = jose.key_of_jwk(jose.public_jwk(self.key))
        known = frozenset({PRACTICE})
        return Peer(TWIIN, public, known, profile("lsp-nuts"), self.evidence, "GtK")

    def word(self, *, kid: str = "k1", alg: str = "ES512", **claims: Any) -> str:
        now = int(self.world.clock().timestamp())
        plain = {"iss": TWIIN, "sub": str(PRACTICE), "aud": ISSUER, "jti": new_uuid()}
        whole = plain | {"iat": now, "exp": now + 300} | claims
        return jose.sign(whole, self.key, alg, {"kid": kid})

    def form(self, **other: str) -> dict[str, str]:
        client = self.word(sub="viplive-databroker")
        base = {"authorization_base": "toestemming-17"}
        return self.world.signed(self.word(), client) | base | other


@pytest.fixture
def gateway(world: World) -> Gateway:
    return Gateway(world)


def knowing(world: World, gateway: Gateway) -> Any:
    return ports(world, registered=gateway.registered)


def test_a_registered_gateway_asks_for_an_organization_and_says_on_what_ground(
    databases: Databases, world: World, gateway: Gateway
) -> None:
    async def case(at: AuthorizationServer) -> None:
        answer = await at.grant(gateway.form(), world.certificate(PHARMACY))
        world.clock.advance(6)  # so that the store is asked
        grant = await at.verify(bearing(answer["access_token"], world.certificate(PHARMACY)))

        assert grant.dialect == "D2"
        assert grant.requester.organization == PRACTICE
        assert grant.system == "viplive-databroker"
        assert grant.authorization_base == "toestemming-17"
        assert grant.evidence == (gateway.evidence,)

    run(databases, world, case, ports=knowing(world, gateway))


@pytest.mark.parametrize(
    ("claims", "detail"),
    [
        ({"sub": str(PHARMACY)}, "assertion.organization"),
        ({"aud": OTHER}, "assertion.aud"),
        ({"aud": [ISSUER, TOKEN]}, "assertion.aud"),
        ({"iss": "https://elsewhere.example"}, "assertion.kid"),
        ({"iss": str(PRACTICE)}, "assertion.kid"),
        ({"kid": "k2"}, "assertion.kid"),
        ({"exp": 4_000_000_000}, "assertion.lifetime"),
    ],
)
def test_a_gateways_word_that_does_not_fit_refuses_the_grant(
    databases: Databases, world: World, gateway: Gateway, claims: dict[str, Any], detail: str
) -> None:
    form = gateway.form(assertion=gateway.word(**claims))

    [error] = refusals(databases, world, form, ports=knowing(world, gateway))

    assert (error.word, error.status, error.detail) == ("invalid_grant", 400, detail)


def test_a_client_assertion_is_refused_for_replay_age_audience_and_algorithm(
    databases: Databases, world: World, gateway: Gateway
) -> None:
    now = int(world.clock().timestamp())
    first = gateway.form()
    wrong = [
        gateway.word(sub="x", exp=now - 6, iat=now - 60),
        gateway.word(sub="x", aud=OTHER),
        confused(gateway, "none"),
        confused(gateway, "HS256"),
    ]

    async def case(at: AuthorizationServer) -> list[Refused]:
        await at.grant(first, world.certificate(PRACTICE))
        found = []
        for client in (first["client_assertion"], *wrong):
            with pytest.raises(Refused) as caught:
                form = gateway.form(client_assertion=client)
                await at.grant(form, world.certificate(PRACTICE))
            found.append(caught.value)
        return found

    errors = run(databases, world, case, ports=knowing(world, gateway))

    assert {e.word for e in errors} == {"invalid_client"}
    assert [e.detail for e in errors] == [
        "assertion.once",
        "assertion.exp",
        "assertion.aud",
        "jwt.alg",
        "jwt.alg",
    ]


def confused(gateway: Gateway, algorithm: str) -> str:
    """Signed with the public key as a shared secret, or not at all."""
    public = gateway.key.raw_value.public_key()  # type: ignore[union-attr]
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    claims = jose.read(gateway.word(sub="x"), Trail()).claims
    parts = [dump({"alg": algorithm, "typ": "JWT", "kid": "k1"}), dump(claims)]
    head = ".".join(map(jose.encoded, parts))
    mac = hmac.new(pem, head.encode(), hashlib.sha256).digest()
    return f"{head}.{jose.encoded(mac) if algorithm == 'HS256' else ''}"


def test_each_peer_may_use_its_own_algorithms_only(databases: Databases, world: World) -> None:
    other = Gateway(world, ec.SECP256R1())
    form = world.signed(other.word(alg="ES256"), other.word(alg="ES256", sub="x"))

    [error] = refusals(databases, world, form, ports=knowing(world, other))

    assert (error.word, error.detail) == ("invalid_client", "jwt.alg")


@pytest.mark.parametrize(
    ("shift", "fits"), [(5, True), (6, False), (-304, True), (-306, False), (7200, False)]
)
def test_clocks_of_gateways_differ_five_seconds_and_no_more(
    databases: Databases, world: World, gateway: Gateway, shift: int, fits: bool
) -> None:
    world.clock.now = world.clock.now.replace(microsecond=0)
    now = int(world.clock().timestamp()) + shift
    form = gateway.form(assertion=gateway.word(iat=now, exp=now + 300))

    async def case(at: AuthorizationServer) -> str:
        try:
            await at.grant(form, world.certificate(PRACTICE))
        except Refused as error:
            return error.detail
        return ""

    detail = run(databases, world, case, ports=knowing(world, gateway))

    assert (detail == "") is fits


def test_a_claim_that_comes_twice_is_refused(
    databases: Databases, world: World, gateway: Gateway
) -> None:
    head, body, _ = gateway.word().split(".")
    twice = jose.unpadded(body)[:-1] + b',"sub":"90000505"}'
    form = gateway.form(assertion=f"{head}.{jose.encoded(twice)}.AAAA")

    [error] = refusals(databases, world, form, ports=knowing(world, gateway))

    assert (error.word, error.detail) == ("invalid_grant", "jwt.content")


def test_what_is_too_large_or_too_deep_is_refused_before_it_is_judged(
    databases: Databases, world: World, gateway: Gateway
) -> None:
    deep = jose.encoded(b'{"a":' * 40 + b"1" + b"}" * 40)
    large = gateway.form(assertion=gateway.word(x="y" * 70_000))
    nested = gateway.form(assertion=f"{deep}.{deep}.AAAA")

    errors = refusals(databases, world, large, nested, ports=knowing(world, gateway))

    assert [e.word for e in errors] == ["invalid_grant", "invalid_grant"]


def ministry(world: World, **change: Any) -> dict[str, str]:
    """The form of MinVWS, with the chain of the signing certificate."""
    shown = world.certificate(PRACTICE)
    confirmation = {"x5t#S256": thumbprint(shown)}
    claims = world.claims(aud=TOKEN, cnf=confirmation, scope=SCOPE) | change
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": CLIENT_ASSERTION_TYPE,
        "client_assertion": world.signer(PRACTICE).sign(claims),
        "scope": SCOPE,
    }


def ministry_profile() -> dict[str, Any]:
    """The certificates of these tests have keys on a curve."""
    plain = profile("minvws")
    algorithms = replaced(plain.alg_in, client_assertion=("RS256", "ES256"))
    return {"D5": replaced(plain, alg_in=algorithms)}


def replaced(struct: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(struct, **fields)


def test_the_ministrys_form_is_bound_to_the_certificate(databases: Databases, world: World) -> None:
    async def case(at: AuthorizationServer) -> None:
        answer = await at.grant(ministry(world), world.certificate(PRACTICE))
        grant = await at.verify(bearing(answer["access_token"], world.certificate(PRACTICE)))
        told = introspected(grant, at.issuer, at.audience)

        assert grant.dialect == "D5"
        assert told["cnf"] == {"x5t#S256": thumbprint(world.certificate(PRACTICE))}
        with pytest.raises(Exception, match="login"):
            await at.verify(bearing(answer["access_token"], world.certificate(PHARMACY)))

    run(databases, world, case, profiles=ministry_profile())


@pytest.mark.parametrize(
    ("change", "word", "detail"),
    [
        ({"cnf": {"x5t#S256": "A" * 43}}, "invalid_client", "client.cnf"),
        ({"cnf": None}, "invalid_client", "client.cnf"),
        ({"aud": ISSUER}, "invalid_client", "assertion.aud"),
        ({"exp": 4_000_000_000}, "invalid_client", "assertion.lifetime"),
        ({"scope": "other"}, "invalid_client", "client.scope"),
        ({"target_audience": OTHER}, "invalid_target", "client.audience"),
        ({"target_audience": [ISSUER]}, "invalid_target", "client.audience"),
    ],
)
def test_a_ministry_assertion_that_does_not_fit_is_refused(
    databases: Databases, world: World, change: dict[str, Any], word: str, detail: str
) -> None:
    [error] = refusals(databases, world, ministry(world, **change), profiles=ministry_profile())

    assert (error.word, error.detail) == (word, detail)


def test_without_x5c_the_key_of_the_connection_signs(databases: Databases, world: World) -> None:
    folder = world.folder / str(PRACTICE)
    private = serialization.load_pem_private_key((folder / "server.key").read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    shown = thumbprint(world.certificate(PRACTICE))
    claims = world.claims(aud=TOKEN, cnf={"x5t#S256": shown})

    def form(kid: str) -> dict[str, str]:
        signed = jose.sign(
            claims | {"jti": new_uuid()}, jose.key_of(private), "ES256", {"kid": kid}
        )
        return ministry(world) | {"client_assertion": signed}

    async def case(at: AuthorizationServer) -> None:
        answer = await at.grant(form(shown), world.certificate(PRACTICE))
        with pytest.raises(Refused) as caught:
            await at.grant(form("another"), world.certificate(PRACTICE))

        assert answer["scope"] == SCOPE
        assert caught.value.detail == "client.kid"

    held = ports(world, issuers=tuple(authorities(world)))
    run(databases, world, case, profiles=ministry_profile(), ports=held)


def test_the_certificate_alone_names_the_client_of_a_closed_network(
    databases: Databases, world: World
) -> None:
    form = {"grant_type": "client_credentials", "client_id": str(PRACTICE), "scope": SCOPE}
    held = ports(world, issuers=tuple(authorities(world)))

    async def case(at: AuthorizationServer) -> None:
        answer = await at.grant(form, world.certificate(PRACTICE))
        grant = await at.verify(bearing(answer["access_token"], world.certificate(PRACTICE)))

        assert (grant.dialect, grant.requester.organization) == ("D7", PRACTICE)

    run(databases, world, case, ports=held)
    [other] = refusals(databases, world, form | {"client_id": str(PHARMACY)}, ports=held)

    assert (other.word, other.detail) == ("invalid_client", "client.id")


def exchange_form(**other: str) -> dict[str, str]:
    return {
        "grant_type": EXCHANGE,
        "subject_token": "PHNhbWw+",
        "subject_token_type": SAML,
        "scope": SCOPE,
    } | other


def exchanging(world: World, **change: Any) -> Any:
    """A broker's port that proves the pharmacy, with the client as actor."""

    async def exchange(swap: Swap, trail: Trail) -> Proof:
        if swap.audience == "https://third.example":
            raise invalid_target("exchange: unknown audience")
        now = world.clock()
        ends = now + timedelta(seconds=120)
        evidence = Evidence(Kind.SAML, "saml-1", "sts", ends)
        found = Proof("saml", "sts", PHARMACY, now, ends, (evidence,), purpose="TREAT")
        return replace(
            found,
            scopes=frozenset({SCOPE}),
            act=(swap.client.organization.value,),
            used=(f"sts|{swap.subject_token}",),
            **change,
        )

    async def mint(proof: Proof, swap: Swap) -> Issued:
        return Issued("<saml/>", SAML, world.clock() + timedelta(hours=1))

    held = tuple(authorities(world))
    return ports(world, exchange=exchange, mints={SAML: mint}, issuers=held)


def test_an_exchange_names_who_acts_and_lives_no_longer_than_its_source(
    databases: Databases, world: World
) -> None:
    async def case(at: AuthorizationServer) -> None:
        answer = await at.grant(exchange_form(audience=ISSUER), world.certificate(PRACTICE))
        grant = await at.verify(bearing(answer["access_token"], world.certificate(PRACTICE)))
        told = introspected(grant, at.issuer, at.audience)

        assert answer["issued_token_type"].endswith(":access_token")
        assert answer["expires_in"] <= 120
        assert grant.requester.organization == PHARMACY
        assert told["act"] == {"sub": str(PRACTICE)}

    run(databases, world, case, ports=exchanging(world))


def test_an_exchange_never_widens_scope_or_audience(databases: Databases, world: World) -> None:
    scope, audience, third, kind, again = refusals(
        databases,
        world,
        exchange_form(scope="bgz audit"),
        exchange_form(audience=OTHER, subject_token="b"),
        exchange_form(audience="https://third.example", subject_token="c"),
        exchange_form(requested_token_type="urn:x", subject_token="d"),
        exchange_form(),
        ports=exchanging(world),
    )

    assert [scope.word, audience.word, third.word] == [
        "invalid_scope",
        "invalid_target",
        "invalid_target",
    ]
    assert (kind.word, again.detail) == ("invalid_request", "assertion.once")


def test_an_exchange_without_an_actor_gives_nothing(databases: Databases, world: World) -> None:
    async def exchange(swap: Swap, trail: Trail) -> Proof:
        return replace(swap.client, subject="sts")

    held = ports(world, exchange=exchange, issuers=tuple(authorities(world)))
    [error] = refusals(databases, world, exchange_form(), ports=held)

    assert (error.word, error.detail) == ("invalid_grant", "exchange.act")


def test_an_exchange_for_saml_gives_saml_that_ends_with_its_source(
    databases: Databases, world: World
) -> None:
    async def case(at: AuthorizationServer) -> dict[str, Any]:
        form = exchange_form(requested_token_type=SAML)
        return await at.grant(form, world.certificate(PRACTICE))

    answer = run(databases, world, case, ports=exchanging(world))

    assert answer["access_token"] == "<saml/>"
    assert (answer["token_type"], answer["issued_token_type"]) == ("N_A", SAML)
    assert answer["expires_in"] <= 120


def test_a_client_with_too_much_at_once_is_told_to_wait(
    databases: Databases, world: World, gateway: Gateway
) -> None:
    async def case(at: AuthorizationServer) -> list[tuple[int, str]]:
        at.rate = Rate(overlapping=2)
        told = []
        for _ in range(3):
            try:
                await at.grant(gateway.form(), world.certificate(PRACTICE))
            except Refused as error:
                told.append((error.status, error.word))
        at.rate = Rate(at_once=0)
        with pytest.raises(Refused) as caught:
            await at.grant(gateway.form(), world.certificate(PRACTICE))
        return [*told, (caught.value.status, caught.value.word)]

    told = run(databases, world, case, ports=knowing(world, gateway))

    assert told == [(429, "slow_down"), (429, "slow_down")]


def test_tokens_that_ended_no_longer_count_for_the_rate(world: World) -> None:
    rate, now = Rate(overlapping=1), world.clock()
    rate.token("a", now, now + timedelta(seconds=10))

    rate.token("a", now + timedelta(seconds=12), now + timedelta(seconds=22))
    rate.token("b", now, now)


def test_a_token_of_one_tenant_opens_nothing_at_another(
    databases: Databases, world: World, gateway: Gateway
) -> None:
    async def case(at: AuthorizationServer) -> None:
        other = server(world, at.store.pool, OTHER, PHARMACY)
        answer = await at.grant(gateway.form(), world.certificate(PRACTICE))
        with pytest.raises(Exception, match="login"):
            await other.verify(bearing(answer["access_token"], world.certificate(PRACTICE)))
        assert await other.presence.found(answer["access_token"]) is None

    run(databases, world, case, ports=knowing(world, gateway))


def test_refusals_take_the_same_time_whoever_asks(
    databases: Databases, world: World, gateway: Gateway
) -> None:
    async def case(at: AuthorizationServer) -> list[float]:
        clock, took = asyncio.get_running_loop().time, []
        unknown = gateway.form(client_assertion=gateway.word(kid="k9", sub="x"))
        forged = gateway.form()
        forged["client_assertion"] = forged["client_assertion"][:-8] + "AAAAAAAA"
        for form in (unknown, forged):
            began = clock()
            with pytest.raises(Refused):
                await at.grant(form, world.certificate(PRACTICE))
            took.append(clock() - began)
        return took

    took = run(databases, world, case, ports=knowing(world, gateway), refusal=0.2)

    assert min(took) >= 0.199


def test_a_token_for_a_notification_lives_as_long_as_its_scope_allows(
    databases: Databases, world: World, gateway: Gateway
) -> None:
    async def case(at: AuthorizationServer) -> int:
        answer = await at.grant(gateway.form(), world.certificate(PRACTICE))
        return int(answer["expires_in"])

    minute = {SCOPE: timedelta(seconds=60)}

    assert run(databases, world, case, ports=knowing(world, gateway), shorter=minute) == 60


@pytest.mark.parametrize("name", ["authorization_base", "client_id", "scope"])
@pytest.mark.parametrize("value", ["a\x00b", "a\nb", "x" * 513])
def test_a_value_that_cannot_be_kept_is_refused(
    databases: Databases, world: World, gateway: Gateway, name: str, value: str
) -> None:
    form = gateway.form(**{name: value})

    [error] = refusals(databases, world, form, ports=knowing(world, gateway))

    assert (error.word, error.detail) == ("invalid_request", "form: value")
