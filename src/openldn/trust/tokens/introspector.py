"""Asking an authorization server what a token stands for: for a resource server apart from it.

Source: RFC 7662 §2; GFI-006; rules E01, E03.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import Clock
from openldn.fhir.codec import parse
from openldn.fhir.codec.model import Limits
from openldn.trust.remembering import Remembered
from openldn.trust.tokens.introspection import INACTIVE

_FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
_LIMITS = Limits(size=256 * 1024, depth=12, nodes=2_000, values=8_000, digits=20)
FRESH = 5.0  # seconds an answer is used again; what is withdrawn is noticed within this


@dataclass
class Introspector:
    """One introspection endpoint, as a resource server of the same organization uses it."""

    endpoint: str
    http: HttpClient
    clock: Clock
    deadline: float = 3.0  # seconds

    def __post_init__(self) -> None:
        """Begin without answers."""
        self._answers: Remembered[Mapping[str, Any]] = Remembered(self.clock, fresh=FRESH)

    async def look(self, token: str) -> Mapping[str, Any]:
        """What the token stands for (RFC 7662 §2.2), its time checked again here.

        Raises LdnError: login for one that does not count, or when the server does not know us;
        incomplete (502) when it cannot be asked or answers nonsense. Never a token by default.
        """
        told = await self._told(token) if token else INACTIVE
        ends = told.get("exp", 0)
        counts = told["active"] is True and isinstance(ends, int)
        if not counts or ends <= self.clock().timestamp():
            text = "the access token does not count here; ask a new one"
            raise LdnError(Issue.LOGIN, text, detail="introspection: inactive")
        return told

    async def _told(self, token: str) -> Mapping[str, Any]:
        key = hashlib.sha256(token.encode()).hexdigest()
        return await self._answers.get(key, lambda: self._asked(token))

    async def _asked(self, token: str) -> Mapping[str, Any]:
        body = urlencode({"token": token}).encode("ascii")
        reply = await self.http.send(
            "POST", self.endpoint, headers=_FORM, body=body, deadline=self.deadline
        )
        if reply.status in {401, 403}:
            text = "the authorization server does not let us ask about tokens; its operator's turn"
            raise LdnError(Issue.LOGIN, text, detail=f"introspection: {reply.status}")
        return _read(reply)


def _read(reply: Reply) -> Mapping[str, Any]:
    try:
        told = parse(reply.body, _LIMITS) if reply.status == 200 else None
    except LdnError:
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("active"), bool):
        text = "the authorization server cannot tell what the token stands for; try again later"
        raise LdnError(Issue.INCOMPLETE, text, detail=f"introspection: status {reply.status}")
    return told
