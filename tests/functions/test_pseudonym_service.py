"""The pseudonym service on real PostgreSQL: generic functions §6.2-6.5 (P03-P05, P08-P10, P13)."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import Databases
from functions.pseudonym_cases import (
    BLIND,
    HOSPITAL,
    HOSPITAL_CALLS,
    INDEX,
    INDEX_CALLS,
    INDEX_OIN,
    JANSEN,
    MOMENT,
    OIN_INFO,
    OTHER,
    OTHER_CALLS,
    OTHER_OIN,
    PIETERSEN,
    READ,
    SECRET,
    SECRET_2,
    TO_INDEX,
    TO_OTHER,
    VECTOR_PATIENT,
    World,
    opener_of,
    pem,
    vector_world,
    world,
)

from openldn.base import log
from openldn.base.errors import Issue, LdnError
from openldn.base.sql import connection
from openldn.fhir.identifiers import Ura
from openldn.functions.pseudonyms import oprf, sealing
from openldn.functions.pseudonyms.model import Target, target
from openldn.functions.pseudonyms.rate import Bound, Rate
from openldn.functions.pseudonyms.registry import Draft
from openldn.functions.pseudonyms.service import Evaluations, Question
from openldn.functions.pseudonyms.vault import Vault
from openldn.trust import jose
from openldn.trust.parties import Caller


def jwe_in(token: str) -> str:
    content = json.loads(jose.unpadded(token))
    assert set(content) == {"evaluated_output", "blind_factor"}
    return str(content["evaluated_output"])


def pseudonym(made: World, token: str, to: Target = TO_INDEX, key: str = "index") -> str:
    opened = opener_of(made.time, key, to).open(token)
    return oprf.encoded(opened.elements[0][1])


def test_p02_the_whole_chain_gives_the_pseudonyms_of_the_vectors(databases: Databases) -> None:
    async def check() -> None:
        async with vector_world(databases) as made:
            by_oin = await made.evaluate(VECTOR_PATIENT, TO_INDEX)
            assert pseudonym(made, by_oin) == "FK_iMS2_rIAX2133xC_0KgUHics6hdD8UKqrfxUStH8="

            to = target(f"ura:{INDEX}", "info-ura")
            await made.adopt(SECRET, 2, to.scope)
            by_ura = await made.evaluate(VECTOR_PATIENT, to)
            assert pseudonym(made, by_ura, to) == "jErbAyAWAfJn1y6qTuVZZehUeemRY60J-Q3_YuEUCTs="

    asyncio.run(check())


def test_p03_two_tokens_of_one_patient_differ_and_mean_one_pseudonym(databases: Databases) -> None:
    async def check() -> None:
        async with world(databases) as made:
            await made.register()
            first, second = await made.evaluate(JANSEN), await made.evaluate(JANSEN)

            assert jwe_in(first) != jwe_in(second)
            assert pseudonym(made, first) == pseudonym(made, second)

    asyncio.run(check())


def test_p04_two_patients_are_two_pseudonyms(databases: Databases) -> None:
    async def check() -> None:
        async with world(databases) as made:
            await made.register()
            tokens = [await made.evaluate(p) for p in (JANSEN, PIETERSEN)]

            assert len({pseudonym(made, token) for token in tokens}) == 2

    asyncio.run(check())


def test_p05_no_two_recipients_or_scopes_share_a_pseudonym(databases: Databases) -> None:
    """Also when a caller hashes with another recipient's words: each has a secret of its own."""

    async def check() -> None:
        async with world(databases) as made:
            await made.register(scopes=("nvi", "lab"))
            await made.register(OTHER_CALLS, ("*",), "other")
            found = set()
            for organization, scope, key in (
                (f"oin:{INDEX_OIN}", "nvi", "index"),
                (f"oin:{INDEX_OIN}", "lab", "index"),
                (f"oin:{OTHER_OIN}", "nvi", "other"),
                (f"oin:{OTHER_OIN}", "lab", "other"),
            ):
                same_words = Target(organization, scope, OIN_INFO)
                token = await made.evaluate(JANSEN, same_words)
                opener = opener_of(made.time, key, same_words, {organization})
                found.add(opener.open(token).elements[0][1])

            assert len(found) == 4

    asyncio.run(check())


def test_no_recipient_reads_what_was_made_for_another(databases: Databases) -> None:
    async def check() -> None:
        async with world(databases) as made:
            await made.register(scopes=("nvi", "lab"))
            await made.register(OTHER_CALLS, ("research",), "other")
            token = await made.evaluate(JANSEN)

            for name, to, names in (
                ("other", TO_OTHER, {TO_OTHER.organization}),  # another key
                ("index", TO_INDEX, {TO_OTHER.organization}),  # another audience
                ("index", target(f"oin:{INDEX_OIN}", scope="lab"), None),  # another scope
            ):
                with pytest.raises(LdnError) as refused:
                    opener_of(made.time, name, to, names).open(token)
                assert refused.value.issue is Issue.INVALID

    asyncio.run(check())


def test_two_recipients_together_learn_nothing_more(databases: Databases) -> None:
    """The ratio of what they hold is not that of their words: the secrets are independent."""

    async def check() -> None:
        async with world(databases) as made:
            await made.register()
            await made.register(OTHER_CALLS, ("research",), "other")
            held = {}
            for patient in (JANSEN, PIETERSEN):
                index = opener_of(made.time).open(await made.evaluate(patient))
                to = {TO_OTHER.organization}
                other = opener_of(made.time, "other", TO_OTHER, to)
                both = other.open(await made.evaluate(patient, TO_OTHER))
                held[patient.value] = index.elements[0][1], both.elements[0][1]
            secrets = await _secrets(made)

            assert len({s for pair in held.values() for s in pair}) == 4
            assert len(secrets) == 2
            # What one holds cannot be made from what the other holds by any secret of the service.
            for mine, theirs in held.values():
                for secret in secrets:
                    assert oprf.multiply(secret, mine) != theirs
                    assert oprf.unblind(secret, mine) != theirs

    asyncio.run(check())


async def _secrets(made: World) -> set[bytes]:
    versions = [v for u in (INDEX, OTHER) for v in await made.registry.versions(u)]
    return {made.registry.vault.open(v) for v in versions}


@pytest.mark.parametrize(
    "to", [target("oin:00000009000000009000"), target(f"oin:{INDEX_OIN}", scope="other")]
)
def test_p08_an_unknown_recipient_and_a_scope_without_key_are_not_found(
    databases: Databases, to: Target
) -> None:
    async def check() -> None:
        async with world(databases) as made:
            await made.register()
            with pytest.raises(LdnError) as refused:
                await made.evaluate(JANSEN, to)

            assert (refused.value.issue, refused.value.status) == (Issue.NOT_FOUND, 404)

    asyncio.run(check())


def test_a_recipient_without_a_secret_is_for_later(databases: Databases) -> None:
    async def check() -> None:
        async with world(databases) as made:
            await made.register()
            [version] = await made.registry.versions(INDEX)
            await made.registry.end(INDEX, version.id, MOMENT + timedelta(days=90))
            made.time.pass_by(days=91)
            made.evaluations.forget()
            with pytest.raises(LdnError) as refused:
                await made.evaluate(JANSEN)

            assert (refused.value.issue, refused.value.status) == (Issue.TRANSIENT, 503)

    asyncio.run(check())


def test_p10_the_answer_is_a_jwe_with_these_claims(databases: Databases) -> None:
    async def check() -> None:
        async with world(databases) as made:
            key = await made.register()
            token = jwe_in(await made.evaluate(JANSEN))
            opened = sealing.unseal(token, opener_of(made.time).keys)
            header = json.loads(jose.unpadded(token.partition(".")[0]))

            assert header == {
                "alg": "RSA-OAEP",
                "enc": "A256GCM",
                "cty": "application/json",
                "kid": key.kid,
            }
            assert opened.pop("subject").startswith("pseudonym:eval:")
            issued = int(MOMENT.timestamp())
            assert opened == {
                "aud": TO_INDEX.organization,
                "scope": "nvi",
                "version": "1.1",
                "iat": issued,
                "exp": issued + 300,
                "key_version": 1,
                "extra_versions": {},
            }

    asyncio.run(check())


def test_p10_the_newer_algorithm_by_setting_is_read_as_well(databases: Databases) -> None:
    async def check() -> None:
        async with world(databases) as made:
            made.evaluations = Evaluations(
                made.registry, made.evaluations.rate, made.time, algorithm="RSA-OAEP-256"
            )
            await made.register()
            token = await made.evaluate(JANSEN)

            assert json.loads(jose.unpadded(jwe_in(token).partition(".")[0]))["alg"] == (
                "RSA-OAEP-256"
            )
            assert len(pseudonym(made, token)) == 44

    asyncio.run(check())


def test_another_algorithm_is_refused_at_the_start(databases: Databases) -> None:
    async def check() -> None:
        async with world(databases) as made:
            with pytest.raises(LdnError):
                Evaluations(made.registry, made.evaluations.rate, made.time, algorithm="RSA1_5")

    asyncio.run(check())


def test_p13_with_two_versions_the_newest_is_the_subject_and_the_older_is_extra(
    databases: Databases,
) -> None:
    async def check() -> None:
        async with vector_world(databases) as made:
            await made.adopt(SECRET_2, 2)
            token = await made.evaluate(VECTOR_PATIENT, blind=BLIND)
            claims = sealing.unseal(jwe_in(token), opener_of(made.time).keys)
            opened = opener_of(made.time).open(token)

            newest = "ftK9mD6-0ZYiEQdnu_gDvbtiYWW0thorFhXz0dp89Fw="
            assert claims["subject"] == f"pseudonym:eval:{newest}"
            assert claims["extra_versions"] == {"1": "PtczrKQcsYEi5QIy4pg_J_v26R5EH2695BixtGNEtn8="}
            assert [(n, oprf.encoded(e)) for n, e in opened.elements] == [
                (2, "th7hT-NwcRATj8UjMOTRA6Zh2GdS6ltmQh68EoxrrDI="),
                (1, "FK_iMS2_rIAX2133xC_0KgUHics6hdD8UKqrfxUStH8="),
            ]

    asyncio.run(check())


def test_p16_a_key_for_every_scope_serves_each_with_a_secret_of_its_own(
    databases: Databases,
) -> None:
    async def check() -> None:
        async with world(databases) as made:
            await made.register(scopes=("*",))
            found = set()
            for scope in ("nvi", "lab", "images"):
                to = Target(TO_INDEX.organization, scope, OIN_INFO)
                found.add(pseudonym(made, await made.evaluate(JANSEN, to), to))

            assert len(found) == 3

    asyncio.run(check())


def test_the_recipient_may_not_ask_unless_it_is_listed(databases: Databases) -> None:
    async def check() -> None:
        async with world(databases) as made:
            await made.register()
            through = Caller(HOSPITAL, READ, acting=str(INDEX))
            as_oin = Caller(HOSPITAL, READ, acting=f"oin:{INDEX_OIN}")
            for caller in (INDEX_CALLS, Caller(INDEX, READ), through, as_oin):
                with pytest.raises(LdnError) as refused:
                    await made.evaluate(JANSEN, caller=caller)
                assert refused.value.issue is Issue.FORBIDDEN

            made.evaluations.own = [TO_INDEX.organization]
            assert await made.evaluate(JANSEN, caller=INDEX_CALLS)

    asyncio.run(check())


def test_a_caller_without_the_scope_is_refused(databases: Databases) -> None:
    async def check() -> None:
        async with world(databases) as made:
            await made.register()
            with pytest.raises(LdnError) as refused:
                await made.evaluate(JANSEN, caller=Caller(HOSPITAL, frozenset({"nvi:read"})))

            assert refused.value.issue is Issue.FORBIDDEN

    asyncio.run(check())


def test_n06_who_acts_has_a_bound_whatever_it_acts_for(databases: Databases) -> None:
    async def check() -> None:
        async with world(databases, bound=3) as made:
            await made.register()
            acting = [Caller(Ura(f"0000010{n}"), READ, acting="00000099") for n in range(4)]
            for caller in acting[:3]:
                await made.evaluate(JANSEN, caller=caller)
            with pytest.raises(LdnError) as refused:
                await made.evaluate(JANSEN, caller=acting[3])

            assert (refused.value.issue, refused.value.status) == (Issue.THROTTLED, 429)
            assert await made.evaluate(JANSEN)  # another is not in its way
            made.time.pass_by(seconds=20)
            assert await made.evaluate(JANSEN, caller=acting[3])

    asyncio.run(check())


def test_a_bound_is_neither_lower_nor_higher_than_it_says() -> None:
    rate = Rate((Bound(1200, 60), Bound(2000, 86400)))

    def taken(moment: timedelta) -> int:
        count = 0
        try:
            while True:
                rate.take("00000001", MOMENT + moment)
                count += 1
        except LdnError:
            return count

    assert taken(timedelta()) == 1200
    assert taken(timedelta()) == 0
    assert taken(timedelta(seconds=30)) == 600
    assert taken(timedelta(seconds=432)) == 210  # what the day has left, and its share of 432 s
    assert taken(timedelta(days=3)) == 1200


def test_the_store_holds_no_secret_in_clear_and_nothing_of_a_patient(databases: Databases) -> None:
    async def check() -> None:
        async with vector_world(databases) as made:
            token = await made.evaluate(VECTOR_PATIENT, blind=BLIND)
            async with connection(made.pool) as db:
                rows = [
                    row
                    for table in ("recipient", "recipient_key", "pseudonym_key")
                    for row in await db.fetch(f"SELECT t::text FROM {table} AS t")
                ]
            kept = " ".join(row[0] for row in rows)

            assert SECRET.hex() not in kept
            assert "999940003" not in kept
            assert jwe_in(token) not in kept
            tables = [r["tablename"] for r in await _tables(made)]
            assert set(tables) == {"migration", "recipient", "recipient_key", "pseudonym_key"}

    asyncio.run(check())


async def _tables(made: World) -> list[dict[str, str]]:
    async with connection(made.pool) as db:
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        return [dict(row) for row in await db.fetch(sql)]


def test_another_key_of_the_service_does_not_start(databases: Databases) -> None:
    async def check() -> None:
        async with world(databases) as made:
            await made.register()
            object.__setattr__(made.registry, "vault", Vault(bytes(32)))
            with pytest.raises(LdnError) as refused:
                await made.registry.prepare()

            assert refused.value.issue is Issue.TRANSIENT

    asyncio.run(check())


def test_a_sealed_secret_does_not_open_in_another_place(databases: Databases) -> None:
    async def check() -> None:
        async with world(databases) as made:
            await made.register(scopes=("nvi", "lab"))
            lab, nvi = await made.registry.versions(INDEX)
            object.__setattr__(nvi, "sealed", lab.sealed)
            with pytest.raises(LdnError):
                made.registry.vault.open(nvi)

    asyncio.run(check())


def test_the_key_of_the_service_is_made_once_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "pseudonyms.key"

    first, second = Vault.at(file), Vault.at(file)

    assert first == second
    assert len(first.key) == 32
    assert file.stat().st_mode & 0o077 == 0
    assert first.key.hex() not in repr(first)
    file.write_bytes(b"short")
    for unusable in (file, file.parent, file / "below-a-file"):
        with pytest.raises(LdnError) as refused:
            Vault.at(unusable)
        assert refused.value.issue is Issue.EXCEPTION


def test_every_evaluation_is_told_to_those_who_may_know_and_names_nobody(
    databases: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    async def check() -> list[str]:
        async with vector_world(databases) as made:
            log.configure("pseudonyms")
            token = await made.evaluate(VECTOR_PATIENT, blind=BLIND)
            for to in (TO_INDEX, TO_OTHER):
                with pytest.raises(LdnError):
                    await made.evaluations.evaluate(
                        HOSPITAL_CALLS, Question("AAAA", to.organization, to.scope)
                    )
            opened = opener_of(made.time).open(token)
            return [token, jwe_in(token), *(oprf.encoded(e) for _, e in opened.elements)]

    secrets = [*asyncio.run(check()), "999940003", oprf.encoded(BLIND), SECRET.hex()]
    text = capsys.readouterr().err
    lines = [json.loads(line) for line in text.splitlines()]

    assert [(x["event"], x["stream"]) for x in lines] == [
        (code, stream) for code in ("210400", "210402", "210403") for stream in ("app", "siem")
    ]
    assert lines[0]["doel_oin"] == TO_INDEX.organization
    assert lines[0]["oprf_secret_versie"] == "1"
    assert lines[2]["error_type"] == "invalid_blinded_input"
    assert not [secret for secret in secrets if secret in text]


def test_what_fails_is_told_by_its_kind(
    databases: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    async def check() -> None:
        async with world(databases, bound=2) as made:
            await made.register()
            log.configure("pseudonyms")

            async def refused(caller: Caller = HOSPITAL_CALLS) -> None:
                made.evaluations.forget()
                with pytest.raises(LdnError):
                    await made.evaluate(JANSEN, caller=caller)

            await refused(INDEX_CALLS)
            object.__setattr__(made.registry, "vault", Vault(bytes(32)))
            await refused()
            await made.pool.close()
            await refused()
            await refused()

    asyncio.run(check())
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(x["event"], x.get("error_type")) for x in lines if x["stream"] == "siem"] == [
        ("210402", "forbidden"),
        ("270406", None),
        ("210402", "crypto_evaluation_failure"),
        ("210402", "crypto_evaluation_failure"),
        ("210402", "rate_limited"),
    ]


def test_what_is_not_for_others_hides_itself(databases: Databases) -> None:
    async def check() -> None:
        async with vector_world(databases) as made:
            token = await made.evaluate(VECTOR_PATIENT, blind=BLIND)
            opened = opener_of(made.time).open(token)
            [version] = [v for v in await made.registry.versions(INDEX) if v.scope == "nvi"]
            shown = repr((opened, version, Question(oprf.encoded(BLIND), "oin:x", "nvi"), made))

            assert oprf.encoded(BLIND) not in shown
            assert repr(opened.elements[0][1]) not in shown
            assert repr(version.sealed) not in shown
            assert repr(opened.digest) not in shown

    asyncio.run(check())


def test_an_oin_belongs_to_one_organization(databases: Databases) -> None:
    async def check() -> None:
        async with world(databases) as made:
            await made.register()
            for draft in (
                Draft(OTHER, INDEX_OIN, ("nvi",), pem("other")),
                Draft(INDEX, OTHER_OIN, ("lab",), pem()),
            ):
                with pytest.raises(LdnError) as refused:
                    await made.registry.register(draft)
                assert refused.value.issue is Issue.CONFLICT

    asyncio.run(check())


def test_an_oin_may_be_told_later(databases: Databases) -> None:
    async def check() -> None:
        async with world(databases) as made:
            await made.registry.register(Draft(INDEX, None, ("lab",), pem()))
            with pytest.raises(LdnError):
                await made.evaluate(JANSEN, target(f"oin:{INDEX_OIN}", scope="lab"))

            await made.registry.register(Draft(INDEX, INDEX_OIN, ("nvi",), pem()))
            assert await made.evaluate(JANSEN, target(f"oin:{INDEX_OIN}", scope="lab"))
            with pytest.raises(LdnError):
                await made.registry.register(Draft(OTHER, INDEX_OIN, ("nvi",), pem("other")))

    asyncio.run(check())
