"""The message that something changed: an id-only notification of the Subscriptions Backport.

Source: exchange patterns §2.5 (Twiin TA Notifications), §3.1; R40-R42.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.fhir.model import Resource
from openldn.patterns.notified_pull.reading import moment
from openldn.patterns.notified_pull.words import BASE_TYPE, NOTIFICATION, STATUS, TOPIC

Element = dict[str, Any]
MOST = 100  # events in one notification or one `$events`


class Kind(StrEnum):
    """What a notification is for."""

    HANDSHAKE = "handshake"
    HEARTBEAT = "heartbeat"
    EVENT = "event-notification"
    STATUS = "query-status"
    EVENTS = "query-event"  # the answer to `$events`


NOTIFIES = frozenset({Kind.HANDSHAKE, Kind.HEARTBEAT, Kind.EVENT})


@dataclass(frozen=True)
class Event:
    """One change, by its number in the subscription."""

    number: int
    at: datetime
    focus: str = ""  # "Task/…", absolute at the placer
    authorization: str = field(default="", repr=False)  # the base of the pull


@dataclass(frozen=True)
class Notification:
    """What one message tells."""

    kind: Kind
    subscription: str  # absolute: "<base>/Subscription/<id>"
    since: int  # events since the subscription started
    events: tuple[Event, ...] = ()
    topic: str = TOPIC
    status: str = "active"


def bundle_of(told: Notification) -> Resource:
    """The R4 Bundle of a notification, or of the answer to `$status` and `$events`."""
    request = {"method": "GET", "url": f"{told.subscription}/$status"}
    status = {"resource": _parameters(told), "request": request, "response": {"status": "200"}}
    history = told.kind in NOTIFIES or told.kind is Kind.EVENTS
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [NOTIFICATION]},
        "type": "history" if history else "searchset",
        "entry": [status, *_focuses(told.events)],
    }


def _focuses(events: Sequence[Event]) -> Iterator[Element]:
    for focus in dict.fromkeys(e.focus for e in events if e.focus):
        request = {"method": "PUT", "url": "/".join(focus.rsplit("/", 2)[-2:])}
        yield {"fullUrl": focus, "request": request, "response": {"status": "200"}}


def _parameters(told: Notification) -> Resource:
    return {
        "resourceType": "Parameters",
        "meta": {"profile": [STATUS]},
        "parameter": [
            {"name": "subscription", "valueReference": {"reference": told.subscription}},
            {"name": "topic", "valueCanonical": told.topic},
            {"name": "status", "valueCode": told.status},
            {"name": "type", "valueCode": str(told.kind)},
            {"name": "events-since-subscription-start", "valueString": str(told.since)},
            *({"name": "notification-event", "part": _parts(e)} for e in told.events),
        ],
    }


def _parts(event: Event) -> list[Element]:
    parts: list[Element] = [
        {"name": "event-number", "valueString": str(event.number)},
        {"name": "timestamp", "valueInstant": instant(event.at)},
    ]
    if event.focus:
        parts.append({"name": "focus", "valueReference": {"reference": event.focus}})
    if event.authorization:
        system, code = BASE_TYPE
        parts.append(
            {"name": "authorization-type", "valueCoding": {"system": system, "code": code}}
        )
        parts.append({"name": "authorization-value", "valueString": event.authorization})
    return parts


def read_notification(bundle: Resource, kinds: frozenset[Kind] = NOTIFIES) -> Notification:
    """What a checked R4 Bundle tells; raises LdnError(business-rule), naming the rule it breaks.

    `kinds` says what it may be: a notification, or the answer to `$events`.
    """
    entries = bundle.get("entry", ())
    if bundle.get("type") != "history" or not entries:
        raise _broken("a notification is a Bundle of type history with a status first", "R40")
    given = _given(entries[0].get("resource", {}))
    kind, subscription = _kind(given, kinds), _subscription(given)
    _require_entries(entries, subscription)
    events = tuple(_event(p, kind) for p in given.get("notification-event", ()))
    if kind is Kind.EVENT and not events:
        raise _broken("an event-notification has an event", "twiin-st")
    if kind is Kind.HEARTBEAT and "events-since-subscription-start" not in given:
        raise _broken("a heartbeat says how many events there were", "twiin-st")
    if len(events) > MOST:
        raise LdnError(Issue.TOO_LONG, f"at most {MOST} events in one notification")
    known = [_number(p, "valueString") for p in given.get("events-since-subscription-start", ())]
    since = known[0] if known else max((e.number for e in events), default=0)
    return Notification(kind, subscription, since, events, _topic(given), _status(given))


def _given(status: Resource) -> dict[str, list[Element]]:
    """The parameters by name."""
    if status.get("resourceType") != "Parameters":
        raise _broken("the first entry is the status of the subscription (Parameters)", "R40")
    found: dict[str, list[Element]] = {}
    for parameter in status.get("parameter", ()):
        found.setdefault(parameter["name"], []).append(parameter)
    return found


def _one(given: dict[str, list[Element]], name: str) -> Element:
    found = given.get(name, [])
    if len(found) != 1:
        raise _broken(f"the status has exactly one {name}", "R40")
    return found[0]


def _kind(given: dict[str, list[Element]], kinds: frozenset[Kind]) -> Kind:
    told = _one(given, "type").get("valueCode", "")
    if told not in kinds:
        raise _broken(f"its type is one of {', '.join(sorted(kinds))}", "twiin-st")
    return Kind(told)


def _subscription(given: dict[str, list[Element]]) -> str:
    reference = str(_one(given, "subscription").get("valueReference", {}).get("reference", ""))
    if not reference.startswith(("https://", "http://")):
        raise _broken("the subscription is referred to by its absolute address", "twiin-st")
    return reference


def _topic(given: dict[str, list[Element]]) -> str:
    return str(_one(given, "topic").get("valueCanonical", ""))


def _status(given: dict[str, list[Element]]) -> str:
    found = given.get("status", [{}])
    return str(found[0].get("valueCode", "active"))


def _require_entries(entries: Sequence[Element], subscription: str) -> None:
    first = entries[0].get("request", {})
    if (first.get("method"), first.get("url")) != ("GET", f"{subscription}/$status"):
        raise _broken("the request of the first entry is GET {subscription}/$status", "R40")
    for entry in entries[1:]:
        if "fullUrl" not in entry or "request" not in entry:
            raise _broken("each further entry has a fullUrl and a request", "twiin-ntf")


def _event(parameter: Element, kind: Kind) -> Event:
    parts: dict[str, Element] = {p["name"]: p for p in parameter.get("part", ())}
    authorized = [n for n in ("authorization-type", "authorization-value") if n in parts]
    if len(authorized) == 1 or (authorized and kind is not Kind.EVENT):
        text = "authorization-type and -value come together, in an event-notification only"
        raise _broken(text, "R41")
    if not {"event-number", "timestamp"} <= set(parts):
        raise _broken("an event has a number and a timestamp", "twiin-st")
    return Event(
        _number(parts["event-number"], "valueString"),
        moment(str(parts["timestamp"].get("valueInstant", ""))),
        str(parts.get("focus", {}).get("valueReference", {}).get("reference", "")),
        str(parts.get("authorization-value", {}).get("valueString", "")),
    )


def _number(parameter: Element, name: str) -> int:
    told = str(parameter.get(name, parameter.get("valueInteger64", "")))
    if not (told.isascii() and told.isdecimal() and len(told) <= 18):
        raise _broken("the number of an event is a whole number", "twiin-st")
    return int(told)


def _broken(text: str, rule: str) -> LdnError:
    return LdnError(Issue.BUSINESS_RULE, f"{text} ({rule}); the sender's turn", where="Bundle")


def missing(seen: int, told: Notification) -> range:
    """The numbers between what was seen last and what is told now: a gap to catch up with.

    Source: R42.
    """
    numbers = [e.number for e in told.events]
    last = min(numbers) - 1 if numbers else told.since
    return range(seen + 1, last + 1)
