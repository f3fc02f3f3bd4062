"""The offers of one organization: made, answered, and told to the other side."""

import asyncio
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import NewId
from openldn.base.sql import connection, transaction
from openldn.fhir.identifiers import Ura
from openldn.functions.addressing.model import Directory
from openldn.node.coordination import wishes
from openldn.node.coordination.delivering import since
from openldn.node.coordination.fulfilling import Fulfilling
from openldn.node.coordination.hub import Hub
from openldn.node.coordination.ledger import Ledger
from openldn.node.coordination.model import RESYNC, Answer, Doer, Kept, Side, Standing
from openldn.node.coordination.names import Names
from openldn.node.coordination.placing import Placing, seen_by
from openldn.node.coordination.register import NOT_YET, over
from openldn.node.coordination.shown import Shown, shown, told
from openldn.node.coordination.store import Wanted
from openldn.node.coordination.tables import offered, table_of
from openldn.node.coordination.voices import Harmonized, Voices
from openldn.node.outbox.model import Message
from openldn.patterns.notified_pull.model import Given, Offer
from openldn.patterns.notified_pull.states import SELECT

_LOOK = 0.5  # seconds between two looks at an answer when nobody tells that it ended


@dataclass(frozen=True)
class Terms:
    """What an organization wants of its offers."""

    lasting: timedelta = timedelta(days=7)  # how long an offer stands unless it says otherwise
    grace: timedelta = timedelta(hours=24)  # that data stay readable after completion
    patience: float = 2.0  # seconds an answer is waited for before it is told to be on its way


@dataclass(frozen=True)
class Coordination:
    """Both sides of the notified pull at one node."""

    ledger: Ledger
    placing: Placing
    fulfilling: Fulfilling
    directory: Directory
    names: Names
    hub: Hub
    new_id: NewId
    terms: Terms = Terms()
    voices: Voices | None = None  # of who speaks another dialect

    @property
    def speak(self) -> Voices:
        """How the others are spoken to."""
        return self.voices or Harmonized(self.directory)

    @property
    def ura(self) -> Ura:
        """Whose offers these are."""
        return self.ledger.holder

    async def offer(self, wish: wishes.Wish, doer: Doer) -> list[Kept]:
        """The offers that were made, one for each receiver, safe on disk and about to be told.

        A wish that comes again with its key gives the offers that were made of it. Raises
        LdnError: invalid, forbidden for data outside the exchange, not-found for a receiver that
        takes no notifications, conflict for a key of another wish, transient.
        """
        exchange, case = offered(wish.exchange, wish.use_case)
        receivers = wishes.receivers_of(wish)
        if self.ura in receivers:
            raise LdnError(Issue.INVALID, "an offer goes to another organization")
        await self.speak.require(receivers, exchange, case)
        now, subject = self.ledger.moment(), self.new_id()
        several = len(receivers) > 1
        base = Offer(
            *("", "", self.ura, self.ura, exchange.code, case.name, now, now),
            table=table_of(case, several=several).name,
            focus=f"ServiceRequest/{subject}",
            patient="" if several else f"Patient/{subject}",
            group=f"urn:uuid:{self.new_id()}" if several else "",
            queries=wishes.pointers_of(wish, exchange, case),
            resources=wishes.resources_of(wish),
            note=wish.note,
            expires=self._expiry(wish.expires, now),
        )
        patient = wishes.patient_of(wish)
        fresh = [
            Kept(o.id, Side.SENT, o, patient, subject)
            for o in (self._for(base, receiver, wish) for receiver in receivers)
        ]
        await self.speak.keep(fresh)
        outcome = await self.ledger.act(self.placing.offer(fresh, doer))
        made = [change.kept for change in outcome.changes]
        return made or [await self.ledger.one(k.handle) for k in fresh]

    def _for(self, base: Offer, receiver: Ura, wish: wishes.Wish) -> Offer:
        return replace(
            base,
            id=wishes.once(wish, self.ura, receiver) or self.new_id(),
            identifier=f"urn:uuid:{self.new_id()}",
            fulfiller=receiver,
            authorization=secrets.token_urlsafe(32),
            service=wishes.label_of(wish.service, receiver),
            location=wishes.label_of(wish.location, receiver),
        )

    def _expiry(self, wanted: datetime | None, now: datetime) -> datetime:
        if wanted is None:
            return now + self.terms.lasting
        if wanted.tzinfo is None or wanted <= now:
            text = "expires: a moment in the future, with its time zone"
            raise LdnError(Issue.INVALID, text, where="expires")
        return wanted

    async def act(self, handle: str, event: str, given: Given, doer: Doer) -> Kept:
        """The offer after what we decided about it.

        At the fulfiller's side it is what the placer made of it, or, when the placer is slow or
        away, the offer as it stands with our answer on its way (`pending`). Raises LdnError: what
        the state table says, and what the placer says when it does not take the answer.
        """
        kept = await self.ledger.one(handle)
        if kept.side is Side.SENT:
            return await self._placed(kept, event, given, doer)
        with self.hub.listening() as heard:
            outcome = await self.ledger.act(self.fulfilling.answer(handle, event, given, doer))
            answer = await self._settled(outcome.answers[0], heard)
        answer.raise_refusal()
        return await self.ledger.one(handle)

    async def _placed(self, kept: Kept, event: str, given: Given, doer: Doer) -> Kept:
        if event == SELECT:
            act = self.placing.choose(kept.handle, kept.offer.group, doer)
        else:
            act = self.placing.bring(kept.handle, event, given, doer)
        outcome = await self.ledger.act(act)
        return next(c.kept for c in outcome.changes if c.kept.handle == kept.handle)

    async def _settled(self, answer: Answer, heard: "asyncio.Queue[tuple[str, int]]") -> Answer:
        """The answer once the placer has it, or as it stands when patience ends."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.terms.patience
        while answer.standing is Standing.WAITING and (left := until - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(left, _LOOK)):
                    while (await heard.get())[0] != answer.handle:
                        pass
            except TimeoutError:
                pass  # look all the same
            async with connection(self.ledger.pool) as db:
                answer = await self.ledger.answers.read(db, answer.id) or answer
        return answer

    async def find(self, wanted: Wanted) -> list[Shown]:
        """The offers that are wanted, last changed first."""
        async with connection(self.ledger.pool) as db:
            found = await self.ledger.offers.find(db, wanted)
            answers = {k.handle: await self.ledger.answers.last(db, k.handle) for k in found}
        names = await self.names.of([u for k in found for u in (k.offer.placer, k.offer.fulfiller)])
        return [shown(k, names, answers[k.handle]) for k in found]

    async def show(self, handle: str) -> Shown:
        """One offer with its history and delivery; raises LdnError(not-found)."""
        kept = await self.ledger.one(handle)
        async with connection(self.ledger.pool) as db:
            answer = await self.ledger.answers.last(db, handle)
            history = await self.ledger.offers.history(db, handle)
            events = await self.ledger.events.of_offer(db, handle)
        names = await self.names.of([kept.offer.placer, kept.offer.fulfiller])
        spoken = await self.speak.shown(kept)
        return {**shown(kept, names, answer), **told(kept, history, events), "dialect": spoken}

    async def seen(self, caller: Ura, task: str) -> Kept:
        """An offer of ours as its fulfiller may see it; raises LdnError(not-found)."""
        async with connection(self.ledger.pool) as db:
            return seen_by(caller, await self.ledger.offers.read(db, task))

    async def behind(self, caller: Ura, subject: str) -> Kept:
        """An offer of ours with this request and this patient, as its fulfiller may know them.

        Raises LdnError: not-found when nothing with it was offered to the caller, forbidden
        before the caller was selected and after the offer is over. Source: R36; W05.
        """
        async with connection(self.ledger.pool) as db:
            every = await self.ledger.offers.by_subject(db, subject)
        found = [k for k in every if k.offer.fulfiller == caller]
        if not found:
            text = "nothing with this id was offered to your organization; check the id"
            raise LdnError(Issue.NOT_FOUND, text)
        now = self.ledger.clock()
        told = [k for k in found if k.offer.patient and not over(k.offer, now, self.terms.grace)]
        if not told:
            text = over(found[0].offer, now, self.terms.grace) or NOT_YET
            raise LdnError(Issue.FORBIDDEN, f"refused: {text}", detail="authorization-base.behind")
        return told[0]

    async def offers(self, wanted: Wanted) -> list[Kept]:
        """The offers that are wanted, last changed first."""
        async with connection(self.ledger.pool) as db:
            return await self.ledger.offers.find(db, wanted)

    async def resync(self) -> int:
        """Ask every placer that ever told us something what changed since; how many.

        Done when a node starts, for what was told while it was away. Source: §5.
        """
        now = self.ledger.clock()
        async with transaction(self.ledger.pool) as db:
            feeds = {f.placer: f for f in await self.ledger.heard.feeds(db)}
            messages = [
                Message(
                    f"resync-{placer}-{self.new_id()}",
                    placer,
                    RESYNC,
                    f"Resync/{placer}",
                    _body(since(feed.alive - timedelta(minutes=5))),
                    now,
                )
                for placer, feed in feeds.items()
            ]
            if messages:
                await self.ledger.outbox.enqueue(db, messages)
        self.ledger.outbox.wake()
        return len(messages)


def _body(moment: str) -> bytes:
    return b'{"since":"' + moment.encode("ascii") + b'"}'
