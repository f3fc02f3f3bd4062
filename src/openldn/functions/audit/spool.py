"""Events that wait on disk while the store is away: those of the node itself, never a disclosure.

Each group is a file of its own, written whole or not at all; what is written into the log twice,
because a process died in between, is written once.

Source: specification of audit events §8.8, rule G09.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.functions.audit.chain import Columns, Entry

MOST = 10_000  # groups that may wait


class _Waiting(msgspec.Struct):
    id: str
    recorded: datetime
    tag: str
    patient_key: bytes | None
    organization: str
    actor: str
    correlation: str
    outcome: str
    once: bytes | None
    body: msgspec.Raw


@dataclass(frozen=True)
class Spool:
    """A folder with events that wait."""

    folder: Path

    def add(self, entries: Sequence[Entry]) -> None:
        """Keep these, safe on disk; raises LdnError(transient) when that cannot be."""
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            if len(self._files()) >= MOST:
                raise LdnError(Issue.TRANSIENT, "too many audit events wait for the store")
            self._write(entries)
        except OSError as error:
            text = "neither the store nor the disk takes audit events; try again in a moment"
            raise LdnError(Issue.TRANSIENT, text, detail=error.strerror or "") from error

    def _write(self, entries: Sequence[Entry]) -> None:
        first = entries[0].columns
        name = f"{first.recorded:%Y%m%d%H%M%S%f}-{first.id}"
        fresh = self.folder / f".{name}"
        content = b"\n".join(msgspec.json.encode(_waiting(entry)) for entry in entries)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self.folder / f"{name}.json")
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.json")) if self.folder.is_dir() else []

    def waiting(self) -> list[tuple[Path, list[Entry]]]:
        """The groups that wait, oldest first; raises LdnError(exception) for a damaged one."""
        try:
            return [(path, _entries(path.read_bytes())) for path in self._files()]
        except (OSError, msgspec.DecodeError) as error:
            text = f"an audit event that waits in {self.folder} is damaged; keep it and look"
            raise LdnError(Issue.EXCEPTION, text, detail=type(error).__name__) from error


def _waiting(entry: Entry) -> _Waiting:
    return _Waiting(*entry.columns, entry.once, msgspec.Raw(entry.body))


def _entries(content: bytes) -> list[Entry]:
    found = [msgspec.json.decode(line, type=_Waiting) for line in content.splitlines()]
    return [
        Entry(
            Columns(
                *(w.id, w.recorded, w.tag, w.patient_key, w.organization),
                *(w.actor, w.correlation, w.outcome),
            ),
            bytes(w.body),
            w.once,
        )
        for w in found
    ]
