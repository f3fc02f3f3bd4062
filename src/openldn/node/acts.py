"""What a node does at the national functions, with its evidence: each act is told once it is done.

Source: specification of audit events §8.6, rows consent-question, consent-subscribed,
consent-recorded, consent-withdrawn, localization-registered and localization-removed.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from openldn.base.runtime import Clock, NewId
from openldn.fhir.identifiers import URA_SYSTEM, Bsn, Ura
from openldn.fhir.model import Resource
from openldn.functions.audit.model import Event, Party, Thing
from openldn.functions.consent.local import LocalConsents, Recorded
from openldn.functions.consent.model import (
    NOTHING_RECORDED,
    Answer,
    Consents,
    Decision,
    Disclosure,
    User,
    missing,
)
from openldn.functions.consent.pcf import read_consent
from openldn.functions.localization.model import Localization
from openldn.node.evidence import FAILED, SUCCESS, Log
from openldn.trust.parties import Person

Heard = Callable[[Bsn], Awaitable[None]]  # something about this patient begins or ends
# Answers that tell nothing, though the registry was there.
_NOTHING = frozenset({"", "not-applicable", NOTHING_RECORDED})
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")  # of a FHIR resource


async def unheard(patient: Bsn) -> None:
    """Nobody wants to hear."""


def party_at(url: str, ura: str) -> Party:
    """Who answers at this address: by URA where we know it, else by host name."""
    if ura:
        return Party(ura, URA_SYSTEM, address=url)
    return Party(urlsplit(url).hostname or url, address=url)


@dataclass(frozen=True)
class Asking:
    """Asks the registry, with evidence of each question that is really sent."""

    inner: Consents
    log: Log
    registry: Party
    clock: Clock
    new_id: NewId
    permitted: Heard = unheard  # of this patient a permission is remembered from now on

    async def ask(self, disclosure: Disclosure) -> Answer:
        """The answer, once its evidence is safe; raises LdnError(transient) without."""
        started = self.clock()
        answer = await self.inner.ask(disclosure)
        patient = disclosure.patient
        if missing(disclosure) or patient is None:
            return answer  # nothing was sent
        await self.log.record([self._event(disclosure, answer, started)])
        if answer.decision is Decision.PERMIT:
            await self.permitted(patient)
        return answer

    def _event(self, disclosure: Disclosure, answer: Answer, started: datetime) -> Event:
        permits = answer.decision is Decision.PERMIT
        told = answer.decision is not Decision.UNKNOWN or answer.reason in _NOTHING
        return Event(
            code="consent-question",
            started=started,
            ended=self.clock(),
            outcome=SUCCESS if told else FAILED,
            reason="" if told else f"no answer: {answer.reason}",
            purpose=disclosure.purpose,
            server=self.registry,
            person=_person(disclosure.user),
            organization=disclosure.requester.ura,
            patient=disclosure.patient,
            consents=(answer.id or f"urn:uuid:{self.new_id()}",),
            checks="--T-" if permits else "--F-",
            exchange=disclosure.exchange,
            categories=(disclosure.category,) if disclosure.category else (),
        )


def _person(user: User) -> Person | None:
    return Person(user.id, user.role) if user.id else None


@dataclass(frozen=True)
class Indexed:
    """The index, with evidence of what it was told of our patients."""

    inner: Localization
    log: Log
    index: Party
    holder: Ura
    clock: Clock
    began: Heard = unheard
    ended: Heard = unheard

    async def register(self, patient: Bsn, category: str = "") -> None:
        """Say that we hold data; raises LdnError as the index does, or without evidence."""
        started = self.clock()
        await self.inner.register(patient, category)
        await self._told("localization-registered", patient, category, started)
        await self.began(patient)

    async def withdraw(self, patient: Bsn, category: str = "") -> None:
        """Take that back; raises LdnError as `register` does."""
        started = self.clock()
        await self.inner.withdraw(patient, category)
        await self._told("localization-removed", patient, category, started)
        if not category:
            await self.ended(patient)

    async def holders(self, patient: Bsn, category: str = "") -> list[Ura]:
        """Who holds data of this patient."""
        return await self.inner.holders(patient, category)

    async def _told(self, code: str, patient: Bsn, category: str, started: datetime) -> None:
        record = Thing(id=f"{self.holder}/{category}" if category else str(self.holder))
        event = Event(
            code=code,
            started=started,
            ended=self.clock(),
            server=self.index,
            organization=self.holder,
            patient=patient,
            things=(record,),
            categories=(category,) if category else (),
        )
        await self.log.record([event])


@dataclass
class OwnConsents(LocalConsents):
    """The holder's own consents, with evidence of each that is kept or ended."""

    log: Log = field(repr=False)

    async def record(self, consent: Resource, id: str = "", version: int = 0) -> Recorded:
        """Keep it as `LocalConsents.record` does; raises LdnError(transient) without evidence."""
        started = self.clock()
        kept = await super().record(consent, id, version)
        meaning = read_consent(kept.consent, self.holder)
        event = Event(
            code="consent-recorded" if meaning.active else "consent-withdrawn",
            started=started,
            ended=self.clock(),
            client=Party(str(self.holder)),
            organization=self.holder,
            patient=meaning.patient,
            things=(Thing(f"Consent/{kept.id}", description=f"version {kept.version}"),),
        )
        await self.log.record([event])
        return kept


def own_consents(local: LocalConsents, log: Log) -> OwnConsents:
    """The same consents, with evidence; what is changed here counts at once there too."""
    own = OwnConsents(
        *(local.pool, local.clock, local.new_id, local.kinds, local.sealing, local.holder, log)
    )
    own.noted = local.noted
    return own


def subscribed(log: Log, registry: Party, clock: Clock) -> Callable[[Bsn, str], Awaitable[None]]:
    """Keeps the evidence that we follow the choices of a patient."""

    async def made(patient: Bsn, place: str) -> None:
        number = place.rpartition("/")[2]
        thing = Thing(f"Subscription/{number}") if _ID.fullmatch(number) else Thing(id=place)
        event = Event(
            code="consent-subscribed",
            started=clock(),
            server=registry,
            patient=patient,
            things=(thing,),
        )
        await log.record([event])

    return made
