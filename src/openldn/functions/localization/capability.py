"""What a FHIR base of the index says of itself: made from the same table it answers by."""

from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.localization.profiles import Profile

_INTERACTIONS = ("create", "read", "delete", "search-type")


def capability_statement(profile: Profile, public: str, since: str) -> Resource:
    """The CapabilityStatement of this profile; `since` is the instant the service started."""
    names = [name for name in profile.parameters if not name.startswith("_")]
    kinds = [{"name": name, "type": "token"} for name in names]
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": since,
        "kind": "instance",
        "implementation": {
            "description": f"OpenLDN localization, profile {profile.name}",
            "url": f"{public}{profile.base}",
        },
        "fhirVersion": FhirVersion.R4.number,
        "format": ["json", "xml"],
        "rest": [
            {
                "mode": "server",
                "documentation": "A subject is named by a token; it is never shown again.",
                "security": {"description": "Mutual TLS and an access token with nvi:* scopes."},
                "resource": [
                    {
                        "type": "List",
                        "interaction": [{"code": code} for code in _INTERACTIONS],
                        "conditionalDelete": "multiple",
                        "searchParam": kinds,
                    }
                ],
                "interaction": [{"code": "transaction"}],
            }
        ],
    }
