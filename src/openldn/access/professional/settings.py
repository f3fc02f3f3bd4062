"""What the portal needs to know, and the nodes it may speak to."""

from pathlib import Path

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.settings import Settings


class SignIn(Settings, frozen=True):
    """Where practitioners sign in: an OpenID provider, and whose statements about them count."""

    issuer: str  # name of the provider, exactly as it publishes it
    client_id: str  # what this portal is called there
    key_file: Path  # private key in PEM that this portal proves itself with there
    public: str  # origin by which browsers reach this portal; the provider sends them back to it
    key_id: str = ""  # name of the key there; empty: its RFC 7638 thumbprint
    audience: str = "issuer"  # of our assertions there: issuer or token-endpoint
    ca: Path | None = None  # authorities that the provider's certificate may come from
    lowest: str = "substantial"  # level of assurance that signing in needs at least
    statement_issuers: tuple[str, ...] = ()  # empty: the provider itself
    statement_keys: tuple[str, ...] = ()  # empty: /dezi/jwks.json at the provider
    status_hosts: tuple[str, ...] = ()  # empty: the host of the provider


class PortalSettings(Settings, frozen=True):
    """Settings of the role `portal`."""

    network: str  # path of the network file: nodes with their certificates, and the anchors
    host: str = "127.0.0.1"
    port: int = 8080
    hosts: tuple[str, ...] = ()  # further names by which browsers reach us, without port
    idle_minutes: float = 15.0  # without a request, a session ends
    session_hours: float = 8.0  # at the latest, a session ends
    patience: float = 30.0  # seconds we wait for the next part of an answer
    sign_in: SignIn | None = None  # None: people are chosen from a list, a stand-in for tests


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


class Network(msgspec.Struct, frozen=True):
    """The network file as `openldn up` writes it."""

    nodes: tuple[Node, ...]
    trust: Trust
    services: dict[str, str] = {}

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
