"""The pages of citizens: read what was chosen, show what it means, and only then keep it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from starlette.responses import Response
from starlette.types import ASGIApp

from openldn.access.citizen.choosing import Offered, chosen, effects
from openldn.access.citizen.desk import Citizen, Desk, Overview, Profile
from openldn.access.citizen.pages import Visit, entrance
from openldn.access.citizen.settings import PREFIX
from openldn.access.frame.entry import Row
from openldn.access.frame.pages import to
from openldn.access.frame.words import HOME
from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn
from openldn.functions.consent.model import Choice

LOOKED = timedelta(days=365)  # how far back is shown
LATEST = 3  # lines on the first page
MOST = 100  # choices one person can make


def app(desk: Desk) -> ASGIApp:
    """The pages of citizens as an ASGI application; all but signing in asks to sign in."""
    table: tuple[Row[Desk, Citizen], ...] = (
        ("GET", "/sign-in", sign_in, False),
        ("POST", "/sign-in", signed_in, False),
        ("GET", "/", overview, True),
        ("GET", "/choices", choices, True),
        ("POST", "/choices/preview", preview, True),
        ("POST", "/choices", save, True),
        ("POST", "/choices/confirm", confirm, True),
        ("GET", "/looked", looked, True),
    )
    return entrance(desk).app(table, "portal", desk.new_id)


async def sign_in(visit: Visit) -> Response:
    """Who one can be; a stand-in for DigiD."""
    return visit.entry.sign_in(visit, {"people": visit.desk.citizens(), "wrong": ""})


async def signed_in(visit: Visit) -> Response:
    """Begins a session; the number goes in the form, never in an address."""
    fields = await visit.form()
    try:
        bsn = Bsn.parse(fields.get("bsn", "").replace(" ", ""))
        born = date.fromisoformat(fields.get("born", ""))
    except (LdnError, ValueError) as error:
        wrong = "sign_in.wrong" if isinstance(error, LdnError) else "sign_in.wrong.born"
        context = {"people": visit.desk.citizens(), "wrong": wrong}
        return visit.entry.sign_in(visit, context)
    known = {c.bsn: c for c in visit.desk.citizens()}
    return visit.entry.enter(visit, known.get(bsn, Citizen(bsn, born)))


async def overview(visit: Visit) -> Response:
    """What somebody chose and who looked last; each part also when the other cannot be had."""
    profile, profile_problem = await _profile(visit)
    seen, seen_problem = await _seen(visit)
    context = {
        "count": len(profile.choices) if profile else None,
        "profile_problem": profile_problem,
        "lines": seen.lines[:LATEST] if seen else (),
        "seen_problem": seen_problem,
        "silent": seen.silent if seen else (),
        "messages": seen.messages if seen else (),
    }
    return visit.render("overview.html", context)


async def _profile(visit: Visit) -> tuple[Profile | None, LdnError | None]:
    try:
        return await visit.desk.registry.read(visit.member), None
    except LdnError as error:
        return None, error


async def _seen(visit: Visit) -> tuple[Overview | None, LdnError | None]:
    try:
        since = visit.desk.clock() - LOOKED
        return await visit.desk.looked(visit.member.bsn, since), None
    except LdnError as error:
        return None, error


async def looked(visit: Visit) -> Response:
    """Who saw something of this person, when, of whom, and on what ground."""
    seen = await visit.desk.looked(visit.member.bsn, visit.desk.clock() - LOOKED)
    context = {"lines": seen.lines, "silent": seen.silent, "messages": seen.messages}
    return visit.render("looked.html", context)


async def choices(visit: Visit) -> Response:
    """What somebody chose, what that means now, and a form to choose something more."""
    return await _choices(visit, {}, None)


async def _choices(visit: Visit, fields: Mapping[str, str], wrong: LdnError | None) -> Response:
    profile = await visit.desk.registry.read(visit.member)
    offered = await visit.desk.offered()
    now = visit.desk.clock()
    context = {
        "profile": profile,
        "offered": offered,
        "effects": effects((), profile.choices, offered, now),
        "fields": fields,
        "wrong": wrong,
        "saved": visit.request.query_params.get("saved") == "1",
    }
    return visit.render("choices.html", context, status=wrong.status if wrong else 200)


@dataclass(frozen=True)
class _Change:
    """A change that somebody considers: what stood, and what would stand."""

    profile: Profile
    after: tuple[Choice, ...]
    offered: Offered
    about: Choice  # the one that is added or ended
    ends: bool


async def _change(visit: Visit, fields: Mapping[str, str]) -> _Change:
    """The change in a form; raises LdnError(invalid | not-found)."""
    profile = await visit.desk.registry.read(visit.member)
    offered = await visit.desk.offered()
    if ended := fields.get("remove", ""):
        gone = [c for c in profile.choices if c.id == ended]
        if not gone:
            raise LdnError(Issue.NOT_FOUND, "this choice was ended already; open the page again")
        after = tuple(c for c in profile.choices if c.id != ended)
        return _Change(profile, after, offered, gone[0], True)
    today = visit.desk.clock().astimezone(HOME).date()
    choice = chosen(fields, offered, visit.desk.new_id(), today)
    return _Change(profile, _with(profile.choices, choice), offered, choice, False)


def _with(stood: Sequence[Choice], choice: Choice) -> tuple[Choice, ...]:
    """These choices with this one, in the place of one about the same."""

    def about(one: Choice) -> tuple[object, ...]:
        return (one.holder, one.user, one.context, one.resource)

    kept = tuple(c for c in stood if about(c) != about(choice))
    if len(kept) >= MOST:
        text = f"there are {MOST} choices already; end one first"
        raise LdnError(Issue.BUSINESS_RULE, text)
    return (*kept, choice)


async def preview(visit: Visit) -> Response:
    """What a change would mean, before anything is kept."""
    fields = await visit.form()
    try:
        change = await _change(visit, fields)
    except LdnError as error:
        if error.issue is not Issue.INVALID:
            raise
        return await _choices(visit, fields, error)
    found = effects(change.profile.choices, change.after, change.offered, visit.desk.clock())
    context = {"change": change, "effects": found, "fields": fields, "offered": change.offered}
    return visit.render("preview.html", context)


async def save(visit: Visit) -> Response:
    """Keeps the change that was shown; it counts everywhere within seconds.

    Raises LdnError(conflict) when the choices changed since they were shown.
    """
    fields = await visit.form()
    change = await _change(visit, fields)
    version = fields.get("version", "")
    if version != change.profile.version:
        raise _changed()
    try:
        kept = await visit.desk.registry.save(visit.member, change.after, version)
    except LdnError as error:
        if error.status == 412:
            raise _changed() from error
        raise
    if kept.code:
        return visit.render("waits.html", {"code": kept.code})
    return to(f"{PREFIX}/choices?saved=1")


async def confirm(visit: Visit) -> Response:
    """A parent confirms what a child chose, with the code that the child was told."""
    fields = await visit.form()
    child = Bsn.parse(fields.get("child", "").replace(" ", ""))
    await visit.desk.registry.confirm(child, fields.get("code", "").strip())
    return visit.render("confirmed.html", {})


def _changed() -> LdnError:
    text = "your choices changed since you looked, so nothing was kept; look at them again"
    return LdnError(Issue.CONFLICT, text)
