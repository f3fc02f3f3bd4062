"""Evidence of the token endpoint: each token that was given, and each that was refused.

Source: specification of audit events §8.6, rows token-issued and token-refused. Neither holds an
assertion, a token or a secret.
"""

import re
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue
from openldn.base.runtime import Clock
from openldn.fhir.codec import parse
from openldn.functions.audit.model import Event, Party, Thing
from openldn.node.evidence import CLIENT_ERROR, FAILED, Log
from openldn.node.refusing import Endpoint, peer_of
from openldn.trust.tokens.errors import Refused

_TOLD = ("grant_type", "scope", "client_id")  # of a request that is refused; never an assertion
_PLAIN = re.compile(r"[A-Za-z0-9 ._:/+~-]{1,200}")
_DIGITS = re.compile(r"\d{7,}")  # no number of a person, wherever it was put
_UNREADABLE = frozenset({Issue.INVALID, Issue.NOT_SUPPORTED, Issue.STRUCTURE, Issue.TOO_LONG})
NOBODY = "unproven"  # who showed no certificate of a party


@dataclass(frozen=True)
class Granting:
    """The token endpoint of a node with its evidence, durable before a token goes out."""

    log: Log
    clock: Clock

    def around(self, routes: Sequence[Route]) -> list[Route]:
        """The same routes; of a token request it is kept how it ended."""
        return [self._around(r) if r.path.endswith("/token") else r for r in routes]

    def _around(self, route: Route) -> Route:
        kept, inner = copy(route), route.endpoint
        return Route(kept.path, self._kept(inner), methods=list(kept.methods or ()))

    def _kept(self, endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)  # the log calls the route by this name
        async def kept(request: Request) -> Response:
            started = self.clock()
            response = await endpoint(request)
            error = getattr(request.state, "refused", None)
            if isinstance(error, Refused):
                if error.issue is not Issue.THROTTLED:  # a flood must not fill the log
                    await self.log.record([self._refused(request, error, started)])
            elif response.status_code == 200:
                await self.log.record([self._issued(request, response, started)])
            return response

        return kept

    def _issued(self, request: Request, response: Response, started: datetime) -> Event:
        answer = parse(bytes(response.body))
        told: Mapping[str, object] = answer if isinstance(answer, dict) else {}
        details = (("scope", str(told.get("scope", ""))), ("exp", str(told.get("expires_in", ""))))
        number = str(told.get("jti", "")) or "unnamed"
        return Event(
            code="token-issued",
            started=started,
            ended=self.clock(),
            client=_client(request),
            things=(Thing(id=f"urn:ietf:params:oauth:jti:{number}", details=details),),
        )

    def _refused(self, request: Request, error: Refused, started: datetime) -> Event:
        return Event(
            code="token-refused",
            started=started,
            ended=self.clock(),
            outcome=CLIENT_ERROR if error.issue in _UNREADABLE else FAILED,
            reason=f"{error.word}: {error.detail}",
            client=_client(request),
            query=_query(getattr(request.state, "form", {})),
        )


def _client(request: Request) -> Party:
    address = request.client.host if request.client else ""
    return Party(peer_of(request) or NOBODY, address=address)


def _query(form: Mapping[str, str]) -> str:
    """The request as far as it may be kept."""
    told = {name: _DIGITS.sub("***", form[name]) for name in _TOLD if _fits(form.get(name, ""))}
    return f"POST token?{urlencode(told, safe=':/')}" if told else "POST token"


def _fits(value: str) -> bool:
    return _PLAIN.fullmatch(value) is not None
