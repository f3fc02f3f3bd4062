"""Presentation submissions: which credential is said to answer which descriptor.

Source: DIF Presentation Exchange 2 §6; Nuts RFC021 (dialect D1).
"""

import re
from collections.abc import Mapping
from typing import Any

from openldn.base.errors import LdnError
from openldn.fhir.codec import parse
from openldn.fhir.codec.model import Limits
from openldn.trust.credentials.did import refuse
from openldn.trust.credentials.model import Definition
from openldn.trust.trail import Rule, Trail

SUBMISSION = Rule(
    "vp.submission", "PE 2 §6", "the submission is of this definition and points at credentials"
)
_LIMITS = Limits(size=16 * 1024, depth=12, nodes=300, values=1_000, digits=10)
_PATH = re.compile(r"\$(?:\.vp)?\.verifiableCredential(?:\[(\d{1,2})\])?", re.ASCII)


def read_submission(
    text: str, definition: Definition, count: int, trail: Trail
) -> dict[str, int] | None:
    """The place of the credential for each descriptor; None without a submission.

    Raises LdnError(the trail's issue).
    """
    if not text:
        return None
    try:
        value = parse(text.encode(errors="replace"), _LIMITS)
    except LdnError:
        refuse(SUBMISSION, trail)
    entries = value.get("descriptor_map") if isinstance(value, dict) else None
    fits = isinstance(entries, list) and value.get("definition_id") == definition.id
    trail.require(fits, SUBMISSION)
    pairs = [_entry(entry, count) for entry in entries or []]
    places = {name: place for name, place in pairs if place is not None}
    known = {d.id for d in definition.descriptors}
    trail.require(len(places) == len(pairs) and set(places) <= known, SUBMISSION)
    return places


def make_submission(definition: Definition, chosen: Mapping[str, int], name: str) -> dict[str, Any]:
    """The submission of a JWT presentation; `name` is a fresh id."""
    return {
        "id": name,
        "definition_id": definition.id,
        "descriptor_map": [
            {
                "id": descriptor,
                "format": "jwt_vp",
                "path": "$",
                "path_nested": {
                    "id": descriptor,
                    "format": "jwt_vc",
                    "path": f"$.vp.verifiableCredential[{place}]",
                },
            }
            for descriptor, place in chosen.items()
        ],
    }


def _entry(entry: Any, count: int) -> tuple[str, int | None]:
    """The descriptor and the place an entry names; no place when it cannot be followed."""
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        return "", None
    nested = entry.get("path_nested")
    path = nested.get("path") if isinstance(nested, dict) else entry.get("path")
    match = _PATH.fullmatch(path) if isinstance(path, str) else None
    place = int(match.group(1) or 0) if match else count
    return entry["id"], place if place < count else None
