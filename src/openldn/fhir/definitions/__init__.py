"""HL7's official FHIR definitions: which types there are and which elements they have."""

import hashlib
import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.fhir.model import FhirVersion


class Element(msgspec.Struct, frozen=True, array_like=True):
    """One element of a type; `value[x]` is named `value` and is a choice."""

    name: str
    least: int  # 1: required
    many: bool
    types: tuple[str, ...]  # names in Definitions.types; more than one only in a choice
    choice: bool
    attribute: bool  # an XML attribute instead of an XML element


class TypeDef(msgspec.Struct, frozen=True, array_like=True):
    """A resource, a data type, a primitive, or a group of elements such as `Patient.contact`."""

    kind: str  # resource | complex | primitive | group
    abstract: bool
    regex: str  # of a primitive's value, as published; empty where none is
    elements: tuple[Element, ...]  # in the order of the definition, inherited ones included


class Header(msgspec.Struct, frozen=True):
    """What a file of definitions was made from."""

    fhir: str
    license: str
    sources: Mapping[str, str]  # file -> sha256
    sha256: str  # of the types that follow


@dataclass(frozen=True)
class Definitions:
    """Everything one FHIR version defines."""

    version: FhirVersion
    types: Mapping[str, TypeDef]
    resources: frozenset[str]  # the types a resource can have


@cache
def definitions(version: FhirVersion) -> Definitions:
    """The definitions of this version; read once, at first use."""
    header, body = content(version)
    types = msgspec.json.decode(body, type=dict[str, TypeDef])
    if header.fhir != version.number:
        raise LdnError(Issue.EXCEPTION, "FHIR definitions of another version; install again")
    resources = {n for n, t in types.items() if t.kind == "resource" and not t.abstract}
    return Definitions(version, types, frozenset(resources))


def content(version: FhirVersion) -> tuple[Header, bytes]:
    """The shipped file: its header and the types as JSON; raises LdnError when it is damaged."""
    text = lzma.decompress((Path(__file__).parent / f"{version}.json.xz").read_bytes())
    head, _, body = text.partition(b"\n")
    header = msgspec.json.decode(head, type=Header)
    if hashlib.sha256(body).hexdigest() != header.sha256:
        raise LdnError(Issue.EXCEPTION, "the FHIR definitions are damaged; install again")
    return header, body
