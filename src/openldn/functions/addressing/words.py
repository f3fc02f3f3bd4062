"""Finding names as people type them: without accents, abbreviated, with a letter wrong.

Pure, and built once per copy of a directory: from a word typed to the names it may stand for.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

_APART = re.compile(r"[^a-z0-9]+")
_INSIDE = re.compile(r"['’`´.]")
# How people shorten, and what stands in the directory.
_SAME = {
    "st": "sint",
    "sankt": "sint",
    "saint": "sint",
    "dr": "dokter",
    "prof": "professor",
    "zkh": "ziekenhuis",
    "fysio": "fysiotherapie",
    "apoth": "apotheek",
    "pr": "praktijk",
}
_TOWNS = {"den bosch": "s hertogenbosch", "den haag": "s gravenhage"}
_LIGHT = frozenset("de het een van der den te ten ter in aan en voor stichting bv nv".split())
_PREFIX, _ONE, _TWO, _JOINED, _WHOLE = 0.85, 0.8, 0.65, 0.6, 0.05
_MOST_WORDS = 12  # of a question that are looked at
_LONGEST = 100  # characters of it


def words(text: str) -> tuple[str, ...]:
    """The words of a name or question in one spelling: lower case, no accents, in full."""
    plain = unicodedata.normalize("NFKD", text[: 4 * _LONGEST]).casefold()
    bare = "".join(c for c in plain if not unicodedata.combining(c)).replace("&", " en ")
    apart = _APART.sub(" ", _INSIDE.sub(" ", bare.replace("ß", "ss"))).split()
    return tuple(_SAME.get(word, word) for word in apart)


def town(text: str) -> str:
    """A town in one spelling."""
    plain = " ".join(words(text))
    return _TOWNS.get(plain, plain)


def distance(one: str, other: str, most: int) -> int:
    """How many letters differ, two that changed places as one; more than `most` is `most` + 1."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        older, before, row = before, row, [i]
        for j, against in enumerate(other, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != against))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == against:
                best = min(best, older[j - 2] + 1)
            row.append(best)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)


def likeness(typed: str, word: str) -> float:
    """How well a typed word stands for a word: 1 the same, 0 not at all."""
    if typed == word:
        return 1.0
    if len(typed) > 1 and word.startswith(typed):
        return _PREFIX + _WHOLE * len(typed) / len(word)
    most = _mistakes(typed)
    apart = distance(typed, word, most) if most else 1
    return 0.0 if apart > most else {1: _ONE, 2: _TWO}[apart]


def _mistakes(typed: str) -> int:
    """How many mistakes a word may have; a short one none."""
    return (len(typed) >= 4) + (len(typed) >= 8)


@dataclass(frozen=True)
class Names:
    """Names by their words; each name stands for a number its maker knows."""

    of: Mapping[int, tuple[str, ...]]
    _words: dict[str, set[int]] = field(default_factory=dict, init=False, repr=False)
    _parts: dict[str, set[str]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for number, name in self.of.items():
            for word in name:
                if word not in self._words:
                    for part in _parts(word):
                        self._parts.setdefault(part, set()).add(word)
                self._words.setdefault(word, set()).add(number)

    def find(self, text: str) -> dict[int, float]:
        """The names that may be meant, with how well each fits (0 to 1 and a little).

        Every word of weight must fit somewhere; words such as "de" may be left out or added.
        """
        typed = words(text[:_LONGEST])[:_MOST_WORDS]
        asked = [w for w in typed if w not in _LIGHT] or list(typed)
        if not asked:
            return {}
        scores = [self._fitting(word) for word in asked]
        fitting = set(scores[0]).intersection(*scores[1:])
        if not fitting:
            return self._joined("".join(asked))
        return {n: self._score(n, [s[n] for s in scores]) for n in fitting}

    def _score(self, number: int, each: list[float]) -> float:
        weighty = [w for w in self.of[number] if w not in _LIGHT] or self.of[number]
        return sum(each) / len(each) + _WHOLE * min(1.0, len(each) / len(weighty))

    def _fitting(self, typed: str) -> dict[int, float]:
        found: dict[int, float] = {}
        for word in self._near(typed):
            if fit := likeness(typed, word):
                for number in self._words[word]:
                    found[number] = max(fit, found.get(number, 0.0))
        return found

    def _near(self, typed: str) -> Iterator[str]:
        """The words that share enough pieces of three letters with it, begin and end counted.

        One letter wrong, or two that changed places, spoil at most four pieces; where only the
        begin was typed, its end is one.
        """
        pieces = set(_parts(typed))
        shared: Counter[str] = Counter()
        for piece in pieces:
            shared.update(self._parts.get(piece, ()))
        least = len(pieces) - max(1, 4 * _mistakes(typed))
        return (word for word, count in shared.items() if count >= least)

    def _joined(self, typed: str) -> dict[int, float]:
        """For who writes apart what is one word, or the other way round."""
        if len(typed) < 6:
            return {}
        return {n: _JOINED for n, name in self.of.items() if typed in "".join(name)}


def _parts(word: str) -> Iterator[str]:
    padded = f"  {word} "
    for start in range(len(padded) - 2):
        yield padded[start : start + 3]


def names_of(texts: Iterable[tuple[int, str]]) -> Names:
    """These numbered texts, to be found by their words."""
    return Names({number: words(text) for number, text in texts})
