"""What a push is, apart from how it is written on any wire."""

from dataclasses import dataclass, replace
from datetime import datetime

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion
from openldn.patterns.moves import START, Actor, Need
from openldn.patterns.push.states import PUSH


@dataclass(frozen=True)
class Why:
    """Why it was refused, in part or whole, or could not be delivered; it names no person."""

    code: str  # of CANON/CodeSystem/push-reason, or an issue type
    text: str


@dataclass(frozen=True)
class Content:
    """What is sent, as both sides count it."""

    form: str = ""  # type of the Bundle: transaction, batch, document
    entries: int = 0
    size: int = 0  # bytes
    digest: str = ""  # SHA-256 of the bytes on the wire, as ni:///sha-256;…


@dataclass(frozen=True)
class Push:
    """One push as one side knows it. Whom it is about stands in its content alone."""

    id: str  # at this side; opaque, unpredictable
    message: str  # the id both sides know it by: urn:uuid:…
    sender: Ura
    receiver: Ura
    exchange: str  # code of the exchange: "prescription"
    use_case: str  # name of the use case: "prescribe"
    fhir: FhirVersion
    created: datetime
    changed: datetime
    state: str = START
    version: int = 0
    content: Content = Content()
    why: Why | None = None

    @property
    def ended(self) -> bool:
        """Nothing leads away from here."""
        return self.state in PUSH.terminal

    def turn(self) -> frozenset[Actor]:
        """Who may do something now."""
        return frozenset(m.actor for m in PUSH.moves if self.state in m.before)


def move(push: Push, event: str, actor: Actor, now: datetime, why: Why | None = None) -> Push:
    """The push after this event, one version further.

    Raises LdnError: forbidden for the wrong party, conflict from the wrong state, business-rule
    when the reason is missing that the move needs.
    """
    row = PUSH.by_event(push.state, event, actor)
    if row.needs is Need.REASON and (why is None or not why.text.strip()):
        text = f"to {event} a push needs a reason with a code and words; add it"
        raise LdnError(Issue.BUSINESS_RULE, text)
    return replace(push, state=row.after, version=push.version + 1, changed=now, why=why)
