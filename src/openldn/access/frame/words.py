"""Words of pages in Dutch and English, and how each language writes dates and numbers."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

LANGUAGES = ("nl", "en")
_SHARED = Path(__file__).parent / "words"
HOME = ZoneInfo("Europe/Amsterdam")
_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T.+")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True)
class Words:
    """One language: every text by its key, and its way of writing dates and numbers."""

    language: str
    texts: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """The text of `key` with its places filled in; an unknown key is a programming error."""
        text = self.texts[key]
        return text.format(**values) if values else text

    def known(self, key: str, otherwise: str) -> str:
        """The text of `key`, or `otherwise` where the catalog has none: for codes that come in."""
        return self.texts.get(key, otherwise)

    def date(self, text: str, *, seconds: bool = False) -> str:
        """A FHIR date, dateTime or instant as people write it; anything else unchanged."""
        if _MOMENT.fullmatch(text):
            return self._parsed_moment(text, seconds=seconds)
        found = _DATE.fullmatch(text)
        if found is None:
            return text
        year, month, day = found.groups()
        try:
            date(int(year), int(month or 1), int(day or 1))
        except ValueError:
            return text
        if month is None:
            return year
        name = self.texts[f"month.{int(month)}"]
        return f"{int(day)} {name} {year}" if day else f"{name} {year}"

    def _parsed_moment(self, text: str, *, seconds: bool) -> str:
        try:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=HOME)
            return self.moment(moment, seconds=seconds)
        except (ValueError, OverflowError):
            return text

    def moment(self, moment: datetime, *, seconds: bool = False) -> str:
        """An aware moment as the clock on the wall in the Netherlands shows it."""
        local = moment.astimezone(HOME)
        day = self.date(f"{local.year:04d}-{local.month:02d}-{local.day:02d}")
        return f"{day} {local:%H:%M:%S}" if seconds else f"{day} {local:%H:%M}"

    def number(self, value: Decimal | int | float) -> str:
        """The number with every digit it came with; a Dutch reader gets a decimal comma."""
        text = str(value)
        if self.language == "nl" and _NUMBER.fullmatch(text):
            return text.replace(".", ",")
        return text


@cache
def catalog(folder: Path, language: str) -> Words:
    """The words in this folder and those of the frame, in `language`, one of LANGUAGES."""
    return Words(language, _read(_SHARED, language) | _read(folder, language))


def _read(folder: Path, language: str) -> dict[str, str]:
    text = (folder / f"{language}.toml").read_text(encoding="utf-8")
    return _flat(tomllib.loads(text), "")


def _flat(table: Mapping[str, object], prefix: str) -> dict[str, str]:
    result: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            result |= _flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = str(value)
    return result


def language_of(chosen: str, accepted: str) -> str:
    """The language to answer in: the one chosen before, else the browser's first, else Dutch."""
    if chosen in LANGUAGES:
        return chosen
    for part in accepted.split(",")[:16]:
        language = part.partition(";")[0].strip().lower()[:2]
        if language in LANGUAGES:
            return language
    return LANGUAGES[0]
