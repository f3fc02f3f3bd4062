"""A checker: whether what clients saw of one offer could have happened one thing after another.

Every change that succeeds is given a version, so that only what changes nothing has to be placed:
each refusal and each reading goes to the first version at which it is explained, not before what
ended when it began. As those are lower bounds only, the first fitting place is the right one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from openldn.base.errors import Issue, LdnError
from openldn.patterns.moves import START, Actor, Table


@dataclass(frozen=True)
class Op:
    """What one client did, and what it heard."""

    began: int  # on one clock for all clients
    ended: int
    kind: str  # "event" or "state" asked for, or "read"
    asked: str = ""
    actor: Actor = Actor.PLACER
    match: int = 0  # the version that had to stand; 0: any
    version: int = 0  # that it brought about or read
    state: str = ""
    refused: Issue | None = None
    stale: bool = False  # decided on a copy that may lag behind


def unexplained(table: Table, ops: Sequence[Op]) -> str:
    """Why this cannot have happened; empty when it can."""
    done = sorted((o for o in ops if o.kind != "read" and not o.refused), key=lambda o: o.version)
    states = [START]
    for number, op in enumerate(done, 1):
        if op.version != number:
            return f"version {number} is brought about by nobody or twice"
        if op.match not in (0, number - 1):
            return f"version {number} came on {number - 1}, though {op.match} had to stand"
        try:
            after = _after(table, states[-1], op)
        except LdnError as error:
            return f"version {number}: {error.message}"
        if after != op.state:
            return f"version {number} is {op.state}, the table says {after}"
        states.append(after)
    return _out_of_order(done) or _misplaced(table, states, done, ops)


def _after(table: Table, state: str, op: Op) -> str:
    by = table.by_event if op.kind == "event" else table.between
    return by(state, op.asked, op.actor).after


def _out_of_order(done: Sequence[Op]) -> str:
    latest = 0
    for op in done:
        if op.ended < latest:
            return f"version {op.version} was there before an earlier one began"
        latest = max(latest, op.began)
    return ""


def _misplaced(table: Table, states: list[str], done: Sequence[Op], ops: Sequence[Op]) -> str:
    placed: list[tuple[int, int]] = [(o.ended, o.version) for o in done]
    for op in sorted((o for o in ops if o.kind == "read" or o.refused), key=lambda o: o.began):
        first = max((v for ended, v in placed if ended < op.began), default=0)
        last = min((o.version - 1 for o in done if o.began > op.ended), default=len(done))
        start = 0 if op.stale else first
        fitting = (v for v in range(start, last + 1) if _fits(table, states, v, op))
        place = next(fitting, None)
        if place is None:
            return f"{op.kind} {op.asked} of {op.actor} between {first} and {last}: {op}"
        if not op.stale:
            placed.append((op.ended, place))
    return ""


def _fits(table: Table, states: list[str], version: int, op: Op) -> bool:
    """Whether this reading or refusal is explained when this version stands."""
    if op.kind == "read":
        return op.version == version and op.state == states[version]
    if op.match not in (0, version):
        return op.refused is Issue.CONFLICT
    try:
        _after(table, states[version], op)
    except LdnError as error:
        return error.issue is op.refused
    return False
