"""The pages of signing in at a provider: on the way there, and back."""

import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from starlette.responses import Response

from openldn.access.frame.pages import to
from openldn.access.professional.pages import (
    SESSION,
    VISIT,
    Visit,
    render,
    set_cookie,
)
from openldn.access.professional.reception import RETURN, Admitted, Reception
from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit
from openldn.trust.people.oidc import LONGEST
from openldn.trust.trail import Trail

UNDERWAY = "openldn-signing-in"  # binds the way back to the browser that left
# Reason code of a check -> which words tell the person what to do.
PROBLEMS = {
    "oidc.granted": "away",  # unless the person cancelled
    **dict.fromkeys(("oidc.state", "oidc.timely", "sign-in.browser"), "late"),
    **dict.fromkeys(("oidc.metadata", "oidc.tokens", "oidc.userinfo", "keys.set"), "away"),
    "dezi.status": "away",
    **dict.fromkeys(("sign-in.organization", "dezi.ura"), "organization"),
    "person.level": "level",
    **dict.fromkeys(("dezi.revoked", "dezi.exp"), "revoked"),
}


async def to_provider(visit: Visit) -> Response:
    """Sends the browser to the provider; after a session that ended it first says so."""
    reception = _reception(visit)
    query = visit.request.query_params
    if query.get("over") == "1" and visit.session is None:
        response = _told(visit, {})
        response.delete_cookie(SESSION)
        return response
    own = urlsplit(reception.settings.public).netloc
    if visit.request.url.netloc != own and "here" not in query:
        # The way back leads to our one registered address: leave from there, or nothing fits.
        return to(f"{reception.settings.public}/sign-in?here=1")
    browser = secrets.token_urlsafe(32)
    earlier = visit.session.id if visit.session else ""
    try:
        address = await reception.begin(browser, visit.words.language, earlier)
    except LdnError as error:
        return _failed(visit, error)
    response = to(address)
    # Lax, for the way back comes from another site; strict ones would stay behind.
    response.set_cookie(
        UNDERWAY, browser, LONGEST, path=RETURN, secure=visit.secure, httponly=True, samesite="lax"
    )
    return response


async def returned(visit: Visit) -> Response:
    """Begins a session for who comes back with good proof; an earlier one ends."""
    reception, sessions = _reception(visit), visit.portal.sessions
    browser = visit.request.cookies.get(UNDERWAY, "")
    nodes, trail = visit.portal.gate.network().nodes, Trail()
    try:
        admitted = await reception.finish(browser, _answer(visit), nodes, trail)
    except LdnError as error:
        cancelled = trail.failed is not None and trail.failed.said == "access_denied"
        return _failed(visit, error, cancelled=cancelled)
    for earlier in (admitted.earlier, visit.session.id if visit.session else ""):
        sessions.end(earlier)
    begun = sessions.begin(admitted.provider, admitted.practitioner, admitted.standing)
    # A page, not a redirect: who comes from another site would leave the new cookie behind.
    response = _told(visit, {"admitted": admitted})
    set_cookie(visit, response, SESSION, begun.id)
    response.delete_cookie(UNDERWAY, path=RETURN)
    response.delete_cookie(VISIT)
    return response


def _reception(visit: Visit) -> Reception:
    if visit.portal.reception is None:
        raise LdnError(Issue.NOT_FOUND, "there is no such page")
    return visit.portal.reception


def _answer(visit: Visit) -> Mapping[str, str]:
    """What the browser brought; a parameter that stands twice counts as absent."""
    text = visit.request.url.query
    pairs = parse_qsl(text[:8192], keep_blank_values=True)
    names = [name for name, _ in pairs]
    return {name: value for name, value in pairs if names.count(name) == 1}


def _failed(visit: Visit, error: LdnError, *, cancelled: bool = False) -> Response:
    reason, correlation = error.detail.partition(":")[0], visit.request.state.correlation
    emit(
        "denied",
        role="portal",
        issue=str(error.issue),
        detail=error.detail,
        correlation=correlation,
    )
    problem = "cancelled" if cancelled else PROBLEMS.get(reason, "refused")
    status = 503 if problem == "away" else error.status
    response = _told(visit, {"problem": problem, "correlation": correlation}, status=status)
    response.delete_cookie(UNDERWAY, path=RETURN)
    return response


def _told(visit: Visit, context: Mapping[str, object], *, status: int = 200) -> Response:
    empty: dict[str, Admitted | str | None] = {"admitted": None, "problem": "", "correlation": ""}
    return render(visit, "sign_in_end.html", {**empty, **context}, status=status)
