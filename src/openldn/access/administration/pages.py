"""How the administration looks: its door, its menu, its words."""

import tomllib
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path

from openldn.access.administration.desk import Desk
from openldn.access.administration.settings import PREFIX
from openldn.access.frame import entry
from openldn.access.frame.network import Node
from openldn.access.frame.pages import door
from openldn.access.frame.words import Words, catalog

FOLDER = Path(__file__).parent
DOOR = door(FOLDER)
COOKIE = "openldn-desk"
PARTS = ("keys", "credentials", "peers", "refusals", "documents")  # of one node
SECTIONS = ("", *PARTS, "outbox", "network", "map")  # in the order of the menu
Visit = entry.Visit[Desk, Node]
Entry = entry.Entry[Desk, Node]


def words(language: str) -> Words:
    """The words of `language`, one of LANGUAGES."""
    return catalog(FOLDER / "words", language)


def entrance(desk: Desk) -> Entry:
    """The door of this desk."""
    hosts = (desk.settings.host, *desk.settings.hosts)
    return Entry(PREFIX, COOKIE, DOOR, words, desk, desk.visits, hosts, _context)


def _context(language: str) -> Mapping[str, object]:
    told = {"rule": partial(rule_in, language), "said": partial(said_in, language)}
    return {"sections": SECTIONS, "parts": PARTS, **told}


@cache
def _dutch(file: str) -> Mapping[str, str]:
    text = (FOLDER / "words" / file).read_text(encoding="utf-8")
    return {code: str(said) for code, said in tomllib.loads(text).items()}


def rule_in(language: str, code: str, text: str) -> tuple[str, str]:
    """The rule in words and the language they are in: English when there are no other words."""
    return _in(language, "rules-nl.toml", code, text)


def said_in(language: str, key: str, text: str) -> tuple[str, str]:
    """The outcome of a step, or the advice to it, in words, and the language they are in."""
    return _in(language, "reach-nl.toml", key, text)


def _in(language: str, file: str, code: str, text: str) -> tuple[str, str]:
    dutch = _dutch(file).get(code) if language == "nl" else None
    return (dutch, "nl") if dutch else (text, "en")
