"""Turns templates and words into pages, each with the headers that keep it safe."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from openldn.access.professional.portal import Portal
from openldn.access.professional.reception import RETURN
from openldn.access.professional.sessions import Session
from openldn.access.professional.words import LANGUAGES, Words

SESSION, VISIT, LANGUAGE = "openldn-session", "openldn-visit", "openldn-language"
_HERE = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_TYPES |= {".svg": "image/svg+xml"}
# Nothing inline, nothing from elsewhere, never inside another page.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("style", "script", "img", "connect")),
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": _POLICY,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


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


def _assets() -> dict[str, tuple[bytes, str]]:
    files = sorted((_HERE / "static").iterdir())
    return {f.name: (f.read_bytes(), _TYPES[f.suffix]) for f in files if f.suffix in _TYPES}


ASSETS = _assets()  # name -> content, media type; read once, so no path of a request is opened
_MARK = hashlib.sha256(b"".join(content for content, _ in ASSETS.values())).hexdigest()[:12]
_TEMPLATES = Environment(
    loader=FileSystemLoader(_HERE / "pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.globals["icon"] = _TEMPLATES.get_template("icons.html").make_module().icon  # type: ignore[attr-defined]


def render(
    visit: Visit, template: str, context: Mapping[str, object] | None = None, *, status: int = 200
) -> Response:
    """The page `template` in the visitor's language."""
    text = _TEMPLATES.get_template(template).render(
        t=visit.words,
        languages=LANGUAGES,
        path=_path(visit),
        mark=_MARK,
        session=visit.session,
        proof=visit.portal.sessions.proof(visit.visit),
        now=visit.portal.clock(),
        idle_seconds=round(visit.portal.settings.idle_minutes * 60),
        **(context or {}),
    )
    headers = HEADERS | {"content-language": visit.words.language}
    return Response(text.encode("utf-8", "replace"), status, headers, "text/html")


def _path(visit: Visit) -> str:
    """Where to come back to after choosing a language: a page that can be opened again."""
    path = visit.request.url.path
    if visit.request.method == "GET" and path != RETURN:
        return path
    return "/find" if visit.session else "/sign-in"


def redirect(address: str) -> Response:
    """Sends the browser to another page."""
    return RedirectResponse(address, 303, HEADERS)


def set_cookie(
    visit: Visit, response: Response, name: str, value: str, *, seconds: int | None = None
) -> None:
    """Has the browser keep a value, for this site and its own pages only."""
    response.set_cookie(
        name,
        value,
        seconds,
        path="/",
        secure=visit.secure,
        httponly=True,
        samesite="strict",
    )


def asset(name: str) -> Response | None:
    """One file of the pages' own look and behavior; None for any other name."""
    if name not in ASSETS:
        return None
    content, kind = ASSETS[name]
    # The address of a file changes with its content, so a browser may keep it.
    headers = HEADERS | {"cache-control": "public, max-age=31536000, immutable"}
    return Response(content, 200, headers, kind)
