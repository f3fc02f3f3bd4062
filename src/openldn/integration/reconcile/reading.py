"""The statements in what sources gave: what can be used, and what is set apart and told.

Source: integration §7.1 C8 and C9, §7.2 R22; hl7.org/fhir/R4/bundle.html.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec.check import Check
from openldn.fhir.codec.model import Problems
from openldn.fhir.codec.syntax import dump
from openldn.fhir.codec.tables import tables
from openldn.fhir.identifier_systems import system_of
from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import FhirVersion, Resource
from openldn.integration.reconcile import kinds, times
from openldn.integration.reconcile.model import (
    Answered,
    Member,
    Question,
    Source,
    Spans,
    Told,
)

# A resource that lacks one of these can still be used; to leave it out might hide a danger.
_SPARED = frozenset(
    {
        *("subject", "patient", "scope", "beneficiary", "payor", "intent", "class", "content"),
        *("medication[x]", "medication", "occurrence[x]", "occurrence", "policyRule"),
        *("lifecycleStatus", "description", "author", "title", "date"),
    }
)
_ABOUT = ("subject", "patient", "beneficiary", "for")
ASKED = ("answered", "empty", "quarantined", "failed", "refused", "late")
COVERAGE = "coverage"
_AGAIN = frozenset({"source-isolated", "subject-unknown", "no-locations"})  # found again
_COUNT = re.compile(r"(\w+) (\d+)")
_OWN_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


Problem = tuple[str, str]  # where, and why


class Reading:
    """What was read: members, and per source where a reference leads."""

    def __init__(self, question: Question, spans: Spans) -> None:
        self.question, self.spans = question, spans
        self.members: list[Member] = []
        self.told: list[Told] = []
        self.coverage: Counter[str] = Counter()
        self.versions = False  # whether a source gave several versions of one resource
        self._entries: dict[str, list[tuple[str, Resource]]] = {}
        self._places: dict[str, dict[str, Resource]] = {}  # made when a reference is followed

    def take(self, source: Source) -> None:
        """Read one source: all of it, or none when it is of another patient or unintelligible."""
        if source.answered is not Answered.OK or source.problem:
            return self._quarantine(source, source.problem or f"it ended as {source.answered}")
        try:
            entries = list(_entries(source.bundle))
        except LdnError as error:
            return self._quarantine(source, error.message)
        people = [r for _, r in entries if r.get("resourceType") == "Patient"]
        known = [person for person in people if _bsns(person)]
        if any(_bsns(person) != {self.question.bsn.value} for person in known):
            return self._quarantine(source, "it is about another patient than was asked")
        if any(_of_another(r, self.question.bsn) for _, r in entries):
            return self._quarantine(source, "something in it is about another patient")
        self._entries.setdefault(source.ura, []).extend(entries)
        self._hold(source, entries, {str(person.get("id", "")) for person in known or people})
        return None

    def find(self, member: Member, reference: object) -> Resource | None:
        """The resource that a reference in a member leads to, within its own source."""
        target = reference.get("reference") if isinstance(reference, dict) else None
        if not isinstance(target, str) or not target:
            return None
        if target.startswith("#"):
            held = member.resource.get("contained", ())
            return next((r for r in held if r.get("id") == target[1:]), None)
        places = self._places.get(member.ura)
        if places is None:
            places = self._places[member.ura] = _places(self._entries[member.ura])
        return places.get(target) or places.get("/".join(target.split("/")[-2:]))

    def close(self) -> None:
        """Forget where references lead: nothing is read any more."""
        self._places.clear()
        self._entries.clear()

    def _hold(self, source: Source, entries: list[tuple[str, Resource]], people: set[str]) -> None:
        seen: dict[tuple[str, str], list[Resource]] = {}
        found = 0
        for url, resource in entries:
            if resource.get("resourceType") == "OperationOutcome":
                self._warned(source, resource)
                continue
            own = _id_of(url, resource)
            if problem := _problem(resource):
                self._refuse(source, resource, own, problem)
                continue
            twins = seen.setdefault((resource["resourceType"], own), [])
            if any(twin == resource for twin in twins):
                continue
            twins.append(resource)
            found += 1
            self.members.append(self._member(source, resource, own, people))
        for twins in seen.values():
            if len(twins) > 1:
                self.versions = True
                self._tell_apart(source.ura, twins)
        self.coverage["answered" if found else "empty"] += 1

    def _member(self, source: Source, resource: Resource, own: str, people: set[str]) -> Member:
        name = resource["resourceType"]
        member = Member(source.ura, name, own, resource, kinds.zib_of(resource))
        member.name = self.name(source.ura, name, own)
        if member.zib == "Z-MED":
            member.block = kinds.block_of(resource)
        member.error = _in_error(resource)
        member.recorded = times.recorded(resource, self.spans)
        if people and _stranger(resource, people):
            member.alone = True
            text = f"source {source.ura}: {name} {own} is about a patient who is not in its answer"
            self.told.append(Told("warning", "business-rule", "subject-unknown", text))
        return member

    def name(self, *parts: str) -> str:
        """An id made of these: the same in every run with the same key."""
        text = "|".join(parts).encode()
        return blake2b(text, digest_size=16, key=self.question.key).hexdigest()

    def _tell_apart(self, ura: str, twins: list[Resource]) -> None:
        """Give two versions of one resource in one source an id of their own."""
        for member in self.members:
            if member.ura == ura and any(member.resource is twin for twin in twins):
                content = blake2b(dump(member.resource), digest_size=8).hexdigest()
                member.name = self.name(ura, member.type, member.id, content)

    def _warned(self, source: Source, outcome: Resource) -> None:
        """A source's own warning is no statement about the patient; its words stay with it."""
        issues = outcome.get("issue")
        for issue in issues if isinstance(issues, list) else ():
            severity = issue.get("severity") if isinstance(issue, dict) else None
            if severity in {"fatal", "error", "warning"}:
                text = f"source {source.ura} gave its answer with a message of level {severity}"
                self.told.append(Told("warning", "incomplete", "source-warned", text))

    def _quarantine(self, source: Source, why: str) -> None:
        text = f"source {source.ura} is left out as a whole: {why}"
        code = "quarantined" if source.answered is Answered.OK else source.answered.value
        self.coverage[code] += 1
        self.told.append(Told("error", "business-rule", f"source-{code}", text))

    def before(self, told: Iterable[Told]) -> None:
        """What an earlier reading told of what it could not use; it is not among the members."""
        for each in told:
            if each.code == COVERAGE:
                counts = Counter({word: int(count) for word, count in _COUNT.findall(each.text)})
                self.coverage.update({kind: counts[kind] for kind in ASKED if kind != "answered"})
            elif each.code not in _AGAIN:
                self.told.append(each)

    def covered(self) -> Told:
        """How many sources were asked and how that ended; nobody asked is not nothing found.

        Source: integration §5.2 and §5.3.
        """
        counts = ", ".join(f"{kind} {self.coverage[kind]}" for kind in ASKED)
        asked = self.coverage.total()
        text = f"asked {asked}: {counts}"
        if not asked:
            return Told("warning", "not-found", "no-locations", "no source was asked")
        if self.coverage["answered"] or self.coverage["empty"]:
            return Told("information", "informational", COVERAGE, text)
        return Told("error", "incomplete", COVERAGE, f"{text}; nothing is known")

    def _refuse(self, source: Source, resource: Resource, own: str, problem: Problem) -> None:
        where, why = problem
        name = resource.get("resourceType")
        shown = name if isinstance(name, str) and name.isalnum() else "a resource"
        text = f"source {source.ura}: {shown} {own} cannot be used: {where} {why}"
        self.told.append(Told("error", "invalid", "resource-invalid", text, where))


def _entries(bundle: object) -> Iterator[tuple[str, Resource]]:
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise LdnError(Issue.STRUCTURE, "it did not give a FHIR Bundle")
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise LdnError(Issue.STRUCTURE, "the entries of its Bundle are no list")
    for entry in entries:
        resource = entry.get("resource") if isinstance(entry, dict) else None
        url = entry.get("fullUrl", "") if isinstance(entry, dict) else ""
        if not isinstance(resource, dict):
            resource = {}  # told as a resource that cannot be used
        yield (url if isinstance(url, str) else ""), resource


def _id_of(url: str, resource: Resource) -> str:
    own = resource.get("id")
    if isinstance(own, str) and _OWN_ID.fullmatch(own):
        return own
    last = re.split(r"[/:]", url)[-1]
    if _OWN_ID.fullmatch(last):
        return last
    return blake2b(dump(resource), digest_size=8).hexdigest()


def _problem(resource: Resource) -> Problem | None:
    """Where and why a resource cannot be used; None when it can."""
    problems = Problems()
    try:
        Check(tables(FhirVersion.R4), problems).resource(resource, None)
    except LdnError as error:
        return error.where, error.message
    for _, where, text in problems.found:
        missing = text.startswith("required")
        if not (missing and where.rpartition(".")[2] in _SPARED):
            return where, text
    name = resource["resourceType"]
    allowed = kinds.STATUS.get(name)
    if allowed and "status" in resource and resource["status"] not in allowed:
        return f"{name}.status", "is not a status of its kind"
    return None


def _places(entries: list[tuple[str, Resource]]) -> dict[str, Resource]:
    found: dict[str, Resource] = {}
    for url, resource in entries:
        if url:
            found[url] = resource
        found[f"{resource.get('resourceType')}/{resource.get('id')}"] = resource
    return found


def _in_error(resource: Resource) -> bool:
    if resource.get("status") == "entered-in-error":
        return True
    concept = resource.get("verificationStatus")
    if not isinstance(concept, dict):
        return False
    return any(c.get("code") == "entered-in-error" for c in concept.get("coding", ()))


def _bsns(person: Resource) -> set[str]:
    identifiers = person.get("identifier", ())
    return {v for i in identifiers if (v := _bsn(i))} if isinstance(identifiers, list) else set()


def _bsn(identifier: Any) -> str:
    if not isinstance(identifier, dict):
        return ""
    system = system_of(str(identifier.get("system", "")))
    value = identifier.get("value")
    of_people = system is not None and system.kind is Bsn
    return value.strip().zfill(9) if of_people and isinstance(value, str) else ""


def _about(resource: Resource) -> dict[str, Any]:
    """The reference to whom a resource is about; empty when it has none."""
    for name in _ABOUT:
        about = resource.get(name)
        if type(about) is dict:
            return about
    return {}


def _of_another(resource: Resource, bsn: Bsn) -> bool:
    identifier = _about(resource).get("identifier")
    return identifier is not None and _bsn(identifier) not in ("", bsn.value)


def _stranger(resource: Resource, people: set[str]) -> bool:
    """Whether it is about a Patient that the source named by another id than any it gave."""
    target = _about(resource).get("reference")
    if type(target) is not str or "Patient/" not in target:
        return False
    return target.partition("Patient/")[2].partition("/")[0] not in people
