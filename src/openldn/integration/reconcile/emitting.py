"""The set as FHIR: members as they came, who stands for whom, what may be the same, conflicts.

Source: integration §5.1; hl7.org/fhir/R4 provenance.html, linkage.html, detectedissue.html.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from openldn.base.runtime import instant
from openldn.fhir.identifiers import CANON, URA_SYSTEM
from openldn.fhir.model import Resource
from openldn.integration.reconcile.kinds import KINDS
from openldn.integration.reconcile.model import (
    MADE,
    ORIGINAL_SOURCE,
    RULE,
    SOURCE_ID,
    Cluster,
    Conflict,
    Member,
    Pair,
    Policy,
    Reconciled,
    Tie,
    Told,
)
from openldn.integration.reconcile.reading import Reading

BASE = f"{CANON}/reconciled/"
_PARTY = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
# They have no identifier, or one only: the id at their source is told in a tag.
_WITHOUT_IDENTIFIERS = frozenset(
    "Composition QuestionnaireResponse Bundle Binary Provenance AuditEvent OperationOutcome "
    "Linkage Parameters MessageHeader StructureMap SearchParameter OperationDefinition "
    "GraphDefinition ImplementationGuide CapabilityStatement CompartmentDefinition "
    "NamingSystem ConceptMap TerminologyCapabilities VerificationResult".split()
)
_RANK = {zib: place for place, zib in enumerate(KINDS)}


def bundle(reading: Reading, found: Reconciled, policy: Policy) -> Resource:
    """The collection Bundle: the same bytes whatever the order in which sources answered."""
    out = Emitting(reading, found, policy)
    entries = [
        {"fullUrl": f"{BASE}{each['resourceType']}/{each['id']}", "resource": each}
        for each in out.resources()
    ]
    return {
        "resourceType": "Bundle",
        "meta": {"tag": [_tag("bundle")]},
        "type": "collection",
        "timestamp": instant(reading.question.at),
        "entry": entries,
    }


def told_of(resource: Resource) -> Iterator[Told]:
    """What an outcome that was made here told; for a set that is reconciled again."""
    for issue in resource.get("issue", ()):
        codings: Any = (issue.get("details") or {}).get("coding") or ({},)
        where = (issue.get("expression") or [""])[0]
        code = str(codings[0].get("code", ""))
        yield Told(issue["severity"], issue["code"], code, issue.get("diagnostics", ""), where)


class Emitting:
    """Writes one outcome."""

    def __init__(self, reading: Reading, found: Reconciled, policy: Policy) -> None:
        self.found, self.policy, self._name = found, policy, reading.name
        self._at = instant(reading.question.at)
        self._stand_ins: dict[int, str] = {}

    def resources(self) -> Iterator[Resource]:
        """Representatives, members, and what ties them; each part in a fixed order."""
        clusters = sorted(self.found.clusters, key=_display)
        tied = [c for c in clusters if len(c.members) > 1 and c.picked]
        for cluster in tied:
            name = self._name("representative", *(m.name for m in cluster.members))
            self._stand_ins[id(cluster)] = f"{cluster.shown.type}/{name}"
            yield self._representative(cluster, name)
        for cluster in clusters:
            yield from map(member, cluster.members)
        for cluster in tied:
            yield self._provenance(cluster)
        yield from _ordered(map(self._tie, self.found.pairs))
        yield from _ordered(map(self._issue, self.found.conflicts))
        yield self._outcome()

    def _representative(self, cluster: Cluster, name: str) -> Resource:
        made = dict(cluster.shown.resource)
        made["id"] = name
        meta = dict(made.get("meta") or {})
        tags = [_tag("withdrawn" if cluster.withdrawn else "representative")]
        meta["tag"] = [*meta.get("tag", ()), *tags]
        made["meta"] = meta
        return made

    def _provenance(self, cluster: Cluster) -> Resource:
        target = self._stand_ins[id(cluster)]
        code = "copy" if cluster.copied else "merge"
        coding = {"system": MADE, "code": code}
        return {
            "resourceType": "Provenance",
            "id": self._name("provenance", target),
            "meta": {"tag": [_tag("provenance")]},
            "target": [{"reference": target}],
            "recorded": self._at,
            "policy": [f"{self.policy.uri}|{self.policy.version}"],
            "reason": [{"coding": [_rule(each) for each in cluster.rules]}],
            "activity": {"coding": [coding]},
            "agent": [_assembler()],
            "entity": [
                {"role": "source", "what": {"reference": _reference(m)}} for m in cluster.members
            ],
        }

    def _tie(self, pair: Pair) -> Resource:
        ends = [self._shown(pair.first), self._shown(pair.second)]
        if pair.tie is Tie.POSSIBLE:
            ends.sort()
            return {
                "resourceType": "Linkage",
                "id": self._name("linkage", pair.rule, *ends),
                "meta": {"tag": [_tag("possible-same"), _rule(pair.rule)]},
                "active": True,
                "item": [{"type": "alternate", "resource": {"reference": e}} for e in ends],
            }
        detail = {Tie.PARENT: "the second is a kind of the first"}.get(pair.tie, pair.tie.value)
        return self._detected(pair.tie.value, pair.rule, ends, detail, "low")

    def _issue(self, conflict: Conflict) -> Resource:
        ends = [_reference(m) for m in conflict.members]
        return self._detected(
            conflict.code, conflict.rule, ends, conflict.detail, conflict.severity
        )

    def _detected(
        self, code: str, rule: str, ends: list[str], detail: str, severity: str
    ) -> Resource:
        return {
            "resourceType": "DetectedIssue",
            "id": self._name("issue", code, rule, *ends),
            "meta": {"tag": [_tag(code), _rule(rule)]},
            "status": "final",
            "code": {"coding": [{"system": MADE, "code": code}]},
            "severity": severity,
            "identifiedDateTime": self._at,
            "implicated": [{"reference": each} for each in ends],
            "detail": detail,
        }

    def _outcome(self) -> Resource:
        told = sorted(set(self.found.told))
        return {
            "resourceType": "OperationOutcome",
            "id": self._name("outcome"),
            "meta": {"tag": [_tag("outcome")]},
            "issue": [_told(each) for each in told],
        }

    def _shown(self, cluster: Cluster) -> str:
        return self._stand_ins.get(id(cluster)) or _reference(cluster.shown)


def member(each: Member) -> Resource:
    """A member as it came, but for its id, meta.source and the identifier it has at its source."""
    made = dict(each.resource)
    made["id"] = each.name
    meta = dict(made.get("meta") or {})
    if "source" in meta:
        before = {"url": ORIGINAL_SOURCE, "valueUri": meta["source"]}
        meta["extension"] = [*meta.get("extension", ()), before]
    meta["source"], system = _words_of(each.ura)
    value = f"{each.type}/{each.id}"
    if each.type in _WITHOUT_IDENTIFIERS:
        meta["tag"] = [*meta.get("tag", ()), {"system": system, "code": value}]
    else:
        made["identifier"] = [*made.get("identifier", ()), {"system": system, "value": value}]
    made["meta"] = meta
    return made


@lru_cache(1024)
def _words_of(ura: str) -> tuple[str, str]:
    """What stands in each member of a source; once, for it stands there so often."""
    return f"{URA_SYSTEM}/{ura}", f"{SOURCE_ID}{ura}"


def _display(cluster: Cluster) -> tuple[Any, ...]:
    shown = cluster.shown
    return (_RANK[shown.zib], cluster.withdrawn, -shown.recorded, *shown.order, shown.name)


def _ordered(made: Iterable[Resource]) -> list[Resource]:
    by_id = {each["id"]: each for each in made}
    return [by_id[name] for name in sorted(by_id)]


def _reference(each: Member) -> str:
    return f"{each.type}/{each.name}"


def _tag(code: str) -> dict[str, str]:
    return {"system": MADE, "code": code}


def _rule(code: str) -> dict[str, str]:
    return {"system": RULE, "code": code}


def _assembler() -> dict[str, Any]:
    coding = {"system": _PARTY, "code": "assembler"}
    return {"type": {"coding": [coding]}, "who": {"type": "Device", "display": "OpenLDN"}}


def _told(told: Told) -> dict[str, Any]:
    issue: dict[str, Any] = {
        "severity": told.severity,
        "code": told.issue,
        "details": {"coding": [{"system": MADE, "code": told.code}]},
        "diagnostics": told.text,
    }
    if told.where:
        issue["expression"] = [told.where]
    return issue
