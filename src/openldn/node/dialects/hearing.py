"""Being told in another dialect: one inbox for every shape, kept before it is answered.

Nothing is fetched here and no address is taken from a message (R13). Source: patterns §2.7.
"""

from dataclasses import dataclass, replace
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import Pool, transaction
from openldn.fhir.codec import decode
from openldn.fhir.http import media_type
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.audit.model import Event, Party, Thing
from openldn.node.coordination.api import Came
from openldn.node.coordination.ledger import Ledger
from openldn.node.coordination.model import Side, handle_of
from openldn.node.dialects.calls import require_id
from openldn.node.dialects.speech import Speech
from openldn.node.dialects.store import Spoken, Told
from openldn.node.inbox.service import Inbox
from openldn.node.outbox.model import Message
from openldn.patterns.dialects import orca, twiin
from openldn.patterns.dialects.hearing import REPEATED, REPLIES, Arrived, hear
from openldn.patterns.dialects.model import Dialect, Heard
from openldn.patterns.dialects.organizations import told_by
from openldn.patterns.dialects.table import CARE_PLAN, DIALECTS, TRANSFER
from openldn.patterns.notified_pull.shapes import Shape
from openldn.trust.tokens.model import Grant

READ = "dialect-read"  # kind of message: look at what we were told
_MOST = 20  # losses of one notification that are kept
_TASKLESS = frozenset({Shape.S2, Shape.S4_EMPTY})


@dataclass(frozen=True)
class Hearing:
    """What one organization is told in other dialects; `take` is given every shape but S5."""

    pool: Pool
    spoken: Spoken
    inbox: Inbox
    ledger: Ledger
    speech: Speech

    async def take(self, came: Came) -> Response:
        """Keep what is told and answer as its shape is answered; safe on disk by then.

        Raises LdnError: structure, business-rule naming the element, forbidden for who speaks for
        another, not-found for another receiver or an unknown withdrawal, multiple-matches.
        """
        sender = came.grant.requester.organization
        try:
            heard, dialect = await self._heard(came, sender)
        except LdnError as error:
            if error.issue is Issue.SECURITY:
                await self._witness(came, error)
            raise
        if heard.cancelled:
            return await self._withdrawn(sender, heard.identifier)
        return await self._kept(sender, heard, dialect, _did(came.grant))

    async def _heard(self, came: Came, sender: Ura) -> tuple[Heard, Dialect]:
        known = await self.speech.known(sender)
        dialect = DIALECTS.get(known.wire, TRANSFER)
        parties = self.speech.parties(dialect, self.ledger.clock(), sender, _did(came.grant))
        heard = hear(_arrived(came), known, parties)
        told_by(heard.sender, sender)
        if heard.receiver not in (None, self.speech.ura):
            text = "the receiver in the message is not the organization at this address"
            raise LdnError(Issue.NOT_FOUND, text, "R06", where="Task.owner")
        return heard, self.speech.dialect(sender, heard.dialect)

    async def bundle(self, came: Came) -> Response | None:
        """Keep what a care plan tells: which Tasks changed; None from everyone else."""
        sender = came.grant.requester.organization
        if self.speech.wire(sender) != CARE_PLAN.code:
            return None
        bundle = decode(came.body, media_type(came.request), CARE_PLAN.fhir)
        told = [_changed(sender, task, _did(came.grant)) for task in orca.told(bundle)]
        async with transaction(self.pool) as db:
            now = self.ledger.clock()
            heard = [await self.spoken.hear(db, one, now) for one in told]
            await self.ledger.outbox.enqueue(db, [self.reading(h, h.told) for h in heard])
        self.ledger.outbox.wake()
        return Response(status_code=REPLIES[Shape.S5])

    async def _withdrawn(self, sender: Ura, identifier: str) -> Response:
        """Twiin-02: never a create (R04)."""
        async with transaction(self.pool) as db:
            found = await self.spoken.cancel(db, sender, identifier)
            if len(found) > 1:
                text = "several notifications have this identifier; withdraw them another way"
                raise LdnError(Issue.MULTIPLE_MATCHES, text, "R04")
            if not found:
                text = "no notification of yours has this identifier; nothing was withdrawn"
                raise LdnError(Issue.NOT_FOUND, text, "R04")
            if not found[0].cancelled:
                await self.ledger.outbox.enqueue(db, [self.reading(found[0], found[0].told + 1)])
        self.ledger.outbox.wake()
        return Response(status_code=REPLIES[Shape.S6])

    async def _kept(self, sender: Ura, heard: Heard, dialect: Dialect, did: str) -> Response:
        told = replace(_told(sender, heard), did=did)
        bare = heard.shape in _TASKLESS  # no identifier: each may tell of another change
        async with transaction(self.pool) as db:
            first = bare or await self.inbox.first(
                db, _source(sender), f"{heard.identifier}|requested"
            )
            before = await self.spoken.read(db, told.handle)
            tells = DIALECTS.get(before.wire, dialect).changes if before else dialect.changes
            if first or tells:
                told = await self.spoken.hear(db, told, self.ledger.clock())
                await self.ledger.outbox.enqueue(db, [self.reading(told, told.told)])
        self.ledger.outbox.wake()
        if not first:
            return Response(status_code=REPEATED)
        headers = {} if bare else {"location": f"Task/{quote(told.handle)}"}
        return Response(status_code=REPLIES[heard.shape], headers=headers)

    def reading(self, told: Told, number: int) -> Message:
        """The message that lets us look at what we were told so many times."""
        body = msgspec.json.encode({"handle": told.handle})
        id_ = f"{READ}-{told.handle}-{number}"
        return Message(id_, told.peer, READ, f"Task/{told.handle}", body, self.ledger.clock())

    async def _witness(self, came: Came, error: LdnError) -> None:
        """Evidence of a message that would lead us elsewhere (R13: refused and audited)."""
        now = self.ledger.clock()
        address = came.request.client.host if came.request.client else ""
        event = Event(
            code="notification-received",
            started=now,
            ended=now,
            outcome="8",
            reason=error.message,
            client=Party(str(came.grant.requester.organization), address=address),
            organization=came.grant.requester.organization,
            things=(Thing(id="Task.input", description=error.detail),),
            correlation=came.request.state.correlation,
            token=came.grant.id,
            pattern="notified-pull",
        )
        await self.ledger.log.record([event])


def _did(grant: Grant) -> str:
    """The DID of who sends, as its token proved it; empty for one that has none."""
    return grant.subject if grant.subject.startswith("did:") else ""


def _source(sender: Ura) -> str:
    return f"{sender}/notification"


def _told(sender: Ura, heard: Heard) -> Told:
    """What is kept of it; raises LdnError(business-rule) for a Task that no address can name."""
    task = heard.task or (twiin.task_of(heard.body) if heard.body else "")
    require_id(task, "Task")
    losses = tuple(f"{loss.element}: {loss.why}" for loss in heard.unusable[:_MOST])
    return Told(
        *(handle_of(sender, task), Side.RECEIVED, sender, heard.dialect, task),
        identifier=heard.identifier,
        told=1,
        losses=losses,
        notice=heard.body,
    )


def _changed(sender: Ura, task: str, did: str) -> Told:
    """A Task of a care plan that changed; raises LdnError(business-rule) for what is no id."""
    handle = handle_of(sender, require_id(task, "Task"))
    return Told(handle, Side.RECEIVED, sender, CARE_PLAN.code, task, did=did, told=1)


def _arrived(came: Came) -> Arrived:
    request = came.request
    query = request.scope.get("query_string", b"").decode("latin-1")
    return Arrived(request.method, request.path_params.get("rest", ""), query, _body(came))


def _body(came: Came) -> Resource | None:
    if not came.body.strip():
        return None
    return decode(came.body, media_type(came.request), FhirVersion.STU3)
