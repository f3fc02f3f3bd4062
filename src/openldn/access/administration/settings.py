"""What the administration needs to know."""

from openldn.base.settings import Settings

PREFIX = "/beheer"  # where it stands beside the portal


class AdministrationSettings(Settings, frozen=True):
    """Settings of the administration pages."""

    network: str  # path of the network file: nodes with their certificates, and the anchors
    host: str = "127.0.0.1"
    hosts: tuple[str, ...] = ()  # further names by which browsers reach us, without port
    idle_minutes: float = 15.0  # without a request, a session ends
    session_hours: float = 8.0  # at the latest, a session ends
    patience: float = 10.0  # seconds we wait for a node
    insecure_simulated_operators: bool = False  # stand-in until operators sign in: whoever comes
    # chooses a node to look at
