"""What a proof may be turned into: never a wider scope, audience, patient or lifetime.

Pure: no clock, no network, no key. Source: RFC 8693 §1.1, §4.1; trust and broker §9.
"""

from datetime import timedelta
from typing import NamedTuple

from openldn.base.errors import Issue
from openldn.trust.broker.model import Asked, Conversion, Draft, Table, Terms, conversions
from openldn.trust.evidence import Proof
from openldn.trust.trail import Rule, Trail

PARTY = Rule("broker.party", "RFC 8705 §3", "who asks is the organization that is proven")
ACTOR = Rule("broker.actor", "RFC 8693 §4.4", "the actor is the organization that asks")
CURRENT = Rule("broker.current", "RFC 8693 §2.1", "the proof counts at this moment")
EVIDENCE = Rule("broker.evidence", "trust and broker §9.1", "the proof rests on something")
TWICE = Rule("broker.infrastructure", "trust and broker §9 B8", "no infrastructure twice")
KNOWN = Rule("broker.conversion", "RFC 8693 §2.1", "there is a conversion into what is asked")
SPOKEN = Rule("broker.spoken", "trust and broker §9", "the holder's infrastructure speaks it")
SCOPE = Rule("broker.scope", "RFC 8693 §2.2.1", "no scope beyond the proof and the holder's")
LOOP = Rule("broker.loop", "RFC 8693 §4.1", "it did not pass this broker before")
DEPTH = Rule("broker.depth", "RFC 8693 §4.1", "not too many brokers in between")
LIFETIME = Rule("broker.lifetime", "trust and broker §9.2", "a second at least is left of it")

_SECOND = timedelta(seconds=1)


class _Demand(NamedTuple):
    fits: bool
    rule: Rule
    issue: Issue  # what it is called when it fails


def narrow(proof: Proof, asked: Asked, terms: Terms, trail: Trail) -> Draft:
    """The most that may be minted of this proof for this audience, and not a bit more.

    Raises LdnError: login (the proof), not-found (audience), business-rule (scope),
    not-supported (no such conversion).
    """
    table = conversions()
    found = table.find(proof.dialect, asked.gives)
    via = (table.home(proof.dialect), *passed(proof))
    for demand in (
        *_of_proof(proof, asked, terms),
        *_of_road(via, asked, table, found),
        *_of_reach(proof, asked, terms),
    ):
        trail.issue = demand.issue
        trail.require(demand.fits, demand.rule)
    expires = min(proof.expires, terms.now + terms.longest, *(e.expires for e in proof.evidence))
    trail.issue = Issue.LOGIN
    trail.require(expires - terms.now >= _SECOND, LIFETIME)
    assert found is not None  # noqa: S101  (required above)
    return Draft(
        id=terms.id,
        conversion=found.id,
        gives=asked.gives,
        audience=asked.audience,
        proof=proof,
        scopes=asked.scopes,
        act=(terms.broker, *proof.act),
        via=via,
        thumbprint=asked.thumbprint,
        issued=terms.now,
        shown_by=min(expires, terms.now + _showing(asked)),
        expires=expires,
        certificate=asked.certificate,
    )


def passed(proof: Proof) -> tuple[str, ...]:
    """The infrastructures an earlier broker says it came through, nearest first."""
    return tuple(v.value for v in proof.claims.get("via", {}).get("infrastructure", ()))


def _of_proof(proof: Proof, asked: Asked, terms: Terms) -> tuple[_Demand, ...]:
    current = proof.issued - _skew(asked) <= terms.now < proof.expires
    acts = asked.actor in ("", asked.party.value)
    return (
        _Demand(proof.organization == asked.party, PARTY, Issue.LOGIN),
        _Demand(acts, ACTOR, Issue.LOGIN),
        _Demand(current, CURRENT, Issue.LOGIN),
        _Demand(bool(proof.evidence), EVIDENCE, Issue.LOGIN),
    )


def _of_road(
    via: tuple[str, ...], asked: Asked, table: Table, found: Conversion | None
) -> tuple[_Demand, ...]:
    target = asked.audience.infrastructure
    speech = table.infrastructures.get(target)
    spoken = speech is not None and asked.gives in speech.gives
    return (
        _Demand(target not in via, TWICE, Issue.NOT_FOUND),
        _Demand(found is not None, KNOWN, Issue.NOT_SUPPORTED),
        _Demand(spoken, SPOKEN, Issue.NOT_SUPPORTED),
    )


def _of_reach(proof: Proof, asked: Asked, terms: Terms) -> tuple[_Demand, ...]:
    bounds = [b for b in (proof.scopes, asked.audience.scopes) if b is not None]
    within = bool(asked.scopes) and all(asked.scopes <= bound for bound in bounds)
    return (
        _Demand(within, SCOPE, Issue.BUSINESS_RULE),
        _Demand(terms.broker not in proof.act, LOOP, Issue.LOGIN),
        _Demand(len(proof.act) < terms.depth, DEPTH, Issue.LOGIN),
    )


def _skew(asked: Asked) -> timedelta:
    return timedelta(seconds=asked.audience.profile.skew)


def _showing(asked: Asked) -> timedelta:
    """How long that side lets a proof be shown."""
    lives = asked.audience.profile.lifetimes
    longest = {"jwt": lives.assertion, "vp": lives.presentation, "saml": lives.saml}
    return timedelta(seconds=longest[asked.gives])
