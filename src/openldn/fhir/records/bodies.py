"""The bytes a record keeps: FHIR JSON as it will be served, with id and meta set."""

import re
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.fhir.codec import dump
from openldn.fhir.model import Resource

MAX_BODY = 32 * 1024 * 1024  # bytes of one stored resource

_OURS = frozenset({"versionId", "lastUpdated"})
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_in_order = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


def is_id(text: object) -> bool:
    """Whether this is a FHIR id (hl7.org/fhir/R4/datatypes.html#id)."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def is_type(text: object) -> bool:
    """Whether this can be the name of a resource type."""
    return isinstance(text, str) and text.isascii() and text.isalpha() and len(text) <= 64


def stamped(resource: Resource, id: str, version: int, updated: datetime) -> Resource:
    """A copy with this id and meta; what else its meta says stays."""
    meta = resource.get("meta")
    kept = {k: v for k, v in meta.items() if k not in _OURS} if isinstance(meta, dict) else {}
    first = {
        "resourceType": resource["resourceType"],
        "id": id,
        "meta": {"versionId": str(version), "lastUpdated": instant(updated), **kept},
    }
    return first | {k: v for k, v in resource.items() if k not in first}


def dumped(resource: Resource) -> bytes:
    """The bytes of a stamped resource; raises LdnError(too-long) above MAX_BODY."""
    body = dump(resource)
    if len(body) > MAX_BODY:
        text = (
            f"this resource is larger than {MAX_BODY >> 20} MiB; split it or leave out attachments"
        )
        raise LdnError(Issue.TOO_LONG, text, where=str(resource["resourceType"]))
    return body


def parsed(body: bytes) -> Any:
    """What stands in a stored body."""
    return _decode(body)


def same_content(one: bytes, other: bytes) -> bool:
    """Whether two bodies say the same, whatever the order of their members; 1.10 is not 1.1."""
    if one == other:
        return True
    return len(one) == len(other) and _in_order(_decode(one)) == _in_order(_decode(other))
