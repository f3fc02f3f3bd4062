"""JSON and XML of FHIR, both ways, lossless, checked against the official definitions."""

from openldn.fhir.codec.check import Check
from openldn.fhir.codec.model import LIMITS, Format, Limits, Problems
from openldn.fhir.codec.syntax import dump, parse
from openldn.fhir.codec.tables import tables
from openldn.fhir.codec.xml_read import read
from openldn.fhir.codec.xml_write import write
from openldn.fhir.model import FhirVersion, Resource

__all__ = ["LIMITS", "Format", "Limits", "check", "decode", "dump", "encode", "parse"]


def decode(body: bytes, form: Format, version: FhirVersion, *, limits: Limits = LIMITS) -> Resource:
    """The resource in `body`, checked against the definitions of this FHIR version.

    Raises LdnError with the FHIRPath of the first problem as `where`: structure for an element
    that is unknown, missing, of the wrong type or too many; invalid for a value that is not of
    its type and for a body that is not well-formed; too-long beyond the limits. Never a value.
    """
    if form is Format.XML:
        return read(body, tables(version), limits)
    return check(parse(body, limits), version)


def check(value: object, version: FhirVersion) -> Resource:
    """`value` as a resource of this version; raises LdnError as `decode` does."""
    problems = Problems()
    Check(tables(version), problems).resource(value, None)
    problems.complain()
    assert isinstance(value, dict)  # noqa: S101  (Check.resource found it to be one)
    return value


def encode(resource: Resource, form: Format, version: FhirVersion) -> bytes:
    """The bytes of a resource in this format.

    Raises LdnError(structure) for a resource that XML cannot hold: it was not decoded by us.
    """
    if form is Format.XML:
        return write(resource, tables(version))
    return dump(resource)
