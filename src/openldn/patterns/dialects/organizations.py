"""Who is meant: an organization by URA, AGB code or DID, as the URA that we decide by."""

from collections.abc import Mapping
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifier_systems import system_of
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.patterns.dialects.model import Dialect, Named, Parties

AGB_OID = "urn:oid:2.16.840.1.113883.2.4.6.1"  # how VIPLive writes it
DID = "https://www.w3.org/ns/did/v1"
RFC3986 = "urn:ietf:rfc:3986"
_OLDER_UUID = "https://tools.ietf.org/html/rfc4122"  # NP's template; same values
BUSINESS = frozenset({RFC3986, _OLDER_UUID})

_WHO = "who this is cannot be found: neither the directory nor the trusted parties know it"


def organization_of(reference: object, parties: Parties, where: str) -> Ura | None:
    """The URA of the organization in this reference; None when it has no identifier.

    Raises LdnError: not-found for an identifier that leads to no URA, invalid for a bad one.
    Source: exchange patterns §3.2 (identifier conversion).
    """
    identifier = reference.get("identifier") if isinstance(reference, Mapping) else None
    if not isinstance(identifier, Mapping):
        return None
    named = Named(str(identifier.get("system", "")), str(identifier.get("value", "")))
    known = system_of(named.system)
    if known is not None and known.kind is Ura:
        return Ura.parse(named.value)
    found = parties.ura(named)
    if found is None:
        raise LdnError(Issue.NOT_FOUND, _WHO, where=where)
    return found


def organization(ura: Ura, dialect: Dialect, parties: Parties) -> dict[str, Any]:
    """A reference to this organization, named as the dialect does.

    Raises LdnError(not-found) when it has no name of that kind.
    """
    if dialect.organizations[0] == URA_SYSTEM:
        return {"identifier": {"system": URA_SYSTEM, "value": str(ura)}}
    named = parties.name(ura)
    if named is None or named.system not in dialect.organizations:
        kinds = " or ".join(dialect.organizations)
        text = f"an organization has no identifier of {kinds}, which {dialect.name} needs"
        raise LdnError(Issue.NOT_FOUND, text)
    return {"identifier": {"system": named.system, "value": named.value}}


def told_by(claimed: Ura | None, proven: Ura) -> None:
    """Refuse who speaks for another; raises LdnError(forbidden).

    Source: pattern rule R05.
    """
    if claimed is not None and claimed != proven:
        text = "the sender in the message is another than its token proves; send as who you are"
        raise LdnError(Issue.FORBIDDEN, text, where="Task.requester.onBehalfOf")
