"""Every SQL statement of the outbox.

Locks are always taken in the same order: lanes, sorted by peer and subject, then their messages.
A writer of a message locks its lane until its transaction ends, so that within a lane the order
of the sequence is the order in which transactions were committed.
"""

from pathlib import Path

from openldn.base.sql import Pool, migrate


async def prepare(pool: Pool) -> None:
    """Bring the tables up to date; several processes may do so at once."""
    await migrate(pool, "node.outbox", Path(__file__).parent.parent / "migrations")
