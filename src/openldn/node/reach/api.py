"""`GET /api/reach` and `GET /api/network`, for the node's own organization only."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.fhir.http import respond_json
from openldn.fhir.identifiers import Ura
from openldn.node.api import Own
from openldn.node.ask import exchange_of
from openldn.node.reach.map import network_of
from openldn.node.reach.model import Aim
from openldn.node.reach.service import Reach
from openldn.patterns.exchange import Exchange, Pattern

NAMES = ("to", "exchange", "purpose", "role", "pattern")
_LONGEST = 40


def reach_routes(reach: Reach) -> list[BaseRoute]:
    """Whether another can be reached, and who takes part."""
    own = Own(reach.ura)

    async def reached(request: Request) -> Response:
        """GET ?to=&exchange=&purpose=&role=&pattern=: each step of the way, tried just now."""
        own(request)
        aim = aim_of(parse_qsl(request.url.query, keep_blank_values=True))
        return respond_json((await reach(aim)).told())

    async def network(request: Request) -> Response:
        """GET: who takes part, and with what."""
        own(request)
        return respond_json(await network_of(reach.directory))

    return [
        Route("/api/reach", reached, methods=["GET"]),
        Route("/api/network", network, methods=["GET"]),
    ]


def aim_of(pairs: list[tuple[str, str]]) -> Aim:
    """Whom to reach and for what; raises LdnError: invalid, not-found for an exchange."""
    given = dict(pairs)
    if len(given) != len(pairs) or not set(given) <= set(NAMES):
        text = f"give {', '.join(NAMES)}, each once; to and exchange are needed"
        raise LdnError(Issue.INVALID, text)
    exchange = exchange_of(given.get("exchange", ""))
    pattern = _pattern(given, exchange)
    return Aim(
        Ura.parse(given.get("to", "")),
        exchange,
        pattern,
        given.get("purpose") or min(exchange.purposes & {"TREAT"} or exchange.purposes),
        given.get("role", "")[:_LONGEST],
        next((c for c in exchange.use_cases if c.push and pattern is Pattern.PUSH), None),
    )


def _pattern(given: Mapping[str, str], exchange: Exchange) -> Pattern:
    """The one that is named, else pull, else the first that the exchange has."""
    offered = [case.pattern for case in exchange.use_cases]
    named = given.get("pattern", "")
    if not named:
        return Pattern.PULL if Pattern.PULL in offered else offered[0]
    if named not in offered:
        text = f"the exchange goes by {', '.join(dict.fromkeys(offered))}; choose one"
        raise LdnError(Issue.INVALID, text, where="pattern")
    return Pattern(named)
