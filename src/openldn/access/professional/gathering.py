"""The pages of a question to everyone: answers appear as they come, with JavaScript or without."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response, StreamingResponse

from openldn.access.frame.pages import to
from openldn.access.professional.everyone import Collection
from openldn.access.professional.facts import Chapter, Fact
from openldn.access.professional.finding import wrong_patient, wrong_purpose
from openldn.access.professional.pages import HEADERS, Visit, render
from openldn.access.professional.question import Question
from openldn.access.professional.summary import Summary, summary
from openldn.fhir.identifiers import Bsn

PAUSE = 0.25  # seconds between two pushes, so that a browser can keep up
BEAT = 15.0  # seconds without news until we say that we are there
STREAM = HEADERS | {"x-accel-buffering": "no"}


@dataclass(frozen=True)
class Row:
    """One fact, and the holder who told it."""

    question: Question
    fact: Fact


@dataclass(frozen=True)
class Gathered:
    """One section with what every holder told."""

    chapter: Chapter
    rows: tuple[Row, ...]
    more: int  # facts that do not fit on the page

    @property
    def key(self) -> str:
        """The key of the section."""
        return self.chapter.section.key


async def form(visit: Visit) -> Response:
    """The form in which to ask everyone about a patient."""
    return render(visit, "everyone_ask.html", {"fields": {}, "wrong": {}})


async def ask(visit: Visit) -> Response:
    """Asks everyone who holds data; with something wrong the form says what beside each field."""
    fields = await visit.form()
    bsn = typed(fields.get("bsn", ""))
    wrong = wrong_patient(bsn) | wrong_purpose(fields)
    if wrong:
        return render(visit, "everyone_ask.html", {"fields": fields, "wrong": wrong}, status=400)
    asked = await visit.portal.collect(visit.member, Bsn.parse(bsn))
    return to(f"/everyone/{asked.id}")


def typed(bsn: str) -> str:
    """The number as it was typed, without what people put between the digits."""
    return "".join(c for c in bsn if c not in " .-\u00a0")


async def page(visit: Visit) -> Response:
    """What came in so far of everyone."""
    asked = _asked(visit)
    return _hidden(render(visit, "everyone.html", _shown(visit, asked)), asked)


async def stream(visit: Visit) -> Response:
    """The changing parts, each time that something came in (server-sent events)."""
    return StreamingResponse(
        _pushed(visit, _asked(visit)), media_type="text/event-stream", headers=STREAM
    )


ROUTES = (
    ("GET", "/everyone", form, True),
    ("POST", "/everyone", ask, True),
    ("GET", "/everyone/{id}", page, True),
    ("GET", "/everyone/{id}/stream", stream, True),
)


async def _pushed(visit: Visit, asked: Collection) -> AsyncIterator[bytes]:
    seen = -1
    while True:
        if asked.version != seen:
            seen, done = asked.version, asked.done
            parts = bytes(
                _hidden(render(visit, "everyone_parts.html", _shown(visit, asked)), asked).body
            )
            yield _event("parts", parts)
            if done:
                yield _event("done", b"")
                return
            await asyncio.sleep(PAUSE)
            continue
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT):
                await asked.changed()
        if asked.version == seen:
            yield b": still there\n\n"


def _event(name: str, text: bytes) -> bytes:
    lines = b"".join(b"data: " + line + b"\n" for line in text.splitlines() or [b""])
    return b"event: " + name.encode() + b"\n" + lines + b"\n"


def _asked(visit: Visit) -> Collection:
    return visit.member.collection(visit.request.path_params["id"])


def _shown(visit: Visit, asked: Collection) -> dict[str, Any]:
    today = visit.portal.clock().date()
    made = {ura: _summary(part, visit, today) for ura, part in asked.parts.items()}
    who = next((s.identity for s in made.values() if s.identity.found), None)
    return {"asked": asked, "made": made, "who": who, "sections": _sections(list(made.values()))}


def _summary(part: Question, visit: Visit, today: Any) -> Summary:
    return summary(part, visit.words, today)


def _sections(made: list[Summary]) -> list[Gathered]:
    """Every section of which anything came, with the facts of all holders in order of URA."""
    found = []
    for parts in zip(*(s.every for s in made), strict=True):
        rows = tuple(
            Row(whole.question, fact)
            for whole, part in zip(made, parts, strict=True)
            for fact in part.chapter.facts
        )
        chapter = Chapter(parts[0].chapter.section, tuple(row.fact for row in rows))
        if rows:
            found.append(Gathered(chapter, rows, sum(part.chapter.more for part in parts)))
    return found


def _hidden(response: Response, asked: Collection) -> Response:
    """The page without the BSN, wherever in an answer it may have stood."""
    number, masked = asked.bsn.value.encode(), asked.bsn.masked.encode()
    response.body = bytes(response.body).replace(number, masked)
    response.headers["content-length"] = str(len(response.body))
    return response
