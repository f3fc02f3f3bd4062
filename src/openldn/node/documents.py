"""The document of a Composition: with it all that its sections and its header refer to.

Source: exchanges §2.4 ($document, transitive references); Nictiz eOverdracht 4.0.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.api.answers import bundle_bytes, matched
from openldn.fhir.codec import parse
from openldn.fhir.records.model import Found, Record
from openldn.node.sources import Source, Wanted

MOST = 500  # resources of one document beside its Composition
ROUNDS = 3  # a section refers to a medication use, that to its medication, that to its product
_REFERENCE = re.compile(r"([A-Z][A-Za-z]{1,40})/([A-Za-z0-9.-]{1,64})")


async def whole(source: Source, wanted: Wanted, found: Found) -> Found:
    """The Composition that was found, with everything it leads to in our own source.

    What is about another patient than the Composition is left out. Raises LdnError: not-found
    without a Composition, too-long for a document beyond bounds, and as the source does.
    """
    if len(found.matches) != 1:
        raise LdnError(Issue.NOT_FOUND, "what was offered is not there any more; tell its sender")
    first = found.matches[0]
    known, fresh = {_place(first): first}, [first]
    patient = _subject(first)
    for _ in range(ROUNDS):
        missing = {r for record in fresh for r in references(record)} - known.keys()
        fresh = [r for r in await _read(source, wanted, missing) if _about(r, patient)]
        known |= {_place(record): record for record in fresh}
        if len(known) > MOST:
            raise LdnError(
                Issue.TOO_LONG, f"the document has more than {MOST} parts; its writer's turn"
            )
        if not fresh:
            break
    rest = tuple(record for record in known.values() if record is not first)
    return replace(found, included=rest, next="")


def bundle(base: str, found: Found) -> bytes:
    """The document as JSON, its Composition first."""
    entries = [matched(base, record) for record in (*found.matches, *found.included)]
    return bundle_bytes({"type": "document"}, entries)


async def _read(source: Source, wanted: Wanted, places: Iterable[str]) -> list[Record]:
    """These resources, as far as the source has them."""
    ids: dict[str, list[str]] = defaultdict(list)
    for place in sorted(places):
        type_, _, id_ = place.partition("/")
        ids[type_].append(id_)
    read: list[Record] = []
    for type_, some in ids.items():
        asked = Wanted(wanted.fhir, type_, "", (("_id", ",".join(some[: MOST + 1])),))
        read += (await source.search(asked)).matches
    return read


def references(record: Record) -> Iterator[str]:
    """Every relative reference in this resource."""
    waiting: list[Any] = [parse(record.body or b"{}")]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            reference = one.get("reference")
            if isinstance(reference, str) and _REFERENCE.fullmatch(reference):
                yield reference
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _about(record: Record, patient: str) -> bool:
    """Not about another patient than this one."""
    own = _place(record) if record.type == "Patient" else _subject(record)
    return own in ("", patient)


def _subject(record: Record) -> str:
    """The Patient that a resource says to be about; empty where it says none."""
    content = parse(record.body or b"{}")
    for name in ("subject", "patient", "beneficiary"):
        said = content.get(name) if isinstance(content, dict) else None
        reference = said.get("reference", "") if isinstance(said, dict) else ""
        if str(reference).startswith("Patient/"):
            return str(reference)
    return ""


def _place(record: Record) -> str:
    return f"{record.type}/{record.id}"
