"""The update client: follows directories into a replica, again and again (ITI-90 and ITI-91).

Strictly in order: type by type, page by page. A pass that fails leaves the last good watermark,
and the next one begins there. Source: specification of addressing §7.3, §7.4.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode, urljoin

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.log import emit
from openldn.base.runtime import Clock, instant
from openldn.fhir.codec import parse
from openldn.fhir.model import Resource
from openldn.functions.addressing.replica import Page, Version, page_of, standing
from openldn.functions.addressing.resources import uras
from openldn.functions.addressing.store import Counts, Replicas

Pause = Callable[[float], Awaitable[None]]  # seconds

REPLICATE, AGGREGATE = "lrza-2026", "nuts-aggregate"
_CORE = ("Organization", "Location", "HealthcareService", "Endpoint", "OrganizationAffiliation")
TYPES = {  # in the order in which they are followed
    REPLICATE: _CORE,
    AGGREGATE: (*_CORE[:4], "Practitioner", "PractitionerRole"),
}
_HEADERS = {"accept": "application/fhir+json"}
_PAGES = 100_000  # of one list
_AGAIN = frozenset({429, 502, 503, 504})
_RENUMBERED = "renumbered"
_MARGIN = timedelta(seconds=2)  # when only our own clock tells the time


@dataclass(frozen=True)
class Feed:
    """One directory, read page by page; patient with one that is busy."""

    http: HttpClient
    base: str  # FHIR R4 base, without trailing slash
    clock: Clock
    pause: Pause
    deadline: float = 30.0  # seconds for one page
    count: int = 100  # entries on a page
    tries: int = 4
    patience: float = 300.0  # seconds it may ask us to wait within one pass

    async def pages(self, path: str, query: Mapping[str, str], type: str) -> AsyncIterator[Page]:
        """Every page of this list; the time of the directory stands on the first.

        Raises LdnError: throttled, with the seconds to wait as detail, when it asks for more
        patience than we have; incomplete or timeout when it cannot be read.
        """
        url = f"{self.base}/{path}?{urlencode({**query, '_count': str(self.count)})}"
        seen: set[str] = set()
        while url:
            if url in seen or len(seen) > _PAGES:
                raise _unreadable("a list without end")
            seen.add(url)
            page = await self._page(url, type)
            yield page
            url = self._within(urljoin(url, page.next)) if page.next else ""

    def _within(self, url: str) -> str:
        if not url.startswith((f"{self.base}/", f"{self.base}?")):
            raise _unreadable("a next link that leads elsewhere")
        return url

    async def _page(self, url: str, type: str) -> Page:
        begun = self.clock()
        reply = await self._asked(url)
        found = parse(reply.body)
        if not isinstance(found, dict) or found.get("resourceType") != "Bundle":
            raise _unreadable("not a Bundle")
        page = page_of(found, frozenset({type}))
        told = page.updated or _date(reply) or begun
        moment = told if page.updated else told - _MARGIN
        return Page(page.versions, page.warnings, page.next, moment)

    async def _asked(self, url: str) -> Reply:
        wait = 1.0
        for attempt in range(self.tries):
            reply = await self.http.send("GET", url, headers=_HEADERS, deadline=self.deadline)
            if reply.status == 200:
                return reply
            if reply.status not in _AGAIN:
                break
            asked = retry_after(reply, self.clock())
            if asked > self.patience:
                text = "the directory asks us to wait; the next pass comes after that"
                raise LdnError(Issue.THROTTLED, text, detail=f"{asked:.0f}")
            if attempt < self.tries - 1:
                await self.pause(max(wait, asked))
                wait *= 2
        text = f"the directory answers with status {reply.status}; its operator's turn"
        raise LdnError(Issue.INCOMPLETE, text, detail=f"status {reply.status}")


def retry_after(reply: Reply, now: datetime) -> float:
    """The seconds a reply asks us to wait: a number, or a date. Source: RFC 9110 §10.2.3."""
    text = reply.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    moment = _http_date(text)
    return max(0.0, (moment - now).total_seconds()) if moment else 0.0


def _date(reply: Reply) -> datetime | None:
    return _http_date(reply.headers.get("date", ""))


def _http_date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _unreadable(detail: str) -> LdnError:
    text = "the directory's answer cannot be read; its operator's turn"
    return LdnError(Issue.INCOMPLETE, text, detail=detail)


@dataclass(frozen=True)
class Report:
    """What one pass over one directory came to; the shape of `POST /mcsd/update`."""

    created: int = 0
    updated: int = 0
    deleted: int = 0
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    def as_json(self) -> Resource:
        """The report as JSON."""
        return {
            "created": self.created,
            "updated": self.updated,
            "deleted": self.deleted,
            "warnings": list(self.warnings),
            "errors": list(self.errors),
        }


@dataclass
class Follower:
    """Keeps the replica of one directory up to date."""

    store: Replicas
    feed: Feed
    mode: str = REPLICATE
    name: str = ""  # under which its entries are kept; empty: the base URL
    _resting: datetime | None = field(default=None, init=False)  # it asked to be left alone

    @property
    def directory(self) -> str:
        """The name under which its entries are kept: its base URL."""
        return self.name or self.feed.base

    async def follow(self, *, anew: bool = False) -> Report:
        """One pass: the whole list where it is not known yet, then what changed since.

        Never raises for what the directory does: that stands in the report. `anew` forgets
        what is known first. Raises LdnError(transient) when our own store is away.
        """
        now = self.feed.clock()
        if self._resting and now < self._resting:
            return Report(errors=("throttled: the directory asked us to wait longer",))
        warnings: list[str] = []
        try:
            counts = await self._pass(warnings, anew=anew)
        except LdnError as error:
            if error.issue is Issue.TRANSIENT:
                raise
            if error.detail == _RENUMBERED and not anew:
                return await self.follow(anew=True)
            if error.issue is Issue.THROTTLED:
                self._resting = now + timedelta(seconds=float(error.detail))
            emit("unrenewed", issue=error.issue, detail=error.detail)
            return Report(warnings=tuple(warnings), errors=(str(error),))
        emit("copied", detail=self.directory, count=counts.all)
        return Report(counts.created, counts.updated, counts.deleted, tuple(warnings))

    async def ready(self) -> bool:
        """Whether every type was followed to its end once; before that nothing is served."""
        marks = await self.store.watermarks(self.directory)
        return set(TYPES[self.mode]) <= set(marks)

    async def _pass(self, warnings: list[str], *, anew: bool) -> Counts:
        if anew:
            await self.store.forget(self.directory)
        marks, counts = await self.store.watermarks(self.directory), Counts()
        for type in TYPES[self.mode]:
            since = marks.get(type)
            if since is None:
                loaded, since = await self._read(type, type, {}, warnings)
                counts += loaded
            asked = {"_since": instant(since)}
            changed, moment = await self._read(type, f"{type}/_history", asked, warnings)
            counts += changed
            await self.store.advance(self.directory, {type: moment})
        return counts

    async def _read(
        self, type: str, path: str, query: Mapping[str, str], warnings: list[str]
    ) -> tuple[Counts, datetime]:
        """Take in one list; what it changed, and the time of the directory when it began."""
        counts, began = Counts(), None
        async for page in self.feed.pages(path, query, type):
            began = began or page.updated
            warnings += [f"{path}: {w}" for w in page.warnings]
            if query and self.mode == AGGREGATE:
                await self._unchanged_ura(page)
            counts += await self.store.apply(self.directory, page.versions)
        assert began is not None  # noqa: S101  (each page has a time)
        return counts, began

    async def _unchanged_ura(self, page: Page) -> None:
        """Raise LdnError(conflict) when an organization on this page had another URA before.

        Then the whole directory is read anew. Source: rule D25.
        """
        coming = [v for v in page.versions if v.key.type == "Organization" and v.resource]
        if not coming:
            return
        held = standing(await self.store.versions(self.directory))
        if any(_renumbered(held.get(v.key), v) for v in coming):
            text = "an organization has another URA than before; its directory is read anew"
            raise LdnError(Issue.CONFLICT, text, detail=_RENUMBERED)


def _renumbered(held: Version | None, coming: Version) -> bool:
    if held is None or held.resource is None or coming.resource is None:
        return False
    if coming.rank <= held.rank:
        return False
    before = uras(held.resource.get("identifier", []))
    return before != uras(coming.resource.get("identifier", []))
