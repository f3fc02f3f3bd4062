"""Where others push to: the same door as where data are asked, then the rules over the content."""

import base64
import binascii
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.fhir.codec import Format
from openldn.fhir.http import media_type, negotiate, respond
from openldn.fhir.model import FhirVersion, outcome
from openldn.functions.authorization.document import OWN_POLICY, document_of_facts
from openldn.functions.authorization.model import Asked, Basis, Consent, Facts
from openldn.functions.authorization.policy import CHEAP, denials, first_denial, in_dataset
from openldn.node.push.kinds import kinds
from openldn.node.push.model import Behalf, Kind
from openldn.node.push.receiving import Answer, Arrival, Receiving, answered
from openldn.node.push.telling import push_statement
from openldn.node.push.witness import turned_away
from openldn.node.serve import RELATION, Holder
from openldn.patterns.push.receipt import named
from openldn.patterns.push.rules import Finding
from openldn.trust.certificates import require_party
from openldn.trust.tokens.api import shown
from openldn.trust.tokens.model import Grant

# The rules of a question that hold for what is sent too; its content has rules of its own.
RULES = tuple(rule for rule in CHEAP if rule.deny is not in_dataset)
_KEY = re.compile(r'"?(urn:uuid:)?([0-9a-fA-F-]{36})"?')
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")
_WAITING = "received; somebody here takes it or refuses it, send it again to hear what became of it"


@dataclass(frozen=True)
class Door:
    """What the door needs."""

    holder: Holder
    receiving: Receiving
    accepts: frozenset[str]  # names of the kinds that are taken
    senders: frozenset[str]  # URAs; none: everyone who takes part


def push_routes(door: Door) -> list[BaseRoute]:
    """The addresses for pushes, one for each FHIR version."""

    async def push(request: Request) -> Response:
        """POST a Bundle: what became of it, signed; a repeat is answered as the first time."""
        version = _version(request)
        negotiate(request)
        arrival, grant = await _arrival(door, request, version)
        if (finding := _turned(door, arrival)) is not None:
            return await _turn_away(door, request, (arrival, grant, finding))
        receiving = door.receiving
        answer = await receiving.known(arrival)
        if answer is None:
            answer = await receiving.receive(arrival, _stream(request))
        return _told(request, version, answer)

    async def metadata(request: Request) -> Response:
        """GET: what is taken here; for every party with a certificate we believe."""
        holder = door.holder
        require_party(peer_certificate(request.scope), holder.clock())
        version = _version(request)
        taken = [k for k in kinds() if k.fhir is version and k.name in door.accepts]
        base = f"{holder.public}/push/{version}"
        return respond(request, push_statement(version, base, taken, holder.clock()), version)

    return [
        Route("/push/{version}", push, methods=["POST"]),
        Route("/push/{version}/metadata", metadata, methods=["GET"]),
    ]


def _version(request: Request) -> FhirVersion:
    try:
        return FhirVersion(request.path_params["version"])
    except ValueError as error:
        text = f"no such FHIR version here; choose {' or '.join(FhirVersion)}"
        raise LdnError(Issue.NOT_FOUND, text) from error


async def _arrival(door: Door, request: Request, version: FhirVersion) -> tuple[Arrival, Grant]:
    """Who sends what on whose behalf; raises LdnError before anything of the body is read."""
    holder = door.holder
    started = holder.clock()
    peer = require_party(peer_certificate(request.scope), started).ura
    grant = await holder.verify(shown(request, holder.public))
    kind = _kind(grant, version)
    facts = _facts(holder, grant, kind)
    # a token that is bound was shown by its owner, though a vendor's certificate may carry it
    facts = replace(facts, peer=facts.peer if grant.binding else peer)
    facts = replace(facts, known=await holder.known(facts.requester.organization))
    if reasons := denials(facts, RULES):
        text = "refused: " + "; ".join(reasons)
        raise LdnError(Issue.FORBIDDEN, text, detail=first_denial(facts, RULES))
    await _own(holder, facts, kind)
    if media_type(request) is not Format.JSON:
        raise LdnError(Issue.NOT_SUPPORTED, "send application/fhir+json", status=415)
    return _named(request, grant, kind), grant


def _kind(grant: Grant, version: FhirVersion) -> Kind:
    """What the token is for; without a scope of ours, policy refuses the first."""
    every = [k for k in kinds() if k.fhir is version]
    fitting = (k for k in every if k.case.scope in grant.requester.scopes)
    return next(fitting, every[0])


def _facts(holder: Holder, grant: Grant, kind: Kind) -> Facts:
    asked = grant.requester
    return Facts(
        requester=asked,
        granted=grant.holder,
        holder=holder.ura,
        peer=asked.organization,
        known=False,
        asked=Asked("Bundle", (), "", "transaction"),
        allowed=(),
        scope=kind.case.scope,
        purposes=kind.purposes,
        basis=Basis.IMPLIED,
        consent=Consent.UNASKED,
        relation=RELATION if asked.person else "",
    )


async def _own(holder: Holder, facts: Facts, kind: Kind) -> None:
    """The holder's own policy, which may deny further."""
    if holder.own is None:
        return
    given = document_of_facts(facts, facts.requester.patient, kind.exchange.code)
    if reasons := await holder.own(given):
        text = "refused: " + "; ".join(r.description for r in reasons)
        raise LdnError(Issue.FORBIDDEN, text, detail=OWN_POLICY)


def _named(request: Request, grant: Grant, kind: Kind) -> Arrival:
    asked = grant.requester
    assert asked.patient and asked.person  # noqa: S101  (policy has required both)
    found = _KEY.fullmatch(request.headers.get("idempotency-key", ""))
    if found is None:
        text = 'name the message in the header Idempotency-Key: "urn:uuid:…"; its sender\'s turn'
        raise LdnError(Issue.INVALID, text)
    behalf = Behalf(
        *(asked.patient, asked.person, asked.purpose, request.state.correlation, grant.id),
        request.client.host if request.client else "",
    )
    message, size = f"urn:uuid:{found[2].lower()}", request.headers.get("content-length", "0")
    length = int(size) if size.isascii() and size.isdigit() and len(size) < 20 else 0
    return Arrival(message, asked.organization, kind, behalf, _digest(request), length)


def _digest(request: Request) -> str:
    """The digest of the body as the sender tells it (RFC 9530)."""
    found = _DIGEST.search(request.headers.get("content-digest", ""))
    try:
        return named(base64.b64decode(found[1], validate=True)) if found else ""
    except (binascii.Error, ValueError) as error:
        raise LdnError(Issue.INVALID, "Content-Digest cannot be read (RFC 9530)") from error


def _turned(door: Door, arrival: Arrival) -> Finding | None:
    if arrival.kind.name not in door.accepts:
        return Finding("exchange", Issue.FORBIDDEN, "this is not taken here; ask whom to send it")
    most = door.receiving.bounds().size
    if arrival.size > most:
        return Finding("bounds", Issue.TOO_LONG, f"it has at most {most} bytes; send less at once")
    if door.senders and str(arrival.sender) not in door.senders:
        return Finding("sender", Issue.FORBIDDEN, "nothing is taken here from this organization")
    return None


async def _turn_away(
    door: Door, request: Request, what: tuple[Arrival, Grant, Finding]
) -> Response:
    arrival, grant, finding = what
    kept, receipt = door.receiving.turned_away(arrival, finding)
    await door.receiving.log.record([turned_away(kept, grant, f"{finding.code}: {finding.text}")])
    return respond(request, receipt, arrival.kind.fhir, status=answered(receipt))


async def _stream(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        yield chunk


def _told(request: Request, version: FhirVersion, answer: Answer) -> Response:
    if answer.receipt is None:
        told = outcome("informational", _WAITING, "information")
        return respond(request, told, version, status=answer.status)
    return respond(request, answer.receipt, version, status=answer.status)
