"""Our transformation service: applies the maps, checks what comes out, tells what was lost.

Source: specification of transformation §12. It works on what it is given and keeps nothing, so
that it never widens access.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from openldn.base.errors import LdnError
from openldn.base.runtime import Clock, NewId
from openldn.fhir.codec import check
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.transformation.model import (
    DEVICE,
    Context,
    Fault,
    MapUsed,
    Transformed,
    Transformer,
)
from openldn.functions.transformation.transform import Engine

_MOST = 1000  # issues in one OperationOutcome


@dataclass(frozen=True)
class Report:
    """What an audit log is told of one transformation; nothing of its content."""

    kind: str  # resource type of the source
    source: FhirVersion
    target: FhirVersion
    made: bool
    lost: int  # paths that are gone
    kept: int  # paths that travel as extensions
    maps: tuple[MapUsed, ...]


async def _nobody(report: Report) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Transformation:
    """The service, in process."""

    clock: Clock
    new_id: NewId
    device: str = DEVICE
    engine: Transformer = field(default_factory=Engine)
    tell: Callable[[Report], Awaitable[None]] = _nobody

    async def convert(
        self,
        resource: Resource,
        source: FhirVersion,
        target: FhirVersion,
        *,
        base: str = "",
        signatures: tuple[str, ...] = (),
    ) -> Transformed:
        """`resource` in the version `target`, checked; a fault of the output is a fatal issue.

        `base` is the FHIR base of the source, `signatures` are the Provenance resources that
        sign it. `resource` must have been decoded by `fhir.codec`.
        """
        context = Context(self.clock(), self.new_id(), self.device, base, signatures)
        found = sound(self.engine.transform(resource, source, target, context), target)
        kept = len(found.losses) - len(found.gone)
        made, lost = found.resource is not None, len(found.gone)
        kind = str(resource.get("resourceType", ""))
        await self.tell(Report(kind, source, target, made, lost, kept, found.maps))
        return found


def sound(found: Transformed, target: FhirVersion) -> Transformed:
    """The outcome, without its resource when that is not valid in the version it should have."""
    if found.resource is None:
        return found
    try:
        check(found.resource, target)
    except LdnError as error:
        text = f"what would come out is not valid {target}: {error.message}"
        fault = Fault(text, code=str(error.issue))
        return replace(found, resource=None, provenance=None, issues=(*found.issues, fault))
    return found


def issues(found: Transformed) -> Resource:
    """The issues as an OperationOutcome, the same in both versions; for a refusal."""
    made = [_issue("fatal" if f.fatal else "error", f.code, f.text, f.path) for f in found.issues]
    return _outcome(made)


def losses(found: Transformed) -> Resource:
    """The loss report: a warning for what is gone, information for what an extension carries."""
    told = [_issue("error", f.code, f.text, f.path) for f in found.issues if not f.fatal]
    for loss in found.losses:
        text = f"{loss.reason}; kept as {loss.kept}" if loss.kept else loss.reason
        severity, code = ("information", "informational") if loss.kept else ("warning", "value")
        told.append(_issue(severity, code, text, loss.path))
    return _outcome(told)


def _issue(severity: str, code: str, text: str, path: str) -> Resource:
    issue: Resource = {"severity": severity, "code": code, "diagnostics": text}
    if path:
        issue["expression"] = [path]
    return issue


def _outcome(told: list[Resource]) -> Resource:
    if not told:
        told = [_issue("information", "informational", "nothing was lost", "")]
    if len(told) > _MOST:
        more = f"{len(told) - _MOST + 1} more are not listed here"
        told = [*told[: _MOST - 1], _issue("warning", "too-long", more, "")]
    return {"resourceType": "OperationOutcome", "issue": told}
