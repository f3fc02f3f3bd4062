"""Fetching what an offer names, from its placer, with the authorization base it came with.

Source: exchange patterns §2.1 step 5, §3.1; R10, R13, R14.
"""

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import FhirVersion, Resource
from openldn.node.ask import Asker, collection, events, gap, traced
from openldn.node.coordination.model import Kept, Side
from openldn.node.coordination.register import DOCUMENT, search_of
from openldn.node.coordination.requests import OURS
from openldn.node.coordination.tables import offered
from openldn.patterns.exchange import Exchange, Pattern, Query, Release, Title, UseCase
from openldn.patterns.notified_pull.model import Offer, Pointer
from openldn.patterns.pull import Plan, Pull, Question
from openldn.trust.parties import Person, Requester

MOST = 200  # parts of one offer that are asked
# Relative, one search, and every escape whole; what leads elsewhere is no search (R13).
_SEARCH = re.compile(r"[A-Z][A-Za-z]{1,40}(?:/\$[a-z-]{1,40})?(?:\?(?:[^%?#\s]|%[0-9A-Fa-f]{2})*)?")
_WHOLE = re.compile(r"Composition/[A-Za-z0-9.-]{1,64}/\$document")
_SEVERAL = re.compile(r",[A-Z][A-Za-z]{1,40}(?:/\$[a-z-]+)?\?")  # whole searches, joined
UNUSABLE = "the sender wrote this part so that it cannot be asked; tell it"


@dataclass(frozen=True)
class By:
    """On whose behalf it is fetched."""

    person: Person
    purpose: str
    correlation: str
    trace: str = ""


@dataclass(frozen=True)
class Fetch:
    """An offer on its way in: what is asked, and what could not be."""

    plan: Plan
    unusable: tuple[Query, ...]
    pull: Pull


@dataclass(frozen=True)
class Pulling:
    """Fetches for one organization."""

    asker: Asker
    based: Pull  # over roads that carry an authorization base
    plain: Pull  # for an offer of a dialect that has none

    async def fetch(self, kept: Kept, by: By) -> Fetch:
        """What will be asked, and where; addresses come from the directory alone.

        Raises LdnError: forbidden for what we sent ourselves, conflict before the patient is
        known, invalid for another purpose, and as `Pull.plan`.
        """
        offer = kept.offer
        patient = _patient(kept)
        exchange, case = offered(offer.exchange, offer.use_case)
        purposes = case.purposes or exchange.purposes
        if by.purpose not in purposes:
            text = f"purpose: choose from {', '.join(sorted(purposes))}"
            raise LdnError(Issue.INVALID, text, where="purpose")
        pull = self.based if offer.authorization else self.plain
        endpoint = await pull.directory.endpoint(offer.placer, exchange.payload)
        queries = queries_of(offer, exchange, case)
        usable = tuple(q for q in queries if _usable(q))
        release = _release(case, exchange, endpoint.fhir, usable)
        wire = case.wires.get(OURS)
        requester = Requester(
            organization=self.asker.ura,
            scopes=frozenset({wire.fetch if wire else case.scope}),
            purpose=by.purpose,
            organization_name=self.asker.name,
            person=by.person,
            patient=patient,
            base=offer.authorization,
        )
        question = Question(
            *(exchange, release, patient, offer.placer, requester, by.correlation),
            *(traced(by.trace), Pattern.NOTIFIED_PULL),
        )
        plan = await pull.plan(question)
        return Fetch(plan, tuple(q for q in queries if not _usable(q)), pull)

    async def bundle(self, fetch: Fetch) -> Resource:
        """One Bundle of everything that came; what did not stands in it as an outcome."""
        answers = [answer async for answer in fetch.pull.answers(fetch.plan)]
        whole = collection(fetch.plan, answers, self.asker)
        gaps = [gap(q.id, q.title.en, _unusable(), self.asker) for q in fetch.unusable]
        return {**whole, "entry": [*whole.get("entry", ()), *gaps]} if gaps else whole

    async def stream(self, fetch: Fetch) -> AsyncIterator[dict[str, Any]]:
        """What happens, as it happens: the plan, each answer, what could not be asked, the end."""
        for query in fetch.unusable:
            error = _unusable()
            told = {"issue": str(error.issue), "message": error.message}
            yield {"event": "unusable", "query": query.id, "error": told}
        async for event in events(fetch.pull, fetch.plan, self.asker.clock):
            yield event


def _patient(kept: Kept) -> Bsn:
    if kept.side is not Side.RECEIVED:
        text = "what we offered ourselves is here already; look in our own records"
        raise LdnError(Issue.FORBIDDEN, text)
    if kept.patient is None:
        text = "the placer has not told yet for whom this is; wait until you are chosen"
        raise LdnError(Issue.CONFLICT, text)
    return kept.patient


def queries_of(offer: Offer, exchange: Exchange, case: UseCase) -> tuple[Query, ...]:
    """Every part of an offer as a row of a table; known rows keep their name."""
    known: dict[str, Query] = {}
    for release in exchange.releases:
        for query in release.queries:
            known.setdefault(query.template, query)
    pointers = (*offer.queries, *offer.resources)[:MOST]
    return tuple(_rows([_asked(p, offer) for p in pointers], known))


def _asked(pointer: Pointer, offer: Offer) -> str:
    """How a part is asked. Who has no Tasks of the harmonized form serves a document whole.

    Source: exchanges §2.4, §5.3 step 2 (Composition/$document).
    """
    document = pointer.value.startswith("Composition/") and not offer.focus
    return f"{pointer.value}{DOCUMENT}" if document else search_of(pointer)


def _rows(searches: Sequence[str], known: dict[str, Query]) -> Iterator[Query]:
    used: set[str] = set()
    for number, search in enumerate(searches, 1):
        row = known.get(search)
        id_ = row.id if row and row.id not in used else f"P{number:02}"
        used.add(id_)
        title = row.title if row else Title(f"deel {number}", f"part {number}")
        yield Query(id_, row.zib if row else "", title, search)


def _usable(query: Query) -> bool:
    text = query.template
    fits = bool(_SEARCH.fullmatch(text) or _WHOLE.fullmatch(text))
    return fits and ".." not in text and not _SEVERAL.search(text)


def _release(
    case: UseCase, exchange: Exchange, fhir: FhirVersion, queries: tuple[Query, ...]
) -> Release:
    """A table of exactly what was offered."""
    if not exchange.releases:
        return Release("offered", fhir, queries, "what the sender offered")
    return replace(exchange.release(case.release), queries=queries)


def _unusable() -> LdnError:
    return LdnError(Issue.INVALID, UNUSABLE)
