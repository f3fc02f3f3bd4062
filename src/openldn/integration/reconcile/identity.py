"""What makes two statements one and the same for certain: identifiers (L1) and origin (L2).

Each function gives the keys of a member; who shares a key is the same statement. Display text
and clinical content never decide. Source: integration §3 and §6, column exact identity.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from openldn.integration.reconcile.codes import differ
from openldn.integration.reconcile.facts import Facts, content
from openldn.integration.reconcile.kinds import several
from openldn.integration.reconcile.model import Member, Policy, Rule
from openldn.integration.reconcile.unions import Unions

Keys = Callable[[Facts, Member, Rule], Iterable[str]]
_POINTER = re.compile(r"(?<!\d)(\d{8})(?!\d).*?([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})$")
_STUDY = "urn:dicom:uid"
_FROM_ELSEWHERE = ("source", "derivation", "quotation")


def _identifiers(member: Member) -> list[dict[str, Any]]:
    return several(member.resource.get("identifier"))


def _typed(identifier: dict[str, Any]) -> set[object]:
    kind = identifier.get("type")
    codings = kind.get("coding", ()) if isinstance(kind, dict) else ()
    return {coding.get("code") for coding in codings if isinstance(coding, dict)}


def identifier(facts: Facts, member: Member, rule: Rule) -> Iterator[str]:
    """Business identifiers, but not those of an order or of a set of images."""
    for each in _identifiers(member):
        if "type" in each and not facts.lists["not-identity"].isdisjoint(map(str, _typed(each))):
            continue
        if key := facts.identifier(each):
            yield f"{member.type}{member.block}|{key}"


def accession(facts: Facts, member: Member, rule: Rule) -> Iterator[str]:
    """The accession number of an examination, for one kind of examination."""
    for each in _identifiers(member):
        if "ACSN" in _typed(each) and (key := facts.identifier(each)):
            yield from (f"{member.type}|accession|{key}|{code}" for code in facts.code(member))


def report(facts: Facts, member: Member, rule: Rule) -> Iterator[str]:
    """The identifier of the report of a procedure, for one kind of procedure."""
    for reference in member.resource.get("report", ()):
        held = [reference.get("identifier")]
        if found := facts.reading.find(member, reference):
            held += found.get("identifier", ())
        for key in filter(None, map(facts.identifier, held)):
            yield from (f"{member.type}|report|{key}|{code}" for code in facts.code(member))


def specimen(facts: Facts, member: Member, rule: Rule) -> Iterator[str]:
    """One analyte in one specimen; the outcomes are compared after."""
    for key in facts.specimens(member):
        yield from (f"{member.type}|specimen|{key}|{code}" for code in facts.code(member))


def document(facts: Facts, member: Member, rule: Rule) -> Iterator[str]:
    """The master identifier of a document."""
    if key := facts.identifier(member.resource.get("masterIdentifier")):
        yield f"{member.type}|{key}"


def same_bytes(facts: Facts, member: Member, rule: Rule) -> Iterator[str]:
    """Equal bytes of all attachments of a document."""
    if digests := sorted(content(facts, member)):
        yield f"{member.type}|bytes|{' '.join(digests)}"


def study(facts: Facts, member: Member, rule: Rule) -> Iterator[str]:
    """The StudyInstanceUID of a set of images."""
    for each in _identifiers(member):
        value = str(each.get("value", "")).strip().lower()
        if each.get("system") == _STUDY or value.startswith("urn:oid:"):
            number = value.removeprefix("urn:oid:")
            if facts.identifier({"system": _STUDY, "value": number}):
                yield f"{member.type}|study|{number}"


def lot(facts: Facts, member: Member, rule: Rule) -> Iterator[str]:
    """One lot on one day; of products that are told, none may differ."""
    number, start = member.resource.get("lotNumber"), facts.start(member)
    if isinstance(number, str) and number.strip() and start and start.fine >= 10:
        yield f"lot|{number.strip()}|{start.day}"


IDENTITY: dict[str, Keys] = {
    "identifier": identifier,
    "accession": accession,
    "report": report,
    "specimen": specimen,
    "document": document,
    "bytes": same_bytes,
    "study": study,
    "lot": lot,
}
COPIES = frozenset({"origin", "bytes"})  # these tell that one was made from the other


class Ties:
    """Which members are the same statement, and by which rules."""

    def __init__(self, members: list[Member]) -> None:
        self.unions: Unions[int] = Unions()
        self.rules: dict[int, set[Rule]] = {}
        self._members = members

    def join(self, places: list[int], rule: Rule) -> None:
        """Tie the members at these places."""
        for place in places[1:]:
            self.unions.join(places[0], place)
        self.rules.setdefault(places[0], set()).add(rule)

    def sets(self) -> Iterator[tuple[list[Member], set[Rule]]]:
        """The members of each statement, with the rules that tie them."""
        found: dict[int, list[Member]] = {}
        for place, member in enumerate(self._members):
            found.setdefault(self.unions.root(place), []).append(member)
        rules: dict[int, set[Rule]] = {}
        for place, held in self.rules.items():
            rules.setdefault(self.unions.root(place), set()).update(held)
        for root, members in found.items():
            yield members, rules.get(root, set())


def ties(facts: Facts, members: list[Member], policy: Policy) -> Ties:
    """Which members are the same for certain; those set alone only with their own source."""
    found = Ties(members)
    rules = policy.of("identity")
    buckets, by = _buckets(facts, members, rules)
    for key, places in buckets.items():
        if len(places) > 1:
            for group in _sound(facts, [(p, members[p]) for p in places], by[key]):
                found.join(group, by[key])
    origins = {zib: r for zib, held in rules.items() for r in held if r.how == "origin"}
    for copy, original in _origins(facts, members, buckets):
        if rule_of := origins.get(members[copy].zib):
            found.join([copy, original], rule_of)
    return found


def _buckets(
    facts: Facts, members: list[Member], rules: dict[str, tuple[Rule, ...]]
) -> tuple[dict[str, list[int]], dict[str, Rule]]:
    """Who has each key, and the rule that it is of."""
    buckets: dict[str, list[int]] = {}
    by: dict[str, Rule] = {}
    steps = {
        zib: [(IDENTITY[rule.how], rule) for rule in held if rule.how != "origin"]
        for zib, held in rules.items()
    }
    for place, member in enumerate(members):
        mark = f"{member.ura}!" if member.alone else ""
        for keys, rule in steps.get(member.zib, ()):
            for key in keys(facts, member, rule):
                held = buckets.setdefault(mark + key, [])
                if not held:
                    by[mark + key] = rule
                if not held or held[-1] != place:
                    held.append(place)
    return buckets, by


def _origins(
    facts: Facts, members: list[Member], buckets: dict[str, list[int]]
) -> Iterator[tuple[int, int]]:
    """A copy and its original, where the copy tells what it was made from (L2)."""
    if facts.reading.versions:
        yield from _versions(members)
    pointing = [p for p, m in enumerate(members) if not m.alone and _points(m)]
    if not pointing:
        return
    places = {(m.ura, m.type, m.id): p for p, m in enumerate(members) if not m.alone}
    for place in pointing:
        member = members[place]
        if member.type == "Provenance":
            yield from _provenance(facts, members, member, places, buckets)
        elif (found := _POINTER.search(member.resource["meta"]["source"])) is not None:
            original = places.get((found[1], found[2], found[3]))
            if original is not None and original != place and found[2] == member.type:
                yield place, original


def _versions(members: list[Member]) -> Iterator[tuple[int, int]]:
    """Two versions of one resource of one source."""
    first: dict[tuple[str, str, str], int] = {}
    for place, member in enumerate(members):
        known = first.setdefault((member.ura, member.type, member.id), place)
        if known != place:
            yield place, known


def _points(member: Member) -> bool:
    meta = member.resource.get("meta")
    return member.type == "Provenance" or bool(isinstance(meta, dict) and meta.get("source"))


def _provenance(
    facts: Facts,
    members: list[Member],
    member: Member,
    places: dict[tuple[str, str, str], int],
    buckets: dict[str, list[int]],
) -> Iterator[tuple[int, int]]:
    for target in member.resource.get("target", ()):
        at = _place(facts, member, target, places)
        if at is None:
            continue
        for original in _pointed(facts, member, members[at], places, buckets):
            if original != at and members[original].type == members[at].type:
                yield at, original


def _place(
    facts: Facts, member: Member, target: object, places: dict[tuple[str, str, str], int]
) -> int | None:
    found = facts.reading.find(member, target)
    if found is None:
        return None
    return places.get((member.ura, str(found["resourceType"]), str(found.get("id"))))


def _pointed(
    facts: Facts,
    member: Member,
    copy: Member,
    places: dict[tuple[str, str, str], int],
    buckets: dict[str, list[int]],
) -> Iterator[int]:
    for entity in member.resource.get("entity", ()):
        what = entity.get("what")
        if entity.get("role") not in _FROM_ELSEWHERE or not isinstance(what, dict):
            continue
        if found := _POINTER.search(str(what.get("reference", ""))):
            original = places.get((found[1], found[2], found[3]))
            if original is not None:
                yield original
        if key := facts.identifier(what.get("identifier")):
            yield from buckets.get(f"{copy.type}{copy.block}|{key}", ())


def _sound(facts: Facts, held: list[tuple[int, Member]], rule: Rule) -> Iterator[list[int]]:
    """Who of those that share a key are indeed the same.

    A source that gives one identifier to several statements has not identified any of them: then
    the key ties nobody. An Observation is of one analyte; a dose of one lot.
    """
    guard = rule.options.get("guard", "")
    members = [member for _, member in held]
    if guard == "outcome":
        yield from _alike(facts, held)
    elif guard == "lot" and len(_lots(members)) > 1:
        yield from _by_lot(held)
    elif not _ambiguous(facts, members, everywhere=guard == "code"):
        yield [place for place, _ in held]


def _ambiguous(facts: Facts, members: list[Member], everywhere: bool) -> bool:
    seen: dict[str, tuple[str, ...]] = {}
    for member in members:
        code = facts.code(member)
        where = "" if everywhere else member.ura
        if differ(seen.setdefault(where, code), code):
            return True
    return False


def _lots(members: list[Member]) -> set[str]:
    return {lot for m in members if (lot := str(m.resource.get("lotNumber", "")).strip())}


def _by_lot(held: list[tuple[int, Member]]) -> Iterator[list[int]]:
    found: dict[str, list[int]] = {}
    for place, member in held:
        if lot := str(member.resource.get("lotNumber", "")).strip():
            found.setdefault(lot, []).append(place)
    yield from (places for places in found.values() if len(places) > 1)


SUPERSEDES = {"corrected": 2, "amended": 2, "appended": 2, "final": 1}


def _alike(facts: Facts, held: list[tuple[int, Member]]) -> Iterator[list[int]]:
    """Those with one outcome, and those that were corrected by another of the set."""
    for index, (place, member) in enumerate(held):
        for other_place, other in held[index + 1 :]:
            rank, other_rank = (
                SUPERSEDES.get(str(m.resource.get("status")), 0) for m in (member, other)
            )
            if rank != other_rank or facts.agree(member, other):
                yield [place, other_place]
