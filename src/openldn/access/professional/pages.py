"""Turns templates and words into pages, each with the headers that keep it safe."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from openldn.access.frame.pages import HEADERS, door
from openldn.access.professional.portal import Portal
from openldn.access.professional.reception import RETURN
from openldn.access.professional.sessions import Session
from openldn.access.professional.words import LANGUAGES, Words

__all__ = ["ASSETS", "DOOR", "HEADERS", "Visit", "render", "set_cookie"]
SESSION, VISIT, LANGUAGE = "openldn-session", "openldn-visit", "openldn-language"
DOOR = door(Path(__file__).parent)
ASSETS = DOOR.assets


@dataclass(frozen=True)
class Visit:
    """One request by one person: in which language, and who has signed in."""

    portal: Portal
    request: Request
    words: Words
    session: Session | None
    visit: str  # what forms are bound to: the session, or the cookie of who has none yet

    @property
    def secure(self) -> bool:
        """Whether browsers reach us by https, as far as the settings tell."""
        sign_in = self.portal.settings.sign_in
        return sign_in is not None and sign_in.public.startswith("https:")

    @property
    def member(self) -> Session:
        """The session on a page that only opens to who has signed in."""
        assert self.session is not None  # noqa: S101  (the route demanded it)
        return self.session

    async def form(self) -> Mapping[str, str]:
        """The fields of a form of ours; raises LdnError(forbidden) for any other."""
        return await self.portal.sessions.forms.read(self.request, self.visit)


def render(
    visit: Visit, template: str, context: Mapping[str, object] | None = None, *, status: int = 200
) -> Response:
    """The page `template` in the visitor's language."""
    own = {
        "t": visit.words,
        "root": "",
        "languages": LANGUAGES,
        "path": visit.request.url.path,
        "here": _path(visit),
        "session": visit.session,
        "proof": visit.portal.sessions.forms.proof(visit.visit),
        "now": visit.portal.clock(),
        "idle_seconds": round(visit.portal.settings.idle_minutes * 60),
    }
    language = visit.words.language
    return DOOR.page(template, own | dict(context or {}), language=language, status=status)


def _path(visit: Visit) -> str:
    """Where to come back to after choosing a language: a page that can be opened again."""
    path = visit.request.url.path
    if visit.request.method == "GET" and path != RETURN:
        return path
    return "/find" if visit.session else "/sign-in"


def set_cookie(
    visit: Visit, response: Response, name: str, value: str, *, seconds: int | None = None
) -> None:
    """A cookie that no script can read and no other site sends along."""
    strict: dict[str, Any] = {"httponly": True, "samesite": "strict"}
    response.set_cookie(name, value, seconds, path="/", secure=visit.secure, **strict)
