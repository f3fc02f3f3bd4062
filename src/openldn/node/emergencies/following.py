"""Makes cases of what the audit log tells, so that none is lost: also after a crash.

The log is written before anything is shown, and read from where one was; that a glass was broken
is known here within moments, and to the patient with it. Source: rule G18.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from openldn.base.errors import LdnError
from openldn.base.log import emit
from openldn.base.runtime import NewId
from openldn.functions.audit.alerts import Emergency, emergencies
from openldn.functions.audit.service import AuditLog
from openldn.node.emergencies.model import Case, Side
from openldn.node.emergencies.store import CaseStore

LOOK = 5.0  # seconds between two looks at the log when nobody wakes us
_BATCH = 100


@dataclass
class Following:
    """Reads the log of one organization on and on."""

    log: AuditLog
    store: CaseStore
    new_id: NewId
    _woken: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def wake(self) -> None:
        """Something was written that is worth a look."""
        self._woken.set()

    async def run(self) -> None:
        """Go on for as long as the node runs."""
        while True:
            self._woken.clear()
            try:
                while await self.follow():
                    pass
            except LdnError as error:
                emit("waiting", part="emergencies", issue=str(error.issue), detail=error.detail)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._woken.wait()

    async def follow(self) -> bool:
        """Keep the next cases; whether there may be more. Raises LdnError(transient)."""
        before = await self.store.seen()
        found = await emergencies(self.log, before, _BATCH)
        if not found:
            return False
        cases = [case_of(each, self.new_id()) for each in found]
        fresh = await self.store.follow(before, found[-1].seq, cases)
        for case in fresh or ():
            emit("emergency", side=str(case.side), case=case.number, peer=case.asker)
        return fresh is None or len(found) == _BATCH


def case_of(told: Emergency, id: str) -> Case:
    """The case that an event of the log belongs to; without a reason, the question itself is one.

    Source: specification of audit events §8.6, row emergency-started.
    """
    sight, more = told.sight, told.details
    side = Side.ASKED if more.get("side") == Side.ASKED else Side.HELD
    return Case(
        side=side,
        asker=sight.organization,
        number=more.get("case") or sight.correlation or id,
        patient=told.patient,
        began=_began(more.get("began", ""), sight.at),
        id=id,
        name=sight.name,
        person=told.person,
        role=sight.role,
        code=more.get("reason", ""),
        reason=told.text if more.get("case") else "",
        exchange=sight.exchange,
        holders=(more.get("holder", sight.holder),),
        opened=sight.outcome == "0",
        level=more.get("level", ""),
    )


def _began(text: str, seen: datetime) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return seen
