"""The pages on which somebody looks back at each broken glass: was it right?"""

from collections.abc import Mapping, Sequence

from starlette.responses import Response

from openldn.access.frame.pages import to
from openldn.access.professional.asking import Row, cases, review
from openldn.access.professional.pages import Visit, render
from openldn.base.errors import Issue, LdnError

OUTCOMES = ("justified", "not-justified")
_TOLD = {Issue.INVALID, Issue.FORBIDDEN, Issue.CONFLICT}  # what the form itself can say


async def worklist(visit: Visit) -> Response:
    """The cases that wait, and those that were reviewed."""
    _may(visit)
    every = await cases(visit.portal.gate, visit.member.provider, every=True)
    waiting = [c for c in every if not c.get("outcome")]
    context = {"waiting": waiting, "done": [c for c in every if c.get("outcome")][:50]}
    kept = visit.request.query_params.get("kept") == "1"
    return render(visit, "reviews.html", context | {"kept": kept})


async def one(visit: Visit) -> Response:
    """One case, with the form to review it."""
    _may(visit)
    return await _page(visit, {}, None)


async def decide(visit: Visit) -> Response:
    """Keeps the review of who signed in; what is wrong with it is told above the form."""
    _may(visit)
    fields, person = await visit.form(), visit.member.practitioner
    found = {
        "outcome": fields.get("outcome", ""),
        "text": fields.get("text", ""),
        "reviewer": {"id": person.uzi, "name": person.name},
    }
    id_ = visit.request.path_params["id"]
    try:
        await review(visit.portal.gate, visit.member.provider, id_, found)
    except LdnError as error:
        if error.issue not in _TOLD:
            raise
        return await _page(visit, fields, error)
    return to("/reviews?kept=1")


ROUTES = (
    ("GET", "/reviews", worklist, True),
    ("GET", "/reviews/{id}", one, True),
    ("POST", "/reviews/{id}", decide, True),
)


async def _page(visit: Visit, fields: Mapping[str, str], wrong: LdnError | None) -> Response:
    id_ = visit.request.path_params["id"]
    listed = await cases(visit.portal.gate, visit.member.provider, every=True)
    case = _found(listed, id_)
    own = case.get("person") == visit.member.practitioner.uzi
    context = {"case": case, "own": own, "fields": fields, "wrong": wrong, "outcomes": OUTCOMES}
    return render(visit, "review.html", context, status=wrong.status if wrong else 200)


def _found(listed: Sequence[Row], id: str) -> Row:
    case = next((c for c in listed if c.get("id") == id), None)
    if case is None:
        raise LdnError(Issue.NOT_FOUND, "no such case; look at the list again")
    return case


def _may(visit: Visit) -> None:
    """Raises LdnError(forbidden) for who is not among the reviewers, where these are named."""
    named = visit.portal.settings.reviewers
    if named and visit.member.practitioner.uzi not in named:
        raise LdnError(Issue.FORBIDDEN, "you are not among the reviewers of your organization")
