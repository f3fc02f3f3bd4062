"""Our index: who holds data of whom, told to who may ask; only the holder writes its own."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit
from openldn.base.runtime import Clock, NewId
from openldn.base.sql import Connection, Pool, connection, transaction
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.localization import store
from openldn.functions.localization.categories import require_category
from openldn.functions.localization.events import told, told_failed, told_localized
from openldn.functions.localization.keys import Digests, proof
from openldn.functions.localization.model import (
    CREATE,
    DELETE,
    LOCALIZE,
    SCOPES,
    Act,
    Done,
    Filter,
    Find,
    Happened,
    Open,
    Opened,
    Record,
    Register,
    Remove,
    Source,
    Tell,
    TokenOf,
)
from openldn.functions.localization.store import Looked, Own
from openldn.functions.localization.tokens import require_envelope
from openldn.functions.localization.uses import Uses
from openldn.trust.parties import Caller
from openldn.trust.tokens.gathering import Gathering

UNKNOWN = "no record of yours with this id"
RETRY = timedelta(seconds=60)  # in which an identical request may use its token again
SKEW = timedelta(seconds=60)  # a token may still count this long after its end
MOST_LISTED = 10_000  # records in one answer
_ORDER = (Remove, Register, Find)  # FHIR: deletes, creates, reads


@dataclass(frozen=True)
class Call:
    """Who asks, in which request."""

    caller: Caller
    mark: bytes = b""  # of the request: an identical retry has the same
    strict: bool = False  # ig-ministry: a token counts once, a duplicate aborts
    many: bool = False  # several acts in one request: a failure names its entry


async def _nobody(happened: Sequence[Happened]) -> None:
    """Nobody is told."""


@dataclass
class Index:
    """The index in one database; several processes may serve it."""

    pool: Pool
    key: bytes = field(repr=False)
    open: Open = field(repr=False)
    clock: Clock
    new_id: NewId
    audiences: frozenset[str] = frozenset()  # tokens for these only; empty: the gateway looks
    uses: Uses = field(default_factory=Uses)
    openable: Callable[[], bool] = lambda: True  # whether there is a key to open tokens with
    tell: Tell = _nobody  # before anything is disclosed or counts
    digests: Digests = field(init=False, repr=False)
    _reads: Gathering[Looked, list[tuple[Record, bytes]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Prepare what is made with the index key."""
        self.digests = Digests(self.key)
        self._reads = Gathering(self._read)

    async def prepare(self) -> None:
        """Make the tables; raises LdnError(exception) when they belong to another index key."""
        if await store.prepare(self.pool, proof(self.key)) != proof(self.key):
            text = "the key of the index is not the one its records were made with; restore it"
            raise LdnError(Issue.EXCEPTION, text)

    def admit(self, caller: Caller) -> None:
        """Raises LdnError: invalid for a scope word that is none of ours, login for a token
        that is for somebody else.
        """
        if not caller.scopes <= SCOPES:
            text = f"a scope of the token is unknown here; there are: {', '.join(sorted(SCOPES))}"
            raise LdnError(Issue.INVALID, text, detail="scope")
        if self.audiences and caller.audience not in self.audiences:
            text = "this token is for another service; ask one for this index"
            raise LdnError(Issue.LOGIN, text, detail="audience")

    async def localize(self, call: Call, wanted: Filter) -> list[Record]:
        """Records of all holders about the patient of this token.

        Raises LdnError: forbidden without the scope, invalid for a token that does not count,
        transient when it cannot be opened now.
        """
        act = Find(wanted, own=False)
        with _told(call, act):
            call.caller.need(LOCALIZE)
            if wanted.nothing:
                return []
            opened = await self._opened(wanted.token, formed=wanted.formed)
            looked = self.digests.looked(opened)
            hits = await self._localized(call, opened, looked)
        if looked.older:
            await self._renew(looked, hits)
        found = _fitting(hits, wanted)
        alias = self.digests.alias(looked)
        await self.tell([Happened(call.caller, act, Done(tuple(found)), alias.subject)])
        told_localized(call.caller, found, alias.trace)
        return found

    async def _localized(
        self, call: Call, opened: Opened, looked: Looked
    ) -> list[tuple[Record, bytes]]:
        if call.strict:
            async with transaction(self.pool) as db:
                await self._spend(db, call, [opened])
                return await store.localized(db, looked)
        self.uses.count(opened, self.clock())
        return await self._reads.put(looked)

    async def _read(self, several: Sequence[Looked]) -> list[list[tuple[Record, bytes]]]:
        """What stands of each: who asks while a statement is under way shares the next."""
        async with connection(self.pool) as db:
            return await store.localized_together(db, several)

    async def find(self, call: Call, act: Find, after: str = "", most: int = 0) -> list[Record]:
        """The records an act looks for, by id; `after` and `most` bound the caller's own.

        Raises LdnError as `localize` does, and too-long for more than we list at once.
        """
        if not act.own:
            return await self.localize(call, act.filter)
        with _told(call, act):
            call.caller.need(act.scope)
            if act.filter.nothing:
                return []
            opened = await self._opened(act.filter.token) if act.filter.token else None
            looked = self.digests.looked(opened) if opened else None
            wanted = replace(_own(call.caller.organization, act.filter, looked), after=after)
            once = opened is not None and call.strict
            async with (transaction if once else connection)(self.pool) as db:
                if opened and once:
                    await self._spend(db, call, [opened])
                if most:
                    found = await store.own(db, replace(wanted, most=most))
                else:
                    found = await self._listed(db, wanted)
        told(call.caller, act, Done(tuple(found)), self._trace(looked))
        return found

    async def perform(self, call: Call, acts: Sequence[Act]) -> list[Done]:
        """What each act came to, in the order given; all are committed, or none.

        Raises LdnError: forbidden without the scope, invalid for a token that does not count or a
        removal that does not say of what, conflict for a duplicate of a strict caller.
        """
        openings = [await self._ready(call, place, act) for place, act in enumerate(acts)]
        looked = [self.digests.looked(o) if o else None for o in openings]
        done, about = [Done()] * len(acts), [*looked]
        async with transaction(self.pool) as db:
            if call.strict:
                await self._spend(db, call, [o for o in openings if o])
            if len(acts) > 1 or isinstance(acts[0], Remove) or any(k and k.older for k in looked):
                await store.lock(db, [call.caller.organization])
            for place in sorted(range(len(acts)), key=lambda n: _ORDER.index(type(acts[n]))):
                with _told(call, acts[place]), _named(call, place):
                    about[place] = about[place] or await _standing(db, call, acts[place])
                    done[place] = await self._do(db, call, acts[place], looked[place])
            await self.tell(self._happened(call, acts, done, about))
        for act, came, key in zip(acts, done, about, strict=True):
            told(call.caller, act, came, self._trace(key))
        return done

    def _happened(
        self, call: Call, acts: Sequence[Act], done: Sequence[Done], about: Sequence[Looked | None]
    ) -> list[Happened]:
        return [
            Happened(call.caller, act, came, self.digests.alias(key).subject if key else "")
            for act, came, key in zip(acts, done, about, strict=True)
        ]

    def _trace(self, looked: Looked | None) -> str:
        return self.digests.alias(looked).trace if looked else ""

    async def health(self) -> dict[str, str]:
        """Of each part whether it is there; the names are those of the ministry's index."""
        found = {"database": "ok", "crypto_service_api": "ok" if self.openable() else "error"}
        try:
            async with asyncio.timeout(3):
                await store.alive(self.pool)
        except (LdnError, TimeoutError):
            found["database"] = "error"
        for component, state in found.items():
            if state != "ok":
                emit("100600", component=component, status=state)
        return found

    async def sweep(self) -> None:
        """Drop what is remembered of tokens that have ended."""
        await store.forget(self.pool, self.clock())

    async def _ready(self, call: Call, place: int, act: Act) -> Opened | None:
        """The token of an act, opened, if it has one; raises LdnError when it may not be."""
        with _told(call, act), _named(call, place):
            call.caller.need(_scope(act))
            if isinstance(act, Register):
                require_category(act.category)
                return await self._opened(act.token)
            if isinstance(act, Remove):
                _require_bounded(act.filter)
            return await self._opened(act.filter.token) if act.filter.token else None

    async def _opened(self, token: str, *, formed: bool = False) -> Opened:
        require_envelope(token, formed=formed)
        return await self.open(token)

    async def _do(self, db: Connection, call: Call, act: Act, looked: Looked | None) -> Done:
        ura = call.caller.organization
        match act:
            case Register():
                return await self._register(db, call, act, looked)
            case Remove(filter=Filter(nothing=True)) | Find(filter=Filter(nothing=True)):
                return Done()
            case Remove():
                told = (act.filter.category,) if act.filter.category else ()
                found = await self._listed(db, _own(ura, act.filter, looked, told))
                await store.remove(db, ura, [record.id for record in found])
                return _present(call, act.filter, found)
            case Find(own=True):
                found = await self._listed(db, _own(ura, act.filter, looked))
                return _present(call, act.filter, found)
            case _:
                if looked is None:
                    return Done()
                return Done(tuple(_fitting(await store.localized(db, looked), act.filter)))

    async def _register(
        self, db: Connection, call: Call, act: Register, looked: Looked | None
    ) -> Done:
        assert looked is not None  # noqa: S101  (every Register has a token)
        ura = call.caller.organization
        if looked.older:
            await store.move(db, looked, ura)
        record = Record(self.new_id(), ura, act.source, self.clock(), act.category)
        if await store.add(db, record, *looked.digests[0]):
            return Done((record,))
        if call.strict:
            raise LdnError(Issue.CONFLICT, "this is registered already; nothing was changed")
        return Done(duplicate=True)

    async def _listed(self, db: Connection, wanted: Own) -> list[Record]:
        """A holder's own records; raises LdnError(too-long) for more than we list at once."""
        found = await store.own(db, wanted)
        if len(found) > MOST_LISTED:
            text = f"more than {MOST_LISTED} records; narrow it, or read pages at ig-ministry"
            raise LdnError(Issue.TOO_LONG, text)
        return found

    async def _spend(self, db: Connection, call: Call, opened: Iterable[Opened]) -> None:
        """Mark these tokens as used; raises LdnError(security, 400) for one used before."""
        now, ura = self.clock(), call.caller.organization
        once = {o.digest: o.expires + SKEW for o in opened}
        for digest in sorted(once):
            before = await store.spend(db, digest, ura, call.mark, (now, once[digest]))
            if before is not None and not _retry(before, call, now):
                text = "this token was used before; ask a new one for each request"
                raise LdnError(Issue.SECURITY, text, detail="token used twice", status=400)

    async def _renew(self, looked: Looked, hits: list[tuple[Record, bytes]]) -> None:
        """Let records that stand under an older key version stand under the newest as well."""
        renewed = {record.id for record, digest in hits if digest == looked.newest}
        stale = [record.custodian for record, _ in hits if record.id not in renewed]
        if stale:
            async with transaction(self.pool) as db:
                await store.lock(db, [record.custodian for record, _ in hits])
                await store.copy(db, looked)


@dataclass(frozen=True)
class OwnLocalization:
    """The port at an index in this process, for one organization."""

    index: Index
    caller: Caller
    token: TokenOf = field(repr=False)

    async def register(self, patient: Bsn, category: str = "") -> None:
        """Say that we hold data of this patient; saying it again changes nothing."""
        source = Source(self.caller.source)
        act = Register(await self.token(patient), source, category)
        await self.index.perform(Call(self.caller), [act])

    async def withdraw(self, patient: Bsn, category: str = "") -> None:
        """Take back what `register` said; nothing there is no error."""
        filter = Filter(await self.token(patient), self.caller.source, category)
        await self.index.perform(Call(self.caller), [Remove(filter)])

    async def holders(self, patient: Bsn, category: str = "") -> list[Ura]:
        """Who holds data of this patient, each once, in order."""
        filter = Filter(await self.token(patient), category=category)
        found = await self.index.localize(Call(self.caller), filter)
        return sorted({record.custodian for record in found})


def _present(call: Call, wanted: Filter, found: Sequence[Record]) -> Done:
    """What was found; of a strict caller an id that is not there fails the whole request."""
    if call.strict and wanted.id and not found:
        raise LdnError(Issue.NOT_FOUND, UNKNOWN)
    return Done(tuple(found))


async def _standing(db: Connection, call: Call, act: Act) -> Looked | None:
    """Of whom a record is that is about to be removed by its id alone."""
    if not isinstance(act, Remove) or not act.filter.id:
        return None
    return await store.stands_under(db, call.caller.organization, act.filter.id)


class _named:
    """A failure of one act among several says which."""

    def __init__(self, call: Call, place: int) -> None:
        self.place = place if call.many else -1

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self.place >= 0 and isinstance(error, LdnError):
            raise at_entry(error, self.place) from error


@dataclass
class _told:
    """A failure of an act is told to the streams."""

    call: Call
    act: Act

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, LdnError):
            told_failed(self.call.caller, self.act, error)


def at_entry(error: LdnError, place: int) -> LdnError:
    """The same failure, saying of which entry of a Bundle it is."""
    where = f"Bundle.entry[{place}]"
    text = f"{where}: {error.message}"
    return LdnError(error.issue, text, error.detail, where=where, status=error.status)


def _scope(act: Act) -> str:
    return {Register: CREATE, Remove: DELETE}.get(type(act)) or (
        act.scope if isinstance(act, Find) else LOCALIZE
    )


def _own(
    ura: Ura, wanted: Filter, looked: Looked | None, categories: tuple[str, ...] | None = None
) -> Own:
    """The caller's own records that fit; with a category also those that tell none."""
    told = (wanted.category, "") if wanted.category else ()
    categories = told if categories is None else categories
    return Own(ura, looked, wanted.source, categories, wanted.id, most=MOST_LISTED + 1)


def _require_bounded(wanted: Filter) -> None:
    if not wanted.bounded:
        text = "say of what: a removal needs subject:identifier or source:identifier, with system"
        raise LdnError(Issue.INVALID, text)


def _fitting(hits: Iterable[tuple[Record, bytes]], wanted: Filter) -> list[Record]:
    """Each record once; with a category those of it and those that tell none."""
    once = {record.id: record for record, _ in hits}
    told = {wanted.category, ""} if wanted.category else None
    return [r for r in once.values() if told is None or r.category in told]


def _retry(before: tuple[str, bytes, datetime], call: Call, now: datetime) -> bool:
    ura, mark, used = before
    same = bool(mark) and mark == call.mark and ura == call.caller.organization.value
    return same and now - used <= RETRY
