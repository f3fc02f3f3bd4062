"""Fetching what a party says it can be asked, within bounds, and keeping it while it is fresh."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import Clock
from openldn.fhir.codec import parse
from openldn.fhir.identifiers import Ura
from openldn.functions.addressing.model import Endpoint
from openldn.infrastructures.capability import State, Statement, read
from openldn.trust.documents import age_of
from openldn.trust.remembering import Remembered

LARGEST = 4 * 1024 * 1024  # bytes of a statement we are ready to read
_MOST = 10_000  # failures kept at once
_NONE = "the holder does not answer with a CapabilityStatement; tell its operator"


@dataclass
class PeerStatements:
    """Statements by FHIR base, asked by one at a time; implements `Statements`."""

    clients: Callable[[Ura], HttpClient]  # one that checks that this holder is at the other end
    clock: Clock
    deadline: float = 2.0  # seconds for one statement
    fresh: float = 3600.0  # seconds it is used without asking again
    stale: float = 86_400.0  # seconds it is used while the holder does not tell
    again: float = 60.0  # seconds after which one that did not come is asked anew
    _told: Remembered[Statement] = field(init=False, repr=False)
    _failed: dict[str, Statement] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._told = Remembered(self.clock, self.fresh, self.stale)

    async def of(self, endpoint: Endpoint) -> Statement:
        """What the party at this address tells of itself; what went wrong is told as a reason.

        Neither a patient nor a token goes with it.
        """
        failed = self._failed.get(endpoint.url)
        if failed is not None and age_of(failed.asked, self.clock()) < self.again:
            return failed
        try:
            found = await self._told.get(endpoint.url, lambda: self._asked(endpoint))
        except LdnError as error:
            return self._failure(endpoint, error)
        self._failed.pop(endpoint.url, None)
        return found

    def forget(self) -> None:
        """Ask anew from now on."""
        self._told.forget()
        self._failed.clear()

    def _failure(self, endpoint: Endpoint, error: LdnError) -> Statement:
        while len(self._failed) >= _MOST:
            del self._failed[next(iter(self._failed))]
        found = untold(error, self.clock())
        self._failed[endpoint.url] = found
        return found

    async def _asked(self, endpoint: Endpoint) -> Statement:
        asked = self.clock()
        client = self.clients(endpoint.holder).counted(Bound())
        reply = await client.send(
            "GET",
            f"{endpoint.url}/metadata",
            headers={"accept": f"application/fhir+json; fhirVersion={endpoint.fhir.mime}"},
            deadline=self.deadline,
        )
        return told(reply, asked)


def told(reply: Reply, asked: datetime) -> Statement:
    """The statement in this reply.

    Raises LdnError: incomplete for a reply that is a refusal or a failure, structure for what is
    no statement.
    """
    if reply.status != 200:
        text = f"the holder answers with status {reply.status} when asked what it can do"
        raise LdnError(Issue.INCOMPLETE, f"{text}; tell its operator")
    try:
        content = parse(reply.body)
    except LdnError as error:
        raise LdnError(Issue.STRUCTURE, _NONE, detail=str(error.issue)) from error
    return Statement(State.TOLD, asked, read(content))


def untold(error: LdnError, asked: datetime) -> Statement:
    """What is known of a party when this came of asking."""
    missing = error.issue in {Issue.INCOMPLETE, Issue.TIMEOUT}
    state = State.MISSING if missing else State.WRONG
    return Statement(state, asked, reason=error.message)


@dataclass
class Bound:
    """Lets no more in than a statement may hold."""

    left: int = LARGEST  # bytes

    def __call__(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            text = "the holder tells more of itself than we read; tell its operator"
            raise LdnError(Issue.TOO_LONG, text)
