"""Keeps what a node refuses and is refused: around its routes, and beside the answers it gets."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.base.runtime import Clock
from openldn.functions.authorization.document import OWN_POLICY
from openldn.functions.authorization.policy import RULES
from openldn.node.assertions import CONNECTION, ISSUER, STILL
from openldn.patterns.pull import Answer, Plan
from openldn.trust.certificates import require_party
from openldn.trust.dealings.model import Contact, Contacts, Direction, Refusal, Refusals
from openldn.trust.dealings.rules import rule_of
from openldn.trust.trail import Rule

# A question that cannot be read is the asker's slip, not a matter of trust; nor is a busy party.
_OF_TRUST = frozenset({Issue.LOGIN, Issue.FORBIDDEN, Issue.BUSINESS_RULE})
_OF_TRUST_OUT = _OF_TRUST | {Issue.INCOMPLETE}  # TLS tells of certificates as a broken connection
_SOURCE = "policy of this holder"
_TEXTS = {
    "policy.opens-this-holder": "the token was given for the organization that is asked",
    "policy.shown-by-its-owner": "who presents the token is who it was given to",
    "policy.takes-part": "the asking organization stands in the directory, active",
    "policy.in-scope": "the token carries the scope of the exchange",
    "policy.for-a-purpose": "the purpose of use is one that the exchange serves",
    "policy.by-a-person": "a practitioner with a number and a role asks",
    "policy.about-one-patient": "the question is about one patient, the one of the token",
    "policy.in-dataset": "the question stands in the table of the exchange",
    "policy.for-a-reason": "who breaks the glass gives a reason that counts now",
    "policy.open-in-emergency": "this type of data is open in an emergency here",
    "policy.treats": "a treatment relation is shown",
    "policy.consented": "the consent is there that the legal basis asks for",
}
POLICY = {rule.code: Rule(rule.code, _SOURCE, _TEXTS[rule.code]) for rule in RULES}
POLICY[OWN_POLICY] = Rule(OWN_POLICY, _SOURCE, "the holder's own policy has no reason to deny")
POLICY |= {rule.code: rule for rule in (CONNECTION, ISSUER, STILL)}
# Every rule of the node itself, beside those of trust.
OWN = POLICY | {rule.code: rule for rule in (CONNECTION, ISSUER, STILL)}
Endpoint = Callable[[Request], Awaitable[Response]]
Note = Callable[[Plan, Answer], Any]


@dataclass(frozen=True)
class Keeping:
    """Where a node's refusals and contacts go."""

    refusals: Refusals
    contacts: Contacts
    clock: Clock

    def around(self, routes: Sequence[BaseRoute], dialect: str) -> list[BaseRoute]:
        """The same routes; what they refuse is kept, and who got a token."""
        return [self._around(r, dialect) if isinstance(r, Route) else r for r in routes]

    def _around(self, route: Route, dialect: str) -> Route:
        kept = self._kept(route.endpoint, dialect)
        return Route(route.path, kept, methods=list(route.methods or ()))

    def _kept(self, endpoint: Endpoint, dialect: str) -> Endpoint:
        @wraps(endpoint)  # the log calls the route by this name
        async def kept(request: Request) -> Response:
            try:
                response = await endpoint(request)
            except LdnError as error:
                self._refused(request, error, dialect)
                raise
            told = request.scope.get("state", {}).get("refused")
            if isinstance(told, LdnError):
                self._refused(request, told, dialect)
            elif response.status_code == 200 and request.scope["path"].endswith("/token"):
                self._met(peer_of(request), Direction.IN)
            return response

        return kept

    def _refused(self, request: Request, error: LdnError, dialect: str) -> None:
        if error.issue not in _OF_TRUST and not (dialect == "token" and error.status < 500):
            return  # but a token request that cannot be read keeps a peer out all the same
        correlation = str(getattr(request.state, "correlation", ""))
        code = rule_of(error, OWN).code
        peer = peer_of(request)
        self.refusals.record(Refusal(self.clock(), correlation, Direction.IN, peer, dialect, code))

    def _met(self, peer: str, direction: Direction) -> None:
        if peer:
            self.contacts.met(Contact(peer, direction, self.clock()))

    def beside(self, note: Note) -> Note:
        """The same note of each answer; what other holders refuse us is kept too."""

        async def noted(plan: Plan, answer: Answer) -> None:
            self._answered(plan, answer)
            await note(plan, answer)

        return noted

    def _answered(self, plan: Plan, answer: Answer) -> None:
        peer, error = str(plan.question.holder), answer.error
        if answer.token:
            self._met(peer, Direction.OUT)
        if error is None or error.issue not in _OF_TRUST_OUT:
            return
        rule = rule_of(error)
        if error.issue is Issue.INCOMPLETE and not rule.code.startswith("tls."):
            return  # it is away or broken; that is no refusal
        road, correlation = plan.endpoint.infrastructure, plan.question.correlation
        self.refusals.record(
            Refusal(self.clock(), correlation, Direction.OUT, peer, road, rule.code)
        )


def peer_of(request: Request) -> str:
    """The URA that the certificate on this connection proves; empty when it proves none."""
    try:
        return require_party(peer_certificate(request.scope)).ura.value
    except LdnError:
        return ""
