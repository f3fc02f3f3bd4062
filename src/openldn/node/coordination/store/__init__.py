"""Every SQL statement of offers, their events and their answers."""

from openldn.node.coordination.store.answers import Answers
from openldn.node.coordination.store.events import Events, Subscription, Told
from openldn.node.coordination.store.heard import Heard, HeardEvent
from openldn.node.coordination.store.offers import Happened, Offers, Wanted, prepare
from openldn.node.coordination.store.stops import Stops

__all__ = [
    "Answers",
    "Events",
    "Happened",
    "Heard",
    "HeardEvent",
    "Offers",
    "Stops",
    "Subscription",
    "Told",
    "Wanted",
    "prepare",
]
