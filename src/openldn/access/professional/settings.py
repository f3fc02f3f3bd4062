"""What the portal needs to know, and the nodes it may speak to."""

from openldn.access.frame.network import Network, Node, Trust, read_network
from openldn.base.settings import Settings

__all__ = ["Network", "Node", "PortalSettings", "Trust", "read_network"]


class PortalSettings(Settings, frozen=True):
    """Settings of the role `portal`."""

    network: str  # path of the network file: nodes with their certificates, and the anchors
    host: str = "127.0.0.1"
    port: int = 8080
    hosts: tuple[str, ...] = ()  # further names by which browsers reach us, without port
    idle_minutes: float = 15.0  # without a request, a session ends
    session_hours: float = 8.0  # at the latest, a session ends
    patience: float = 30.0  # seconds we wait for the next part of an answer
    insecure_simulated_operators: bool = False  # stand-in until operators sign in: administration
    # under /beheer/, where whoever comes chooses a node; without it there is no administration
