"""How a kind of party is seen from the outside, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from openldn.exchanges.bgz import BGZ
from openldn.exchanges.eoverdracht import CAPABILITIES

TWIIN, HANDOFF_TOLD = "Twiin-TA-notification", "eOverdracht-notification"


@dataclass(frozen=True)
class Wire:
    """One dialect of the notified pull for one exchange. Source: exchange patterns §2."""

    dialect: str  # T, N or K
    exchange: str
    body: bool  # a Task goes with the notification; else only the id of one
    answers: bool  # the receiver tells what it decides, by PUT on the Task
    bsn: bool  # whose data they are stands in the notification
    notify: str  # scope of the token to notify with
    fetch: str  # scope of the token to read with
    told: str  # payload of the receiver's address
    serves: str  # payload of the sender's address
    intent: str  # of the Task at the sender
    based: bool = False  # the token to read with asks for the authorization base


TWIIN_BGZ = Wire(
    *("T", "bgz", True, False, True),
    *("ta-np-notification", "bgz-sender", TWIIN, BGZ.payload, "proposal"),
    based=True,
)
MIXED_HANDOFF = Wire(
    *("K", "eoverdracht", True, True, False),
    *("ta-np-notification", "eOverdracht-sender", TWIIN, CAPABILITIES, "order"),
)
NUTS_HANDOFF = Wire(
    *("N", "eoverdracht", False, True, False),
    *("eOverdracht-receiver", "eOverdracht-sender", HANDOFF_TOLD, CAPABILITIES, "order"),
)


@dataclass(frozen=True)
class Manner:
    """A kind of party."""

    infrastructure: str
    wires: tuple[Wire, ...]  # by which it offers and takes offers
    takes: frozenset[str]  # dialects of token requests it takes; SAML is shown without one
    presents: bool = False  # it asks for tokens with presentations, else with signed assertions
    aorta: bool = False  # each message carries AORTA-ID and AORTA-Version
    tls_1_2: bool = False  # it speaks TLS 1.2 only
    certificates: bool = True  # a client certificate is demanded of everyone
    replies: Mapping[str, int] = field(default_factory=dict)  # to each shape of notification
    unverified: tuple[str, ...] = ()  # behavior that no public source documents

    def wire(self, exchange: str) -> Wire | None:
        """How it offers this exchange; None: it does not."""
        return next((w for w in self.wires if w.exchange == exchange), None)
