"""The links of a reconciled set by statement, to be held against the truth of a generated crowd."""

from datetime import UTC, datetime
from itertools import combinations

from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import Resource
from openldn.integration.reconcile import Question, Source, reconcile
from openldn.testbench.synth.crowd import Crowd

_AT = datetime(2026, 1, 1, tzinfo=UTC)


class Links:
    """What a reconciled set ties, by "URA Type/id" of its statements."""

    def __init__(self, bundle: Resource) -> None:
        held = [entry["resource"] for entry in bundle["entry"]]
        self.own = {name: own for r in held if (own := _own(r)) for name in [_name(r)]}
        self.cluster: dict[str, list[str]] = {}
        for r in held:
            if r["resourceType"] == "Provenance":
                ends = [self.own[e["what"]["reference"]] for e in r["entity"]]
                self.cluster[r["target"][0]["reference"]] = ends
        self.same = {frozenset(p) for c in self.cluster.values() for p in combinations(c, 2)}
        self.shown = {name: r for r in held for name in [_name(r)] if name in self.cluster}
        self.possible = {
            frozenset(self._first(item["resource"]["reference"]) for item in r["item"])
            for r in held
            if r["resourceType"] == "Linkage"
        }

    def unsafe(self, made: Crowd) -> int:
        """Active allergies that are not seen, and doses more than there were."""
        seen = set(self.own.values())
        hidden = sum(allergy not in seen for allergy in made.truth.allergies)
        for name, shown in self.shown.items():
            if name.startswith("Allergy"):
                hidden += shown["clinicalStatus"]["coding"][0]["code"] != "active"
        tied = {own for ends in self.cluster.values() for own in ends[1:]}
        doses = {own for own in seen if " Immunization/" in own} - tied
        doses -= {max(p) for p in self.possible if all(" Immunization/" in own for own in p)}
        return hidden + max(0, len(doses) - made.truth.doses)

    def _first(self, reference: str) -> str:
        """A statement that stands for this one: the first told."""
        ends = self.cluster.get(reference) or [self.own[reference]]
        return min(ends, key=lambda own: int(own.rpartition("-")[2]))


def _name(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def _own(resource: Resource) -> str:
    source = resource.get("meta", {}).get("source", "")
    if not source:
        return ""
    ura = source.rpartition("/")[2]
    last = resource["identifier"][-1]["value"]
    return f"{ura} {last}"


def reconciled(made: Crowd) -> Resource:
    """The set of a generated patient."""
    given = [Source(ura, answer) for ura, answer in made.answers.items()]
    return reconcile(given, Question(Bsn.parse(made.bsn), _AT))
