"""What the BALP profiles ask, written down from their definitions: the judge of rule G04.

Source: profiles.ihe.net/ITI/BALP 1.1.x, input/fsh of IHE/ITI.BasicAudit.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from openldn.fhir.model import Resource

SOURCE, DESTINATION, APPLICATION = "110153", "110152", "110150"
NETWORKED = frozenset({"client", "server", "source", "recipient"})


@dataclass(frozen=True)
class Profile:
    """One profile: fixed codes, agents (slice -> its type) and entities (slice -> type, role)."""

    type: str
    action: str
    subtype: frozenset[str]
    agents: dict[str, str]
    people: frozenset[str] = frozenset({"IRCP"})
    entities: tuple[tuple[str, frozenset[str]], ...] = ()
    closed: frozenset[str] = frozenset()  # types of entities there may be, when closed
    more: tuple[Callable[[Resource], bool], ...] = field(default=())


REST = {"client": SOURCE, "server": DESTINATION}
DATA, QUERY, PATIENT = (
    ("2", frozenset("34") | {"20"}),
    ("2", frozenset({"24"})),
    ("1", frozenset("1")),
)
WRITERS = frozenset({"AUT", "INF", "CST"})


def observes(code: str) -> Callable[[Resource], bool]:
    """The agent with this type is who observed the event."""

    def holds(event: Resource) -> bool:
        return all(
            agent["who"] == event["source"]["observer"]
            for agent in event["agent"]
            if code in codes(agent)
        )

    return holds


def profiles() -> dict[str, Profile]:
    create = Profile("rest", "C", frozenset({"create"}), REST, WRITERS, (DATA,))
    update = Profile("rest", "U", frozenset({"update"}), REST, WRITERS, (DATA,))
    query = Profile(
        *("rest", "E", frozenset({"search", "search-type", "search-system"}), REST),
        entities=(QUERY,),
    )
    turned = {"client": DESTINATION, "server": SOURCE}
    read = Profile("rest", "R", frozenset({"read", "vread"}), turned, entities=(DATA,))
    disclosed = {"source": SOURCE, "recipient": DESTINATION}
    base = "IHE.BasicAudit."
    found = {
        f"{base}Create": create,
        f"{base}Update": update,
        f"{base}Query": query,
        f"{base}Read": read,
        f"{base}PatientDelete": Profile(
            *("rest", "D", frozenset({"delete"})),
            {"client": APPLICATION, "server": "custodian"},
            WRITERS,
            (DATA, PATIENT),
        ),
        f"{base}PrivacyDisclosure.Source": Profile(
            *("110106", "R", frozenset({"disclose"}), disclosed),
            entities=(PATIENT,),
            more=(observes(SOURCE), at_least_two),
        ),
        f"{base}PrivacyDisclosure.Recipient": Profile(
            *("110107", "C", frozenset({"disclose"}), disclosed),
            entities=(PATIENT,),
            more=(observes(DESTINATION), at_least_two),
        ),
        f"{base}AuthZconsent": Profile(
            *("110113", "E", frozenset({"AuthZ-Consent", "AuthZ-Role"})),
            {"client": APPLICATION, "user": "IRCP", "userorg": "PROV", "authorizer": "authserver"},
            entities=(PATIENT,),
            closed=frozenset({"1", "Consent", "UserOauthAgent"}),
            more=(observes("authserver"), has_consent),
        ),
        "IHE.IUA.71": Profile(
            *("110114", "E", frozenset({"ITI-71"})),
            {"client": APPLICATION, "auth-server": "AuthzOauthService"},
            closed=frozenset({"2"}),
            more=(one_entity,),
        ),
        f"{base}OAUTHaccessTokenUse.Minimal": Profile("", "", frozenset(), {"user": "IRCP"}),
    }
    for name, plain in (("Create", create), ("Update", update), ("Query", query), ("Read", read)):
        people = (*plain.entities, PATIENT)
        found[f"{base}Patient{name}"] = Profile(
            plain.type, plain.action, plain.subtype, plain.agents, plain.people, people
        )
    return found


def at_least_two(event: Resource) -> bool:
    return len(event["entity"]) >= 2


def one_entity(event: Resource) -> bool:
    return len(event["entity"]) == 1


def has_consent(event: Resource) -> bool:
    return any(e["type"]["code"] == "Consent" for e in event["entity"])


PROFILES = profiles()


def codes(agent: Resource) -> set[str]:
    return {c["code"] for c in agent["type"]["coding"]}


def failures(event: Resource) -> list[str]:
    """Why the event does not conform to a profile it claims."""
    return [
        f"{url}: {failure}"
        for url in event.get("meta", {}).get("profile", [])
        for failure in _against(event, PROFILES[url.rpartition("/")[2]])
    ]


def _against(event: Resource, profile: Profile) -> Iterator[str]:
    if event["outcome"] != "0":
        yield "the outcome is not success"
    if profile.type and (event["type"]["code"], event["action"]) != (profile.type, profile.action):
        yield "type or action"
    if profile.subtype and not profile.subtype & {s["code"] for s in event["subtype"]}:
        yield "subtype"
    yield from _agents(event, profile)
    yield from _entities(event, profile)
    if "modifierExtension" in event:
        yield "modifierExtension"
    for holds in profile.more:
        if not holds(event):
            yield str(holds)


def _agents(event: Resource, profile: Profile) -> Iterator[str]:
    for name, code in profile.agents.items():
        found = [a for a in event["agent"] if code in codes(a)]
        if len(found) != 1 or "who" not in found[0]:
            yield f"agent {name}"
        elif name in NETWORKED and "address" not in found[0].get("network", {}):
            yield f"agent {name} has no network"
    yield from _people(event, profile)


def _people(event: Resource, profile: Profile) -> Iterator[str]:
    for agent in event["agent"]:
        if "media" in agent or "altId" in agent:
            yield "media or altId"
        if "UserOauthAgent" in codes(agent) and profile.type:
            if not profile.people & codes(agent):
                yield "the person is something else here"
            if "network" in agent or not agent["requestor"]:
                yield "a person has a network, or did not ask"


def _entities(event: Resource, profile: Profile) -> Iterator[str]:
    entities = event.get("entity", [])
    for kind, roles in profile.entities:
        found = [
            e
            for e in entities
            if e["type"]["code"] == kind and e.get("role", {}).get("code") in roles
        ]
        if len(found) < 1:
            yield f"entity {kind} {sorted(roles)}"
        for entity in found:
            if ("24" in roles) != ("what" not in entity) or ("24" in roles) != ("query" in entity):
                yield "what or query"
    if profile.closed and {e["type"]["code"] for e in entities} - profile.closed:
        yield "an entity the profile closes out"
