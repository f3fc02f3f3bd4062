"""Tokens of other parties, kept while they last."""

import asyncio
from collections.abc import Coroutine, Hashable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from openldn.base.runtime import Clock
from openldn.trust.tokens.model import AccessToken

MARGIN = timedelta(seconds=30)  # a token this near its end is not used any more
_MOST = 10_000  # tokens


@dataclass
class Purse:
    """Tokens by what they are for; several who need the same at once wait for one request."""

    clock: Clock
    _tokens: dict[Hashable, AccessToken] = field(default_factory=dict, repr=False)
    _asking: dict[Hashable, asyncio.Task[AccessToken]] = field(default_factory=dict, repr=False)

    def kept(self, key: Hashable) -> AccessToken | None:
        """The token for this, when there is one that lasts."""
        found = self._tokens.get(key)
        return found if found is not None and found.expires - self.clock() > MARGIN else None

    async def ask(self, key: Hashable, asking: Coroutine[Any, Any, AccessToken]) -> AccessToken:
        """The token that `asking` gives, or that somebody is asking for already; kept from now on.

        Raises what `asking` raises, to all who wait.
        """
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(asking)
            task.add_done_callback(lambda done: self._asked(key, done))
        else:
            asking.close()
        return await asyncio.shield(task)

    def forget(self, token: AccessToken) -> None:
        """Do not use this token again: it was refused."""
        self._tokens = {k: t for k, t in self._tokens.items() if t.value != token.value}

    def _asked(self, key: Hashable, done: asyncio.Task[AccessToken]) -> None:
        self._asking.pop(key, None)
        # Looking at the exception keeps asyncio from reporting it when nobody waited to the end.
        if done.cancelled() or done.exception() is not None:
            return
        if len(self._tokens) >= _MOST:
            now = self.clock()
            self._tokens = {k: t for k, t in self._tokens.items() if t.expires > now}
        if len(self._tokens) < _MOST:
            self._tokens[key] = done.result()
