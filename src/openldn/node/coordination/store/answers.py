"""Our decisions about what we received, until their placers know."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from openldn.base.sql import Connection, Row
from openldn.fhir.identifiers import Ura
from openldn.functions.consent.sealing import Sealing
from openldn.node.coordination.model import Answer, Doer, Standing
from openldn.patterns.notified_pull.model import Given


class _Along(msgspec.Struct, frozen=True):
    given: Given
    doer: Doer

    def __repr__(self) -> str:
        return "_Along(•••)"


@dataclass(frozen=True)
class Answers:
    """The answers of one organization."""

    holder: Ura
    sealing: Sealing = field(repr=False)

    async def add(self, db: Connection, answer: Answer) -> bool:
        """Keep it; false when another about the same offer is on its way."""
        along = msgspec.json.encode(_Along(answer.given, answer.doer))
        done = await db.execute(
            """INSERT INTO answer (holder, id, handle, event, asked, state, issue, message, given)
               VALUES ($1, $2, $3, $4, $5, 'waiting', '', '', $6)
               ON CONFLICT (holder, handle) WHERE state = 'waiting' DO NOTHING""",
            *(self.holder.value, answer.id, answer.handle, answer.event, answer.asked),
            self.sealing.close(along, answer.handle.encode()),
        )
        return done == "INSERT 0 1"

    async def waiting(self, db: Connection, handles: Sequence[str]) -> set[str]:
        """Those of these offers about which an answer of ours is on its way."""
        rows = await db.fetch(
            """SELECT handle FROM answer
               WHERE holder = $1 AND handle = ANY($2) AND state = 'waiting'""",
            self.holder.value,
            list(handles),
        )
        return {row["handle"] for row in rows}

    async def read(self, db: Connection, id: str) -> Answer | None:
        """One answer as it stands."""
        row = await db.fetchrow(
            """SELECT id, handle, event, asked, state, issue, message, given FROM answer
               WHERE holder = $1 AND id = $2""",
            self.holder.value,
            id,
        )
        return self._answer(row) if row else None

    async def last(self, db: Connection, handle: str) -> Answer | None:
        """Our last answer about this offer."""
        row = await db.fetchrow(
            """SELECT id, handle, event, asked, state, issue, message, given FROM answer
               WHERE holder = $1 AND handle = $2 ORDER BY asked DESC LIMIT 1""",
            self.holder.value,
            handle,
        )
        return self._answer(row) if row else None

    async def end(
        self, db: Connection, id: str, standing: Standing, issue: str = "", message: str = ""
    ) -> bool:
        """Say what became of it; false when that was known already."""
        done = await db.execute(
            """UPDATE answer SET state = $3, issue = $4, message = $5
               WHERE holder = $1 AND id = $2 AND state = 'waiting'""",
            *(self.holder.value, id, standing.value, issue, message),
        )
        return done == "UPDATE 1"

    def _answer(self, row: Row) -> Answer:
        opened = self.sealing.open(row["given"], row["handle"].encode())
        along = msgspec.json.decode(opened, type=_Along)
        return Answer(
            *(row["id"], row["handle"], row["event"], row["asked"], along.doer, along.given),
            *(Standing(row["state"]), row["issue"], row["message"]),
        )
