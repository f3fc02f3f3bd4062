"""The settings of push: what is taken, from whom, and how much."""

from openldn.base.settings import Settings


class PushSettings(Settings, frozen=True, kw_only=True):
    """What others may push to this node; nothing unless it is named."""

    accept: tuple[str, ...] = ()  # what is taken: "prescription/prescribe", "referral/send"
    ask: tuple[str, ...] = ()  # of that, what somebody here takes or refuses one by one
    senders: tuple[str, ...] = ()  # URAs it is taken from; none: from everyone who takes part
    entries: int = 2000  # of one Bundle at most
    megabytes: int = 64  # of one Bundle at most
    entry_megabytes: int = 16  # of one entry, and of a document, at most
    keep_days: float = 30.0  # how long it is known what became of a push
