"""The decision point inside a node, for enforcement points of its own organization.

It asks what the node asks: the record store for the BSN of a patient, the same registry for
consent, the same own policy at the end. Source: generic functions §3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import parse
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn, Ura
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.model import Place
from openldn.fhir.records.store import Records
from openldn.functions.authorization.document import document, of_names
from openldn.functions.authorization.model import Consent
from openldn.functions.authorization.policies import policy_names
from openldn.functions.authorization.question import (
    About,
    LocalConsent,
    Matter,
    Question,
    Reason,
)
from openldn.functions.authorization.service import DecisionPoint
from openldn.functions.consent.model import Answer, Basis, Decision, Disclosure, Provider, User
from openldn.node.locally import Local, none_kept
from openldn.node.serve import Holder


@dataclass(frozen=True)
class Station:
    """What the node's own record store knows; implements `Information`."""

    records: Records
    holder: Ura
    local: Local = none_kept

    async def bsns(self, patient: str) -> Sequence[str]:
        """Every BSN of this patient in either FHIR version; none when there is no such patient.

        Raises LdnError when the store is away.
        """
        found: list[str] = []
        for version in FhirVersion:
            found += await self._bsns(Place(str(self.holder), version), patient)
        return found

    async def _bsns(self, place: Place, patient: str) -> list[str]:
        try:
            record = await self.records.read(place, "Patient", patient)
        except LdnError as error:
            if error.issue in {Issue.NOT_FOUND, Issue.DELETED}:
                return []
            raise
        kept = parse(record.body or b"{}")
        identifiers = kept.get("identifier", []) if isinstance(kept, Mapping) else []
        return [str(i["value"]) for i in identifiers if i.get("system") == BSN_SYSTEM]

    async def consents(self, about: About) -> Sequence[LocalConsent]:
        """The local consents that name this resource; raises LdnError as `bsns` does."""
        return await self.local(about)


def decision_point(holder: Holder, records: Records, local: Local = none_kept) -> DecisionPoint:
    """The decision point that asks what this holder asks."""

    async def consulted(question: Question, bsn: str) -> Consent:
        try:
            patient = Bsn.parse(bsn)
        except LdnError:
            return Consent.DENY  # nobody agrees for who does not exist, not in an emergency either
        disclosure = _disclosure(holder, question, patient)
        return _said(await holder.consulting.answer(disclosure), disclosure.basis)

    async def own(matter: Matter, names: Sequence[str]) -> tuple[Reason, ...]:
        if holder.own is None:
            return ()
        return await holder.own(document(matter, of_names(tuple(names))))

    return DecisionPoint(holder.clock, Station(records, holder.ura, local), consulted, own)


def _disclosure(holder: Holder, question: Question, patient: Bsn) -> Disclosure:
    subject, context = question.subject, question.context
    asker = Ura(subject.organization) if subject.organization else None
    return Disclosure(
        patient=patient,
        holder=Provider(holder.ura, context.holder_type or holder.kind),
        requester=Provider(asker, subject.facility_type),
        user=User(subject.user, subject.roles[0] if subject.roles else ""),
        exchange=policy_names(subject.scopes)[0],
        purpose=context.purpose,
        basis=Basis(context.basis.value),
        task=context.referral,
    )


def _said(answer: Answer, basis: Basis) -> Consent:
    """In an emergency, silence denies where who was asked does not let it pass."""
    silent = answer.decision is Decision.UNKNOWN and not answer.emergency
    if silent and basis is Basis.EMERGENCY:
        return Consent.DENY
    return Consent(answer.decision.value)
