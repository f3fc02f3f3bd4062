"""Published test material: which folder belongs to which provider; placeholders filled in."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import NewId
from openldn.conformity.stations.loading import text_of
from openldn.fhir.codec import Format, decode
from openldn.fhir.model import FhirVersion, Resource
from openldn.testbench.placed import Placed

LARGEST = 64 * 1024 * 1024  # bytes of one file


@dataclass(frozen=True)
class Material:
    """Where one set of Nictiz's qualification material goes."""

    folder: str  # how the name of the set's folder begins, small letters, - for .
    member: str  # key of the provider in the network
    fhir: FhirVersion


# The BgZ sets, by their folder in Nictiz's repository of test scripts ("BgZ-MSZ-2-0") and by the
# names that copies give them ("bgz-msz-2.0-stu3"). Citizens' material (MedMij) carries no BSN,
# so it is held but not found by one.
MATERIALS = (
    Material("bgz-msz-2-0", "hospital", FhirVersion.STU3),
    Material("bgz-msz-1-2-2", "clinic", FhirVersion.STU3),
    Material("bgz-medmij-3-0", "gp", FhirVersion.STU3),
    Material("bgz-3-0", "gp", FhirVersion.STU3),
)
FORMATS = {".xml": Format.XML, ".json": Format.JSON}

_PLACEHOLDER = re.compile(r"\$\{\s*([A-Za-z-]+)\s*(?:,\s*([^}]*))?\}")
_OFFSET = re.compile(r"T\s*,\s*([DdMmYy])\s*,\s*([+-]?\d{1,5})")


def fill(text: str, now: datetime, new_id: NewId) -> str:
    """The text with its placeholders filled in; T is the day of `now`.

    Dates: `${DATE, T, D, -21}` (units D, M, Y and their small letters), `${DATETIME, …}`,
    `${CURRENTDATE}`. Ids: `${UUID}` and any other name; the same name gets the same id within
    one text. An offset that cannot be read raises LdnError(invalid).
    """
    named: dict[str, str] = {}

    def value(found: re.Match[str]) -> str:
        name, arguments = found.group(1), found.group(2)
        if name == "CURRENTDATE":
            return now.date().isoformat()
        if name == "DATE":
            return _shifted(now.date(), arguments).isoformat()
        if name == "DATETIME":
            return f"{_shifted(now.date(), arguments).isoformat()}T{now:%H:%M:%S}+00:00"
        return new_id() if name == "UUID" else named.setdefault(name, new_id())

    return _PLACEHOLDER.sub(value, text)


def _shifted(day: date, arguments: str | None) -> date:
    found = _OFFSET.fullmatch((arguments or "").strip())
    if found is None:
        raise LdnError(Issue.INVALID, "a date placeholder reads ${DATE, T, D, -21}")
    unit, amount = found.group(1).upper(), int(found.group(2))
    if unit == "D":
        return _on(day.toordinal() + amount)
    months = day.year * 12 + day.month - 1 + amount * (12 if unit == "Y" else 1)
    year, month = divmod(months, 12)
    return _last_that_exists(year, month + 1, day.day)


def _on(ordinal: int) -> date:
    try:
        return date.fromordinal(ordinal)
    except (ValueError, OverflowError) as error:
        raise _outside() from error


def _last_that_exists(year: int, month: int, day: int) -> date:
    for candidate in (day, 30, 29, 28):
        try:
            return date(year, month, candidate)
        except ValueError:
            continue
    raise _outside()


def _outside() -> LdnError:
    return LdnError(Issue.INVALID, "a date placeholder leads outside the calendar")


def material_of(path: Path) -> Material | None:
    """The set this file belongs to, by the names of its folders."""
    for part in path.parts:
        for material in MATERIALS:
            if part.lower().replace(".", "-").startswith(material.folder):
                return material
    return None


def files(paths: tuple[Path, ...]) -> list[Path]:
    """The FHIR files in these folders, in order; raises LdnError(not-found) when there are none."""
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise LdnError(Issue.NOT_FOUND, f"--data {path}: no such file or folder")
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        found += [f for f in inside if f.suffix in FORMATS and f.is_file()]
    if not any(material_of(f.absolute()) for f in found):
        names = ", ".join(m.folder for m in MATERIALS)
        text = f"--data: no folder with test material here; looked for {names}"
        raise LdnError(Issue.NOT_FOUND, text)
    return found


def material(
    paths: tuple[Path, ...], now: datetime, new_id: NewId, refused: Callable[[Path, LdnError], None]
) -> Iterator[Placed]:
    """Every resource in these folders with its provider; `refused` hears of unreadable files."""
    for file in files(paths):
        if (found := material_of(file.absolute())) is None:
            continue
        try:
            resource = read(file, found.fhir, now, new_id)
        except LdnError as error:
            refused(file, error)
            continue
        for each in unpacked(resource):
            yield Placed(found.member, found.fhir, each, str(file))


def read(file: Path, fhir: FhirVersion, now: datetime, new_id: NewId) -> Resource:
    """The resource in a file, placeholders filled in; raises LdnError as `text_of` does."""
    text = text_of(file, LARGEST)
    return decode(fill(text, now, new_id).encode(), FORMATS[file.suffix], fhir)


def unpacked(resource: Resource) -> Iterator[Resource]:
    """The resources of a Bundle that have an id, or the resource itself."""
    if resource["resourceType"] != "Bundle":
        yield resource
        return
    for entry in resource.get("entry", []):
        inner = entry.get("resource")
        if inner and inner["resourceType"] != "Bundle" and inner.get("id"):
            yield inner
