"""The asking half of a node: a request becomes a question, its answers become one Bundle."""

import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId, instant
from openldn.exchanges import EXCHANGES, by
from openldn.fhir.identifiers import CANON, Bsn, Ura
from openldn.fhir.model import Resource
from openldn.functions.addressing.model import Directory
from openldn.functions.audit.model import REQUESTED, Access, Audit
from openldn.functions.authorization.emergency import BREAKING, ends
from openldn.infrastructures.model import Entry
from openldn.node.emergencies.declaring import Given
from openldn.node.evidence import outcome_code
from openldn.node.sources import said
from openldn.patterns.capability import Can
from openldn.patterns.exchange import Exchange, Pattern, Release
from openldn.patterns.pull import Answer, Plan, Pull, Question, asked, in_order
from openldn.trust.parties import Person, Requester
from openldn.trust.people.levels import Level, level
from openldn.trust.people.statement import DeziPerson
from openldn.trust.trail import Trail

Vouch = Callable[[str, Person, str, Trail], Awaitable[DeziPerson | None]]
# Who asks, with the reason that breaks the glass: given the body, the exchange and the level of
# assurance of the person; raises LdnError when it does not count.
Declare = Callable[[Requester, Mapping[str, Any], str, Level], Awaitable[Requester]]
VIEWER = f"{CANON}/CodeSystem/use"
_TERMS = "http://terminology.hl7.org/CodeSystem"
_UZI = re.compile(r"[0-9]{1,12}")
_ROLE = re.compile(r"[0-9]{2}\.[0-9]{3}")
_LONGEST_NAME = 200


class Practitioner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who asks, as the organization vouches for it."""

    uzi: str
    role: str
    name: str = ""
    loa: str = ""  # told by the application; what counts stands in the statement

    def __repr__(self) -> str:
        """In which role; not who."""
        return f"Practitioner({self.role!r})"


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an application says of itself, whatever it asks."""

    bsn: str
    purpose: str
    practitioner: Practitioner
    statement: str = ""  # of Dezi about the practitioner, as it was given
    emergency: Given | None = None  # why the glass is broken

    def __repr__(self) -> str:
        """For what purpose; not about whom."""
        return f"{type(self).__name__}({self.purpose!r})"


class Body(Asked, frozen=True, kw_only=True):
    """What an application sends to ask a holder."""

    holder: str
    release: str = ""


A = TypeVar("A", bound=Asked)
_WHOLE = (
    "the question needs bsn, holder, purpose and practitioner (uzi, role, name) as text, "
    "and may have release; nothing else"
)


@dataclass(frozen=True)
class Asker:
    """One organization that asks."""

    ura: Ura
    name: str
    directory: Directory
    new_id: NewId
    clock: Clock
    vouch: Vouch | None = None  # None: the organization takes the application's word
    declare: Declare | None = None  # None: nobody here breaks the glass

    async def vouched(self, requester: Requester, statement: object) -> DeziPerson | None:
        """The person of the statement about who asks; None where the application's word counts.

        Raises LdnError(forbidden) when the statement does not do.
        """
        person = requester.person
        if self.vouch is None or person is None:
            return None
        text, purpose = str(statement or ""), requester.purpose
        return await self.vouch(text, person, purpose, Trail(issue=Issue.FORBIDDEN))

    async def proven(
        self, requester: Requester, body: Mapping[str, Any], exchange: Exchange
    ) -> Requester:
        """Who asks, once the statement does and a broken glass has its reason, kept durably.

        Raises LdnError: forbidden when either does not do, invalid or not-found for a reason that
        cannot be read or found, transient when it cannot be kept.
        """
        found = await self.vouched(requester, body.get("statement"))
        said = body.get("practitioner", {})
        shown = found.level if found else level(said.get("loa", ""))
        if self.declare is None:
            if requester.purpose == BREAKING:
                raise LdnError(Issue.FORBIDDEN, "nobody may break the glass at this node")
            return requester
        return await self.declare(requester, body, exchange.code, shown)

    def requester(self, read: Asked, exchange: Exchange) -> Requester:
        """Who asks, for this exchange; raises LdnError(invalid)."""
        return Requester(
            organization=self.ura,
            scopes=frozenset({exchange.scope(Pattern.PULL)}),
            purpose=_purpose(read.purpose, exchange),
            organization_name=self.name,
            person=person_of(read.practitioner),
            patient=Bsn.parse(read.bsn),
        )

    def question(self, code: str, body: dict[str, Any], correlation: str, trace: str) -> Question:
        """The question in this body; raises LdnError: not-found (exchange, release), invalid."""
        exchange = exchange_of(code)
        read = read_as(Body, body, _WHOLE)
        patient, holder = Bsn.parse(read.bsn), Ura.parse(read.holder)
        requester = self.requester(read, exchange)
        release = exchange.release(read.release)
        return Question(exchange, release, patient, holder, requester, correlation, traced(trace))

    async def holders(self) -> list[dict[str, Any]]:
        """Every care provider of the directory, and which exchanges it answers."""
        found = []
        for organization in await self.directory.organizations():
            answers = {
                e.code: organization.active and await self.answers(organization.ura, e)
                for e in by(Pattern.PULL)
            }
            entry = {
                "ura": str(organization.ura),
                "name": organization.name,
                "type": organization.type,
            }
            found.append({**entry, "active": organization.active, **answers})
        return found

    async def answers(self, holder: Ura, exchange: Exchange) -> bool:
        """Whether the directory has an address at which this holder answers the exchange."""
        try:
            await self.directory.endpoint(holder, exchange.payload)
        except LdnError as error:
            if error.issue is Issue.NOT_FOUND:
                return False
            raise
        return True


def exchange_of(code: str) -> Exchange:
    """The exchange with this code; raises LdnError(not-found) that lists them."""
    found = EXCHANGES.get(code)
    if found is None:
        text = f"no such exchange; choose from {', '.join(EXCHANGES)}"
        raise LdnError(Issue.NOT_FOUND, text)
    return found


def read_as(kind: type[A], body: dict[str, Any], whole: str) -> A:
    """The body as this kind; raises LdnError(invalid) that says what a whole one has."""
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        # The error may repeat a name the caller sent; only a place of ours is told.
        place = re.search(r"at `\$\.([a-z.]{1,40})`", str(error))
        where = place.group(1) if place else ""
        raise LdnError(Issue.INVALID, whole, where=where) from error


def _purpose(text: str, exchange: Exchange) -> str:
    if text in exchange.purposes:
        return text
    choices = ", ".join(sorted(exchange.purposes))
    raise LdnError(Issue.INVALID, f"purpose: choose from {choices}", where="purpose")


def person_of(given: Practitioner) -> Person:
    """Who acts, as the organization vouches for it; raises LdnError(invalid)."""
    if not _UZI.fullmatch(given.uzi):
        raise LdnError(Issue.INVALID, "practitioner.uzi: digits, at most 12", where="practitioner")
    if not _ROLE.fullmatch(given.role):
        text = 'practitioner.role: a UZI role code such as "01.015"'
        raise LdnError(Issue.INVALID, text, where="practitioner")
    if len(given.name) > _LONGEST_NAME or not given.name.isprintable():
        text = f"practitioner.name: at most {_LONGEST_NAME} printable characters"
        raise LdnError(Issue.INVALID, text, where="practitioner")
    return Person(given.uzi, given.role, given.name)


def traced(trace: str) -> str:
    """A W3C traceparent below this one; a fresh one when there is none."""
    parts = trace.split("-")
    whole = parts[1] if len(parts) == 4 else secrets.token_hex(16)
    return f"00-{whole}-{secrets.token_hex(8)}-01"


def noting(audit: Audit) -> Callable[[Plan, Answer], Any]:
    """How the asking side keeps evidence of each answer, before anyone sees it."""

    async def note(plan: Plan, answer: Answer) -> None:
        await audit.record([_access(plan, answer)])

    return note


def _access(plan: Plan, answer: Answer) -> Access:
    question = plan.question
    return Access(
        code=REQUESTED,
        started=answer.started,
        ended=answer.ended,
        outcome=outcome_code(answer.error),
        requester=question.requester,
        holder=question.holder,
        patient=question.patient,
        exchange=question.exchange.code,
        pattern=question.pattern,
        query=said(answer.query.path, list(asked(plan, answer.query))),
        correlation=question.correlation,
        trace=question.trace,
        count=len(answer.matches),
        reason=answer.error.message if answer.error else "",
        token=answer.token,
        peer=plan.endpoint.url,
        interaction="operation" if answer.query.operation else "search-type",
    )


async def events(pull: Pull, plan: Plan, clock: Clock) -> AsyncIterator[dict[str, Any]]:
    """What happens to a question, as it happens: the plan, each answer, the end."""
    began = clock()
    holder = {"ura": str(plan.holder.ura), "name": plan.holder.name}
    release = plan.question.release
    yield {
        "event": "plan",
        **bounds_of(plan.question.requester),
        "holder": holder,
        "release": release.id,
        "fhir": str(release.fhir),
        "queries": queries_of(release),
        "ability": ability_of(plan),
    }
    async for answer in pull.answers(plan):
        yield answered(answer)
    milliseconds = round((clock() - began).total_seconds() * 1000, 1)
    final = {"event": "final", "correlation": plan.question.correlation}
    yield {**final, "milliseconds": milliseconds}


def ability_of(plan: Plan) -> dict[str, Any]:
    """What the holder says it can answer of this, as JSON; it is asked all the same."""
    ability = plan.ability
    if ability is None:
        return {"state": "unasked", "warning": "", "queries": []}
    doubts = [
        {"id": j.query.id, "can": str(j.can), "reasons": list(j.reasons)}
        for j in ability.queries
        if j.can is not Can.YES
    ]
    return {"state": str(ability.state), "warning": ability.warning, "queries": doubts}


def queries_of(release: Release) -> list[dict[str, Any]]:
    """What is going to be asked, for who wants to show it."""
    return [
        {"id": q.id, "zib": q.zib, "title": {"nl": q.title.nl, "en": q.title.en}}
        for q in release.plan
    ]


def answered(answer: Answer) -> dict[str, Any]:
    """One answer as an event."""
    return {
        "event": "answer",
        "query": answer.query.id,
        "status": str(answer.status),
        "milliseconds": answer.milliseconds,
        "resources": [e.resource for e in answer.matches],
        "includes": [e.resource for e in answer.includes],
        "error": told(answer.error),
    }


def told(error: LdnError | None) -> dict[str, str] | None:
    """What an event tells of a failure."""
    return {"issue": str(error.issue), "message": error.message} if error else None


def collection(plan: Plan, answers: list[Answer], asker: Asker) -> Resource:
    """One Bundle of everything that came, each resource once, in the order of the table.

    A query that failed stands in it as an OperationOutcome: a gap is never silent.
    """
    ordered = in_order(answers, plan.question.release)
    found: dict[str, Resource] = {}
    for entry in _entries(ordered):
        found.setdefault(entry.full_url, entry.resource)
    entries = [{"fullUrl": url, "resource": resource} for url, resource in found.items()]
    entries += [gap(a.query.id, a.query.title.en, a.error, asker) for a in ordered if a.error]
    correlation = {
        "system": f"{CANON}/NamingSystem/correlation",
        "value": plan.question.correlation,
    }
    bundle: Resource = {
        "resourceType": "Bundle",
        "meta": {"lastUpdated": instant(asker.clock())},
        "identifier": correlation,
        "type": "collection",
    }
    return marked({**bundle, "entry": entries} if entries else bundle, plan.question.requester)


def bounds_of(requester: Requester) -> dict[str, Any]:
    """What a broken glass allows: to look, until its time is over; nothing without one."""
    given = requester.emergency
    if given is None:
        return {}
    bounds = {"case": given.case, "until": instant(ends(given.began)), "viewer_only": True}
    return {"emergency": bounds}


def marked(bundle: Resource, requester: Requester) -> Resource:
    """The same Bundle; after a broken glass it says that it may be looked at and nothing else."""
    given = requester.emergency
    if given is None:
        return bundle
    security = [
        {"system": f"{_TERMS}/v3-ActReason", "code": BREAKING},
        *({"system": f"{_TERMS}/v3-ActCode", "code": c} for c in ("NOINTEGRATE", "NOPERSISTP")),
    ]
    tag = [
        {"system": VIEWER, "code": "viewer-only", "display": f"until {instant(ends(given.began))}"},
        {"system": f"{CANON}/NamingSystem/emergency-case", "code": given.case},
    ]
    return {**bundle, "meta": {**bundle["meta"], "security": security, "tag": tag}}


def _entries(answers: Iterable[Answer]) -> Iterable[Entry]:
    for answer in answers:
        yield from answer.matches
        yield from answer.includes


def gap(id_: str, title: str, error: LdnError, asker: Asker) -> dict[str, Any]:
    """The entry of a query that brought nothing, and why."""
    issue = {
        "severity": "error",
        "code": str(error.issue),
        "details": {"text": f"{id_} {title}"},
        "diagnostics": error.message,
    }
    outcome = {"resourceType": "OperationOutcome", "id": id_, "issue": [issue]}
    return {"fullUrl": f"urn:uuid:{asker.new_id()}", "resource": outcome}
