"""A patient's access log at one node: shown to the patient, and to the organization's own desk.

Source: specification of audit events §8.8 (access overview), rules G16, G17.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.fhir.http import read_json, respond_json
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.audit.catalogue import SHOWN
from openldn.functions.audit.model import READ, AuditFilter, Event, Party
from openldn.functions.audit.overview import Period, Told, sight_of
from openldn.functions.audit.service import AuditLog
from openldn.trust.certificates import require_party
from openldn.trust.evidence import Proof
from openldn.trust.parties import Requester
from openldn.trust.tokens.api import shown
from openldn.trust.tokens.model import Verify

PATH = "/api/access-log"
SCOPE = "access-log"  # of a token of the patient
CATEGORY = "Logging"
_PATIENT = "PATRQT"  # v3-ActReason: the patient asks
_LONGEST = timedelta(days=366)  # of a period
_MOST = 500  # events on a page
_LARGEST = 4 * 1024  # bytes of a question


@dataclass(frozen=True)
class Reader:
    """Who looks: the patient through an organization of their choice, or our own desk."""

    organization: Ura
    patient: bool
    token: str = ""
    name: str = ""


MayRead = Callable[[Request, Bsn], Awaitable[Reader]]  # raises LdnError: login, forbidden


@dataclass(frozen=True)
class PatientOrDesk:
    """The patient with a token of their own (basis patient-access), or our own certificate."""

    log: AuditLog
    verify: Verify
    public: str  # origin of this node, as others know it

    async def __call__(self, request: Request, patient: Bsn) -> Reader:
        """Who looks; raises LdnError: login, or forbidden for anybody else's log."""
        if "authorization" in request.headers:
            grant = await self.verify(shown(request, self.public))
            require_patient(grant.requester, patient)
            requester = grant.requester
            return Reader(requester.organization, True, grant.id, requester.organization_name)
        party = require_party(peer_certificate(request.scope), self.log.clock())
        if party.ura != self.log.source.holder:
            text = "an access log is shown to the patient, with a token, and to our own desk"
            raise LdnError(Issue.FORBIDDEN, text)
        return Reader(party.ura, False)


def require_patient(requester: Requester, patient: Bsn) -> None:
    """Raises LdnError(forbidden) unless this is the patient, asking for their own access log.

    Which of these failed is not told: whether somebody has a log here is no one else's business.
    """
    own = requester.patient is not None and requester.patient == patient
    if not own or requester.purpose != _PATIENT or SCOPE not in requester.scopes:
        text = f"this needs a token of the patient for their own log, with the scope {SCOPE}"
        raise LdnError(Issue.FORBIDDEN, text, detail="access-log.patient")


def by_the_patient(proof: Proof, scopes: frozenset[str]) -> bool:
    """Whether a token for an access log may be given: about one patient, who asks, for it alone."""
    alone = scopes == {SCOPE} and proof.person is None
    return alone and proof.patient is not None and proof.purpose == _PATIENT


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bsn: str
    since: datetime
    until: datetime
    page: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] = 0


def overview_routes(log: AuditLog, may_read: MayRead, *, names: bool = False) -> list[Route]:
    """`POST /api/access-log` with bsn, since and until: what happened to one patient's data here.

    `names`: whether the names of staff are shown, where the log has them.
    """

    async def told(request: Request) -> Response:
        """POST {"bsn", "since", "until", "page"}: one page of sights, newest first."""
        started = log.clock()
        patient, period, page = _question(await read_json(request, _LARGEST))
        reader = await may_read(request, patient)
        wanted = AuditFilter(
            patient, period.since, period.until, codes=SHOWN, count=_MOST, page=page
        )
        found = await log.find(wanted)
        sights = tuple(
            sight_of(msgspec.json.decode(body), seq, names=names)
            for body, seq in zip(found.events, found.places, strict=True)
        )
        await log.record([_seen(request, log, reader, (patient, started, len(sights)))])
        answer = Told(holder=str(log.source.holder), sights=sights, next=found.next)
        return respond_json(msgspec.to_builtins(answer))

    return [Route(PATH, told, methods=["POST"])]


def _question(body: dict[str, Any]) -> tuple[Bsn, Period, int]:
    try:
        asked = msgspec.convert(body, _Asked)
    except msgspec.ValidationError as error:
        text = "the question needs bsn, since and until (moments with a time zone); page may follow"
        raise LdnError(Issue.INVALID, text) from error
    patient = Bsn.parse(asked.bsn)
    if asked.since.tzinfo is None or asked.until.tzinfo is None:
        raise LdnError(Issue.INVALID, "since and until need a time zone", where="since")
    if not all(1 < moment.year < 9999 for moment in (asked.since, asked.until)):
        raise LdnError(Issue.INVALID, "since or until is no moment of a log", where="since")
    if not timedelta(0) < asked.until - asked.since <= _LONGEST:
        text = f"a period lasts at least a moment and at most {_LONGEST.days} days"
        raise LdnError(Issue.INVALID, text, where="until")
    return patient, Period(asked.since, asked.until), asked.page


def _seen(
    request: Request, log: AuditLog, reader: Reader, what: tuple[Bsn, datetime, int]
) -> Event:
    """That somebody looked is itself an event."""
    patient, started, count = what
    return Event(
        code="citizen-viewed" if reader.patient else READ,
        started=started,
        ended=log.clock(),
        purpose=_PATIENT if reader.patient else "HOPERAT",
        client=Party(
            str(reader.organization), address=request.client.host if request.client else ""
        ),
        citizen="PAT" if reader.patient else "",
        organization=reader.organization,
        patient=patient,
        query="POST access-log",
        interaction="search-type",
        correlation=request.state.correlation,
        token=reader.token,
        legal_basis="patient-access" if reader.patient else "",
        categories=(CATEGORY,),
        count=count,
    )
