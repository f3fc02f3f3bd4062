"""Two persons approve whom the broker believes: trust and broker §9, invariant 6."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import Databases
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from trust.parties import World

from openldn.base.errors import Issue, LdnError
from openldn.trust.broker.anchors_store import Anchor, AnchorStore, anchor_of
from openldn.trust.broker.store import ConversionStore

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
Case = Callable[[AnchorStore, Anchor], Awaitable[None]]


@pytest.fixture
def at(databases: Databases, tmp_path: Path) -> Callable[[Case], None]:
    World(tmp_path)
    pem = (tmp_path / "ca.pem").read_bytes()

    async def run(case: Case) -> None:
        async with databases.pool() as pool:
            await ConversionStore(pool).prepare()
            await case(
                AnchorStore(pool), anchor_of(pem, "authority", ("new authority", "ann", NOW))
            )

    return lambda case: asyncio.run(run(case))


async def issue_of(act: Awaitable[None]) -> tuple[Issue, str]:
    with pytest.raises(LdnError) as error:
        await act
    return error.value.issue, error.value.detail


def test_a_proposed_anchor_counts_after_a_second_person_agrees(at: Callable[[Case], None]) -> None:
    async def case(store: AnchorStore, anchor: Anchor) -> None:
        key = (anchor.kind, anchor.id)
        await store.propose(anchor)
        assert await store.counting("authority") == ()

        await store.approve(key, "bob", NOW)
        [found] = await store.counting("authority")
        assert found.subject.rfc4514_string() == anchor.name
        assert await store.counting("saml") == ()

    at(case)


def test_one_person_cannot_do_both(at: Callable[[Case], None]) -> None:
    async def case(store: AnchorStore, anchor: Anchor) -> None:
        await store.propose(anchor)
        refused = await issue_of(store.approve((anchor.kind, anchor.id), "ann", NOW))
        assert refused == (Issue.FORBIDDEN, "broker.two-persons")
        assert await store.counting("authority") == ()

    at(case)


def test_one_person_can_stop_the_belief_and_two_start_it_anew(at: Callable[[Case], None]) -> None:
    async def case(store: AnchorStore, anchor: Anchor) -> None:
        key = (anchor.kind, anchor.id)
        await store.propose(anchor)
        await store.approve(key, "bob", NOW)
        await store.remove(key, "ann", NOW)
        assert await store.counting("authority") == ()

        await store.propose(anchor)
        assert await store.counting("authority") == ()
        await store.approve(key, "bob", NOW)
        assert len(await store.counting("authority")) == 1

    at(case)


def test_an_anchor_is_proposed_once(at: Callable[[Case], None]) -> None:
    async def case(store: AnchorStore, anchor: Anchor) -> None:
        await store.propose(anchor)
        assert (await issue_of(store.propose(anchor)))[0] is Issue.CONFLICT

    at(case)


def test_what_is_not_there_cannot_be_approved_or_removed(at: Callable[[Case], None]) -> None:
    async def case(store: AnchorStore, anchor: Anchor) -> None:
        key = (anchor.kind, anchor.id)
        assert (await issue_of(store.approve(key, "bob", NOW)))[0] is Issue.NOT_FOUND
        assert (await issue_of(store.remove(key, "bob", NOW)))[0] is Issue.NOT_FOUND
        await store.propose(anchor)
        await store.approve(key, "bob", NOW)
        assert (await issue_of(store.approve(key, "bob", NOW)))[0] is Issue.NOT_FOUND

    at(case)


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        (b"", "authority", "why"),
        (b"-----BEGIN CERTIFICATE-----", "authority", "why"),
        (b"\x30\x00", "authority", "why"),
    ],
)
def test_what_is_no_certificate_is_refused(content: bytes, kind: str, reason: str) -> None:
    with pytest.raises(LdnError) as error:
        anchor_of(content, kind, (reason, "ann", NOW))
    assert error.value.issue is Issue.INVALID


@pytest.mark.parametrize(("kind", "reason"), [("king", "why"), ("saml", " "), ("saml", "x" * 501)])
def test_a_proposal_needs_a_kind_and_a_reason(tmp_path: Path, kind: str, reason: str) -> None:
    World(tmp_path)
    pem = (tmp_path / "ca.pem").read_bytes()
    with pytest.raises(LdnError) as error:
        anchor_of(pem, kind, (reason, "ann", NOW))
    assert error.value.issue is Issue.INVALID


def test_a_certificate_of_a_version_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    World(tmp_path)
    [whole] = x509.load_pem_x509_certificates((tmp_path / "ca.pem").read_bytes())
    version, other = bytes.fromhex("a003020102"), bytes.fromhex("a00302010b")
    odd = whole.public_bytes(Encoding.DER).replace(version, other, 1)

    with pytest.raises(LdnError) as error:
        anchor_of(odd, "authority", ("why", "ann", NOW))
    assert error.value.issue is Issue.INVALID
