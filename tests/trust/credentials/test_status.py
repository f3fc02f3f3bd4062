"""Status lists: Bitstring Status List 1.0, StatusList2021; GFI-003; A14, R71."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from conftest import Databases
from hypothesis import given, settings
from hypothesis import strategies as st
from trust.credentials.kit import Party, Site, Uzi, resigned, site
from trust.tokens.presenting import did_jwk

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import Pool
from openldn.fhir.identifiers import Ura
from openldn.trust import jose
from openldn.trust.credentials.credential import Credentials
from openldn.trust.credentials.did import parse
from openldn.trust.credentials.issue import (
    Issuer,
    certificate_issuer,
    holder_issuer,
    issue_credential,
)
from openldn.trust.credentials.model import Credential
from openldn.trust.credentials.published import LIFE, SIZE, PublishedLists
from openldn.trust.credentials.resolver import Resolver
from openldn.trust.credentials.status import LARGEST, LEAST, StatusLists, packed, unpacked
from openldn.trust.credentials.store import CredentialStore
from openldn.trust.trail import Trail

HOLDER = Ura.parse("90000382")
KINDS = ("StatusList2021Entry", "BitstringStatusListEntry")
SAID = {"member": {"identifier": "1", "name": "A. Jansen", "roleName": "arts"}}


class World:
    """An organization that issues with a status, its site, and one who checks."""

    def __init__(self, pool: Pool, pages: Site, documents: Any, kind: str = KINDS[0]) -> None:
        self.uzi, self.pages, self.documents = Uzi(), pages, documents
        self.party: Party = self.uzi.party()
        self.clock = self.uzi.clock
        documents.clock = self.clock
        self.store = CredentialStore(pool)
        self.lists = self.of(holder_issuer(self.party.holder), kind)
        resolver, belief = Resolver(documents), self.uzi.belief
        self.statuses = StatusLists(documents, resolver, belief, self.uzi.trust, self.clock)
        self.credentials = Credentials(resolver, belief, self.uzi.trust, self.statuses)
        self.made = 0

    def of(self, issuer: Issuer, kind: str) -> PublishedLists:
        base = f"{self.pages.origin}/statuslist/{HOLDER}"
        return PublishedLists(HOLDER, issuer, base, self.store, self.clock, kind)

    async def issue(self, **entry: Any) -> tuple[str, str]:
        """A credential with a status, and the name it has in the lists."""
        self.made += 1
        name = f"credential-{self.made}"
        status = await self.lists.entry(name) | entry
        subject = {"id": self.party.holder.did, **SAID}
        making = self.uzi.making(timedelta(days=30))
        chosen = type(making)(making.clock, making.new_id, making.life, status)
        text = issue_credential(self.lists.issuer, "NutsEmployeeCredential", subject, chosen)
        return text, name

    async def publish(self, text: str | None = None) -> None:
        body = (await self.lists.page(0) if text is None else text).encode()
        self.pages.pages[f"/statuslist/{HOLDER}/0"] = (200, body)

    async def check(self, text: str, trail: Trail | None = None, **asked: Any) -> Credential:
        return await self.credentials.verify(text, self.uzi.asked(**asked), trail or Trail())

    async def refused(self, text: str) -> str:
        trail = Trail()
        with pytest.raises(LdnError) as caught:
            await self.check(text, trail)
        assert trail.failed is not None
        return caught.value.detail

    async def later(self) -> None:
        """So much later that the list is looked at anew."""
        self.clock.advance(61)

    async def changed(self, **subject: Any) -> str:
        """The list with another subject, signed by its issuer."""
        text = await self.lists.page(0)
        vc = jose.read(text, Trail()).claims["vc"]
        whole = vc | {"credentialSubject": vc["credentialSubject"] | subject}
        return resigned(text, self.party.holder.key, vc=whole)


def with_world(
    databases: Databases, work: Callable[[World], Awaitable[None]], kind: str = KINDS[0]
) -> None:
    async def run() -> None:
        async with databases.pool() as pool, site(Uzi().clock) as (pages, documents):
            world = World(pool, pages, documents, kind)
            await world.store.prepare()
            await work(world)

    asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_a14_a_revoked_credential_is_refused_within_the_fresh_time(
    databases: Databases, kind: str
) -> None:
    async def work(world: World) -> None:
        good, _ = await world.issue()
        bad, name = await world.issue()
        await world.publish()
        assert (await world.check(bad)).evidence[0].status is not None
        await world.lists.revoke(name)
        await world.later()
        await world.publish()

        assert await world.refused(bad) == "status.revoked"
        assert await world.check(good)

    with_world(databases, work, kind)


def test_a14_a_list_that_cannot_be_had_refuses_once_the_last_one_has_ended(
    databases: Databases,
) -> None:
    async def work(world: World) -> None:
        text, _ = await world.issue()
        assert await world.refused(text) == "status.known"
        await world.publish()
        await world.check(text)
        world.pages.pages.clear()

        world.clock.advance(LIFE.total_seconds() - 10)
        assert await world.check(text)
        world.clock.advance(11)
        assert await world.refused(text) == "status.known"

    with_world(databases, work)


def test_r71_the_policy_may_let_an_unreachable_list_pass_but_never_a_set_bit(
    databases: Databases,
) -> None:
    async def work(world: World) -> None:
        text, name = await world.issue()
        trail = Trail()

        assert await world.check(text, trail, status_may_be_unknown=True)
        assert [c.rule.code for c in trail if c.outcome == "skip"] == ["status.known"]
        await world.lists.revoke(name)
        await world.publish()
        with pytest.raises(LdnError) as caught:
            await world.check(text, status_may_be_unknown=True)
        assert caught.value.detail == "status.revoked"

    with_world(databases, work)


def test_a_list_that_is_older_or_false_does_not_replace_the_last_good_one(
    databases: Databases,
) -> None:
    async def work(world: World) -> None:
        text, name = await world.issue()
        clean = await world.lists.page(0)
        stranger = world.uzi.party()
        world.clock.advance(5)
        await world.lists.revoke(name)
        await world.publish()
        assert await world.refused(text) == "status.revoked"

        false = resigned(clean, stranger.holder.key, nbf=int(world.clock().timestamp()))
        for other in (clean, false, "", "{}", await world.changed(encodedList="")):
            await world.publish(other)
            await world.later()
            assert await world.refused(text) == "status.revoked"

    with_world(databases, work)


@pytest.mark.parametrize(
    ("subject", "code"),
    [
        ({"encodedList": packed(bytes(LEAST - 1), KINDS[0])}, "status.bits"),
        ({"encodedList": packed(bytes(LARGEST + 1), KINDS[0])}, "status.bits"),
        ({"encodedList": packed(bytes(200 * 1024 * 1024 // 8), KINDS[0])}, "status.bits"),
        ({"encodedList": "AAAA"}, "status.bits"),
        ({"encodedList": "%"}, "status.bits"),
        ({"encodedList": None}, "status.bits"),
        ({"encodedList": packed(bytes(LEAST), KINDS[0])[:-12]}, "status.bits"),
        ({"statusPurpose": "suspension"}, "status.purpose"),
        ({"type": "BitstringStatusList"}, "status.list"),
    ],
    ids=["short", "large", "bomb", "no gzip", "no base64", "none", "cut off", "purpose", "type"],
)
def test_a_list_is_whole_and_bounded(
    databases: Databases, subject: dict[str, Any], code: str
) -> None:
    async def work(world: World) -> None:
        text, _ = await world.issue()
        await world.publish(await world.changed(**subject))

        assert await world.refused(text) == code

    with_world(databases, work)


def test_a_list_ends_and_is_of_the_issuer_of_the_credential(databases: Databases) -> None:
    async def work(world: World) -> None:
        text, _ = await world.issue()
        page, key = await world.lists.page(0), world.party.holder.key
        vc = jose.read(page, Trail()).claims["vc"]
        past = int(world.clock().timestamp()) - 1
        other = world.of(holder_issuer(world.uzi.party().holder), KINDS[0])

        for body, code in (
            (resigned(page, key, exp=None), "status.end"),
            (resigned(page, key, exp=past, nbf=past - 10), "status.end"),
            (
                resigned(page, key, exp=None, vc=vc | {"ValidUntil": "2030-01-01T00:00:00Z"}),
                "status.end",
            ),
            (resigned(page, key, vc=vc | {"id": "https://other.example/1"}), "status.list"),
            (resigned(page, key, vc=vc | {"type": ["VerifiableCredential"]}), "status.list"),
            (resigned(page, key, exp=None, vc=[]), "status.end"),
            (await other.page(0), "status.issuer"),
        ):
            await world.publish(body)
            assert await world.refused(text) == code
        until = vc | {"validUntil": "2030-01-01T00:00:00Z"}
        await world.publish(resigned(page, key, exp=None, vc=until))
        assert await world.check(text)

    with_world(databases, work)


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "RevocationList2020Status"},
        {"statusListIndex": "-1"},
        {"statusListIndex": "٣"},
        {"statusListIndex": 1.5},
        {"statusListIndex": None},
        {"statusListCredential": 5},
        {"statusPurpose": ["revocation"]},
        {"statusSize": 2},
    ],
)
def test_an_entry_is_of_a_known_form(databases: Databases, entry: dict[str, Any]) -> None:
    async def work(world: World) -> None:
        text, _ = await world.issue(**entry)
        await world.publish()

        assert await world.refused(text) in {"status.entry", "vc.date"}

    with_world(databases, work)


def test_the_index_lies_in_the_list_and_types_of_two_families_do_not_mix(
    databases: Databases,
) -> None:
    async def work(world: World) -> None:
        beyond, _ = await world.issue(statusListIndex=str(SIZE))
        mixed, _ = await world.issue(type="BitstringStatusListEntry")
        elsewhere, _ = await world.issue(statusListCredential="http://other.example/1")
        await world.publish()

        assert await world.refused(beyond) == "status.index"
        assert await world.refused(mixed) == "status.list"
        assert await world.refused(elsewhere) == "status.known"

    with_world(databases, work)


def test_evidence_tells_later_whether_it_still_counts(databases: Databases) -> None:
    async def work(world: World) -> None:
        text, name = await world.issue()
        await world.publish()
        [evidence] = (await world.check(text)).evidence

        assert await world.statuses.still(evidence)
        await world.lists.revoke(name)
        await world.later()
        await world.publish()
        assert not await world.statuses.still(evidence)
        world.pages.pages.clear()
        world.clock.advance(LIFE.total_seconds())
        with pytest.raises(LdnError) as caught:
            await world.statuses.still(evidence)
        assert caught.value.issue in {Issue.INCOMPLETE, Issue.TIMEOUT}

    with_world(databases, work)


def test_nobody_waits_a_second_for_a_list(databases: Databases) -> None:
    async def work(world: World) -> None:
        text, _ = await world.issue()
        loop = asyncio.get_running_loop()
        world.pages.stuck = True

        for late in (0, 3600):
            world.clock.advance(late)
            began = loop.time()
            assert await world.refused(text) == "status.known"
            assert loop.time() - began < 1.0

    with_world(databases, work)


def test_a_list_of_a_certificate_is_believed_as_long_as_the_certificate_is(
    databases: Databases,
) -> None:
    async def work(world: World) -> None:
        issuer = certificate_issuer(world.party.signing, world.party.profile)
        lists = world.of(issuer, KINDS[1])
        entry = await lists.entry("x509")
        await world.publish(await lists.page(0))
        content = {"credentialStatus": [entry]}
        did = parse(issuer.did)

        assert await world.statuses.check(content, did, Trail())
        world.uzi.belief.revoked.add(world.party.signing.thumbprint)
        with pytest.raises(LdnError):
            await world.statuses.check(content, did, Trail())

    with_world(databases, work)


def test_each_credential_has_a_place_of_its_own_also_when_many_come_at_once(
    databases: Databases,
) -> None:
    async def work(world: World) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(world.lists.entry(f"c{i}")) for i in range(60)]
        indexes = {t.result()["statusListIndex"] for t in tasks}

        assert len(indexes) == 60
        assert (await world.lists.entry("c7"))["id"] == tasks[7].result()["id"]

    with_world(databases, work)


def test_what_was_not_issued_here_cannot_be_revoked_nor_an_absent_page_be_had(
    databases: Databases,
) -> None:
    async def work(world: World) -> None:
        _, name = await world.issue()
        await world.lists.revoke(name)

        for call in (world.lists.revoke("other"), world.lists.revoke(name), world.lists.page(1)):
            with pytest.raises(LdnError) as caught:
                await call
            assert caught.value.issue is Issue.NOT_FOUND

    with_world(databases, work)


@given(st.text(max_size=60) | st.binary(max_size=60).map(jose.encoded))
def test_no_text_breaks_the_unpacking(text: str) -> None:
    with pytest.raises(LdnError) as caught:
        unpacked(text, Trail())
    assert caught.value.detail == "status.bits"


@settings(max_examples=5, deadline=None)
@given(st.integers())
def test_what_was_packed_is_unpacked(seed: int) -> None:
    bits = Random(seed).randbytes(LEAST)
    for kind in KINDS:
        assert unpacked(packed(bits, kind), Trail()) == bits


def test_two_packed_streams_behind_each_other_are_not_a_list() -> None:
    twice = zlib.compress(bytes(LEAST), wbits=31) * 2

    with pytest.raises(LdnError):
        unpacked(jose.encoded(twice), Trail())


def test_a_stranger_does_not_hold_up_the_list_of_another(databases: Databases) -> None:
    """Who points at another's list fetches it in vain; that must not keep it from its issuer."""

    async def work(world: World) -> None:
        text, name = await world.issue()
        await world.publish()
        await world.check(text)
        stranger = did_jwk()
        subject = {"id": stranger.did, **SAID}
        making = world.uzi.making(timedelta(days=30))
        entry = await world.lists.entry("other")
        chosen = type(making)(making.clock, making.new_id, making.life, entry)
        alien = issue_credential(holder_issuer(stranger), "NutsEmployeeCredential", subject, chosen)
        await world.lists.revoke(name)
        await world.publish()
        world.clock.advance(31)
        for _ in range(3):
            assert await world.refused(alien) == "status.issuer"
            with suppress(LdnError):
                await world.check(text)
            await asyncio.sleep(0.1)
            world.clock.advance(4)

        assert await world.refused(text) == "status.revoked"

    with_world(databases, work)
