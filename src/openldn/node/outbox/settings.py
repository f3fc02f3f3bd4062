"""The settings of the outbox: how hard it tries, and how long it remembers."""

from openldn.base.settings import Settings


class OutboxSettings(Settings, frozen=True, kw_only=True):
    """How hard the outbox tries, and how long it remembers."""

    first_pause: float = 1.0  # seconds before the second try; doubles with each further one
    longest_pause: float = 900.0  # seconds between two tries at most
    longest_wait: float = 3600.0  # seconds of a peer's Retry-After that are honored at most
    patience: float = 86_400.0  # seconds of failing after which a message is a dead letter
    deadline: float = 10.0  # seconds for one delivery
    failures: int = 5  # deliveries to a peer in a row that fail before it is left alone
    at_once: int = 32  # deliveries under way per peer
    claim: int = 128  # subjects of one peer in the hands of a worker at most
    batch: int = 512  # the same of all peers together
    lease: float = 30.0  # seconds a subject is in those hands; three deadlines at least
    poll: float = 1.0  # seconds between two looks when nothing wakes the worker
    keep_days: float = 7.0  # delivered and dropped messages are remembered, without their body
    inbox_keep_days: float = 400.0  # keys of messages that came in, from senders without numbers

    @property
    def hold(self) -> float:
        """Seconds a subject is in the hands of a worker: a delivery that begins can end."""
        return max(self.lease, 3 * self.deadline)
