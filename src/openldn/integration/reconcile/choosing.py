"""Which member of a statement is shown: always one of them, as it came.

Order: not entered in error, the order of its kind, the author before a copy, the newest, the most
complete, the lowest source id. Source: integration §3, representative order; §6, precedence.
"""

from collections.abc import Callable
from typing import Any

from openldn.integration.reconcile.facts import Facts
from openldn.integration.reconcile.identity import COPIES, Ties
from openldn.integration.reconcile.kinds import several
from openldn.integration.reconcile.model import Cluster, Member, Policy, Rule

Rank = Callable[[Facts, Member, Rule], Any]


def _verification(facts: Facts, member: Member, rule: Rule) -> int:
    return int(facts.status(member, "verificationStatus") in rule.options["last"])


def _status(facts: Facts, member: Member, rule: Rule) -> int:
    told = facts.status(member, rule.options["element"])
    if ranks := rule.options.get("ranks"):
        return int(ranks.get(told, len(ranks)))
    first, last = rule.options["first"], rule.options.get("last", ())
    if told in first:
        return int(first.index(told))
    return len(first) + int(told in last)


def _administered(facts: Facts, member: Member, rule: Rule) -> tuple[bool, bool]:
    resource = member.resource
    return (resource.get("status") != "completed", resource.get("primarySource") is False)


def _replaces(facts: Facts, member: Member, rule: Rule) -> bool:
    related = member.resource.get("relatesTo", ())
    return not any(each.get("code") == "replaces" for each in related)


def _instances(facts: Facts, member: Member, rule: Rule) -> int:
    held = member.resource.get("numberOfInstances")
    return -held if isinstance(held, int) else 0


ORDER: dict[str, Rank] = {
    "verification": _verification,
    "status": _status,
    "administered": _administered,
    "replaces": _replaces,
    "instances": _instances,
}


def clusters(facts: Facts, ties: Ties, policy: Policy) -> list[Cluster]:
    """Each statement once, with the member that is shown."""
    by_zib = policy.of("order")
    withdrawal = "*" in by_zib
    steps = {zib: [(ORDER[r.how], r) for r in rules] for zib, rules in by_zib.items() if zib != "*"}
    found = []
    for members, rules in ties.sets():
        if len(members) == 1:
            only = members[0]
            found.append(Cluster((only,), only, withdrawn=only.error))
            continue
        members.sort(key=lambda m: (*m.order, m.name))
        _mark_copies(facts, members)
        ranks = steps.get(members[0].zib, ())
        shown = min(members, key=lambda m: _place(facts, m, ranks))
        cluster = Cluster(tuple(members), shown, tuple(sorted(r.id for r in rules)))
        cluster.copied = any(r.how in COPIES for r in rules) or any(m.copy for m in members)
        if gone := _withdrawn(members) if withdrawal or all(m.error for m in members) else None:
            cluster.shown, cluster.withdrawn = gone, True
        found.append(cluster)
    return found


def _place(facts: Facts, member: Member, ranks: Any) -> tuple[Any, ...]:
    return (
        member.error,
        *(rank(facts, member, rule) for rank, rule in ranks),
        bool(member.copy),
        -member.recorded,
        -len(member.resource),
        (member.ura, member.type, member.id, member.name),
    )


def _mark_copies(facts: Facts, members: list[Member]) -> None:
    """Tell copies from what authors gave, as far as the sources say who wrote it.

    When all but one source are known to hold copies, that one is the author; when the author is
    known, the others hold copies.
    """
    uras = {m.ura for m in members}
    for member in members:
        member.copy = _copy(facts, member, uras)
    authors = {m.ura for m in members if m.copy is False}
    unknown = {m.ura for m in members if m.copy is None}
    for member in members:
        if member.copy is None and (authors or len(unknown) == 1):
            member.copy = bool(authors) and member.ura not in authors


def _copy(facts: Facts, member: Member, uras: set[str]) -> bool | None:
    """Whether it is a copy: an indicator, who assigned its number, who wrote it, in that order.

    A system of identifiers, or a `meta.source`, that has the URA of one of these sources in it
    is of that source.
    """
    if (told := facts.copied(member)) is not None:
        return told
    held = several(member.resource.get("identifier"))
    assigned = {facts.organization(member, each.get("assigner")) for each in held}
    meta = member.resource.get("meta") or {}
    places = [str(each.get("system", "")) for each in held] + [str(meta.get("source", ""))]
    named = {ura for ura in uras for place in places if ura in place}
    writers = (assigned - {""}) or facts.authors(member) or named
    return member.ura not in writers if writers else None


def _withdrawn(members: list[Member]) -> Member | None:
    """The member by which its author took the statement back; None when it stands.

    Only the author's word counts, and only while the author says nothing newer.
    """
    errors = [m for m in members if m.error]
    if not errors:
        return None
    live = [m for m in members if not m.error]
    newest = max(errors, key=lambda m: (m.copy is False, m.recorded, m.name))
    if not live:
        return newest
    if newest.copy is not False:
        return None
    own = [m for m in live if m.copy is not True]
    return newest if all(m.recorded < newest.recorded for m in own) else None
