"""The page on which a practitioner says which patient and which provider it is about."""

from collections.abc import Mapping

from starlette.responses import Response

from openldn.access.frame.pages import to
from openldn.access.professional.pages import Visit, render
from openldn.access.professional.question import Holder, Where
from openldn.base.errors import LdnError
from openldn.fhir.identifiers import Bsn

Wrong = dict[str, str]  # field -> key of the text that says what is wrong with it


async def find(visit: Visit) -> Response:
    """The form in which to ask for a patient."""
    return await _page(visit, {}, {})


async def asked(visit: Visit) -> Response:
    """Asks the chosen provider, or tells who holds data, by the button that was pressed.

    With something wrong the form comes again, and says what beside each field.
    """
    fields = await visit.form()
    bsn = "".join(c for c in fields.get("bsn", "") if c not in " .-\u00a0")
    wrong = wrong_patient(bsn)
    if fields.get("do") == "where":
        return await _where(visit, fields, bsn, wrong | wrong_purpose(fields))
    holders = await visit.portal.gate.holders(visit.member.provider)
    holder = next((h for h in holders if h.ura == fields.get("holder") and h.able), None)
    if holder is None:
        wrong["holder"] = "find.holder.empty"
    wrong |= wrong_purpose(fields)
    if wrong or holder is None:
        return await _page(visit, fields, wrong)
    question = visit.portal.ask(visit.member, Bsn.parse(bsn), holder)
    return to(f"/questions/{question.id}")


async def _where(visit: Visit, fields: Mapping[str, str], bsn: str, wrong: Wrong) -> Response:
    """The form as it was filled in, with the providers marked that hold data."""
    if wrong:
        return await _page(visit, fields, wrong)
    where = await visit.portal.locate(visit.member, Bsn.parse(bsn))
    return await _page(visit, fields, {}, where)


async def _page(
    visit: Visit, fields: Mapping[str, str], wrong: Wrong, where: Where | None = None
) -> Response:
    holders: list[Holder] = []
    problem: LdnError | None = None
    try:
        holders = await visit.portal.gate.holders(visit.member.provider)
    except LdnError as error:
        problem = error
    context = {"fields": fields, "wrong": wrong, "holders": holders, "problem": problem}
    return render(visit, "find.html", context | {"where": where}, status=400 if wrong else 200)


def wrong_patient(bsn: str) -> Wrong:
    """What is wrong with the BSN that was filled in, if anything."""
    if not bsn:
        return {"bsn": "find.bsn.empty"}
    if len(bsn) != 9 or not (bsn.isascii() and bsn.isdigit()):
        return {"bsn": "find.bsn.digits"}
    try:
        Bsn.parse(bsn)
    except LdnError:
        return {"bsn": "find.bsn.check"}
    return {}


def wrong_purpose(fields: Mapping[str, str]) -> Wrong:
    """What is wrong with the purpose, if anything."""
    return {} if fields.get("treating") == "yes" else {"treating": "find.treating.empty"}
