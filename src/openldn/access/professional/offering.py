"""The form in which a practitioner offers a patient's data to another provider."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from starlette.responses import Response

from openldn.access.frame.pages import to
from openldn.access.professional.finding import Wrong, wrong_patient
from openldn.access.professional.offered import KINDS, Offered
from openldn.access.professional.offers import LONGEST, SENT
from openldn.access.professional.pages import Visit, render
from openldn.access.professional.question import Holder
from openldn.base.errors import LdnError
from openldn.base.runtime import instant

DAYS = (1, 7, 14, 30)  # how long an offer may stand
RECEIVER = "receiver-"  # how the form names those it is offered to


async def new(visit: Visit) -> Response:
    """The empty form."""
    return await _page(visit, {}, {})


async def made(visit: Visit) -> Response:
    """Makes the offer; with something wrong the form comes again and says what beside each field.

    Offered to several, each is asked whether it could, and one is chosen later.
    """
    fields = await visit.form()
    bsn = "".join(c for c in fields.get("bsn", "") if c not in " .-\u00a0")
    receivers = [name.removeprefix(RECEIVER) for name in fields if name.startswith(RECEIVER)]
    kind = next((k for k in KINDS if k.key == fields.get("kind")), None)
    wrong: Wrong = dict(wrong_patient(bsn))
    if kind is None:
        wrong["kind"] = "offer.kind.empty"
    if not receivers:
        wrong["receiver"] = "offer.receiver.empty"
    if fields.get("treating") != "yes":
        wrong["treating"] = "offer.treating.empty"
    if wrong or kind is None:
        return await _page(visit, fields, wrong)
    days = fields.get("days", "")
    standing = timedelta(days=int(days) if days in map(str, DAYS) else DAYS[1])
    body: dict[str, Any] = {
        "exchange": kind.exchange.code,
        "use_case": kind.case.name,
        "bsn": bsn,
        "receivers": receivers,
        "note": fields.get("note", "").strip()[:LONGEST],
        "expires": instant(visit.portal.clock() + standing),
    }
    made = await _once(visit, fields.get("key", ""), body)
    return to(f"/offers/{made[0].id}" if len(made) == 1 else f"/offers/{SENT}")


async def _once(visit: Visit, key: str, body: Mapping[str, Any]) -> list[Offered]:
    """A form that is sent twice makes one offer; one that was changed in between makes another."""
    try:
        return await visit.portal.gate.make_offer(visit.member, {**body, "key": key})
    except LdnError as error:
        if error.where != "key":
            raise
    fresh = {**body, "key": visit.portal.new_id()}
    return await visit.portal.gate.make_offer(visit.member, fresh)


async def _page(visit: Visit, fields: Mapping[str, str], wrong: Wrong) -> Response:
    holders: Sequence[Holder] = []
    problem: LdnError | None = None
    try:
        listed = await visit.portal.gate.holders(visit.member.provider)
        holders = [h for h in listed if h.ura != visit.member.provider.ura]
    except LdnError as error:
        problem = error
    context = {"fields": fields, "wrong": wrong, "holders": holders, "problem": problem}
    key = fields.get("key") or visit.portal.new_id()
    own = {"key": key, "kinds": KINDS, "days": DAYS, "receiver": RECEIVER, "longest": LONGEST}
    return render(visit, "offer_new.html", context | own, status=400 if wrong else 200)


ROUTES = (
    ("GET", "/offers/new", new, True),
    ("POST", "/offers/new", made, True),
)
