"""Which codes mean the same, and which is a kind of which, by tables that are loaded.

Only `equivalent` makes two codes one; `broader` and `narrower` make parent and child. Texts are
never read. Source: integration §6, code equivalence service; hl7.org/fhir/R4/conceptmap.html.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.model import Resource
from openldn.integration.reconcile.unions import Unions

_HL7 = "http://terminology.hl7.org/CodeSystem/"
SYSTEMS = {
    "urn:oid:2.16.840.1.113883.6.96": "http://snomed.info/sct",
    "urn:oid:2.16.840.1.113883.6.1": "http://loinc.org",
    "urn:oid:2.16.840.1.113883.6.3": "http://hl7.org/fhir/sid/icd-10",
    "urn:oid:2.16.840.1.113883.6.90": "http://hl7.org/fhir/sid/icd-10-nl",
    "urn:oid:2.16.840.1.113883.2.4.4.31.1": "http://hl7.org/fhir/sid/icpc-1-nl",
    "urn:oid:2.16.840.1.113883.6.73": "http://www.whocc.no/atc",
}
NOTHING_SAID = frozenset(
    {
        f"{_HL7}v3-NullFlavor",
        "http://hl7.org/fhir/v3/NullFlavor",
        f"{_HL7}data-absent-reason",
        "http://hl7.org/fhir/data-absent-reason",
    }
)
_SAME = frozenset({"equal", "equivalent"})
_WIDER = frozenset({"wider", "subsumes", "source-is-narrower-than-target"})  # the target is
_NARROWER = frozenset({"narrower", "specializes", "source-is-broader-than-target"})
_DEEPEST = 32


class Codes:
    """What codes mean, by these ConceptMaps (R4; the words of R5 are read too).

    Raises LdnError(invalid) for what is no ConceptMap.
    """

    def __init__(
        self, maps: Iterable[Resource] = (), unspecific: frozenset[str] = frozenset()
    ) -> None:
        self._same: Unions[str] = Unions()
        self._unspecific = unspecific
        rows = [row for each in maps for row in _rows(each)]
        for one, how, other in rows:
            if how in _SAME:
                self._same.join(one, other)
        self._parents: dict[str, set[str]] = {}
        for one, how, other in rows:
            child, parent = (one, other) if how in _WIDER else (other, one)
            if how in _WIDER or how in _NARROWER:
                self._parents.setdefault(self._root(child), set()).add(self._root(parent))
        self._above: dict[str, frozenset[str]] = {}
        self._read: dict[tuple[object, object], str] = {}

    @property
    def flat(self) -> bool:
        """Whether no table says that one is a kind of another."""
        return not self._parents

    def of(self, concept: object) -> tuple[str, ...]:
        """The meanings of a CodeableConcept, one for each coding that says something."""
        codings = concept.get("coding") if isinstance(concept, dict) else None
        if not isinstance(codings, list):
            return ()
        if len(codings) == 1:
            meaning = self._meaning(codings[0])
            return (meaning,) if meaning else ()
        return tuple(dict.fromkeys(m for c in codings if (m := self._meaning(c))))

    def above(self, meaning: str) -> frozenset[str]:
        """Everything that this meaning is a kind of."""
        if meaning not in self._above:
            found, level = set[str](), {meaning}
            for _ in range(_DEEPEST):
                level = {p for each in level for p in self._parents.get(each, ())} - found
                found |= level
            self._above[meaning] = frozenset(found - {meaning})
        return self._above[meaning]

    def _meaning(self, coding: object) -> str:
        if not isinstance(coding, dict):
            return ""
        system, code = coding.get("system"), coding.get("code")
        if (found := self._read.get((system, code))) is None:
            found = self._read[system, code] = self._understood(system, code)
        return found

    def _understood(self, system: object, code: object) -> str:
        if not isinstance(system, str) or not isinstance(code, str) or not system or not code:
            return ""
        name = named(system, code)
        silent = system in NOTHING_SAID or name in self._unspecific
        return "" if silent else self._root(name)

    def _root(self, name: str) -> str:
        return self._same.root(name)


def named(system: str, code: str) -> str:
    """One name for a code, whichever way its system is written."""
    return f"{SYSTEMS.get(system, system)}|{code}"


def system_of(meaning: str) -> str:
    """The system in a name of a code."""
    return meaning.rpartition("|")[0]


def differ(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether two concepts cannot be the same: they use one system, with other codes."""
    if not one or not other or not set(one).isdisjoint(other):
        return False
    return not {system_of(m) for m in one}.isdisjoint(system_of(m) for m in other)


_NONE = "a table of codes is a FHIR ConceptMap; this is not one"


def _rows(resource: object) -> Iterator[tuple[str, str, str]]:
    if not isinstance(resource, dict):
        raise LdnError(Issue.INVALID, _NONE)
    if resource.get("resourceType") == "Bundle":
        for entry in _objects(resource, "entry"):
            yield from _rows(entry.get("resource"))
        return
    if resource.get("resourceType") != "ConceptMap":
        raise LdnError(Issue.INVALID, _NONE)
    for group in _objects(resource, "group"):
        yield from _pairs(group)


def _pairs(group: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    source, aim = str(group.get("source", "")), str(group.get("target", ""))
    for element in _objects(group, "element"):
        for target in _objects(element, "target"):
            how = target.get("equivalence") or target.get("relationship") or ""
            if "code" in element and "code" in target:
                one = named(source, str(element["code"]))
                yield one, str(how), named(aim, str(target["code"]))


def _objects(parent: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = parent.get(name, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        text = f"the table of codes cannot be read: {name} is no list of objects"
        raise LdnError(Issue.INVALID, text, where=f"ConceptMap.{name}")
    return found
