"""One request by one operator, and the page it is answered with."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from openldn.access.administration.desk import Desk
from openldn.access.administration.settings import PREFIX
from openldn.access.frame.network import Node
from openldn.access.frame.pages import door
from openldn.access.frame.visits import Signed
from openldn.access.frame.words import LANGUAGES, Words, catalog

FOLDER = Path(__file__).parent
DOOR = door(FOLDER)
SECTIONS = ("", "keys", "credentials", "peers", "refusals", "documents")  # in the order of the menu


def words(language: str) -> Words:
    """The words of `language`, one of LANGUAGES."""
    return catalog(FOLDER / "words", language)


@cache
def _dutch_rules() -> Mapping[str, str]:
    text = (FOLDER / "words" / "rules-nl.toml").read_text(encoding="utf-8")
    return {code: str(said) for code, said in tomllib.loads(text).items()}


def rule_in(language: str, code: str, text: str) -> tuple[str, str]:
    """The rule in words and the language they are in: English when there are no other words."""
    dutch = _dutch_rules().get(code) if language == "nl" else None
    return (dutch, "nl") if dutch else (text, "en")


@dataclass(frozen=True)
class Visit:
    """One request: in which language, and which node was chosen."""

    desk: Desk
    request: Request
    words: Words
    signed: Signed[Node] | None
    visit: str  # what forms are bound to: the session, or the cookie of who has none yet

    @property
    def node(self) -> Node:
        """The node under administration, on a page that only opens to who signed in."""
        assert self.signed is not None  # noqa: S101  (the route demanded it)
        return self.signed.member


def render(
    visit: Visit, template: str, context: Mapping[str, object] | None = None, *, status: int = 200
) -> Response:
    """The page `template` in the visitor's language."""
    shown = {
        "t": visit.words,
        "languages": LANGUAGES,
        "root": PREFIX,
        "path": visit.request.url.path,
        "here": _here(visit.request),
        "session": visit.signed,
        "proof": visit.desk.visits.forms.proof(visit.visit),
        "now": visit.desk.clock(),
        "sections": SECTIONS,
        "rule": partial(rule_in, visit.words.language),
        "idle_seconds": round(visit.desk.settings.idle_minutes * 60),
    }
    language = visit.words.language
    return DOOR.page(template, shown | dict(context or {}), language=language, status=status)


def _here(request: Request) -> str:
    """This page with its filter, so that changing the language keeps it."""
    if request.method != "GET":
        return f"{PREFIX}/"
    pairs = request.query_params.multi_items()
    return request.url.path + (f"?{urlencode(pairs)}" if pairs else "")
