"""Why a decision is as it is: each rule of each policy, in words of people, Dutch or English."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openldn.fhir.identifiers import BSN_SYSTEM
from openldn.functions.authorization.client import local_consent
from openldn.functions.authorization.policies import Policy, policy_names
from openldn.functions.authorization.question import (
    About,
    Decision,
    LocalConsent,
    Matter,
    Question,
    Reason,
)
from openldn.functions.authorization.service import DecisionPoint

HOLDS, DENIES, OPEN = "holds", "denies", "not asked"
# What must hold, by rule: Dutch and English.
RULES: Mapping[str, tuple[str, str]] = {
    "readable": ("het verzoek is een interactie van FHIR", "the request is an interaction of FHIR"),
    "capable": (
        "interactie, parameters en includes staan in de capabilities van dit gebruik",
        "interaction, parameters and includes are in the capabilities of this use",
    ),
    "patient-known": ("de patiënt is bekend", "the patient is known"),
    "queried": ("de vraag staat in de tabel van dit gebruik", "the query is one of this use"),
    "named-as-asked": (
        "de patiënt is genoemd zoals deze vraag het wil",
        "the patient is named as this query wants",
    ),
    "bsn-for-patients": (
        "een patiënt wordt gezocht op BSN",
        "a patient is searched by BSN",
    ),
    "enrolled": (
        "de vrager heeft deze patiënt in zorg",
        "the asker has this patient in care",
    ),
    "consented": (
        "de toestemming is er die de grondslag vraagt",
        "the consent is there that the legal basis asks for",
    ),
    "always-consented": (
        "het toestemmingsregister staat het toe",
        "the registry of consents permits",
    ),
    "locally-consented": (
        "de bronhouder bewaart een toestemming voor deze overdracht",
        "the holder keeps a consent of this transfer",
    ),
    "of-the-transfer": (
        "het is wat een overdracht toelaat: lezen, de Task wijzigen, het document",
        "it is what a transfer allows: read, change the Task, the document",
    ),
    "by-an-organization": ("een organisatie vraagt", "an organization asks"),
    "notifies": (
        "het is de melding van een overdracht",
        "it is the notification of a transfer",
    ),
    "known": ("er is beleid met deze naam", "there is a policy of this name"),
    "patient": (
        "er is één patiënt, overal dezelfde",
        "there is one patient, everywhere the same",
    ),
    "information": (
        "wat de bronhouder weet is te bereiken",
        "what the holder knows can be reached",
    ),
    "consent": (
        "toestemming kan gevraagd worden",
        "consent can be asked",
    ),
    "own": (
        "het eigen beleid van de bronhouder heeft geen bezwaar",
        "the holder's own policy has nothing against it",
    ),
}


@dataclass(frozen=True)
class Line:
    """One rule of one policy, and what came of it."""

    policy: str
    rule: str
    outcome: str  # HOLDS, DENIES or OPEN
    clause: str
    reason: str = ""

    def text(self, language: str) -> str:
        """What must hold, in this language."""
        return RULES[self.rule][0 if language == "nl" else 1]


@dataclass(frozen=True)
class Told:
    """A decision with every rule that made it."""

    decision: Decision
    lines: tuple[Line, ...]


async def explain(point: DecisionPoint, question: Question) -> Told:
    """The decision on this question and each rule; raises LdnError as `decide` does."""
    decision = await point.decide(question)
    names = policy_names(question.subject.scopes)
    if decision.error:
        return Told(decision, ())
    matter, asked = await point.gathered(question, names)
    lines: list[Line] = []
    for name in names:
        policy = point.policies.get(name)
        if policy is None:
            lines.append(Line(name, "known", DENIES, "GF §3.4.6", "no policy has this name"))
        else:
            lines += _lines(policy, matter, asked=asked)
    lines += [Line("", "own", DENIES, "", r.description) for r in decision.own]
    return Told(decision, tuple(lines))


def _lines(policy: Policy, matter: Matter, *, asked: bool) -> list[Line]:
    lines = [_trouble(policy, reason) for reason in matter.troubles]
    for rule in policy.rules:
        if rule.asks and not asked:
            lines.append(Line(policy.name, rule.name, OPEN, rule.clause))
            continue
        text = rule.deny(matter, policy)
        outcome = HOLDS if text is None else DENIES
        lines.append(Line(policy.name, rule.name, outcome, rule.clause, text or ""))
    return lines


def _trouble(policy: Policy, reason: Reason) -> Line:
    return Line(policy.name, reason.rule, DENIES, "GF §3.4", reason.description)


@dataclass(frozen=True)
class Given:
    """What a holder knows, from a Bundle of Patient and Consent; implements `Information`."""

    resources: Sequence[Mapping[str, Any]] = ()

    async def bsns(self, patient: str) -> Sequence[str]:
        """Every BSN of this patient; none when the Bundle has no such patient."""
        return [
            str(identifier.get("value", ""))
            for resource in self.resources
            if (resource.get("resourceType"), resource.get("id")) == ("Patient", patient)
            for identifier in resource.get("identifier", ())
            if identifier.get("system") == BSN_SYSTEM
        ]

    async def consents(self, about: About) -> Sequence[LocalConsent]:
        """The consents of the Bundle that name this resource, or are of this patient."""
        kept = [dict(r) for r in self.resources if r.get("resourceType") == "Consent"]
        found = [(r, c) for r in kept if (c := local_consent(r)) is not None]
        return [c for r, c in found if about.resource in {*c.data, _patient(r)}]


def _patient(consent: Mapping[str, Any]) -> str:
    return str(consent.get("patient", {}).get("reference", ""))
