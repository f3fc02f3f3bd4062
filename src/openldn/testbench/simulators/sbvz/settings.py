"""What the simulated register of people needs to know."""

from pathlib import Path

from openldn.base.settings import Settings


class SbvzSettings(Settings, frozen=True):
    """The simulated register of people. TEST only."""

    certificate: Path  # TLS, leaf first
    key_file: Path
    ca: Path  # the authorities whose parties may ask
    people: int = 1000  # fictitious citizens in the register
    seed: int = 1  # the same seed gives the same people
    insecure_accept_untested_bsn: bool = False  # read numbers that fail the eleven test
    host: str = "127.0.0.1"
    port: int = 8480
