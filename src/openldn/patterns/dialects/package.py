"""The profiles of the dialects as a FHIR package: StructureDefinitions made from our rows.

Source: FHIR STU3 StructureDefinition; HL7 package specification (package/package.json).
"""

import gzip
import io
import tarfile
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from openldn.fhir.codec import dump
from openldn.fhir.identifiers import CANON
from openldn.fhir.model import FhirVersion, Resource
from openldn.patterns.dialects.profiles import PROFILES, Coded, Element, Profile

NAME = "nl.openldn.stu3.notified-pull"
VERSION = "0.1.0"
_EPOCH = datetime.fromisoformat("1985-10-26T08:15:00+00:00")  # the same bytes whenever it is made


def structure_definition(profile: Profile) -> Resource:
    """This profile as an STU3 StructureDefinition: a differential on Task."""
    return {
        "resourceType": "StructureDefinition",
        "id": profile.name,
        "url": profile.url,
        "version": VERSION,
        "name": "".join(w.capitalize() for w in profile.name.split("-")),
        "title": profile.title,
        "status": "draft",
        "publisher": "OpenLDN",
        "description": profile.description,
        "fhirVersion": FhirVersion.STU3.number,
        "kind": "resource",
        "abstract": False,
        "type": "Task",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Task",
        "derivation": "constraint",
        "differential": {"element": list(_elements(profile))},
    }


def _elements(profile: Profile) -> Iterator[Resource]:
    for element in profile.elements:
        yield _constrained(element)
    opened = set[str]()
    for coded in profile.coded:
        path = f"Task.{coded.list}"
        if path not in opened:
            yield {"id": path, "path": path, "slicing": _slicing(coded)}
            opened.add(path)
        yield from _sliced(coded, path)


def _constrained(element: Element) -> Resource:
    path = f"Task.{element.path}"
    found: Resource = {"id": path, "path": path, **_often(element.least, element.most)}
    if element.fixed is not None:
        kind, value = element.fixed
        found[f"fixed{kind}"] = value
    return found


def _often(least: int, most: int | None) -> Resource:
    return {"min": least, **({} if most is None else {"max": str(most)})}


def _slicing(coded: Coded) -> Resource:
    below = "type.coding." if coded.list == "input" else ""
    by = [{"type": "value", "path": f"{below}{name}"} for name in ("system", "code")]
    return {"discriminator": by, "rules": "open"}


def _sliced(coded: Coded, path: str) -> Iterator[Resource]:
    id = f"{path}:{coded.name}"
    below = ".type.coding" if coded.list == "input" else ""
    yield {"id": id, "path": path, "sliceName": coded.name, **_often(coded.least, coded.most)}
    for name, kind, value in (("system", "Uri", coded.system), ("code", "Code", coded.code)):
        at = f"{below}.{name}"
        yield {"id": f"{id}{at}", "path": f"{path}{at}", "min": 1, f"fixed{kind}": value}
    if coded.value:
        choice: Resource = {"id": f"{id}.value[x]", "path": f"{path}.value[x]"}
        choice["type"] = [{"code": coded.value}]
        if coded.fixed is not None:
            choice["fixedBoolean"] = coded.fixed
        yield choice


def manifest() -> dict[str, Any]:
    """What the package is, for those who install it."""
    return {
        "name": NAME,
        "version": VERSION,
        "description": "Profiles of the Tasks of Twiin's notified pull on Nuts",
        "canonical": CANON,
        "license": "CC0-1.0",
        "author": "OpenLDN",
        "fhirVersions": [FhirVersion.STU3.number],
        "dependencies": {"hl7.fhir.r3.core": FhirVersion.STU3.number},
        "type": "IG",
    }


def files() -> dict[str, bytes]:
    """Every file of the package by its path."""
    found = {"package/package.json": dump(manifest())}
    for profile in PROFILES:
        path = f"package/StructureDefinition-{profile.name}.json"
        found[path] = dump(structure_definition(profile))
    return found


def archive() -> bytes:
    """The package as one file (.tgz); the same bytes each time it is made."""
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path, content in files().items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mtime = len(content), int(_EPOCH.timestamp())
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()
