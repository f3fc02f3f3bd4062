"""How texts become search keys: the same when they are stored and when they are asked."""

import unicodedata
from functools import lru_cache

_LONGEST_CODE = 400  # characters; an index row of PostgreSQL holds 2,704 bytes at most
_LONGEST_TEXT = 200


def clipped(text: str) -> str:
    """A code, system or uri as the index holds it: the first 400 characters, without NUL."""
    return text if len(text) <= _LONGEST_CODE and "\0" not in text else _cut(text, _LONGEST_CODE)


@lru_cache(maxsize=20_000)
def folded(text: str) -> str:
    """Lower case, no accents, single spaces; first 200 characters.

    Source: hl7.org/fhir/R4/search.html#string (case, accents and spaces do not matter).
    """
    if not text.isascii():
        parts = unicodedata.normalize("NFKD", text)
        text = "".join(c for c in parts if not unicodedata.combining(c))
    return _cut(" ".join(text.casefold().split()), _LONGEST_TEXT)


def _cut(text: str, length: int) -> str:
    return text.replace("\0", "")[:length]
