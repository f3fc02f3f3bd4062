"""What an operator does with messages that do not arrive; each act leaves evidence first."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.functions.audit.model import Event, Party, Thing
from openldn.node.evidence import Log
from openldn.node.outbox.model import Act, State, moved
from openldn.node.outbox.service import Outbox
from openldn.node.outbox.store.operating import Shown, Wanted

CHANGED = "delivery-changed"  # row of the catalogue of audit events
MOST = 1000  # messages retried at one request
_PAGE = 100
_JOB = "20"
_REASON = re.compile(r"[^\x00-\x1f\x7f]{3,200}")
_NUMBER = re.compile(r"\d(?:[ .-]?\d){7,}")  # may be one of a person

Known = Callable[[Ura], Awaitable[bool]]  # whether this organization takes part


@dataclass(frozen=True)
class Desk:
    """The outbox as its operator may change it."""

    outbox: Outbox
    log: Log
    known: Known
    look_up_anew: Callable[[], None]  # forget the addresses that were found before

    async def retry(self, id: str, to: str = "", correlation: str = "") -> Shown:
        """Queue it anew, at once, for the same organization or for `to`.

        Where that is, the directory says again; an address cannot be given. Raises LdnError:
        not-found, conflict, business-rule for an organization that does not take part, or a kind
        that may not go to another, transient without evidence.
        """
        peer = await self._organization(to) if to else None
        self.look_up_anew()

        async def told(before: Shown) -> None:
            moves = f" for {peer}" if peer and peer.value != before.peer else ""
            await self._record(before, Act.RETRY, moves, correlation)

        await self.outbox.retry(id, peer, told)
        return await self.outbox.show(id)

    async def retry_all(self, wanted: Wanted, correlation: str = "") -> int:
        """Queue these dead letters anew, 1,000 at most; how many."""
        wanted, count = replace(wanted, state=State.DEAD, count=_PAGE), 0
        while count < MOST and (page := await self.outbox.find(wanted)):
            for shown in page:
                await self.retry(shown.id, correlation=correlation)
                count += 1
            wanted = replace(wanted, after=page[-1].sequence)
        return count

    async def drop(self, id: str, reason: str, correlation: str = "") -> Shown:
        """Let it go, and its body with it; raises LdnError as `retry` does."""
        if not _REASON.fullmatch(reason) or _NUMBER.search(reason):
            text = "give a reason of 3 to 200 signs, without a number that may be of a person"
            raise LdnError(Issue.INVALID, text, where="reason")

        async def told(before: Shown) -> None:
            await self._record(before, Act.DROP, f": {reason}", correlation)

        await self.outbox.drop(id, reason, told)
        return await self.outbox.show(id)

    async def _organization(self, text: str) -> Ura:
        ura = Ura.parse(text)
        if not await self.known(ura):
            text = f"no organization with URA {ura} takes part; look it up in the directory"
            raise LdnError(Issue.BUSINESS_RULE, text)
        return ura

    async def _record(self, before: Shown, act: Act, more: str, correlation: str) -> None:
        after = moved(before.state, act)
        said = f"{before.kind} to {before.peer}, {before.subject}: {before.state}>{after}{more}"
        event = Event(
            code=CHANGED,
            started=self.outbox.clock(),
            client=Party(str(self.outbox.holder)),
            organization=self.outbox.holder,
            things=(Thing(id=before.id, description=said, role=_JOB),),
            correlation=correlation,
        )
        await self.log.record([event])
