"""Addressing: who takes part, and at which address they answer."""

from dataclasses import dataclass
from typing import Protocol

from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion

# What an endpoint serves, in the code system of the NL Generic Functions guide.
BGZ = "http://nictiz.nl/fhir/CapabilityStatement/bgz2017-servercapabilities"


PROVIDER_TYPES = "urn:oid:2.16.840.1.113883.2.4.15.1060"  # RoleCodeNL, of Vektis


@dataclass(frozen=True)
class Organization:
    """A care provider as the directory knows it."""

    ura: Ura
    name: str
    active: bool
    kind: str = ""  # what sort of care provider, in words
    type: str = ""  # the same as a code of PROVIDER_TYPES: "Z3", a general practice


@dataclass(frozen=True)
class Endpoint:
    """An address at which a holder answers one kind of question."""

    holder: Ura
    infrastructure: str  # the road: direct, lsp, zorgplatform, nuts
    fhir: FhirVersion
    url: str  # FHIR base, without trailing slash
    authorization_server: str  # issuer URL of who gives tokens for it
    payloads: tuple[str, ...] = ()  # codes of what it serves
    name: str = ""  # tells it from others of this holder in the same FHIR version and on this road


class Directory(Protocol):
    """The port of addressing."""

    async def organizations(self) -> list[Organization]:
        """Every care provider, active or not, by name."""
        ...

    async def organization(self, ura: Ura) -> Organization:
        """One care provider; raises LdnError(not-found)."""
        ...

    async def endpoint(self, holder: Ura, payload: str) -> Endpoint:
        """Where `holder` serves this payload type; raises LdnError(not-found)."""
        ...
