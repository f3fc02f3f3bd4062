"""Writes docs/reference/dialects.md out of the tables of the dialects."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from openldn.patterns.dialects import DIALECTS
from openldn.patterns.dialects.hearing import REPEATED, REPLIES
from openldn.patterns.dialects.impact import impacts
from openldn.patterns.dialects.model import Cell, Dialect
from openldn.patterns.dialects.package import NAME
from openldn.patterns.dialects.profiles import PROFILES
from openldn.patterns.moves import mermaid, rows
from openldn.patterns.notified_pull.shapes import Shape

_SHAPES = {
    Shape.S1: "`POST {base}`, a Task",
    Shape.S2: "`POST {base}/{id}`, no body",
    Shape.S3: "`POST {base}/Task`, a Task",
    Shape.S4: "`POST {base}/Task/{id}`, a Task",
    Shape.S4_EMPTY: "`POST {base}/Task/{id}`, no body",
    Shape.S5: "`POST {base}`, a Bundle with SubscriptionStatus",
    Shape.S6: "`PUT {base}/Task?identifier=…`, the Task cancelled",
}
_AT_A_NODE = Path(__file__).with_name("dialects_at_a_node.md")
_SIGNS = {"carried": "yes", "not sent": "kept", "not expressible": "no"}


def text() -> str:
    """The page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Dialects of the notified pull\n"
    yield (
        "How an offer is said in each form in use, and what that form cannot say; made from the\n"
        "tables in `patterns/dialects`. The `wire` of a [peer profile](peers.md) names its dialect."
    )
    yield "\n## The dialects\n"
    yield from _table(("", *DIALECTS), (_fact(name, of) for name, of in _FACTS))
    yield f"\n{_AT_A_NODE.read_text(encoding='utf-8').rstrip()}"
    yield "\n## How a receiver is told\n"
    yield (
        "One address takes all of these; what has another form is refused with 400. A sender\n"
        "takes 200, 201, 202 and 204 for told, and logs where the dialect expects another."
    )
    yield ""
    answers = ((s, _SHAPES[s], f"{REPLIES[s]}{_again(s)}") for s in Shape)
    yield from _table(("shape", "form", "our answer"), answers)
    yield "\n## What becomes of each part of an offer\n"
    yield (
        "*yes*: carried; *partly*: carried, with what stands below; *kept*: known to who has it\n"
        "and not sent; *no*: the dialect has no words for it. Each that is not *yes* is reported\n"
        "as a loss when an offer is written."
    )
    yield ""
    yield from _matrix({c: d.cells for c, d in DIALECTS.items()})
    yield "\n## How each step is told\n"
    yield from _matrix({c: d.steps for c, d in DIALECTS.items()})
    yield "\n## What a vendor of a dialect does without\n"
    found = ((i.dialect, i.kind, i.name, i.carriage, i.instead) for i in impacts())
    yield from _table(("dialect", "", "name", "", "instead"), found)
    yield from _states()
    yield from _profiles()


def _fact(name: str, of: "Fact") -> tuple[str, ...]:
    return (name, *(of(d) for d in DIALECTS.values()))


class Fact:
    """One field of a dialect, as text."""

    def __init__(self, field: str) -> None:
        self.field = field

    def __call__(self, dialect: Dialect) -> str:
        value = getattr(dialect, self.field)
        if isinstance(value, (tuple, frozenset)):
            return ", ".join(str(v) for v in (value if isinstance(value, tuple) else sorted(value)))
        return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


_FACTS = tuple(
    (name, Fact(field))
    for name, field in (
        ("name", "name"),
        ("FHIR", "fhir"),
        ("told by", "shape"),
        ("usual reply", "replies"),
        ("withdrawn by", "cancels"),
        ("told of each change", "changes"),
        ("answered by", "returns"),
        ("intent", "intent"),
        ("organizations", "organizations"),
        ("searches stand in", "queries"),
        ("BSN may stand in", "bsn"),
        ("held to our profiles", "strict"),
        ("right to read", "authorization"),
        ("token requests", "tokens"),
        ("source", "source"),
    )
)


def _again(shape: Shape) -> str:
    return f"; {REPEATED} for one that is known" if REPLIES[shape] == 201 else ""


def _matrix(cells: dict[str, Mapping[str, Cell]]) -> Iterator[str]:
    names = list(dict.fromkeys(name for of in cells.values() for name in of))
    found = ((name, *(_sign(cells[code][name]) for code in cells)) for name in names)
    yield from _table(("", *cells), found)


def _sign(cell: Cell) -> str:
    return "partly" if cell.limits else _SIGNS[cell.carriage]


def _states() -> Iterator[str]:
    tables = {d.table.name: d.table for d in DIALECTS.values() if d.code != "H"}
    for name, table in tables.items():
        yield f"\n## States: {name}\n"
        yield f"Source: {table.source}.\n"
        yield f"```mermaid\n{mermaid(table)}```\n"
        yield rows(table).rstrip()
    yield "\n## States of an offer in each dialect\n"
    spoken = [d for d in DIALECTS.values() if d.code != "H"]
    states = list(dict.fromkeys(s for d in spoken for s in d.statuses))
    found = ((s, *(d.statuses[s] for d in spoken)) for s in states)
    yield from _table(("offer", *(d.code for d in spoken)), found)


def _profiles() -> Iterator[str]:
    yield "\n## Profiles\n"
    yield (
        f"`openldn package` writes them as the FHIR package `{NAME}`. Tasks of NP\n"
        "that come in and go out are held to them."
    )
    for profile in PROFILES:
        yield f"\n### {profile.title}\n"
        yield f"`{profile.url}`. {profile.description}\n"
        elements = (
            (f"`Task.{e.path}`", _often(e.least, e.most), _fixed(e.fixed)) for e in profile.elements
        )
        coded = (
            (f"`Task.{c.list}` {c.code}", _often(c.least, c.most), c.value) for c in profile.coded
        )
        yield from _table(("element", "times", "value"), (*elements, *coded))


def _often(least: int, most: int | None) -> str:
    return f"{least}..{'*' if most is None else most}"


def _fixed(fixed: tuple[str, object] | None) -> str:
    return "" if fixed is None else f"`{fixed[1]}`"


def _table(head: Iterable[str], body: Iterable[Iterable[object]]) -> Iterator[str]:
    names = list(head)
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for row in body:
        yield f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |"
