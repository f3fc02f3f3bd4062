"""May this requester do this? Pure rules over facts; gathering the facts is the caller's work."""

from collections.abc import Callable
from dataclasses import dataclass

from openldn.base.errors import LdnError
from openldn.functions.authorization.emergency import BREAKING, flaws
from openldn.functions.authorization.model import (
    FORM,
    GROUNDS,
    INCLUDES,
    AllowedQuery,
    Asked,
    Basis,
    Consent,
    Facts,
    values_of,
)

Reason = Callable[[Facts], str | None]  # a reason to deny, or None

# named in evidence, raised when a rule changes; 2: consent asked per question; 3: an emergency
# passes silence only with a reason that counts
VERSION = "3"


def opens_this_holder(facts: Facts) -> str | None:
    """The token was given for the organization that is asked."""
    return None if facts.granted == facts.holder else "the token opens another organization"


def shown_by_its_owner(facts: Facts) -> str | None:
    """Who presents the token is who it was given to."""
    same = facts.peer == facts.requester.organization
    return None if same else "the certificate is not of the organization in the token"


def takes_part(facts: Facts) -> str | None:
    """The requester stands in the directory, active."""
    return None if facts.known else "the asking organization is not active in the directory"


def in_scope(facts: Facts) -> str | None:
    """The token carries the scope of the exchange."""
    missing = facts.scope not in facts.requester.scopes
    return f"the token lacks the scope {facts.scope}" if missing else None


def for_a_purpose(facts: Facts) -> str | None:
    """The purpose is one the exchange serves."""
    fits = facts.requester.purpose in facts.purposes
    return None if fits else "the purpose of use is not one of this exchange"


def by_a_person(facts: Facts) -> str | None:
    """A practitioner with a number and a role asks; a citizen needs no role."""
    person = facts.requester.person
    if facts.basis is Basis.PATIENT or (person and person.uzi and person.role):
        return None
    return "no practitioner with a role is named; the asking organization must say who asks"


def about_one_patient(facts: Facts) -> str | None:
    """One patient, by BSN in the query or fixed by the token; the same when both tell."""
    fixed = facts.requester.patient
    try:
        named = facts.asked.patient()
    except LdnError as error:
        return error.message
    if named is None and fixed is None:
        return "no patient is named; name one by BSN"
    if named and fixed and named != fixed:
        return "the query is about another patient than the token"
    return None


def in_dataset(facts: Facts) -> str | None:
    """The query stands in the exchange's table."""
    fixed, asked = facts.requester.patient is not None, facts.asked
    rows = [r for r in facts.allowed if r.type == asked.type and r.operation == asked.operation]
    if any(matches(asked, row, patient_fixed=fixed) for row in rows):
        return None
    return "the query is outside the data set of the exchange"


def consented(facts: Facts) -> str | None:
    """The consent that the legal basis asks for is there.

    Source: generic functions §4.5: no answer is no, except where the glass is broken; an objection
    holds always, except against the patient, or where the holder set that an emergency passes it.
    """
    ground, broken = GROUNDS[facts.basis], _broken(facts)
    if facts.consent is Consent.DENY:
        passes = ground.objection or (broken and facts.overrules)
        return None if passes else "the patient objects"
    silent = ground.silence and (broken or facts.basis is not Basis.EMERGENCY)
    if facts.consent is Consent.PERMIT or (silent and facts.silence):
        return None
    if facts.unreachable:
        return "the consent of the patient cannot be asked now; try again later"
    return "no consent of the patient is known"


def _broken(facts: Facts) -> bool:
    """Whether a reason that counts was given for an emergency."""
    asked = facts.requester
    if facts.basis is not Basis.EMERGENCY or facts.now is None:
        return False
    return not flaws(asked.emergency, asked.person, facts.now)


def for_a_reason(facts: Facts) -> str | None:
    """Who breaks the glass gives a reason that counts, and signed in firmly (rule R83)."""
    asked = facts.requester
    if asked.purpose != BREAKING and asked.emergency is None:
        return None
    if facts.now is None:
        return "no time is known, so the glass cannot be broken"
    return "; ".join(flaws(asked.emergency, asked.person, facts.now)) or None


def open_in_emergency(facts: Facts) -> str | None:
    """The holder did not close this type of data for emergencies."""
    emergency = facts.basis is Basis.EMERGENCY and facts.requester.emergency is not None
    if emergency and facts.asked.type in facts.closed:
        return "emergency-closed: this holder opens no data of this type in an emergency"
    return None


def treats(facts: Facts) -> str | None:
    """A treatment relation was shown, unless the patient asks."""
    shown = facts.relation or facts.basis is Basis.PATIENT
    return None if shown else "no treatment relation is shown"


@dataclass(frozen=True)
class Rule:
    """One rule and the position of NEN 7513's checks it counts for."""

    deny: Reason
    check: int = 0  # 0 authorization, 1 treatment relation, 2 consent

    @property
    def code(self) -> str:
        """What the log calls it."""
        return "policy." + self.deny.__name__.replace("_", "-")


RULES: tuple[Rule, ...] = (
    Rule(opens_this_holder),
    Rule(shown_by_its_owner),
    Rule(takes_part),
    Rule(in_scope),
    Rule(for_a_purpose),
    Rule(by_a_person),
    Rule(about_one_patient),
    Rule(in_dataset),
    Rule(for_a_reason),
    Rule(open_in_emergency),
    Rule(treats, 1),
    Rule(consented, 2),
)
# Consent costs a question to somebody else, so it is looked at when the rest allows.
CHEAP = tuple(rule for rule in RULES if rule.check != 2)
ASKING = tuple(rule for rule in RULES if rule.check == 2)


def denials(facts: Facts, rules: tuple[Rule, ...] = RULES) -> list[str]:
    """Every reason to deny, in rule order; an empty list permits."""
    return [reason for rule in rules if (reason := rule.deny(facts)) is not None]


def first_denial(facts: Facts, rules: tuple[Rule, ...] = RULES) -> str:
    """The code of the first rule that denies; empty when none does."""
    return next((rule.code for rule in rules if rule.deny(facts) is not None), "")


def checks(facts: Facts, rules: tuple[Rule, ...] = RULES) -> str:
    """The four checks of NEN 7513: authorization, treatment relation, consent, emergency.

    T = passed, F = not, - = not asked: on this basis, or because the rest denies already; the
    fourth: T = emergency procedure used.
    """
    failed = {rule.check for rule in rules if rule.deny(facts) is not None}
    first = ["F" if check in failed else "T" for check in range(3)]
    if facts.basis is Basis.PATIENT:
        first[1:] = ["-", "-"]
    elif facts.consent is Consent.UNKNOWN:
        first[2] = "F"  # an emergency may pass without consent; it stays without
    elif facts.consent is Consent.UNASKED:
        first[2] = "-"
    return "".join(first) + ("T" if facts.basis is Basis.EMERGENCY else "F")


def matches(asked: Asked, row: AllowedQuery, *, patient_fixed: bool = False) -> bool:
    """Whether the request asks what the row allows: nothing less, nothing more, nothing twice.

    Without its patient parameter a request fits only when the token fixes the patient.
    """
    if asked.interaction not in {"search-type", "operation"}:
        return False
    if (asked.type, asked.operation) != (row.type, row.operation):
        return False
    named = [name for name, _ in asked.patients()]
    if named != [row.patient] and not (patient_fixed and not named):
        return False
    return _same_content(asked, row)


_APART = FORM | INCLUDES


def _same_content(asked: Asked, row: AllowedQuery) -> bool:
    outside = _APART | asked.naming
    content = [(n, values_of(v)) for n, v in asked.parameters if n not in outside]
    includes = {p for p in asked.parameters if p[0] in INCLUDES}
    once = len(content) == len(row.fixed) and _once_each(asked)
    return once and frozenset(content) == row.fixed and includes == row.includes


def _once_each(asked: Asked) -> bool:
    form = [n for n, _ in asked.parameters if n in FORM]
    return len(form) == len(set(form))
