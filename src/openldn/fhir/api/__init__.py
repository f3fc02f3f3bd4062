"""The RESTful FHIR API of one holder's records: `fhir_routes(Api(...), prefix)`."""

from openldn.fhir.api.model import Api, Confine, Guard, Interaction, PlaceOf, everyone, permit
from openldn.fhir.api.routes import fhir_routes

__all__ = [
    "Api",
    "Confine",
    "Guard",
    "Interaction",
    "PlaceOf",
    "everyone",
    "fhir_routes",
    "permit",
]
