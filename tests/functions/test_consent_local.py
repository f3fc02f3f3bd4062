"""Consent at the holder: generic functions §4.4, §4.5 (C10, C14, C16, Z12, Z13, Z20; R79)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from conftest import Databases
from functions.consent_cases import (
    ASKED,
    CLINIC,
    DENY,
    HOSPITAL,
    JANSEN,
    MOMENT,
    PERMIT,
    PIETERSEN,
    PRACTICE,
    UNKNOWN,
    Time,
)
from functions.test_consent_notices import from_mitz

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import connection
from openldn.fhir.codec import Format, check, decode
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.consent.kinds import kinds
from openldn.functions.consent.lasting import Lasting
from openldn.functions.consent.local import AtHolder, LocalConsents, Notifications
from openldn.functions.consent.model import (
    Answer,
    Basis,
    Decision,
    Disclosure,
    Origin,
    Provider,
    unknown,
)
from openldn.functions.consent.pcf import REASONS, Referral, of_referral, read_consent
from openldn.functions.consent.sealing import Sealing

HOLDER, LINDE = Ura("00000001"), Ura("00000002")
UNTIL = MOMENT + timedelta(days=30)
REFERRAL = Referral(JANSEN, HOLDER, LINDE, "bgz", "Task/1", UNTIL)
IMPLIED = replace(ASKED, basis=Basis.IMPLIED, task="Task/1")
EMERGENCY = replace(ASKED, basis=Basis.EMERGENCY, purpose="ETREAT")


@dataclass
class National:
    """A national registry with one answer, and what it was asked."""

    decision: Decision = PERMIT
    asked: list[Disclosure] = field(default_factory=list)

    async def ask(self, disclosure: Disclosure) -> Answer:
        self.asked.append(disclosure)
        if self.decision is UNKNOWN:
            return unknown(Origin.MITZ, MOMENT, "unreachable")
        return Answer(self.decision, Origin.MITZ, "m-1", MOMENT)


@dataclass
class Place:
    """A holder with its own consents and a registry to ask."""

    local: LocalConsents
    national: National
    time: Time

    async def ask(self, disclosure: Disclosure) -> Answer:
        return await AtHolder(self.local, self.national, self.time).ask(disclosure)


@asynccontextmanager
async def at_holder(databases: Databases) -> AsyncIterator[Place]:
    numbers, time = count(1), Time()
    async with databases.pool() as pool:
        sealing = Sealing(bytes(range(32)))
        local = LocalConsents(pool, time, lambda: f"l-{next(numbers)}", kinds(), sealing, HOLDER)
        await local.prepare()
        yield Place(local, National(), time)


def with_holder(databases: Databases, story: Callable[[Place], Awaitable[None]]) -> None:
    async def run() -> None:
        async with at_holder(databases) as place:
            await story(place)

    asyncio.run(run())


def consent(type_: str = "permit", **provision: Any) -> Resource:
    """A Consent of the hospital about Jansen."""
    found = of_referral(REFERRAL, MOMENT)
    found["scope"]["coding"][0] = {
        "system": "http://terminology.hl7.org/CodeSystem/consentscope",
        "code": "patient-privacy",
    }
    found["provision"] = {"type": type_, **provision}
    return check(found, FhirVersion.R4)


def recipient(ura: str) -> dict[str, Any]:
    role = {"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}
    reference = {"identifier": {"system": URA_SYSTEM, "value": ura}}
    return {"role": {"coding": [role]}, "reference": reference}


def test_the_consent_of_a_referral_is_fhir_and_says_what_was_meant() -> None:
    meaning = read_consent(check(of_referral(REFERRAL, MOMENT), FhirVersion.R4), HOLDER)

    [only] = meaning.choices
    assert (meaning.patient, meaning.active, only.decision) == (JANSEN, True, PERMIT)
    sides = [(t.level.value, t.value) for t in (only.holder, only.user)]
    assert sides == [("provider", "00000001"), ("provider", "00000002")]
    assert (only.context.value, only.resource.value) == ("bgz", "Task/1")
    assert (only.start, only.end) == (MOMENT, UNTIL)


def test_z20_r79_a_referral_needs_no_mitz_but_its_own_consent(databases: Databases) -> None:
    async def story(place: Place) -> None:
        without = await place.ask(IMPLIED)
        kept = await place.local.refer(REFERRAL)
        found = await place.ask(IMPLIED)
        other = await place.ask(replace(IMPLIED, task="Task/2"))
        someone = await place.ask(replace(IMPLIED, requester=PRACTICE))
        exchange = await place.ask(replace(IMPLIED, exchange="images"))

        assert (without.decision, without.permits) == (UNKNOWN, False)
        assert (found.decision, found.origin) == (PERMIT, Origin.LOCAL)
        assert found.id == f"{kept.id}/1.1"
        assert [a.permits for a in (other, someone, exchange)] == [False] * 3
        assert place.national.asked == []

    with_holder(databases, story)


def test_a_referral_is_kept_once_and_ends_when_it_is_withdrawn(databases: Databases) -> None:
    async def story(place: Place) -> None:
        first, again = await place.local.refer(REFERRAL), await place.local.refer(REFERRAL)
        ended = await place.local.withdraw(first.id)
        gone = await place.ask(IMPLIED)
        await place.local.refer(REFERRAL)

        assert (first, ended.version) == (again, 2)
        assert ended.consent["status"] == "inactive"
        assert gone.decision is UNKNOWN
        assert (await place.ask(IMPLIED)).permits
        place.time.now = UNTIL
        assert not (await place.ask(IMPLIED)).permits

    with_holder(databases, story)


def test_an_objection_at_the_holder_counts_on_every_basis(databases: Databases) -> None:
    async def story(place: Place) -> None:
        await place.local.refer(REFERRAL)
        kept = await place.local.record(consent("deny", actor=[recipient("00000002")]))
        found = [await place.ask(q) for q in (ASKED, EMERGENCY)]
        implied = await place.ask(IMPLIED)
        patient = await place.ask(replace(ASKED, basis=Basis.PATIENT))

        assert [(a.decision, a.permits, a.id) for a in found] == [
            (DENY, False, f"{kept.id}/1.1")
        ] * 2
        assert place.national.asked == []
        # the referral names exchange and Task: it is the more specific
        assert implied.decision is PERMIT
        assert (patient.decision, patient.origin) == (PERMIT, Origin.BASIS)

    with_holder(databases, story)


def test_a_permission_at_the_holder_is_not_that_of_the_registry(databases: Databases) -> None:
    async def story(place: Place) -> None:
        await place.local.record(consent("permit"))
        place.national.decision = UNKNOWN

        assert not (await place.ask(ASKED)).permits

    with_holder(databases, story)


def test_c14_an_emergency_without_answer_passes_and_is_marked(databases: Databases) -> None:
    async def story(place: Place) -> None:
        place.national.decision = UNKNOWN
        found, ordinary = await place.ask(EMERGENCY), await place.ask(ASKED)

        assert (found.permits, found.emergency, found.reason) == (True, True, "unreachable")
        assert not ordinary.permits

    with_holder(databases, story)


def test_c14_an_objection_that_was_told_holds_while_the_registry_is_away(
    databases: Databases,
) -> None:
    async def story(place: Place) -> None:
        body = from_mitz("active", "deny", "RPZAC104")
        await place.local.notified(decode(body, Format.XML, FhirVersion.R4))
        place.national.decision = UNKNOWN
        found = await place.ask(EMERGENCY)
        practice = await place.ask(replace(EMERGENCY, requester=PRACTICE))

        assert (found.decision, found.permits) == (DENY, False)
        assert practice.permits

    with_holder(databases, story)


def test_a_permission_that_was_told_permits_nothing(databases: Databases) -> None:
    async def story(place: Place) -> None:
        body = from_mitz("active", "permit", "RPZAC104")
        await place.local.notified(decode(body, Format.XML, FhirVersion.R4))
        place.national.decision = UNKNOWN

        assert not (await place.ask(ASKED)).permits

    with_holder(databases, story)


def test_without_its_own_store_a_holder_gives_nothing(databases: Databases) -> None:
    async def story(place: Place) -> None:
        await place.local.pool.close()

        for question in (ASKED, IMPLIED, EMERGENCY):
            found = await place.ask(question)
            assert (found.decision, found.permits) == (UNKNOWN, False)

    with_holder(databases, story)


class Silent:
    """A store of the holder that does not answer."""

    async def verdict(self, disclosure: Disclosure) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError("it waits for ever")

    async def told(self, disclosure: Disclosure) -> Answer:
        return await self.verdict(disclosure)


def test_an_own_store_that_keeps_silent_is_no_reason_to_give() -> None:
    async def run() -> None:
        holder = AtHolder(Silent(), National(), Time(), patience=0.05)
        for question in (ASKED, IMPLIED, EMERGENCY):
            found = await holder.ask(question)
            assert (found.decision, found.permits) == (UNKNOWN, False)

    asyncio.run(run())


def test_z12_deny_and_permit_for_the_same_is_deny(databases: Databases) -> None:
    async def story(place: Place) -> None:
        await place.local.record(consent("permit", actor=[recipient("00000002")]))
        await place.local.record(consent("deny", actor=[recipient("00000002")]))

        assert (await place.ask(ASKED)).decision is DENY

    with_holder(databases, story)


def test_z13_a_consent_past_its_period_is_ignored(databases: Databases) -> None:
    async def story(place: Place) -> None:
        await place.local.record(consent("deny", period={"end": "2027-03-01"}))
        before = await place.ask(ASKED)
        await place.local.record(consent("deny", period={"end": "2027-03-02"}))
        on_the_day = await place.ask(ASKED)

        assert (before.decision, on_the_day.decision) == (PERMIT, DENY)

    with_holder(databases, story)


@pytest.mark.parametrize(
    "end", ["9999-12-31", "9999", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z", "2027-03"]
)
def test_an_end_that_many_systems_write_for_none_is_kept(databases: Databases, end: str) -> None:
    """A month or year counts whole, and no end is so late that a consent is lost."""

    async def story(place: Place) -> None:
        await place.local.record(consent("deny", period={"end": end}))

        assert (await place.ask(ASKED)).decision is DENY

    with_holder(databases, story)


def test_an_exception_in_a_consent_is_the_more_specific(databases: Databases) -> None:
    async def story(place: Place) -> None:
        exception = {"type": "permit", "actor": [recipient("00000002")]}
        await place.local.record(consent("deny", provision=[exception]))

        assert (await place.ask(ASKED)).decision is PERMIT
        assert (await place.ask(replace(ASKED, requester=PRACTICE))).decision is DENY

    with_holder(databases, story)


OTHER_ACTOR = recipient("00000002")
OTHER_ACTOR["role"]["coding"][0]["code"] = "AUT"
OTHER_CLASS = {"class": [{"system": "x:y", "code": "1"}]}
CUSTODIAN = recipient("00000009")
CUSTODIAN["role"]["coding"][0]["code"] = "CST"


def without(name: str, value: object = None) -> Resource:
    found = deepcopy(consent())
    if value is None:
        found.pop(name)
    else:
        found[name] = value
    return found


@pytest.mark.parametrize(
    ("where", "given"),
    [
        ("Consent.provision.securityLabel", consent(securityLabel=[{"code": "R"}])),
        ("Consent.provision.dataPeriod", consent(dataPeriod={"start": "2020"})),
        ("Consent.provision.actor", consent(actor=[OTHER_ACTOR])),
        ("Consent.provision.actor (custodian)", consent(actor=[CUSTODIAN])),
        ("Consent.provision.purpose", consent(purpose=[{"system": REASONS, "code": "HRESCH"}])),
        (
            "Consent.provision.class",
            consent("permit", **OTHER_CLASS),
        ),
        ("Consent.provision.type", without("provision", {})),
        ("Consent.scope", without("scope")),
        ("Consent.patient.identifier", without("patient", {"reference": "Patient/1"})),
        ("Consent.modifierExtension", without("modifierExtension", [])),
        ("Consent", {"resourceType": "Patient"}),
    ],
)
def test_a_consent_that_is_not_understood_is_not_kept(where: str, given: Resource) -> None:
    with pytest.raises(LdnError) as told:
        read_consent(given, HOLDER)

    assert (told.value.issue, told.value.where) == (Issue.BUSINESS_RULE, where)


def test_a_consent_changes_only_from_the_version_that_stands(databases: Databases) -> None:
    async def story(place: Place) -> None:
        kept = await place.local.record(consent())
        other = consent()
        other["patient"]["identifier"]["value"] = PIETERSEN.value

        for attempt in ((consent(), 0), (consent(), 2), (other, 1)):
            with pytest.raises(LdnError) as told:
                await place.local.record(attempt[0], kept.id, attempt[1])
            assert told.value.status == 412
        with pytest.raises(LdnError) as told:
            await place.local.withdraw("nothing")
        assert told.value.issue is Issue.NOT_FOUND
        assert [r.version for r in await place.local.find(JANSEN)] == [1]
        assert await place.local.find(PIETERSEN) == []

    with_holder(databases, story)


def test_no_number_of_a_patient_stands_in_the_store_of_the_holder(databases: Databases) -> None:
    async def story(place: Place) -> None:
        await place.local.refer(REFERRAL)
        body = from_mitz("active", "deny", "RPZAC104")
        await place.local.notified(decode(body, Format.XML, FhirVersion.R4))

        async with connection(place.local.pool) as db:
            for table in ("local_consent", "told_consent"):
                rows = await db.fetch(f"SELECT * FROM {table}")
                assert rows
                assert "999900006" not in repr([tuple(row) for row in rows])

    with_holder(databases, story)


async def told_states(place: Place) -> list[tuple[str, str]]:
    async with connection(place.local.pool) as db:
        rows = await db.fetch("SELECT about, state FROM told_consent ORDER BY about")
    return [(row["about"].split()[1], row["state"]) for row in rows]


def test_c16_a_notification_twice_and_an_older_one_leave_the_newest(databases: Databases) -> None:
    newest = from_mitz("active", "deny", "RPZAC104")
    older = from_mitz("active", "permit", "RPZAC104").replace(b"2027-03-02T", b"2027-03-01T")

    async def story(place: Place) -> None:
        for body in (newest, newest, older):
            found = await place.local.notified(decode(body, Format.XML, FhirVersion.R4))
            assert found == [JANSEN]

        assert await told_states(place) == [("category=RPZAC104", "deny")]

    with_holder(databases, story)


def test_c10_a_notification_replaces_what_it_is_about_and_nothing_else(
    databases: Databases,
) -> None:
    async def story(place: Place) -> None:
        for body in (
            from_mitz("active", "permit", "RPZAC104", "RPZAC001"),
            from_mitz("inactive", "permit", "RPZAC104").replace(b"2027-03-02T", b"2027-03-03T"),
        ):
            await place.local.notified(decode(body, Format.XML, FhirVersion.R4))

        assert await told_states(place) == [
            ("category=RPZAC001", "permit"),
            ("category=RPZAC104", "none"),
        ]

    with_holder(databases, story)


def test_a_notification_about_another_holder_is_refused(databases: Databases) -> None:
    async def story(place: Place) -> None:
        body = from_mitz("active", "permit", "RPZAC104").replace(b"00000001", b"00000002")
        with pytest.raises(LdnError) as told:
            await place.local.notified(decode(body, Format.XML, FhirVersion.R4))

        assert told.value.issue is Issue.BUSINESS_RULE
        assert await told_states(place) == []

    with_holder(databases, story)


def test_a_notification_ends_the_use_of_an_older_answer(databases: Databases) -> None:
    async def story(place: Place) -> None:
        lasting = Lasting(place.national, place.time)
        assert (await lasting.ask(ASKED)).permits
        place.national.decision = DENY
        body = from_mitz("active", "deny", "RPZAC104")

        await Notifications(place.local, lasting).take(decode(body, Format.XML, FhirVersion.R4))

        assert not (await lasting.ask(ASKED)).permits

    with_holder(databases, story)


def test_a_purpose_that_is_not_care_is_never_covered(databases: Databases) -> None:
    async def story(place: Place) -> None:
        await place.local.refer(REFERRAL)
        for question in (ASKED, IMPLIED, EMERGENCY):
            found = await place.ask(replace(question, purpose="HRESCH"))
            assert (found.permits, found.reason) == (False, "unexpected_input")

    with_holder(databases, story)


def test_a_question_about_another_holder_is_not_ours(databases: Databases) -> None:
    async def story(place: Place) -> None:
        await place.local.refer(REFERRAL)
        for question in (
            replace(IMPLIED, patient=None),
            replace(IMPLIED, holder=Provider(CLINIC.ura, HOSPITAL.kind)),
        ):
            found = await place.ask(question)
            assert (found.decision, found.reason) == (UNKNOWN, "unexpected_input")

    with_holder(databases, story)
