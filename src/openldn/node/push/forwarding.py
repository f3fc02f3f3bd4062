"""Passing what was pushed on to a source system of the organization, as it came, streamed.

Every entry is a conditional create, so that passing it on again, after a fault in between, makes
nothing twice.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from openldn.base.errors import STATUS, Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.fhir.codec import Format, decode, parse
from openldn.fhir.model import FhirVersion, Resource
from openldn.node.push.taking import Parts, joined
from openldn.patterns.push.facts import Fact, Parcel
from openldn.patterns.push.receipt import Line, status_of
from openldn.patterns.push.rules import DOCUMENT, Finding

_SLOWEST = 250_000  # bytes a second
_AT_ONCE = 4  # each holds a connection to the database
_LOCATION = re.compile(
    r"(?:.*/)?([A-Z][A-Za-z]{1,40}/[A-Za-z0-9.-]{1,64}(?:/_history/[\w.-]{1,64})?)"
)
_ISSUES = {status: issue for issue, status in reversed(STATUS.items())}
_REFUSED = frozenset({400, 404, 405, 409, 410, 412, 413, 415, 422})  # of what is in it


@dataclass(frozen=True)
class Forwarding:
    """A source system that takes transactions itself, on the organization's own network."""

    http: HttpClient
    base: str  # FHIR base (URL), without trailing slash
    fhir: FhirVersion
    patience: float = 8.0  # seconds, and beyond that by size
    gate: asyncio.Semaphore = field(  # passed before a connection to the database is taken
        default_factory=lambda: asyncio.Semaphore(_AT_ONCE), repr=False
    )

    async def take(
        self, parcel: Parcel, parts: Parts, refused: Mapping[int, Finding]
    ) -> list[Line]:
        """What became of each entry at the source; of a document one line for the whole.

        Raises LdnError: as the source says for what it refuses, incomplete and timeout when it
        fails or cannot be understood.
        """
        if parcel.form == DOCUMENT:
            return [await self._document(parts)]
        left = [f for f in parcel.facts if f.place not in refused]
        reply = await self._sent("", _without(parts, len(parcel.facts), refused), parcel.size)
        lines = iter(_lines(self._answer(reply), left))
        return [
            Line(status_of([refused[f.place]]), finding=refused[f.place])
            if f.place in refused
            else next(lines)
            for f in parcel.facts
        ]

    async def _document(self, parts: Parts) -> Line:
        content = await joined(parts)
        named = parse(content)["identifier"]
        exists = {"if-none-exist": f"identifier={named.get('system', '')}|{named['value']}"}
        reply = await self._sent("/Bundle", _once(content), len(content), exists)
        if reply.status not in {200, 201}:
            raise _refusal(reply)
        return Line(reply.status, _location(reply.headers.get("location", "")))

    async def _sent(
        self,
        path: str,
        body: AsyncIterator[bytes],
        size: int,
        more: Mapping[str, str] | None = None,
    ) -> Reply:
        mime = f"{Format.JSON.mime}; fhirVersion={self.fhir.mime}"
        return await self.http.send(
            "POST",
            f"{self.base}{path}",
            headers={"content-type": mime, "accept": mime, **(more or {})},
            body=body,
            deadline=self.patience + size / _SLOWEST,
        )

    def _answer(self, reply: Reply) -> Resource:
        if reply.status != 200:
            raise _refusal(reply)
        try:
            found = decode(reply.body, Format.JSON, self.fhir)
        except LdnError as error:
            raise _faulty(str(error.issue)) from error
        if found.get("type") not in {"transaction-response", "batch-response"}:
            raise _faulty("no answer to a transaction")
        return found


async def _without(
    parts: Parts, entries: int, refused: Mapping[int, Finding]
) -> AsyncIterator[bytes]:
    """The content with nothing but commas between the entries, and without those refused."""
    number, first = -1, True
    async for part in parts:
        number += 1
        if not 0 < number <= entries:
            yield part
        elif number - 1 not in refused:
            yield part if first else b"," + part
            first = False


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _lines(answer: Resource, facts: list[Fact]) -> list[Line]:
    entries = answer.get("entry", [])
    if len(entries) != len(facts):
        raise _faulty("not an answer for each entry")
    return [_line(f, e.get("response", {})) for f, e in zip(facts, entries, strict=True)]


def _line(fact: Fact, response: Resource) -> Line:
    """Of the Patient it is not told whether the source knew the person."""
    number = str(response.get("status", ""))[:3]
    status = int(number) if number.isascii() and number.isdigit() else 500
    if status >= 300:
        issue = _ISSUES.get(status, Issue.BUSINESS_RULE)
        where = f"Bundle.entry[{fact.place}]"
        told = Finding("store", issue, "the receiver's own source refuses it", where, fact.place)
        return Line(status_of([told]), finding=told)
    if fact.type == "Patient":
        return Line(200)
    return Line(201 if status == 201 else 200, _location(str(response.get("location", ""))))


def _location(text: str) -> str:
    """The resource and version in an address, without whose address it is."""
    found = _LOCATION.fullmatch(text)
    return found[1] if found else ""


def _refusal(reply: Reply) -> LdnError:
    if reply.status in _REFUSED:
        text = "the receiver's own source refuses it; its operator knows why"
        return LdnError(_ISSUES.get(reply.status, Issue.BUSINESS_RULE), text)
    return _faulty(f"status {reply.status}")


def _faulty(detail: str) -> LdnError:
    text = "the receiver's own source cannot take this now; its operator's turn"
    return LdnError(Issue.INCOMPLETE, text, detail=f"source: {detail}")
