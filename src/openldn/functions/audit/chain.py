"""The chain that makes tampering visible: each event's hash covers the one before it."""

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from openldn.fhir.identifiers import BSN_SYSTEM, URA_SYSTEM, UZI_SYSTEM, Bsn
from openldn.fhir.model import Resource

START = bytes(32)  # what the first event follows
_encoder = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True)
class Columns:
    """What an event can be found by; taken from its body, so that both must agree."""

    id: str
    recorded: datetime
    tag: str
    patient_key: bytes | None
    organization: str  # URA of who asked
    actor: str  # UZI number of who asked
    correlation: str
    outcome: str


@dataclass(frozen=True)
class Line:
    """One event as it is stored."""

    seq: int
    columns: Columns
    body: bytes
    before: bytes  # hash of the event before
    hash: bytes


@dataclass(frozen=True)
class Head:
    """The last event of a chain, sealed with the key of the log."""

    seq: int
    hash: bytes
    seal: bytes


def canonical(event: Resource) -> bytes:
    """The event as canonical JSON (RFC 8785): sorted keys, no spaces; its numbers are integers."""
    return _encoder.encode(event)


def digest(before: bytes, body: bytes) -> bytes:
    """The hash of an event that follows the one with hash `before`."""
    return hashlib.sha256(before + body).digest()


def patient_key(key: bytes, patient: Bsn) -> bytes:
    """What a patient is found by without the BSN in an index; also in `once`."""
    return hmac.digest(key, b"patient|" + patient.value.encode(), "sha256")


def seal(key: bytes, holder: str, seq: int, last: bytes) -> bytes:
    """What only the keeper of the key can say: this is the end of this holder's chain."""
    return hmac.digest(key, f"head|{holder}|{seq}|".encode() + last, "sha256")


def columns(event: Resource, key: bytes) -> Columns:
    """What this event can be found by."""
    who = {i["system"]: i.get("value", "") for i in _requesters(event)}
    named = {_entity_kind(e): e["what"]["identifier"] for e in event["entity"] if "what" in e}
    bsn = named.get("1", {}) if named.get("1", {}).get("system") == BSN_SYSTEM else {}
    return Columns(
        id=event["id"],
        recorded=datetime.fromisoformat(event["recorded"]),
        tag=event["meta"]["tag"][0]["code"],
        patient_key=patient_key(key, Bsn(bsn["value"])) if bsn else None,
        organization=who.get(URA_SYSTEM, ""),
        actor=who.get(UZI_SYSTEM, ""),
        correlation=named.get("XrequestId", {}).get("value", ""),
        outcome=event["outcome"],
    )


def _entity_kind(entity: Resource) -> str:
    return str(entity["type"]["code"])


def _requesters(event: Resource) -> Iterator[dict[str, Any]]:
    """The identifiers of the asking organization and, when there is one, its person."""
    for agent in event["agent"]:
        codes = {c["code"] for c in agent["type"]["coding"]}
        if codes & {"PROV", "IRCP"}:
            yield agent["who"]["identifier"]


def linked(events: Iterable[Resource], key: bytes, head: Head) -> list[Line]:
    """These events as the continuation of the chain that ends in `head`."""
    lines, seq, before = [], head.seq, head.hash
    for event in events:
        body = canonical(event)
        seq += 1
        after = digest(before, body)
        lines.append(Line(seq, columns(event, key), body, before, after))
        before = after
    return lines


def fault(line: Line, seq: int, before: bytes, key: bytes) -> str:
    """Why this line cannot be the `seq`-th one after `before`; empty when it is."""
    if line.seq != seq:
        return "an event is missing"
    if line.before != before or line.hash != digest(before, line.body):
        return "an event was altered, or the order was changed"
    if columns(msgspec.json.decode(line.body), key) != line.columns:
        return "an index of the event was altered, or the key of the log is another one"
    return ""
