"""The decision point: gathers what the policies of the scopes need, and lets them speak.

Source: generic functions §3.4. What cannot be read or reached is a reason to deny, never to
allow; only silence of the consent registry may pass, and only in an emergency.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.functions.authorization.model import GROUNDS, Basis, Consent
from openldn.functions.authorization.policies import (
    POLICIES,
    Policy,
    asks_consent,
    evaluate,
    policy_names,
    unknown,
)
from openldn.functions.authorization.question import (
    REST,
    About,
    Code,
    Consulted,
    Decision,
    Information,
    LocalConsent,
    Matter,
    Question,
    Reason,
    Verdict,
)
from openldn.functions.authorization.request import FhirRest, parse_request, patient_of

# Reasons of the holder's own file; it is asked only about what our policies allow.
Own = Callable[[Matter, Sequence[str]], Awaitable[tuple[Reason, ...]]]
NOT_ASKED = Reason(Code.INFO, "consent was not asked: the rest denies already", "consent")


async def nobody_agrees(question: Question, bsn: str) -> Consent:
    """A registry that knows no consent: the answer of a holder that has none."""
    return Consent.UNKNOWN


@dataclass(frozen=True)
class DecisionPoint:
    """Our own decision point; implements `Deciding`."""

    clock: Clock
    information: Information | None = None  # None: what the request itself tells is all
    consulted: Consulted = nobody_agrees
    own: Own | None = None
    policies: Mapping[str, Policy] = field(default_factory=lambda: POLICIES, repr=False)

    async def decide(self, question: Question) -> Decision:
        """The decision of every policy that the scopes name; one that allows is enough.

        Raises LdnError(invalid) for a scope that is kept for policy engines and for a request
        whose parameters cannot be read.
        """
        names = policy_names(question.subject.scopes)
        if not names:
            return Decision(False, error="no scope is given, so no policy can be asked")
        if not question.subject.active:
            return Decision(False, error="the token is not active")
        matter, asked = await self.gathered(question, names)
        verdicts = {name: self._verdict(name, matter, asked) for name in names}
        allow = any(v.allow for v in verdicts.values())
        own = await self.own(matter, names) if allow and self.own else ()
        return Decision(allow and not own, verdicts, own=own)

    async def gathered(self, question: Question, names: Sequence[str]) -> tuple[Matter, bool]:
        """All that these policies look at, and whether consent was asked."""
        return await self._consulted(await self._matter(question), names)

    async def _matter(self, question: Question) -> Matter:
        rest = _read(question)
        context = question.context
        matter = Matter(question, rest, context.patient_id, context.patient_bsn)
        if rest is not None:
            try:
                named = patient_of(rest)
            except LdnError as error:
                return _troubled(matter, Code.UNEXPECTED, error.message, "patient")
            if _differ(named.id, matter.patient_id) or _differ(named.bsn, matter.patient_bsn):
                text = "the request names another patient than its context"
                return _troubled(matter, Code.UNEXPECTED, text, "patient")
            matter = replace(
                matter,
                patient_id=matter.patient_id or named.id,
                patient_bsn=matter.patient_bsn or named.bsn,
            )
        return await self._informed(matter)

    async def _informed(self, matter: Matter) -> Matter:
        """With the BSN of the patient and the local consents, where there is a PIP (step 4)."""
        if self.information is None:
            if matter.patient_id and matter.patient_bsn:
                text = "id and BSN of the patient are given; nobody here can tell they are one"
                return _troubled(matter, Code.PIP, text, "patient")
            return matter
        try:
            if matter.patient_id:
                matter = _identified(matter, await self.information.bsns(matter.patient_id))
            consents = await self._consents(matter)
        except LdnError:
            text = "what this holder knows of the patient cannot be reached; try again later"
            return _troubled(matter, Code.PIP, text, "information")
        return replace(matter, consents=consents)

    async def _consents(self, matter: Matter) -> tuple[LocalConsent, ...]:
        assert self.information is not None  # noqa: S101  (`_informed` looked)
        subject, now = matter.question.subject, self.clock()
        found: list[LocalConsent] = []
        for resource in _resources(matter):
            about = About(resource, subject.organization, matter.patient_bsn)
            found += await self.information.consents(about)
        return tuple(c for c in found if c.counts(subject.organization, now))

    async def _consulted(self, matter: Matter, names: Sequence[str]) -> tuple[Matter, bool]:
        """With the answer of the registry, and whether it was asked: only when it matters."""
        known = [self.policies[n] for n in names if n in self.policies]
        open_ = [p for p in known if asks_consent(p) and evaluate(matter, p, registry=False).allow]
        basis = matter.question.context.basis
        if not open_:
            return matter, False
        if not GROUNDS[basis].registry:
            return matter, True
        if not matter.patient_bsn:
            text = "the BSN of the patient is not known, so no consent can be asked"
            return _troubled(matter, Code.UNEXPECTED, text, "consent"), True
        try:
            answer = await self.consulted(matter.question, matter.patient_bsn)
        except LdnError:
            return _silent(matter, basis), True
        return replace(matter, consent=answer), True

    def _verdict(self, name: str, matter: Matter, asked: bool) -> Verdict:
        policy = self.policies.get(name)
        if policy is None:
            return unknown(name)
        if asked or not asks_consent(policy):
            return evaluate(matter, policy)
        verdict = evaluate(matter, policy, registry=False)
        return replace(verdict, reasons=(*verdict.reasons, NOT_ASKED))


def _read(question: Question) -> FhirRest | None:
    if question.context.connection != REST:
        return None
    try:
        return parse_request(question.request)
    except LdnError as error:
        if error.issue is Issue.NOT_SUPPORTED:
            return None  # a policy that needs FHIR says so; a notification may be otherwise
        raise


def _differ(one: str, other: str) -> bool:
    return bool(one and other and one != other)


def _identified(matter: Matter, bsns: Sequence[str]) -> Matter:
    """With the one BSN of this patient (rules Z11, Z14)."""
    distinct = sorted(set(bsns))
    if len(distinct) > 1:
        return _troubled(matter, Code.PIP, "the patient has several BSNs here", "patient")
    found = distinct[0] if distinct else ""
    if matter.patient_bsn and matter.patient_bsn != found:
        text = "id and BSN are not of the same patient"
        return _troubled(matter, Code.UNEXPECTED, text, "patient")
    return replace(matter, patient_bsn=found)


def _resources(matter: Matter) -> list[str]:
    """What consents are looked up by: the resource that is asked, the referral, the patient."""
    rest, context = matter.rest, matter.question.context
    own = f"{rest.type}/{rest.id}" if rest and rest.id else ""
    patient = f"Patient/{matter.patient_id}" if matter.patient_id else ""
    return list(dict.fromkeys(r for r in (own, context.referral, patient) if r))


def _silent(matter: Matter, basis: Basis) -> Matter:
    """The registry cannot be reached: a trouble, unless the ground lets silence pass (Z10)."""
    reason = Reason(Code.INTERNAL, "the registry of consents cannot be reached", "consent")
    if GROUNDS[basis].silence:
        return matter
    return replace(matter, troubles=(*matter.troubles, reason))


def _troubled(matter: Matter, code: Code, text: str, rule: str) -> Matter:
    return replace(matter, troubles=(*matter.troubles, Reason(code, text, rule)))
