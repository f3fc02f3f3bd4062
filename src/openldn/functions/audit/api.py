"""The audit log on the wire, for the organization that keeps it and nobody else.

Source: specification of audit events §8.8, rule G15.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import parse
from openldn.fhir.http import read_body, respond, respond_json
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.audit.evidence_api import PATH, Own, evidence_routes, require_own
from openldn.functions.audit.model import READ, AuditFilter, Event, Party
from openldn.functions.audit.service import AuditLog
from openldn.functions.audit.vouching import Vouching

_LARGEST = 16 * 1024  # bytes of a form
_CODES = 50  # of one question: the whole catalogue
_MOST = 1000  # events on a page
_DATE = re.compile(
    r"(ge|gt|le|lt|eq)?((?:19|20|21)\d\d-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d))?)"
)
_DIGITS = re.compile(r"[0-9]{1,18}")
_CODE = re.compile(r"[a-z-]{1,64}")
_CORRELATION = re.compile(r"[A-Za-z0-9-]{1,64}")


def routes(log: AuditLog, vouching: Vouching | None = None, own: Own = require_own) -> list[Route]:
    """`GET /api/audit`, `POST /api/audit/_search` and `GET /api/audit/$verify`.

    With `vouching` also the heads, the proofs and the export, and `$verify` minds the heads.
    `own` says who may look: the keeper of the log.
    """

    async def find(request: Request) -> Response:
        """GET ?date=ge…&date=lt…&_tag=…&correlation=…: a searchset of AuditEvents."""
        own(request, log)
        pairs = parse_qsl(request.url.query, keep_blank_values=True)
        return await _answer(request, log, pairs)

    async def search(request: Request) -> Response:
        """POST the same as a form, and `patient`, which never stands in an address."""
        own(request, log)
        form = (await read_body(request, _LARGEST)).decode("utf-8", errors="replace")
        return await _answer(request, log, parse_qsl(form, keep_blank_values=True))

    async def verify(request: Request) -> Response:
        """GET $verify: whether the chain is whole, and where it is not."""
        own(request, log)
        heads = await vouching.heads() if vouching is not None else []
        verdict = await log.verify(heads)
        found = {"events": verdict.events, "broken": verdict.broken, "reason": verdict.reason}
        signed = max((head.size for head in heads), default=0)
        return respond_json({"intact": verdict.intact, **found, "signed": signed})

    return [
        Route(PATH, find, methods=["GET"]),
        Route(f"{PATH}/_search", search, methods=["POST"]),
        Route(f"{PATH}/$verify", verify, methods=["GET"]),
        *(evidence_routes(vouching, own) if vouching is not None else []),
    ]


async def _answer(request: Request, log: AuditLog, pairs: list[tuple[str, str]]) -> Response:
    wanted = filter_of(pairs, posted=request.method == "POST")
    started = log.clock()
    page = await log.find(wanted)
    shown = [parse(body) for body in page.events]
    await log.record([_reading(request, log, wanted, started, len(shown))])
    bundle: Resource = {
        "resourceType": "Bundle",
        "type": "searchset",
        "link": list(_links(wanted, page.next)),
        "entry": [
            {"fullUrl": f"urn:uuid:{e['id']}", "resource": e, "search": {"mode": "match"}}
            for e in shown
        ],
    }
    if not shown:
        del bundle["entry"]
    return respond(request, bundle, FhirVersion.R4)


def _reading(
    request: Request, log: AuditLog, wanted: AuditFilter, started: datetime, count: int
) -> Event:
    """That the log was consulted is itself an event."""
    patient = f"patient={BSN_SYSTEM}|{wanted.patient.value}&" if wanted.patient else ""
    holder = log.source.holder
    return Event(
        code=READ,
        started=started,
        ended=log.clock(),
        purpose="HOPERAT",
        client=Party(str(holder), address=request.client.host if request.client else ""),
        organization=holder,
        patient=wanted.patient,
        query=f"{request.method} AuditEvent?{patient}{urlencode(_pairs(wanted))}",
        correlation=request.state.correlation,
        count=count,
    )


def filter_of(pairs: Iterable[tuple[str, str]], *, posted: bool) -> AuditFilter:
    """The filter these parameters ask; raises LdnError(invalid) that names the parameter.

    A period or a correlation id is mandatory, so that nobody pulls the whole log by accident.
    """
    wanted = AuditFilter()
    for name, value in pairs:
        if name == "patient" and not posted:
            text = f"a patient never stands in an address: POST a form to {PATH}/_search"
            raise LdnError(Issue.INVALID, text, where="patient")
        wanted = _with(wanted, name, value)
    if not (wanted.correlation or wanted.since):
        text = "give a period (date=ge2027-03-01) or a correlation id"
        raise LdnError(Issue.INVALID, text, where="date")
    return wanted


def _with(wanted: AuditFilter, name: str, value: str) -> AuditFilter:
    reader = _READERS.get(name)
    if reader is None:
        text = f"an unknown parameter; there are: {', '.join(sorted(_READERS))}"
        raise LdnError(Issue.INVALID, text)
    return reader(wanted, value)


def _patient(wanted: AuditFilter, value: str) -> AuditFilter:
    return replace(wanted, patient=Bsn.parse(value.removeprefix(f"{BSN_SYSTEM}|")))


def _correlated(wanted: AuditFilter, value: str) -> AuditFilter:
    return replace(wanted, correlation=_readable("correlation", value, _CORRELATION))


def _tagged(wanted: AuditFilter, value: str) -> AuditFilter:
    """One code, or any of several with commas in between."""
    codes = tuple(_readable("_tag", code, _CODE) for code in value.split(",")[:_CODES])
    return replace(wanted, code=codes[0]) if len(codes) == 1 else replace(wanted, codes=codes)


def _counted(wanted: AuditFilter, value: str) -> AuditFilter:
    number = int(_readable("_count", value, _DIGITS))
    return replace(wanted, count=max(1, min(number, _MOST)))


def _paged(wanted: AuditFilter, value: str) -> AuditFilter:
    return replace(wanted, page=int(_readable("page", value, _DIGITS)))


def _formatted(wanted: AuditFilter, value: str) -> AuditFilter:
    return wanted  # read where the answer is written


def _readable(name: str, value: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(value):
        raise LdnError(Issue.INVALID, f"the value of {name} cannot be read", where=name)
    return value


def within(wanted: AuditFilter, value: str) -> AuditFilter:
    """The filter, narrowed by one `date`: a day, or a moment with a time zone."""
    found = _DATE.fullmatch(value)
    wrong = LdnError(Issue.INVALID, "date: ge2027-03-01 or lt2027-03-01T12:00:00Z", where="date")
    if not found:
        raise wrong
    prefix, text = found[1] or "eq", found[2]
    try:
        start = datetime.fromisoformat(text if "T" in text else f"{text}T00:00:00Z")
        after = start + (timedelta(milliseconds=1) if "T" in text else timedelta(days=1))
    except (ValueError, OverflowError) as error:
        raise wrong from error
    since = {"ge": start, "gt": after, "eq": start}.get(prefix, wanted.since)
    until = {"le": after, "lt": start, "eq": after}.get(prefix, wanted.until)
    return replace(wanted, since=since, until=until)


_READERS: dict[str, Callable[[AuditFilter, str], AuditFilter]] = {
    "date": within,
    "patient": _patient,
    "correlation": _correlated,
    "_tag": _tagged,
    "_count": _counted,
    "page": _paged,
    "_format": _formatted,
}


def _pairs(wanted: AuditFilter) -> list[tuple[str, str]]:
    """The parameters of a filter, without its patient."""
    pairs = [
        ("date", f"ge{wanted.since.isoformat()}" if wanted.since else ""),
        ("date", f"lt{wanted.until.isoformat()}" if wanted.until else ""),
        ("_tag", wanted.code or ",".join(wanted.codes)),
        ("correlation", wanted.correlation),
        ("_count", str(wanted.count)),
    ]
    return [(n, v) for n, v in pairs if v]


def _links(wanted: AuditFilter, following: int) -> Iterable[Resource]:
    """Self and next; where a patient was asked, the form must be posted again with the page."""
    path = f"{PATH}/_search" if wanted.patient else PATH
    pairs = _pairs(wanted)
    yield {"relation": "self", "url": f"{path}?{urlencode(pairs)}"}
    if following:
        pairs = [*pairs, ("page", str(following))]
        yield {"relation": "next", "url": f"{path}?{urlencode(pairs)}"}
