"""The RESTful FHIR API of one holder's records: `fhir_routes(Api(...), prefix)`."""

from openldn.fhir.api.model import Api, Guard, Interaction, PlaceOf
from openldn.fhir.api.routes import fhir_routes

__all__ = ["Api", "Guard", "Interaction", "PlaceOf", "fhir_routes"]
