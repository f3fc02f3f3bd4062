"""The pages of the portal: read what was asked, do one thing, show the outcome."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from openldn.access.frame.pages import own_path, to
from openldn.access.frame.visits import require_own_host
from openldn.access.professional import breaking, gathering, offering, offers, reviewing
from openldn.access.professional.evidence import entries
from openldn.access.professional.facts import everything, fact, fact_key
from openldn.access.professional.finding import asked, find
from openldn.access.professional.pages import (
    DOOR,
    HEADERS,
    LANGUAGE,
    SESSION,
    VISIT,
    Visit,
    render,
    set_cookie,
)
from openldn.access.professional.people import practitioner, practitioners
from openldn.access.professional.portal import Portal
from openldn.access.professional.question import Question
from openldn.access.professional.readers import library
from openldn.access.professional.reception import RETURN
from openldn.access.professional.sections import section_of
from openldn.access.professional.settings import PortalSettings
from openldn.access.professional.signing_in import returned, to_provider
from openldn.access.professional.summary import shelf_of, summary
from openldn.access.professional.words import LANGUAGES, language_of, words
from openldn.base.errors import Issue, LdnError
from openldn.fhir.http import application, respond_json

Page = Callable[[Visit], Awaitable[Response]]
# What an open page asks by itself, without end: nobody need be there.
LOOKING: frozenset[Page] = frozenset({offers.list_parts, offers.parts})


def app(portal: Portal) -> ASGIApp:
    """The portal as an ASGI application."""

    async def say(request: Request, error: LdnError) -> Response:
        return _problem(_visit(portal, request), error)

    return application(
        routes(portal), role="portal", new_id=portal.new_id, lifespan=portal.lifespan, say=say
    )


def routes(portal: Portal) -> list[Route]:
    """Every address of the portal; all but the first group ask to sign in."""
    table: tuple[tuple[str, str, Page, bool], ...] = (
        ("GET", "/", home, False),
        ("GET", "/health", health, False),
        ("GET", "/static/{name}", static, False),
        ("GET", "/language/{code}", choose_language, False),
        ("GET", "/sign-in", sign_in, False),
        ("POST", "/sign-in", chosen, False),
        ("GET", RETURN, returned, False),
        ("GET", "/network", network, False),
        ("POST", "/sign-out", sign_out, False),
        ("GET", "/session", session, True),
        ("GET", "/find", find, True),
        ("POST", "/find", asked, True),
        *gathering.ROUTES,
        *breaking.ROUTES,
        *reviewing.ROUTES,
        *offering.ROUTES,
        *offers.ROUTES,
        ("GET", "/questions/{id}", answer, True),
        ("GET", "/questions/{id}/parts", parts, True),
        ("POST", "/questions/{id}/again", again, True),
        ("GET", "/questions/{id}/evidence", evidence, True),
        ("GET", "/questions/{id}/facts/{key}", one_fact, True),
    )
    return [
        Route(path, _endpoint(portal, page, members=members), methods=[method])
        for method, path, page, members in table
    ]


def _endpoint(
    portal: Portal, page: Page, *, members: bool
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        require_own_host(request, _hosts(portal.settings))
        visit = _visit(portal, request, used=page not in LOOKING)
        if members and visit.session is None:
            return to("/sign-in?over=1" if request.cookies.get(SESSION) else "/sign-in")
        return await page(visit)

    endpoint.__name__ = page.__name__  # what the log calls the route
    return endpoint


def _visit(portal: Portal, request: Request, *, used: bool = True) -> Visit:
    cookies = request.cookies
    language = language_of(cookies.get(LANGUAGE, ""), request.headers.get("accept-language", ""))
    session = portal.sessions.find(cookies.get(SESSION, ""), used=used)
    bound = session.id if session else cookies.get(VISIT, "")
    return Visit(portal, request, words(language), session, bound)


def _hosts(settings: PortalSettings) -> set[str]:
    """The names this portal is known by, beside those of this machine itself."""
    public = urlsplit(settings.sign_in.public).hostname if settings.sign_in else None
    return {settings.host, *settings.hosts} | ({public} if public else set())


def _problem(visit: Visit, error: LdnError) -> Response:
    correlation = visit.request.state.correlation
    context = {"error": error, "correlation": correlation}
    return render(visit, "problem.html", context, status=error.status)


async def home(visit: Visit) -> Response:
    """What this is and where to begin."""
    return render(visit, "home.html")


async def health(visit: Visit) -> Response:
    """Says that the portal serves."""
    return respond_json({"status": "ready"})


async def static(visit: Visit) -> Response:
    """The look and behavior of the pages."""
    return DOOR.asset(visit.request.path_params["name"])


async def choose_language(visit: Visit) -> Response:
    """Remembers the language and goes back to the page one was at."""
    code = visit.request.path_params["code"]
    if code not in LANGUAGES:
        raise LdnError(Issue.NOT_FOUND, "there are no pages in this language")
    response = to(own_path(visit.request.query_params.get("to", "/"), "/"))
    set_cookie(visit, response, LANGUAGE, code, seconds=365 * 24 * 3600)
    return response


async def sign_in(visit: Visit) -> Response:
    """The way to where one signs in; without a provider, a list of simulated practitioners."""
    if visit.portal.reception:
        return await to_provider(visit)
    bound = visit.visit or secrets.token_urlsafe(24)
    fresh = Visit(visit.portal, visit.request, visit.words, visit.session, bound)
    staff = [(node, practitioners(node)) for node in visit.portal.gate.network().nodes]
    over = visit.request.query_params.get("over") == "1" and visit.session is None
    response = render(fresh, "sign_in.html", {"staff": staff, "over": over})
    if visit.session is None:
        set_cookie(visit, response, VISIT, bound)
    return response


async def chosen(visit: Visit) -> Response:
    """Begins a session for the chosen practitioner; an earlier one ends."""
    if visit.portal.reception:
        raise LdnError(Issue.FORBIDDEN, "sign in at the provider; open the sign-in page again")
    fields = await visit.form()
    nodes = visit.portal.gate.network().nodes
    provider, person = practitioner(nodes, fields.get("practitioner", ""))
    if visit.session:
        visit.portal.sessions.end(visit.session.id)
    begun = visit.portal.sessions.begin(provider, person)
    response = to("/find")
    set_cookie(visit, response, SESSION, begun.id)
    response.delete_cookie(VISIT)
    return response


async def sign_out(visit: Visit) -> Response:
    """Ends the session; everything that was asked in it is forgotten."""
    await visit.form()
    if visit.session:
        visit.portal.sessions.end(visit.session.id)
    response = to("/")
    response.delete_cookie(SESSION)
    return response


async def session(visit: Visit) -> Response:
    """Keeps the session alive: having come here is enough."""
    return Response(status_code=204, headers=HEADERS)


def _question(visit: Visit) -> Question:
    return visit.member.question(visit.request.path_params["id"])


def _shown(visit: Visit, question: Question) -> dict[str, Any]:
    seen = summary(question, visit.words, visit.portal.clock().date())
    return {"question": question, "summary": seen}


def _hidden(response: Response, question: Question) -> Response:
    """The page without the BSN, wherever in the answer it may have stood."""
    response.body = bytes(response.body).replace(
        question.bsn.value.encode(), question.bsn.masked.encode()
    )
    response.headers["content-length"] = str(len(response.body))
    return response


async def answer(visit: Visit) -> Response:
    """What came in so far, by section."""
    question = _question(visit)
    return _hidden(render(visit, "answer.html", _shown(visit, question)), question)


async def parts(visit: Visit) -> Response:
    """The changing parts of the answer's page; empty (204) when nothing changed since."""
    question = _question(visit)
    headers = {
        "x-version": str(question.version),
        "x-done": "yes" if question.finished else "no",
    }
    if visit.request.query_params.get("since") == str(question.version):
        return Response(status_code=204, headers=HEADERS | headers)
    response = _hidden(render(visit, "parts.html", _shown(visit, question)), question)
    response.headers.update(headers)
    return response


async def again(visit: Visit) -> Response:
    """Asks the same once more, as a new question with its own evidence."""
    await visit.form()
    question = _question(visit)
    asked = visit.portal.ask(visit.member, question.bsn, question.holder, offer=question.offer)
    return to(f"/questions/{asked.id}")


async def evidence(visit: Visit) -> Response:
    """What the provider's own log says of this question."""
    question = _question(visit)
    events, problem = [], None
    try:
        events = await visit.portal.gate.accesses(question.provider, question.correlation)
    except LdnError as error:
        problem = error
    listed = entries(library(visit.words, events), events, _names(visit, question))
    context = _shown(visit, question) | {"entries": listed, "problem": problem}
    return _hidden(render(visit, "evidence.html", context), question)


def _names(visit: Visit, question: Question) -> dict[str, str]:
    """Names by UZI number, URA and key of a node, as far as the portal knows them."""
    nodes = visit.portal.gate.network().nodes
    people = {question.practitioner.uzi: question.practitioner.name}
    by_number = {node.ura: node.name for node in nodes}
    by_key = {node.key: node.name for node in nodes}
    return {question.holder.ura: question.holder.name} | people | by_number | by_key


async def one_fact(visit: Visit) -> Response:
    """One fact with everything that came with it, codes and identifiers included."""
    question = _question(visit)
    shelf = shelf_of(question, visit.words)
    key = visit.request.path_params["key"]
    resource = next((r for r in shelf.resources.values() if fact_key(r) == key), None)
    if resource is None:
        raise LdnError(Issue.NOT_FOUND, "this fact is not part of the answer")
    section = section_of(resource)
    context = _shown(visit, question) | {
        "fact": fact(shelf, section, resource),
        "section": section,
        "lines": everything(resource),
    }
    return _hidden(render(visit, "fact.html", context), question)


async def network(visit: Visit) -> Response:
    """Who takes part in this network, and at which addresses."""
    return render(visit, "network.html", {"network": visit.portal.gate.network()})
