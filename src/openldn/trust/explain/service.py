"""Explains one thing: sorts it, verifies it, tells it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from openldn.base.runtime import instant
from openldn.trust.explain.detect import detect
from openldn.trust.explain.facts import act_of, ends_of, facts_of
from openldn.trust.explain.model import Explanation, Sources, masked
from openldn.trust.explain.verify import held, verified
from openldn.trust.explain.words import LABELS, SORTS, step
from openldn.trust.trail import Check, Rule

VERIFIED = Rule("explain.verified", "OpenLDN", "it could be verified")


async def explain(content: bytes, sources: Sources) -> Explanation:
    """What was given, checked as any party would; raises LdnError(invalid) when unreadable."""
    found = detect(content)
    collected = await verified(found, sources)
    facts, act = await facts_of(found, sources)
    inside = [str(jws.claims.get("jti", "")) for jws in held(found)]
    earlier = await _earlier([dict(facts).get("id", ""), *inside], sources)
    for jws in held(found):
        act = act or act_of(jws.claims)
    return Explanation(
        sort=found.sort,
        facts=facts,
        act=act,
        checks=(*collected.checks, *earlier),
        believed=collected.believed,
        ends=ends_of(found, facts),
    )


async def _earlier(ids: Sequence[str], sources: Sources) -> tuple[Check, ...]:
    """What the broker checked before it minted this, when it did."""
    told: Mapping[str, Any] | None = None
    for id in ids:
        name = id.rpartition("#")[2].removeprefix("_")  # a credential's; a SAML assertion's
        told = told or (await sources.trail(name) if sources.trail and name else None)
    checks = (told or {}).get("checks", [])
    return tuple(
        Check(Rule(c["code"], c["source"], c["text"]), c["outcome"], "by the broker")
        for c in checks
    )


def told(found: Explanation, language: str) -> dict[str, Any]:
    """The explanation as JSON: what it is, each check, the verdict, what to do."""
    failure = found.first_failure
    return {
        "kind": found.sort.value,
        "what": SORTS[language][found.sort],
        "believed": found.believed,
        "until": instant(found.ends) if found.ends else None,
        "facts": dict(found.facts),
        "act": list(found.act),
        "checks": [_check(c) for c in found.checks],
        "verdict": verdict(found, language),
        "next": step(failure.rule.code, language) if failure else None,
    }


def verdict(found: Explanation, language: str) -> str:
    """Whether it is believed, and if not what was wrong first."""
    words, failure = LABELS[language], found.first_failure
    if found.believed:
        return words["believed"]
    rule = failure.rule if failure else VERIFIED
    return words["disbelieved"].format(rule=rule.text, source=rule.source or rule.code)


def _check(check: Check) -> Mapping[str, str]:
    shown = replace(check, said=masked(check.said))
    return {**shown.rule._asdict(), "outcome": shown.outcome, "said": shown.said}
