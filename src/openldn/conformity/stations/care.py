"""The data station of one care provider: its records, served in both FHIR versions."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.routing import BaseRoute

from openldn.fhir.api import Api, Confine, Guard, everyone, fhir_routes, permit
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.model import Place
from openldn.fhir.records.store import Records


@dataclass(frozen=True)
class CareStation:
    """Whose records, and who may do what with them; the default guard lets everything pass."""

    records: Records
    holder: Ura
    guard: Guard = permit
    confine: Confine = everyone
    writable: bool = True

    def place(self, version: FhirVersion) -> Place:
        """The holder's records in this FHIR version."""
        return Place(self.holder.value, version)

    def routes(self, prefix: str = "/station") -> list[BaseRoute]:
        """Both FHIR bases, `prefix`/STU3 and `prefix`/R4, of the holder's own systems."""
        return [
            route
            for version in FhirVersion
            for route in self.base(version, f"{prefix}/{version.value}")
        ]

    def base(self, version: FhirVersion, prefix: str = "") -> list[BaseRoute]:
        """The one FHIR base of this version, at `prefix`."""
        place = self.place(version)

        async def always(request: Request) -> Place:
            return place

        api = Api(
            self.records,
            version,
            always,
            guard=self.guard,
            confine=self.confine,
            writable=self.writable,
        )
        return fhir_routes(api, prefix)
