"""From what came in to what a page shows: facts with status, date and author, by section."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from openldn.access.professional.columns import Section, cell
from openldn.access.professional.readers import (
    Library,
    at,
    codes,
    key_of,
    opened,
    shown,
    text_of,
)
from openldn.access.professional.sections import OTHER, SECTIONS, SUPPORTING, section_of
from openldn.fhir.model import Resource

MOST = 500  # facts of one section that a page shows; the page says when there are more


@dataclass(frozen=True)
class Badge:
    """A status in words; the tone only repeats what the words say."""

    text: str
    tone: str  # alert, caution, plain or quiet


@dataclass(frozen=True)
class Fact:
    """One row: what was recorded, when, by whom, and how sure."""

    key: str
    cells: tuple[tuple[str, ...], ...]  # one per column of the section
    badges: tuple[Badge, ...]
    negative: bool  # the holder recorded that there is none
    wrong: bool  # the holder withdrew it
    when: str  # the FHIR date it is ordered by
    author: str
    quiet: bool = False  # over, stopped or done: after what holds now
    registered: str = ""  # when it was first put on record, where the holder tells (Provenance)


@dataclass(frozen=True)
class Chapter:
    """One section with its facts."""

    section: Section
    facts: tuple[Fact, ...]
    more: int = 0  # facts beyond MOST

    @property
    def columns(self) -> list[tuple[int, str]]:
        """The columns worth showing: the first, and those in which any fact says something."""
        return [
            (place, column.key)
            for place, column in enumerate(self.section.columns)
            if not column.aside and (place == 0 or any(f.cells[place] for f in self.facts))
        ]

    def asides(self, fact: Fact) -> list[tuple[str, tuple[str, ...]]]:
        """What stands below a fact: key of the label, and its lines."""
        pairs = zip(self.section.columns, fact.cells, strict=True)
        return [(column.key, lines) for column, lines in pairs if column.aside and lines]

    @property
    def with_status(self) -> bool:
        """Whether any fact here has a status to show."""
        return any(fact.badges or fact.negative for fact in self.facts)


# Status codes by how much they must stand out; the rest is plain.
_TONES = {
    "alert": ("entered-in-error", "refuted", "not-done", "not-given", "not-taken"),
    "caution": (
        *("unconfirmed", "provisional", "differential", "preliminary", "registered", "unknown"),
        *("on-hold", "suspended", "relapse", "recurrence", "modifier"),
    ),
    "quiet": (
        *("inactive", "resolved", "remission", "completed", "stopped", "finished", "cancelled"),
        *("confirmed", "final", "ended", "revoked", "rejected"),
    ),
}
_TONE = {code: tone for tone, known in _TONES.items() for code in known}
_OVER = frozenset("inactive resolved remission stopped cancelled ended revoked".split())
_WITHDRAWN = frozenset({"entered-in-error", "refuted"})
_STATUSES = ("clinicalStatus", "verificationStatus", "status")
_NOT = (  # path, value that denies, status it amounts to
    ("taken", "n", "not-taken"),
    ("taken", "unk", "unknown"),
    ("notGiven", True, "not-given"),
    ("notDone", True, "not-done"),
    ("doNotPerform", True, "not-done"),
)
# Codes by which a holder records that there is none (SNOMED CT; IPS absent-unknown).
NEGATIONS = frozenset(
    (
        *("716186003", "409137002", "429625007", "428607008", "160244002", "160245001"),
        *("787481004", "no-known-allergies", "no-known-medication-allergies"),
        *("no-known-environmental-allergies", "no-known-food-allergies"),
        *("no-known-medications", "no-known-problems", "no-known-procedures"),
        *("no-known-immunizations", "no-known-devices"),
    )
)


def chapters(
    shelf: Library, resources: Sequence[Resource], *, complete: bool = True
) -> tuple[Chapter, ...]:
    """Every section in order, with its facts; what explains another fact has no row of its own.

    Until the answer is complete, the fact that something explains may still be on its way.
    """
    used = _referred(resources) if complete else {key_of(r) for r in resources}
    origins = _origins(resources)
    rows: dict[str, list[Fact]] = {}
    for resource in resources:
        kind = resource.get("resourceType")
        if kind == "Patient" or (kind in SUPPORTING and key_of(resource) in used):
            continue
        if kind == "Provenance" and any(t in shelf.resources for t in _targets(resource)):
            continue
        section = section_of(resource)
        row = fact(shelf, section, resource)
        origin = origins.get(key_of(resource))
        rows.setdefault(section.key, []).append(_dated(shelf, row, origin) if origin else row)
    every = (*SECTIONS, OTHER)
    return tuple(_chapter(section, rows.get(section.key, [])) for section in every)


def _chapter(section: Section, rows: list[Fact]) -> Chapter:
    by_date = sorted(rows, key=lambda f: f.when, reverse=True)
    ordered = sorted(by_date, key=lambda f: (f.wrong, f.quiet))
    return Chapter(section, tuple(ordered[:MOST]), max(0, len(rows) - MOST))


def _origins(resources: Sequence[Resource]) -> dict[str, Resource]:
    """The earliest Provenance of each resource: its first registration."""
    found = [r for r in resources if r.get("resourceType") == "Provenance"]
    latest_first = sorted(found, key=lambda r: text_of(r.get("recorded")), reverse=True)
    return {target: origin for origin in latest_first for target in _targets(origin)}


def _targets(provenance: Resource) -> list[str]:
    references = [text_of(r) for r in at(provenance, "target.reference")]
    return ["/".join(r.partition("/_history")[0].split("/")[-2:]) for r in references]


def _dated(shelf: Library, row: Fact, origin: Resource) -> Fact:
    """The fact with when and by whom it was put on record, where it does not say so itself."""
    told = [shown(shelf, who) for who in at(origin, "agent.who[x]") + at(origin, "agent.who")]
    recorded = text_of(origin.get("recorded"))
    author = row.author or ", ".join(dict.fromkeys(filter(None, told)))
    return replace(row, author=author, when=row.when or recorded, registered=recorded)


def fact(shelf: Library, section: Section, resource: Resource) -> Fact:
    """One resource as a row of this section; any resource gives one, however odd."""
    inside = opened(shelf, resource)
    cells = tuple(cell(inside, column, resource) for column in section.columns)
    states = set(_states(resource))
    first = cells[0] or (shelf.words("value.unnamed"),)
    cells = (first, *(() if c == first else c for c in cells[1:]))
    return Fact(
        key=fact_key(resource),
        cells=cells,
        badges=tuple(_badges(inside, resource)),
        negative=any(c in NEGATIONS for v in at(resource, "code") for c in codes(v)),
        wrong=bool(states & _WITHDRAWN),
        when=_when(section, resource),
        author=_author(inside, section, resource),
        quiet=bool(states & _OVER),
    )


def fact_key(resource: Resource) -> str:
    """A short name for a fact in addresses: it tells nothing about the patient."""
    raw = key_of(resource).encode("utf-8", "replace")
    return hashlib.sha256(raw).hexdigest()[:16]


def _when(section: Section, resource: Resource) -> str:
    for path in section.when:
        for value in at(resource, path):
            text = text_of(value.get("start") if isinstance(value, dict) else value)
            if text:
                return text
    return ""


def _author(shelf: Library, section: Section, resource: Resource) -> str:
    for path in section.who:
        told = [shown(shelf, value) for value in at(resource, path)[:3]]
        if authors := ", ".join(dict.fromkeys(filter(None, told))):
            return authors
    return ""


def _states(resource: Resource) -> Iterator[str]:
    for path in _STATUSES:
        for value in at(resource, path)[:2]:
            yield from codes(value)[:1]
    for path, denial, state in _NOT:
        if any(type(v) is type(denial) and v == denial for v in at(resource, path)):
            yield state


def _badges(shelf: Library, resource: Resource) -> Iterator[Badge]:
    for state in dict.fromkeys(_states(resource)):
        text = shelf.words.known(f"status.{state}", state)
        yield Badge(text, _TONE.get(state, "plain"))
    # A modifier changes the meaning of what it stands in: never left out, known or not.
    for extension in at(resource, "modifierExtension")[:10]:
        name = text_of(extension.get("url") if isinstance(extension, dict) else "").rsplit("/")[-1]
        label = shelf.words.known(f"modifier.{name}", shelf.words("modifier.unknown", name=name))
        told = shown(shelf, at(extension, "value[x]"))
        yield Badge(f"{label}: {told}" if told else label, _TONE["modifier"])


def _referred(resources: Iterable[Resource]) -> set[str]:
    """`Type/id` of everything that something else refers to."""
    found: set[str] = set()
    pending: list[object] = list(resources)
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            parts = text_of(value.get("reference")).partition("/_history")[0].split("/")
            found.add("/".join(parts[-2:]))
            pending += value.values()
    return found


def everything(resource: Resource, most: int = 400) -> list[tuple[str, str]]:
    """Each single value of the resource with its path, as received, in its order."""
    lines: list[tuple[str, str]] = []
    pending: list[tuple[str, object]] = [("", resource)]
    while pending and len(lines) < most:
        path, value = pending.pop()
        match value:
            case dict():
                inner = [(f"{path}.{text_of(k)}".strip("."), v) for k, v in value.items()]
                pending += reversed([(p, v) for p, v in inner if p != "text.div"])
            case list():
                pending += reversed([(f"{path}[{n}]", v) for n, v in enumerate(value[:most])])
            case None:
                pass
            case str():
                lines.append((path, text_of(value)))
            case bool():
                lines.append((path, str(value).lower()))
            case _:
                lines.append((path, text_of(str(value)) if not _huge(value) else "…"))
    return lines


def _huge(value: object) -> bool:
    return isinstance(value, int) and value.bit_length() > 256
