"""What a situation has no use for: left out, counted, and there again for who asks without it.

An allergy, a directive and whatever takes part in a conflict is never left out.
Source: integration §3, relevance; R29.
"""

from collections import Counter
from dataclasses import replace

from openldn.base.errors import Issue, LdnError
from openldn.integration.reconcile import times
from openldn.integration.reconcile.facts import Facts
from openldn.integration.reconcile.model import Cluster, Policy, Question, Reconciled, Told

KEPT = frozenset({"Z-ALG", "Z-DIR", "Z-PAT"})


def relevant(
    found: Reconciled, facts: Facts, policy: Policy, question: Question, situation: str
) -> Reconciled:
    """The set without what is too old for this situation, and how much that was, by kind.

    Raises LdnError(invalid) for a situation that the policy does not know.
    """
    if (oldest := policy.situations.get(situation)) is None:
        known = ", ".join(policy.situations)
        raise LdnError(Issue.INVALID, f"the policy knows no such situation; choose from {known}")
    now = int(question.at.timestamp())
    fought = {m for conflict in found.conflicts for m in conflict.members}

    def old(cluster: Cluster) -> bool:
        days = oldest.get(cluster.shown.zib)
        start = facts.start(cluster.shown)
        if days is None or start is None or cluster.shown.zib in KEPT:
            return False
        return start.end < now - days * times.DAY and fought.isdisjoint(cluster.members)

    gone = {id(c) for c in found.clusters if old(c)}
    counts = Counter(c.shown.zib for c in found.clusters if id(c) in gone)
    told = [
        Told("information", "informational", "left-out", _text(zib, count, situation))
        for zib, count in sorted(counts.items())
    ]
    return replace(
        found,
        clusters=[c for c in found.clusters if id(c) not in gone],
        pairs=[p for p in found.pairs if gone.isdisjoint((id(p.first), id(p.second)))],
        told=[*found.told, *told],
    )


def _text(zib: str, count: int, situation: str) -> str:
    return f"situation {situation}: {count} of {zib} left out as too old; ask without it for all"
