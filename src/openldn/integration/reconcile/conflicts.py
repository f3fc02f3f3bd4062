"""What contradicts what: told, with both sides kept; nothing is resolved silently.

Source: integration §6, precedence and conflict; §7.2 R4-R9, R14, R21.
"""

from collections.abc import Callable, Iterator
from itertools import combinations

from openldn.integration.reconcile import times
from openldn.integration.reconcile.codes import differ
from openldn.integration.reconcile.facts import Facts
from openldn.integration.reconcile.identity import SUPERSEDES
from openldn.integration.reconcile.model import Cluster, Conflict, Member, Pair, Policy, Rule, Tie
from openldn.integration.reconcile.possible import comparable, contrary, moments, near

Found = Iterator[Conflict]
_HIGH = frozenset({"Z-ALG", "Z-DIR"})
# A statement of absence within one kind of allergy says nothing of another kind.
_SCOPES = {
    "409137002": "medication",
    "428607008": "environment",
    "429625007": "food",
    "no-known-medication-allergies": "medication",
    "no-known-environmental-allergies": "environment",
    "no-known-food-allergies": "food",
}


def conflicts(
    facts: Facts, clusters: list[Cluster], pairs: list[Pair], policy: Policy
) -> list[Conflict]:
    """All conflicts that the policy looks for, in a fixed order."""
    by_zib: dict[str, list[Cluster]] = {}
    for cluster in clusters:
        by_zib.setdefault(cluster.shown.zib, []).append(cluster)
    found = []
    for zib, rules in policy.of("conflict").items():
        held = by_zib.get(zib, [])
        several = [c for c in held if len(c.members) > 1]
        linkable = [c for c in held if not (c.withdrawn or c.shown.alone)]
        for rule in rules:
            if rule.how in WITHIN:
                found += [c for each in several for c in WITHIN[rule.how](facts, each, rule)]
            if rule.how in ACROSS and len(linkable) > 1:
                found += ACROSS[rule.how](facts, linkable, rule)
            if rule.how == "between":
                mine = [p for p in pairs if p.first.shown.zib == zib]
                found += [c for pair in mine for c in _between(facts, pair, rule)]
    if withdrawal := policy.of("order").get("*"):
        found += _withdrawals(clusters, withdrawal[0])
    return found


def _attribute(facts: Facts, cluster: Cluster, rule: Rule) -> Found:
    element = rule.options["element"]
    if element in {"code", "valueCodeableConcept"}:
        meanings = [facts.codes.of(m.resource.get(element)) for m in cluster.members]
        if element == "code" and "code" not in cluster.shown.resource:
            meanings = [facts.code(m) for m in cluster.members]
        differing = any(differ(a, b) for a, b in combinations(meanings, 2))
        text = f"{element} differs"
    else:
        said = _told(facts, cluster.members, element)
        differing = len(said) > 1
        text = f"{element} differs: {', '.join(sorted(said))}"
    if differing and not cluster.withdrawn:
        severity = "high" if cluster.shown.zib in _HIGH else "moderate"
        yield Conflict(rule.id, "conflict", cluster.members, text, severity)


def _told(facts: Facts, members: tuple[Member, ...], element: str) -> set[str]:
    """What they say of a status; beside a refutation, to say nothing is to hold it for true."""
    said = {facts.status(m, element) for m in members}
    if element == "verificationStatus" and "refuted" in said:
        return {each or "not refuted" for each in said}
    return said - {""}


def _withdrawals(clusters: list[Cluster], rule: Rule) -> Found:
    for cluster in clusters:
        if not any(m.error for m in cluster.members):
            continue
        if cluster.withdrawn:
            text = "its author took this statement back (entered in error)"
            yield Conflict(rule.id, "withdrawn", cluster.members, text, "low")
        else:
            text = "one holder says entered in error, but not its author or not as the last word"
            yield Conflict(rule.id, "conflict", cluster.members, text, "high")


def _outcomes(facts: Facts, cluster: Cluster, rule: Rule) -> Found:
    """Members that nothing corrects, with other outcomes: nobody picks one."""
    live = [m for m in cluster.members if not m.error]
    top = max((_rank(m) for m in live), default=0)
    last = [m for m in live if _rank(m) == top]
    if any(facts.agree(a, b) is False for a, b in combinations(last, 2)):
        cluster.picked = False
        text = "one measurement with different outcomes; none is chosen"
        yield Conflict(rule.id, "conflict", tuple(last), text, "high")


def _rank(member: Member) -> int:
    return SUPERSEDES.get(str(member.resource.get("status")), 0)


def _outcomes_across(facts: Facts, clusters: list[Cluster], rule: Rule) -> Found:
    buckets: dict[str, list[Cluster]] = {}
    for cluster in clusters:
        start = facts.start(cluster.shown)
        if start is not None and start.fine == times.MINUTE:
            for key in moments(facts, cluster.shown, rule):
                buckets.setdefault(key, []).append(cluster)
    seen: set[tuple[int, int]] = set()
    for held in buckets.values():
        for one, other in near(held):
            a, b = one.shown, other.shown
            if (id(a), id(b)) in seen or (rule.zib == "Z-VIT" and a.ura == b.ura):
                continue
            if comparable(facts, a, b) and facts.agree(a, b) is False:
                seen.add((id(a), id(b)))
                text = "one analyte at one time with different outcomes; none is chosen"
                yield Conflict(rule.id, "conflict", (a, b), text, "high")


def _absence(facts: Facts, clusters: list[Cluster], rule: Rule) -> Found:
    none = facts.lists["no-allergy"]
    denying = [c for c in clusters if not none.isdisjoint(facts.code(c.shown))]
    for cluster in clusters:
        member = cluster.shown
        if cluster in denying or not _active(facts, cluster):
            continue
        for denial in denying:
            if _covers(facts, denial.shown, member):
                text = "an allergy here, none known there; the allergy stands"
                yield Conflict(rule.id, "conflict", (member, denial.shown), text, "high")


def _active(facts: Facts, cluster: Cluster) -> bool:
    return any(
        facts.status(m, "clinicalStatus") in {"active", ""}
        and facts.status(m, "verificationStatus") not in {"refuted", "entered-in-error"}
        for m in cluster.members
    )


def _covers(facts: Facts, denial: Member, member: Member) -> bool:
    scopes = {_SCOPES.get(m.rpartition("|")[2], "") for m in facts.code(denial)}
    kinds = member.resource.get("category", ())
    return "" in scopes or not kinds or not scopes.isdisjoint(kinds)


_COMPARED = {
    "Z-ALG": ("clinicalStatus", "verificationStatus", "criticality"),
    "Z-PRB": ("verificationStatus",),
}


def _between(facts: Facts, pair: Pair, rule: Rule) -> Found:
    """Two that may be the same, of which one says what the other denies."""
    if pair.tie is not Tie.POSSIBLE:
        return
    one, other = pair.first.shown, pair.second.shown
    differing = []
    for element in _COMPARED[rule.zib]:
        said = _told(facts, (one, other), element)
        if element == "verificationStatus" and "refuted" not in said:
            continue
        if len(said) > 1:
            differing.append(f"{element}: {', '.join(sorted(said))}")
    if differing:
        text = f"perhaps the same, and they differ in {'; '.join(differing)}"
        severity = "high" if rule.zib in _HIGH else "moderate"
        yield Conflict(rule.id, "conflict", (one, other), text, severity)


def _directives(facts: Facts, clusters: list[Cluster], rule: Rule) -> Found:
    for one, other in near(clusters):
        a, b = one.shown, other.shown
        if a.type != b.type:
            continue
        codes = facts.code(a), facts.code(b)
        topic = not set(codes[0]).isdisjoint(codes[1])
        opposed = any(f"{x} {y}" in facts.lists["contrary"] for x in codes[0] for y in codes[1])
        opposed |= any(f"{y} {x}" in facts.lists["contrary"] for x in codes[0] for y in codes[1])
        if (topic and contrary(facts, a, b)) or opposed:
            newest = sorted((a, b), key=lambda m: -_dated(facts, m))
            text = "directives that contradict each other, the newest first; none is chosen"
            yield Conflict(rule.id, "conflict", tuple(newest), text, "high")


def _directive(facts: Facts, cluster: Cluster, rule: Rule) -> Found:
    live = [m for m in cluster.members if not m.error]
    if any(contrary(facts, a, b) for a, b in combinations(live, 2)):
        cluster.picked = False
        newest = tuple(sorted(live, key=lambda m: -_dated(facts, m)))
        text = "one directive with contrary content; none is chosen"
        yield Conflict(rule.id, "conflict", newest, text, "high")


def _dated(facts: Facts, member: Member) -> int:
    start = facts.start(member)
    return start.start if start else member.recorded


WITHIN: dict[str, Callable[[Facts, Cluster, Rule], Found]] = {
    "attribute": _attribute,
    "outcome": _outcomes,
    "directive": _directive,
}
ACROSS: dict[str, Callable[[Facts, list[Cluster], Rule], Found]] = {
    "outcome": _outcomes_across,
    "absence": _absence,
    "directive": _directives,
}
