"""The life of keys: generic functions §6.3, §6.5 (P13, P16-P18), and a rotation end to end."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from conftest import Databases
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from functions.pseudonym_cases import (
    HOSPITAL_CALLS,
    INDEX,
    INDEX_CALLS,
    INDEX_OIN,
    JANSEN,
    MOMENT,
    OTHER,
    SECRET,
    TO_INDEX,
    VECTOR_PATIENT,
    World,
    opener_of,
    pem,
    private,
    vector_world,
    world,
)

from openldn.base import log
from openldn.base.errors import Issue, LdnError
from openldn.functions.pseudonyms import oprf
from openldn.functions.pseudonyms.model import (
    LEAD,
    SKEW,
    KeyVersion,
    Opened,
    RecipientKey,
    Target,
)
from openldn.functions.pseudonyms.registry import Draft
from openldn.functions.pseudonyms.service import destroy_now

DAY = timedelta(days=1)
SOON = MOMENT + timedelta(minutes=10)  # when a version begins at the earliest


def draft(*scopes: str, text: str = "", kid: str = "") -> Draft:
    return Draft(INDEX, INDEX_OIN, scopes, text or pem(), kid)


async def refusal(work: Awaitable[object]) -> LdnError:
    with pytest.raises(LdnError) as refused:
        await work
    return refused.value


async def in_world(databases: Databases, check: Callable[[World], Awaitable[None]]) -> None:
    async with world(databases) as made:
        await check(made)


def test_rotation_keeps_what_the_index_has_findable_all_along(databases: Databases) -> None:
    """An index as of §5.8: digests per version, and each hit is written under the newest."""

    async def check() -> None:
        async with vector_world(databases) as made:
            kept: dict[bytes, int] = {}

            async def found() -> bool:
                made.evaluations.forget()
                opened = opener_of(made.time).open(await made.evaluate(VECTOR_PATIENT))
                hits = [e for _, e in opened.elements if e in kept]
                number, newest = opened.elements[0]
                for hit in hits:
                    del kept[hit]
                kept[newest] = number
                return bool(hits)

            assert not await found()
            first = next(iter(kept))
            assert oprf.encoded(first) == "FK_iMS2_rIAX2133xC_0KgUHics6hdD8UKqrfxUStH8="

            [announced] = await made.registry.rotate(INDEX, MOMENT + 30 * DAY, None, "nvi")
            assert announced.version == 2
            assert await found()
            assert list(kept.values()) == [1]

            made.time.pass_by(days=30)
            assert await found()
            assert list(kept.values()) == [2]
            assert first not in kept

            made.time.pass_by(days=90)
            assert await made.registry.destroy_ended() == 1
            assert await found()
            opened = opener_of(made.time).open(await made.evaluate(VECTOR_PATIENT))
            assert [n for n, _ in opened.elements] == [2]
            [_, old] = [v for v in await made.registry.versions(INDEX) if v.scope == "nvi"]
            assert (old.sealed, old.destroyed) == (None, made.time())

    asyncio.run(check())


def test_a_rotation_without_a_moment_begins_in_ten_minutes_and_covers_every_scope(
    databases: Databases,
) -> None:
    async def check(made: World) -> None:
        await made.register(scopes=("nvi", "lab"))
        rotated = await made.registry.rotate(INDEX, None, None)

        assert [(v.scope, v.version, v.begins) for v in rotated] == [
            ("lab", 2, SOON),
            ("nvi", 2, SOON),
        ]
        ends = {v.ends for v in await made.registry.versions(INDEX) if v.version == 1}
        assert ends == {SOON + 90 * DAY}

    asyncio.run(in_world(databases, check))


def test_a_token_from_just_before_a_rotation_finds_what_is_written_just_after(
    databases: Databases,
) -> None:
    async def check(made: World) -> None:
        await made.register()
        assert [n for n, _ in (await opened(made)).elements] == [1]
        await made.registry.rotate(INDEX, None, None)
        made.evaluations.forget()
        made.time.now = SOON - LEAD - timedelta(seconds=1)
        early = await opened(made)
        made.time.pass_by(seconds=1)
        before = await opened(made)
        made.time.now = SOON
        after = await opened(made)

        assert [n for n, _ in early.elements] == [1]
        assert early.expires + timedelta(seconds=SKEW) < SOON
        assert [n for n, _ in before.elements] == [1, 2]
        assert [n for n, _ in after.elements] == [2, 1]
        assert set(before.elements) == set(after.elements)

    asyncio.run(in_world(databases, check))


async def opened(made: World) -> Opened:
    return opener_of(made.time).open(await made.evaluate(JANSEN))


def test_where_nothing_counts_a_rotation_begins_at_once(databases: Databases) -> None:
    async def check(made: World) -> None:
        await made.register()
        [only] = await made.registry.versions(INDEX)
        await made.registry.end(INDEX, only.id, MOMENT + 90 * DAY)
        made.time.pass_by(days=90)
        assert (await refusal(made.evaluate(JANSEN))).status == 503

        [begun] = await made.registry.rotate(INDEX, None, None)
        made.evaluations.forget()
        assert begun.begins == made.time.now
        # what ended but was not wiped yet lives on: the recipient must still find what it has
        assert [n for n, _ in (await opened(made)).elements] == [2, 1]

    asyncio.run(in_world(databases, check))


def test_no_version_younger_than_the_overlap_is_destroyed(databases: Databases) -> None:
    async def check(made: World) -> None:
        await made.register()
        await made.registry.rotate(INDEX, None, None)
        made.time.now = SOON + 90 * DAY - timedelta(seconds=1)

        assert await made.registry.destroy_ended() == 0

        made.time.pass_by(seconds=1)
        assert await made.registry.destroy_ended() == 1
        assert await made.registry.destroy_ended() == 0
        assert [v.sealed is None for v in await made.registry.versions(INDEX)] == [False, True]

    asyncio.run(in_world(databases, check))


def test_an_end_that_leaves_recipients_no_time_is_refused(databases: Databases) -> None:
    async def check(made: World) -> None:
        registry = made.registry
        await made.register()
        [only] = await registry.versions(INDEX)

        assert (await refusal(registry.end(INDEX, only.id, MOMENT + 89 * DAY))).status == 409
        assert (await registry.end(INDEX, only.id, MOMENT + 91 * DAY)).ends == MOMENT + 91 * DAY
        assert (await registry.end(INDEX, only.id, None)).ends is None
        await registry.rotate(INDEX, MOMENT + 10 * DAY, None)
        [_, first] = await registry.versions(INDEX)
        assert first.ends == MOMENT + 100 * DAY
        assert (await refusal(registry.end(INDEX, first.id, MOMENT + 99 * DAY))).status == 409

    asyncio.run(in_world(databases, check))


def test_a_destroyed_version_never_comes_back(databases: Databases) -> None:
    async def check(made: World) -> None:
        await made.register()
        await made.registry.rotate(INDEX, None, None)
        made.time.pass_by(days=91)
        await made.registry.destroy_ended()
        [_, first] = await made.registry.versions(INDEX)

        assert (await refusal(made.registry.end(INDEX, first.id, None))).status == 409
        again = KeyVersion("again", INDEX, "nvi", 1, MOMENT, None)
        assert (await refusal(made.registry.adopt(again, SECRET))).status == 409

    asyncio.run(in_world(databases, check))


def test_p18_moments_that_have_passed_are_refused(databases: Databases) -> None:
    async def check(made: World) -> None:
        registry, second = made.registry, timedelta(seconds=1)
        await made.register()
        [only] = await registry.versions(INDEX)

        for begins, ends in (
            (MOMENT - second, None),
            (None, MOMENT - second),
            (MOMENT + 10 * DAY, MOMENT + 20 * DAY),
        ):
            assert (await refusal(registry.rotate(INDEX, begins, ends))).status == 422
        assert (await refusal(registry.end(INDEX, only.id, MOMENT - second))).status == 422

    asyncio.run(in_world(databases, check))


def test_a_version_begins_after_the_one_before_it(databases: Databases) -> None:
    async def check(made: World) -> None:
        await made.register()
        await made.registry.rotate(INDEX, MOMENT + 30 * DAY, None)

        assert (await refusal(made.registry.rotate(INDEX, None, None))).issue is Issue.CONFLICT

    asyncio.run(in_world(databases, check))


def test_rotating_what_is_not_there_or_anothers_is_not_found(databases: Databases) -> None:
    async def check(made: World) -> None:
        await made.register()
        [version] = await made.registry.versions(INDEX)
        refusals = [
            await refusal(made.registry.rotate(OTHER, None, None)),
            await refusal(made.registry.rotate(INDEX, None, None, "lab")),
            await refusal(made.registry.end(OTHER, version.id, None)),
            await refusal(made.registry.end(INDEX, "unknown", None)),
        ]

        assert {(r.status, r.message) for r in refusals} == {(404, refusals[0].message)}

    asyncio.run(in_world(databases, check))


def test_two_rotations_at_once_make_two_versions(databases: Databases) -> None:
    async def check(made: World) -> None:
        await made.register()
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(made.registry.rotate(INDEX, None, None))

        assert [v.version for v in await made.registry.versions(INDEX)] == [5, 4, 3, 2, 1]

    asyncio.run(in_world(databases, check))


@pytest.mark.parametrize("second", [("nvi",), ("lab", "nvi"), ("*",), ("NVI ",)])
def test_p17_a_scope_has_one_key(databases: Databases, second: tuple[str, ...]) -> None:
    async def check(made: World) -> None:
        await made.register()
        error = await refusal(made.registry.register(draft(*second)))

        assert (error.issue, error.status) == (Issue.CONFLICT, 409)
        assert len(await made.registry.keys(INDEX)) == 1

    asyncio.run(in_world(databases, check))


def test_p17_nothing_stands_beside_a_key_for_every_scope(databases: Databases) -> None:
    async def check(made: World) -> None:
        await made.register(scopes=("*",))

        assert (await refusal(made.registry.register(draft("nvi")))).status == 409

    asyncio.run(in_world(databases, check))


def test_p17_of_many_that_register_at_once_one_wins(databases: Databases) -> None:
    async def check(made: World) -> None:
        async def attempt() -> RecipientKey | None:
            try:
                return await made.registry.register(draft("nvi"))
            except LdnError as error:
                assert error.issue is Issue.CONFLICT
                return None

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(attempt()) for _ in range(8)]
        assert len([t for t in tasks if t.result()]) == 1
        assert len(await made.registry.versions(INDEX)) == 1

    asyncio.run(in_world(databases, check))


def test_p17_a_change_may_not_take_the_scope_of_another_key(databases: Databases) -> None:
    async def check(made: World) -> None:
        await made.register()
        lab = await made.registry.register(draft("lab"))

        assert (await refusal(made.registry.change(lab.id, draft("nvi")))).status == 409
        changed = await made.registry.change(lab.id, draft("lab", "images", kid="lab-2"))
        assert (changed.scopes, changed.kid) == (("lab", "images"), "lab-2")

    asyncio.run(in_world(databases, check))


def test_another_public_key_makes_no_other_pseudonyms(databases: Databases) -> None:
    async def check(made: World) -> None:
        key = await made.register()
        before = opener_of(made.time).open(await made.evaluate(JANSEN))
        await made.registry.change(key.id, draft("nvi", text=pem("new")))
        made.evaluations.forget()
        after = opener_of(made.time, "new").open(await made.evaluate(JANSEN))

        assert before.elements == after.elements

    asyncio.run(in_world(databases, check))


def test_p16_a_scope_that_had_a_secret_keeps_it_under_a_key_for_every_scope(
    databases: Databases,
) -> None:
    async def check(made: World) -> None:
        key = await made.register()
        before = opener_of(made.time).open(await made.evaluate(JANSEN))
        await made.registry.change(key.id, draft("*"))
        made.evaluations.forget()
        after = opener_of(made.time).open(await made.evaluate(JANSEN))
        to = Target(TO_INDEX.organization, "lab", TO_INDEX.info)
        lab = opener_of(made.time, to=to).open(await made.evaluate(JANSEN, to))

        assert before.elements == after.elements != lab.elements

    asyncio.run(in_world(databases, check))


def test_a_removed_key_gets_no_more_answers(databases: Databases) -> None:
    async def check(made: World) -> None:
        key = await made.register()
        assert await made.evaluate(JANSEN)
        assert (await refusal(made.registry.remove(OTHER, key.id))).status == 404
        await made.registry.remove(INDEX, key.id)
        made.evaluations.forget()

        assert (await refusal(made.evaluate(JANSEN))).issue is Issue.NOT_FOUND
        assert (await refusal(made.registry.remove(INDEX, key.id))).status == 404
        assert (await refusal(made.registry.change(key.id, draft("nvi")))).status == 404

    asyncio.run(in_world(databases, check))


def test_another_process_sees_a_change_within_five_seconds(databases: Databases) -> None:
    async def check(made: World) -> None:
        key = await made.register()
        assert await made.evaluate(JANSEN)
        await made.registry.remove(INDEX, key.id)
        made.time.pass_by(seconds=5)

        assert (await refusal(made.evaluate(JANSEN))).issue is Issue.NOT_FOUND

    asyncio.run(in_world(databases, check))


def _pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, pkcs8, plain).decode()


def _public_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, spki).decode()


def test_p18_a_private_key_and_one_to_encrypt_to_badly_are_refused(databases: Databases) -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1())
    small = rsa.generate_private_key(65537, 1024)
    wrong = [
        _pem_of(private("index")),
        _pem_of(elliptic),
        _public_of(elliptic),
        _public_of(small),
        pem()[:200],
        "x" * 10_000,
        "é",
    ]

    async def check(made: World) -> None:
        for text in wrong:
            error = await refusal(made.registry.register(draft("nvi", text=text)))
            assert (error.issue, error.status) == (Issue.BUSINESS_RULE, 422)
            assert text not in str(error)
        assert await made.registry.keys(INDEX) == []

    asyncio.run(in_world(databases, check))


@pytest.mark.parametrize("scopes", [(), ("*", "nvi"), ("n",), ("a b",), ("é" * 5,), ("",)])
def test_scopes_that_are_none_are_refused(databases: Databases, scopes: tuple[str, ...]) -> None:
    async def check(made: World) -> None:
        assert (await refusal(made.registry.register(draft(*scopes)))).status == 422

    asyncio.run(in_world(databases, check))


def test_key_ids_and_the_number_of_keys_are_bounded(databases: Databases) -> None:
    async def check(made: World) -> None:
        for kid in ("é", "x" * 201):
            assert (await refusal(made.registry.register(draft("nvi", kid=kid)))).status == 422
        for number in range(32):
            await made.registry.register(draft(f"scope-{number}"))
        assert (await refusal(made.registry.register(draft("one-more")))).status == 409

    asyncio.run(in_world(databases, check))


def test_what_ended_is_destroyed_and_told_and_a_store_that_is_away_too(
    databases: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    async def check(made: World) -> None:
        await made.register()
        await made.registry.rotate(INDEX, None, None)
        made.time.pass_by(days=91)
        log.configure("pseudonyms")
        await destroy_now(made.registry)
        await destroy_now(made.registry)
        await made.pool.close()
        await destroy_now(made.registry)

    asyncio.run(in_world(databases, check))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(x["event"], x.get("count")) for x in lines] == [("destroyed", 1), ("failed", None)]


def test_versions_of_which_none_counts_yet_do_not_answer(databases: Databases) -> None:
    async def check(made: World) -> None:
        await made.register(scopes=("lab",))
        later = KeyVersion("later", INDEX, "nvi", 1, MOMENT + DAY, None)
        await made.registry.adopt(later, SECRET)
        await made.registry.register(draft("nvi"))

        refused = await refusal(made.evaluate(JANSEN, caller=HOSPITAL_CALLS))
        assert refused.status == 503
        made.time.pass_by(days=1)
        assert await made.evaluate(JANSEN)
        assert INDEX_CALLS.organization == INDEX

    asyncio.run(in_world(databases, check))
