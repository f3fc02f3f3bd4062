"""The gateway before a service of others: it says who calls in the headers that service reads.

Source: specification of the generic functions §2.6 (`x-gf-*`; the gateway that nobody publishes).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient
from openldn.fhir.http import read_body
from openldn.fhir.identifiers import Oin, Ura
from openldn.functions.authentication.model import Register
from openldn.functions.authentication.profiles import HeaderForm
from openldn.trust.parties import CALLER, Caller

_LARGEST = 4 * 1024 * 1024  # bytes of a request that is passed on
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
# Nothing else crosses, in either direction: no token, no cookie, no header of identity.
_THERE = ("accept", "content-type", "if-match", "if-none-exist", "if-none-match", "prefer")
_TRACE = ("traceparent", "tracestate")
_DOTS = frozenset({".", ".."})  # they would lead outside the base, to what else runs on that host
_BACK = ("content-type", "etag", "last-modified", "location", "retry-after")

Tell = Callable[[Caller, Register], str]


def _oin_of(number: str, register: Register) -> str:
    """The OIN of a party that is known by either number; raises LdnError(forbidden)."""
    if len(number) > 8:
        return Oin.parse(number).value
    known = register.by_ura(Ura.parse(number))
    if known is None:
        text = "no OIN is registered here of the calling organization; ask the operator to add it"
        raise LdnError(Issue.FORBIDDEN, text, detail="gateway.oin")
    return known.oin.value


def _main_oin(caller: Caller, register: Register) -> str:
    return caller.oin.value if caller.oin else _oin_of(caller.organization.value, register)


def _acting_oin(caller: Caller, register: Register) -> str:
    return _oin_of(caller.acting, register) if caller.acting else _main_oin(caller, register)


def _name(caller: Caller, register: Register) -> str:
    known = register.by_ura(caller.organization)
    return caller.name or (known.name if known else "") or caller.organization.value


def _kind(caller: Caller, register: Register) -> str:
    return "PKIO" if len(caller.acting) > 8 else "UZI"


# header -> what it says, where the services agree; `x-gf-sub` differs, see `told_of`
_SAID: Mapping[str, Tell] = {
    "x-gf-act-sub": _acting_oin,
    "x-gf-act-cn": _name,
    "x-gf-scope": lambda caller, _: " ".join(sorted(caller.scopes)),
    "x-gf-cert-type": _kind,
    "x-gf-organization-name": _name,
}


@dataclass(frozen=True)
class Forwarding:
    """The service behind: where it is, and how it is told who calls."""

    http: HttpClient
    url: str  # base of the service
    form: HeaderForm
    by_oin: bool  # whether the service knows the main organization by its OIN
    audience: str  # as the service expects it in x-gf-audience
    register: Register
    deadline: float = 30.0  # seconds for one answer

    def told_of(self, caller: Caller) -> dict[str, str]:
        """The headers that say who calls; raises LdnError(forbidden) when an OIN is not known."""
        sub = _main_oin(caller, self.register) if self.by_oin else caller.organization.value
        said = {"x-gf-sub": sub, "x-gf-audience": self.audience}
        named = [name for name in self.form.required if name not in said]
        said |= {name: _SAID[name](caller, self.register) for name in named}
        if caller.source and "x-gf-source-id" in self.form.optional:
            said["x-gf-source-id"] = caller.source
        return {name: _plain(value) for name, value in said.items()}

    async def forward(self, request: Request) -> Response:
        """The answer of the service behind; raises LdnError: too-long, incomplete, timeout."""
        caller = request.scope.get(CALLER)
        given = request.headers
        headers = {name: given[name] for name in (*_THERE, *_TRACE) if name in given}
        headers["x-request-id"] = request.state.correlation
        headers |= self.told_of(caller) if isinstance(caller, Caller) else {}
        body = await read_body(request, _LARGEST)
        path = request.scope["raw_path"].decode("latin-1")
        if not path.startswith("/") or _DOTS & set(unquote(path).split("/")):
            text = "the address must begin with /, and go through no part that is . or .."
            raise LdnError(Issue.INVALID, text, detail="gateway.path")
        query = request.scope["query_string"].decode("latin-1")
        url = self.url.rstrip("/") + path + (f"?{query}" if query else "")
        reply = await self.http.send(
            request.method, url, headers=headers, body=body or None, deadline=self.deadline
        )
        back = {name: reply.headers[name] for name in _BACK if name in reply.headers}
        return Response(reply.body, reply.status, back)

    def routes(self) -> list[Route]:
        """Every address, for the service behind to judge."""

        async def forward(request: Request) -> Response:
            return await self.forward(request)

        return [Route("/{path:path}", forward, methods=_METHODS)]


def _plain(text: str) -> str:
    """The text as a header can carry it; a letter that cannot be becomes a question mark."""
    kept = text.encode("ascii", errors="replace").decode("ascii")
    return "".join(c if c.isprintable() else "?" for c in kept)[:512]
