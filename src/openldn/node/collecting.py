"""Asking everyone who holds data: the index says who, and their answers become one set.

Source: exchange patterns §7; architecture §6.2.
"""

import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, instant
from openldn.fhir.identifiers import CANON, Bsn, Ura
from openldn.fhir.model import Resource
from openldn.functions.audit.model import REQUESTED, Access, Audit
from openldn.functions.authorization.question import EMERGENCIES
from openldn.functions.consent.model import (
    UNREACHABLE,
    Basis,
    Decision,
    Disclosure,
    Provider,
    User,
)
from openldn.infrastructures.model import Entry
from openldn.node.ask import (
    Asked,
    Asker,
    answered,
    bounds_of,
    exchange_of,
    marked,
    queries_of,
    read_as,
    told,
    traced,
)
from openldn.node.consents import Consulted, KindOf
from openldn.node.evidence import outcome_code
from openldn.node.locate import Locator, Search
from openldn.node.serve import Holder
from openldn.node.settings import NodeSettings
from openldn.patterns.indexed_pull import (
    Bounds,
    Came,
    Ended,
    Event,
    Gate,
    IndexedPull,
    Inquiry,
    Locate,
    Named,
    Outcome,
    Settled,
    Unasked,
)
from openldn.patterns.pull import Answer, Pull, Question, in_order
from openldn.trust.parties import Requester

OUTCOMES = f"{CANON}/CodeSystem/holder-outcome"
_WHOLE = (
    "the question needs bsn, purpose and practitioner (uzi, role, name) as text, "
    "and may have release; nothing else"
)
_SEVERITY = {
    Outcome.OK: "information",
    Outcome.EMPTY: "information",
    Outcome.PARTIAL: "warning",
}  # whatever is not here is an error


class Body(Asked, frozen=True, kw_only=True):
    """What an application sends to ask everyone."""

    release: str = ""


@dataclass(frozen=True)
class Collecting:
    """Asks everyone on behalf of one organization."""

    asker: Asker
    pattern: IndexedPull

    def inquiry(self, code: str, body: dict[str, Any], correlation: str, trace: str) -> Inquiry:
        """The inquiry in this body; raises LdnError: not-found (exchange, release), invalid."""
        exchange = exchange_of(code)
        read = read_as(Body, body, _WHOLE)
        patient, requester = Bsn.parse(read.bsn), self.asker.requester(read, exchange)
        release = exchange.release(read.release)
        return Inquiry(exchange, release, patient, requester, correlation, traced(trace))

    async def events(self, inquiry: Inquiry) -> AsyncIterator[dict[str, Any]]:
        """What happens, as it happens: who is asked, each answer, how each ended, the outcomes.

        Raises LdnError before the first when it is not known who holds data; what fails after
        that is the last event.
        """
        began, clock = self.asker.clock(), self.asker.clock
        begun = False
        async with aclosing(self.pattern.run(inquiry)) as events:  # type: ignore[type-var]
            try:
                async for event in events:
                    begun = True
                    yield _told(event, inquiry, (clock() - began).total_seconds())
            except LdnError as error:
                if not begun:
                    raise
                yield {"event": "failed", "error": told(error)}

    async def bundle(self, inquiry: Inquiry) -> Resource:
        """Everything that came as one Bundle, the same whatever the order in which it came.

        Raises LdnError when it is not known who holds data.
        """
        came: dict[Ura, list[Answer]] = {}
        endings: Sequence[Ended] = ()
        async with aclosing(self.pattern.run(inquiry)) as events:  # type: ignore[type-var]
            async for event in events:
                match event:
                    case Came(plan, answer):
                        came.setdefault(plan.question.holder, []).append(answer)
                    case Settled(found):
                        endings = found
        return gathered(inquiry, came, endings, self.asker.clock())


def _told(event: Event, inquiry: Inquiry, seconds: float) -> dict[str, Any]:
    match event:
        case Named(holders):
            release = inquiry.release
            head = {"event": "holders", "holders": [str(h) for h in holders]}
            head |= bounds_of(inquiry.requester)
            shape = {"release": release.id, "fhir": str(release.fhir)}
            return {**head, **shape, "queries": queries_of(release)}
        case Came(plan, answer):
            return {**answered(answer), "holder": str(plan.question.holder)}
        case Ended():
            took = round(event.seconds * 1000) if event.seconds is not None else None
            return {"event": "holder", **ending(event), "milliseconds": took}
        case Settled(endings):
            found = {"holders": [ending(e) for e in endings]}
            final = {"event": "final", "correlation": inquiry.correlation, **found}
            return {**final, "milliseconds": round(seconds * 1000, 1)}


def ending(ended: Ended) -> dict[str, Any]:
    """How one holder ended; the same whatever the order in which they did."""
    return {
        "holder": str(ended.holder),
        "name": ended.name,
        "outcome": str(ended.outcome),
        "missing": [{"query": query, "status": str(status)} for query, status in ended.missing],
        "error": told(ended.error),
    }


def gathered(
    inquiry: Inquiry,
    came: Mapping[Ura, Sequence[Answer]],
    endings: Sequence[Ended],
    now: datetime,
) -> Resource:
    """One Bundle: by holder in order of URA, by query in order of the table, then the outcomes.

    Each resource stands in it once per holder; no holder can put something in another's place.
    """
    entries: dict[str, dict[str, Any]] = {}
    for ended in endings:
        answers = in_order(list(came.get(ended.holder, ())), inquiry.release)
        for url, resource in _of(answers):
            own = url if url not in entries else _name(inquiry, str(ended.holder), url)
            via = [{"relation": "via", "url": f"{CANON}/holder/{ended.holder}"}]
            entries[own] = {"link": via, "fullUrl": own, "resource": resource}
    outcomes = [_outcome(inquiry, ended) for ended in endings]
    bundle: Resource = {
        "resourceType": "Bundle",
        "meta": {"lastUpdated": instant(now)},
        "identifier": {
            "system": f"{CANON}/NamingSystem/correlation",
            "value": inquiry.correlation,
        },
        "type": "collection",
    }
    entry = [*entries.values(), *outcomes]
    return marked({**bundle, "entry": entry} if entry else bundle, inquiry.requester)


def _of(answers: Iterable[Answer]) -> Iterable[tuple[str, Resource]]:
    """What one holder gave, each thing once."""
    found: dict[str, Resource] = {}
    for answer in answers:
        for entry in _entries(answer):
            found.setdefault(entry.full_url, entry.resource)
    return found.items()


def _entries(answer: Answer) -> Iterable[Entry]:
    yield from answer.matches
    yield from answer.includes


def _name(inquiry: Inquiry, *parts: str) -> str:
    """A name that is the same each time the same answers are put together."""
    whole = " ".join((inquiry.correlation, *parts))
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, whole)}"


def _outcome(inquiry: Inquiry, ended: Ended) -> dict[str, Any]:
    """How one holder ended: a gap is never silent."""
    error = ended.error
    missing = ", ".join(query for query, _ in ended.missing)
    issue = {
        "severity": _SEVERITY.get(ended.outcome, "error"),
        "code": str(error.issue) if error else "informational",
        "details": {
            "coding": [{"system": OUTCOMES, "code": str(ended.outcome)}],
            "text": f"{ended.holder} {ended.name}".strip(),
        },
    }
    if error is not None:
        lacks = f"; without {missing}" if missing else ""
        issue["diagnostics"] = f"{error.message}{lacks}"
    name = _name(inquiry, str(ended.holder), "outcome")
    outcome = {"resourceType": "OperationOutcome", "id": f"holder-{ended.holder}"}
    return {"fullUrl": name, "resource": {**outcome, "issue": [issue]}}


def collecting(
    settings: NodeSettings, pull: Pull, locator: Locator | None, holder: Holder
) -> Collecting | None:
    """What asks everyone; None without an index."""
    if locator is None:
        return None
    own, clock = Provider(holder.ura, holder.kind), holder.clock
    gate = consent_gate(holder.consents, own, holder.kind_of) if settings.collect_gate else None
    pattern = IndexedPull(
        *(pull, locating(locator), noting_unasked(holder.audit, clock), clock, gate),
        *(settings.collect_tells_consent, _bounds(settings)),
    )
    return Collecting(locator.asker, pattern)


def _bounds(settings: NodeSettings) -> Bounds:
    mega = 1024 * 1024
    sizes = settings.collect_holder_megabytes * mega, settings.collect_megabytes * mega
    return Bounds(settings.collect_patience, 5.0, settings.patience, *sizes)


def locating(locator: Locator) -> Locate:
    """Whom the index names, for the pattern."""

    async def named(inquiry: Inquiry) -> Sequence[Ura]:
        known = (inquiry.exchange, inquiry.requester, inquiry.correlation, inquiry.trace)
        return await locator.named(Search(inquiry.patient, *known))

    return named


def noting_unasked(audit: Audit, clock: Clock) -> Unasked:
    """How the evidence is kept of a holder to which no question went."""

    async def note(question: Question, error: LdnError, began: datetime) -> None:
        release = question.release
        access = Access(
            code=REQUESTED,
            started=began,
            ended=clock(),
            outcome=outcome_code(error),
            requester=question.requester,
            holder=question.holder,
            patient=question.patient,
            exchange=question.exchange.code,
            pattern=question.pattern,
            query=f"GET {question.exchange.code}/{release.id}",
            correlation=question.correlation,
            trace=question.trace,
            reason=f"not asked: {error.message}",
        )
        await audit.record([access])

    return note


def consent_gate(consulted: Consulted, own: Provider, kind_of: KindOf) -> Gate:
    """The extra question for consent at the asking side, for wire profiles that want it.

    The holder asks as well, and its answer decides.
    """

    async def gate(question: Question) -> None:
        answer = await consulted(await _disclosure(question, own, kind_of))
        if answer.reason == UNREACHABLE:
            text = "the consent of the patient cannot be asked now; try again later"
            raise LdnError(Issue.TRANSIENT, text)
        silent = answer.decision is Decision.UNKNOWN and answer.emergency
        if answer.decision is not Decision.PERMIT and not silent:
            raise LdnError(Issue.FORBIDDEN, "the consent of the patient does not allow this")

    return gate


async def _disclosure(question: Question, own: Provider, kind_of: KindOf) -> Disclosure:
    asked = question.requester
    person = asked.person
    return Disclosure(
        patient=question.patient,
        holder=Provider(question.holder, await kind_of(question.holder)),
        requester=own,
        user=User(person.uzi, person.role) if person else User("", ""),
        exchange=question.exchange.code,
        purpose=asked.purpose,
        basis=_basis(asked),
        task="",
    )


def _basis(asked: Requester) -> Basis:
    return Basis.EMERGENCY if asked.purpose in EMERGENCIES else Basis.EXPLICIT
