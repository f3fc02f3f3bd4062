"""Consent at the answering side: the question that a visit puts, and the stand-ins for an answer.

The rules look at what came of it (`Facts.consent`); they never ask themselves. Source: generic
functions §4.5.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import quote

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.authorization.model import GROUNDS, Consent, Facts
from openldn.functions.authorization.policy import ASKING, denials
from openldn.functions.consent.model import (
    NOTHING_RECORDED,
    UNREACHABLE,
    Answer,
    Basis,
    Decision,
    Disclosure,
    Origin,
    Provider,
    User,
    unknown,
)

Consulted = Callable[[Disclosure], Awaitable[Answer]]  # never raises for want of an answer
KindOf = Callable[[Ura], Awaitable[str]]  # type of care provider (OID …15.1060) of a party
FRESH = timedelta(seconds=5)  # an answer that is older is asked again just before disclosing
PATIENCE = 5.0  # seconds we wait for an answer
PRESUMED = "presumed"  # the id of an answer that nobody gave


def presumed(clock: Clock) -> Consulted:
    """Everyone agrees: the development stand-in, by its setting only."""

    async def agreed(disclosure: Disclosure) -> Answer:
        return Answer(Decision.PERMIT, Origin.BASIS, PRESUMED, clock())

    return agreed


def nobody(clock: Clock) -> Consulted:
    """Nobody is asked, so no consent is known; in an emergency that may pass."""

    async def silent(disclosure: Disclosure) -> Answer:
        return _silence(disclosure, clock, NOTHING_RECORDED)

    return silent


async def no_kind(ura: Ura) -> str:
    """The type of no care provider is known."""
    return ""


def _silence(disclosure: Disclosure, clock: Clock, reason: str) -> Answer:
    emergency = disclosure.basis is Basis.EMERGENCY
    return replace(unknown(Origin.BASIS, clock(), reason), emergency=emergency)


@dataclass(frozen=True)
class Consulting:
    """Who is asked for consent on behalf of one holder."""

    consents: Consulted
    clock: Clock
    kind: str = ""  # of the holder: type of care provider, OID 2.16.840.1.113883.2.4.15.1060
    kind_of: KindOf = no_kind

    async def ask(
        self, facts: Facts, patient: Bsn | None, exchange: str, task: str = ""
    ) -> tuple[Facts, Answer | None]:
        """The facts with what the consent says, and the answer; None when none is needed."""
        ground = GROUNDS[facts.basis]
        if not (ground.registry or ground.referral):
            return facts, None
        answer = await self.answer(await self._disclosure(facts, patient, exchange, task))
        return _told(facts, answer), answer

    async def still(
        self, facts: Facts, answer: Answer | None, patient: Bsn | None, exchange: str, task: str
    ) -> tuple[Facts, Answer | None]:
        """The same just before disclosing: asked again when the answer is no longer fresh.

        Raises LdnError(forbidden) when the consent is gone meanwhile.
        """
        if answer is None or self.clock() - answer.at <= FRESH:
            return facts, answer
        facts, answer = await self.ask(facts, patient, exchange, task)
        if reasons := denials(facts, ASKING):
            text = f"refused: {'; '.join(reasons)}"
            raise Unconsented(text, facts, answer)
        return facts, answer

    async def answer(self, disclosure: Disclosure) -> Answer:
        """The answer in time; who cannot be asked has not permitted, also not in an emergency.

        Who is asked tells whether a registry's silence lets an emergency pass, once it looked at
        the objections it has itself. Where it fails as a whole, one may stand there.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.consents(disclosure)
        except (TimeoutError, LdnError):
            return unknown(Origin.BASIS, self.clock(), UNREACHABLE)

    async def _disclosure(
        self, facts: Facts, patient: Bsn | None, exchange: str, task: str
    ) -> Disclosure:
        requester = facts.requester
        person = requester.person
        try:
            kind = await self.kind_of(requester.organization)
        except LdnError:
            kind = ""  # whoever is asked says what the question lacks
        return Disclosure(
            patient=patient,
            holder=Provider(facts.holder, self.kind),
            requester=Provider(requester.organization, kind),
            user=User(person.uzi, person.role) if person else User("", ""),
            exchange=exchange,
            purpose=requester.purpose,
            basis=Basis(facts.basis.value),
            task=task,
        )


class Unconsented(LdnError):
    """A consent that was gone when the answer was ready; with the facts, for the evidence."""

    def __init__(self, text: str, facts: Facts, answer: Answer | None) -> None:
        super().__init__(Issue.FORBIDDEN, text, detail="policy.consented")
        self.facts, self.answer = facts, answer


def _told(facts: Facts, answer: Answer) -> Facts:
    """An emergency passes without an answer only where whoever was asked lets it."""
    return replace(
        facts,
        consent=Consent(answer.decision.value),
        silence=answer.emergency,
        unreachable=answer.reason == UNREACHABLE,
    )


def said(answer: Answer | None) -> str:
    """The consent that counted, for the evidence: who gave it, what it says and its id."""
    if answer is None or answer.decision is Decision.UNKNOWN:
        return ""
    if answer.id == PRESUMED:
        return f"{PRESUMED}-{answer.decision}"
    spoken = f"{answer.origin}-{answer.decision}"
    return f"{spoken}/{quote(answer.id, safe='')}" if answer.id else spoken
