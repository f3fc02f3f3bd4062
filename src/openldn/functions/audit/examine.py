"""Whether a log is whole: every event recomputed, against its seals and the heads that were signed.

Pure: the node examines its own database with it, and `openldn audit verify` a file, far from it.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from openldn.functions.audit import chain
from openldn.functions.audit.chain import Head, Line
from openldn.functions.audit.heads import TreeHead
from openldn.functions.audit.merkle import Peaks
from openldn.functions.audit.model import Verdict

END = "the end of the log does not fit its seal"
TRUNCATED = "events that were signed for are missing at the end"
UNSIGNED = "these events are not the ones that were signed for"


@dataclass
class Examination:
    """A log that is read from front to back; the first event that does not fit ends it."""

    holder: str
    key: bytes | None = field(default=None, repr=False)  # None: seals are not checked
    heads: Mapping[int, TreeHead] = field(default_factory=dict)
    seq: int = 0
    before: bytes = chain.START
    tree: Peaks | None = None  # None: roots are not recomputed; `last` of a head says as much
    agreed: int = 0  # the last event that a signed head vouched for
    verdict: Verdict | None = None  # once something does not fit

    def take(self, lines: Sequence[Line]) -> bool:
        """Go on with these lines; False once something does not fit."""
        start = 0
        for stop in [*self._stops(len(lines)), len(lines)]:
            part = lines[start:stop]
            if not self._chained(part) or not self._agrees():
                return False
            start = stop
        return True

    def _stops(self, count: int) -> list[int]:
        """Where among the next lines a head was signed."""
        if not self.heads:
            return []
        reach = range(self.seq + 1, self.seq + count)
        return sorted(size - self.seq for size in self.heads if size in reach)

    def _chained(self, lines: Sequence[Line]) -> bool:
        if not lines:
            return True
        bad, reason = chain.broken(lines, (self.seq, self.before), self.key, self.holder)
        if bad:
            return self._wrong(bad, reason)
        self.seq, self.before = lines[-1].seq, lines[-1].hash
        if self.tree is not None:
            for line in lines:
                self.tree.add(line.hash)
        return True

    def _agrees(self) -> bool:
        head = self.heads.get(self.seq)
        if head is None:
            return True
        if head.last != self.before or (self.tree is not None and self.tree.root != head.root):
            return self._wrong(self.agreed + 1, f"{UNSIGNED}: {self.agreed + 1} to {self.seq}")
        self.agreed = self.seq
        return True

    def _wrong(self, bad: int, reason: str) -> bool:
        self.verdict = Verdict(bad - 1, bad, reason)
        return False

    def end(self, head: Head | None) -> Verdict:
        """The verdict, with nothing more to come; `head` is the stored end of the chain."""
        if self.verdict is not None:
            return self.verdict
        if any(size > self.seq for size in self.heads):
            return Verdict(self.seq, self.seq + 1, TRUNCATED)
        if not self._ends(head):
            return Verdict(self.seq, self.seq + 1, END)
        return Verdict(self.seq)

    def _ends(self, head: Head | None) -> bool:
        if head is None or (head.seq, head.hash) != (self.seq, self.before):
            return False
        if self.key is None:
            return True
        expected = chain.seal(self.key, self.holder, self.seq, self.before)
        return hmac.compare_digest(head.seal, expected)
