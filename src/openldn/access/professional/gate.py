"""The portal's way to the node of the provider for whom the practitioner works."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from openldn.access.professional.question import Holder, Question
from openldn.access.professional.readers import at, text_of
from openldn.access.professional.settings import Network, Node, read_network
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Identity, Reply, client_context
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import Resource
from openldn.trust.certificates import check_peer

_KNOWN = {str(issue): issue for issue in Issue}
_JSON = {"content-type": "application/json"}
Connect = Callable[[Network, Node], HttpClient]


def connect(network: Network, node: Node) -> HttpClient:
    """A client that shows the provider's own certificate and speaks to its own node only."""
    identity = Identity(Path(node.certificate), Path(node.key_file), Path(network.trust.ca))
    return HttpClient(client_context(identity, check_peer(Ura.parse(node.ura))), limit=16)


@dataclass
class Gate:
    """Calls to the nodes of the network file, each with that node's own certificate."""

    path: Path  # the network file; read anew when it changes
    patience: float  # seconds for each next part of an answer
    connect: Connect = connect
    _network: tuple[tuple[int, int], Network] | None = field(default=None, repr=False)
    _clients: dict[tuple[str, str], HttpClient] = field(default_factory=dict, repr=False)

    def network(self) -> Network:
        """The network as the file says now; raises LdnError(transient) while there is none."""
        try:
            stat = self.path.stat()
            mark = (stat.st_mtime_ns, stat.st_ino)
        except OSError:
            return read_network(self.path)  # which tells why
        if self._network is None or self._network[0] != mark:
            self._network = (mark, read_network(self.path))
        return self._network[1]

    async def holders(self, node: Node) -> list[Holder]:
        """The providers in the directory, by name; raises LdnError when it cannot be read."""
        reply = await self._client(node).send("GET", f"{node.api}/holders", deadline=10)
        listed = _object(reply).get("holders")
        found = [h for h in listed if isinstance(h, dict)] if isinstance(listed, list) else []
        active = [h for h in found if h.get("active") is True]
        holders = [
            Holder(text_of(h.get("ura")), text_of(h.get("name")), h.get("bgz") is True)
            for h in active
        ]
        return sorted(holders, key=lambda h: h.name.casefold())

    async def ask(self, question: Question) -> AsyncIterator[Mapping[str, Any]]:
        """The node's answer, line by line as it comes; raises LdnError when it refuses."""
        node, person = question.provider, question.practitioner.person
        body: dict[str, Any] = {
            "bsn": question.bsn.value,
            "holder": question.holder.ura,
            "purpose": question.purpose,
            "practitioner": {"uzi": person.uzi, "role": person.role, "name": person.name},
        }
        if question.standing and question.standing.level:
            body["practitioner"]["loa"] = question.standing.level.uri
        if question.standing and question.standing.statement:
            body["statement"] = question.standing.statement
        headers = _JSON | {"accept": "application/x-ndjson", "x-request-id": question.correlation}
        call = self._client(node).stream(
            "POST",
            f"{node.api}/exchanges/bgz/$ask",
            headers=headers,
            body=dump(body),
            deadline=self.patience,
        )
        async with call as reply:
            if reply.status != 200:
                text = b"\n".join([line async for line in reply.lines])
                raise _refusal(Reply(reply.status, reply.headers, text))
            async for line in reply.lines:
                if line.strip():
                    yield _event(line)

    async def accesses(self, node: Node, correlation: str) -> list[Resource]:
        """The AuditEvents of one question as the provider's own node keeps them, oldest first."""
        query = urlencode({"correlation": correlation, "_count": 200})
        reply = await self._client(node).send("GET", f"{node.api}/audit?{query}", deadline=10)
        events = at(_object(reply), "entry.resource")
        found = [e for e in events if isinstance(e, dict)]
        kept = [e for e in found if e.get("resourceType") == "AuditEvent"]
        return sorted(kept, key=lambda e: text_of(e.get("recorded")))

    def _client(self, node: Node) -> HttpClient:
        key = (node.api, node.certificate)
        if key not in self._clients:
            self._clients[key] = self.connect(self.network(), node)
        return self._clients[key]

    async def close(self) -> None:
        """Close every connection."""
        while self._clients:
            await self._clients.popitem()[1].close()


def _object(reply: Reply) -> dict[str, Any]:
    if reply.status != 200:
        raise _refusal(reply)
    return _event(reply.body)


def _event(body: bytes) -> dict[str, Any]:
    value = parse(body)
    if not isinstance(value, dict):
        raise LdnError(Issue.INCOMPLETE, "the node answered something unintelligible; ask again")
    return value


def _refusal(reply: Reply) -> LdnError:
    """Why the node refused, in its own words where it has them (an OperationOutcome)."""
    text = "the provider's node refused or failed; ask its operator"
    try:
        value = parse(reply.body)
    except LdnError:
        value = None
    issue = next(iter(map(text_of, at(value, "issue.code"))), "")
    told = next(iter(map(text_of, at(value, "issue.diagnostics"))), "") or text
    return LdnError(_KNOWN.get(issue, Issue.INCOMPLETE), told, detail=f"status {reply.status}")
