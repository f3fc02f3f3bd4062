"""Whom we believe, and until when. Source: RFC 5280 §6; trust and broker §1, §4, §7."""

import asyncio
from pathlib import Path

import pytest
from cryptography import x509
from trust.parties import HOSPITAL, World

from openldn.base.errors import Issue, LdnError
from openldn.trust.certificates.belief import KNOWN, Belief
from openldn.trust.evidence import Kind
from openldn.trust.trail import Trail


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def chain_of(world: World) -> list[x509.Certificate]:
    path = world.folder / str(HOSPITAL) / "signing.pem"
    return x509.load_pem_x509_certificates(path.read_bytes())


def test_without_documents_only_a_peer_that_asks_no_revocation_is_believed(world: World) -> None:
    belief, trail = Belief(world.anchors, None, world.clock), Trail()

    evidence = asyncio.run(belief.believe(chain_of(world), trail, "none"))
    with pytest.raises(LdnError) as caught:
        asyncio.run(belief.believe(chain_of(world), trail))

    assert evidence.kind is Kind.CERTIFICATE
    assert caught.value.issue is Issue.LOGIN
    assert trail.failed is not None and trail.failed.rule is KNOWN
