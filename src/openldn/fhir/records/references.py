"""References inside a transaction: from full URLs to ids, from conditions to the one match.

Source: hl7.org/fhir/R4/http.html#transaction, "identity" and "conditional references".
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from openldn.fhir.model import Resource

_CONDITIONAL = re.compile(r"([A-Z][A-Za-z]{1,63})\?(.+)", re.DOTALL)
_RESTFUL = re.compile(r"(https?://.+/)([A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64})")
_LINKS = frozenset(  # elements of type uri, url, uuid and oid that may name another entry
    ("reference", "url", "uri", "valueUri", "valueUrl", "valueUuid", "valueOid", "instantiatesUri")
)
_NARRATIVE = re.compile(r"""((?:href|src)\s*=\s*)(["'])(.*?)\2""", re.DOTALL)

Change = Callable[[str, str], str]  # (element name, its text) -> what should stand there


def rewritten(resource: Resource, targets: Mapping[str, str], base: str = "") -> Resource:
    """A copy in which every link to a key of `targets` points at its value ("Patient/1").

    `base` is the base of the resource's own full URL: relative references are read from there.
    """

    def link(name: str, text: str) -> str:
        if name == "div":
            return _NARRATIVE.sub(lambda m: _attribute(m, targets), text)
        target = targets.get(text)
        if target is None and base and name == "reference":
            target = targets.get(base + text)
        return text if target is None else target

    return _changed(resource, link) if targets else resource


def conditions(resource: Resource) -> set[str]:
    """The conditional references in it: `Patient?identifier=…`."""
    return {text for text in _references(resource) if _CONDITIONAL.fullmatch(text)}


def split_condition(text: str) -> tuple[str, str]:
    """Resource type and query string of a conditional reference."""
    found = _CONDITIONAL.fullmatch(text)
    return (found[1], found[2]) if found else ("", "")


def base_of(full_url: str) -> str:
    """The base of a RESTful full URL, with its slash; "" for any other."""
    found = _RESTFUL.fullmatch(full_url)
    return found[1] if found else ""


def _attribute(found: re.Match[str], targets: Mapping[str, str]) -> str:
    return f"{found[1]}{found[2]}{targets.get(found[3], found[3])}{found[2]}"


def _changed(value: Any, change: Change, name: str = "") -> Any:
    if isinstance(value, dict):
        return {k: _changed(v, change, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_changed(v, change, name) for v in value]
    if isinstance(value, str) and (name in _LINKS or name == "div"):
        return change(name, value)
    return value


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        reference = value.get("reference")
        if isinstance(reference, str):
            yield reference
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
