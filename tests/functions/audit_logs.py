"""Whole logs in memory, and what somebody could do to them; shared by the tests of audit."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from random import Random
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from functions.audit_cases import HOSPITAL_NODE, KEY, MOMENT, SERVED_JANSEN

from openldn.functions.audit import chain
from openldn.functions.audit.chain import Entry, Head, Line, columns_of
from openldn.functions.audit.event import event_of, written
from openldn.functions.audit.heads import HeadKey, TreeHead, text_of
from openldn.functions.audit.merkle import Peaks
from openldn.trust import jose
from openldn.trust.certificates.keys import Signing

HOLDER = str(HOSPITAL_NODE.holder)
EVENTS, SIGNED = 40, (10, 25, 39)


@cache
def head_key() -> HeadKey:
    return HeadKey(Signing(jose.key_of(ec.generate_private_key(ec.SECP256R1()))))


def entry(number: int) -> Entry:
    told = event_of(replace(SERVED_JANSEN, query=f"GET Condition?n={number:04}"), HOSPITAL_NODE)
    moment = MOMENT + timedelta(seconds=number)
    id = f"a-{number}"
    body = written(told, HOSPITAL_NODE, moment, id)
    return Entry(columns_of(told, moment, id, KEY), body, None)


@dataclass(frozen=True)
class Log:
    """What a database holds of one log; a forger may change all of it, and has no key."""

    lines: tuple[Line, ...]
    heads: tuple[TreeHead, ...]
    end: Head

    def exported(self) -> list[bytes]:
        """The log as a file: what `exported` would write."""
        rows: list[dict[str, Any]] = [dict(log=HOLDER, before=text_of(chain.START))]
        signed = {head.size: head for head in self.heads}
        for line in self.lines:
            rows.append(
                dict(
                    seq=line.seq,
                    before=text_of(line.before),
                    hash=text_of(line.hash),
                    seal=text_of(line.seal),
                    event=msgspec.Raw(line.body),
                )
            )
            if line.seq in signed:
                rows.append(dict(head=signed[line.seq].jws))
        end = self.end
        rows.append(dict(end=end.seq, hash=text_of(end.hash), seal=text_of(end.seal)))
        return [chain.canonical(row) for row in rows]


@cache
def whole(events: int = EVENTS, signed: tuple[int, ...] = SIGNED) -> Log:
    """A log as it should be."""
    start = Head(0, chain.START, b"")
    lines = chain.linked([entry(n + 1) for n in range(events)], KEY, HOLDER, start)
    tree, heads = Peaks(), []
    for line in lines:
        tree.add(line.hash)
        if line.seq in signed:
            heads.append(head_key().head(HOLDER, line.seq, tree.root, line.hash, MOMENT))
    return Log(tuple(lines), tuple(heads), ended(lines))


def ended(lines: list[Line]) -> Head:
    last = lines[-1]
    return Head(last.seq, last.hash, chain.seal(KEY, HOLDER, last.seq, last.hash))


def forged(log: Log, lines: list[Line]) -> Log:
    """Another chain of these lines: every hash is right again, but no seal can be made."""
    before, made = chain.START, []
    for seq, line in enumerate(lines, 1):
        after = chain.digest(before, line.body)
        made.append(line._replace(seq=seq, before=before, hash=after))
        before = after
    return replace(log, lines=tuple(made), end=Head(len(made), before, log.end.seal))


def altered(line: Line, random: Random) -> Line:
    """The event with one letter of its content another."""
    places = [i for i, c in enumerate(line.body) if 97 <= c <= 121]
    at = random.choice(places)
    return line._replace(body=line.body[:at] + bytes([line.body[at] + 1]) + line.body[at + 1 :])


Harm = Callable[[Log, int, Random], tuple[Log, int]]  # log, place, chance -> log, first bad event


def one_altered(log: Log, at: int, random: Random) -> tuple[Log, int]:
    lines = list(log.lines)
    lines[at] = altered(lines[at], random)
    return replace(log, lines=tuple(lines)), at + 1


def altered_and_forged(log: Log, at: int, random: Random) -> tuple[Log, int]:
    lines = list(log.lines)
    lines[at] = altered(lines[at], random)
    return forged(log, lines), at + 1


def dropped(log: Log, at: int, random: Random) -> tuple[Log, int]:
    at = min(at, EVENTS - 2)
    return replace(log, lines=log.lines[:at] + log.lines[at + 1 :]), at + 1


def dropped_and_forged(log: Log, at: int, random: Random) -> tuple[Log, int]:
    at = min(at, EVENTS - 2)
    return forged(log, list(log.lines[:at] + log.lines[at + 1 :])), at + 1


def swapped(log: Log, at: int, random: Random) -> tuple[Log, int]:
    at = min(at, EVENTS - 2)
    lines = list(log.lines)
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    return replace(log, lines=tuple(lines)), at + 1


def swapped_and_forged(log: Log, at: int, random: Random) -> tuple[Log, int]:
    changed, first = swapped(log, at, random)
    return forged(log, list(changed.lines)), first


def repeated(log: Log, at: int, random: Random) -> tuple[Log, int]:
    lines = [*log.lines[: at + 1], *log.lines[at:]]
    return replace(log, lines=tuple(lines)), at + 2


def inserted_and_forged(log: Log, at: int, random: Random) -> tuple[Log, int]:
    lines = [*log.lines[:at], altered(log.lines[at], random), *log.lines[at:]]
    return forged(log, lines), at + 1


def truncated(log: Log, at: int, random: Random) -> tuple[Log, int]:
    """The last events gone, and the end moved; its seal cannot be made."""
    at = max(at, 1)
    lines, last = log.lines[:at], log.lines[at - 1]
    heads = tuple(head for head in log.heads if head.size <= at)
    return Log(lines, heads, Head(at, last.hash, log.end.seal)), at + 1


def restored(log: Log, at: int, random: Random) -> tuple[Log, int]:
    """An older copy put in its place, with all that was true of it then."""
    at = min(max(at, 1), SIGNED[-1] - 1)
    lines = log.lines[:at]
    heads = tuple(head for head in log.heads if head.size <= at)
    return Log(lines, heads, ended(list(lines))), at + 1


def resealed(log: Log, at: int, random: Random) -> tuple[Log, int]:
    lines = list(log.lines)
    lines[at] = lines[at]._replace(seal=random.randbytes(16))
    return replace(log, lines=tuple(lines)), at + 1


HARMS: tuple[Harm, ...] = (
    *(one_altered, altered_and_forged, dropped, dropped_and_forged, swapped, swapped_and_forged),
    *(repeated, inserted_and_forged, truncated, restored, resealed),
)
