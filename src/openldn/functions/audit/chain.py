"""The chain that makes tampering visible: each event's hash covers the one before it.

The hashes can be recomputed by anyone. Who may write to the database could therefore write a
whole new chain; so each line also has a seal that only the keeper of the key can make, and it
covers what the event can be found by as well.
"""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, NamedTuple

import msgspec

from openldn.fhir.identifiers import BSN_SYSTEM, URA_SYSTEM, UZI_SYSTEM, Bsn, Ura
from openldn.fhir.model import Resource
from openldn.functions.audit.catalogue import ROWS
from openldn.functions.audit.elements import canonical, clean
from openldn.functions.audit.entities import SUBJECT
from openldn.functions.audit.model import Event

__all__ = ["canonical"]

START = bytes(32)  # what the first event follows
SEAL = 16  # bytes of a seal that are kept
MISSING = "an event is missing"
ALTERED = "an event was altered, or the order was changed"
INDEX = "an index of the event was altered, or the key of the log is another one"
UNSEALED = "the event was not written with the key of this log"


class Columns(NamedTuple):
    """What an event can be found by; taken from the event, so that both must agree."""

    id: str
    recorded: datetime
    tag: str
    patient_key: bytes | None
    organization: str  # URA of who asked
    actor: str  # UZI number of who asked
    correlation: str
    outcome: str


class Entry(NamedTuple):
    """One event that is ready to be written."""

    columns: Columns
    body: bytes
    once: bytes | None  # what makes a retry the same event; None = never the same

    def __repr__(self) -> str:
        """The event by its id: its body holds a BSN."""
        return f"Entry({self.columns.id})"


class Line(NamedTuple):
    """One event as it is stored."""

    seq: int
    columns: Columns
    body: bytes
    before: bytes  # hash of the event before
    hash: bytes
    seal: bytes

    def __repr__(self) -> str:
        """The event by its number: its body holds a BSN."""
        return f"Line({self.seq})"


class Head(NamedTuple):
    """The last event of a chain, sealed with the key of the log."""

    seq: int
    hash: bytes
    seal: bytes


def digest(before: bytes, body: bytes) -> bytes:
    """The hash of an event that follows the one with hash `before`."""
    return hashlib.sha256(before + body).digest()


@lru_cache(maxsize=4096)  # one pull writes dozens of events about one patient
def patient_key(key: bytes, patient: Bsn) -> bytes:
    """What a patient is found by without the BSN in an index; also in `once`."""
    return hmac.digest(key, b"patient|" + patient.value.encode(), "sha256")


def subject_key(key: bytes, subject: str) -> bytes:
    """What the keyed digest of a pseudonym is found by."""
    return hmac.digest(key, b"subject|" + subject.encode(), "sha256")


def seal(key: bytes, holder: str, seq: int, last: bytes) -> bytes:
    """What only the keeper of the key can say: this is the end of this holder's chain."""
    return hmac.digest(key, f"head|{holder}|{seq}|".encode() + last, "sha256")


def removal_seal(key: bytes, holder: str, upto: int, last: bytes) -> bytes:
    """What only the keeper of the key can say: all up to this event was kept and then removed."""
    return hmac.digest(key, f"removed|{holder}|{upto}|".encode() + last, "sha256")


def line_seal(key: bytes, holder: str, seq: int, after: bytes, found: Columns) -> bytes:
    """What only the keeper of the key can say: this is event `seq`, found by these columns."""
    id, recorded, tag, patient, organization, actor, correlation, outcome = found
    text = (
        f"line|{holder}|{seq}|{id}|{recorded.timestamp()}|{tag}|{organization}|{actor}|{outcome}|"
        f"{len(correlation)}|{correlation}|"
    )
    return hmac.digest(key, text.encode() + after + (patient or b""), "sha256")[:SEAL]


def columns_of(event: Event, recorded: datetime, id: str, key: bytes) -> Columns:
    """What this event can be found by."""
    told = _told(event.code)
    whole = recorded.replace(microsecond=recorded.microsecond // 1000 * 1000)
    organization = event.organization if isinstance(event.organization, Ura) else ""
    person = event.person if not event.citizen else None
    return Columns(
        id,
        whole,
        event.code,
        _who(event, key) if "patient" in told else None,
        str(organization) if "userorg" in told else "",
        clean(person.uzi) if person and "user" in told else "",
        clean(event.correlation) if "transaction" in told else "",
        event.outcome,
    )


@cache
def _told(code: str) -> frozenset[str]:
    """Which agents and entities an event of this code may have."""
    row = ROWS[code]
    return frozenset(word.rstrip("?") for word in row.agents + row.entities)


def _who(event: Event, key: bytes) -> bytes | None:
    if event.patient is not None:
        return patient_key(key, event.patient)
    return subject_key(key, event.subject) if event.subject else None


def columns(event: Resource, key: bytes) -> Columns:
    """What the event with this body must be found by."""
    who = {i["system"]: i.get("value", "") for i in _requesters(event)}
    named = {
        str(e["type"]["code"]): e["what"]["identifier"]
        for e in event.get("entity", [])
        if "identifier" in e.get("what", {})
    }
    return Columns(
        id=event["id"],
        recorded=datetime.fromisoformat(event["recorded"]),
        tag=event["meta"]["tag"][0]["code"],
        patient_key=_key_of(named.get("1", {}), key),
        organization=who.get(URA_SYSTEM, ""),
        actor=who.get(UZI_SYSTEM, ""),
        correlation=named.get("XrequestId", {}).get("value", ""),
        outcome=event["outcome"],
    )


def _key_of(identifier: dict[str, str], key: bytes) -> bytes | None:
    match identifier.get("system"):
        case str(system) if system == BSN_SYSTEM:
            return patient_key(key, Bsn(identifier["value"]))
        case str(system) if system == SUBJECT:
            return subject_key(key, identifier["value"])
        case _:
            return None


def _requesters(event: Resource) -> Iterator[dict[str, Any]]:
    """The identifiers of the asking organization and, when there is one, its person."""
    for agent in event["agent"]:
        codes = {c["code"] for c in agent["type"]["coding"]}
        if codes & {"PROV", "IRCP", "AUT"} and "identifier" in agent["who"]:
            yield agent["who"]["identifier"]


def linked(entries: Iterable[Entry], key: bytes, holder: str, head: Head) -> list[Line]:
    """These events as the continuation of the chain that ends in `head`."""
    lines, seq, before = [], head.seq, head.hash
    for found, body, _ in entries:
        seq += 1
        after = hashlib.sha256(before + body).digest()
        sealed = line_seal(key, holder, seq, after, found)
        lines.append(Line(seq, found, body, before, after, sealed))
        before = after
    return lines


def fault(line: Line, seq: int, before: bytes, key: bytes | None, holder: str) -> str:
    """Why this line cannot be the `seq`-th one after `before`; empty when it is.

    Without the key only the hashes are recomputed.
    """
    if line.seq != seq:
        return MISSING
    if line.before != before or line.hash != hashlib.sha256(before + line.body).digest():
        return ALTERED
    if key is None:
        return ""
    sealed = line_seal(key, holder, seq, line.hash, line.columns)
    if not hmac.compare_digest(sealed, line.seal):
        agree = columns(msgspec.json.decode(line.body), key) == line.columns
        return UNSEALED if agree else INDEX
    return ""


def broken(
    lines: Sequence[Line], head: tuple[int, bytes], key: bytes | None, holder: str
) -> tuple[int, str]:
    """The first of these lines that does not follow what is before it, and why; (0, "") if none."""
    seq, before = head
    sha256 = hashlib.sha256
    for line in lines:
        seq += 1
        number, found, body, told, after, sealed = line
        whole = number == seq and told == before and after == sha256(before + body).digest()
        if not whole or (key is not None and line_seal(key, holder, seq, after, found) != sealed):
            return seq, fault(line, seq, before, key, holder)
        before = after
    return 0, ""
