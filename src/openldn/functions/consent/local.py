"""Consent at the holder: what it recorded itself, what a registry told it, and both together.

Source: generic functions §4.5 (DHTV, IHE PCF) and §4.4 (notifications).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.base.sql import Pool, connection, transaction
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import Bsn, Ura
from openldn.fhir.model import Resource
from openldn.functions.consent import store_local as store
from openldn.functions.consent import wire
from openldn.functions.consent.deciding import (
    NOTHING,
    POLICY,
    Policy,
    bound,
    decide,
    fits,
    weighed,
)
from openldn.functions.consent.kinds import Kinds
from openldn.functions.consent.model import (
    PURPOSES,
    UNEXPECTED,
    UNREACHABLE,
    Answer,
    Basis,
    Choice,
    Consents,
    Decision,
    Disclosure,
    Invalidated,
    Level,
    Origin,
    unknown,
)
from openldn.functions.consent.noted import Noted
from openldn.functions.consent.notices import Noticed, read_notification
from openldn.functions.consent.pcf import Referral, of_referral, read_consent
from openldn.functions.consent.sealing import Sealing
from openldn.functions.consent.service import answered


@dataclass(frozen=True)
class Recorded:
    """A consent as it was kept."""

    id: str
    version: int
    consent: Resource = field(repr=False)


@dataclass
class LocalConsents:
    """The consents of one holder, in its own database."""

    pool: Pool
    clock: Clock
    new_id: NewId
    kinds: Kinds
    sealing: Sealing = field(repr=False)
    holder: Ura
    noted: Noted = field(init=False, repr=False)  # shared with who writes here beside us

    def __post_init__(self) -> None:
        self.noted = Noted(self.clock)

    async def prepare(self) -> None:
        """Bring the tables up to date."""
        await store.prepare(self.pool)

    async def verdict(self, disclosure: Disclosure) -> Answer:
        """What the holder's own consents say; for an implied consent those bound to the Task.

        Raises LdnError(transient) when the store is away.
        """
        patient = disclosure.patient
        if patient is None or disclosure.holder.ura != self.holder:
            return unknown(Origin.LOCAL, self.clock(), UNEXPECTED)
        key = self.sealing.digest(patient)
        at, choices = await self.noted.get(key, lambda: self._choices(key))
        if disclosure.basis is Basis.IMPLIED:
            choices = bound(choices, disclosure.task)
        return self._answer(choices, disclosure, Origin.LOCAL, at)

    async def _choices(self, key: bytes) -> list[Choice]:
        async with connection(self.pool) as db:
            rows = await store.of_patient(db, str(self.holder), key)
        return [c for row in rows for c in wire.kept(row.choices)]

    async def told(self, disclosure: Disclosure) -> Answer:
        """What a registry last told us; it counts where the registry cannot be asked."""
        at = self.clock()
        if disclosure.patient is None:
            return unknown(Origin.MITZ, at, UNEXPECTED)
        async with connection(self.pool) as db:
            key = self.sealing.digest(disclosure.patient)
            rows = await store.told(db, str(self.holder), key)
        choices = [c for row in rows for c in wire.kept(row.choices)]
        return self._answer(choices, disclosure, Origin.MITZ, at)

    def _answer(
        self, choices: Sequence[Choice], disclosure: Disclosure, origin: Origin, at: datetime
    ) -> Answer:
        verdict = decide(choices, fits(disclosure, self.kinds), at) if choices else NOTHING
        return answered(verdict, origin, at)

    async def record(self, consent: Resource, id: str = "", version: int = 0) -> Recorded:
        """Keep this Consent: a new one, or in the place of `version` of the one with this `id`.

        Raises LdnError: business-rule for what is not understood, conflict with status 412 when
        another version stands.
        """
        meaning = read_consent(consent, self.holder)
        named = {**consent, "id": id or self.new_id()}
        following = version + 1
        choices = [
            replace(c, id=f"{named['id']}/{following}.{n}")
            for n, c in enumerate(meaning.choices, 1)
        ]
        key = self.sealing.digest(meaning.patient)
        row = store.LocalRow(
            str(self.holder),
            named["id"],
            following,
            key,
            self.clock(),
            meaning.active,
            wire.stored(choices),
            self.sealing.close(dump(named), key),
            sorted({c.resource.value for c in choices if c.resource.level is Level.TASK}),
        )
        async with transaction(self.pool) as db:
            if not await store.add(db, row):
                text = "another version of this consent stands; read it and try again"
                raise LdnError(Issue.CONFLICT, text, status=412)
        self.noted.forget()
        return Recorded(named["id"], following, named)

    async def refer(self, referral: Referral) -> Recorded:
        """Keep the implied consent of a referral, once per Task and recipient."""
        key = f"{referral.task}|{referral.recipient}|{referral.exchange}|{referral.patient.value}"
        id = "referral-" + self.sealing.code(key).hex()[:48]
        standing = await self.read(id)
        if standing is not None and standing.consent.get("status") == "active":
            return standing
        consent = of_referral(referral, self.clock())
        return await self.record(consent, id, standing.version if standing else 0)

    async def withdraw(self, id: str) -> Recorded:
        """End a consent: it stays readable, inactive. Raises LdnError(not-found)."""
        standing = await self.read(id)
        if standing is None:
            raise LdnError(Issue.NOT_FOUND, "there is no such consent")
        if standing.consent.get("status") != "active":
            return standing
        ended = {**standing.consent, "status": "inactive"}
        return await self.record(ended, id, standing.version)

    async def read(self, id: str) -> Recorded | None:
        """The newest version of a consent."""
        async with connection(self.pool) as db:
            row = await store.newest(db, str(self.holder), id)
        return self._recorded(row) if row else None

    async def find(self, patient: Bsn) -> list[Recorded]:
        """Every consent of ours about this patient, also those that ended."""
        async with connection(self.pool) as db:
            rows = await store.of_patient(db, str(self.holder), self.sealing.digest(patient))
        return [self._recorded(row) for row in rows]

    async def chosen(self, patient: Bsn) -> list[tuple[Choice, ...]]:
        """What each consent of ours about this patient says."""
        async with connection(self.pool) as db:
            rows = await store.of_patient(db, str(self.holder), self.sealing.digest(patient))
        return [tuple(wire.kept(row.choices)) for row in rows]

    async def naming(self, named: str, patient: Bsn | None = None) -> list[tuple[Choice, ...]]:
        """What each consent says that names this resource or referral, of this patient if told."""
        async with connection(self.pool) as db:
            rows = await store.naming(db, str(self.holder), named)
        key = self.sealing.digest(patient) if patient else b""
        return [tuple(wire.kept(r.choices)) for r in rows if r.patient_key == key or not patient]

    def _recorded(self, row: store.LocalRow) -> Recorded:
        value = parse(self.sealing.open(row.body, row.patient_key))
        assert isinstance(value, dict)  # noqa: S101  (we wrote it)
        return Recorded(row.id, row.version, value)

    async def notified(self, bundle: Resource) -> list[Bsn]:
        """Keep what a registry tells, the newest word on each thing; whom it is about.

        Raises LdnError(business-rule) for what is no notification, or one for another holder.
        """
        told = read_notification(bundle)
        if any(each.holder != self.holder for each in told):
            text = "the notification is about another organization; check the subscription"
            raise LdnError(Issue.BUSINESS_RULE, text, where="Consent.provision.actor")
        async with transaction(self.pool) as db:
            for each in told:
                await store.tell(db, self._row(each))
        return list(dict.fromkeys(each.patient for each in told))

    def _row(self, told: Noticed) -> store.ToldRow:
        key = self.sealing.digest(told.patient)
        choices = [told.choice] if told.choice else []
        return store.ToldRow(
            str(self.holder),
            key,
            told.about,
            told.id,
            told.moment,
            told.choice.decision.value if told.choice else "none",
            wire.stored(choices),
            self.sealing.close(dump(told.consent), key),
        )


class Locals(Protocol):
    """What the holder knows itself."""

    async def verdict(self, disclosure: Disclosure) -> Answer:
        """What the holder's own consents say."""

    async def told(self, disclosure: Disclosure) -> Answer:
        """What a registry last told the holder."""


@dataclass
class AtHolder:
    """The consent check of a holder: its own consents and the registry, by legal basis."""

    local: Locals
    national: Consents
    clock: Clock
    policy: Policy = POLICY
    patience: float = 4.0  # seconds; longer than the registry gets

    async def ask(self, disclosure: Disclosure) -> Answer:
        """The answer that counts. Source: generic functions §4.5.

        Implied: the own consent bound to the Task, the registry is not asked. Explicit: the
        registry permits and the holder knows of no objection. Emergency: no objection anywhere.
        """
        at = self.clock()
        if disclosure.basis is Basis.PATIENT:
            return Answer(Decision.PERMIT, Origin.BASIS, "", at)
        if disclosure.purpose not in PURPOSES:
            return unknown(Origin.BASIS, at, UNEXPECTED)
        try:
            async with asyncio.timeout(self.patience):
                return await self._asked(disclosure)
        except (LdnError, TimeoutError):  # our own store is away: an objection may stand in it
            return unknown(Origin.LOCAL, at, UNREACHABLE)

    async def _asked(self, disclosure: Disclosure) -> Answer:
        local = await self.local.verdict(disclosure)
        if local.decision is Decision.DENY or disclosure.basis is Basis.IMPLIED:
            return local
        national = await self.national.ask(disclosure)
        emergency = disclosure.basis is Basis.EMERGENCY
        if emergency and national.decision is Decision.UNKNOWN:
            told = await self.local.told(disclosure)
            if told.decision is Decision.DENY:
                return told
        return weighed(disclosure.basis, local, national, self.policy)


@dataclass
class Notifications:
    """Takes notifications of a registry: kept, and nothing older is used from then on."""

    local: LocalConsents
    remembered: Invalidated

    async def take(self, bundle: Resource) -> None:
        """Keep it and forget answers about its patients; raises LdnError as `notified` does."""
        for patient in await self.local.notified(bundle):
            self.remembered.forget(patient)
