"""Which FHIR version goes over the wire: what the address offers and our maps can make.

Source: specification of addressing §7.6 and of transformation §12, rule T05.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import Format
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.transformation.engine import of_resource

_VERSION = re.compile(r";\s*fhirVersion\s*=\s*\"?([0-9]+\.[0-9]+)", re.IGNORECASE)
_FORMATS = {
    "application/fhir+json": Format.JSON,
    "application/json": Format.JSON,
    "application/json+fhir": Format.JSON,
    "application/fhir+xml": Format.XML,
    "application/xml": Format.XML,
    "application/xml+fhir": Format.XML,
}
_NUMBERS = {"3.0": FhirVersion.STU3, "4.0": FhirVersion.R4}


@dataclass(frozen=True)
class Offer:
    """One `Endpoint.payloadMimeType`, read."""

    form: Format
    version: FhirVersion | None  # None: it does not say


@dataclass(frozen=True)
class Choice:
    """How to send."""

    form: Format
    version: FhirVersion
    transforms: bool  # whether the resource must be transformed first


def offers(mime_types: Iterable[str]) -> list[Offer]:
    """The FHIR formats among these media types; other kinds and versions are left out."""
    found = []
    for text in mime_types:
        form = _FORMATS.get(text.partition(";")[0].strip().lower())
        number = _VERSION.search(text)
        if form is None or (number and number[1] not in _NUMBERS):
            continue
        found.append(Offer(form, _NUMBERS[number[1]] if number else None))
    return found


def choose(mime_types: Iterable[str], held: FhirVersion, resource: Resource) -> Choice:
    """How to send this resource of the version `held` to an address that offers these.

    Its own version goes first, then the other if there is a map; an address that does not tell
    its version is taken to understand ours. Raises LdnError(business-rule): no output exists.
    """
    offered = offers(mime_types)
    for offer in offered:
        if offer.version in (held, None):
            return Choice(offer.form, held, transforms=False)
    kind = str(resource.get("resourceType", ""))
    if offered and of_resource(kind, held) is not None:
        first = offered[0]
        return Choice(first.form, first.version or held, transforms=True)
    wanted = ", ".join(sorted({str(o.version) for o in offered})) or "no FHIR that we know"
    text = f"the address offers {wanted}, and there is no map to it from {held} for this resource"
    raise LdnError(Issue.BUSINESS_RULE, text)
