"""What one FHIR base is made of, and what a caller wants of it.

Source: hl7.org/fhir/STU3/http.html and hl7.org/fhir/R4/http.html.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NoReturn

from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from starlette.requests import Request
from starlette.responses import Response

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, instant
from openldn.fhir.codec import Format
from openldn.fhir.definitions import definitions
from openldn.fhir.http import negotiate
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.model import Change, Place, Written
from openldn.fhir.records.store import Records
from openldn.fhir.search.model import Query

ABSTRACT = frozenset({"Resource", "DomainResource", "Parameters"})  # never at an address


@dataclass(frozen=True)
class Interaction:
    """One thing a caller wants done, told to the guard before it is done.

    In a transaction or batch the guard hears of the whole first, then of every entry.
    """

    code: str  # of hl7.org/fhir/R4/valueset-restful-interaction.html: "read", "create" …
    type: str = ""
    id: str = ""
    resource: Resource | None = None  # what is written
    query: Query | None = None  # what is searched, or the condition of a conditional write
    operation: str = ""  # "$lastn" when the code is "operation"
    if_match: int | None = None  # the version a write says it was made from


PlaceOf = Callable[[Request], Awaitable[Place]]  # whose records this request is about
Guard = Callable[[Request, Interaction], Awaitable[None]]  # raises LdnError to refuse
Confine = Callable[[Request], Awaitable[str]]  # the one patient (id) this caller may see, or ""


Tell = Callable[[Sequence[Written]], Awaitable[None]]  # hears of what was written; may raise


async def nobody(written: Sequence[Written]) -> None:
    """Nobody hears of what was written."""


async def permit(request: Request, interaction: Interaction) -> None:
    """A guard that lets everything pass: who serves it has checked the caller before."""


async def everyone(request: Request) -> str:
    """No confinement to one patient."""
    return ""


@dataclass(frozen=True)
class Api:
    """One FHIR base: whose records, in which version, and what may be done with them."""

    records: Records
    version: FhirVersion
    place_of: PlaceOf
    guard: Guard = permit
    confine: Confine = everyone
    writable: bool = True
    types: frozenset[str] = frozenset()  # resource types served; empty = all of the version
    public: str = ""  # base URL the world sees; empty = as the request was addressed
    most: int = 1000  # resources on one page of a search or history, whatever is asked
    stamp: Clock | None = None  # tells `meta.lastUpdated` of lists; None: it is not told
    tell: Tell = nobody
    key: bytes = field(default_factory=lambda: AESSIV.generate_key(512), repr=False)  # of pages

    @cached_property
    def served(self) -> frozenset[str]:
        """The resource types that have an address here."""
        every = definitions(self.version).resources - ABSTRACT
        return self.types & every if self.types else every


@dataclass(frozen=True)
class Call:
    """One request, taken apart."""

    api: Api
    request: Request
    prefix: str = ""  # path of the base, below where the application is mounted
    type: str = ""
    id: str = ""
    version: str = ""  # of the resource, as it stands in the address
    operation: str = ""  # "$lastn"
    inner: str = ""  # Observation in Patient/1/Observation
    follow: "Follow | None" = None  # answers an entry of a batch as if it came by itself
    patient: str = ""  # the one patient (id) the caller may see; empty = every patient

    async def place(self) -> Place:
        """Whose records are asked."""
        return await self.api.place_of(self.request)

    async def permitted(
        self,
        code: str,
        *,
        resource: Resource | None = None,
        query: Query | None = None,
        if_match: int | None = None,
    ) -> None:
        """Ask the guard; raises what the guard raises."""
        asked = Interaction(code, self.type, self.id, resource, query, self.operation, if_match)
        await self.api.guard(self.request, asked)

    async def write(self, changes: Sequence[Change]) -> Sequence[Written]:
        """What these changes came to, all or none of them, once who must hear of it has."""
        written = await self.api.records.write(await self.place(), changes)
        await self.api.tell(written)
        return written

    def stamped(self) -> dict[str, object]:
        """The `meta` of a list that is about to be read, where this base tells its time."""
        clock = self.api.stamp
        return {} if clock is None else {"meta": {"lastUpdated": instant(clock())}}

    @cached_property
    def base(self) -> str:
        """URL of the FHIR base, without trailing slash, as the caller addressed it."""
        if self.api.public:
            return self.api.public
        scope = self.request.scope
        host = self.request.headers.get("host", "localhost")
        return f"{scope['scheme']}://{host}{scope.get('root_path', '')}{self.prefix}"

    @property
    def form(self) -> Format:
        """The format the caller wants; raises LdnError with status 406."""
        if b"_format" in self.request.scope["query_string"]:
            return negotiate(self.request)
        return _accepted(self.request.headers.get("accept", "*/*"))

    @property
    def lenient(self) -> bool:
        """Whether the caller would rather have an unknown parameter ignored than refused."""
        return "handling=lenient" in preferences(self.request)


@lru_cache(maxsize=64)
def _accepted(accept: str) -> Format:
    headers = [(b"accept", accept.encode("latin-1"))]
    return negotiate(Request({"type": "http", "headers": headers, "query_string": b""}))


Action = Callable[[Call], Awaitable[Response]]
Follow = Callable[[Request, str], Awaitable[Response]]  # given the path below the base


def preferences(request: Request) -> frozenset[str]:
    """The preferences of the header Prefer, "return=minimal" and the like (RFC 7240)."""
    given = ",".join(request.headers.getlist("prefer"))
    parts = given.replace(";", ",").split(",")
    return frozenset(p.strip().replace(" ", "").replace('"', "") for p in parts)


def bad(message: str, where: str = "") -> NoReturn:
    """Refuse the request: it cannot be understood as it stands."""
    raise LdnError(Issue.INVALID, message, where=where)
