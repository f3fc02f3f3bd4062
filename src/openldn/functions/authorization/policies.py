"""The policies of the decision point: for each a list of pure rules over one matter, as a table.

Source: generic functions §3.5. Two differences from the published policies are deliberate: `bgz`
asks consent by legal basis (rule Z20), and a read under `eoverdracht_sender` is limited to Task,
Composition and what the consent names (rule Z21). `eoverdracht_receiver` takes every shape of
notification that is in the field (rule Z17).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from openldn.base.errors import Issue, LdnError
from openldn.functions.authorization import tables
from openldn.functions.authorization.model import GROUNDS, Consent
from openldn.functions.authorization.question import Code, Matter, Reason, Verdict
from openldn.functions.authorization.request import FhirRest
from openldn.functions.authorization.tables import Capability, Row

ENROLLMENT = "patient_enrollment_identifier"  # the claim: this patient is in the asker's care
_EOVERDRACHT = "eoverdracht"
_TRANSFERS = frozenset({"Task", "Composition"})
_ID = r"[A-Za-z0-9\-.]{1,64}"
# Where a receiver takes the notification that something waits (rule Z17): path, body allowed.
NOTIFICATIONS: tuple[tuple[re.Pattern[str], bool], ...] = (
    (re.compile("/?"), True),
    (re.compile("/?Task"), True),
    (re.compile(f"/?Task/{_ID}"), True),
    (re.compile(rf"/?(?![A-Z][A-Za-z]+\Z){_ID}"), False),  # the id of the Task, never a type
)


@dataclass(frozen=True)
class Policy:
    """One policy: the rules that must all hold."""

    name: str
    rules: tuple["Rule", ...]
    source: str
    queries: tuple[Row, ...] = field(default=(), repr=False)
    capabilities: Mapping[str, Capability] | None = field(default=None, repr=False)

    @cached_property
    def by_kind(self) -> dict[tuple[str, str], list[Row]]:
        """The queries by interaction and type, so that few have to be looked at."""
        found: dict[tuple[str, str], list[Row]] = {}
        for row in self.queries:
            found.setdefault((row.interaction, row.type), []).append(row)
        return found

    @cached_property
    def cheap(self) -> tuple["Rule", ...]:
        """The rules that do not look at what the registry said."""
        return tuple(rule for rule in self.rules if not rule.asks)


@dataclass(frozen=True)
class Rule:
    """A reason to deny, or None; `asks` when it looks at what the consent registry said."""

    deny: Callable[[Matter, Policy], str | None]
    clause: str  # where the rule comes from
    asks: bool = False
    code: Code = Code.NOT_ALLOWED
    _told: dict[str, Reason] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def name(self) -> str:
        """What evidence and explanations call it."""
        return self.deny.__name__.replace("_", "-")

    def reason(self, text: str) -> Reason:
        """The reason with this text, which is one of the few that the rule has."""
        found = self._told.get(text)
        if found is None:
            found = self._told[text] = Reason(self.code, text, self.name)
        return found


def readable(matter: Matter, policy: Policy) -> str | None:
    """The request is one of FHIR."""
    return None if matter.rest else "the request is no interaction of FHIR"


def capable(matter: Matter, policy: Policy) -> str | None:
    """The CapabilityStatement of the policy has this interaction and each parameter."""
    if matter.rest and capability_checked(matter.rest, policy.capabilities or {}):
        return None
    return "the interaction, a parameter or an include is not in the capabilities of this use"


def capability_checked(rest: FhirRest, known: Mapping[str, Capability]) -> bool:
    """Whether these capabilities have all that the request asks (rules Z05, Z06)."""
    can = known.get(rest.type)
    if can is None:
        return False
    if rest.interaction == "operation":
        if rest.id or rest.operation not in can.operations:
            return False
    elif rest.interaction not in can.interactions:
        return False
    return (
        rest.search.keys() <= can.search
        and can.include.issuperset(rest.include)
        and can.revinclude.issuperset(rest.revinclude)
    )


def patient_known(matter: Matter, policy: Policy) -> str | None:
    """The patient is known, by resource id or BSN."""
    known = matter.patient_id or matter.patient_bsn
    return None if known else "no patient is named; name one by id or BSN"


def queried(matter: Matter, policy: Policy) -> str | None:
    """The query stands in the policy's table."""
    rest = matter.rest
    rows = policy.by_kind.get((rest.interaction, rest.type), ()) if rest else ()
    for row in rows:
        if rest and _asks(rest, row):
            return None
    return "the query is not one of this use"


def _asks(rest: FhirRest, row: Row) -> bool:
    if row.operation and rest.operation != row.operation:
        return False
    for name, values in row.search.items():
        groups = rest.search.get(name, ())
        if len(groups) != 1 or values != set(groups[0]):
            return False
    for name, start in row.prefix.items():
        if not _begins(rest, name, start):
            return False
    return row.include is None or (
        row.include == set(rest.include) and (len(row.include) > 1 or len(rest.include) == 1)
    )


def _begins(rest: FhirRest, name: str, start: str) -> bool:
    groups = rest.search.get(name, ())
    return [len(g) for g in groups] == [1] and groups[0][0].startswith(start)


def named_as_asked(matter: Matter, policy: Policy) -> str | None:
    """A search for a patient rests on the BSN, one in the patient's record on its id."""
    rest = matter.rest
    if rest and rest.type == "Patient" and not matter.patient_bsn:
        return "the patient is not named by BSN"
    if rest and rest.type == "Consent" and not matter.patient_id:
        return "the patient is not named by id"
    return None


def bsn_for_patients(matter: Matter, policy: Policy) -> str | None:
    """A search for a patient rests on the BSN."""
    rest = matter.rest
    missing = rest and rest.type == "Patient" and not matter.patient_bsn
    return "the patient is not named by BSN" if missing else None


def enrolled(matter: Matter, policy: Policy) -> str | None:
    """The asker has this very patient in care, by a claim that names the BSN (rule Z16)."""
    claim = matter.question.subject.claims.get(ENROLLMENT)
    wanted = f"{tables.BSN}|{matter.patient_bsn}"
    same = matter.patient_bsn and claim == wanted
    return None if same else "the asker has not shown to have this patient in care"


def consented(matter: Matter, policy: Policy) -> str | None:
    """The consent is there that the legal basis asks for (rules Z10, Z12, Z13, Z20)."""
    if matter.consents and _objected(matter):
        return "the patient objects at this holder"
    ground = GROUNDS[matter.question.context.basis]
    if ground.referral:
        referral = matter.question.context.referral
        bound = any(c.permit and referral in c.data for c in matter.consents)
        return None if bound else "no consent is bound to this referral"
    if not ground.registry:
        return None
    if matter.consent is Consent.DENY:
        return "the patient objects"
    passes = matter.consent is Consent.PERMIT or ground.silence
    return None if passes else "no consent of the patient is known"


def _objected(matter: Matter) -> bool:
    """Whether the patient objects here; an objection to a transfer is about transfers."""
    return any(not c.permit for c in matter.consents if c.scope != _EOVERDRACHT)


def always_consented(matter: Matter, policy: Policy) -> str | None:
    """The registry permits, whatever the legal basis."""
    if matter.consent is Consent.PERMIT and not _objected(matter):
        return None
    return "no consent of the patient is known"


def locally_consented(matter: Matter, policy: Policy) -> str | None:
    """The holder keeps a consent of this transfer; an objection beats it (rule Z12)."""
    said = [c.permit for c in matter.consents if c.scope == _EOVERDRACHT]
    return None if said and all(said) else "no consent of this transfer is kept here"


def of_the_transfer(matter: Matter, policy: Policy) -> str | None:
    """Read what the transfer names, change its Task, or take its Composition as a document."""
    rest = matter.rest
    if rest is None:
        return None  # `readable` says so
    match (rest.interaction, rest.type, rest.operation):
        case ("read", _, _):
            return _named_by_consent(matter, rest)
        case ("update", "Task", _) if rest.id and matter.question.request.method == "PUT":
            return None
        case ("operation", "Composition", "$document") if rest.id:
            return None
    return "a transfer is read, its Task changed, its Composition taken as a document; no more"


def _named_by_consent(matter: Matter, rest: FhirRest) -> str | None:
    reference = f"{rest.type}/{rest.id}"
    named = any(reference in c.data for c in matter.consents if c.permit)
    return None if rest.type in _TRANSFERS or named else "the consent does not name this resource"


def by_an_organization(matter: Matter, policy: Policy) -> str | None:
    """The asking organization is known."""
    return None if matter.question.subject.organization else "no asking organization is known"


def notifies(matter: Matter, policy: Policy) -> str | None:
    """It is the notification of a transfer (rule Z17)."""
    request = matter.question.request
    taken = request.method == "POST" and any(
        path.fullmatch(request.path) and (body or not request.body) for path, body in NOTIFICATIONS
    )
    return None if taken else "this is no notification of a transfer"


_READABLE = Rule(readable, "GF §3.4.2")
_CAPABLE = Rule(capable, "GF §3.4.6")
_KNOWN = Rule(patient_known, "GF §3.5 bgz")
_QUERIED = Rule(queried, "GF §3.5")
_REGISTRY = Rule(always_consented, "GF §3.5", asks=True)
POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(
            "bgz",
            (_CAPABLE, _KNOWN, _QUERIED, Rule(consented, "GF §4.5", asks=True)),
            "Nictiz BgZ 2017, bgz2017-servercapabilities",
            tables.BGZ_QUERIES,
            tables.BGZ,
        ),
        Policy(
            "eoverdracht_sender",
            (_READABLE, Rule(of_the_transfer, "GF §3.5"), Rule(locally_consented, "GF §4.5")),
            "Nictiz eOverdracht",
        ),
        Policy(
            "eoverdracht_receiver",
            (Rule(by_an_organization, "GF §3.5"), Rule(notifies, "GF §3.5; patterns §2.2")),
            "Nictiz eOverdracht",
        ),
        Policy(
            "pzp_gf",
            (_CAPABLE, _QUERIED, Rule(named_as_asked, "GF §3.5"), _REGISTRY),
            "PZP on generic functions",
            tables.PZP_QUERIES,
            tables.PZP,
        ),
        Policy(
            "medicatieoverdracht_gf",
            (
                *(_CAPABLE, _KNOWN, _QUERIED, Rule(bsn_for_patients, "GF §3.5")),
                *(Rule(enrolled, "GF §3.5"), _REGISTRY),
            ),
            "medication transfer on generic functions",
            tables.MEDICATION_QUERIES,
            tables.MEDICATION,
        ),
        Policy("mcsd_query", (_CAPABLE,), "IHE mCSD ITI-90", capabilities=tables.MCSD_QUERY),
        Policy("mcsd_update", (_CAPABLE,), "IHE mCSD ITI-91", capabilities=tables.MCSD_UPDATE),
    )
}


def policy_names(scopes: Sequence[str]) -> tuple[str, ...]:
    """The policies that scopes name: lower case, underscores, each once, in order (rule Z03).

    Raises LdnError(invalid) for a name that policy engines keep for themselves (rule Z02).
    """
    names = sorted({s.lower().replace("-", "_") for s in scopes if s})
    if any(n == "system" or n.startswith("test_") for n in names):
        raise LdnError(Issue.INVALID, "this scope is kept for the decision point itself")
    return tuple(names)


_ALLOWED = Verdict(True)


def evaluate(matter: Matter, policy: Policy, *, registry: bool = True) -> Verdict:
    """What this policy says, with every reason; without `registry` its answer is left out."""
    reasons = list(matter.troubles)
    for rule in policy.rules if registry else policy.cheap:
        text = rule.deny(matter, policy)
        if text is not None:
            reasons.append(rule.reason(text))
    return Verdict(False, tuple(reasons)) if reasons else _ALLOWED


def asks_consent(policy: Policy) -> bool:
    """Whether the policy looks at what the registry of consents says."""
    return any(rule.asks for rule in policy.rules)


def unknown(name: str) -> Verdict:
    """What a scope without a policy gets (rule Z04)."""
    return Verdict(False, (Reason(Code.NOT_IMPLEMENTED, "no policy has this name", "known"),))
