"""The policy enforcement point: every question another party asks about our patients.

The order is fixed: certificate, token, policy, source, evidence, answer. Nothing about the
patient is looked at before the token is verified, and nothing is answered without evidence.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache, cached_property, lru_cache
from typing import Any
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.base.runtime import Clock
from openldn.exchanges import EXCHANGES, by
from openldn.fhir.api.answers import bundle_bytes, matched
from openldn.fhir.api.pages import PAGE, seal, unseal
from openldn.fhir.api.pairs import FORM, LARGEST_FORM, split
from openldn.fhir.codec import Format, encode, parse
from openldn.fhir.http import negotiate, read_body, respond
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn, Ura
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.model import Found
from openldn.functions.audit.model import SERVED, Access, Audit
from openldn.functions.authorization import policy
from openldn.functions.authorization.document import OWN_POLICY, document_of_facts
from openldn.functions.authorization.model import (
    AllowedQuery,
    Asked,
    Basis,
    Consent,
    Facts,
    patient_parameter,
)
from openldn.functions.authorization.question import EMERGENCIES, Reason
from openldn.functions.consent.model import Answer
from openldn.node import documents
from openldn.node.capabilities import capability_statement
from openldn.node.consents import Consulted, Consulting, KindOf, Unconsented, no_kind, said
from openldn.node.coordination.register import DOCUMENT, Entry, Opens, no_entry
from openldn.node.evidence import outcome_code, trace_of
from openldn.node.sources import Pair, Source, Wanted
from openldn.patterns.exchange import Exchange, Pattern
from openldn.trust.certificates import require_party
from openldn.trust.tokens.api import shown
from openldn.trust.tokens.model import Grant, Verify

RELATION = "declared-by-requester"  # how a treatment relation is shown in a pull
_READS = {0: "search-system", 1: "search-type", 2: "read", 3: "history-instance"}


Own = Callable[[Mapping[str, Any]], Awaitable[tuple[Reason, ...]]]  # given a document: reasons


@dataclass(frozen=True)
class Holder:
    """One organization that answers: who it is, and the ports it needs for that."""

    ura: Ura
    public: str  # origin of its FHIR bases
    sources: Mapping[FhirVersion, Source]
    verify: Verify
    known: Callable[[Ura], Awaitable[bool]]  # whether an organization takes part now
    audit: Audit
    clock: Clock
    consents: Consulted  # who is asked for consent, once the rest allows
    kind: str = ""  # type of care provider (OID …15.1060), for who is asked for consent
    kind_of: KindOf = no_kind  # the same of who asks
    own: Own | None = None  # the holder's own policy, which may deny further
    opens: Opens = no_entry  # what an authorization base opens
    closed: frozenset[str] = frozenset()  # types of data that no emergency opens here
    overrules: bool = False  # whether an emergency passes an objection
    pages: bytes = field(default_factory=lambda: AESSIV.generate_key(512), repr=False)

    @cached_property
    def consulting(self) -> Consulting:
        """Who is asked for consent on our behalf."""
        return Consulting(self.consents, self.clock, self.kind, self.kind_of)

    def base(self, version: FhirVersion) -> str:
        """The FHIR base of this version (URL)."""
        return f"{self.public}/fhir/{version}"


@dataclass
class _Visit:
    """One question under way: who asks, with which right, what, and what came to be known."""

    holder: Holder
    request: Request
    version: FhirVersion
    peer: Ura  # of the certificate on the connection
    grant: Grant
    exchange: Exchange
    asked: Asked
    wanted: Wanted  # as it was put
    started: datetime
    answer: Answer | None = None  # of who was asked for consent
    entry: Entry | None = None  # what its authorization base opens
    single: bool = False  # one resource was asked by its id
    known: bool = False  # whether the directory knows who asks, once it said so
    facts: Facts | None = None  # what the policy looked at last


def serve_routes(holder: Holder) -> list[BaseRoute]:
    """The FHIR bases at which other parties ask this holder."""

    async def metadata(request: Request) -> Response:
        """GET: what can be asked here; for every party with a certificate we believe."""
        require_party(peer_certificate(request.scope), holder.clock())
        version = _version(request)
        statement = capability_statement(version, holder.base(version), holder.clock())
        return respond(request, statement, version)

    async def serve(request: Request) -> Response:
        """Any other request: permitted and answered, or refused with every reason."""
        return await _answer(await _visit(holder, request))

    every = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return [
        Route("/fhir/{version}/metadata", metadata, methods=["GET"]),
        Route("/fhir/{version}/{rest:path}", serve, methods=every),
        Route("/fhir/{version}", serve, methods=every),
    ]


def _version(request: Request) -> FhirVersion:
    try:
        return FhirVersion(request.path_params["version"])
    except ValueError as error:
        text = f"no such FHIR version here; choose {' or '.join(FhirVersion)}"
        raise LdnError(Issue.NOT_FOUND, text) from error


async def _visit(holder: Holder, request: Request) -> _Visit:
    started = holder.clock()
    version = _version(request)
    peer = require_party(peer_certificate(request.scope), started).ura
    grant = await holder.verify(shown(request, holder.public))
    exchange, unread = (
        _exchange(grant.requester.scopes),
        _wanted(holder, version, _rest(request), ()),
    )
    asked = Asked(unread.type, (), unread.operation, _interaction(request))
    visit = _Visit(holder, request, version, peer, grant, exchange, asked, unread, started)
    try:
        negotiate(request)  # a form we do not make is told before anything is looked up
        given = await _pairs(request)
        if (entry := await holder.opens(grant, _rest(request), given)) is not None:
            visit.entry, visit.exchange, visit.grant = entry, entry.exchange, entry.bound(grant)
            if pairs := entry.read(_rest(request), asked.interaction):
                visit.wanted, visit.single = Wanted(version, unread.type, "", pairs), True
                visit.asked = replace(asked, parameters=pairs, interaction="search-type")
                return visit
        wanted = _wanted(holder, version, _rest(request), given)
    except LdnError as error:
        # who asked is known by now, so also a question that cannot be read leaves evidence
        await holder.audit.record([_access(visit, error=error)])
        raise
    visit.wanted, visit.asked = wanted, replace(asked, parameters=wanted.pairs)
    return visit


def _rest(request: Request) -> str:
    return str(request.path_params.get("rest", ""))


@lru_cache(maxsize=256)
def _exchange(scopes: frozenset[str]) -> Exchange:
    """The exchange the token is for; without one of ours, policy refuses the scope."""
    exchanges = by(Pattern.PULL)
    fitting = (e for e in exchanges if e.scope(Pattern.PULL) in scopes)
    return next(fitting, exchanges[0])


async def _pairs(request: Request) -> list[Pair]:
    pairs = split(request.scope.get("query_string", b"").decode("latin-1"))
    if request.method != "POST":
        return pairs
    body = await read_body(request, LARGEST_FORM)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind != FORM:
        raise LdnError(Issue.NOT_SUPPORTED, f"send the parameters as {FORM}", status=415)
    if not body.isascii():
        raise LdnError(Issue.INVALID, "the form is not percent-encoded")
    return pairs + split(body.decode("ascii"))


def _wanted(holder: Holder, version: FhirVersion, rest: str, pairs: Sequence[Pair]) -> Wanted:
    """The search at this address; a following page stands for the question it belongs to."""
    parts = rest.strip("/").split("/")
    operation = parts[1] if len(parts) == 2 and parts[1].startswith("$") else ""
    wanted = Wanted(version, parts[0], operation, tuple(pairs))
    pages = [value for name, value in pairs if name == PAGE]
    if not pages:
        return wanted
    if len(pairs) > 1:
        raise LdnError(Issue.INVALID, "a page link takes no other parameters", where=PAGE)
    before, cursor = unseal(holder.pages, f"{version}/{wanted.path}", pages[0])
    return Wanted(version, parts[0], operation, tuple(before), cursor)


def _interaction(request: Request) -> str:
    """FHIR's code of what is asked; what is neither a search nor an operation is never allowed."""
    parts = [p for p in _rest(request).split("/") if p]
    method = request.method
    if len(parts) == 2 and parts[1].startswith("$") and method in {"GET", "POST"}:
        return "operation"
    if method == "GET" and parts[2:] == [DOCUMENT.strip("/")]:
        return "document"
    if method == "GET":
        return _READS.get(len(parts), "vread")
    if method == "POST" and len(parts) == 2 and parts[1] == "_search":
        return "search-type"
    written = {"POST": "create" if parts else "transaction", "DELETE": "delete", "PATCH": "patch"}
    return written.get(method, "update")


async def _answer(visit: _Visit) -> Response:
    holder = visit.holder
    try:
        visit.known = await holder.known(visit.grant.requester.organization)
        visit.facts = facts = _facts(visit)
        _refuse(facts, policy.denials(facts, policy.CHEAP))
        facts = await _consented(visit, facts)
        await _own(visit, facts)
        source = holder.sources[visit.version]
        found = await source.search(_addressed(visit))
        if _rest(visit.request).endswith(DOCUMENT):
            found = await documents.whole(source, visit.wanted, found)
        await _still(visit, facts)
    except LdnError as error:
        if isinstance(error, Unconsented):
            visit.facts, visit.answer = error.facts, error.answer
        await holder.audit.record([_access(visit, error=error)])
        raise
    await holder.audit.record([_access(visit, count=len(found.matches))])
    return _respond(visit, found)


def _refuse(facts: Facts, reasons: Sequence[str]) -> None:
    if reasons:
        text = "refused: " + "; ".join(reasons)
        raise LdnError(Issue.FORBIDDEN, text, detail=policy.first_denial(facts))


async def _consented(visit: _Visit, facts: Facts) -> Facts:
    """Asked after the rest allowed; raises Unconsented, with what it found, when it denies."""
    consulting, task = visit.holder.consulting, visit.grant.authorization_base
    facts, answer = await consulting.ask(facts, _patient(visit), visit.exchange.code, task)
    if reasons := policy.denials(
        facts, policy.ASKING
    ):  # the other rules look at nothing that was asked
        raise Unconsented("refused: " + "; ".join(reasons), facts, answer)
    visit.facts, visit.answer = facts, answer
    return facts


async def _still(visit: _Visit, facts: Facts) -> None:
    """The consent just before disclosing, which may have been withdrawn while we searched."""
    consulting, task = visit.holder.consulting, visit.grant.authorization_base
    visit.facts, visit.answer = await consulting.still(
        facts, visit.answer, _patient(visit), visit.exchange.code, task
    )


async def _own(visit: _Visit, facts: Facts) -> None:
    if visit.holder.own is None:
        return
    given = document_of_facts(facts, _patient(visit), visit.exchange.code)
    if reasons := await visit.holder.own(given):
        text = "refused: " + "; ".join(r.description for r in reasons)
        raise LdnError(Issue.FORBIDDEN, text, detail=OWN_POLICY)


def _facts(visit: _Visit) -> Facts:
    holder, requester, entry = visit.holder, visit.grant.requester, visit.entry
    return Facts(
        requester=requester,
        granted=visit.grant.holder,
        holder=holder.ura,
        # a token that is bound was shown by its owner, though a vendor's certificate may carry it
        peer=requester.organization if visit.grant.binding else visit.peer,
        known=visit.known,
        asked=visit.asked,
        allowed=entry.allowed if entry else _allowed(visit.exchange.code, visit.version),
        scope=entry.scope if entry else visit.exchange.scope(Pattern.PULL),
        purposes=visit.exchange.purposes,
        basis=_basis(visit.grant),
        consent=Consent.UNASKED,
        relation=RELATION if requester.person else "",
        now=visit.started,
        closed=holder.closed,
        overrules=holder.overrules,
    )


def _basis(grant: Grant) -> Basis:
    """The legal ground: an emergency by its purpose, a referral by its name, else explicit."""
    if grant.requester.purpose in EMERGENCIES:
        return Basis.EMERGENCY
    return Basis.IMPLIED if grant.authorization_base else Basis.EXPLICIT


@cache
def _allowed(code: str, version: FhirVersion) -> tuple[AllowedQuery, ...]:
    """What may be asked: every row of every release of the exchange in this FHIR version."""
    rows = (AllowedQuery.parse(q.template) for q in EXCHANGES[code].queries(version))
    return tuple(dict.fromkeys(rows))


def _patient(visit: _Visit) -> Bsn | None:
    try:
        return visit.asked.patient() or visit.grant.requester.patient
    except LdnError:
        return None  # named in no usable way; the policy has said so


def _addressed(visit: _Visit) -> Wanted:
    """The search with its patient named, also where the token fixes the patient."""
    wanted, patient = visit.wanted, visit.grant.requester.patient
    if visit.asked.patients() or patient is None:
        return wanted
    named = (patient_parameter(wanted.type), f"{BSN_SYSTEM}|{patient.value}")
    return Wanted(wanted.fhir, wanted.type, wanted.operation, (named, *wanted.pairs), wanted.cursor)


def _access(visit: _Visit, *, count: int = 0, error: LdnError | None = None) -> Access:
    request, facts = visit.request, visit.facts or _facts(visit)
    return Access(
        code=SERVED,
        started=visit.started,
        ended=visit.holder.clock(),
        outcome=outcome_code(error),
        requester=visit.grant.requester,
        holder=visit.holder.ura,
        patient=_patient(visit),
        exchange=visit.exchange.code,
        pattern=Pattern.NOTIFIED_PULL if visit.entry else Pattern.PULL,
        query=visit.wanted.said,
        correlation=request.state.correlation,
        trace=trace_of(request),
        count=count,
        reason=error.message if error else "",
        token=visit.grant.id,
        peer=request.client.host if request.client else "",
        checks=policy.checks(
            facts, policy.RULES if error else ()
        ),  # no rule denied what was answered
        legal_basis=facts.basis,
        policy=f"{visit.exchange.code}|{policy.VERSION}",
        relation=facts.relation,
        consent=said(visit.answer),
        interaction=visit.asked.interaction,
        dialect=visit.grant.dialect,
        act=visit.grant.act,
    )


def _one(visit: _Visit, found: Found) -> Response:
    """The one resource that was asked by its id; raises LdnError(not-found)."""
    if len(found.matches) != 1:
        raise LdnError(Issue.NOT_FOUND, "what was offered is not there any more; tell its sender")
    return respond(visit.request, parse(found.matches[0].body or b"{}"), visit.version)


def _respond(visit: _Visit, found: Found) -> Response:
    wanted, base = visit.wanted, visit.holder.base(visit.version)
    if _rest(visit.request).endswith(DOCUMENT):
        return _written(visit, documents.bundle(base, found))
    if visit.single:
        return _one(visit, found)
    url = f"{base}/{quote(wanted.path)}"
    own = f"{url}?{urlencode(wanted.pairs, quote_via=quote, safe='')}" if wanted.pairs else url
    links = [{"relation": "self", "url": own}]
    if found.next:
        about = f"{visit.version}/{wanted.path}"
        page = seal(visit.holder.pages, about, list(wanted.pairs), found.next)
        links.append({"relation": "next", "url": f"{url}?{PAGE}={page}"})
    head: dict[str, object] = {"type": "searchset"}
    if found.total is not None:
        head["total"] = found.total
    entries = [matched(base, record, "match") for record in found.matches]
    entries += [matched(base, record, "include") for record in found.included]
    return _written(visit, bundle_bytes({**head, "link": links}, entries))


def _written(visit: _Visit, body: bytes) -> Response:
    form = negotiate(visit.request)
    if form is Format.XML:
        body = encode(parse(body), form, visit.version)
    kind = f"{form.mime}; fhirVersion={visit.version.mime}; charset=utf-8"
    return Response(body, 200, {"content-type": kind})
