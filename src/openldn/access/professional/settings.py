"""What the portal needs to know, and the nodes it may speak to."""

from pathlib import Path

from openldn.access.frame.network import Network, Node, Trust, read_network
from openldn.base.settings import Settings

__all__ = ["Network", "Node", "PortalSettings", "SignIn", "Trust", "read_network"]


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
    reviewers: tuple[str, ...] = ()  # numbers (UZI, Dezi) of who reviews broken glass; empty: who
    # works for the provider, save who broke it
    sign_in: SignIn | None = None  # None: people are chosen from a list, a stand-in for tests
    insecure_simulated_operators: bool = False  # stand-in until operators sign in: administration
    # under /beheer/, where whoever comes chooses a node; without it there is no administration
