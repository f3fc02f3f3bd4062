"""What the pages of citizens need to know."""

from datetime import date

from openldn.base.settings import Settings

PREFIX = "/mijn"  # where they stand beside the portal


class PersonSettings(Settings, frozen=True):
    """A fictitious person one can be here."""

    name: str
    bsn: str
    born: date


class CitizenPages(Settings, frozen=True):
    """The pages of citizens beside a portal."""

    people: tuple[PersonSettings, ...] = ()  # whom one can be here with one click
    insecure_simulated_citizens: bool = False  # stand-in for DigiD: whoever comes says who they are


class CitizenSettings(Settings, frozen=True):
    """Settings of the pages of citizens."""

    network: str  # path of the network file: nodes and functions with their certificates
    host: str = "127.0.0.1"
    hosts: tuple[str, ...] = ()  # further names by which browsers reach us, without port
    people: tuple[PersonSettings, ...] = ()  # whom one can be here with one click
    idle_minutes: float = 15.0  # without a request, a session ends
    session_hours: float = 2.0  # at the latest, a session ends
    patience: float = 8.0  # seconds we wait for a node or the registry
    insecure_simulated_citizens: bool = False  # stand-in for DigiD: whoever comes says who they are
