"""Who takes part: care providers, their people, and on whose behalf they act."""

from dataclasses import dataclass, field

from openldn.fhir.identifiers import Bsn, Ura


@dataclass(frozen=True)
class Person:
    """A practitioner as the asking organization vouches for them."""

    uzi: str  # UZI or Dezi number
    role: str  # UZI role code, "01.015"
    name: str = field(default="", repr=False)


@dataclass(frozen=True)
class Requester:
    """Who asks: the organization, proven; the person, vouched for; and why."""

    organization: Ura
    scopes: frozenset[str]
    purpose: str  # v3-ActReason code, "TREAT"
    organization_name: str = ""
    person: Person | None = None
    patient: Bsn | None = None  # the one patient this request is about, when the token fixes it
