"""The administration's pages: read what was asked, ask the node, show the outcome."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from openldn.access.administration.desk import Desk
from openldn.access.administration.filters import NAMES, asked, typed
from openldn.access.administration.findings import findings, rows, verdict
from openldn.access.administration.pages import DOOR, Visit, render, words
from openldn.access.administration.settings import PREFIX
from openldn.access.frame.pages import HEADERS, own_path, to
from openldn.access.frame.visits import give_cookie, require_own_host
from openldn.access.frame.words import LANGUAGES, language_of
from openldn.base.errors import Issue, LdnError
from openldn.fhir.http import application

SESSION, VISIT, LANGUAGE = "openldn-desk", "openldn-desk-visit", "openldn-language"
_YEAR = 365 * 24 * 3600
Page = Callable[[Visit], Awaitable[Response]]


def app(desk: Desk) -> ASGIApp:
    """The administration as an ASGI application; every address begins with PREFIX."""

    async def say(request: Request, error: LdnError) -> Response:
        return _problem(_visit(desk, request), error)

    return application(routes(desk), role="portal", new_id=desk.new_id, say=say)


def routes(desk: Desk) -> list[Route]:
    """Every address of the administration; all but the first group ask to sign in."""
    table: tuple[tuple[str, str, Page, bool], ...] = (
        ("GET", "", front, False),
        ("GET", "/static/{name}", static, False),
        ("GET", "/language/{code}", choose_language, False),
        ("GET", "/sign-in", sign_in, False),
        ("POST", "/sign-in", signed_in, False),
        ("POST", "/sign-out", sign_out, False),
        ("GET", "/session", session, True),
        ("GET", "/", overview, True),
        ("GET", "/keys", keys, True),
        ("GET", "/credentials", credentials, True),
        ("GET", "/peers", peers, True),
        ("GET", "/documents", documents, True),
        ("GET", "/refusals", refusals, True),
    )
    return [
        Route(PREFIX + path, _endpoint(desk, page, members=members), methods=[method])
        for method, path, page, members in table
    ]


def _endpoint(desk: Desk, page: Page, *, members: bool) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        """The page, for who may see it."""
        require_own_host(request, (desk.settings.host, *desk.settings.hosts))
        visit = _visit(desk, request)
        if members and visit.signed is None:
            over = "?over=1" if request.cookies.get(SESSION) else ""
            return to(f"{PREFIX}/sign-in{over}")
        return await page(visit)

    endpoint.__name__ = page.__name__  # what the log calls the route
    return endpoint


def _visit(desk: Desk, request: Request) -> Visit:
    cookies = request.cookies
    language = language_of(cookies.get(LANGUAGE, ""), request.headers.get("accept-language", ""))
    signed = desk.visits.find(cookies.get(SESSION, ""))
    bound = signed.id if signed else cookies.get(VISIT, "")
    return Visit(desk, request, words(language), signed, bound)


def _problem(visit: Visit, error: LdnError) -> Response:
    context = {"error": error, "correlation": visit.request.state.correlation}
    return render(visit, "problem.html", context, status=error.status)


async def front(visit: Visit) -> Response:
    """The address as people type it."""
    return to(f"{PREFIX}/")


async def static(visit: Visit) -> Response:
    """The look and behavior of the pages."""
    return DOOR.asset(visit.request.path_params["name"])


async def choose_language(visit: Visit) -> Response:
    """Remembers the language and goes back to the page one was at."""
    code = visit.request.path_params["code"]
    if code not in LANGUAGES:
        raise LdnError(Issue.NOT_FOUND, "there are no pages in this language")
    response = to(own_path(visit.request.query_params.get("to", ""), f"{PREFIX}/"))
    give_cookie(response, LANGUAGE, code, path="/", seconds=_YEAR)
    return response


async def sign_in(visit: Visit) -> Response:
    """The nodes one can look at; a stand-in for signing in."""
    bound = visit.visit or secrets.token_urlsafe(24)
    fresh = Visit(visit.desk, visit.request, visit.words, visit.signed, bound)
    over = visit.request.query_params.get("over") == "1" and visit.signed is None
    context = {"nodes": visit.desk.nodes.network().nodes, "over": over}
    response = render(fresh, "sign_in.html", context)
    if visit.signed is None:
        give_cookie(response, VISIT, bound, path=PREFIX)
    return response


async def signed_in(visit: Visit) -> Response:
    """Begins a session for the chosen node; an earlier one ends."""
    fields = await visit.desk.visits.forms.read(visit.request, visit.visit)
    chosen = [n for n in visit.desk.nodes.network().nodes if n.key == fields.get("node")]
    if not chosen:
        raise LdnError(Issue.INVALID, "choose one of the nodes listed")
    if visit.signed:
        visit.desk.visits.end(visit.signed.id)
    response = to(f"{PREFIX}/")
    give_cookie(response, SESSION, visit.desk.visits.begin(chosen[0]).id, path=PREFIX)
    response.delete_cookie(VISIT, path=PREFIX)
    return response


async def sign_out(visit: Visit) -> Response:
    """Ends the session."""
    await visit.desk.visits.forms.read(visit.request, visit.visit)
    if visit.signed:
        visit.desk.visits.end(visit.signed.id)
    response = to(f"{PREFIX}/sign-in")
    response.delete_cookie(SESSION, path=PREFIX)
    return response


async def session(visit: Visit) -> Response:
    """Keeps the session alive: having come here is enough."""
    return Response(status_code=204, headers=HEADERS)


async def overview(visit: Visit) -> Response:
    """What needs somebody, most urgent first; a node that does not answer is itself the answer."""
    try:
        trust, lately = await visit.desk.lately(visit.node)
    except LdnError as error:
        return render(visit, "overview.html", {"down": error, "found": [], "verdict": "alert"})
    latest = rows(lately, "refusals")
    found = findings(trust, latest)
    context = {"trust": trust, "found": found, "verdict": verdict(found), "lately": latest}
    return render(visit, "overview.html", context | _named(trust) | {"down": None})


async def keys(visit: Visit) -> Response:
    """The node's keys, and until when they count."""
    return await _section(visit, "keys")


async def credentials(visit: Visit) -> Response:
    """What stands in the node's wallet."""
    return await _section(visit, "credentials")


async def peers(visit: Visit) -> Response:
    """Whom the node can deal with, and when it last did."""
    return await _section(visit, "peers")


async def documents(visit: Visit) -> Response:
    """The documents of other parties that trust rests on."""
    return await _section(visit, "documents")


async def _section(visit: Visit, name: str) -> Response:
    trust = await visit.desk.trust(visit.node)
    reasons = trust.get("reasons")
    reason = reasons.get(name, "") if isinstance(reasons, dict) else ""
    context = {"trust": trust, "rows": rows(trust, name), "reason": reason}
    return render(visit, f"{name}.html", context)


async def refusals(visit: Visit) -> Response:
    """The last refusals with their reason, narrowed as asked, page by page."""
    fields = typed(parse_qsl(visit.request.url.query, keep_blank_values=True))
    trust = await visit.desk.trust(visit.node)
    found = await visit.desk.refusals(visit.node, asked(fields))
    listed = rows(found, "refusals")
    older = ""
    if found.get("next") and listed:
        older = urlencode({**fields, "before": listed[-1].get("number", "")})
    newest = urlencode({k: v for k, v in fields.items() if k != "before"})
    known = sorted({str(r.get("code")) for r in (*rows(trust, "refusals"), *listed)})
    context = {"rows": listed, "older": older, "newest": newest, "codes": known}
    filled = {"fields": dict.fromkeys(NAMES, "") | fields, "filtered": bool(fields)}
    return render(visit, "refusals.html", context | filled | _named(trust))


def _named(trust: dict[str, Any]) -> dict[str, Any]:
    """The names of the peers by URA."""
    listed = rows(trust, "peers")
    return {"peers": listed, "names": {str(p.get("ura")): str(p.get("name")) for p in listed}}
