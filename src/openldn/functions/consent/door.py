"""The registry as a door of citizens speaks to it: reading, recording and confirming choices."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Bsn
from openldn.functions.consent import wire
from openldn.functions.consent.client import require
from openldn.functions.consent.model import Choice
from openldn.functions.consent.persons import Chooser

_JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Standing:
    """What somebody chose, as the registry keeps it."""

    choices: tuple[Choice, ...] = field(repr=False)
    version: int
    code: str = field(default="", repr=False)  # a parent must confirm with it what was just sent


class _Told(msgspec.Struct, frozen=True):
    version: int
    choices: list[wire.ChoiceWire]
    code: str = ""


@dataclass(frozen=True)
class Door:
    """One door; it vouches for who came in by it."""

    http: HttpClient
    url: str  # origin of the registry, without trailing slash
    headers: Callable[[], Awaitable[Mapping[str, str]]]  # a token with consent:choose
    deadline: float = 5.0  # seconds

    async def read(self, patient: Bsn) -> Standing:
        """What this person chose; raises LdnError when the registry cannot be asked."""
        body = {"patient": patient.value}
        return _standing(require(await self._send("POST", "/choices/read", body), 200))

    async def record(
        self, patient: Bsn, born: date, choices: Sequence[Choice], version: int, by: Chooser
    ) -> Standing:
        """These choices in the place of that version; with a code when a parent must confirm.

        Raises LdnError: conflict with status 412 when another version stands, business-rule
        when a person of this age cannot choose so.
        """
        body = {
            "patient": patient.value,
            "born": born.isoformat(),
            "choices": [wire.choice(c) for c in choices],
            "by": by.value,
        }
        match = {"if-match": f'"{version}"'}
        reply = await self._send("PUT", "/choices", body, match)
        if reply.status == 412:
            text = "the choices changed meanwhile; look at them again"
            raise LdnError(Issue.CONFLICT, text, status=412)
        return _standing(require(reply, 200, 202))

    async def confirm(self, patient: Bsn, code: str) -> None:
        """A parent confirms; raises LdnError(forbidden | not-found) for another code."""
        body = {"patient": patient.value, "code": code}
        require(await self._send("POST", "/choices/confirm", body), 200)

    async def _send(
        self, method: str, path: str, body: object, more: Mapping[str, str] | None = None
    ) -> Reply:
        headers = {**_JSON, **(more or {}), **await self.headers()}
        url = f"{self.url}{path}"
        return await self.http.send(
            method, url, headers=headers, body=dump(body), deadline=self.deadline
        )


def _standing(reply: Reply) -> Standing:
    try:
        told = msgspec.json.decode(reply.body, type=_Told)
        choices = tuple(wire.choices_of(told.choices))
    except (msgspec.DecodeError, LdnError) as error:
        text = "the consent registry answered something unintelligible; its operator's turn"
        raise LdnError(Issue.INCOMPLETE, text) from error
    return Standing(choices, told.version, told.code)
