"""A resource and the care provider in whose record it stands."""

from dataclasses import dataclass

from openldn.fhir.model import FhirVersion, Resource


@dataclass(frozen=True)
class Placed:
    """One resource to be loaded."""

    member: str  # key of the care provider in the network
    fhir: FhirVersion
    resource: Resource
    origin: str = ""  # file it came from, for messages
