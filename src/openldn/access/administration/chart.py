"""The network map as a picture and as rows: pure reading of what a node tells of the network."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openldn.access.administration.findings import Row, rows

WIDTH, HEIGHT = 960, 400
MOST_DRAWN = 14  # organizations; beyond it the picture shows one circle for each infrastructure
OWN, BROKER = "own", "broker"  # how two deal: by one agreement, or through the broker
_LONGEST = 30  # signs of a label
_ACROSS, _DOWN = 200, 140  # half axes of the ring, in units of the picture


@dataclass(frozen=True)
class Member:
    """One organization and how it can be dealt with for the exchange that is looked at."""

    ura: str
    name: str
    active: bool
    road: str  # empty: it offers nothing
    agreement: str
    fhir: str
    offers: bool  # this exchange, by this pattern
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """How one organization deals with those that offer the exchange."""

    member: Member
    own: tuple[str, ...]  # names, by one agreement
    broker: tuple[str, ...]  # names, through the broker


@dataclass(frozen=True)
class Spot:
    """A circle of the picture."""

    x: float
    y: float
    size: float
    label: str
    road: str
    active: bool
    anchor: str  # start, middle, end
    text_x: float
    text_y: float
    chosen: bool = False


@dataclass(frozen=True)
class Edge:
    """A line of the picture."""

    x1: float
    y1: float
    x2: float
    y2: float
    kind: str
    chosen: bool = False


@dataclass(frozen=True)
class Picture:
    """What is drawn."""

    spots: tuple[Spot, ...]
    edges: tuple[Edge, ...]
    grouped: bool


def members(told: Row, exchange: str, pattern: str) -> list[Member]:
    """Every organization that is told of; what cannot be read is left out."""
    return [_member(row, exchange, pattern) for row in rows(told, "organizations")]


def _member(row: Row, exchange: str, pattern: str) -> Member:
    offers = rows(row, "offers")
    fitting = [o for o in offers if o.get("exchange") == exchange and _by(o, pattern)]
    shown: Row = (fitting or offers or [{}])[0]
    texts = {name: _text(shown.get(name)) for name in ("infrastructure", "agreement", "fhir")}
    listed = shown.get("patterns")
    return Member(
        _text(row.get("ura")),
        _text(row.get("name")),
        row.get("active") is True,
        texts["infrastructure"],
        texts["agreement"],
        texts["fhir"] if fitting else "",
        bool(fitting),
        tuple(map(_text, listed)) if fitting and isinstance(listed, list) else (),
    )


def _by(offer: Row, pattern: str) -> bool:
    listed = offer.get("patterns")
    return not pattern or (isinstance(listed, list) and pattern in listed)


def kind_of(one: str, other: str) -> str:
    """How who is on these two roads deals; who is on the direct road needs nobody in between."""
    return OWN if one == other or "direct" in (one, other) else BROKER


def lines(found: Sequence[Member]) -> list[Line]:
    """For each organization with whom it can deal, and how."""
    return [Line(m, _names(m, found, OWN), _names(m, found, BROKER)) for m in found]


def _names(one: Member, found: Sequence[Member], kind: str) -> tuple[str, ...]:
    if not (one.active and one.road):
        return ()
    others = (m for m in found if m.active and m.offers and m.ura != one.ura)
    return tuple(m.name or m.ura for m in others if kind_of(one.road, m.road) == kind)


def picture(found: Sequence[Member], way: tuple[str, str] = ("", "")) -> Picture:
    """The network as circles and lines; `way` are the URAs of the way that was tried."""
    grouped = len(found) > MOST_DRAWN
    drawn = _groups(found) if grouped else [(m, 15.0) for m in found]
    places = [_place(n, len(drawn)) for n in range(len(drawn))]
    spots = tuple(
        _spot(member, size, place, chosen=not grouped and member.ura in way)
        for (member, size), place in zip(drawn, places, strict=True)
    )
    edges = [
        Edge(*places[a], *places[b], kind_of(one.road, other.road), {one.ura, other.ura} == {*way})
        for a, (one, _) in enumerate(drawn)
        for b, (other, _) in enumerate(drawn[:a])
        if one.active and other.active and one.road and other.road and (one.offers or other.offers)
    ]
    return Picture(spots, tuple(sorted(edges, key=lambda e: e.chosen)), grouped)


def _groups(found: Sequence[Member]) -> list[tuple[Member, float]]:
    """One stand-in for all on a road, as large as they are many."""
    counted = Counter(m.road for m in found if m.active and m.road)
    offering = {m.road for m in found if m.offers}
    largest = max(counted.values(), default=1)
    return [
        (
            Member("", str(number), True, road, "", "", road in offering),
            14 + 26 * math.sqrt(number / largest),
        )
        for road, number in sorted(counted.items())
    ]


def _place(number: int, of: int) -> tuple[float, float]:
    angle = math.tau * number / max(of, 1) - math.pi / 2
    x, y = WIDTH / 2 + _ACROSS * math.cos(angle), HEIGHT / 2 + _DOWN * math.sin(angle)
    return round(x, 1), round(y, 1)


def _spot(member: Member, size: float, place: tuple[float, float], *, chosen: bool) -> Spot:
    x, y = place
    side = round((x - WIDTH / 2) / WIDTH, 2)
    anchor = "middle" if abs(side) < 0.05 else "start" if side > 0 else "end"
    away = {"middle": 0.0, "start": size + 8, "end": -size - 8}[anchor]
    above = (-size - 24 if y < HEIGHT / 2 else size + 18) if anchor == "middle" else -2.0
    name = member.name or member.ura
    label = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
    return Spot(
        *(x, y, round(size, 1), label, member.road, member.active),
        *(anchor, round(x + away, 1), round(y + above, 1), chosen),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
