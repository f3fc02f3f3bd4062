"""What a decision log may hold: the question with everything that is or may be a BSN taken out.

Source: generic functions §3.7 (rule Z15).
"""

import re
from collections.abc import Mapping
from typing import Any

from openldn.base.errors import LdnError
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn

REDACTED = "[REDACTED]"
_SYSTEMS = (f"{BSN_SYSTEM}|".lower(), "urn:oid:2.16.840.1.113883.2.4.6.3|")
_WHOLE = frozenset({"query", "query_params", "body", "header", "content"})  # may hold anything
_ALWAYS = frozenset({"patient_bsn"})
_NINE = re.compile(r"(?<!\d)\d{9}(?!\d)")


def masked(value: Any, name: str = "") -> Any:
    """The same document; a redacted key stays, so that one sees that it was there.

    Whole fields that can hold anything are replaced; elsewhere each text that carries a BSN.
    """
    if value in (None, "", [], {}):
        return value
    if name in _WHOLE | _ALWAYS:
        return REDACTED
    if isinstance(value, Mapping):
        return {key: masked(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return REDACTED if _carries(value) else [masked(inner) for inner in value]
    return REDACTED if _carries(value) else value


def _carries(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_carries(v) for v in value)
    if isinstance(value, Mapping | bool) or value is None:
        return False
    text = str(value)
    known = text.lower().startswith(_SYSTEMS)
    return known or any(_is_bsn(n) for n in _NINE.findall(text))


def _is_bsn(text: str) -> bool:
    try:
        Bsn.parse(text)
    except LdnError:
        return False
    return True
