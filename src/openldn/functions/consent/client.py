"""The closed question over the wire: to Mitz (profile `mitz-otv`) and to our own registry."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import Clock, NewId
from openldn.fhir.codec import dump
from openldn.functions.consent import wire, xacml
from openldn.functions.consent.kinds import Kinds
from openldn.functions.consent.model import (
    UNEXPECTED,
    UNREACHABLE,
    Answer,
    Decision,
    Disclosure,
    OpenAnswer,
    OpenQuestion,
    Origin,
    missing,
    unknown,
)
from openldn.functions.consent.subscribing import Subscribed, subscription

# Word of XACML -> decision and, where it permits nothing, why.
_WORDS = {
    "Permit": (Decision.PERMIT, ""),
    "Deny": (Decision.DENY, "objection"),
    "NotApplicable": (Decision.UNKNOWN, "not-applicable"),
    "Indeterminate": (Decision.UNKNOWN, "indeterminate"),
}
_REASONS = {
    Issue.TIMEOUT: "timeout",
    Issue.LOGIN: "refused",
    Issue.FORBIDDEN: "refused",
    Issue.THROTTLED: "throttled",
    Issue.STRUCTURE: "unreadable",
    Issue.INVALID: UNEXPECTED,
}
_STATUSES = {
    400: Issue.INVALID,
    401: Issue.LOGIN,
    403: Issue.FORBIDDEN,
    404: Issue.NOT_FOUND,
    412: Issue.CONFLICT,
    422: Issue.BUSINESS_RULE,
    429: Issue.THROTTLED,
}

_LATER = "try again later"
_TURNS = {
    Issue.LOGIN: "it does not know us; check certificate and token",
    Issue.FORBIDDEN: "we may not ask this; check the agreement with its operator",
    Issue.BUSINESS_RULE: "it does not accept what we sent; check the settings",
    Issue.INVALID: "it does not understand what we sent; check the settings",
    Issue.CONFLICT: "it was changed meanwhile; read it again",
    Issue.NOT_FOUND: "nothing stands at this address; check the settings",
}


def require(reply: Reply, *fine: int) -> Reply:
    """The reply, if its status is one of these; raises LdnError by the status otherwise.

    Nothing of what the other party said is repeated: it may repeat a BSN.
    """
    if reply.status in fine:
        return reply
    issue = _STATUSES.get(reply.status, Issue.INCOMPLETE)
    text = f"the consent registry answered {reply.status}: {_TURNS.get(issue, _LATER)}"
    raise LdnError(issue, text, detail=f"consent.{reply.status}")


@dataclass
class Mitz:
    """The national consent registry, asked by the holder (`mitz-otv`)."""

    http: HttpClient  # shows the certificate that Mitz knows
    url: str  # "https://mitz.example", without trailing slash
    clock: Clock
    new_id: NewId
    kinds: Kinds
    deadline: float = 2.5  # seconds
    headers: Callable[[], Awaitable[Mapping[str, str]]] | None = None  # a token, where one is asked

    async def ask(self, disclosure: Disclosure) -> Answer:
        """The answer; UNKNOWN with a reason when Mitz cannot be asked or understood.

        Source: generic functions §4.2; what is incomplete is not asked (C02, C04).
        """
        at, message = self.clock(), self.new_id()
        if missing(disclosure):
            return unknown(Origin.MITZ, at, UNEXPECTED)
        try:
            word = await self._ask(disclosure, message)
        except LdnError as error:
            return unknown(Origin.MITZ, at, reason(error), message)
        decision, why = _WORDS[word]
        return Answer(decision, Origin.MITZ, message, at, why)

    async def _ask(self, disclosure: Disclosure, message: str) -> str:
        address = f"{self.url}/geslotenautorisatievraag/xacml3"
        values = xacml.told(disclosure, self.kinds.category(disclosure))
        body = xacml.question(values, address, message)
        headers = {"content-type": xacml.MEDIA_TYPE, **(await _more(self.headers))}
        reply = await self.http.send(
            "POST", address, headers=headers, body=body, deadline=self.deadline
        )
        return xacml.read_answer(require(reply, 200).body)

    async def which(self, question: OpenQuestion) -> OpenAnswer:
        """UNKNOWN: how Mitz takes an open question is not public (generic functions §4.5)."""
        return OpenAnswer(Decision.UNKNOWN, Origin.MITZ, self.clock(), reason="not-offered")


def reason(error: LdnError) -> str:
    """Why an answer could not be had, as a code."""
    return _REASONS.get(error.issue, UNREACHABLE)


async def _more(headers: Callable[[], Awaitable[Mapping[str, str]]] | None) -> Mapping[str, str]:
    return await headers() if headers else {}


@dataclass
class RegistryClient:
    """Our own consent registry, asked by the holder over HTTPS."""

    http: HttpClient
    url: str  # origin of the registry, without trailing slash
    clock: Clock
    deadline: float = 2.5  # seconds
    headers: Callable[[], Awaitable[Mapping[str, str]]] | None = None  # a token, where one is asked

    async def ask(self, disclosure: Disclosure) -> Answer:
        """The answer; UNKNOWN with a reason when the registry cannot be asked or understood."""
        at = self.clock()
        if missing(disclosure):
            return unknown(Origin.REGISTRY, at, UNEXPECTED)
        try:
            body = await self._post("closed-question", wire.disclosure(disclosure))
            return wire.read_answer(body, at)
        except LdnError as error:
            return unknown(Origin.REGISTRY, at, reason(error))

    async def which(self, question: OpenQuestion) -> OpenAnswer:
        """Who may be asked; UNKNOWN with a reason when the registry does not tell."""
        at = self.clock()
        try:
            body = await self._post("open-question", wire.open_question(question))
            return wire.read_open_answer(body, at)
        except LdnError as error:
            return OpenAnswer(Decision.UNKNOWN, Origin.REGISTRY, at, reason=reason(error))

    async def _post(self, name: str, body: bytes) -> bytes:
        headers = {"content-type": "application/json", **(await _more(self.headers))}
        address = f"{self.url}/{name}"
        reply = await self.http.send(
            "POST", address, headers=headers, body=body, deadline=self.deadline
        )
        return require(reply, 200).body


@dataclass
class Subscriptions:
    """Subscribes a holder to patients' choices, at Mitz or at our registry."""

    http: HttpClient
    url: str  # origin, without trailing slash
    deadline: float = 5.0  # seconds
    headers: Callable[[], Awaitable[Mapping[str, str]]] | None = None  # a token, where one is asked
    gateway: str = ""  # "urn:oid:…" of the system that is connected to Mitz
    source: str = ""  # "urn:oid:…" of the system that holds the data

    async def subscribe(self, wanted: Subscribed) -> str:
        """Where the subscription stands (Location).

        Raises LdnError by the answer: login, business-rule, throttled, not-found, invalid,
        incomplete. Source: generic functions §4.3; rule C09.
        """
        body = dump(subscription(wanted, self.gateway, self.source))
        headers = {"content-type": "application/fhir+json", **(await _more(self.headers))}
        address = f"{self.url}/abonnementen/fhir/Subscription"
        reply = await self.http.send(
            "POST", address, headers=headers, body=body, deadline=self.deadline
        )
        return require(reply, 200, 201, 202).headers.get("location", "")

    async def unsubscribe(self, where: str) -> None:
        """End the subscription that stands at `where`; one that is gone already is fine."""
        if not where.startswith("/"):
            raise LdnError(Issue.INVALID, "a subscription is named by its path on the registry")
        headers = await _more(self.headers)
        reply = await self.http.send(
            "DELETE", self.url + where, headers=headers, deadline=self.deadline
        )
        require(reply, 200, 204, 404, 410)
