"""What one directory told, version by version, brought to one state whatever the order.

A directory's history is a set of versions. The state kept of an entry is the newest of them, and
newest is a total order over the versions themselves, so that order, repetition and lateness of
what comes in make no difference. Source: specification of addressing §7.3, §7.4; rules D02-D05,
D22-D24.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from openldn.fhir.codec import dump
from openldn.fhir.model import Resource

_PLACE = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/(\d{1,9}))?$")
_TAG = re.compile(r'(?:W/)?"(\d{1,9})"')
_NUMBER = re.compile(r"\d{1,9}")
NEVER = datetime(1, 1, 2, tzinfo=UTC)


class Key(NamedTuple):
    """Which entry of a directory: two types may use one id."""

    type: str
    id: str


class Rank(NamedTuple):
    """Where a version stands among the versions of its entry; a higher one is newer."""

    number: int  # meta.versionId where it is a number; 0 = the directory did not tell one
    updated: datetime
    digest: str  # of what it holds, so that no two that differ are equal


@dataclass(frozen=True)
class Version:
    """One version of one entry; without resource it was removed."""

    key: Key
    rank: Rank
    resource: Resource | None = field(default=None, repr=False)

    @property
    def numbered(self) -> bool:
        """Whether the directory told which version this is."""
        return self.rank.number > 0


@dataclass(frozen=True)
class Page:
    """One page of a Bundle as it was read: its versions, what could not be used, the rest."""

    versions: tuple[Version, ...]
    warnings: tuple[str, ...] = ()
    next: str = ""
    updated: datetime | None = None  # Bundle.meta.lastUpdated: the time of the directory


def page_of(bundle: Resource, types: frozenset[str]) -> Page:
    """The versions in a searchset or history; an entry that makes no sense is a warning.

    Types that were not asked are left out (D20 practitioners in `lrza-2026`).
    """
    history = bundle.get("type") == "history"
    versions, warnings = [], []
    for place, entry in enumerate(bundle.get("entry", [])):
        if not history and entry.get("search", {}).get("mode", "match") != "match":
            continue
        found = _version(entry, history=history)
        if isinstance(found, str):
            warnings.append(f"entry {place}: {found}")
        elif found.key.type in types:
            versions.append(found)
    updated = moment_of(bundle.get("meta", {}).get("lastUpdated"))
    return Page(tuple(versions), tuple(warnings), _next(bundle), updated)


def _version(entry: Mapping[str, Any], *, history: bool) -> Version | str:
    """The version an entry of a Bundle stands for, or what is wrong with it."""
    request, resource = entry.get("request") or {}, entry.get("resource")
    if history and not request.get("method"):
        return "a history entry without request"
    if request.get("method") == "DELETE":
        return _removal(entry, request)
    if not isinstance(resource, dict) or not resource.get("id"):
        return "no resource with an id"
    meta = resource.get("meta") or {}
    response = entry.get("response") or {}
    number = _number(meta.get("versionId")) or _tagged(response.get("etag"))
    updated = moment_of(meta.get("lastUpdated")) or moment_of(response.get("lastModified"))
    rank = Rank(number, updated or NEVER, _digest(resource))
    return Version(Key(str(resource.get("resourceType")), str(resource["id"])), rank, resource)


def _removal(entry: Mapping[str, Any], request: Mapping[str, Any]) -> Version | str:
    response = entry.get("response") or {}
    found = _PLACE.search(str(request.get("url", ""))) or _PLACE.search(
        str(entry.get("fullUrl", ""))
    )
    if found is None:
        return "a removal that does not tell of what"
    number = _tagged(response.get("etag")) or int(found[3] or 0)
    updated = moment_of(response.get("lastModified")) or NEVER
    return Version(Key(found[1], found[2]), Rank(number, updated, ""))


def _number(text: object) -> int:
    found = _NUMBER.fullmatch(str(text))
    return int(found[0]) if found else 0


def _tagged(text: object) -> int:
    found = _TAG.fullmatch(str(text))
    return int(found[1]) if found else 0


def moment_of(text: object) -> datetime | None:
    """The instant in this text, in UTC; None when it is none."""
    try:
        found = datetime.fromisoformat(str(text))
        return found.astimezone(UTC) if found.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _digest(resource: Resource) -> str:
    return hashlib.sha256(dump(resource)).hexdigest()


def _next(bundle: Resource) -> str:
    links = bundle.get("link", [])
    return next((str(k.get("url", "")) for k in links if k.get("relation") == "next"), "")


Slot = tuple[Key, bool]  # an entry, and whether the version in it is numbered


def newest(versions: Iterable[Version]) -> dict[Slot, Version]:
    """Of each entry the newest version with a number, and the newest without one.

    The two are kept apart, as no order between them holds for every set of versions; which of
    them counts is asked at the end (`standing`).
    """
    found: dict[Slot, Version] = {}
    for version in versions:
        slot = version.key, version.numbered
        held = found.get(slot)
        if held is None or version.rank > held.rank:
            found[slot] = version
    return found


def standing(slots: Iterable[Version]) -> dict[Key, Version]:
    """Which version of each entry counts: the later one; at the same moment the numbered one."""
    found: dict[Key, Version] = {}
    for version in slots:
        held = found.get(version.key)
        if held is None or _weight(version) > _weight(held):
            found[version.key] = version
    return found


def _weight(version: Version) -> tuple[datetime, bool]:
    return version.rank.updated, version.numbered


def present(slots: Iterable[Version]) -> Iterator[Resource]:
    """The entries as they stand, in order of type and id; those removed are left out."""
    held = standing(slots)
    for key in sorted(held):
        resource = held[key].resource
        if resource is not None:
            yield resource
