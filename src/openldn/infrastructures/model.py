"""The port of a road: one search at one holder, whatever lies in between."""

from dataclasses import dataclass, field
from typing import Protocol

from openldn.base.errors import Issue, LdnError
from openldn.fhir.model import Resource
from openldn.functions.addressing.model import Endpoint
from openldn.trust.parties import Requester


@dataclass(frozen=True)
class Search:
    """A search relative to a FHIR base; it names a patient, so it never prints itself."""

    path: str  # "Condition" or "Observation/$lastn"
    pairs: tuple[tuple[str, str], ...] = field(repr=False)

    @property
    def type(self) -> str:
        """The resource type that matches are of."""
        return self.path.partition("/")[0]


@dataclass
class Budget:
    """How many bytes one question may still bring in, so that no holder can fill our memory."""

    left: int
    above: "Budget | None" = None  # of the questions to all holders together

    def take(self, count: int) -> None:
        """So many bytes came in; raises LdnError(too-long) beyond what is left."""
        self.left -= count
        if self.left < 0:
            text = "the holder sends more than we take; ask it for less, or tell its operator"
            raise LdnError(Issue.TOO_LONG, text, status=502)
        if self.above is not None:
            self.above.take(count)


@dataclass(frozen=True)
class Call:
    """On whose behalf a holder is asked, and how both sides recognize the question later."""

    requester: Requester
    correlation: str  # X-Request-Id
    trace: str  # W3C traceparent
    until: float  # moment of the event loop's clock after which nobody waits anymore
    budget: Budget | None = field(default=None, repr=False)  # None: as much as one reply may hold


@dataclass(frozen=True)
class Entry:
    """A resource with the address it has at its holder."""

    full_url: str
    resource: Resource = field(repr=False)


@dataclass(frozen=True)
class Page:
    """A piece of an answer: what matched, what came along, and where the next piece is."""

    matches: tuple[Entry, ...] = ()
    includes: tuple[Entry, ...] = ()
    next: str = ""  # absolute URL; empty = this is the last piece
    token: str = ""  # jti of the token it was got with


class Infrastructure(Protocol):
    """The port of a road."""

    async def search(self, endpoint: Endpoint, search: Search, call: Call) -> Page:
        """The first piece of the answer; raises LdnError, forbidden when the holder refuses."""
        ...

    async def follow(self, endpoint: Endpoint, page: Page, call: Call) -> Page:
        """The piece after this one; raises LdnError as `search` does."""
        ...
