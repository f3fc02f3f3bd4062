"""Reading files of FHIR resources for a station: JSON, XML, lines of JSON; Bundles unpacked."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import Format, decode
from openldn.fhir.model import FhirVersion, Resource

LARGEST_FILE = 256 * 1024 * 1024  # bytes
_FORMATS = {".json": Format.JSON, ".xml": Format.XML}
_LINES = ".ndjson"  # one resource a line
_URN = "urn:uuid:"


@dataclass(frozen=True)
class Reading:
    """How files are read; `refused` hears of each that is not FHIR of this version."""

    version: FhirVersion
    refused: Callable[[Path, LdnError], None]
    prepare: Callable[[str], str] = str  # fills in placeholders before the text is decoded

    def resources(self, paths: Sequence[Path]) -> Iterator[Resource]:
        """Every resource in these files and folders, each with an id."""
        for file in files(paths):
            try:
                text = self.prepare(text_of(file, LARGEST_FILE))
            except LdnError as error:
                self.refused(file, error)
                continue
            for number, piece in _pieces(file, text):
                yield from self._decoded(file, number, piece)

    def _decoded(self, file: Path, number: int, piece: str) -> Iterator[Resource]:
        form = _FORMATS.get(file.suffix.lower(), Format.JSON)
        try:
            resource = decode(piece.encode(), form, self.version)
        except LdnError as error:
            text = f"line {number}: {error.message}" if number else error.message
            self.refused(file, LdnError(error.issue, text, where=error.where))
            return
        yield from unpacked(resource, _as_id(f"{file.stem}-{number}" if number else file.stem))


def text_of(file: Path, largest: int) -> str:
    """What a file of at most `largest` bytes says.

    Raises LdnError: too-long, invalid when it cannot be read, structure when it is not UTF-8.
    """
    try:
        if file.stat().st_size > largest:
            raise LdnError(Issue.TOO_LONG, f"larger than {largest} bytes")
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise LdnError(Issue.INVALID, error.strerror or "unreadable") from error
    except UnicodeDecodeError as error:
        raise LdnError(Issue.STRUCTURE, "not UTF-8") from error


def _pieces(file: Path, text: str) -> Iterator[tuple[int, str]]:
    """The texts of single resources in a file, with their line; line 0 is the whole file."""
    if file.suffix.lower() != _LINES:
        yield 0, text
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def files(paths: Sequence[Path]) -> list[Path]:
    """The .json, .ndjson and .xml files among and inside `paths`, in order.

    Raises LdnError(not-found) for a path that is not there, and when there is nothing to load.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise LdnError(Issue.NOT_FOUND, f"--load {path}: no such file or folder")
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        found += [f for f in inside if f.suffix.lower() in {*_FORMATS, _LINES} and f.is_file()]
    if paths and not found:
        raise LdnError(Issue.NOT_FOUND, "--load: no .json, .ndjson or .xml files there")
    return found


def unpacked(resource: Resource, name: str) -> Iterator[Resource]:
    """The resource, or those in a Bundle; one without an id gets the same id each time.

    References to `urn:uuid:…` of an entry become references to its resource.
    """
    if resource["resourceType"] != "Bundle":
        yield resource if "id" in resource else {**resource, "id": name}
        return
    addresses: dict[str, str] = {}
    inside: list[Resource] = []
    for place, entry in enumerate(resource.get("entry", [])):
        if (inner := entry.get("resource")) is None:
            continue
        full = str(entry.get("fullUrl", ""))
        inner = {**inner, "id": inner.get("id") or _id_of(full, f"{name}-{place}")}
        inside.append(inner)
        if full.startswith(_URN):
            addresses[full] = f"{inner['resourceType']}/{inner['id']}"
    for inner in inside:
        yield from unpacked(_rewritten(inner, addresses), inner["id"])


def _id_of(full_url: str, otherwise: str) -> str:
    urn = full_url.removeprefix(_URN)
    return urn if full_url.startswith(_URN) and _as_id(urn) == urn else _as_id(otherwise)


def _as_id(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9\-.]", "-", name)[-64:] or "unnamed"


def _rewritten(value: Any, addresses: Mapping[str, str]) -> Any:
    if not addresses:
        return value
    if isinstance(value, dict):
        changed = {k: _rewritten(v, addresses) for k, v in value.items()}
        target = addresses.get(str(changed.get("reference")))
        return {**changed, "reference": target} if target else changed
    if isinstance(value, list):
        return [_rewritten(each, addresses) for each in value]
    return value
