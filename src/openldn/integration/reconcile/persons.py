"""Whether all sources speak of one person: a birth date or sex that deviates stops the line.

The source that deviates from the others is set alone, with nothing of it linked; where nobody is
in the majority, all are. Source: integration Z-PAT and R22; decision 27.
"""

from collections import Counter

from openldn.integration.reconcile.model import Conflict, Member, Rule, Told

_SEXES = frozenset({"male", "female"})


def deviating(members: list[Member], rule: Rule) -> tuple[set[str], list[Conflict], list[Told]]:
    """The sources that stand alone, the conflicts between their Patients, and what to tell."""
    patients = [m for m in members if m.type == "Patient"]
    alone, conflicts = set[str](), list[Conflict]()
    for element in ("birthDate", "gender"):
        said = {m: value for m in patients if (value := _said(m, element))}
        if not (odd := _odd(said)):
            continue
        alone |= odd
        text = f"{element} differs between sources; nothing is linked with what deviates"
        conflicts.append(Conflict(rule.id, "wrong-person-risk", tuple(said), text, "high"))
    told = [
        Told(
            "error",
            "conflict",
            "source-isolated",
            f"source {ura} is set apart: its patient differs in birth date or sex; "
            "find out whose data these are before using them",
        )
        for ura in sorted(alone)
    ]
    return alone, conflicts, told


def _said(member: Member, element: str) -> str:
    value = member.resource.get(element)
    if not isinstance(value, str) or (element == "gender" and value not in _SEXES):
        return ""
    return value


def _odd(said: dict[Member, str]) -> set[str]:
    """The sources whose value does not fit that of the majority."""
    values = set(said.values())
    if all(_fit(one, other) for one in values for other in values):
        return set()
    sources = {(m.ura, value) for m, value in said.items()}
    votes = Counter({v: sum(_fit(v, other) for _, other in sources) for v in values})
    (first, most), *rest = sorted(votes.items(), key=lambda vote: (-vote[1], -len(vote[0])))
    tied = any(count == most and not _fit(first, value) for value, count in rest)
    return {ura for ura, value in sources if tied or not _fit(first, value)}


def _fit(one: str, other: str) -> bool:
    """Equal, or the one a coarser form of the other (1970 and 1970-05-06)."""
    return one.startswith(other) or other.startswith(one)
