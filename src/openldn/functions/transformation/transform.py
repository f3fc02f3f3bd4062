"""One resource through the engine: the port, in process."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.transformation.engine import between, of_resource
from openldn.functions.transformation.model import Context, Fault, Transformed
from openldn.functions.transformation.provenance import provenance
from openldn.functions.transformation.run import Run

_LENIENT = frozenset({"searchset", "collection", "history", "batch-response"})


@dataclass(frozen=True)
class Engine:
    """The transformer; pure, so that one serves all."""

    traced: bool = False  # list what was carried over as well

    def transform(
        self, resource: Resource, source: FhirVersion, target: FhirVersion, context: Context
    ) -> Transformed:
        """`resource` in the other version, as the port says.

        `resource` must be valid by structure (`fhir.codec`); its values are never in an issue.
        """
        if source is target:
            return Transformed(resource)
        name = str(resource.get("resourceType", ""))
        plan = of_resource(name, source)
        if plan is None:
            text = f"there is no map from {source} to {target} for this resource type"
            return Transformed(None, (Fault(text),))
        run = Run(name, source, target, between(source), self.traced)
        run.lenient = name == "Bundle" and resource.get("type") in _LENIENT
        out: Resource = plan.apply(resource, None, run)
        issues, losses = tuple(run.faults), tuple(run.losses)
        if any(f.fatal for f in issues):
            return Transformed(None, issues, losses)
        if run.lenient and issues:
            _told(resource, out)
        used = tuple(sorted(run.maps))
        chain = dict.fromkeys((*context.signatures, *signing(resource)))
        known = replace(context, signatures=tuple(chain))
        made = provenance(resource, out, source, used, known)
        return Transformed(out, issues, losses, used, made, tuple(run.carried))


def signing(resource: Resource) -> Iterator[str]:
    """References to what signs in a Bundle: the Provenance resources with a signature."""
    entries = resource.get("entry", ()) if resource["resourceType"] == "Bundle" else ()
    for entry in entries:
        inner = entry.get("resource", {})
        if inner.get("resourceType") == "Provenance" and inner.get("signature"):
            named = f"Provenance/{inner['id']}" if "id" in inner else ""
            if reference := entry.get("fullUrl") or named:
                yield reference


def _told(source: Resource, out: Resource) -> None:
    """What could not come along is a notice in the searchset, and marked as one."""
    for before, after in zip(source.get("entry", ()), out.get("entry", ()), strict=False):
        kinds = [e.get("resource", {}).get("resourceType") for e in (before, after)]
        if kinds[1] == "OperationOutcome" != kinds[0] and out["type"] == "searchset":
            after["search"] = {"mode": "outcome"}
