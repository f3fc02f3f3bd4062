"""AuditEvents for a person who may look at the log: FHIR search, two factors, always a period.

Source: specification of audit events §8.8, rule G15; NEN 7513 chapter 8 (two factors).
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.fhir.http import read_body, respond
from openldn.fhir.identifiers import BSN_SYSTEM, URA_SYSTEM, UZI_SYSTEM, Bsn
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.audit.api import within
from openldn.functions.audit.catalogue import ROWS
from openldn.functions.audit.evidence_api import require_own
from openldn.functions.audit.model import READ, AuditFilter, Event, Party
from openldn.functions.audit.service import AuditLog
from openldn.trust.parties import Person
from openldn.trust.people.levels import Level

PATH = "/api/AuditEvent"
LOWEST = Level.SUBSTANTIAL  # two factors
_LARGEST = 16 * 1024  # bytes of a form
_MOST = 1000  # events on a page
_NUMBER = re.compile(r"[0-9]{1,18}")
_NOTHING = ("-",)  # no event has this code


@dataclass(frozen=True)
class LogReader:
    """A person who looks at the log, and how sure it is that it is they."""

    person: Person
    level: Level


WhoReads = Callable[[Request], Awaitable[LogReader]]  # raises LdnError(login) for nobody


def search_routes(log: AuditLog, who: WhoReads) -> list[Route]:
    """`GET /api/AuditEvent` and `POST /api/AuditEvent/_search`."""

    async def find(request: Request) -> Response:
        """GET ?date=ge…&date=le…&outcome=…&type=…: a searchset; without a period 400."""
        pairs = parse_qsl(request.url.query, keep_blank_values=True)
        return await _answer(request, log, who, pairs)

    async def search(request: Request) -> Response:
        """POST the same as a form, where a patient may be asked."""
        form = (await read_body(request, _LARGEST)).decode("utf-8", errors="replace")
        return await _answer(request, log, who, parse_qsl(form, keep_blank_values=True))

    return [Route(PATH, find, methods=["GET"]), Route(f"{PATH}/_search", search, methods=["POST"])]


async def _answer(
    request: Request, log: AuditLog, who: WhoReads, pairs: list[tuple[str, str]]
) -> Response:
    require_own(request, log)
    reader = await who(request)
    if reader.level < LOWEST:
        text = "an audit log needs a login with two factors; sign in again with both"
        raise LdnError(Issue.LOGIN, text, detail="audit.factors")
    started, wanted = log.clock(), asked(pairs, posted=request.method == "POST")
    page = await log.find(wanted)
    await log.record([_reading(request, log, reader, (wanted, started, len(page.events)))])
    shown = [msgspec.json.decode(body) for body in page.events]
    bundle: Resource = {"resourceType": "Bundle", "type": "searchset"}
    bundle["link"] = list(_links(wanted, pairs, page.next))
    if shown:
        bundle["entry"] = [
            {"fullUrl": f"urn:uuid:{e['id']}", "resource": e, "search": {"mode": "match"}}
            for e in shown
        ]
    return respond(request, bundle, FhirVersion.R4)


def asked(pairs: Iterable[tuple[str, str]], *, posted: bool) -> AuditFilter:
    """The filter these parameters ask; raises LdnError(invalid) that names the parameter."""
    wanted = AuditFilter()
    for name, value in pairs:
        reader = _READERS.get(name)
        if reader is None:
            text = f"an unknown parameter; there are: {', '.join(sorted(_READERS))}"
            raise LdnError(Issue.INVALID, text)
        if name == "patient:identifier" and not posted:
            text = f"a patient never stands in an address: POST a form to {PATH}/_search"
            raise LdnError(Issue.INVALID, text, where=name)
        wanted = reader(wanted, value)
    if wanted.since is None or wanted.until is None:
        text = "a period is mandatory: date=ge2027-03-01&date=le2027-03-31"
        raise LdnError(Issue.INVALID, text, where="date")
    return wanted


def _patient(wanted: AuditFilter, value: str) -> AuditFilter:
    return replace(wanted, patient=Bsn.parse(value.removeprefix(f"{BSN_SYSTEM}|")))


def _agent(wanted: AuditFilter, value: str) -> AuditFilter:
    system, _, number = value.rpartition("|")
    if system == URA_SYSTEM and number:
        return replace(wanted, organization=number)
    if system == UZI_SYSTEM and number:
        return replace(wanted, actor=number)
    text = f"agent:identifier={URA_SYSTEM}|… or {UZI_SYSTEM}|…"
    raise LdnError(Issue.INVALID, text, where="agent:identifier")


def _outcome(wanted: AuditFilter, value: str) -> AuditFilter:
    if value not in {"0", "4", "8", "12"}:
        raise LdnError(Issue.INVALID, "outcome is 0, 4, 8 or 12", where="outcome")
    return replace(wanted, outcome=value)


def _narrowed(wanted: AuditFilter, codes: Iterable[str]) -> AuditFilter:
    """Only these codes, and of those that were asked before only what is in both."""
    found = tuple(code for code in codes if not wanted.codes or code in wanted.codes)
    return replace(wanted, codes=found or _NOTHING)


def _tagged(wanted: AuditFilter, value: str) -> AuditFilter:
    return _narrowed(wanted, [value.rpartition("|")[2]])


def _typed(wanted: AuditFilter, value: str) -> AuditFilter:
    code = value.rpartition("|")[2]
    return _narrowed(wanted, (r.code for r in ROWS.values() if _code(r.type) == code))


def _subtyped(wanted: AuditFilter, value: str) -> AuditFilter:
    code = value.rpartition("|")[2]
    rows = (r for r in ROWS.values() if code in map(_code, r.subtypes))
    return _narrowed(wanted, (row.code for row in rows))


def _code(word: str) -> str:
    return word.partition("#")[2]


def _source(wanted: AuditFilter, value: str) -> AuditFilter:
    return wanted  # every event in this log has the same source


def _counted(wanted: AuditFilter, value: str) -> AuditFilter:
    return replace(wanted, count=max(1, min(_number("_count", value), _MOST)))


def _paged(wanted: AuditFilter, value: str) -> AuditFilter:
    return replace(wanted, page=_number("page", value))


def _number(name: str, value: str) -> int:
    if not _NUMBER.fullmatch(value):
        raise LdnError(Issue.INVALID, f"the value of {name} cannot be read", where=name)
    return int(value)


_READERS: Mapping[str, Callable[[AuditFilter, str], AuditFilter]] = {
    "date": within,
    "patient:identifier": _patient,
    "agent:identifier": _agent,
    "source": _source,
    "outcome": _outcome,
    "type": _typed,
    "subtype": _subtyped,
    "_tag": _tagged,
    "_count": _counted,
    "page": _paged,
    "_format": lambda wanted, value: wanted,  # read where the answer is written
}


def _open(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The parameters that may stand in an address."""
    return [(n, v) for n, v in pairs if n not in {"patient:identifier", "page"}]


def _links(
    wanted: AuditFilter, pairs: list[tuple[str, str]], following: int
) -> Iterable[dict[str, str]]:
    path = f"{PATH}/_search" if wanted.patient else PATH
    yield {"relation": "self", "url": f"{path}?{urlencode(_open(pairs))}"}
    if following:
        more = [*_open(pairs), ("page", str(following))]
        yield {"relation": "next", "url": f"{path}?{urlencode(more)}"}


def _reading(
    request: Request, log: AuditLog, reader: LogReader, what: tuple[AuditFilter, datetime, int]
) -> Event:
    wanted, started, count = what
    narrowed = [n for n in ("outcome", "organization", "actor") if getattr(wanted, n)]
    told = " ".join([*narrowed, *wanted.codes])
    return Event(
        code=READ,
        started=started,
        ended=log.clock(),
        purpose="HOPERAT",
        client=Party(str(log.source.holder), address=request.client.host if request.client else ""),
        person=reader.person,
        organization=log.source.holder,
        patient=wanted.patient,
        query=f"{request.method} AuditEvent since {wanted.since} until {wanted.until} {told}",
        correlation=request.state.correlation,
        count=count,
    )
