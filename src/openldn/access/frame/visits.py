"""Who is signed in at a door, and which forms and names are ours; in memory, bounded."""

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.fhir.http import read_body

T = TypeVar("T")
MOST_SESSIONS = 200
_LARGEST_FORM = 16 * 1024
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass
class Signed(Generic[T]):
    """One who signed in: as what, and since when."""

    id: str = field(repr=False)
    member: T
    began: datetime
    used: datetime


@dataclass
class Forms:
    """What tells the forms of this process from any other."""

    _secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def proof(self, visit: str) -> str:
        """What a form of this visit carries to prove that it is one of ours."""
        return hmac.new(self._secret, visit.encode(), hashlib.sha256).hexdigest()

    def proven(self, visit: str, proof: str) -> bool:
        """Whether the form was made by us for this visit."""
        return bool(visit) and hmac.compare_digest(self.proof(visit).encode(), proof.encode())

    async def read(self, request: Request, visit: str) -> Mapping[str, str]:
        """The fields of a form that we made; raises LdnError(forbidden) for any other."""
        site = request.headers.get("sec-fetch-site", "same-origin")
        if site not in {"same-origin", "none"}:
            text = "this form came from another site; start at our own page"
            raise LdnError(Issue.FORBIDDEN, text)
        body = await read_body(request, _LARGEST_FORM)
        try:
            fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=32))
        except ValueError as error:
            text = "the form cannot be read; go back and try again"
            raise LdnError(Issue.INVALID, text) from error
        if not self.proven(visit, fields.get("proof", "")):
            text = "this form is too old or not ours; open the page again"
            raise LdnError(Issue.FORBIDDEN, text)
        return fields


@dataclass
class Visits(Generic[T]):
    """All sessions of this process, gone with it."""

    clock: Clock
    idle: timedelta
    longest: timedelta
    forms: Forms = field(default_factory=Forms, repr=False)
    _open: OrderedDict[str, Signed[T]] = field(default_factory=OrderedDict, repr=False)

    def begin(self, member: T) -> Signed[T]:
        """A new session; beyond the most we keep, the one unused longest ends."""
        self._sweep()
        while len(self._open) >= MOST_SESSIONS:
            self._open.popitem(last=False)
        now = self.clock()
        signed = Signed(secrets.token_urlsafe(32), member, now, now)
        self._open[signed.id] = signed
        return signed

    def find(self, id: str) -> Signed[T] | None:
        """The living session with this id, which counts as used now; None for any other."""
        self._sweep()
        signed = self._open.get(id)
        if signed is not None:
            signed.used = self.clock()
            self._open.move_to_end(id)
        return signed

    def end(self, id: str) -> None:
        """End a session; nothing happens when there is none."""
        self._open.pop(id, None)

    def _sweep(self) -> None:
        now = self.clock()
        over = [
            s.id
            for s in self._open.values()
            if now - s.used > self.idle or now - s.began > self.longest
        ]
        for id in over:
            self.end(id)


def require_own_host(request: Request, hosts: Collection[str]) -> None:
    """Refuses names that are not ours, so that no foreign site can point its name at us."""
    if (request.url.hostname or "") not in {*_LOOPBACK, *hosts}:
        raise LdnError(Issue.FORBIDDEN, "this name is not ours; the operator must add it to hosts")


def give_cookie(
    response: Response, name: str, value: str, *, path: str, seconds: int | None = None
) -> None:
    """A cookie that no script can read and no other site sends along."""
    response.set_cookie(name, value, seconds, path=path, httponly=True, samesite="strict")
