"""What a log can prove of itself, for the organization that keeps it: heads, proofs, the export."""

import re
from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.fhir.http import respond_json
from openldn.functions.audit.export import exported
from openldn.functions.audit.model import READ, Event, Party
from openldn.functions.audit.service import AuditLog
from openldn.functions.audit.vouching import Vouching
from openldn.trust import jose
from openldn.trust.certificates import require_party

PATH = "/api/audit"
Own = Callable[[Request, AuditLog], None]  # raises LdnError for whoever may not look
NDJSON = "application/x-ndjson"
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


def require_own(request: Request, log: AuditLog) -> None:
    """Raises LdnError(forbidden) unless our own organization asks, with its certificate."""
    party = require_party(peer_certificate(request.scope), log.clock())
    if party.ura != log.source.holder:
        text = "an audit log is shown to the organization that keeps it, with its own certificate"
        raise LdnError(Issue.FORBIDDEN, text)


def evidence_routes(vouching: Vouching, own: Own = require_own) -> list[Route]:
    """`GET /api/audit/heads`, `$prove`, `$extends` and `$export`, for whom `own` lets pass."""
    log = vouching.log

    async def heads(request: Request) -> Response:
        """GET heads: every signed head and the key that checks them."""
        own(request, log)
        found = await vouching.heads()
        key = jose.public_jwk(vouching.key.signing.key)
        return respond_json({"key": key, "heads": list(dict.fromkeys(h.jws for h in found))})

    async def prove(request: Request) -> Response:
        """GET $prove?seq=N: that this event is in the log, for who has the key of the heads."""
        own(request, log)
        seq = _number(request, "seq")
        proof = await vouching.prove(seq)
        await log.record([_reading(request, log, f"GET $prove?seq={seq}")])
        return Response(msgspec.json.encode(proof), media_type="application/json")

    async def extends(request: Request) -> Response:
        """GET $extends?from=M&to=N: that the later head only adds to the earlier one."""
        own(request, log)
        old, size = _number(request, "from"), _number(request, "to")
        return respond_json(dict(await vouching.extends(old, size)))

    async def export(request: Request) -> Response:
        """GET $export: the whole log, one line of JSON for each event and head."""
        own(request, log)
        await log.record([_reading(request, log, "GET $export")])
        return StreamingResponse(exported(vouching), media_type=NDJSON)

    return [
        Route(f"{PATH}/heads", heads, methods=["GET"]),
        Route(f"{PATH}/$prove", prove, methods=["GET"]),
        Route(f"{PATH}/$extends", extends, methods=["GET"]),
        Route(f"{PATH}/$export", export, methods=["GET"]),
    ]


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not _NUMBER.fullmatch(text):
        raise LdnError(Issue.INVALID, f"{name} must be a number of an event, from 1", where=name)
    return int(text)


def _reading(request: Request, log: AuditLog, query: str) -> Event:
    """That evidence was taken out is itself an event."""
    holder, now = log.source.holder, log.clock()
    return Event(
        code=READ,
        started=now,
        purpose="HOPERAT",
        client=Party(str(holder), address=request.client.host if request.client else ""),
        organization=holder,
        query=query,
        correlation=request.state.correlation,
    )
