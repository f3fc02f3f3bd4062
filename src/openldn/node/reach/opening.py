"""Put together from the parts of a node: what it reaches others with."""

from dataclasses import dataclass

from openldn.base.runtime import Clock
from openldn.node.ask import Asker
from openldn.node.keys import keys_of
from openldn.node.reach.service import Reach, Ways
from openldn.node.roads import Means

# What is wrong with a key of ours, and which outcome of the step that is; the rest is well.
_LEVELS = {
    "ended": "trust.own-ended",
    "future": "trust.own-ended",
    "unreadable": "trust.own-unreadable",
}


@dataclass(frozen=True)
class Ailing:
    """What is wrong with what we prove ourselves with, before the other side tells."""

    means: Means
    clock: Clock

    async def __call__(self, road: str) -> str:
        """The key of the outcome; empty when nothing is wrong."""
        settings = self.means.settings
        for shown in keys_of(settings, self.means.signing(), self.clock()):
            if shown.use in {"tls", "signing"} and shown.level in _LEVELS:
                return _LEVELS[shown.level]
        # what we show on Nuts, and what a node of Nuts shows the broker, stands in the wallet
        by_wallet = settings.infrastructure == "nuts" or road == "nuts"
        if by_wallet and not self.means.through(road) and not await self._held():
            return "trust.own-credential"
        return ""

    async def _held(self) -> bool:
        now = self.clock()
        held = await self.means.wallet.held()
        return any(h.expires is None or h.expires > now for h in held)


def reach_of(asker: Asker, means: Means) -> Reach:
    """The reach of this node."""
    ways = Ways(means.roads(), means.through, means.clients.holder, Ailing(means, asker.clock))
    return Reach(asker.ura, asker.name, asker.directory, ways, asker.clock, asker.new_id)
