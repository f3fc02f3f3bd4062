"""What came in before: rules R03 and R42, for whoever takes something in within a transaction."""

from dataclasses import dataclass
from datetime import timedelta

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.base.sql import Connection, Pool, connection, transaction
from openldn.fhir.identifiers import Ura
from openldn.node.inbox import store

LARGEST = 2**53 - 1  # of an event number: what every JSON reader keeps whole
LONGEST = 400  # characters of a source or key
_SETTLED = timedelta(hours=1)  # longer than any transaction lasts
_FORGOTTEN = 5000  # keys removed in one transaction
_GAPS = 100  # told at once


@dataclass(frozen=True)
class Inbox:
    """Knows what one organization took in, so that each has its effect once.

    A source is a sender and what its numbers or keys are unique in: `URA/subscription`. It is made
    from the proven sender, never from the message alone.
    """

    pool: Pool
    holder: Ura
    clock: Clock
    keep: timedelta = timedelta(days=400)  # keys of senders without event numbers

    async def prepare(self) -> None:
        """Bring the tables up to date."""
        await store.prepare(self.pool)

    async def first(self, db: Connection, source: str, key: str) -> bool:
        """Whether this is the first time, in the transaction of what follows from it.

        Of two at once the second waits for the first, and is told no if that is committed.
        Raises LdnError(invalid) for a key that cannot be kept.
        """
        _require(source, key)
        return await store.add(db, self.holder.value, source, key, self.clock())

    async def first_event(self, db: Connection, source: str, number: int) -> bool:
        """The same for an event with a number, 1 or more; raises LdnError(invalid)."""
        _require(source, "-")
        _require_number(number)
        return await store.add_event(db, self.holder.value, source, number, self.clock())

    async def missing(self, db: Connection, source: str, number: int) -> range:
        """The numbers right before this one that never came in; empty when none is missing.

        Source: rule R42; the range may be asked with `$events`.
        """
        _require_number(number)
        return range(await store.before(db, self.holder.value, source, number) + 1, number)

    async def gaps(self, source: str) -> list[range]:
        """Every gap between the events of a source, oldest first; at most 100."""
        async with connection(self.pool) as db:
            return await store.gaps(db, self.holder.value, source, _GAPS)

    async def retire(self) -> int:
        """Forget what is not needed to know the rest again; how many rows.

        An event stays for an hour after a later number covers it: a transaction that began before
        would else take it for new.
        """
        now, total = self.clock(), 0
        async with transaction(self.pool) as db:
            await store.advance(db, self.holder.value)
        while True:
            async with connection(self.pool) as db:
                events, keys = await store.forget(
                    db, self.holder.value, now - _SETTLED, now - self.keep, _FORGOTTEN
                )
            total += events + keys
            if keys < _FORGOTTEN:
                return total


def _require(source: str, key: str) -> None:
    if not all(0 < len(word) <= LONGEST and word.isprintable() for word in (source, key)):
        text = f"a source and a key have 1 to {LONGEST} printable signs; the sender's turn"
        raise LdnError(Issue.INVALID, text)


def _require_number(number: int) -> None:
    if not 0 < number <= LARGEST:
        text = f"an event number is between 1 and {LARGEST}; the sender's turn"
        raise LdnError(Issue.INVALID, text)
