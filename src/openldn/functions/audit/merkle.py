"""A Merkle tree over the log: one root vouches for every event, and short proofs show it.

The leaves are the hashes of the chain, so a leaf vouches for its event and for all before it.

Source: RFC 9162 §2.1 (tree hash, inclusion and consistency proofs and how they are verified).
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

EMPTY = hashlib.sha256(b"").digest()
TILE = 256  # leaves below one stored node, and nodes below the next
_BITS = 8  # of TILE
Tile = tuple[int, int, bytes]  # level, place and hash of a complete subtree that is stored
Range = tuple[int, int]  # leaves from the first up to, not including, the second; from 0 on


def leaf(content: bytes) -> bytes:
    """The hash of a leaf with this content."""
    return hashlib.sha256(b"\x00" + content).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The hash of the node above these two."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """The hash over these leaf hashes, or over the equal, complete subtrees they stand for."""
    if not hashes:
        return EMPTY
    level = list(hashes)
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [node(a, b) for a, b in zip(level[::2], level[1::2], strict=False)] + odd
    return level[0]


@dataclass
class Peaks:
    """A tree that only grows: the roots of its complete subtrees, largest first."""

    size: int = 0
    hashes: list[bytes] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)  # those that were completed meanwhile

    def add(self, content: bytes) -> None:
        """Append a leaf with this content."""
        added, count, height = leaf(content), self.size, 0
        while count & 1:
            added = node(self.hashes.pop(), added)
            count, height = count >> 1, height + 1
            if not height % _BITS:
                self.tiles.append((height // _BITS, self.size >> height, added))
        self.hashes.append(added)
        self.size += 1

    @property
    def root(self) -> bytes:
        """The hash of the whole tree as it stands."""
        if not self.hashes:
            return EMPTY
        found = self.hashes[-1]
        for peak in self.hashes[-2::-1]:
            found = node(peak, found)
        return found

    def copy(self) -> "Peaks":
        """The same tree, to grow apart from this one."""
        return Peaks(self.size, list(self.hashes))


def peaks(size: int) -> list[Range]:
    """The complete subtrees a tree of this size consists of, largest first."""
    found, start = [], 0
    while rest := size - start:
        width = 1 << (rest.bit_length() - 1)
        found.append((start, start + width))
        start += width
    return found


def _split(start: int, end: int) -> int:
    """Where a tree over these leaves divides: the largest power of two below its size."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def inclusion(place: int, size: int) -> list[Range]:
    """The subtrees whose hashes prove that leaf `place` is in a tree of this size, nearest first.

    Source: RFC 9162 §2.1.3.1.
    """
    found, start, end = [], 0, size
    while end - start > 1:
        middle = _split(start, end)
        if place < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    return found[::-1]


def consistency(old: int, size: int) -> list[Range]:
    """The subtrees whose hashes prove that the tree of `old` leaves is the start of this one.

    Source: RFC 9162 §2.1.4.1.
    """
    if old in {0, size}:
        return []
    found, start, end, whole = [], 0, size, True
    while old != end:
        middle = _split(start, end)
        if old <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start, whole = middle, False
    return [*([] if whole else [(start, end)]), *found[::-1]]


def includes(content: bytes, place: int, size: int, proof: Sequence[bytes], top: bytes) -> bool:
    """Whether a leaf with this content is at `place` of the tree with this size and root.

    Source: RFC 9162 §2.1.3.2.
    """
    if not 0 <= place < size:
        return False
    number, last, found = place, size - 1, leaf(content)
    for other in proof:
        if not last:
            return False
        if number & 1 or number == last:
            found = node(other, found)
            while number and not number & 1:
                number, last = number >> 1, last >> 1
        else:
            found = node(found, other)
        number, last = number >> 1, last >> 1
    return not last and found == top


@dataclass(frozen=True)
class Grown:
    """Two heads of one log: the earlier and the later, size and root of each."""

    old: int
    old_root: bytes
    size: int
    root: bytes

    def proven(self, proof: Sequence[bytes]) -> bool:
        """Whether the proof shows that the later tree begins with the earlier one.

        Source: RFC 9162 §2.1.4.2.
        """
        if self.old == self.size:
            return not proof and self.old_root == self.root
        if not 0 < self.old < self.size:
            return self.old == 0 and not proof
        path = list(proof)
        if not self.old & (self.old - 1):
            path.insert(0, self.old_root)
        return bool(path) and self._climb(path)

    def _climb(self, path: list[bytes]) -> bool:
        number, last = self.old - 1, self.size - 1
        while number & 1:
            number, last = number >> 1, last >> 1
        before = after = path[0]
        for other in path[1:]:
            if not last:
                return False
            if number & 1 or number == last:
                before, after = node(other, before), node(other, after)
                while number and not number & 1:
                    number, last = number >> 1, last >> 1
            else:
                after = node(after, other)
            number, last = number >> 1, last >> 1
        return not last and before == self.old_root and after == self.root


def tiles(start: int, end: int) -> tuple[int, int]:
    """Level and width of the stored nodes that make up a complete subtree: (1, 256) and so on.

    (0, 1) where only leaves do: the subtree is smaller than a tile, or not complete.
    """
    width = end - start
    if width & (width - 1) or start % width:
        return 0, 1
    level, below = 0, 1
    while below * TILE <= width:
        level, below = level + 1, below * TILE
    return level, below


def halves(start: int, end: int) -> Iterator[Range]:
    """The two parts of a tree over these leaves."""
    middle = _split(start, end)
    yield start, middle
    yield middle, end
