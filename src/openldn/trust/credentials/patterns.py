"""Regular expressions of others, run so that none can keep us busy: an expression that may take
long is refused when it is read, and values are of bounded length.

A pattern is searched, as in JSON Schema (write ^ and $ for the whole value); `\\d` and `\\w` mean
ASCII; `$` is the very end. One capture group at most gives what is captured.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from openldn.base.errors import Issue, LdnError
from openldn.trust.credentials.paths import LARGEST_VALUE

_LARGEST = 256  # characters of an expression
_MOST_VAGUE = 1  # repeats whose end is not told by what follows; each multiplies the work
_ODD_SET = re.compile(r"\[|--|&&|~~|\|\|")  # sets within sets, which others read otherwise
_TOKEN = re.compile(
    r"(?P<atom>\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^()\[\]\\|*+?{}])|(?P<open>\((?:\?:)?)|(?P<shut>\))"
    r"|(?P<or>\|)|(?P<times>[*+?]\??|\{\d{1,3}(?:,\d{0,3})?\}\??)",
    re.DOTALL,
)


@lru_cache(maxsize=1024)
def pattern(text: str) -> re.Pattern[str]:
    """The expression, compiled; raises LdnError(invalid) for one that is wrong or may run long."""
    tokens = _tokens(text)
    if tokens is None:
        raise _complicated()
    try:
        compiled = re.compile(_ended(text), re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise LdnError(Issue.INVALID, "a pattern is not a regular expression") from error
    if compiled.groups > 1:
        raise LdnError(Issue.INVALID, "a pattern has two capture groups; one may capture (R50)")
    if _Cost().of(tokens) > _MOST_VAGUE:
        raise _complicated()
    return compiled


def captured(text: str, value: str) -> str | None:
    """What the pattern captures in the value, or the whole value; None when it does not fit."""
    if len(value) > LARGEST_VALUE or not value.isprintable():
        return None
    match = pattern(text).search(value)
    if match is None:
        return None
    return (match.group(1) or "") if match.re.groups else value


def _complicated() -> LdnError:
    return LdnError(Issue.INVALID, "a pattern is too complicated; write it with plain repeats")


def _ended(text: str) -> str:
    """`$` as the very end: that of Python also fits before a last line feed."""
    return text[:-1] + r"\Z" if text.endswith("$") and not text.endswith(r"\$") else text


def _tokens(text: str) -> list[tuple[str, str]] | None:
    if len(text) > _LARGEST:
        return None
    tokens, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or (text[at] == "[" and _ODD_SET.search(match.group()[1:])):
            return None
        tokens.append((match.lastgroup or "", match.group()))
        at = match.end()
    return tokens


@dataclass
class _Cost:
    """Counts the repeats that overlap with what follows them, and finds repeats of repeats."""

    vague: int = 0
    loose: str = ""  # the atom of the last repeat, when nothing has ended it yet
    last: tuple[str, str] = ("", "")

    def of(self, tokens: list[tuple[str, str]]) -> int:
        """How many repeats are vague; very many when a group is repeated."""
        for kind, text in tokens:
            if kind == "times":
                self._times(text)
            elif kind == "atom":
                self._atom(text)
            self.last = kind, text
        return self.vague + (1 if self.loose and not tokens[-1][1].endswith("$") else 0)

    def _times(self, text: str) -> None:
        kind, atom = self.last
        once = text in {"?", "??"} and kind in {"atom", "shut"}
        if kind != "atom" and not once:
            self.vague += 100  # (a+)+ and (a|a)* take exponential time; (?= looks around
        if once or kind != "atom":
            return
        if self.loose:
            self.vague += 1  # two repeats side by side
        self.loose = atom

    def _atom(self, text: str) -> None:
        if text[0] == "\\" and text[1].isdigit():
            self.vague += 100  # what was captured before, again
        if self.loose and text not in {"^", "$"} and not _overlap(self.loose, text):
            self.loose = ""


def _overlap(repeated: str, following: str) -> bool:
    """Whether what follows could also be part of the repeat; only a plain character is sure."""
    plain = following if len(following) == 1 else following[1:] if following[0] == "\\" else ""
    if len(plain) != 1 or (plain == "." and following == ".") or following[1:] in set("dwsDWSbB"):
        return True
    return re.fullmatch(repeated, plain, re.ASCII) is not None
