"""The broker on HTTP: token exchange, its keys and DIDs, its status list, trails, anchors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.base.log import emit
from openldn.base.runtime import Clock, instant
from openldn.fhir.http import read_body
from openldn.fhir.identifiers import Ura
from openldn.trust.broker.anchors_store import Anchor, AnchorStore, anchor_of
from openldn.trust.broker.keys import BrokerKeys
from openldn.trust.broker.service import Broker
from openldn.trust.broker.store import Record
from openldn.trust.certificates import require_party, thumbprint
from openldn.trust.tokens.forms import read_form
from openldn.trust.trail import Trail

_PRIVATE = {"cache-control": "no-store", "pragma": "no-cache"}
_SHARED = {"cache-control": "max-age=300"}
_BASE = "/oauth2/broker"
_WELL_KNOWN = "/.well-known/oauth-authorization-server"
_LARGEST = 64 * 1024  # bytes of a proposal

# our issue -> error code and what a caller hears; the reason stands in the log only
_CODES = {
    Issue.NOT_FOUND: ("invalid_target", 400, "no holder of this audience can be reached this way"),
    Issue.BUSINESS_RULE: ("invalid_scope", 400, "ask for scopes that the proof allows"),
    Issue.NOT_SUPPORTED: ("unsupported_grant_type", 400, "see the metadata of the broker"),
    Issue.THROTTLED: ("slow_down", 429, "wait a second and try again"),
    Issue.TRANSIENT: ("temporarily_unavailable", 503, "try again in a moment"),
    Issue.TIMEOUT: ("temporarily_unavailable", 503, "try again in a moment"),
    Issue.INCOMPLETE: ("temporarily_unavailable", 503, "try again in a moment"),
    Issue.EXCEPTION: ("server_error", 500, "report the correlation id"),
}
_UNPROVEN = ("invalid_client", 401, "show the client certificate of your organization")
# RFC 8693 §2.2.2: a token that is not accepted, for whatever reason, is an invalid request
_OTHERWISE = ("invalid_request", 400, "the request or its token is not accepted; make a fresh one")


@dataclass(frozen=True)
class Operators:
    """The persons who may propose and approve anchors, by the thumbprint of their certificate."""

    names: Mapping[str, str]

    def person(self, request: Request) -> str:
        """Who asks; raises LdnError(forbidden) for anybody else."""
        certificate = peer_certificate(request.scope)
        name = self.names.get(thumbprint(certificate)) if certificate else None
        if name is None:
            text = "only an operator of the broker may do this; show your own certificate"
            raise LdnError(Issue.FORBIDDEN, text, detail="broker.operator")
        return name


def routes(broker: Broker) -> list[Route]:
    """The endpoints for parties: RFC 8414, RFC 8693, trails."""

    async def metadata(request: Request) -> Response:
        """GET: what this broker offers."""
        return JSONResponse(broker.metadata(), headers=_SHARED)

    async def token(request: Request) -> Response:
        """POST: the exchanged token, or an error in the words of RFC 6749 §5.2."""
        certificate = peer_certificate(request.scope)
        try:
            require_party(certificate)
        except LdnError as error:
            return _refusal(request, error, _UNPROVEN)
        try:
            form = await read_form(request)
            answer = await broker.exchange(form, certificate or b"", Trail())
        except LdnError as error:
            return _refusal(request, error, _CODES.get(error.issue, _OTHERWISE))
        return JSONResponse(answer, headers=_PRIVATE)

    async def trail(request: Request) -> Response:
        """GET: how something was minted, for the two parties it is between."""
        certificate = peer_certificate(request.scope) or b""
        found = await broker.trail(request.path_params["jti"], certificate)
        return JSONResponse(told(found), headers=_PRIVATE)

    return [
        Route(_WELL_KNOWN + _BASE, metadata, methods=["GET"]),
        Route(_BASE + _WELL_KNOWN, metadata, methods=["GET"]),
        Route(_BASE + "/token", token, methods=["POST"]),
        Route("/trail/{jti}", trail, methods=["GET"]),
    ]


def key_routes(keys: BrokerKeys) -> list[Route]:
    """The public keys, as RFC 7517 and did:web have them."""

    async def jwks(request: Request) -> Response:
        """GET: the public keys of the broker."""
        return JSONResponse(keys.jwks(), headers=_SHARED)

    async def own(request: Request) -> Response:
        """GET: the DID document of the broker."""
        return _document(keys.document(keys.did))

    async def hosted(request: Request) -> Response:
        """GET: the DID document that the broker hosts for an organization."""
        ura = Ura.parse(request.path_params["ura"])
        if ura.value != request.path_params["ura"]:
            raise LdnError(Issue.NOT_FOUND, "no such document; a URA has eight digits")
        return _document(keys.document(keys.did_of(ura)))

    return [
        Route(_BASE + "/jwks", jwks, methods=["GET"]),
        Route("/.well-known/did.json", own, methods=["GET"]),
        Route("/org/{ura}/did.json", hosted, methods=["GET"]),
    ]


def anchor_routes(store: AnchorStore, operators: Operators, clock: Clock) -> list[Route]:
    """The endpoints for operators: two persons decide whom the broker believes."""

    async def every(request: Request) -> Response:
        """GET: all anchors, also those that wait or were removed."""
        operators.person(request)
        return JSONResponse({"anchors": [_shown(a) for a in await store.every()]}, headers=_PRIVATE)

    async def propose(request: Request) -> Response:
        """POST {"kind", "certificate", "reason"}: put a certificate (PEM) forward."""
        person = _asked_on_purpose(request, operators)
        asked = _proposal(await read_body(request, _LARGEST))
        said = (asked.reason, person, clock())
        anchor = anchor_of(asked.certificate.encode(), asked.kind, said)
        await store.propose(anchor)
        return JSONResponse(_shown(anchor), status_code=201, headers=_PRIVATE)

    async def approve(request: Request) -> Response:
        """POST, JSON or nothing: agree, as another person than the proposer."""
        person = _asked_on_purpose(request, operators)
        key = (request.path_params["kind"], request.path_params["id"])
        await store.approve(key, person, clock())
        return await _found(store, key)

    async def remove(request: Request) -> Response:
        """DELETE: stop believing."""
        _require_own_page(request)
        person = operators.person(request)
        key = (request.path_params["kind"], request.path_params["id"])
        await store.remove(key, person, clock())
        return await _found(store, key)

    one = "/anchors/{kind}/{id}"
    return [
        Route("/anchors", every, methods=["GET"]),
        Route("/anchors", propose, methods=["POST"]),
        Route(one + "/approve", approve, methods=["POST"]),
        Route(one, remove, methods=["DELETE"]),
    ]


def _asked_on_purpose(request: Request, operators: Operators) -> str:
    """Who asks for a change, which no page of another site may ask in their name.

    A browser shows the person's certificate whoever asks, but sends JSON for its own pages only.
    """
    _require_own_page(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise LdnError(Issue.INVALID, "send application/json", detail="content type", status=415)
    return operators.person(request)


def _require_own_page(request: Request) -> None:
    """Refuse what a browser asks for a page: none of ours does."""
    headers = request.headers
    if "origin" in headers or headers.get("sec-fetch-site", "none") != "none":
        text = "a page of a site asks this; use openldn trust anchors"
        raise LdnError(Issue.FORBIDDEN, text, detail="broker.operator")


def told(record: Record) -> dict[str, Any]:
    """A conversion as a person can read it: no token, no BSN, no certificate."""
    return {
        "jti": record.jti,
        "conversion": record.rule,
        "input_hash": record.input_hash,
        "from": record.dialect,
        "to": record.gives,
        "organization": record.organization.value,
        "holder": record.holder.value,
        "audience": record.audience,
        "scopes": list(record.scopes),
        "act": list(record.act),
        "via": list(record.via),
        "issued": instant(record.issued),
        "expires": instant(record.expires),
        "revoked": instant(record.revoked) if record.revoked else None,
        "reason": record.reason,
        "checks": [{**c.rule._asdict(), "outcome": c.outcome} for c in record.checks],
        "evidence": [
            {"kind": e.kind, "id": e.id, "issuer": e.issuer, "expires": instant(e.expires)}
            for e in record.evidence
        ],
    }


class _Proposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: str
    certificate: str
    reason: str


def _proposal(body: bytes) -> _Proposal:
    try:
        return msgspec.json.decode(body, type=_Proposal)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        text = 'send {"kind": …, "certificate": PEM, "reason": …}'
        raise LdnError(Issue.INVALID, text) from error


async def _found(store: AnchorStore, key: tuple[str, str]) -> Response:
    found = await store.find(key)
    return JSONResponse(_shown(found) if found else {}, headers=_PRIVATE)


def _shown(anchor: Anchor) -> dict[str, Any]:
    moments = {name: getattr(anchor, name) for name in ("proposed", "approved", "removed")}
    return {
        "kind": anchor.kind,
        "id": anchor.id,
        "name": anchor.name,
        "reason": anchor.reason,
        "proposed_by": anchor.proposed_by,
        "approved_by": anchor.approved_by,
        "removed_by": anchor.removed_by,
        **{name: instant(moment) if moment else None for name, moment in moments.items()},
        "counts": anchor.counts,
    }


def _document(content: dict[str, Any]) -> Response:
    return JSONResponse(content, headers=_SHARED, media_type="application/did+json")


def _refusal(request: Request, error: LdnError, said: tuple[str, int, str]) -> Response:
    code, status, text = said
    emit(
        "refused",
        issue=str(error.issue),
        detail=error.detail,
        correlation=getattr(request.state, "correlation", ""),
        peer=_peer(request),
    )
    headers = _PRIVATE | ({"retry-after": "5"} if status in {429, 503} else {})
    return JSONResponse({"error": code, "error_description": text}, status, headers)


def _peer(request: Request) -> str:
    try:
        return require_party(peer_certificate(request.scope)).ura.value
    except LdnError:
        return ""
