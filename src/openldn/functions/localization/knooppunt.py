"""A local door for record systems that speak the Knooppunt's `/nvi`: profile `knooppunt-port`.

The record system says BSN, the index hears a token; nothing is kept here.
Source: specification of localization §5.6.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.fhir.http import read_body, read_json, respond
from openldn.fhir.identifiers import BSN_SYSTEM, URA_SYSTEM, Bsn, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.localization.client import (
    Heard,
    LocalizationClient,
    next_of,
    refused,
    require_complete,
)
from openldn.functions.localization.lists import custodian, custodians, identifier_of
from openldn.functions.localization.model import CREATE, DELETE, LOCALIZE, NVI_IDENTIFIER, READ
from openldn.functions.localization.parameters import id_of

PATH = "/nvi"
_LARGEST = 64 * 1024  # bytes of a form
_MOST = 200  # entries of a Bundle
_NAMES = {
    "patient:identifier": "subject:identifier",
    "subject:identifier": "subject:identifier",
    "source:identifier": "source:identifier",
    "code": "code",
}
_SCOPES = {"POST": CREATE, "GET": LOCALIZE, "DELETE": DELETE}

ClientOf = Callable[[Ura], LocalizationClient]  # of an organization here; LdnError for another
Guard = Callable[[Request], Awaitable[None]]  # raises LdnError unless this system may come in


@dataclass(frozen=True)
class Door:
    """The client of an organization, seen through the words of its record system."""

    client: LocalizationClient

    async def outgoing(self, value: Any) -> Resource:
        """A List as the index takes it: with our custodian, and a token for the BSN."""
        if not isinstance(value, dict) or value.get("resourceType") != "List":
            raise _wrong("send a List")
        found, own = custodians(value), self.client.holder.ura
        if set(found) - {own}:
            text = "the custodian in the List is another organization than X-Tenant-ID"
            raise LdnError(Issue.SECURITY, text)
        sent = dict(value)
        if not found:
            sent["extension"] = [*(value.get("extension") or []), custodian(own)]
        subject = identifier_of(value.get("subject"))
        if subject is None or subject[0] != BSN_SYSTEM:
            raise _wrong("the subject of the List needs an identifier with the BSN")
        token = await self.client.token(Bsn.parse(subject[1]))
        sent["subject"] = {"identifier": {"system": NVI_IDENTIFIER, "value": token}}
        if not self.client.categorized:
            sent.pop("code", None)
        return sent

    async def query(self, pairs: Sequence[tuple[str, str]], method: str) -> str:
        """Parameters as the index takes them; raises LdnError(invalid) without an identifier."""
        asked = []
        for name, value in pairs:
            if name not in _NAMES:
                raise _wrong(f"an unknown parameter; there are {', '.join(_NAMES)}")
            if name == "code":
                if not self.client.categorized and method == "DELETE":
                    raise _wrong("the index keeps no categories: this would remove them all")
                if self.client.categorized:
                    asked.append(("code", value))
                continue
            asked.append((_NAMES[name], await self._value(_NAMES[name], value)))
        if not any(name.endswith(":identifier") for name, _ in asked):
            raise _wrong("give at least patient:identifier or source:identifier")
        return urlencode(require_complete(asked))

    async def _value(self, name: str, value: str) -> str:
        system, _, rest = value.rpartition("|")
        if name == "subject:identifier" and system == BSN_SYSTEM:
            return f"{NVI_IDENTIFIER}|{await self.client.token(Bsn.parse(rest))}"
        return value

    async def entry(self, value: Any) -> Resource:
        """An entry of a Bundle as the index takes it."""
        request = value.get("request") if isinstance(value, dict) else None
        if not isinstance(request, dict):
            raise _wrong("an entry of the Bundle has no request")
        method, url = str(request.get("method")), str(request.get("url"))
        if method == "POST":
            return {**value, "resource": await self.outgoing(value.get("resource"))}
        path, question, text = url.partition("?")
        if not question:
            return dict(value)
        query = await self.query(parse_qsl(text, keep_blank_values=True), method)
        return {**value, "request": {**request, "url": f"{path}?{query}"}}


def knooppunt_routes(client_of: ClientOf, guard: Guard) -> list[BaseRoute]:
    """`/nvi`: for record systems of the organizations here, and nobody else."""

    def entrance(act: Callable[[Request, Door], Awaitable[Response]]) -> Callable[..., Any]:
        async def nvi(request: Request) -> Response:
            """One request of a record system, for the organization it names."""
            await guard(request)
            return await act(request, Door(client_of(_tenant(request))))

        return nvi

    return [
        Route(PATH, entrance(_transaction), methods=["POST"]),
        Route(f"{PATH}/List", entrance(_lists), methods=["POST", "GET", "DELETE"]),
        Route(f"{PATH}/List/_search", entrance(_search), methods=["POST"]),
        Route(f"{PATH}/List/{{id}}", entrance(_one), methods=["GET", "DELETE"]),
    ]


async def _transaction(request: Request, door: Door) -> Response:
    value = await read_json(request)
    entries = value.get("entry")
    if value.get("resourceType") != "Bundle" or not isinstance(entries, list):
        raise _wrong("send a Bundle with entries")
    if len(entries) > _MOST:
        raise LdnError(Issue.TOO_LONG, f"more than {_MOST} entries; send less at once")
    sent = {**value, "entry": [await door.entry(entry) for entry in entries]}
    scope = f"{CREATE} {DELETE} {LOCALIZE} {READ}"
    return _told(request, await door.client.send("POST", "", scope, body=sent))


async def _lists(request: Request, door: Door) -> Response:
    if request.method != "POST":
        return await _asked(request, door, request.url.query)
    sent = await door.outgoing(await read_json(request))
    return _told(request, await door.client.send("POST", "/List", CREATE, body=sent), status=201)


async def _search(request: Request, door: Door) -> Response:
    form = await read_body(request, _LARGEST)
    return await _asked(request, door, form.decode("utf-8", errors="replace"), "GET")


async def _one(request: Request, door: Door) -> Response:
    id, scope = id_of(request.path_params["id"]), READ if request.method == "GET" else DELETE
    unknown = LdnError(Issue.NOT_FOUND, "no record with this id")
    if not id:
        raise unknown
    heard = await door.client.send(request.method, f"/List/{id}", scope)
    if heard.status == 404:
        raise unknown
    return _told(request, heard)


async def _asked(request: Request, door: Door, text: str, method: str = "") -> Response:
    method = method or request.method
    query = await door.query(parse_qsl(text, keep_blank_values=True), method)
    return _told(request, await door.client.send(method, f"/List?{query}", _SCOPES[method]), method)


def _told(request: Request, heard: Heard, method: str = "", *, status: int = 0) -> Response:
    """The answer of the index, as the record system expects it."""
    if not heard.well:
        if heard.status == 409:
            raise LdnError(Issue.CONFLICT, "this is registered already; nothing was changed")
        raise refused(heard)
    if (method or request.method) == "DELETE":
        return Response(status_code=204)
    if not isinstance(heard.body, dict):
        raise LdnError(Issue.INCOMPLETE, "the answer of the index cannot be read")
    if next_of(heard.body):
        raise LdnError(Issue.INCOMPLETE, "the index answers in pages, which are not followed here")
    body = dict(heard.body)
    if "resource_type" in body:
        body["resourceType"] = body.pop("resource_type")
    return respond(request, body, FhirVersion.R4, status=status or 200)


def _tenant(request: Request) -> Ura:
    system, _, value = request.headers.get("x-tenant-id", "").partition("|")
    if system != URA_SYSTEM or not value:
        raise _wrong(f"send X-Tenant-ID: {URA_SYSTEM}|ura")
    return Ura.parse(value)


def _wrong(text: str) -> LdnError:
    return LdnError(Issue.INVALID, text)
