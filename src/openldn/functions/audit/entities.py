"""What an event was about, as entities of its AuditEvent.

The BSN stands in `entity.what` and, encoded, in `entity.query`: that is evidence. Nowhere else:
descriptions are masked, and a service that may know no BSN writes none.

Source: specification of audit events §8.4.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterator

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import BSN_SYSTEM, CANON
from openldn.fhir.model import Resource
from openldn.functions.audit.catalogue import ROWS
from openldn.functions.audit.elements import (
    clean,
    coding,
    identifier,
    made,
    masked,
    pruned,
)
from openldn.functions.audit.model import Event, Thing

SUBJECT = f"{CANON}/NamingSystem/index-pseudonym-digest"
LONGEST = 64 * 1024  # characters of a query that are kept
_JTI = "urn:ietf:params:oauth:jti:"
_UUID = "urn:ietf:rfc:3986"
_READ = re.compile(r"\w+ ([A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64})(?:[/?].*)?", re.DOTALL)
_SUBJECT = re.compile(r"(subject(?::identifier|%3[aA]identifier)?=)[^&\s]*")


def entities(event: Event) -> msgspec.Raw:
    """The entities as canonical JSON, in the order of the catalogue.

    Raises LdnError(exception) when one that the row needs is missing: our own fault.
    """
    found: list[Resource] = []
    for word in ROWS[event.code].entities:
        some = list(_ENTITIES[word.rstrip("?")](event))
        if not some and not word.endswith("?"):
            text = f"an audit event {event.code} lacks its {word}; report this fault"
            raise LdnError(Issue.EXCEPTION, text, detail=f"audit.{event.code}.{word}")
        found += some
    return made(found)


_PERSON, _SYSTEM = coding("AE#1"), coding("AE#2")
_REQUEST = coding("BAE#XrequestId")
_PATIENT, _QUERY = coding("OR#1"), coding("OR#24")


def _transaction(event: Event) -> Iterator[Resource]:
    if text := clean(event.correlation):
        yield {"what": {"identifier": {"value": text}}, "type": _REQUEST}


def _query(event: Event) -> Iterator[Resource]:
    if not event.query:
        return
    text = _bounded(event.query)
    if event.subject:  # the raw value would hold what the index may not keep
        text = _SUBJECT.sub(r"\1***", text)
    yield {
        "type": _SYSTEM,
        "role": _QUERY,
        "description": clean(masked(text, event.patient)) or "***",
        "query": base64.b64encode(text.encode(errors="replace")).decode(),
    }


def _bounded(query: str) -> str:
    if len(query) <= LONGEST:
        return query
    digest = hashlib.sha256(query.encode(errors="replace")).hexdigest()
    return f"{query[:LONGEST]} [{len(query)} characters, sha256 {digest}]"


def _asked(event: Event) -> Iterator[Resource]:
    """The query; for a read also what was read, by its address."""
    if read := reference_of(event):
        yield _thing(Thing(read), event)
    yield from _query(event)


def reference_of(event: Event) -> str:
    """What a read was of, `Type/id`; empty for everything else."""
    found = _READ.fullmatch(event.query) if event.interaction in {"read", "vread"} else None
    return found[1] if found else ""


def _patient(event: Event) -> Iterator[Resource]:
    if event.patient is not None:
        number = identifier(BSN_SYSTEM, event.patient.value)
    elif event.subject:
        number = identifier(SUBJECT, event.subject)
    else:
        return
    yield {"what": {"type": "Patient", "identifier": number}, "type": _PERSON, "role": _PATIENT}


def _data(event: Event) -> Iterator[Resource]:
    for thing in event.things:
        yield _thing(thing, event)


def _thing(thing: Thing, event: Event) -> Resource:
    cleaned: Resource = pruned(_told(thing, event))
    return cleaned


def _told(thing: Thing, event: Event) -> Resource:
    return {
        "what": {
            "reference": thing.reference,
            "identifier": identifier(thing.system, thing.id) if thing.id else {},
        },
        "type": _SYSTEM,
        "role": coding(f"OR#{thing.role}"),
        "description": masked(thing.description, event.patient),
        "detail": [
            {"type": name, "valueString": masked(value, event.patient)}
            for name, value in thing.details
            if clean(value)
        ],
    }


def _consent(event: Event) -> Iterator[Resource]:
    for consent in event.consents:
        number = identifier(_UUID, consent) if consent.startswith("urn:") else {"value": consent}
        yield {"what": {"identifier": number}, "type": coding("RT#Consent")}


def _token(event: Event) -> Iterator[Resource]:
    if token := clean(event.token):
        number = {"value": f"{_JTI}{token}"}
        yield {"what": {"identifier": number}, "type": coding("UAT#UserOauthAgent")}


def _request(event: Event) -> Iterator[Resource]:
    """Exactly one: the request of a token, or the token that was given."""
    if event.query:
        yield from _query(event)
    elif event.things:
        yield {**_thing(event.things[0], event), "role": coding("OR#13")}


_ENTITIES: dict[str, Callable[[Event], Iterator[Resource]]] = {
    "transaction": _transaction,
    "asked": _asked,
    "query": _query,
    "patient": _patient,
    "data": _data,
    "consent": _consent,
    "token": _token,
    "request": _request,
}
