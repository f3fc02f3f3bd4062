"""What may be the same, or belongs together: pairs, never a chain, never merged (L3).

Each rule has keys by which candidates meet and a test that both must pass.
Source: integration §6, column possible-same key; §7.2 R2, R3, R7, R10-R12, R15, R18, R20, R26.
"""

from collections.abc import Callable, Iterable, Iterator

from openldn.integration.reconcile import times
from openldn.integration.reconcile.codes import differ
from openldn.integration.reconcile.facts import Facts
from openldn.integration.reconcile.model import Cluster, Member, Pair, Policy, Rule, Tie

Keys = Callable[[Facts, Member, Rule], Iterable[str]]
Test = Callable[[Facts, Member, Member, Rule], Tie | None]
NEAREST = 48  # so many later candidates are compared with each: keeps the work linear
_PLANNED = frozenset({"preparation", "draft", "active", "on-hold"})
_DONE = frozenset({"completed", "in-progress"})


def pairs(facts: Facts, clusters: list[Cluster], policy: Policy) -> list[Pair]:
    """All pairs that a rule ties, in a fixed order; a pair is told once."""
    by_zib: dict[str, list[Cluster]] = {}
    for cluster in clusters:
        if not (cluster.withdrawn or cluster.shown.alone):
            by_zib.setdefault(cluster.shown.zib, []).append(cluster)
    found: dict[tuple[int, int], Pair] = {}
    for zib, rules in policy.of("possible").items():
        held = by_zib.get(zib, [])
        if len(held) < 2:
            continue
        held.sort(key=lambda c: (*c.shown.order, c.shown.name))
        for rule in rules:
            for pair in _of_rule(facts, held, rule):
                ends = (id(pair.first), id(pair.second))
                if ends not in found and ends[::-1] not in found:
                    found[ends] = pair
    return list(found.values())


def _of_rule(facts: Facts, clusters: list[Cluster], rule: Rule) -> Iterator[Pair]:
    if rule.how == "parent":
        yield from _parents(facts, clusters, rule)
        return
    keys, test = POSSIBLE[rule.how]
    buckets: dict[str, list[Cluster]] = {}
    for cluster in clusters:
        for key in keys(facts, cluster.shown, rule):
            buckets.setdefault(key, []).append(cluster)
    for held in buckets.values():
        if len(held) > 1:
            for one, other in near(held):
                if tie := test(facts, one.shown, other.shown, rule):
                    yield _directed(rule, tie, one, other)


def near(held: list[Cluster]) -> Iterator[tuple[Cluster, Cluster]]:
    """Each with those after it, as far as is compared."""
    for place, one in enumerate(held):
        for other in held[place + 1 : place + 1 + NEAREST]:
            yield one, other


def _directed(rule: Rule, tie: Tie, one: Cluster, other: Cluster) -> Pair:
    if tie is Tie.FULFILS and one.shown.resource.get("status") in _PLANNED:
        one, other = other, one
    return Pair(tie, rule.id, one, other)


def _parents(facts: Facts, clusters: list[Cluster], rule: Rule) -> Iterator[Pair]:
    if facts.codes.flat:
        return
    by_code: dict[str, list[Cluster]] = {}
    for cluster in clusters:
        for meaning in facts.code(cluster.shown):
            by_code.setdefault(meaning, []).append(cluster)
    for child in clusters:
        above = {a for meaning in facts.code(child.shown) for a in facts.codes.above(meaning)}
        parents = [p for code in sorted(above) for p in by_code.get(code, ())[:NEAREST]]
        for parent in parents:
            if parent is not child and _fitting(facts, parent.shown, child.shown, rule):
                yield Pair(Tie.PARENT, rule.id, parent, child)


def _fitting(facts: Facts, one: Member, other: Member, rule: Rule) -> bool:
    return rule.zib != "Z-PRB" or (_sited(facts, one, other) and _onset(facts, one, other, 90))


def by_code(facts: Facts, member: Member, rule: Rule) -> Iterable[str]:
    """The meanings of its code; a text has none, and is like nothing else (R28)."""
    return facts.code(member)


def _problem(facts: Facts, one: Member, other: Member, rule: Rule) -> Tie | None:
    fits = _sited(facts, one, other) and _onset(facts, one, other, rule.options["days"])
    return Tie.POSSIBLE if fits else None


def _onset(facts: Facts, one: Member, other: Member, days: int) -> bool:
    if not facts.lists["chronic"].isdisjoint((*facts.code(one), *facts.code(other))):
        return True
    begin, end = facts.start(one), facts.start(other)
    return begin is None or end is None or times.gap(begin, end) <= days * times.DAY


def _sited(facts: Facts, one: Member, other: Member) -> bool:
    """Sites and sides equal, or one of them not said."""
    mine, theirs = facts.site(one), facts.site(other)
    return all(not a or not b or not a.isdisjoint(b) for a, b in zip(mine, theirs, strict=True))


def _agents(facts: Facts, member: Member, rule: Rule) -> Iterable[str]:
    return [m for m in facts.code(member) if m not in facts.lists["no-allergy"]]


def _always(facts: Facts, one: Member, other: Member, rule: Rule) -> Tie | None:
    return Tie.POSSIBLE


def _products(facts: Facts, member: Member, rule: Rule) -> Iterable[str]:
    return [f"{member.type}{member.block}|{product}" for product in facts.product(member)]


def _product(facts: Facts, one: Member, other: Member, rule: Rule) -> Tie | None:
    begin, end = facts.start(one), facts.start(other)
    apart = begin is not None and end is not None and times.gap(begin, end) > times.DAY
    return None if one.ura == other.ura or apart else Tie.POSSIBLE


def _treatments(facts: Facts, member: Member, rule: Rule) -> Iterable[str]:
    return [found] if (found := facts.treatment(member)) else ()


def _treatment(facts: Facts, one: Member, other: Member, rule: Rule) -> Tie | None:
    return None if one.ura == other.ura else Tie.RELATED


def _procedure(facts: Facts, one: Member, other: Member, rule: Rule) -> Tie | None:
    begin, end = facts.start(one), facts.start(other)
    if begin is None or end is None or not _sited(facts, one, other):
        return None
    planned = [m.resource.get("status") in _PLANNED for m in (one, other)]
    same = times.same_day(begin, end) and planned[0] == planned[1] and one.type == other.type
    return Tie.POSSIBLE if same else None


def _fulfils(facts: Facts, one: Member, other: Member, rule: Rule) -> Tie | None:
    states = {one.resource.get("status"), other.resource.get("status")}
    if states.isdisjoint(_PLANNED) or states.isdisjoint(_DONE) or not _sited(facts, one, other):
        return None
    begin, end = facts.start(one), facts.start(other)
    days = rule.options["days"]
    apart = begin is not None and end is not None and times.gap(begin, end) > days * times.DAY
    return None if apart else Tie.FULFILS


def _doses(facts: Facts, member: Member, rule: Rule) -> Iterable[str]:
    applied = member.resource.get("protocolApplied", ())
    diseases = [c for each in applied for c in each.get("targetDisease", ())]
    return dict.fromkeys((*facts.code(member), *(m for c in diseases for m in facts.codes.of(c))))


def _dose(facts: Facts, one: Member, other: Member, rule: Rule) -> Tie | None:
    lots = {str(m.resource.get("lotNumber", "")).strip() for m in (one, other)} - {""}
    begin, end = facts.start(one), facts.start(other)
    if len(lots) > 1 or begin is None or end is None or min(begin.fine, end.fine) < 10:
        return None
    if differ(facts.code(one), facts.code(other)):
        return None
    slack = int(min(begin.fine, end.fine) == 10 and begin.fine != end.fine)
    return Tie.POSSIBLE if abs(begin.day - end.day) <= slack else None


def moments(facts: Facts, member: Member, rule: Rule) -> Iterable[str]:
    """Its code with the minute, or the day, when it was measured."""
    start = facts.start(member)
    if start is None or start.fine < 10:
        return ()
    fine = start.start // 60 if start.fine == times.MINUTE else f"d{start.day}"
    return [f"{code}|{fine}" for code in facts.code(member)]


def _days(facts: Facts, member: Member, rule: Rule) -> Iterable[str]:
    start = facts.start(member)
    if start is None or start.fine < 10:
        return ()
    return [f"{code}|{start.day}" for code in facts.code(member)]


def _measurement(facts: Facts, one: Member, other: Member, rule: Rule) -> Tie | None:
    return Tie.POSSIBLE if comparable(facts, one, other) and facts.agree(one, other) else None


def _same_day(facts: Facts, one: Member, other: Member, rule: Rule) -> Tie | None:
    """A day with a moment of that day; two moments are the business of the minute (R15)."""
    begin, end = facts.start(one), facts.start(other)
    mixed = begin is not None and end is not None and begin.fine != end.fine
    return _measurement(facts, one, other, rule) if mixed else None


def comparable(facts: Facts, one: Member, other: Member) -> bool:
    """Whether nothing but the outcome could tell two measurements apart."""
    mine, theirs = facts.specimens(one), facts.specimens(other)
    other_tube = bool(mine and theirs) and set(mine).isdisjoint(theirs)
    methods = [facts.codes.of(m.resource.get("method")) for m in (one, other)]
    return not other_tube and not differ(*methods) and _sited(facts, one, other)


def _contacts(facts: Facts, member: Member, rule: Rule) -> Iterable[str]:
    """By day; and by half hours that overlap, so that those near midnight meet too."""
    resource, start = member.resource, facts.start(member)
    if start is None:
        return ()
    kind = resource.get("class")
    code = kind.get("code", "") if isinstance(kind, dict) else ""
    reference = resource.get("serviceProvider") or resource.get("managingOrganization")
    whose = f"{member.type}|{facts.organization(member, reference) or member.ura}|{code}"
    wide = 2 * rule.options["minutes"] * 60
    halves = (start.start // wide, f"+{(start.start + wide // 2) // wide}")
    return [f"{whose}|{key}" for key in (f"d{start.day}", *halves)]


def _contact(facts: Facts, one: Member, other: Member, rule: Rule) -> Tie | None:
    begin, end = facts.start(one), facts.start(other)
    if begin is None or end is None:
        return None
    kind = one.resource.get("class")
    admitted = isinstance(kind, dict) and kind.get("code") in {"IMP", "ACUTE", "NONAC"}
    if admitted or begin.fine == 10 or end.fine == 10:
        same = times.same_day(begin, end)
    else:
        same = abs(begin.start - end.start) <= rule.options["minutes"] * 60
    return Tie.POSSIBLE if same else None


def _documents(facts: Facts, member: Member, rule: Rule) -> Iterable[str]:
    start, authors = facts.start(member), sorted(facts.authors(member))
    if start is None or not authors or start.fine < 10:
        return ()
    return [
        f"{member.type}|{author}|{code}|{start.day}"
        for author in authors
        for code in facts.code(member)
    ]


def _elsewhere(facts: Facts, one: Member, other: Member, rule: Rule) -> Tie | None:
    return None if one.ura == other.ura else Tie.POSSIBLE


def _accessions(facts: Facts, member: Member, rule: Rule) -> Iterator[str]:
    for identifier in member.resource.get("identifier", ()):
        codings = (identifier.get("type") or {}).get("coding", ())
        if any(c.get("code") == "ACSN" for c in codings) and (key := facts.identifier(identifier)):
            assigner = identifier.get("assigner") or {}
            issuer = facts.organization(member, assigner) or assigner.get("display", "")
            yield f"{key}|{issuer}"


def _topic(facts: Facts, one: Member, other: Member, rule: Rule) -> Tie | None:
    if one.type != other.type or contrary(facts, one, other):
        return None
    same = one.zib != "Z-SOC" or facts.agree(one, other)
    return Tie.POSSIBLE if same else Tie.RELATED


def contrary(facts: Facts, one: Member, other: Member) -> bool:
    """Whether two directives on one topic say the opposite."""
    kinds = [(m.resource.get("provision") or {}).get("type") for m in (one, other)]
    if all(kinds) and kinds[0] != kinds[1]:
        return True
    mine, theirs = facts.code(one), facts.code(other)
    sides = {f"{a} {b}" for a in mine for b in theirs} | {f"{b} {a}" for a in mine for b in theirs}
    return not sides.isdisjoint(facts.lists["contrary"])


POSSIBLE: dict[str, tuple[Keys, Test]] = {
    "problem": (by_code, _problem),
    "agent": (_agents, _always),
    "product": (_products, _product),
    "treatment": (_treatments, _treatment),
    "procedure": (by_code, _procedure),
    "fulfils": (by_code, _fulfils),
    "dose": (_doses, _dose),
    "measurement": (moments, _measurement),
    "day": (_days, _same_day),
    "contact": (_contacts, _contact),
    "document": (_documents, _elsewhere),
    "accession": (_accessions, _always),
    "topic": (by_code, _topic),
}
