"""What a broker says counts only when it says all of it, and only when a broker says it: R68."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from cryptography.hazmat.primitives.asymmetric import ec
from trust.parties import ISSUER, PHARMACY, PRACTICE, SCOPE, World, bearing
from trust.tokens.presenting import Presenter, authorities, did_jwk, ports, server

from openldn.base.runtime import new_uuid
from openldn.fhir.codec import dump
from openldn.trust import jose
from openldn.trust.certificates import thumbprint
from openldn.trust.credentials.credential import Credentials, Trust
from openldn.trust.credentials.definitions import shipped_policies
from openldn.trust.credentials.did_x509 import fingerprint
from openldn.trust.credentials.issue import (
    HolderKey,
    holder_issuer,
    issue_credential,
    issue_x509,
    present,
)
from openldn.trust.credentials.presentation import Verifier
from openldn.trust.credentials.resolver import Resolver
from openldn.trust.credentials.submission import make_submission
from openldn.trust.evidence import Evidence, Kind, Status
from openldn.trust.peers import profile
from openldn.trust.tokens.belief import Anchored
from openldn.trust.tokens.dialects import CLIENT_ASSERTION_TYPE, CLIENT_CREDENTIALS, EXCHANGE
from openldn.trust.tokens.errors import Refused
from openldn.trust.tokens.ports import Peer, Ports
from openldn.trust.tokens.service import AuthorizationServer

BROKER = "https://broker.example/oauth2/broker"
BROKERED = "BrokeredOrganizationCredential"
Case = Callable[[AuthorizationServer], Awaitable[Any]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@dataclass
class Broker:
    """A broker that may speak for everyone, and its DID."""

    world: World
    key: Any = field(default_factory=lambda: jose.key_of(ec.generate_private_key(ec.SECP256R1())))
    own: HolderKey = field(default_factory=did_jwk)

    async def registered(self, issuer: str, kid: str) -> Peer | None:
        if (issuer, kid) != (BROKER, "k1"):
            return None
        public = jose.key_of_jwk(jose.public_jwk(self.key))
        ends = self.world.clock() + timedelta(days=1)
        evidence = Evidence(Kind.ASSERTION, kid, BROKER, ends)
        agreed = profile("twiin")
        return Peer(BROKER, public, frozenset(), agreed, evidence, "broker", anyone=True)

    def whole(self) -> dict[str, Any]:
        """All that a broker says beside who it is about."""
        ends = int(self.world.clock().timestamp()) + 300
        return {
            "act": {"sub": BROKER},
            "via": ["nuts"],
            "scope": SCOPE,
            "cnf": {"x5t#S256": thumbprint(self.world.certificate(PRACTICE))},
            "status": {"issuer": self.own.did, "uri": "https://b/1", "idx": 4, "exp": ends},
        }

    def word(self, drop: tuple[str, ...] = (), **claims: Any) -> str:
        now = int(self.world.clock().timestamp())
        plain = {"iss": BROKER, "sub": str(PRACTICE), "aud": ISSUER, "jti": new_uuid()}
        whole = plain | self.whole() | {"iat": now, "exp": now + 60, "purpose": "TREAT"} | claims
        kept = {k: v for k, v in whole.items() if k not in drop}
        return jose.sign(kept, self.key, "ES256", {"kid": "k1"})

    def form(self, assertion: str = "") -> dict[str, str]:
        return self.world.signed(assertion or self.word(), self.word(sub=BROKER))

    def credential(self, subject: str, drop: tuple[str, ...] = (), **said: Any) -> str:
        content = {"id": subject, "organization_ura": str(PRACTICE), "purpose": "TREAT"}
        whole = content | {k: v for k, v in self.whole().items() if k != "status"} | said
        kept = {k: v for k, v in whole.items() if k not in drop}
        making = replace(Presenter(self.world).making, life=timedelta(minutes=5))
        making = replace(making, status=ENTRY)
        return issue_credential(holder_issuer(self.own), BROKERED, kept, making)


ENTRY = {
    "id": "https://b/1#4",
    "type": "StatusList2021Entry",
    "statusPurpose": "revocation",
    "statusListIndex": "4",
    "statusListCredential": "https://b/1",
}


@pytest.fixture
def broker(world: World) -> Broker:
    return Broker(world)


class Unset:
    """Status lists in which no bit is set."""

    async def check(
        self, content: Any, issuer: Any, trail: Any, *, unknown: bool = False
    ) -> tuple[Status, ...]:
        return (Status("https://b/1", 4),)


def knowing(world: World, broker: Broker, **other: Any) -> Ports:
    believing = Anchored(world.anchors, world.clock)
    issuing = frozenset(fingerprint(c) for c in authorities(world))
    trust = Trust(issuing, {BROKERED: frozenset({broker.own.did})})
    verifier = Verifier(Credentials(Resolver(None), believing, trust, Unset()))
    ready = {"registered": broker.registered, "presentations": verifier} | other
    policies = {SCOPE: _any_did(), "audit": _any_did()}
    return ports(world, policies=policies, **ready)


def _any_did() -> Any:
    """The policy of holders, for a holder with a did:jwk."""
    policy = shipped_policies()["bgz"]
    descriptors = tuple(
        replace(d, fields=tuple(f for f in d.fields if f.id != "organization_id"))
        for d in policy.organization.descriptors
    )
    return replace(policy, organization=replace(policy.organization, descriptors=descriptors))


def run(databases: Databases, world: World, broker: Broker, case: Case, **other: Any) -> Any:
    async def inside() -> Any:
        async with databases.pool() as pool:
            at = server(world, pool, ports=knowing(world, broker, **other))
            await at.store.prepare()
            return await case(at)

    return asyncio.run(inside())


def refused(
    databases: Databases,
    world: World,
    broker: Broker,
    form: dict[str, str],
    *,
    by: object = PRACTICE,
    **other: Any,
) -> Refused:
    async def case(at: AuthorizationServer) -> Refused:
        with pytest.raises(Refused) as caught:
            await at.grant(form, world.certificate(by))
        return caught.value

    found: Refused = run(databases, world, broker, case, **other)
    return found


def test_the_whole_word_of_a_broker_is_taken(
    databases: Databases, world: World, broker: Broker
) -> None:
    async def case(at: AuthorizationServer) -> None:
        answer = await at.grant(broker.form(), world.certificate(PRACTICE))
        shown = bearing(answer["access_token"], world.certificate(PRACTICE))
        assert (await at.verify(shown)).act == (BROKER,)

    run(databases, world, broker, case)


@pytest.mark.parametrize("missing", ["act", "cnf", "scope", "status"])
def test_a_broker_that_leaves_something_out_is_not_believed(
    databases: Databases, world: World, broker: Broker, missing: str
) -> None:
    error = refused(databases, world, broker, broker.form(broker.word((missing,))))
    assert error.detail == f"brokered.{missing}"


def test_the_word_of_a_broker_opens_nothing_for_who_stole_it(
    databases: Databases, world: World, broker: Broker
) -> None:
    error = refused(databases, world, broker, broker.form(), by=PHARMACY)
    assert error.detail == "brokered.cnf"


def test_a_broker_names_itself_as_the_nearest_actor(
    databases: Databases, world: World, broker: Broker
) -> None:
    other = broker.word(act={"sub": "https://other.example"})
    assert refused(databases, world, broker, broker.form(other)).detail == "brokered.act"


def test_a_word_that_its_broker_withdrew_opens_nothing(
    databases: Databases, world: World, broker: Broker
) -> None:
    asked: list[Evidence] = []

    async def still(evidence: Evidence) -> bool:
        asked.append(evidence)
        return False

    error = refused(databases, world, broker, broker.form(), still=still)

    assert error.detail == "brokered.status.still"
    assert [e.status and e.status.index for e in asked] == [4]


@pytest.mark.parametrize(
    "form",
    [
        {"grant_type": CLIENT_CREDENTIALS},
        {"grant_type": EXCHANGE, "subject_token": "x", "subject_token_type": "y"},
    ],
    ids=["D5", "D6"],
)
def test_a_broker_is_no_client_of_its_own(
    databases: Databases, world: World, broker: Broker, form: dict[str, str]
) -> None:
    async def nothing(swap: object, trail: object) -> Any:
        raise AssertionError("nobody was proven")

    said = {"client_assertion": broker.word(sub=BROKER), "scope": SCOPE}
    whole = form | said | {"client_assertion_type": CLIENT_ASSERTION_TYPE}
    error = refused(databases, world, broker, whole, exchange=nothing)
    assert error.word == "invalid_client"


def one(broker: Broker, holder: HolderKey, *held: str, chosen: str = "brokered") -> dict[str, str]:
    making = Presenter(broker.world).making
    definition = _any_did().organization
    place = make_submission(definition, {chosen: 0}, "1")
    return {
        "grant_type": "vp_token-bearer",
        "assertion": present(holder, held, ISSUER, 5, making),
        "presentation_submission": dump(place).decode(),
        "scope": SCOPE,
    }


def test_the_credential_of_a_broker_is_taken_whole(
    databases: Databases, world: World, broker: Broker
) -> None:
    async def case(at: AuthorizationServer) -> None:
        holder = did_jwk()
        form = one(broker, holder, broker.credential(holder.did))
        answer = await at.grant(form, world.certificate(PRACTICE))
        shown = bearing(answer["access_token"], world.certificate(PRACTICE))
        assert (await at.verify(shown)).act == (BROKER,)

    run(databases, world, broker, case)


@pytest.mark.parametrize("missing", ["act", "cnf", "scope"])
def test_a_credential_of_a_broker_that_leaves_something_out_is_not_believed(
    databases: Databases, world: World, broker: Broker, missing: str
) -> None:
    holder = did_jwk()
    form = one(broker, holder, broker.credential(holder.did, (missing,)))
    assert refused(databases, world, broker, form).detail == f"brokered.{missing}"


def test_what_a_holder_says_of_itself_does_not_hide_the_word_of_the_broker(
    databases: Databases, world: World, broker: Broker
) -> None:
    holder = did_jwk()
    stolen = {"cnf": {"x5t#S256": thumbprint(world.certificate(PHARMACY))}}
    member = {"identifier": "900012345", "name": "x", "roleName": "01.015"}
    wide = broker.whole() | stolen | {"scope": f"{SCOPE} audit"}
    content = {"id": holder.did, "member": member} | wide
    making = Presenter(world).making
    own = issue_credential(holder_issuer(holder), "NutsEmployeeCredential", content, making)
    held = (broker.credential(holder.did), own)
    for order in (held, held[::-1]):
        form = one(broker, holder, *order)
        place = str(order.index(held[0]))
        moved = form["presentation_submission"].replace("[0]", f"[{place}]")
        form = form | {"presentation_submission": moved}
        assert refused(databases, world, broker, form, by=PHARMACY).detail == "brokered.cnf"


def test_who_presents_itself_cannot_say_that_a_broker_stood_in_between(
    databases: Databases, world: World, broker: Broker
) -> None:
    async def case(at: AuthorizationServer) -> None:
        who = Presenter(world)
        held = issue_x509(who.signing(), who.holder.did, profile("ig-2026"), who.making)
        member = {"identifier": "900012345", "name": "x", "roleName": "01.015"}
        content = {"id": who.holder.did, "member": member} | broker.whole()
        issuer = holder_issuer(who.holder)
        own = issue_credential(issuer, "NutsEmployeeCredential", content, who.making)
        form = one(broker, who.holder, held, own, chosen="organization")
        answer = await at.grant(form, world.certificate(PRACTICE))
        grant = await at.verify(bearing(answer["access_token"], world.certificate(PRACTICE)))
        assert (grant.act, grant.claims.get("via")) == ((), None)

    run(databases, world, broker, case)


def test_a_presentation_is_not_for_who_stole_it(
    databases: Databases, world: World, broker: Broker
) -> None:
    who = Presenter(world)
    held = issue_x509(who.signing(), who.holder.did, profile("ig-2026"), who.making)
    form = one(broker, who.holder, held, chosen="organization")
    error = refused(databases, world, broker, form, by=PHARMACY)
    assert error.detail == "assertion.organization"
