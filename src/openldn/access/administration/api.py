"""The administration's pages: read what was asked, ask the node, show the outcome."""

import asyncio
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.responses import Response
from starlette.types import ASGIApp

from openldn.access.administration import outbox as messages
from openldn.access.administration import reaching
from openldn.access.administration.addresses import addresses
from openldn.access.administration.desk import Desk
from openldn.access.administration.filters import NAMES, asked, typed
from openldn.access.administration.findings import findings, rows, verdict
from openldn.access.administration.functions import functions, worst
from openldn.access.administration.pages import Visit, entrance
from openldn.access.administration.settings import PREFIX
from openldn.access.frame.entry import Row
from openldn.access.frame.network import Node
from openldn.access.frame.pages import to
from openldn.base.errors import Issue, LdnError


def app(desk: Desk) -> ASGIApp:
    """The administration as an ASGI application; all but signing in asks to sign in."""
    table: tuple[Row[Desk, Node], ...] = (
        ("GET", "/sign-in", sign_in, False),
        ("POST", "/sign-in", signed_in, False),
        ("GET", "/", overview, True),
        ("GET", "/keys", keys, True),
        ("GET", "/credentials", credentials, True),
        ("GET", "/peers", peers, True),
        ("GET", "/documents", documents, True),
        ("GET", "/refusals", refusals, True),
        ("GET", "/outbox", outbox, True),
        ("POST", "/outbox", change_outbox, True),
        ("GET", "/network", network, True),
        ("GET", "/map", map_, True),
    )
    return entrance(desk).app(table, "portal", desk.new_id)


async def sign_in(visit: Visit) -> Response:
    """The nodes one can look at; a stand-in for signing in."""
    return visit.entry.sign_in(visit, {"nodes": visit.desk.nodes.network().nodes})


async def signed_in(visit: Visit) -> Response:
    """Begins a session for the chosen node; an earlier one ends."""
    fields = await visit.form()
    chosen = [n for n in visit.desk.nodes.network().nodes if n.key == fields.get("node")]
    if not chosen:
        raise LdnError(Issue.INVALID, "choose one of the nodes listed")
    return visit.entry.enter(visit, chosen[0])


async def overview(visit: Visit) -> Response:
    """What needs somebody, most urgent first; a node that does not answer is itself the answer."""
    try:
        trust, lately = await visit.desk.lately(visit.member)
    except LdnError as error:
        return visit.render("overview.html", {"down": error, "found": [], "verdict": "alert"})
    latest = rows(lately, "refusals")
    found = findings(trust, latest)
    context = {"trust": trust, "found": found, "verdict": verdict(found), "lately": latest}
    return visit.render("overview.html", context | _named(trust) | {"down": None})


async def keys(visit: Visit) -> Response:
    """The node's keys, and until when they count."""
    return await _section(visit, "keys")


async def credentials(visit: Visit) -> Response:
    """What stands in the node's wallet."""
    return await _section(visit, "credentials")


async def peers(visit: Visit) -> Response:
    """Whom the node can deal with, and when it last did."""
    return await _section(visit, "peers")


async def documents(visit: Visit) -> Response:
    """The documents of other parties that trust rests on."""
    return await _section(visit, "documents")


async def network(visit: Visit) -> Response:
    """How the functions are that every node leans on, and which addresses work."""
    nodes = visit.desk.nodes
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(addresses(nodes))
        found = await functions(nodes)
    context = {"found": found, "worst": worst(found), "addresses": asked.result()}
    return visit.render("network.html", context)


async def outbox(visit: Visit) -> Response:
    """What does not arrive at others, page by page."""
    fields = messages.typed(parse_qsl(visit.request.url.query, keep_blank_values=True))
    return await _outbox(visit, fields, None)


async def change_outbox(visit: Visit) -> Response:
    """Try one message again or let it go; what the node refuses is told on the page."""
    form = await visit.form()
    fields = {"state": form.get("state") or messages.STATES[0]}
    try:
        fields["done"] = await messages.acted(visit.desk, visit.member, form)
    except LdnError as error:
        return await _outbox(visit, fields, error)
    return to(f"{PREFIX}/outbox?{urlencode(fields)}")


async def _outbox(visit: Visit, fields: dict[str, str], failure: LdnError | None) -> Response:
    trust = await visit.desk.trust(visit.member)
    shown = await messages.shown(visit.desk, visit.member, fields)
    context = shown | {"names": messages.names_of(trust), "failure": failure}
    return visit.render("outbox.html", context, status=failure.status if failure else 200)


async def map_(visit: Visit) -> Response:
    """Who is connected to whom, and whether one can reach another: tried when that is asked."""
    fields = reaching.typed(parse_qsl(visit.request.url.query, keep_blank_values=True))
    return visit.render("map.html", await reaching.shown(visit.desk, visit.member, fields))


async def _section(visit: Visit, name: str) -> Response:
    trust = await visit.desk.trust(visit.member)
    reasons = trust.get("reasons")
    reason = reasons.get(name, "") if isinstance(reasons, dict) else ""
    context = {"trust": trust, "rows": rows(trust, name), "reason": reason}
    return visit.render(f"{name}.html", context)


async def refusals(visit: Visit) -> Response:
    """The last refusals with their reason, narrowed as asked, page by page."""
    fields = typed(parse_qsl(visit.request.url.query, keep_blank_values=True))
    trust = await visit.desk.trust(visit.member)
    found = await visit.desk.refusals(visit.member, asked(fields))
    listed = rows(found, "refusals")
    older = ""
    if found.get("next") and listed:
        older = urlencode({**fields, "before": listed[-1].get("number", "")})
    newest = urlencode({k: v for k, v in fields.items() if k != "before"})
    known = sorted({str(r.get("code")) for r in (*rows(trust, "refusals"), *listed)})
    context = {"rows": listed, "older": older, "newest": newest, "codes": known}
    filled = {"fields": dict.fromkeys(NAMES, "") | fields, "filtered": bool(fields)}
    return visit.render("refusals.html", context | filled | _named(trust))


def _named(trust: dict[str, Any]) -> dict[str, Any]:
    """The names of the peers by URA."""
    listed = rows(trust, "peers")
    return {"peers": listed, "names": {str(p.get("ura")): str(p.get("name")) for p in listed}}
