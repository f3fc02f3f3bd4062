"""The pseudonym service on the wire: both forms of the question, and its administration.

Who calls is told by the gateway (`caller_of`) and by nothing in the request.
Source: generic functions §6.3.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.base.runtime import instant
from openldn.fhir.http import read_json, respond_json
from openldn.functions.pseudonyms import sealing
from openldn.functions.pseudonyms.model import (
    SCOPE,
    WIRES,
    KeyVersion,
    RecipientKey,
    Wire,
    parse_organization,
    parse_scope,
)
from openldn.functions.pseudonyms.registry import Draft, Registry
from openldn.functions.pseudonyms.service import Evaluations, Question
from openldn.trust.certificates.party import load
from openldn.trust.parties import Caller, caller_of

_LARGEST = 16 * 1024  # bytes of a body
_TEXT = 4096  # characters of one value
_YEARS = (1970, 2200)  # of a moment: what is added to it must be a moment as well
ADMINISTRATION = "/administration"


def routes(evaluations: Evaluations, recipients: Collection[str]) -> list[Route]:
    """Every route of the service; `recipients` ("oin:…", "ura:…") may register keys."""
    return [*evaluation_routes(evaluations), *Desk(evaluations, recipients).routes()]


def evaluation_routes(evaluations: Evaluations) -> list[Route]:
    """One route for each wire profile."""
    return [_evaluation(evaluations, wire) for wire in WIRES.values()]


def _evaluation(evaluations: Evaluations, wire: Wire) -> Route:
    async def evaluate(request: Request) -> Response:
        """POST a blinded identifier: its evaluation, encrypted to the recipient."""
        caller = caller_of(request.scope)
        question = question_in(await read_json(request, _LARGEST), wire)
        return respond_json({wire.answer: await evaluations.evaluate(caller, question)})

    return Route(wire.path, evaluate, methods=["POST"])


def question_in(body: Mapping[str, Any], wire: Wire) -> Question:
    """What is asked; raises LdnError(business-rule) for another dialect (rules P06, P07, N07).

    Members that this dialect does not have are refused: what must not be sent is not overlooked.
    """
    names = (wire.blinded, wire.organization, wire.scope)
    values = [body.get(name) for name in names]
    if set(body) != set(names) or not all(isinstance(v, str) for v in values):
        text = f"this address speaks {wire.name}; send {', '.join(names)} and nothing else"
        raise LdnError(Issue.BUSINESS_RULE, text)
    blinded, organization, scope = map(str, values)
    if len(blinded) < 2:
        raise LdnError(Issue.BUSINESS_RULE, f"{wire.blinded} is too short; send a blinded element")
    named = parse_organization(organization, wire.prefix)
    return Question(blinded, named, parse_scope(scope))


@dataclass(frozen=True)
class Desk:
    """What a recipient does with its own keys and secrets."""

    evaluations: Evaluations
    recipients: Collection[str]

    @property
    def registry(self) -> Registry:
        """Where they are kept."""
        return self.evaluations.registry

    def routes(self) -> list[Route]:
        """The routes below `/administration`."""
        here = ADMINISTRATION
        return [
            Route(f"{here}/register/certificate", self.register, methods=["POST"]),
            Route(f"{here}/keys", self.add, methods=["POST"]),
            Route(f"{here}/keys", self.keys, methods=["GET"]),
            Route(f"{here}/keys/{{id}}", self.change, methods=["PUT"]),
            Route(f"{here}/keys/{{id}}", self.remove, methods=["DELETE"]),
            Route(f"{here}/key-versions", self.rotate, methods=["POST"]),
            Route(f"{here}/key-versions", self.versions, methods=["GET"]),
            Route(f"{here}/key-versions/{{id}}", self.end, methods=["PUT"]),
        ]

    def _caller(self, request: Request) -> Caller:
        """A recipient that manages its own; raises LdnError(login | forbidden)."""
        caller = caller_of(request.scope)
        caller.need(SCOPE)
        names = {f"ura:{caller.organization}"} | ({f"oin:{caller.oin}"} if caller.oin else set())
        if not names & set(self.recipients):
            text = "your organization is no recipient here; ask the operator to admit it"
            raise LdnError(Issue.FORBIDDEN, text, detail="no recipient")
        return caller

    async def register(self, request: Request) -> Response:
        """POST {scope, key_id}: the key of the certificate on this connection serves them."""
        caller = self._caller(request)
        body = _body(await read_json(request, _LARGEST), {"scope"}, {"key_id"})
        return await self._added(_draft(caller, body, _shown(request, caller)))

    async def add(self, request: Request) -> Response:
        """POST {scope, key_data, key_id}: this public key serves them."""
        caller = self._caller(request)
        body = _body(await read_json(request, _LARGEST), {"scope", "key_data"}, {"key_id"})
        return await self._added(_draft(caller, body, _text(body, "key_data")))

    async def _added(self, draft: Draft) -> Response:
        key = await self.registry.register(draft)
        self.evaluations.forget()
        return respond_json(_key(key), status=201)

    async def keys(self, request: Request) -> Response:
        """GET: the caller's keys."""
        caller = self._caller(request)
        found = await self.registry.keys(caller.organization)
        return respond_json([_key(k) for k in found])

    async def change(self, request: Request) -> Response:
        """PUT {scope, key_data, key_id}: the key becomes this."""
        caller = self._caller(request)
        body = _body(await read_json(request, _LARGEST), {"scope", "key_data"}, {"key_id"})
        draft = _draft(caller, body, _text(body, "key_data"))
        key = await self.registry.change(request.path_params["id"], draft)
        self.evaluations.forget()
        return respond_json(_key(key))

    async def remove(self, request: Request) -> Response:
        """DELETE: nobody can ask for these scopes any more; their secrets stay."""
        caller = self._caller(request)
        await self.registry.remove(caller.organization, request.path_params["id"])
        self.evaluations.forget()
        return Response(status_code=204)

    async def rotate(self, request: Request) -> Response:
        """POST {from_dt, until_dt, scope}: new versions, announced from this moment."""
        caller = self._caller(request)
        names = {"from_dt", "until_dt", "scope"}
        body = _body(await read_json(request, _LARGEST), set(), names)
        begins, ends = _moment(body, "from_dt"), _moment(body, "until_dt")
        scope = str(body.get("scope") or "").strip().lower()
        made = await self.registry.rotate(caller.organization, begins, ends, scope)
        self.evaluations.forget()
        return respond_json([_version(v) for v in made], status=201)

    async def versions(self, request: Request) -> Response:
        """GET: the versions of the caller's secrets, announced, active, ended and destroyed."""
        caller = self._caller(request)
        found = await self.registry.versions(caller.organization)
        return respond_json([_version(v) for v in found])

    async def end(self, request: Request) -> Response:
        """PUT {until_dt}: the version ends then; null: not yet decided."""
        caller = self._caller(request)
        body = _body(await read_json(request, _LARGEST), {"until_dt"}, set())
        ends = _moment(body, "until_dt")
        found = await self.registry.end(caller.organization, request.path_params["id"], ends)
        self.evaluations.forget()
        return respond_json(_version(found))


def _body(body: dict[str, Any], needed: set[str], more: set[str]) -> dict[str, Any]:
    if not needed <= set(body) or not set(body) <= needed | more:
        names = [*sorted(needed), *(f"{m} (optional)" for m in sorted(more))]
        raise LdnError(Issue.BUSINESS_RULE, f"send {', '.join(names)} and nothing else")
    return body


def _draft(caller: Caller, body: Mapping[str, Any], pem: str) -> Draft:
    scopes = body["scope"]
    if not isinstance(scopes, list) or not all(isinstance(s, str) for s in scopes):
        raise LdnError(Issue.BUSINESS_RULE, "scope is a list of texts")
    kid = _text(body, "key_id") if body.get("key_id") is not None else ""
    return Draft(caller.organization, caller.oin, scopes, pem, kid)


def _shown(request: Request, caller: Caller) -> str:
    """The public key of the caller's certificate; never that of who acts for it."""
    der = peer_certificate(request.scope)
    own = {"", str(caller.organization), str(caller.oin)}
    if der is None or caller.acting not in own:
        text = "register over a connection with your own certificate, or send key_data to /keys"
        raise LdnError(Issue.FORBIDDEN, text, detail="certificate")
    try:
        public = load(der).public_key()
    except (UnsupportedAlgorithm, ValueError) as error:
        text = "the key of this certificate cannot be read; send key_data to /keys"
        raise LdnError(Issue.BUSINESS_RULE, text) from error
    return sealing.pem_of(sealing.require_rsa(public))


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= _TEXT:
        raise LdnError(Issue.BUSINESS_RULE, f"{name} is a text of at most {_TEXT} characters")
    return value


def _moment(body: Mapping[str, Any], name: str) -> datetime | None:
    if body.get(name) is None:
        return None
    try:
        found = datetime.fromisoformat(_text(body, name))
    except ValueError as error:
        raise LdnError(Issue.BUSINESS_RULE, f"{name} is a date and time (RFC 3339)") from error
    if found.tzinfo is None:
        raise LdnError(Issue.BUSINESS_RULE, f"{name} needs its time zone: end with Z or +01:00")
    if not _YEARS[0] <= found.year <= _YEARS[1]:
        text = f"{name} lies between the years {_YEARS[0]} and {_YEARS[1]}"
        raise LdnError(Issue.BUSINESS_RULE, text)
    return found


def _key(key: RecipientKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "scope": list(key.scopes),
        "key_id": key.kid,
        "key_data": key.pem,
        "created": instant(key.created),
    }


def _version(version: KeyVersion) -> dict[str, Any]:
    moments = {
        "from_dt": version.begins,
        "until_dt": version.ends,
        "destroyed_dt": version.destroyed,
    }
    told = {"id": version.id, "scope": version.scope, "version": version.version}
    return told | {k: instant(v) if v else None for k, v in moments.items()}
