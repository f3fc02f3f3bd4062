"""What the doors below a prefix have in common: sessions, languages, forms, files, failures."""

import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from openldn.access.frame.pages import HEADERS, Door, own_path, to
from openldn.access.frame.visits import Signed, Visits, give_cookie, require_own_host
from openldn.access.frame.words import LANGUAGES, Words, language_of
from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import NewId
from openldn.fhir.http import application

D = TypeVar("D")  # what the pages of a door are made from
T = TypeVar("T")  # as what one signs in
LANGUAGE = "openldn-language"
_YEAR = 365 * 24 * 3600


@dataclass(frozen=True)
class Visit(Generic[D, T]):
    """One request by one person: in which language, and signed in as whom."""

    entry: "Entry[D, T]"
    request: Request
    words: Words
    signed: Signed[T] | None = field(repr=False)
    visit: str = field(repr=False)  # what forms are bound to: the session, or a cookie before it

    @property
    def desk(self) -> D:
        """What the pages of this door are made from."""
        return self.entry.desk

    @property
    def member(self) -> T:
        """As what one signed in, on a page that only opens to who did."""
        assert self.signed is not None  # noqa: S101  (the route demanded it)
        return self.signed.member

    async def form(self) -> Mapping[str, str]:
        """The fields of a form of ours; raises LdnError(forbidden) for any other."""
        return await self.entry.visits.forms.read(self.request, self.visit)

    def render(
        self, template: str, context: Mapping[str, object] | None = None, *, status: int = 200
    ) -> Response:
        """The page `template` in the visitor's language."""
        entry, language = self.entry, self.words.language
        shown = {
            "t": self.words,
            "languages": LANGUAGES,
            "root": entry.prefix,
            "path": self.request.url.path,
            "here": self._here(),
            "session": self.signed,
            "proof": entry.visits.forms.proof(self.visit),
            "now": entry.visits.clock(),
            "idle_seconds": round(entry.visits.idle.total_seconds()),
        }
        whole = {**shown, **entry.context(language), **(context or {})}
        return entry.door.page(template, whole, language=language, status=status)

    def _here(self) -> str:
        """This page with its filter, so that changing the language keeps it."""
        if self.request.method != "GET":
            return f"{self.entry.prefix}/"
        pairs = self.request.query_params.multi_items()
        return self.request.url.path + (f"?{urlencode(pairs)}" if pairs else "")


Page = Callable[[Visit[D, T]], Awaitable[Response]]
Row = tuple[str, str, Page[D, T], bool]  # method, path, page, whether one must sign in for it


@dataclass(frozen=True)
class Entry(Generic[D, T]):
    """One door: where it stands, how it looks, who is in."""

    prefix: str  # "/beheer"
    cookie: str  # of the session; what is bound before signing in has `-visit` behind it
    door: Door
    words: Callable[[str], Words]
    desk: D
    visits: Visits[T]
    hosts: tuple[str, ...]  # names by which browsers reach us, beside those of this machine
    context: Callable[[str], Mapping[str, object]]  # what pages in a language are given besides

    def app(self, rows: Iterable[Row[D, T]], role: str, new_id: NewId) -> ASGIApp:
        """The door as an application; every address of it begins with the prefix."""

        async def say(request: Request, error: LdnError) -> Response:
            visit = self.visit(request)
            context = {"error": error, "correlation": request.state.correlation}
            return visit.render("problem.html", context, status=error.status)

        common: tuple[Row[D, T], ...] = (
            ("GET", "", self.front, False),
            ("GET", "/static/{name}", self.static, False),
            ("GET", "/language/{code}", self.language, False),
            ("POST", "/sign-out", self.sign_out, False),
            ("GET", "/session", self.session, True),
        )
        routes = [
            Route(self.prefix + path, self._endpoint(page, members=members), methods=[method])
            for method, path, page, members in (*common, *rows)
        ]
        return application(routes, role=role, new_id=new_id, say=say)

    def _endpoint(
        self, page: Page[D, T], *, members: bool
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            """The page, for who may see it."""
            require_own_host(request, self.hosts)
            visit = self.visit(request)
            if members and visit.signed is None:
                over = "?over=1" if request.cookies.get(self.cookie) else ""
                return to(f"{self.prefix}/sign-in{over}")
            return await page(visit)

        endpoint.__name__ = getattr(page, "__name__", "page")  # what the log calls the route
        return endpoint

    def visit(self, request: Request) -> Visit[D, T]:
        """Who comes, and in which language they read."""
        cookies, accepted = request.cookies, request.headers.get("accept-language", "")
        language = language_of(cookies.get(LANGUAGE, ""), accepted)
        signed = self.visits.find(cookies.get(self.cookie, ""))
        bound = signed.id if signed else cookies.get(f"{self.cookie}-visit", "")
        return Visit(self, request, self.words(language), signed, bound)

    async def front(self, visit: Visit[D, T]) -> Response:
        """The address as people type it."""
        return to(f"{self.prefix}/")

    async def static(self, visit: Visit[D, T]) -> Response:
        """The look and behavior of the pages."""
        return self.door.asset(visit.request.path_params["name"])

    async def language(self, visit: Visit[D, T]) -> Response:
        """Remembers the language and goes back to the page one was at."""
        code = visit.request.path_params["code"]
        if code not in LANGUAGES:
            raise LdnError(Issue.NOT_FOUND, "there are no pages in this language")
        response = to(own_path(visit.request.query_params.get("to", ""), f"{self.prefix}/"))
        give_cookie(response, LANGUAGE, code, path="/", seconds=_YEAR)
        return response

    def sign_in(self, visit: Visit[D, T], context: Mapping[str, object]) -> Response:
        """The page to sign in at; its form is bound to a cookie of this visit."""
        fresh = replace(visit, visit=visit.visit or secrets.token_urlsafe(24))
        over = visit.request.query_params.get("over") == "1" and visit.signed is None
        response = fresh.render("sign_in.html", {**context, "over": over})
        if visit.signed is None:
            give_cookie(response, f"{self.cookie}-visit", fresh.visit, path=self.prefix)
        return response

    def enter(self, visit: Visit[D, T], member: T) -> Response:
        """Begins a session; an earlier one ends."""
        if visit.signed:
            self.visits.end(visit.signed.id)
        response = to(f"{self.prefix}/")
        give_cookie(response, self.cookie, self.visits.begin(member).id, path=self.prefix)
        response.delete_cookie(f"{self.cookie}-visit", path=self.prefix)
        return response

    async def sign_out(self, visit: Visit[D, T]) -> Response:
        """Ends the session."""
        await visit.form()
        if visit.signed:
            self.visits.end(visit.signed.id)
        response = to(f"{self.prefix}/sign-in")
        response.delete_cookie(self.cookie, path=self.prefix)
        return response

    async def session(self, visit: Visit[D, T]) -> Response:
        """Keeps the session alive: having come here is enough."""
        return Response(status_code=204, headers=HEADERS)
