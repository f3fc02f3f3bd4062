"""What is sent to tell a receiver of an offer or a change, and what its answer means."""

from typing import NamedTuple
from urllib.parse import quote

from openldn.fhir.model import Resource
from openldn.patterns.dialects.model import Dialect, Message, Written
from openldn.patterns.dialects.organizations import RFC3986
from openldn.patterns.dialects.table import SUCCESS
from openldn.patterns.moves import START
from openldn.patterns.notified_pull.model import Offer
from openldn.patterns.notified_pull.shapes import Shape
from openldn.patterns.notified_pull.states import CANCELLED


def message(before: str, offer: Offer, written: Written, dialect: Dialect) -> Message | None:
    """How the receiver is told of a change by the sender; None where it is not told.

    None too where the notification is a Bundle with a SubscriptionStatus: that one has an event
    number and is made by who numbers the events.
    Source: exchange patterns §2.1 (Twiin-01, Twiin-02), §2.2 (every change), §2.3 (§5.5 of NP).
    """
    if before == START:
        return _shaped(dialect.shape, offer, written.notification, dialect)
    if dialect.statuses[offer.state] == CANCELLED != dialect.statuses[before]:
        return _shaped(dialect.cancels, offer, written.notification, dialect)
    if dialect.changes and dialect.statuses[offer.state] != dialect.statuses[before]:
        return _shaped(dialect.shape, offer, written.notification, dialect)
    return None


def _shaped(shape: Shape, offer: Offer, body: Resource | None, dialect: Dialect) -> Message | None:
    if shape is Shape.S5:
        return None
    if shape is Shape.S6:
        key = quote(f"{RFC3986}|{offer.identifier}", safe="")
        return Message("PUT", f"Task?identifier={key}", body, frozenset({200}))
    path = dialect.path.replace("{id}", offer.id)
    return Message(dialect.method, path, body if shape is Shape.S3 else None, dialect.replies)


class Replied(NamedTuple):
    """What a receiver's answer to a notification means."""

    told: bool
    warning: str = ""  # for the log: it answered otherwise than its dialect does


def replied(status: int, expected: frozenset[int]) -> Replied:
    """Whether the receiver was told; a success it should not have answered counts with a warning.

    Source: pattern rule R15, exchange patterns §2.7.
    """
    if status not in SUCCESS:
        return Replied(told=False)
    usual = " or ".join(str(s) for s in sorted(expected))
    return Replied(True, "" if status in expected else f"answered {status} where {usual} is usual")
