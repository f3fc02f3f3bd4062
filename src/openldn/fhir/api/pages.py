"""Links to following pages: one opaque parameter that holds the whole question.

A search sent by POST may carry a BSN; its next link must not put that in an address. So the
question and the cursor travel encrypted, and who follows the link sends back what we wrote.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from urllib.parse import quote, urlencode

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from openldn.base.errors import Issue, LdnError

PAGE = "_page"
_LONGEST = 64 * 1024


class _Question(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    pairs: list[tuple[str, str]]
    cursor: str


def seal(key: bytes, about: str, pairs: list[tuple[str, str]], cursor: str) -> str:
    """The value of `_page` for the page at `cursor` of this question; valid for `about` only."""
    plain = msgspec.json.encode(_Question(pairs, cursor))
    sealed = AESSIV(key).encrypt(plain, [about.encode()])
    return urlsafe_b64encode(sealed).decode().rstrip("=")


def unseal(key: bytes, about: str, page: str) -> tuple[list[tuple[str, str]], str]:
    """The question's pairs and the cursor; raises LdnError(invalid) when it is not our work."""
    refused = LdnError(
        Issue.INVALID,
        "parameter _page: this page link is not ours or no longer valid; search anew",
        where=PAGE,
    )
    if not page.isascii() or len(page) > _LONGEST:
        raise refused
    try:
        sealed = urlsafe_b64decode(page + "=" * (-len(page) % 4))
        plain = AESSIV(key).decrypt(sealed, [about.encode()])
    except (ValueError, InvalidTag) as error:
        raise refused from error
    question = msgspec.json.decode(plain, type=_Question)
    return question.pairs, question.cursor


def address(url: str, pairs: Sequence[tuple[str, str]]) -> str:
    """The URL with these parameters, percent-encoded."""
    return f"{url}?{urlencode(pairs, quote_via=quote, safe='')}" if pairs else url
