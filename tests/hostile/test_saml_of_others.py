"""An assertion opens nothing for who is not the organization in it, or is revoked. R61, R69."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from trust.parties import HOSPITAL, ISSUER, PHARMACY, PRACTICE, SCOPE, World

from openldn.base.errors import LdnError
from openldn.base.runtime import new_uuid
from openldn.node.assertions import SamlGrants
from openldn.trust.certificates import thumbprint
from openldn.trust.certificates.keys import Signing
from openldn.trust.evidence import Evidence
from openldn.trust.peers import profile
from openldn.trust.saml.make import Content, Towards, make
from openldn.trust.saml.organizations import organizations
from openldn.trust.saml.variants import variant
from openldn.trust.tokens.assertions import der_of
from openldn.trust.tokens.belief import Anchored
from openldn.trust.trail import Rule, Trail

STS = "https://sts.example"
REVOKED = Rule("certificate.revoked", "RFC 5280 §6.3.3", "its issuer has not revoked it")


@dataclass
class Revoking:
    """Belief that knows which certificates were revoked."""

    world: World
    revoked: set[str] = field(default_factory=set)

    async def believe(
        self, chain: Sequence[x509.Certificate], trail: Trail, revocation: str = "crl-hard"
    ) -> Evidence:
        trail.require(thumbprint(der_of(chain[0])) not in self.revoked, REVOKED)
        return await Anchored(self.world.anchors, self.world.clock).believe(chain, trail)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def signing(world: World) -> Signing:
    own = world.folder / str(HOSPITAL)  # stands for the token service
    return Signing.load(own / "signing.key", own / "signing.pem")


def grants(world: World, believes: Revoking) -> SamlGrants:
    async def still(evidence: Evidence) -> bool:
        return True

    issuing = x509.load_pem_x509_certificates((world.folder / "issuing.pem").read_bytes())
    return SamlGrants(
        *(HOSPITAL, ISSUER, frozenset({SCOPE}), "", {STS: signing(world).chain[:1]}),
        *(organizations({}), still, world.clock, believes, tuple(issuing)),
    )


def assertion(world: World) -> bytes:
    values = {
        "purpose": "TREATMENT",
        "organization": f"urn:oid:2.16.528.1.1007.3.3.{PRACTICE}",
        "role": "62247001",
    }
    name, now = "jansen@2.16.840.1.113883.2.4.3.124.8.50.8", world.clock()
    towards = Towards(
        (ISSUER,), profile("zorgplatform"), variant("zorgplatform-token"), signing(world)
    )
    ends = now + timedelta(minutes=10)
    return make(Content(STS, name, values, now, ends), towards, new_uuid)


def test_the_organization_itself_is_let_in(world: World) -> None:
    reading = grants(world, Revoking(world))
    grant = asyncio.run(reading(assertion(world), world.certificate(PRACTICE)))

    assert grant.requester.organization == PRACTICE
    assert {e.kind.value for e in grant.evidence} == {"saml", "certificate"}


@pytest.mark.parametrize("by", [PHARMACY, None])
def test_a_stolen_assertion_opens_nothing_on_the_connection_of_another(
    world: World, by: object
) -> None:
    shown = world.certificate(by) if by else b""
    with pytest.raises(LdnError) as caught:
        asyncio.run(grants(world, Revoking(world))(assertion(world), shown))
    assert caught.value.detail == "saml.connection"


def test_a_revoked_certificate_on_the_connection_ends_it(world: World) -> None:
    async def case() -> None:
        believes = Revoking(world)
        reading, shown = grants(world, believes), world.certificate(PRACTICE)
        given = assertion(world)
        await reading(given, shown)
        believes.revoked.add(thumbprint(shown))
        world.clock.advance(6)
        with pytest.raises(LdnError) as caught:
            await reading(given, shown)
        assert caught.value.detail == "certificate.revoked"

    asyncio.run(case())
