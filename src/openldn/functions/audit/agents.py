"""Who took part in an event, as agents of its AuditEvent; exactly one of them is the requestor.

Source: specification of audit events §8.4.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import (
    CANON,
    URA_SYSTEM,
    UZI_ROLE_SYSTEM,
    UZI_SYSTEM,
    Oin,
    Ura,
)
from openldn.fhir.model import Resource
from openldn.functions.audit.catalogue import ROWS, SYSTEMS, Row, roles, writes
from openldn.functions.audit.elements import concept, identifier, kept, network
from openldn.functions.audit.model import NODE, Event, Party, Source
from openldn.trust.parties import Person

OIN_SYSTEM = f"{CANON}/NamingSystem/oin"
_JTI = "urn:ietf:params:oauth:jti:"


@dataclass(frozen=True)
class Cast:
    """Everything about an event that its agents depend on."""

    code: str
    interaction: str
    client: Party | None
    server: Party | None
    person: Person | None
    responsible: Person | None
    citizen: str
    organization: Ura | Oin | None
    organization_name: str
    holder: Ura | None
    community: str
    token: str
    purpose: str
    source: Source


def cast_of(event: Event, source: Source) -> Cast:
    """Who took part in this event, as this keeper of the log tells it."""
    return Cast(
        code=event.code,
        interaction=event.interaction,
        client=event.client,
        server=event.server,
        person=event.person,
        responsible=event.responsible,
        citizen=event.citizen,
        organization=event.organization,
        organization_name=event.organization_name,
        holder=event.holder,
        community=event.community,
        token=event.token,
        purpose=event.purpose,
        source=source,
    )


@lru_cache(maxsize=4096)
def agents(cast: Cast) -> msgspec.Raw:
    """The agents as canonical JSON, in the order of the catalogue.

    Raises LdnError(exception) when one that the row needs is missing: our own fault.
    """
    row = ROWS[cast.code]
    found = []
    for word in row.agents:
        agent = _AGENTS[word.rstrip("?")](row, cast)
        if agent is not None:
            found.append(agent)
        elif not word.endswith("?"):
            text = f"an audit event {cast.code} lacks its {word}; report this fault"
            raise LdnError(Issue.EXCEPTION, text, detail=f"audit.{cast.code}.{word}")
    return kept([{**agent, "requestor": agent is _requestor(found)} for agent in found])


def _requestor(found: list[Resource]) -> Resource:
    """Of all agents the one who asked: the person, else the client, else we ourselves."""
    people = [agent for agent in found if "asker" in agent]
    return people[0] if people else found[0]


def observer(source: Source) -> Resource:
    """Ourselves, as the observer of every event."""
    return {"type": "Device", "identifier": identifier(NODE, source.node)}


def _who(party: Party | None, source: Source) -> Resource:
    if party is None:
        return {"who": observer(source), "network": network(source.address)}
    who = {"identifier": identifier(party.system, party.id), "display": party.name}
    return {"who": who, "network": network(party.address)}


def _client(row: Row, cast: Cast) -> Resource | None:
    if cast.client is None and cast.server is None and "client?" in row.agents:
        return None
    kind = roles(row, cast.interaction)["client"]
    return {"type": concept(kind), **_who(cast.client, cast.source)}


def _server(row: Row, cast: Cast) -> Resource | None:
    kind = roles(row, cast.interaction)["server"]
    return {"type": concept(kind), **_who(cast.server, cast.source)}


def _authserver(row: Row, cast: Cast) -> Resource | None:
    return {"type": concept("UAT#AuthzOauthService"), **_who(cast.server, cast.source)}


def _user(row: Row, cast: Cast) -> Resource | None:
    if cast.citizen:
        return _citizen(row, cast)
    person = cast.person
    if person is None:
        return None
    kind = "PT#AUT" if writes(row, cast.interaction) else "PT#IRCP"
    return {
        "asker": "",
        "type": concept(kind, "UAT#UserOauthAgent"),
        **_person(person, cast),
        "policy": [f"{_JTI}{cast.token}"] if cast.token else [],
        "purposeOfUse": _purposes(cast),
    }


def _citizen(row: Row, cast: Cast) -> Resource:
    """The patient, or who represents them: told without a number, which the entity has."""
    kind = "PT#AUT" if writes(row, cast.interaction) else "PT#IRCP"
    who = "the patient" if cast.citizen == "PAT" else "who represents the patient"
    return {
        "asker": "",
        "type": concept(kind, "UAT#UserOauthAgent", f"RC#{cast.citizen}"),
        "who": {"type": "Patient" if cast.citizen == "PAT" else "RelatedPerson", "display": who},
        "policy": [f"{_JTI}{cast.token}"] if cast.token else [],
        "purposeOfUse": _purposes(cast),
    }


def _purposes(cast: Cast) -> list[Resource]:
    system = f"{SYSTEMS['PT'].rpartition('/')[0]}/v3-ActReason"
    return [{"coding": [{"system": system, "code": cast.purpose}]}] if cast.purpose else []


def _person(person: Person, cast: Cast) -> Resource:
    role = {"coding": [{"system": UZI_ROLE_SYSTEM, "code": person.role}]} if person.role else {}
    return {
        "role": [role],
        "who": {"identifier": identifier(UZI_SYSTEM, person.uzi)},
        "name": person.name if cast.source.staff_names else "",
    }


def _responsible(row: Row, cast: Cast) -> Resource | None:
    if cast.citizen == "AGNT":
        # whom they represent is the patient, whose number stands in the entity
        return {"type": concept("PT#RESP"), "who": {"type": "Patient", "display": "the patient"}}
    if cast.responsible is None:
        return None
    return {"type": concept("PT#RESP"), **_person(cast.responsible, cast)}


def _organization(row: Row, cast: Cast) -> Resource | None:
    if cast.organization is None:
        return None
    system = URA_SYSTEM if isinstance(cast.organization, Ura) else OIN_SYSTEM
    number = identifier(system, str(cast.organization))
    who = {"identifier": number, "display": cast.organization_name}
    return {"type": concept("RC#PROV"), "who": who}


def _holder(row: Row, cast: Cast) -> Resource | None:
    if cast.holder is None:
        return None
    who = {"identifier": identifier(URA_SYSTEM, str(cast.holder))}
    return {"type": concept("PPT#custodian"), "who": who}


def _clerk(row: Row, cast: Cast) -> Resource | None:
    """Whose data went out: the custodian of a disclosure."""
    holder = cast.holder or cast.source.holder
    system = URA_SYSTEM if isinstance(holder, Ura) else OIN_SYSTEM
    who = {"identifier": identifier(system, str(holder))}
    return {"type": concept("SCT#159541003"), "who": who}


def _authorizer(row: Row, cast: Cast) -> Resource | None:
    return {"type": concept("ES#authserver"), "who": observer(cast.source)}


def _community(row: Row, cast: Cast) -> Resource | None:
    if not cast.community:
        return None
    who = {"identifier": identifier("urn:ietf:rfc:3986", f"urn:oid:{cast.community}")}
    return {"type": concept("XCA#homeCommunityId"), "who": who}


_AGENTS: dict[str, Callable[[Row, Cast], Resource | None]] = {
    "client": _client,
    "server": _server,
    "authserver": _authserver,
    "user": _user,
    "responsible": _responsible,
    "userorg": _organization,
    "holder": _holder,
    "clerk": _clerk,
    "authorizer": _authorizer,
    "community": _community,
}
