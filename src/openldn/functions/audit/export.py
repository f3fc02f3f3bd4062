"""A log as a file: one line of JSON for each event and each signed head, for whoever checks it.

It holds what the log holds, BSNs among it: it is evidence, to be kept like the log itself.
"""

import base64
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import moment
from openldn.functions.audit import store
from openldn.functions.audit.chain import Columns, Head, Line, columns, digest
from openldn.functions.audit.examine import Examination
from openldn.functions.audit.heads import TreeHead, by_size, read_head, text_of
from openldn.functions.audit.merkle import Peaks, includes
from openldn.functions.audit.model import Verdict
from openldn.functions.audit.verifying import PIECE
from openldn.functions.audit.vouching import Vouching
from openldn.trust import jose

UNREADABLE = "a line cannot be read"
AFTER_END = "there are lines after the end"
_LONGEST = 1 << 20  # bytes of one line


class Written(msgspec.Struct, omit_defaults=True):
    """One line: the start of the log, an event, a signed head, or the end; told by what it has."""

    log: str = ""  # number of the organization; on the first line
    after: int = 0  # events before the first one here: they were removed after their term
    peaks: tuple[str, ...] = ()  # the tree over those
    seq: int = 0
    before: str = ""
    hash: str = ""
    seal: str = ""
    event: msgspec.Raw = msgspec.Raw(b"")
    head: str = ""  # a signed head
    end: int | None = None  # how many events there are; on the last line


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Written)


async def exported(vouching: Vouching) -> AsyncIterator[bytes]:
    """The log as it is at this moment, line by line."""
    log, holder = vouching.log, vouching.holder
    async with moment(log.pool) as db:
        after, before, _ = await store.first_line(db, holder)
        peaks = [] if not after else (await vouching.tree_at(db, after)).hashes
        first = tuple(text_of(p) for p in peaks)
        yield _line(Written(log=holder, after=after, before=text_of(before), peaks=first))
        heads = [
            read_head(jws, vouching.key.public, holder)
            for jws in await store.tree_heads(db, holder)
        ]
        seq = after
        while lines := await store.lines_after(db, holder, seq, PIECE):
            due = [h for h in heads if seq <= h.size < lines[-1].seq + 1]
            yield b"".join(_with_heads(lines, due))
            heads = [h for h in heads if h.size > lines[-1].seq]
            seq = lines[-1].seq
        end = await store.head(db, holder)
        if end is not None:
            yield _line(Written(end=end.seq, hash=text_of(end.hash), seal=text_of(end.seal)))


def _line(written: Written) -> bytes:
    return _encoder.encode(written) + b"\n"


def _with_heads(lines: Sequence[Line], heads: Sequence[TreeHead]) -> Iterable[bytes]:
    signed = {head.size: head for head in heads}
    for line in lines:
        before, hash, seal = text_of(line.before), text_of(line.hash), text_of(line.seal)
        event = msgspec.Raw(line.body)
        yield _line(Written(seq=line.seq, before=before, hash=hash, seal=seal, event=event))
        if line.seq in signed:
            yield _line(Written(head=signed[line.seq].jws))


@dataclass
class Reading:
    """A file that is checked, far from the node that wrote it."""

    public: jose.Key  # what heads are signed with
    key: bytes | None = field(
        default=None, repr=False
    )  # of the log; None: its seals are not checked
    kept: Sequence[TreeHead] = ()  # heads that were kept elsewhere
    seen: list[TreeHead] = field(default_factory=list)

    def verdict(self, lines: Iterable[bytes]) -> Verdict:
        """Whether the log in these lines is whole; the first event that does not fit is named."""
        rows = iter(lines)
        try:
            first = _read(next(rows, b""))
            examination = self._begun(first)
        except (LdnError, ValueError):
            return Verdict(0, 1, UNREADABLE)
        end: Head | None = None
        for row in rows:
            if end is not None:
                return Verdict(
                    examination.seq, examination.seq + 1, "there are lines after the end"
                )
            try:
                end = self._taken(_read(row), examination)
            except (LdnError, ValueError):
                return Verdict(examination.seq, examination.seq + 1, UNREADABLE)
            if examination.verdict is not None:
                return examination.verdict
        return examination.end(end)

    def _begun(self, first: Written) -> Examination:
        if not first.log:
            raise LdnError(Issue.INVALID, "this is no export of an audit log")
        tree = Peaks(first.after, [_bytes(p) for p in first.peaks])
        before = _bytes(first.before)
        heads = by_size(head for head in self.kept if head.size >= first.after)
        return Examination(first.log, self.key, heads, first.after, before, tree)

    def _taken(self, row: Written, examination: Examination) -> Head | None:
        """Take one line; the stored end of the log when this is it."""
        if row.end is not None:
            return Head(row.end, _bytes(row.hash), _bytes(row.seal))
        if row.head:
            head = read_head(row.head, self.public, examination.holder)
            self.seen.append(head)
            if head.size != examination.seq:
                raise LdnError(Issue.INVALID, "a head stands at another place")
            examination.heads = by_size([*examination.heads.values(), head])
            examination.take([])
            return None
        body = bytes(row.event)
        seal = _bytes(row.seal)
        line = Line(
            row.seq, _found(body, self.key), body, _bytes(row.before), _bytes(row.hash), seal
        )
        examination.take([line])
        return None


_UNKNOWN = Columns("", datetime.fromtimestamp(0, UTC), "", None, "", "", "", "")


def _found(body: bytes, key: bytes | None) -> Columns:
    """What the event is found by; without the key of the log nobody can tell, nor needs to."""
    if key is None:
        return _UNKNOWN
    try:
        return columns(msgspec.json.decode(body), key)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise LdnError(Issue.INVALID, "this is no audit event") from error


def _read(row: bytes) -> Written:
    if len(row) > _LONGEST:
        raise LdnError(Issue.TOO_LONG, "a line is longer than any event")
    try:
        return _decoder.decode(row)
    except msgspec.DecodeError as error:
        raise LdnError(Issue.INVALID, UNREADABLE) from error


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def holder_of(row: bytes) -> str:
    """Whose log the file is that begins with this line; raises LdnError(invalid)."""
    first = _read(row)
    if not first.log:
        raise LdnError(Issue.INVALID, "this is no export of an audit log")
    return first.log


class _Proof(msgspec.Struct):
    seq: int
    event: msgspec.Raw
    before: str
    path: tuple[str, ...]
    head: str


def proven(proof: bytes, public: jose.Key, holder: str) -> TreeHead:
    """The head that vouches for the event in this proof (`$prove`), once it is recomputed.

    Raises LdnError(conflict) for a proof that shows nothing.
    """
    wrong = LdnError(Issue.CONFLICT, "this proof does not show that the event is in the log")
    try:
        told = msgspec.json.decode(proof, type=_Proof)
        content = digest(_bytes(told.before), bytes(told.event))
        path = [_bytes(part) for part in told.path]
    except ValueError as error:
        raise wrong from error
    head = read_head(told.head, public, holder)
    if not includes(content, told.seq - 1, head.size, path, head.root):
        raise wrong
    return head
