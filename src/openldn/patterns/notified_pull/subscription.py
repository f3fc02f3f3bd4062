"""A subscription to the Tasks of one owner (R4, Subscriptions Backport).

Source: exchange patterns §2.5 (TwiinWorkflowSubscription); R39, R43.
"""

from dataclasses import dataclass

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.fhir.model import Resource
from openldn.patterns.notified_pull.words import FILTER, HEARTBEAT, PAYLOAD, TOPIC

ID_ONLY = "id-only"
_FILTER = f"owner:identifier={URA_SYSTEM}|"
_BEATS = (10, 7 * 24 * 3600)  # seconds between two heartbeats, least and most


@dataclass(frozen=True)
class Subscription:
    """Whose Tasks, and where to tell of them."""

    owner: Ura
    endpoint: str
    heartbeat: int  # seconds
    id: str = ""
    status: str = "active"


def resource_of(subscription: Subscription) -> Resource:
    """The R4 Subscription."""
    criteria = f"{_FILTER}{subscription.owner}"
    channel = {
        "extension": [{"url": HEARTBEAT, "valueUnsignedInt": subscription.heartbeat}],
        "type": "rest-hook",
        "endpoint": subscription.endpoint,
        "payload": "application/fhir+json",
        "_payload": {"extension": [{"url": PAYLOAD, "valueCode": ID_ONLY}]},
    }
    return {
        "resourceType": "Subscription",
        **({"id": subscription.id} if subscription.id else {}),
        "status": subscription.status,
        "reason": "Tasks of this organization",
        "criteria": TOPIC,
        "_criteria": {"extension": [{"url": FILTER, "valueString": criteria}]},
        "channel": channel,
    }


def read_subscription(resource: Resource) -> Subscription:
    """What a checked R4 Subscription asks; raises LdnError(business-rule), naming the rule."""
    channel = resource.get("channel", {})
    if channel.get("type") != "rest-hook":
        raise _broken("its channel is a rest-hook", "Subscription.channel.type")
    if _payload(resource) != ID_ONLY:
        raise _broken("its payload content is id-only (R43)", "Subscription.channel.payload")
    if resource.get("criteria") != TOPIC:
        raise _broken(f"its criteria is the topic {TOPIC}", "Subscription.criteria")
    return Subscription(
        _owner(resource),
        _endpoint(channel.get("endpoint", "")),
        _heartbeat(channel),
        resource.get("id", ""),
        resource.get("status", "requested"),
    )


def require_same_payload(before: Resource, after: Resource) -> None:
    """Raises LdnError(business-rule) when the payload mode of a subscription changes (R43)."""
    modes = [
        _coded(s.get("channel", {}).get("_payload"), PAYLOAD, "valueCode") for s in (before, after)
    ]
    if modes[0] != modes[1]:
        text = "the payload mode of a subscription cannot change (R43); make a new one"
        raise _broken(text, "Subscription.channel.payload")


def _payload(resource: Resource) -> object:
    return _coded(resource.get("channel", {}).get("_payload"), PAYLOAD, "valueCode")


def _owner(resource: Resource) -> Ura:
    told = str(_coded(resource.get("_criteria"), FILTER, "valueString") or "")
    if not told.startswith(_FILTER):
        raise _broken(f"its filter is exactly {_FILTER}<URA> (R39)", "Subscription.criteria")
    try:
        return Ura.parse(told.removeprefix(_FILTER))
    except LdnError as error:
        raise _broken(f"its filter: {error.message} (R39)", "Subscription.criteria") from error


def _endpoint(address: str) -> str:
    if not address.startswith("https://") or len(address) > 500:
        raise _broken("its endpoint is an https address", "Subscription.channel.endpoint")
    return address


def _heartbeat(channel: Resource) -> int:
    given = _coded(channel, HEARTBEAT, "valueUnsignedInt")
    if not isinstance(given, int) or not _BEATS[0] <= given <= _BEATS[1]:
        text = f"it has one heartbeat period, of {_BEATS[0]} to {_BEATS[1]} s"
        raise _broken(text, "Subscription.channel.extension")
    return given


def _coded(element: Resource | None, url: str, name: str) -> object:
    """The one value of an extension."""
    found = [e.get(name) for e in (element or {}).get("extension", ()) if e.get("url") == url]
    return found[0] if len(found) == 1 else None


def _broken(text: str, where: str) -> LdnError:
    return LdnError(Issue.BUSINESS_RULE, f"{text}; the subscriber's turn", where=where)
