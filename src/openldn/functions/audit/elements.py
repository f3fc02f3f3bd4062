"""Small pieces of FHIR that AuditEvents are made of, clean of what FHIR and the norm forbid."""

import re
from typing import Any

import msgspec

from openldn.base.errors import LdnError
from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import Resource
from openldn.functions.audit.catalogue import SYSTEMS

_BSN_VALUE = re.compile(r"(bsn|2\.16\.840\.1\.113883\.2\.4\.6\.3)(\||%7c)[^&,\s]*", re.IGNORECASE)
_NINE = re.compile(r"(?<!\d)\d{9}(?!\d)")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_ADDRESS = frozenset("0123456789abcdef.:")
_EMPTY: tuple[Any, ...] = ("", [], {}, None)
_encoder = msgspec.json.Encoder(order="sorted")


def canonical(event: Resource) -> bytes:
    """The event as canonical JSON (RFC 8785): sorted keys, no spaces; its numbers are integers."""
    return _encoder.encode(event)


def kept(value: Any) -> msgspec.Raw:
    """A part of an event as canonical JSON, to be put into it as it is."""
    return msgspec.Raw(_encoder.encode(pruned(value)))


def made(value: Any) -> msgspec.Raw:
    """A part that is clean by construction, as canonical JSON."""
    return msgspec.Raw(_encoder.encode(value))


def masked(text: str, patient: Bsn | None = None) -> str:
    """The text with everything that is or may be a BSN replaced by `***`."""
    text = _BSN_VALUE.sub(r"\1\2***", text)
    if patient is not None:
        text = text.replace(patient.value, "***")
    return _NINE.sub(_masked_number, text)


def _masked_number(found: re.Match[str]) -> str:
    before = found.string[: found.start()].lower()
    if before.endswith(("snomed.info/sct|", "snomed.info%2fsct%7c", "snomed.info/sct%7c")):
        return found[0]
    try:
        Bsn.parse(found[0])
    except LdnError:
        return found[0]
    return "***"


def coding(code: str) -> Resource:
    """The coding that the catalogue writes as `DCM#110153`."""
    system, _, value = code.partition("#")
    return {"system": SYSTEMS[system], "code": value}


def concept(*codes: str) -> Resource:
    """A concept with these codings of the catalogue."""
    return {"coding": [coding(code) for code in codes]}


def identifier(system: str, value: str) -> Resource:
    """An identifier; the empty one is left out when the event is cleaned."""
    return {"system": system, "value": value}


def network(address: str) -> Resource:
    """Where somebody was reached: a URI (5), an IP address (2) or a machine name (1)."""
    if not address:
        return {}
    if "://" in address:
        return {"address": address, "type": "5"}
    return {"address": address, "type": "2" if set(address) <= _ADDRESS else "1"}


def clean(text: str) -> str:
    """The text without control characters and half surrogates, which FHIR does not allow."""
    if text.isprintable() and text[:1] != " " and text[-1:] != " ":
        return text
    return _CONTROL.sub("", text.encode(errors="replace").decode()).strip()


def pruned(value: Any) -> Any:
    """The value without what FHIR does not allow: empty parts and unclean text."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        known = {k: pruned(v) for k, v in value.items()}
        return {k: v for k, v in known.items() if v not in _EMPTY}
    if isinstance(value, list | tuple):
        return [v for v in map(pruned, value) if v not in _EMPTY]
    return value
