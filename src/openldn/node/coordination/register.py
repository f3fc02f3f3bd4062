"""The authorization register: what an authorization base opens, for whom and until when.

An entry is an offer of ours seen from its base, so that it begins and ends in the transaction in
which the offer changes. Source: exchange patterns §3.1; R10-R12, R22, R36; W05.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from urllib.parse import parse_qsl

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.base.sql import Pool, connection
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.authorization.model import AllowedQuery
from openldn.functions.consent.model import Answer, Basis, Decision, Disclosure, Origin
from openldn.node.consents import Consulted
from openldn.node.coordination.model import Kept
from openldn.node.coordination.requests import OURS
from openldn.node.coordination.store import Offers
from openldn.node.coordination.tables import offered
from openldn.patterns.exchange import Exchange, UseCase
from openldn.patterns.notified_pull.model import Offer, Pointer
from openldn.patterns.notified_pull.states import CANDIDATES, COMPLETED, IN_PROGRESS, TAKEN
from openldn.trust.tokens.model import Grant

ENDED = "the offer behind this authorization base is over; ask its sender for a new one"
OTHERS = "this authorization base was given to another organization"
NOT_YET = "the offer does not open this yet; it must be accepted, selected or started first"
LATE = "the time of the offer behind this authorization base is over; ask for a new one"
UNOFFERED = "this was not offered; ask what the offer names"


@dataclass(frozen=True)
class Entry:
    """What one authorization base opens."""

    task: str  # "Task/…"
    placer: Ura
    receiver: Ura
    patient: Bsn | None
    exchange: Exchange
    case: UseCase
    open: tuple[Pointer, ...]  # what may be asked now
    legal: str  # why: the code of the legal basis
    until: datetime | None
    base: str = field(default="", repr=False)

    @property
    def allowed(self) -> tuple[AllowedQuery, ...]:
        """The rows of what may be asked now; what cannot be read as a search allows nothing."""
        return tuple(dict.fromkeys(AllowedQuery.parse(search_of(p)) for p in self.open))

    @property
    def scope(self) -> str:
        """The scope of the token that reads it."""
        wire = self.case.wires.get(OURS)
        return wire.fetch if wire else self.case.scope

    def bound(self, grant: Grant) -> Grant:
        """The token as it counts here: for the one patient of the offer, by its base.

        Raises LdnError(forbidden) for a token that is about another.
        """
        asked = grant.requester
        if asked.patient not in (None, self.patient):
            raise refused("the token is about another patient than the offer", "patient")
        requester = replace(asked, patient=self.patient)
        return replace(grant, requester=requester, authorization_base=self.base)

    def read(self, path: str, interaction: str) -> tuple[tuple[str, str], ...]:
        """The search that stands for reading one offered resource, or a document that it begins.

        Empty for anything else.
        """
        offered_ = {p.value: p for p in self.open}
        found = offered_.get(resource_in(path)) if interaction in _READS else None
        return tuple(parse_qsl(search_of(found).partition("?")[2])) if found else ()


Pairs = Sequence[tuple[str, str]]
# What a token opens, for who asks for this path with these parameters; raises LdnError(forbidden).
Opens = Callable[[Grant, str, Pairs], Awaitable[Entry | None]]
Wire = Callable[[str], Awaitable[str]]  # handle of an offer -> code of its dialect


@dataclass(frozen=True)
class Register:
    """The entries of one organization."""

    pool: Pool
    offers: Offers
    clock: Clock
    grace: timedelta = timedelta(hours=24)  # after completion
    wire: Wire | None = None  # in which dialect something was offered; None: all in ours

    async def entry(self, base: str, receiver: Ura) -> Entry | None:
        """What this base opens for this party; None when it is none of ours.

        Raises LdnError(forbidden): given to another (R11), over (R12), or not open yet (R36).
        """
        async with connection(self.pool) as db:
            kept = await self.offers.by_base(db, base)
        return await self.of(kept, receiver) if kept else None

    async def of(self, kept: Kept, receiver: Ura) -> Entry:
        """What this offer of ours opens for this party; raises LdnError as `entry`."""
        if kept.offer.fulfiller != receiver:
            raise refused(OTHERS, "others")
        now = self.clock()
        if reason := over(kept.offer, now, self.grace):
            raise refused(reason, "over")
        exchange, case = offered(kept.offer.exchange, kept.offer.use_case)
        wire = await self.wire(kept.handle) if self.wire else OURS
        open_ = readable(kept.offer, case, wire)
        if not open_:
            raise refused(NOT_YET, "not-yet")
        until = kept.offer.expires
        known = (f"Task/{kept.offer.id}", kept.offer.placer, receiver, kept.patient)
        base = kept.offer.authorization
        return Entry(*known, exchange, case, open_, Basis.IMPLIED.value, until, base)

    async def opens(self, grant: Grant, path: str = "", pairs: Pairs = ()) -> Entry | None:
        """What the authorization base of this token opens; raises LdnError as `entry`."""
        base = grant.authorization_base
        return await self.entry(base, grant.requester.organization) if base else None

    def consulted(self, inner: Consulted) -> Consulted:
        """Who is asked for consent: for a referral of ours the register, no registry (R79).

        An objection that the holder itself recorded against this Task still holds.
        """

        async def ask(disclosure: Disclosure) -> Answer:
            implied = disclosure.basis is Basis.IMPLIED and disclosure.task
            found = await self._answer(disclosure) if implied else None
            if found is None or found.decision is not Decision.PERMIT:
                return found or await inner(disclosure)
            said = await inner(disclosure)
            return said if said.decision is Decision.DENY else found

        return ask

    async def _answer(self, disclosure: Disclosure) -> Answer | None:
        now, receiver = self.clock(), disclosure.requester.ura
        if receiver is None:
            return None
        try:
            entry = await self.entry(disclosure.task, receiver)
        except LdnError as error:
            if error.issue is not Issue.FORBIDDEN:
                raise
            return Answer(Decision.UNKNOWN, Origin.LOCAL, "", now, error.detail)
        if entry is None:
            return None
        fits = entry.patient == disclosure.patient and entry.exchange.code == disclosure.exchange
        decision = Decision.PERMIT if fits else Decision.UNKNOWN
        return Answer(decision, Origin.LOCAL, entry.task, now)


def search_of(pointer: Pointer) -> str:
    """The relative search that stands for a part of the data; one resource is found by its id.

    A document brings what its sections name.
    """
    type_, slash, id_ = pointer.value.partition("/")
    if not slash or "?" in pointer.value or id_.startswith("$"):
        return pointer.value
    along = "".join(f"&_include={i}" for i in _ALONG.get(type_, ()))
    return f"{type_}?_id={id_}{along}"


def resource_in(path: str) -> str:
    """The resource that a path reads, or whose document it asks: "Composition/17"."""
    return path.strip("/").removesuffix(DOCUMENT)


DOCUMENT = "/$document"
_READS = frozenset({"read", "document"})


_ALONG = {"Composition": ("Composition:entry", "Composition:author", "Composition:subject")}


async def no_entry(grant: Grant, path: str, pairs: Pairs) -> Entry | None:
    """Nothing is opened by an authorization base here."""
    return None


def over(offer: Offer, now: datetime, grace: timedelta) -> str:
    """Why an offer opens nothing any more; empty while it may.

    Only what was completed stays open for the grace: who withdrew, refused or failed has no use
    for it. Source: exchange patterns §3.1; W05.
    """
    if offer.expires is not None and offer.expires <= now:
        return LATE
    if not offer.ended:
        return ""
    graced = offer.state == COMPLETED and now < offer.changed + grace
    return "" if graced else ENDED


def readable(offer: Offer, case: UseCase, wire: str = OURS) -> tuple[Pointer, ...]:
    """What the fulfiller may read of what was offered, as the offer stands now.

    Candidates read nothing before one is selected. Source: R22, R36; W05.
    """
    if not offer.patient:
        return ()
    if offer.table == CANDIDATES.name and offer.state not in TAKEN:
        return ()
    parts = case.readable(IN_PROGRESS if offer.state == COMPLETED else offer.status, wire)
    kinds = {(c.system, c.code) for p in parts for c in p.inputs}
    named = {(c.system, c.code) for p in case.parts for c in p.inputs}
    every: Sequence[Pointer] = (*offer.queries, *offer.resources)
    whole = len(parts) == len(case.parts) > 0  # what is of no part belongs to the last
    return tuple(p for p in every if (whole if _kind(p) not in named else _kind(p) in kinds))


def _kind(pointer: Pointer) -> tuple[str, str]:
    return pointer.system, pointer.code


def refused(text: str, code: str) -> LdnError:
    """Why a base opens nothing here."""
    return LdnError(Issue.FORBIDDEN, f"refused: {text}", detail=f"authorization-base.{code}")
