"""FHIR resources stay plain JSON; these are the names we give to the parts we use."""

from enum import StrEnum
from typing import Any

from openldn.base.errors import Issue, LdnError

Resource = dict[str, Any]


class FhirVersion(StrEnum):
    """The two FHIR versions on the Dutch network."""

    STU3 = "STU3"
    R4 = "R4"

    @property
    def number(self) -> str:
        """The publication: 3.0.2 or 4.0.1."""
        return {"STU3": "3.0.2", "R4": "4.0.1"}[self.value]

    @property
    def mime(self) -> str:
        """The `fhirVersion` parameter of the media type: 3.0 or 4.0."""
        return self.number[:3]


def bundle(kind: str, resources: list[Resource]) -> Resource:
    """A Bundle of this type with one entry per resource."""
    return {"resourceType": "Bundle", "type": kind, "entry": [{"resource": r} for r in resources]}


def outcome(code: str, diagnostics: str, severity: str = "error", where: str = "") -> Resource:
    """An OperationOutcome with one issue."""
    issue: Resource = {"severity": severity, "code": str(code), "diagnostics": diagnostics}
    if where:
        issue["expression"] = [where]
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def outcome_of(error: LdnError) -> Resource:
    """The OperationOutcome of a failure."""
    fatal = error.issue is Issue.EXCEPTION
    return outcome(error.issue, error.message, "fatal" if fatal else "error", error.where)
