"""The form in which somebody breaks the glass: why, and what follows from it."""

from collections.abc import Mapping

from starlette.responses import Response

from openldn.access.frame.pages import to
from openldn.access.professional.everyone import Glass
from openldn.access.professional.finding import Wrong, wrong_patient
from openldn.access.professional.gathering import typed
from openldn.access.professional.pages import Visit, render
from openldn.fhir.identifiers import Bsn
from openldn.functions.authorization.emergency import LONGEST, REASONS, SHORTEST, WINDOW
from openldn.trust.people.levels import Level


async def form(visit: Visit) -> Response:
    """The form, with what follows from sending it."""
    return _page(visit, {}, {})


async def ask(visit: Visit) -> Response:
    """Asks everyone in an emergency; with something wrong the form says what beside each field."""
    fields = await visit.form()
    bsn = typed(fields.get("bsn", ""))
    wrong = wrong_patient(bsn) | _wrong_reason(fields) | _unaware(fields)
    if wrong or not _firm(visit):
        return _page(visit, fields, wrong)
    glass = Glass(fields["code"], " ".join(fields["text"].split()))
    asked = await visit.portal.collect(visit.member, Bsn.parse(bsn), glass)
    return to(f"/everyone/{asked.id}")


ROUTES = (
    ("GET", "/emergency", form, True),
    ("POST", "/emergency", ask, True),
)


def _page(visit: Visit, fields: Mapping[str, str], wrong: Wrong) -> Response:
    minutes = round(WINDOW.total_seconds() / 60)
    bounds = {"reasons": REASONS, "shortest": SHORTEST, "longest": LONGEST, "minutes": minutes}
    context = {"fields": fields, "wrong": wrong, "firm": _firm(visit), **bounds}
    refused = wrong or (fields and not _firm(visit))
    return render(visit, "emergency.html", context, status=400 if refused else 200)


def _firm(visit: Visit) -> bool:
    """Whether this person signed in firmly enough to break the glass."""
    standing = visit.member.standing
    return standing is not None and standing.level >= Level.HIGH


def _wrong_reason(fields: Mapping[str, str]) -> Wrong:
    wrong: Wrong = {}
    if fields.get("code") not in REASONS:
        wrong["code"] = "emergency.code.empty"
    text = " ".join(fields.get("text", "").split())
    if not SHORTEST <= len(text) <= LONGEST or not text.isprintable():
        wrong["text"] = "emergency.text.wrong"
    return wrong


def _unaware(fields: Mapping[str, str]) -> Wrong:
    return {} if fields.get("aware") == "yes" else {"aware": "emergency.aware.empty"}
