"""Audit events in people's words: who asked what of whom, when, and what came of it."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from openldn.access.professional.readers import Library, at, codes, text_of
from openldn.fhir.identifiers import UZI_ROLE_SYSTEM
from openldn.fhir.model import Resource
from openldn.functions.audit.event import masked


@dataclass(frozen=True)
class Entry:
    """One access as the log holds it."""

    id: str
    when: str
    kind: str  # code of what happened, "data-requested"
    outcome: str  # 0, 4, 8 or 12
    reason: str
    people: tuple[str, ...] = field(repr=False)  # who asked
    organizations: tuple[str, ...] = ()  # on whose behalf, and of whom
    query: str = field(default="", repr=False)


def entries(shelf: Library, events: Sequence[Resource], names: Mapping[str, str]) -> list[Entry]:
    """One entry per AuditEvent; whatever an event lacks stays empty.

    `names` gives the name that goes with a number or key, for events that hold only that.
    """
    return [_entry(shelf, event, names) for event in events]


def _entry(shelf: Library, event: Resource, names: Mapping[str, str]) -> Entry:
    agents = [a for a in at(event, "agent") if isinstance(a, dict)]
    asking = [a for a in agents if a.get("requestor") is True]
    others = [a for a in agents if a.get("requestor") is not True]
    return Entry(
        id=text_of(event.get("id")),
        when=shelf.words.date(text_of(event.get("recorded")), seconds=True),
        kind=next((c for t in at(event, "meta.tag") for c in codes(t)), ""),
        outcome=text_of(event.get("outcome")),
        reason=masked(text_of(event.get("outcomeDesc"))),
        people=tuple(filter(None, (_person(shelf, a, names) for a in asking))),
        organizations=tuple(dict.fromkeys(filter(None, (_party(a, names) for a in others)))),
        query=_query(event),
    )


def _person(shelf: Library, agent: Resource, names: Mapping[str, str]) -> str:
    role = [
        text_of(c.get("code"))
        for c in at(agent, "role.coding")
        if isinstance(c, dict) and text_of(c.get("system")) == UZI_ROLE_SYSTEM
    ]
    words = [shelf.words.known(f"role.{code}", code) for code in role]
    return ", ".join(filter(None, [_party(agent, names), *words]))


def _party(agent: Resource, names: Mapping[str, str]) -> str:
    named = [*at(agent, "who.display"), *at(agent, "name"), *at(agent, "who.identifier.value")]
    told = next(filter(None, map(text_of, named)), "")
    return names.get(told, told)


def _query(event: Resource) -> str:
    for raw in at(event, "entity.query"):
        try:
            data = base64.b64decode(text_of(raw).encode("ascii", "replace"), validate=True)
        except (binascii.Error, ValueError):
            continue
        return masked(text_of(unquote_plus(data.decode("utf-8", "replace"))))
    return next((masked(text_of(d)) for d in at(event, "entity.description")), "")
