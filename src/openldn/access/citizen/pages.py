"""How the pages of citizens look: their door, their menu, their words."""

from collections.abc import Mapping
from pathlib import Path

from openldn.access.citizen.desk import Citizen, Desk
from openldn.access.citizen.settings import PREFIX
from openldn.access.frame import entry
from openldn.access.frame.pages import door
from openldn.access.frame.words import Words, catalog

FOLDER = Path(__file__).parent
DOOR = door(FOLDER)
COOKIE = "openldn-citizen"
SECTIONS = ("", "choices", "looked")  # in the order of the menu
Visit = entry.Visit[Desk, Citizen]
Entry = entry.Entry[Desk, Citizen]


def words(language: str) -> Words:
    """The words of `language`, one of LANGUAGES."""
    return catalog(FOLDER / "words", language)


def entrance(desk: Desk) -> Entry:
    """The door of this desk."""
    hosts = (desk.settings.host, *desk.settings.hosts)
    return Entry(PREFIX, COOKIE, DOOR, words, desk, desk.visits, hosts, _context)


def _context(language: str) -> Mapping[str, object]:
    return {"sections": SECTIONS}
