"""The nodes of the network file, and a door's way to each with that node's own certificate."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Identity, Reply, client_context
from openldn.fhir.codec import parse
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates import check_peer

_KNOWN = {str(issue): issue for issue in Issue}


class Node(msgspec.Struct, frozen=True):
    """One node of the network file; fields we do not use are left alone."""

    key: str
    name: str
    ura: str
    api: str
    certificate: str
    key_file: str
    infrastructure: str = ""
    fhir: dict[str, str] = {}


class Trust(msgspec.Struct, frozen=True):
    """The anchors that every party of this network believes."""

    ca: str
    saml: dict[str, str] = {}  # issuer of assertions -> PEM file with what it signs with


class Network(msgspec.Struct, frozen=True):
    """The network file as `openldn up` writes it."""

    nodes: tuple[Node, ...]
    trust: Trust
    services: dict[str, str] = {}
    functions: tuple[Node, ...] = ()  # what runs beside the nodes, with its operator's certificate
    simulators: tuple[Node, ...] = ()  # simulated care providers; `api` is how a test drives them

    def node(self, key: str) -> Node:
        """The node with this key; raises LdnError(not-found)."""
        for node in self.nodes:
            if node.key == key:
                return node
        text = "this provider has no node in the network file any more; sign in again"
        raise LdnError(Issue.NOT_FOUND, text)


def read_network(path: Path) -> Network:
    """The network as the file now says; raises LdnError(transient) while it is not there yet."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Network)
    except FileNotFoundError as error:
        text = "the network is not ready yet; wait a moment and try again"
        raise LdnError(Issue.TRANSIENT, text, detail="no network file") from error
    except (OSError, msgspec.DecodeError) as error:
        text = "the network file cannot be read; its operator must run: openldn doctor"
        raise LdnError(Issue.EXCEPTION, text, detail=type(error).__name__) from error


Connect = Callable[[Network, Node], HttpClient]


def connect(network: Network, node: Node) -> HttpClient:
    """A client that shows the provider's own certificate and speaks to its own node only."""
    identity = Identity(Path(node.certificate), Path(node.key_file), Path(network.trust.ca))
    return HttpClient(client_context(identity, check_peer(Ura.parse(node.ura))), limit=16)


@dataclass
class Nodes:
    """Calls to the nodes of the network file, each with that node's own certificate."""

    path: Path  # the network file; read anew when it changes
    patience: float  # seconds for each next part of an answer
    connect: Connect = connect
    _network: tuple[tuple[int, int], Network] | None = field(default=None, repr=False)
    _clients: dict[tuple[str, str, str], HttpClient] = field(default_factory=dict, repr=False)

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

    def client(self, node: Node) -> HttpClient:
        """The client that speaks to this node and to no other."""
        key = (node.api, node.certificate, node.ura)
        if key not in self._clients:
            self._clients[key] = self.connect(self.network(), node)
        return self._clients[key]

    async def close(self) -> None:
        """Close every connection."""
        while self._clients:
            await self._clients.popitem()[1].close()


def object_of(reply: Reply) -> dict[str, Any]:
    """The JSON object that came back; raises LdnError, in the node's words where it refused."""
    if reply.status != 200:
        raise refusal_of(reply)
    return read_object(reply.body)


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in these bytes; raises LdnError(incomplete) for anything else."""
    value = parse(body)
    if not isinstance(value, dict):
        raise LdnError(Issue.INCOMPLETE, "the node answered something unintelligible; ask again")
    return value


def refusal_of(reply: Reply) -> LdnError:
    """Why the node refused, in its own words where it has them (an OperationOutcome)."""
    text = "the provider's node refused or failed; ask its operator"
    issue = _first_issue(reply.body)
    code, told = issue.get("code"), issue.get("diagnostics")
    known = _KNOWN.get(code, Issue.INCOMPLETE) if isinstance(code, str) else Issue.INCOMPLETE
    said = told if isinstance(told, str) and told else text
    return LdnError(known, said, detail=f"status {reply.status}")


def _first_issue(body: bytes) -> dict[str, Any]:
    try:
        value = parse(body)
    except LdnError:
        return {}
    listed = value.get("issue") if isinstance(value, dict) else None
    first = listed[0] if isinstance(listed, list) and listed else None
    return first if isinstance(first, dict) else {}
