"""What a SAML assertion opens at a holder: of the token service, and of the broker.

Source: trust and broker §6.1, §9 (B6, B9); infrastructures §3; SAML core §2; decision 10.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from conftest import Databases
from cryptography.hazmat.primitives.serialization import Encoding
from node.small_network import (
    CLINIC,
    HOSPITAL,
    JANSEN,
    NOBODY,
    Network,
    Node,
    authority,
    small_network,
)
from node.test_pull_between_nodes import hospital_records
from node.test_serve import FORM, about, requester
from trust.parties import Time
from trust.saml.saml_world import Keys, certificate, keys

from openldn.base.errors import LdnError
from openldn.base.http import Reply
from openldn.base.runtime import new_uuid
from openldn.fhir.codec import parse
from openldn.infrastructures.direct import Direct
from openldn.node.settings import Sts
from openldn.trust.parties import Person, Requester
from openldn.trust.peers import profile
from openldn.trust.saml.make import Content, Towards, make
from openldn.trust.saml.variants import variant
from openldn.trust.tokens.model import AccessToken

STS = "https://sts.example/sts"
CLINIC_OID, OTHER_OID = "urn:oid:2.16.840.1.113883.2.4.6.1.6990002", "urn:oid:2.999.7"
USER = f"pleeg@{CLINIC_OID.removeprefix('urn:oid:')}"
VALUES = {
    "purpose": "TREATMENT",
    "resource": JANSEN,
    "organization": CLINIC_OID,
    "role": "224535009",
    "name": "V. Pleeg",
}


def signing(clock: Time, name: str = "sts", days: float = 1) -> Keys:
    usual, now = keys(name), clock()
    span = (now - timedelta(days=2), now + timedelta(days=days))
    return replace(usual, chain=(certificate(name, usual.private, *span),))


@dataclass
class World:
    """A holder on Zorgplatform, a practice on the LSP, the broker between them, and an STS."""

    network: Network
    clock: Time
    sts: Keys
    answers: list[Reply] = field(default_factory=list)

    @property
    def hospital(self) -> Node:
        return self.network.nodes["hospital"]

    def assertion(self, signed_by: Keys | None = None, **other: Any) -> str:
        """An assertion of the STS for the hospital, in base64."""
        now = self.clock()
        said: dict[str, Any] = {
            "issuer": STS,
            "name_id": USER,
            "values": VALUES,
            "issued": now,
            "ends": now + timedelta(minutes=12),
        }
        audiences = other.pop("audiences", (self.hospital.parts.settings.issuer,))
        content = Content(**(said | other))
        towards = Towards(
            audiences, profile("zorgplatform"), variant("zorgplatform-token"), signed_by or self.sts
        )
        return base64.b64encode(make(content, towards, new_uuid)).decode()

    async def brokered(self, who: Requester | None = None) -> AccessToken:
        """An assertion of the broker for the hospital, on the ground of the clinic's own proof."""
        road = self.network.nodes["clinic"].parts.pull.infrastructures["zorgplatform"]
        assert isinstance(road, Direct)
        issuer = self.hospital.parts.settings.issuer
        return await road.tokens.token(HOSPITAL, issuer, who or requester())

    async def ask(self, assertion: str, by: str = "clinic", bsn: str = JANSEN) -> Reply:
        url = f"{self.hospital.url}/fhir/STU3/Condition/_search"
        headers = {**FORM, "authorization": f"SAML {assertion}", "x-request-id": new_uuid()}
        body = urlencode([about(bsn)]).encode()
        client = self.network.client(by)
        return await client.send("POST", url, headers=headers, body=body, deadline=20)

    async def refused(self, assertion: str, by: str = "clinic", bsn: str = JANSEN) -> str:
        """The reason code with which this is refused, as the holder keeps it."""
        reply = await self.ask(assertion, by, bsn)
        assert reply.status in {401, 403}, reply.status
        assert "Condition" not in str(parse(reply.body))
        await self.hospital.parts.dealings.written()
        told = await self.network.client("hospital").send(
            "GET", f"{self.hospital.url}/api/trust/refusals?count=1", deadline=10
        )
        return str(json.loads(told.body)["refusals"][0]["code"])

    async def last(self) -> dict[str, Any]:
        """The newest evidence of an answer at the hospital."""
        found = await self.hospital.events("", "data-served")
        return found[0]


async def opened(databases: Databases, pki: Path, stack: AsyncExitStack) -> World:
    clock = Time()
    network = await stack.enter_async_context(small_network(databases, pki, clock))
    await network.start_broker()
    sts = signing(clock)
    pinned = pki / "sts.pem"
    pinned.write_bytes(sts.certificate.public_bytes(Encoding.PEM))
    agreed = Sts(
        url=STS,
        certificate=pinned,
        identifier="urn:oid:2.999.1",
        audience="https://sts.example",
        organizations={CLINIC_OID: str(CLINIC)},
    )
    hospital = await network.node(
        "hospital",
        infrastructure="zorgplatform",
        sts=agreed,
        revocation_every=0.05,
        **network.by_broker(),
    )
    await hospital.keep(*hospital_records())
    await network.node("clinic", infrastructure="lsp", **network.by_broker())
    return World(network, clock, sts)


Check = Callable[[World], Awaitable[Any]]


@dataclass
class Standing:
    """One world for the tests of this module."""

    runner: asyncio.Runner
    world: World

    def run(self, check: Check) -> Any:
        return self.runner.run(check(self.world))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def standing(databases: Databases, pki: Path) -> Iterator[Standing]:
    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        yield Standing(runner, runner.run(opened(databases, pki, stack)))
        runner.run(stack.aclose())


def alone(databases: Databases, pki: Path, check: Check) -> Any:
    """The check in a world of its own, whose authority revokes and whose clock is moved."""

    async def run() -> Any:
        async with AsyncExitStack() as stack:
            return await check(await opened(databases, pki, stack))

    with authority(pki):
        return asyncio.run(run())


def test_an_assertion_of_the_token_service_opens_the_data_to_its_person(
    standing: Standing,
) -> None:
    async def check(world: World) -> Any:
        reply = await world.ask(world.assertion())
        assert reply.status == 200, reply.body
        assert parse(reply.body)["entry"]
        shown = base64.b64decode(world.assertion())
        grant = await world.hospital.parts.server.saml(shown, der(world))  # type: ignore[misc]
        return grant.requester

    found = standing.run(check)

    assert found.organization == CLINIC
    assert found.purpose == "TREAT"
    assert found.person == Person(USER, "224535009", "V. Pleeg")
    assert str(found.patient) == JANSEN or found.patient.value == JANSEN


def der(world: World) -> bytes:
    from trust.parties import der_of

    return der_of(world.network.pki / "clinic" / "server.pem")


def test_an_assertion_of_the_broker_opens_the_data_and_says_through_whom(
    standing: Standing,
) -> None:
    async def check(world: World) -> Any:
        token = await world.brokered()
        reply = await world.ask(token.value)
        assert reply.status == 200, reply.body
        assert parse(reply.body)["entry"]
        shown = base64.b64decode(token.value)
        grant = await world.hospital.parts.server.saml(shown, der(world))  # type: ignore[misc]
        return grant, world.network.broker

    grant, broker = standing.run(check)

    assert grant.act == (broker,)
    assert grant.requester.organization == CLINIC
    assert grant.requester.person == Person("900012345", "30.000", "V. Pleeg")
    assert grant.requester.patient.value == JANSEN
    assert any(e.status is not None for e in grant.evidence)


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("another audience", {"audiences": ("https://elsewhere.example",)}, "saml.audience"),
    ("an issuer nobody agreed with", {"issuer": "https://other.example"}, "saml.issuer.known"),
    ("an organization nobody knows", {"values": VALUES | {"organization": OTHER_OID}}, ""),
    ("a purpose nobody knows", {"values": VALUES | {"purpose": "CURIOSITY"}}, "saml.purpose"),
    ("no BSN", {"values": VALUES | {"resource": "123456789"}}, "saml.patient"),
]


@pytest.mark.parametrize(("what", "other", "code"), WRONG, ids=[w[0] for w in WRONG])
def test_an_assertion_that_does_not_fit_is_refused(
    standing: Standing, what: str, other: dict[str, Any], code: str
) -> None:
    async def check(world: World) -> str:
        return await world.refused(world.assertion(**other))

    assert standing.run(check) in ({code} if code else {"saml.organization", "saml.name-id"})


def test_a_certificate_that_is_not_pinned_signs_for_nobody(standing: Standing) -> None:
    async def check(world: World) -> str:
        return await world.refused(world.assertion(signing(world.clock, "stranger")))

    assert standing.run(check) == "saml.signature"


def test_an_assertion_of_the_token_service_is_not_taken_in_the_name_of_the_broker(
    standing: Standing,
) -> None:
    async def check(world: World) -> str:
        return await world.refused(world.assertion(issuer=world.network.broker))

    assert standing.run(check) == "saml.signature"


@pytest.mark.parametrize("shift", [timedelta(minutes=-20), timedelta(minutes=20)])
def test_an_assertion_counts_in_its_own_time_only(standing: Standing, shift: timedelta) -> None:
    async def check(world: World) -> str:
        issued = world.clock() + shift
        made = world.assertion(issued=issued, ends=issued + timedelta(minutes=12))
        return await world.refused(made)

    assert standing.run(check) == "saml.when"


def test_an_assertion_lives_no_longer_than_agreed(standing: Standing) -> None:
    async def check(world: World) -> str:
        return await world.refused(world.assertion(ends=world.clock() + timedelta(hours=2)))

    assert standing.run(check) == "saml.lifetime"


def test_an_assertion_is_of_no_use_to_who_took_it(standing: Standing) -> None:
    async def check(world: World) -> tuple[str, str]:
        own, brokered = world.assertion(), (await world.brokered()).value
        return (
            await world.refused(own, by="addressing"),
            await world.refused(brokered, by="addressing"),
        )

    assert standing.run(check) == ("saml.connection", "saml.holder")


def test_an_assertion_about_one_patient_opens_no_other(standing: Standing) -> None:
    async def check(world: World) -> tuple[str, str]:
        own, brokered = world.assertion(), (await world.brokered()).value
        return (
            await world.refused(own, bsn=NOBODY),
            await world.refused(brokered, bsn=NOBODY),
        )

    assert standing.run(check) == ("policy.about-one-patient",) * 2


def test_an_assertion_without_a_person_opens_nothing(standing: Standing) -> None:
    async def check(world: World) -> str:
        return await world.refused(world.assertion(name_id=CLINIC_OID))

    assert standing.run(check) == "policy.by-a-person"


@pytest.mark.parametrize("shown", ["AAAA", "PHg+", "bm90IFhNTA==", "!", "eyJhbGciOiJub25lIn0="])
def test_what_is_no_assertion_is_refused(standing: Standing, shown: str) -> None:
    async def check(world: World) -> int:
        return (await world.ask(shown)).status

    assert standing.run(check) == 401


def test_a_node_that_agreed_with_no_token_service_takes_no_saml(standing: Standing) -> None:
    async def check(world: World) -> int:
        url = f"{world.network.nodes['clinic'].url}/fhir/STU3/Condition/_search"
        ids = f"initialRequestID={new_uuid()}; requestID={new_uuid()}"
        headers = {
            **FORM,
            "authorization": f"SAML {world.assertion()}",
            "aorta-id": ids,
            "aorta-version": "contentVersion=1.0.0; acceptVersion=1.0.0",
        }
        body = urlencode([about()]).encode()
        client = world.network.client("hospital")
        return (await client.send("POST", url, headers=headers, body=body, deadline=20)).status

    assert standing.run(check) == 401


def test_what_is_remembered_of_an_assertion_ends_with_it(
    databases: Databases, tmp_path: Path
) -> None:
    async def check(world: World) -> tuple[int, str]:
        made = world.assertion(ends=world.clock() + timedelta(seconds=3))
        first = await world.ask(made)
        world.clock.advance(3)  # within the 5 seconds that it is remembered, at its own end
        # the clocks of both may differ by the skew that was agreed, never more
        world.clock.advance(profile("zorgplatform").skew)
        return first.status, await world.refused(made)

    assert alone(databases, tmp_path, check) == (200, "saml.when")


@pytest.mark.parametrize("use", ["signing", "server"])
def test_what_the_broker_made_dies_within_a_minute_of_the_revocation_at_its_source(
    databases: Databases, tmp_path: Path, use: str
) -> None:
    async def check(world: World) -> float:
        token = await world.brokered()
        assert (await world.ask(token.value)).status == 200
        world.network.revoke("clinic", use)
        begun = world.clock()
        async with asyncio.timeout(90):
            while (await world.ask(token.value)).status != 401:
                world.clock.advance(1)
                await asyncio.sleep(0.05)
        with pytest.raises(LdnError):  # nor does the broker make another
            await world.brokered(replace(requester(), purpose="ETREAT"))
        return (world.clock() - begun).total_seconds()

    assert alone(databases, tmp_path, check) <= 60


def test_an_assertion_of_the_token_service_dies_with_the_certificate_that_shows_it(
    databases: Databases, tmp_path: Path
) -> None:
    async def check(world: World) -> tuple[str, float]:
        made = world.assertion()
        assert (await world.ask(made)).status == 200
        world.network.revoke("clinic", "server")
        begun = world.clock()
        async with asyncio.timeout(90):
            while (await world.ask(made)).status != 401:
                world.clock.advance(1)
                await asyncio.sleep(0.05)
        lasted = (world.clock() - begun).total_seconds()
        return await world.refused(made), lasted

    code, lasted = alone(databases, tmp_path, check)

    assert code == "certificate.revoked"
    assert lasted <= 60
