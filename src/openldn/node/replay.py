"""Yesterday's decisions again, out of the evidence of a node, under the rules of today.

An AuditEvent holds the question, the checks, the reasons and the consent; what it does not hold
(whether the token was for this holder, whether the directory knew the asker) follows from the
reasons it names. No resource is needed, and none was kept.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from openldn.base.errors import LdnError
from openldn.exchanges import by
from openldn.fhir.api.pairs import split
from openldn.fhir.identifiers import BSN_SYSTEM, CANON, URA_SYSTEM, UZI_SYSTEM, Bsn, Ura
from openldn.functions.authorization.document import document_of_facts
from openldn.functions.authorization.emergency import BREAKING
from openldn.functions.authorization.model import AllowedQuery, Asked, Basis, Consent, Facts
from openldn.functions.authorization.policy import CHEAP, denials
from openldn.functions.authorization.question import Reason
from openldn.node.consents import PRESUMED
from openldn.patterns.exchange import Exchange, Pattern
from openldn.trust.parties import Emergency, Person, Requester
from openldn.trust.people.levels import Level

_EXTENSION = f"{CANON}/StructureDefinition/"
_NOBODY = Ura("00000000")
_REFUSED = "refused: "
Flip = Callable[[Facts], Facts]
# What a reason in the evidence tells of a fact that the evidence itself does not hold.
FLIPS: Mapping[str, Flip] = {
    "the token opens another organization": lambda f: replace(f, granted=_NOBODY),
    "the certificate is not of the organization in the token": lambda f: replace(f, peer=_NOBODY),
    "the asking organization is not active in the directory": lambda f: replace(f, known=False),
    "the query is about another patient than the token": lambda f: replace(
        f, requester=replace(f.requester, patient=Bsn("000000000"))
    ),
}
_CUT = re.compile(r" \[\d+ characters, sha256 [0-9a-f]{64}\]$")  # it was too long to be kept
_SCOPE = "the token lacks the scope"


class Said(StrEnum):
    """What was or would be said."""

    ALLOW = "allow"
    DENY = "deny"
    CONSENT = "depends on consent"  # nobody was asked then


@dataclass(frozen=True)
class Kept:
    """One decision as the evidence tells it."""

    facts: Facts
    said: Said
    reasons: tuple[str, ...]
    exchange: Exchange
    patient: Bsn | None = field(repr=False)


@dataclass(frozen=True)
class Tomorrow:
    """The policy under which it is decided again: this code, and what is changed about it."""

    releases: frozenset[str] = frozenset()  # of the exchange that stay; none: all
    own: Callable[[Mapping[str, Any]], Any] | None = None  # awaited: reasons of an own policy


@dataclass(frozen=True)
class Again:
    """One decision, then and now."""

    event: Mapping[str, Any]
    then: Said
    now: Said
    before: tuple[str, ...] = ()  # the reasons then
    reasons: tuple[str, ...] = ()  # the reasons now

    @property
    def changed(self) -> bool:
        """Whether it would be decided otherwise."""
        return self.then is not self.now


def kept_of(event: Mapping[str, Any]) -> Kept | None:
    """The decision in this event; None when it tells of none (a failure, another kind of event).

    Source: specification of audit events §8.2, rows data-served.
    """
    told = _extensions(event)
    exchange = {e.code: e for e in by(Pattern.PULL)}.get(told.get("exchange", ""))
    reason = str(event.get("outcomeDesc", ""))
    denied = reason.startswith(_REFUSED)
    asked = _asked(event)
    if exchange is None or asked is None or not (denied or event.get("outcome") == "0"):
        return None
    # kept as one text: a reason may have a semicolon of its own
    reasons = (reason.removeprefix(_REFUSED),) if denied else ()
    facts = _facts(event, told, exchange, asked)
    if denied:
        facts = _flipped(facts, reason)
    if denied and facts.basis is Basis.EMERGENCY:
        facts = replace(facts, silence=False)
    said = Said.DENY if denied else Said.ALLOW
    return Kept(facts, said, reasons, exchange, _patient(event))


async def decide_again(event: Mapping[str, Any], tomorrow: Tomorrow) -> Again | None:
    """What this event was decided then and would be now; None when it tells of no decision."""
    kept = kept_of(event)
    if kept is None:
        return None
    facts = replace(kept.facts, allowed=_allowed(kept.exchange, tomorrow.releases))
    if reasons := denials(facts, CHEAP):
        return Again(event, kept.said, Said.DENY, kept.reasons, tuple(reasons))
    if facts.consent is Consent.UNASKED and facts.basis is not Basis.PATIENT:
        return Again(event, kept.said, Said.CONSENT, kept.reasons)
    if reasons := denials(facts):
        return Again(event, kept.said, Said.DENY, kept.reasons, tuple(reasons))
    own: tuple[Reason, ...] = ()
    if tomorrow.own is not None:
        own = await tomorrow.own(document_of_facts(facts, kept.patient, kept.exchange.code))
    now = Said.DENY if own else Said.ALLOW
    return Again(event, kept.said, now, kept.reasons, tuple(r.description for r in own))


def _facts(
    event: Mapping[str, Any], told: Mapping[str, str], exchange: Exchange, asked: Asked
) -> Facts:
    """The facts as if all that the evidence does not hold was in order."""
    person, organization = _who(event)
    scope = exchange.scope(Pattern.PULL)
    purposes = [c["code"] for p in event.get("purposeOfEvent", ()) for c in p.get("coding", ())]
    holder = Ura(str(event["source"].get("site", "")))
    purpose = purposes[0] if purposes else ""
    at = datetime.fromisoformat(event["period"]["start"])
    requester = Requester(
        organization=organization,
        scopes=frozenset({scope}),
        purpose=purpose,
        emergency=_given(at) if purpose == BREAKING else None,
        person=person,
        patient=None if asked.patients() else _patient(event),
    )
    return Facts(
        requester=requester,
        granted=holder,
        holder=holder,
        peer=organization,
        known=True,
        asked=asked,
        allowed=(),
        scope=scope,
        purposes=exchange.purposes,
        basis=Basis(told.get("legal-basis", Basis.EXPLICIT.value)),
        consent=_consent(told),
        relation=told.get("treatment-relation-protocol", "").rpartition("/")[2],
        now=at,
    )


def _given(at: datetime) -> Emergency:
    """A reason that counts, in the place of the one that was given."""
    return Emergency(
        "replayed", "other", "as it was given then", Level.HIGH.uri, int(at.timestamp())
    )


def _flipped(facts: Facts, reason: str) -> Facts:
    if _SCOPE in reason:
        facts = replace(facts, requester=replace(facts.requester, scopes=frozenset()))
    for text, flip in FLIPS.items():
        facts = flip(facts) if text in reason else facts
    return facts


def _extensions(event: Mapping[str, Any]) -> dict[str, str]:
    told = {}
    for extension in event.get("extension", ()):
        name = str(extension.get("url", "")).removeprefix(_EXTENSION)
        value = next((v for k, v in extension.items() if k.startswith("value")), "")
        told[name] = str(value)
    return told


def _consent(told: Mapping[str, str]) -> Consent:
    """`…/consent/mitz-permit/id` names the answer; without it the third check tells."""
    said = told.get("consent-profile", "").removeprefix(f"{CANON}/consent/").partition("/")[0]
    for consent in (Consent.PERMIT, Consent.DENY):
        if said.endswith(f"-{consent}") or said == f"{PRESUMED}-{consent}":
            return consent
    checks = told.get("nen7513-checks", "----")
    return Consent.UNKNOWN if checks[2:3] == "F" else Consent.UNASKED


def _asked(event: Mapping[str, Any]) -> Asked | None:
    """The question, from the query that is kept encoded."""
    kept = [e["query"] for e in event.get("entity", ()) if "query" in e]
    if not kept:
        return None
    try:
        text = base64.b64decode(kept[0], validate=True).decode()
        if _CUT.search(text):
            return None
        path, _, query = text.removeprefix("GET ").partition("?")
        pairs = [p for p in split(query) if p[0] != "_page"]
    except (binascii.Error, UnicodeDecodeError, LdnError):
        return None  # not ours
    type_, _, operation = path.partition("/")
    codes = [c["code"] for c in event.get("subtype", ()) if "restful" in c.get("system", "")]
    return Asked(type_, tuple(pairs), operation, codes[0] if codes else "search-type")


def _who(event: Mapping[str, Any]) -> tuple[Person | None, Ura]:
    person, organization = None, _NOBODY
    for agent in event.get("agent", ()):
        identifier = agent.get("who", {}).get("identifier", {})
        codes = {c.get("code") for c in agent.get("type", {}).get("coding", ())}
        if "PROV" in codes and identifier.get("system") == URA_SYSTEM:
            organization = Ura(identifier["value"])
        if "IRCP" in codes and identifier.get("system") == UZI_SYSTEM:
            roles = [c.get("code", "") for r in agent.get("role", ()) for c in r.get("coding", ())]
            person = Person(identifier["value"], roles[0] if roles else "")
    return person, organization


def _patient(event: Mapping[str, Any]) -> Bsn | None:
    for entity in event.get("entity", ()):
        identifier = entity.get("what", {}).get("identifier", {})
        if identifier.get("system") == BSN_SYSTEM:
            return Bsn(identifier["value"])
    return None


def _allowed(exchange: Exchange, releases: frozenset[str]) -> tuple[AllowedQuery, ...]:
    return tuple(
        dict.fromkeys(
            AllowedQuery.parse(q.template)
            for release in exchange.releases
            if not releases or release.id in releases
            for q in release.queries
        )
    )
