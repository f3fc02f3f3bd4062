"""What a party says it can be asked: its CapabilityStatement, as far as we need it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from openldn.base.errors import Issue, LdnError
from openldn.functions.addressing.model import Endpoint

Json = Mapping[str, Any]
MOST = 2000  # names kept of one kind; a statement is a stranger's


@dataclass(frozen=True)
class Offered:
    """What is offered for one resource type."""

    interactions: frozenset[str] = frozenset()  # empty: not told
    parameters: frozenset[str] = frozenset()
    includes: frozenset[str] = frozenset()
    revincludes: frozenset[str] = frozenset()
    operations: frozenset[str] = frozenset()  # without "$"


@dataclass(frozen=True)
class Capability:
    """What a FHIR server offers."""

    fhir: str  # "3.0.2"
    types: Mapping[str, Offered]
    operations: frozenset[str] = frozenset()  # of the whole server, without "$"


class State(StrEnum):
    """What came of asking for it."""

    TOLD = "told"
    WRONG = "wrong"  # it answered something else
    MISSING = "missing"  # no answer, or a refusal


@dataclass(frozen=True)
class Statement:
    """What a party told of itself, or why nothing is known."""

    state: State
    asked: datetime
    capability: Capability | None = None
    reason: str = ""


class Statements(Protocol):
    """The port of what parties tell of themselves."""

    async def of(self, endpoint: Endpoint) -> Statement:
        """What the party at this address tells; never raises: not to know is an answer too."""
        ...


def read(content: object) -> Capability:
    """What this CapabilityStatement offers; what we cannot read in it is left out.

    Raises LdnError(structure) for what is none. Source:
    hl7.org/fhir/STU3/capabilitystatement.html, hl7.org/fhir/R4/capabilitystatement.html.
    """
    if not isinstance(content, dict) or content.get("resourceType") != "CapabilityStatement":
        text = "the holder does not answer with a CapabilityStatement; tell its operator"
        raise LdnError(Issue.STRUCTURE, text)
    servers = [r for r in _objects(content.get("rest")) if r.get("mode") == "server"]
    types: dict[str, Offered] = {}
    for resource in (r for server in servers for r in _objects(server.get("resource"))):
        name = resource.get("type")
        if isinstance(name, str) and len(types) < MOST:
            types[name] = _offered(resource)
    whole = (o for server in servers for o in _objects(server.get("operation")))
    return Capability(_text(content.get("fhirVersion")), types, _names(whole, "name"))


def _offered(resource: Json) -> Offered:
    return Offered(
        interactions=_names(_objects(resource.get("interaction")), "code"),
        parameters=_names(_objects(resource.get("searchParam")), "name"),
        includes=_texts(resource.get("searchInclude")),
        revincludes=_texts(resource.get("searchRevInclude")),
        operations=_names(_objects(resource.get("operation")), "name"),
    )


def _objects(value: object) -> Iterator[Json]:
    if isinstance(value, list):
        yield from (v for v in value[:MOST] if isinstance(v, dict))


def _names(objects: Iterator[Json], key: str) -> frozenset[str]:
    return frozenset(_text(o.get(key)).removeprefix("$") for o in objects) - {""}


def _texts(value: object) -> frozenset[str]:
    listed = value[:MOST] if isinstance(value, list) else []
    return frozenset(v for v in listed if isinstance(v, str))


def _text(value: object) -> str:
    return value[:200] if isinstance(value, str) else ""
