"""Carrying a push to its receiver: streamed from disk, and its receipt checked before it counts.

The outbox tries again what did not arrive. What takes longer than one of its deliveries goes on
beside it: the next try finds it done, or still under way.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import msgspec

from openldn.base.errors import STATUS, Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.log import emit
from openldn.base.sql import Pool, connection, transaction
from openldn.fhir.codec import Format, decode
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import Resource
from openldn.functions.addressing.model import Directory, Endpoint
from openldn.node.evidence import Log
from openldn.node.outbox.model import Delivered, Message
from openldn.node.outbox.trying import lasting
from openldn.node.push.kinds import kind_of
from openldn.node.push.loading import Loading
from openldn.node.push.model import Kept, Kind, Side
from openldn.node.push.signing import Seals
from openldn.node.push.store import Pushes, Wanted
from openldn.node.push.witness import came_to
from openldn.patterns.moves import Actor
from openldn.patterns.push.model import Push, Why, move
from openldn.patterns.push.receipt import read_receipt
from openldn.patterns.push.states import (
    DECIDED,
    EVENTS,
    FAIL,
    FAILED,
    RECEIVE,
    RECEIVED,
    SEND,
    SENT,
    WITHDRAWN,
)
from openldn.trust.parties import Requester
from openldn.trust.tokens.model import AccessToken, Tokens

PATIENCE = 6.0  # seconds that one delivery of the outbox waits for it
_AGAIN = 30.0  # seconds between two looks at what waits for somebody at its receiver
_DEADLINE = 30.0  # seconds for a call, and beyond that
_SLOWEST = 250_000  # bytes a second at least
_ISSUES = {status: issue for issue, status in reversed(STATUS.items())}


@dataclass
class Carrying:
    """Carries the pushes of one organization; delivers messages of kind push."""

    pool: Pool
    pushes: Pushes
    loading: Loading
    directory: Directory
    tokens: Tokens
    forget: Callable[[AccessToken], None]
    clients: Callable[[Ura], HttpClient]
    log: Log
    seals: Seals
    name: str  # of our organization
    patience: float = PATIENCE
    _under_way: dict[str, asyncio.Task[None]] = field(default_factory=dict, repr=False)

    async def __call__(self, message: Message) -> Delivered:
        """Deliver it, or find out how far it is; raises LdnError as `Deliver` has it."""
        id = str(msgspec.json.decode(message.body, type=dict[str, str])["push"])
        task = self._under_way.get(id)
        if task is None:
            task = self._under_way[id] = asyncio.create_task(self.carry(id))
            task.add_done_callback(_seen)
        await asyncio.wait([task], timeout=self.patience)
        if not task.done():
            text = "its content is still on its way; it is looked at again"
            raise LdnError(Issue.TRANSIENT, text)
        self._under_way.pop(id, None)
        task.result()
        return Delivered()

    async def carry(self, id: str) -> None:
        """One try; raises LdnError when it must be tried again or failed for good."""
        async with connection(self.pool) as db:
            kept = await self.pushes.read(db, id)
        if kept is None or kept.push.state in DECIDED | {WITHDRAWN}:
            return
        if kept.push.state != RECEIVED:
            kept = await self._moved(kept, SEND)
        try:
            await self._carried(kept)
        except LdnError as error:
            if lasting(error) and kept.push.state == SENT:
                why = Why(str(error.issue), error.message)
                await self._moved(kept, FAIL, why=why)
            raise

    async def _carried(self, kept: Kept) -> None:
        kind = kind_of(kept.push.exchange, kept.push.use_case)
        endpoint = await self.directory.endpoint(kept.peer, kind.payload)
        reply = await self._post(kept, kind, endpoint)
        if reply.status == 202:
            if kept.push.state != RECEIVED:
                await self._moved(kept, RECEIVE, by=Actor.FULFILLER)
            return
        receipt = _receipt(reply, kept.push)
        said = read_receipt(receipt)
        await self.seals.require(receipt, kept.push)
        _require_same(kept.push, said.message, said.digest)
        event = EVENTS[said.state]
        await self._moved(kept, event, by=Actor.FULFILLER, why=said.why, receipt=receipt)
        await self.loading.drop(kept.load)

    async def _post(self, kept: Kept, kind: Kind, endpoint: Endpoint) -> Reply:
        by = kept.behalf
        requester = Requester(
            organization=kept.push.sender,
            scopes=frozenset({kind.case.scope}),
            purpose=by.purpose,
            organization_name=self.name,
            person=by.person,
            patient=by.patient,
        )
        token = await self._token(endpoint, requester)
        reply = await self._send(kept, endpoint, token)
        if reply.status == 401:
            self.forget(token)
            reply = await self._send(kept, endpoint, await self._token(endpoint, requester))
        return reply

    async def _token(self, endpoint: Endpoint, requester: Requester) -> AccessToken:
        issuer = endpoint.authorization_server
        return await self.tokens.token(endpoint.holder, issuer, requester)

    async def _send(self, kept: Kept, endpoint: Endpoint, token: AccessToken) -> Reply:
        push = kept.push
        mime = f"{Format.JSON.mime}; fhirVersion={push.fhir.mime}"
        digest = base64.b64encode(_bytes(push.content.digest)).decode()
        headers = {
            "accept": mime,
            "content-type": mime,
            "content-length": str(push.content.size),
            "content-digest": f"sha-256=:{digest}:",
            "idempotency-key": f'"{push.message}"',
            "expect": "100-continue",  # who refuses it, or knows it, need not get it
            "x-request-id": kept.behalf.correlation,
            **token.headers("POST", endpoint.url),
        }
        return await self.clients(endpoint.holder).send(
            "POST",
            endpoint.url,
            headers=headers,
            body=self._content(kept),
            deadline=_DEADLINE + push.content.size / _SLOWEST,
        )

    async def _content(self, kept: Kept) -> AsyncIterator[bytes]:
        """The content as it is counted: its parts, with commas between the entries."""
        number, last = 0, kept.push.content.entries
        async for part in self.pushes.parts(self.pool, kept.load):
            yield b"," + part if 2 <= number <= last else part
            number += 1

    async def _moved(
        self,
        kept: Kept,
        event: str,
        *,
        by: Actor = Actor.PLACER,
        why: Why | None = None,
        receipt: Resource | None = None,
    ) -> Kept:
        """The push after this event, on disk, and before that its evidence.

        Raises LdnError(transient) when it went further meanwhile.
        """
        push = move(kept.push, event, by, self.loading.clock(), why)
        moved = kept.moved(push, receipt)
        if push.state in DECIDED:
            moved = replace(moved, load="")
        if push.state in DECIDED | {FAILED}:
            await self.log.record([came_to(moved)])
            moved = replace(moved, audited=True)
        async with transaction(self.pool) as db:
            current = await self.pushes.read(db, push.id, lock=True)
            if current is None or current.push.version != kept.push.version:
                text = "somebody else carried it further meanwhile; it is looked at again"
                raise LdnError(Issue.TRANSIENT, text)
            await self.pushes.write(db, moved)
        return moved

    async def follow(self) -> None:
        """Ask again and again what became of what waits for somebody, until cancelled."""
        while True:
            await asyncio.sleep(_AGAIN)
            try:
                await self.look()
            except LdnError as error:
                emit("waiting", part="push", issue=str(error.issue), detail=error.detail)

    async def look(self) -> None:
        """Ask once about everything that waits at its receiver; raises LdnError for our store."""
        async with connection(self.pool) as db:
            waiting = await self.pushes.find(db, Wanted(Side.SENT, (RECEIVED,)))
        for kept in waiting:
            try:
                await self.carry(kept.push.id)
            except LdnError as error:
                emit("waiting", part="push", issue=str(error.issue), detail=error.detail)

    async def close(self) -> None:
        """Stop what is under way; it begins anew with the node."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def _seen(task: asyncio.Task[None]) -> None:
    """Keep asyncio from reporting a failure that the next try is told."""
    if not task.cancelled():
        task.exception()


def _bytes(digest: str) -> bytes:
    text = digest.partition(";")[2]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _receipt(reply: Reply, push: Push) -> Resource:
    """The receipt in an answer; raises LdnError for an answer that is none, by its status."""
    text = f"the receiver answers with status {reply.status}"
    issue = _ISSUES.get(reply.status, Issue.INCOMPLETE)
    status = reply.status if reply.status in _ISSUES else 0
    failure = LdnError(issue, text, detail=f"status {reply.status}", status=status)
    if reply.status >= 500 or reply.status in {401, 408, 425, 429}:
        raise failure
    try:
        found = decode(reply.body, Format.JSON, push.fhir)
    except LdnError as error:
        raise failure from error
    if reply.status >= 300 and read_receipt(found).message != push.message:
        raise failure  # refused, but not as a push: by who stands before it
    return found


def _require_same(push: Push, message: str, digest: str) -> None:
    if message != push.message or digest not in (push.content.digest, ""):
        text = "the receipt is not of this push; its receiver's turn"
        raise LdnError(Issue.INCOMPLETE, text, detail="push.receipt.about")
