"""The portal's way to the node of the provider for whom the practitioner works."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from openldn.access.frame.network import (
    Connect,
    Node,
    Nodes,
    connect,
    object_of,
    read_object,
    refusal_of,
)
from openldn.access.professional.offered import Offered, read
from openldn.access.professional.people import Practitioner, Standing
from openldn.access.professional.question import Holder, Located, Question
from openldn.access.professional.readers import at, text_of
from openldn.access.professional.sessions import Session
from openldn.base.errors import Issue, LdnError
from openldn.base.http import Reply
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import Resource

__all__ = ["Connect", "Gate", "connect"]
_JSON = {"content-type": "application/json"}


@dataclass
class Gate(Nodes):
    """What the portal asks of the nodes in the network file."""

    async def holders(self, node: Node) -> list[Holder]:
        """The providers in the directory, by name; raises LdnError when it cannot be read."""
        reply = await self.client(node).send("GET", f"{node.api}/holders", deadline=10)
        listed = object_of(reply).get("holders")
        found = [h for h in listed if isinstance(h, dict)] if isinstance(listed, list) else []
        active = [h for h in found if h.get("active") is True]
        holders = [
            Holder(text_of(h.get("ura")), text_of(h.get("name")), h.get("bgz") is True)
            for h in active
        ]
        return sorted(holders, key=lambda h: h.name.casefold())

    def ask(self, question: Question) -> AsyncIterator[Mapping[str, Any]]:
        """The node's answer, line by line as it comes; raises LdnError when it refuses."""
        return self.streamed(question.provider, question.correlation, *_asked(question))

    async def streamed(
        self, node: Node, correlation: str, path: str, body: Mapping[str, Any]
    ) -> AsyncIterator[Mapping[str, Any]]:
        """What a node answers line by line, as it comes; raises LdnError when it refuses."""
        headers = _JSON | {"accept": "application/x-ndjson", "x-request-id": correlation}
        call = self.client(node).stream(
            "POST",
            f"{node.api}/{path}",
            headers=headers,
            body=dump(body),
            deadline=self.patience,
        )
        async with call as reply:
            if reply.status != 200:
                text = b"\n".join([line async for line in reply.lines])
                raise refusal_of(Reply(reply.status, reply.headers, text))
            async for line in reply.lines:
                if line.strip():
                    yield read_object(line)

    async def locate(self, session: Session, bsn: Bsn, correlation: str) -> list[Located]:
        """Who says to hold data of this patient; raises LdnError when that cannot be known."""
        node = session.provider
        body = told(session.practitioner, session.standing, bsn, "TREAT")
        reply = await self.client(node).send(
            "POST",
            f"{node.api}/locate",
            headers=_JSON | {"x-request-id": correlation},
            body=dump(body),
            deadline=self.patience,
        )
        listed = object_of(reply).get("holders")
        if not isinstance(listed, list) or not all(isinstance(h, dict) for h in listed):
            text = "the node answered something unintelligible; ask again"
            raise LdnError(Issue.INCOMPLETE, text)  # never to be read as nobody
        return [_located(h) for h in listed]

    async def offers(self, node: Node, side: str) -> list[Offered]:
        """The offers that were sent or received, the newest change first; raises LdnError."""
        query = urlencode({"side": side})
        reply = await self.client(node).send("GET", f"{node.api}/offers?{query}", deadline=10)
        listed = object_of(reply).get("offers")
        if not isinstance(listed, list):
            text = "the node answered something unintelligible; ask its operator"
            raise LdnError(Issue.INCOMPLETE, text)  # never to be read as none
        return sorted(map(read, listed), key=lambda o: o.changed, reverse=True)

    async def offer(self, node: Node, id: str) -> Offered:
        """One offer with its history; raises LdnError(not-found) when there is none."""
        url = f"{node.api}/offers/{quote(id, safe='')}"
        return read(object_of(await self.client(node).send("GET", url, deadline=10)))

    async def make_offer(self, session: Session, body: Mapping[str, Any]) -> list[Offered]:
        """The offers made, one for each receiver; raises LdnError when they cannot be."""
        made = await self._tell(session, "offers", body)
        listed = made.get("offers", [made])
        return [read(o) for o in listed] if isinstance(listed, list) else []

    async def act(self, session: Session, id: str, event: str, body: Mapping[str, Any]) -> None:
        """Do something with an offer; raises LdnError when it is not to be done."""
        await self._tell(session, f"offers/{quote(id, safe='')}/${event}", body)

    async def _tell(self, session: Session, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        node = session.provider
        reply = await self.client(node).send(
            "POST",
            f"{node.api}/{path}",
            headers=_JSON,
            body=dump({**body, **_who(session.practitioner, session.standing)}),
            deadline=self.patience,
        )
        if reply.status in {201, 202}:
            return read_object(reply.body)
        return object_of(reply)

    async def accesses(self, node: Node, correlation: str) -> list[Resource]:
        """The AuditEvents of one question as the provider's own node keeps them, oldest first."""
        query = urlencode({"correlation": correlation, "_count": 200})
        reply = await self.client(node).send("GET", f"{node.api}/audit?{query}", deadline=10)
        events = at(object_of(reply), "entry.resource")
        found = [e for e in events if isinstance(e, dict)]
        kept = [e for e in found if e.get("resourceType") == "AuditEvent"]
        return sorted(kept, key=lambda e: text_of(e.get("recorded")))


def _asked(question: Question) -> tuple[str, dict[str, Any]]:
    """Where at the node it is asked, and what is told; an offer says itself of whom and whom."""
    practitioner, standing = question.practitioner, question.standing
    if question.offer:
        path = f"offers/{quote(question.offer, safe='')}/$pull"
        return path, _who(practitioner, standing)
    known = told(practitioner, standing, question.bsn, question.purpose)
    return "exchanges/bgz/$ask", {**known, "holder": question.holder.ura}


def told(
    practitioner: Practitioner, standing: Standing | None, bsn: Bsn, purpose: str
) -> dict[str, Any]:
    """What the node is told of every question: about whom, why, and who asks."""
    return {"bsn": bsn.value, "purpose": purpose, **_who(practitioner, standing)}


def _who(practitioner: Practitioner, standing: Standing | None) -> dict[str, Any]:
    """Who asks or acts, and on what ground that is believed."""
    person = practitioner.person
    who = {"uzi": person.uzi, "role": person.role, "name": person.name}
    body: dict[str, Any] = {"practitioner": who}
    if standing and standing.level:
        who["loa"] = standing.level.uri
    if standing and standing.statement:
        body["statement"] = standing.statement
    return body


def _located(holder: Mapping[str, Any]) -> Located:
    ura, name, reason = (text_of(holder.get(key)) for key in ("ura", "name", "reason"))
    return Located(ura, name, holder.get("able") is True, reason)
