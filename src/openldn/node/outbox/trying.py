"""When something is tried again and when it is given up: rule R17, as pure functions.

Source: patterns §5: 1 s, twice as long each time, 15 minutes at most, for 24 hours; a lasting
4xx is given up at once; 429 says itself when.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from openldn.base.errors import Issue, LdnError
from openldn.node.outbox.model import Message, State, Tried
from openldn.node.outbox.settings import OutboxSettings

Chance = Callable[[], float]  # a random number from 0 up to 1

PASSING = frozenset({408, 425, 429})  # statuses 4xx after which trying again makes sense
_AWAY = frozenset({Issue.INCOMPLETE, Issue.TIMEOUT})  # the peer did not answer; else it is us
_DOUBLINGS = 30  # beyond these every pause is the longest
_SHARE = 8  # a peer that is away is probed after an eighth of the time it has been away
_LONGEST = 300  # characters of a reason


@dataclass(frozen=True)
class Judged:
    """What follows from one failed delivery."""

    tried: Tried
    due: datetime | None  # when its lane may go on; None: now
    failing: datetime | None  # since when its lane fails


def lasting(error: LdnError) -> bool:
    """Whether trying again is of no use: the peer understood and refused."""
    return 400 <= error.status < 500 and error.status not in PASSING


@dataclass(frozen=True)
class Trying:
    """How long it goes on, and with what pauses."""

    terms: OutboxSettings
    chance: Chance

    def pause(self, attempts: int) -> float:
        """Seconds before the next try, after this many that failed (1 or more); half is chance."""
        doubled = self.terms.first_pause * 2.0 ** min(max(attempts, 1) - 1, _DOUBLINGS)
        return float(min(self.terms.longest_pause, doubled)) * (0.5 + 0.5 * self.chance())

    def probe(self, away: timedelta) -> float:
        """Seconds before one message is tried at a peer that has been away this long.

        So a peer that was away for a minute is found back within 8 seconds, and one that was away
        for hours is not bothered more than some times an hour.
        """
        share = max(self.terms.first_pause, away.total_seconds() / _SHARE)
        return float(min(self.terms.longest_pause, share)) * (0.75 + 0.25 * self.chance())

    def judge(
        self, message: Message, error: LdnError, failing: datetime | None, now: datetime
    ) -> Judged:
        """What becomes of a message whose delivery failed, and of the messages behind it.

        A dead letter leaves its lane, so that those behind it get their turn.
        """
        reason = f"{error.issue} ({error.status}): {error.message}"[:_LONGEST]
        if lasting(error):
            return Judged(Tried(message, State.DEAD, reason), None, None)
        since = min(failing or now, now)  # not in the future, where a clock was set back
        throttled = error.issue is Issue.THROTTLED
        asked = min(max(error.after, 0.0), self.terms.longest_wait)
        heard = True if throttled else None if error.issue not in _AWAY else False
        alone = asked if throttled else 0.0
        if now - since >= timedelta(seconds=self.terms.patience):
            return Judged(Tried(message, State.DEAD, reason, heard, alone), None, since)
        seconds = max(asked, self.pause(message.attempts + 1))
        tried = Tried(message, State.QUEUED, reason, heard, alone)
        return Judged(tried, now + timedelta(seconds=seconds), since)
