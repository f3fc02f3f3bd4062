"""State tables: who may bring what from which state to which, as rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from openldn.base.errors import Issue, LdnError

START = ""  # the state of what is not there yet


class Actor(StrEnum):
    """The two parties of a coordination, by the words of the workflow agreements."""

    PLACER = "placer"  # who asks, and hosts the Task
    FULFILLER = "fulfiller"  # who is asked, the Task's owner


class Need(StrEnum):
    """What a move has to bring along."""

    REASON = "reason"  # statusReason with text
    PROPOSAL = "proposal"  # another date


@dataclass(frozen=True)
class Move:
    """One row: this actor brings it, by this event, from one of these states to that one."""

    event: str
    actor: Actor
    before: tuple[str, ...]
    after: str
    needs: Need | None = None


@dataclass(frozen=True)
class Table:
    """The rows of one agreement. What no row allows is refused."""

    name: str
    moves: tuple[Move, ...]
    source: str

    @cached_property
    def states(self) -> tuple[str, ...]:
        """Every state a row names, in the order of the rows."""
        named = (s for m in self.moves for s in (*m.before, m.after) if s)
        return tuple(dict.fromkeys(named))

    @cached_property
    def terminal(self) -> frozenset[str]:
        """The states that nothing leaves."""
        return frozenset(self.states) - {s for m in self.moves for s in m.before}

    def by_event(self, state: str, event: str, actor: Actor) -> Move:
        """The row for this event.

        Raises LdnError: forbidden when only the other party may, conflict when nobody may now.
        """
        rows = [m for m in self.moves if m.event == event and state in m.before]
        return self._of(rows, actor, f"{event} what is {_said(state)}")

    def between(self, before: str, after: str, actor: Actor) -> Move:
        """The row that leads from one state to the other; raises LdnError as `by_event`."""
        rows = [m for m in self.moves if before in m.before and m.after == after]
        return self._of(rows, actor, f"bring it from {_said(before)} to {_said(after)}")

    def open_to(self, state: str, actor: Actor) -> tuple[Move, ...]:
        """What this actor may do now."""
        return tuple(m for m in self.moves if m.actor is actor and state in m.before)

    def _of(self, rows: list[Move], actor: Actor, what: str) -> Move:
        for row in rows:
            if row.actor is actor:
                return row
        if rows:
            text = f"the {actor} may not {what}; that is for the {rows[0].actor}"
            raise LdnError(Issue.FORBIDDEN, text)
        text = f"nobody can {what}; read the Task again to see where it stands"
        raise LdnError(Issue.CONFLICT, text)


def _said(state: str) -> str:
    return state or "not there yet"


def mermaid(table: Table) -> str:
    """The table as a state diagram, one line for each arrow."""
    return "\n".join(("stateDiagram-v2", *_arrows(table))) + "\n"


def _arrows(table: Table) -> Iterator[str]:
    for move in table.moves:
        for state in move.before:
            start = _box(state) if state else "[*]"
            yield f"    {start} --> {_box(move.after)}: {move.event} ({move.actor})"
    for state in table.states:
        if state in table.terminal:
            yield f"    {_box(state)} --> [*]"


def _box(state: str) -> str:
    """A name that the language of the diagrams takes."""
    return state.replace("-", "_").replace("/", "__")


def rows(table: Table) -> str:
    """The table for people, in Markdown."""
    head = ["| event | by | from | to | needs |", "|---|---|---|---|---|"]
    body = [
        f"| {m.event} | {m.actor} | {', '.join(s or '–' for s in m.before)} | {m.after} | "
        f"{m.needs or '–'} |"
        for m in table.moves
    ]
    return "\n".join((*head, *body)) + "\n"
