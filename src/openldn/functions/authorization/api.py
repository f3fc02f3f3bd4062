"""The decision point over HTTP: one route for each path of each wire shape."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.log import emit
from openldn.fhir.http import read_json, respond_json
from openldn.functions.authorization.policies import POLICIES
from openldn.functions.authorization.question import Deciding, Decision
from openldn.functions.authorization.shapes import SHAPES, Shape

LARGEST = 1024 * 1024  # bytes of a question
Guard = Callable[[Request], Any]  # raises LdnError for a caller that may not ask


def routes(point: Deciding, guard: Guard) -> list[BaseRoute]:
    """The decision point in every shape; a decision is 200, whether it allows or denies."""
    return [_route(point, guard, shape, path) for shape in SHAPES for path in shape.paths]


def _route(point: Deciding, guard: Guard, shape: Shape, path: str) -> Route:
    async def decide(request: Request) -> Response:
        """POST a question: the decision with all its reasons."""
        guard(request)
        question = shape.read(await read_json(request, LARGEST))
        decision = await point.decide(question)
        _told(request, shape, decision)
        return respond_json(shape.write(decision))

    return Route(path, decide, methods=["POST"])


def _known(decision: Decision) -> dict[str, None]:
    """The policies by name; a scope that names none of them may be anything, also a BSN."""
    return dict.fromkeys(n if n in POLICIES else "(unknown)" for n in decision.policies)


def _told(request: Request, shape: Shape, decision: Decision) -> None:
    """One line of the log; the question itself is in none."""
    rules = dict.fromkeys(f"{r.code}:{r.rule}" for r in decision.reasons)
    emit(
        "decided",
        correlation=getattr(request.state, "correlation", ""),
        shape=shape.name,
        allow=decision.allow,
        policies=" ".join(_known(decision)),
        detail=decision.error or " ".join(rules),
    )
