"""Which address and method leads to which interaction: one table per shape of address.

Lean on purpose: the framework sees one route per FHIR base, the table below does the rest.
"""

import re
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from openldn.base.errors import Issue, LdnError
from openldn.fhir.api.batch import process
from openldn.fhir.api.capabilities import capabilities
from openldn.fhir.api.confine import not_found
from openldn.fhir.api.history import of_all, of_instance, of_type
from openldn.fhir.api.model import ABSTRACT, Action, Api, Call
from openldn.fhir.api.operations import operate
from openldn.fhir.api.read import read, vread
from openldn.fhir.api.search import search
from openldn.fhir.api.write import create, delete, delete_matching, update, update_matching
from openldn.fhir.definitions import definitions

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")

# T a resource type, I an id, $ an operation; other words stand for themselves
_SHAPES: dict[tuple[str, ...], dict[str, Action]] = {
    (): {"POST": process, "OPTIONS": capabilities},
    ("metadata",): {"GET": capabilities, "OPTIONS": capabilities},
    ("_history",): {"GET": of_all},
    ("T",): {
        "GET": search,
        "POST": create,
        "PUT": update_matching,
        "DELETE": delete_matching,
    },
    ("T", "_search"): {"POST": search},
    ("T", "_history"): {"GET": of_type},
    ("T", "I"): {"GET": read, "PUT": update, "DELETE": delete},
    ("T", "I", "_history"): {"GET": of_instance},
    ("T", "I", "_history", "I"): {"GET": vread},
    ("T", "$"): {"GET": operate, "POST": operate},
    ("T", "I", "$"): {"GET": operate, "POST": operate},
    ("T", "I", "T"): {"GET": search},
    ("T", "I", "T", "_search"): {"POST": search},
}
_FIELDS = {  # place in the address and what stands there -> field of Call
    (0, "T"): "type",
    (1, "I"): "id",
    (3, "I"): "version",
    (1, "$"): "operation",
    (2, "$"): "operation",
    (2, "T"): "inner",
}
_WRITES = {create, update, update_matching, delete, delete_matching, process}
_ABSENT = {Issue.NOT_FOUND, Issue.DELETED}
_WORDS = frozenset({"metadata", "_history", "_search"})


def fhir_routes(api: Api, prefix: str = "") -> list[BaseRoute]:
    """The routes of one FHIR base at `prefix` ("" or "/fhir/R4"), without trailing slash."""
    base = _Base(api, prefix)
    routes: list[BaseRoute] = [Route(prefix + "/{rest:path}", base)]
    if prefix:  # POST [base] is written without the last slash too
        routes.append(Route(prefix, base))
    return routes


@dataclass(frozen=True, eq=False)
class _Base:
    api: Api
    prefix: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self.follow(request, scope["path_params"].get("rest", ""))
        await response(scope, receive, send)

    async def follow(self, request: Request, rest: str) -> Response:
        """The answer to a request for the address `rest` below this base."""
        parts, shape = self._taken_apart(rest)
        action = self._chosen(request.method, self._actions(parts, shape))
        request.scope["endpoint"] = action  # its name is what the log calls this route
        patient = "" if action is capabilities else await self.api.confine(request)
        if patient and action in _WRITES:
            raise LdnError(Issue.FORBIDDEN, "this token gives the right to read, not to write")
        try:
            return await action(self._call(request, parts, shape, patient))
        except LdnError as error:
            if patient and error.issue in _ABSENT:
                raise not_found() from error  # the same word for what is not there and not theirs
            raise

    def _taken_apart(self, rest: str) -> tuple[list[str], tuple[str, ...]]:
        parts = rest.split("/", 6) if rest else []
        if parts and not parts[-1]:
            parts.pop()
        return parts, tuple(self._kind(part, place) for place, part in enumerate(parts))

    def _actions(self, parts: list[str], shape: tuple[str, ...]) -> dict[str, Action]:
        actions = _SHAPES.get(shape)
        if actions is None:
            raise self._unknown(parts, shape)
        return actions

    def _kind(self, part: str, place: int) -> str:
        """What this segment of the address is; "?" when it cannot be anything."""
        if part in _WORDS:
            return part
        if part.startswith("$"):
            return "$"
        if place != 1 and part in self.api.served:
            return "T"
        return "I" if place % 2 and _ID.fullmatch(part) else "?"

    def _call(
        self, request: Request, parts: list[str], shape: tuple[str, ...], patient: str
    ) -> Call:
        named: dict[str, Any] = {
            name: part
            for place, (kind, part) in enumerate(zip(shape, parts, strict=True))
            if (name := _FIELDS.get((place, kind)))
        }
        return Call(self.api, request, self.prefix, patient=patient, follow=self.follow, **named)

    def _chosen(self, method: str, actions: dict[str, Action]) -> Action:
        allowed = {m: a for m, a in actions.items() if self.api.writable or a not in _WRITES}
        action = allowed.get("GET" if method == "HEAD" else method)
        if action is not None:
            return action
        names = {*allowed, "OPTIONS"} | ({"HEAD"} if "GET" in allowed else set())
        if method == "OPTIONS":
            return capabilities
        raise HTTPException(405, headers={"Allow": ", ".join(sorted(names))})

    def _unknown(self, parts: list[str], shape: tuple[str, ...]) -> LdnError:
        every = definitions(self.api.version).resources
        if shape[0] == "?" and parts[0] in every - ABSTRACT:
            text = f"no {parts[0]} is kept here; see /metadata for what is"
            return LdnError(Issue.NOT_FOUND, text)
        if shape[0] == "?":
            text = f"the address does not name a resource type of FHIR {self.api.version}"
            return LdnError(Issue.NOT_FOUND, text)
        if shape == ("T", "?"):
            return LdnError(Issue.INVALID, "an id has 1 to 64 letters, digits, - and .")
        return LdnError(Issue.INVALID, "no interaction has an address of this form", status=400)
