"""The records of a simulated party, in memory, and the searches that the exchanges ask of them."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import BSN_SYSTEM
from openldn.fhir.model import Resource

Pairs = Sequence[tuple[str, str]]

_OF_PATIENT = re.compile(r"(?:patient|subject|beneficiary)(?::Patient)?\.identifier|identifier")
_RESULTS = frozenset({"_include", "_revinclude", "_sort", "_count", "_format"})
_ELEMENTS = {  # name in an include -> element
    "general-practitioner": "generalPractitioner",
    "medication": "medicationReference",
    "related-target": "related",
    "based-on": "basedOn",
}


@dataclass(frozen=True)
class Found:
    """What a search comes to."""

    matches: tuple[Resource, ...]
    included: tuple[Resource, ...] = ()


@dataclass
class Records:
    """Resources by type and id."""

    resources: dict[str, Resource] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> "Records":
        """These resources."""
        return cls({f"{r['resourceType']}/{r['id']}": r for r in resources})

    def read(self, type_: str, id_: str) -> Resource:
        """One resource; raises LdnError(not-found)."""
        found = self.resources.get(f"{type_}/{id_}")
        if found is None:
            raise LdnError(Issue.NOT_FOUND, f"no such {type_} here")
        return found

    def search(self, path: str, pairs: Pairs, bsn: str) -> Found:
        """The resources of one patient that a search asks for; `bsn` where no parameter names them.

        Raises LdnError(forbidden) when the search and the token are about different people.
        """
        type_, _, operation = path.partition("/")
        named = {value.rpartition("|")[2] for name, value in pairs if _OF_PATIENT.fullmatch(name)}
        if len(named | ({bsn} if bsn else set())) > 1:
            raise LdnError(Issue.FORBIDDEN, "the token is about another patient")
        patient = self._patient(next(iter(named), bsn))
        own = [r for r in self.resources.values() if r["resourceType"] == type_]
        wanted = [p for p in pairs if p[0] not in _RESULTS and not _OF_PATIENT.fullmatch(p[0])]
        matches = [r for r in own if _about(r, patient) and all(_has(r, *p) for p in wanted)]
        if operation == "$lastn":
            matches = _newest(matches)
        included = self._included(matches, [v for n, v in pairs if n == "_include"])
        return Found(tuple(matches), tuple(included))

    def document(self, composition: Resource) -> Resource:
        """The document of a Composition, with all it refers to."""
        inside = [composition, *self.referred(composition)]
        entries = [{"resource": r} for r in inside]
        return {"resourceType": "Bundle", "type": "document", "entry": entries}

    def referred(self, resource: Resource) -> list[Resource]:
        """Everything that this leads to, each once."""
        found: dict[str, Resource] = {}
        waiting = [resource]
        while waiting:
            for reference in references(waiting.pop()):
                known = self.resources.get(reference)
                if known is not None and reference not in found and known is not resource:
                    found[reference] = known
                    waiting.append(known)
        return list(found.values())

    def bsn(self, patient: str) -> str:
        """The BSN of the patient with this id; empty without one."""
        known = self.resources.get(f"Patient/{patient}", {})
        numbers = [i["value"] for i in known.get("identifier", ()) if i["system"] == BSN_SYSTEM]
        return numbers[0] if numbers else ""

    def _patient(self, bsn: str) -> str:
        for key in self.resources:
            type_, _, id_ = key.partition("/")
            if type_ == "Patient" and bsn and self.bsn(id_) == bsn:
                return key
        return ""

    def _included(self, matches: list[Resource], includes: list[str]) -> Iterator[Resource]:
        seen = {f"{r['resourceType']}/{r['id']}" for r in matches}
        for include in includes:
            name = include.split(":")[1] if ":" in include else ""
            for match in matches:
                for reference in references(match.get(_ELEMENTS.get(name, name))):
                    if reference in self.resources and reference not in seen:
                        seen.add(reference)
                        yield self.resources[reference]


def references(content: Any) -> Iterator[str]:
    """Every relative reference in this."""
    if isinstance(content, dict):
        if isinstance(content.get("reference"), str):
            yield content["reference"]
        for value in content.values():
            yield from references(value)
    elif isinstance(content, list):
        for value in content:
            yield from references(value)


def _about(resource: Resource, patient: str) -> bool:
    if not patient:
        return False
    own = f"{resource['resourceType']}/{resource['id']}"
    return own == patient or patient in references(resource)


def _has(resource: Resource, name: str, value: str) -> bool:
    """Whether one of the codes in the list is there; a blank after a comma is met in the field."""
    content = resource.get(name)
    return any(_coded(content, wanted.strip()) for wanted in value.split(","))


def _coded(content: Any, wanted: str) -> bool:
    system, bar, code = wanted.rpartition("|")
    if isinstance(content, str):
        return content == wanted
    if isinstance(content, list):
        return any(_coded(one, wanted) for one in content)
    if not isinstance(content, dict):
        return False
    if "coding" in content:
        return _coded(content["coding"], wanted)
    return content.get("code") == code and (not bar or content.get("system") == system)


def _newest(resources: list[Resource]) -> list[Resource]:
    """The newest observation of each code."""
    newest: dict[str, Resource] = {}
    for one in sorted(resources, key=lambda r: str(r.get("effectiveDateTime", ""))):
        newest[str(one.get("code"))] = one
    return list(newest.values())
