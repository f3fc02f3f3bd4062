"""Templates, files and headers of server-rendered pages; each door adds its own folder to it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from starlette.responses import RedirectResponse, Response

from openldn.base.errors import Issue, LdnError

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
class Door:
    """The templates and files of one door, with those of the frame below them."""

    templates: Environment
    assets: Mapping[str, tuple[bytes, str]]  # name -> content, media type
    mark: str  # changes with the files, so that a browser may keep them

    def page(
        self, template: str, context: Mapping[str, object], *, language: str, status: int = 200
    ) -> Response:
        """The page, with the headers that keep it safe."""
        text = self.templates.get_template(template).render(mark=self.mark, **context)
        headers = HEADERS | {"content-language": language}
        return Response(text.encode("utf-8", "replace"), status, headers, "text/html")

    def asset(self, name: str) -> Response:
        """One file of the pages' look and behavior; raises LdnError(not-found) for others."""
        if name not in self.assets:
            raise LdnError(Issue.NOT_FOUND, "there is no such file")
        content, kind = self.assets[name]
        # The address of a file changes with its content, so a browser may keep it.
        headers = HEADERS | {"cache-control": "public, max-age=31536000, immutable"}
        return Response(content, 200, headers, kind)


def door(folder: Path) -> Door:
    """The door whose `pages` and `static` stand in this folder; files are read once."""
    assets = _assets(_HERE) | _assets(folder)
    mark = hashlib.sha256(b"".join(content for content, _ in assets.values())).hexdigest()[:12]
    templates = Environment(
        loader=ChoiceLoader([FileSystemLoader(f / "pages") for f in (folder, _HERE)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    icons = templates.get_template("icons.html").make_module()
    templates.globals["icon"] = icons.icon  # type: ignore[attr-defined]
    return Door(templates, assets, mark)


def _assets(folder: Path) -> dict[str, tuple[bytes, str]]:
    files = sorted((folder / "static").iterdir())
    return {f.name: (f.read_bytes(), _TYPES[f.suffix]) for f in files if f.suffix in _TYPES}


def to(path: str) -> Response:
    """Go on at this address of ours."""
    return RedirectResponse(path, 303, HEADERS)


def own_path(path: str, otherwise: str) -> str:
    """The path when it is one of this site that cannot lead elsewhere, else the other one."""
    own = path.startswith("/") and not path.startswith("//") and path.isascii()
    return path if own and "\\" not in path and path.isprintable() else otherwise
