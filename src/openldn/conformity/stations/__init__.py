"""Data stations: the records of a source that cannot speak FHIR itself, kept and served."""

from openldn.conformity.stations.care import CareStation

__all__ = ["CareStation"]
