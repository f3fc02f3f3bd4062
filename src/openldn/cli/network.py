"""A running network and its nodes, as commands find them. Not a command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from openldn.access.professional.settings import Network, Node, read_network
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Identity, client_context
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates import check_peer


def network_at(folder: Path) -> Network:
    """The network in this folder, or in this network file; raises LdnError(not-found)."""
    file = folder / "network.json" if folder.is_dir() else folder
    if not file.exists():
        text = f"no network at {folder}: start one with openldn up --dir {folder}"
        raise LdnError(Issue.NOT_FOUND, text)
    return read_network(file)


def node_of(network: Network, key: str) -> Node:
    """The node with this key; raises LdnError(not-found) that lists the keys."""
    for node in network.nodes:
        if node.key == key:
            return node
    keys = ", ".join(n.key for n in network.nodes)
    raise LdnError(Issue.NOT_FOUND, f"no node {key!r} in this network; there are: {keys}")


def keeper_of(network: Network, key: str) -> Node:
    """The node or national service with this key, at which its audit log is asked.

    Raises LdnError(not-found) that lists the keys.
    """
    for one in network.functions:
        if one.key == key:
            return msgspec.structs.replace(one, api=f"{one.api}/api")
    try:
        return node_of(network, key)
    except LdnError as error:
        services = ", ".join(one.key for one in network.functions) or "none"
        raise LdnError(error.issue, f"{error.message}; national services: {services}") from error


def identity_of(network: Network, node: Node) -> Identity:
    """What this node's organization shows on its connections."""
    return Identity(Path(node.certificate), Path(node.key_file), Path(network.trust.ca))


@asynccontextmanager
async def calling(network: Network, node: Node) -> AsyncIterator[HttpClient]:
    """A client of this node's own organization, that talks to this node only."""
    context = client_context(identity_of(network, node), check_peer(Ura.parse(node.ura)))
    http = HttpClient(context)
    try:
        yield http
    finally:
        await http.close()
