"""The dialects in which we ask others for tokens: each makes the form of one request."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient
from openldn.base.runtime import NewId
from openldn.fhir.codec import dump, parse
from openldn.trust import jose
from openldn.trust.credentials.definitions import load_definition, policy_of
from openldn.trust.credentials.model import Definition, ScopePolicy
from openldn.trust.emergencies import told_of
from openldn.trust.parties import Requester
from openldn.trust.peers import Profile
from openldn.trust.tokens.dialects import (
    CLIENT_ASSERTION_TYPE,
    CLIENT_CREDENTIALS,
    EXCHANGE,
    JWT_BEARER,
    VP_BEARER,
)
from openldn.trust.tokens.signer import Signer

_ASSERTION = 60  # seconds our assertions live


class Metadata(msgspec.Struct, frozen=True):
    """What we use of the metadata of another authorization server."""

    issuer: str
    token_endpoint: str
    grant_types_supported: tuple[str, ...] = ()
    presentation_definition_endpoint: str = ""


@dataclass(frozen=True)
class Order:
    """One token as we are going to ask it."""

    metadata: Metadata
    requester: Requester
    profile: Profile
    http: HttpClient
    now: datetime
    deadline: float  # seconds

    @property
    def scope(self) -> str:
        """The scopes as a form has them."""
        return " ".join(sorted(self.requester.scopes))

    @property
    def audience(self) -> str:
        """For whom our assertions are, as agreed with this peer."""
        endpoint = self.profile.aud_form == "token-endpoint"
        return self.metadata.token_endpoint if endpoint else self.metadata.issuer


# The form of the request; raises LdnError when it cannot be made.
Speaker = Callable[[Order], Awaitable[dict[str, str]]]
# A presentation of ours and its submission, for a definition, audience, seconds and requester.
Present = Callable[[Definition, str, int, Requester], Awaitable[tuple[str, Mapping[str, Any]]]]


@dataclass(frozen=True)
class Plain:
    """D2: two assertions signed with our certificate."""

    signer: Signer
    new_id: NewId
    authorization_base: str = ""

    async def __call__(self, order: Order) -> dict[str, str]:
        """The form of a request with plain assertions. Source: RFC 7523 §2.1, §2.2."""
        own, told = claims(self.signer, order, self.new_id), vouched(order.requester)
        grant = own | {"jti": self.new_id()} | told
        named = order.requester.base or self.authorization_base
        base = {"authorization_base": named} if named else {}
        out = order.profile.alg_out
        return base | {
            "grant_type": JWT_BEARER,
            "assertion": self.signer.sign(grant, _chosen(self.signer, out.assertion)),
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": self.signer.sign(own, _chosen(self.signer, out.client_assertion)),
            "scope": order.scope,
        }


@dataclass(frozen=True)
class OnePresentation:
    """D1: what the other side's presentation definition asks, out of our wallet."""

    present: Present
    client_id: str = ""

    async def __call__(self, order: Order) -> dict[str, str]:
        """The form of a Nuts request; the definition is read first. Source: Nuts RFC021 §4."""
        definition = await definition_of(order)
        seconds = order.profile.lifetimes.presentation
        vp, submission = await self.present(
            definition, order.metadata.issuer, seconds, order.requester
        )
        return {
            "grant_type": VP_BEARER,
            "assertion": vp,
            "presentation_submission": dump(dict(submission)).decode(),
            "scope": order.scope,
        } | ({"client_id": self.client_id} if self.client_id else {})


@dataclass(frozen=True)
class TwoPresentations:
    """D3: our presentation and that of our vendor, by definitions that both sides know."""

    organization: Present
    vendor: Present
    policies: Mapping[str, ScopePolicy] = field(repr=False)

    async def __call__(self, order: Order) -> dict[str, str]:
        """The form of a request with two presentations. Source: GFI-004."""
        found = [policy_of(self.policies, s) for s in sorted(order.requester.scopes)]
        policy = found[0] if found else None
        if policy is None or policy.service_provider is None:
            text = "no presentation definitions for this scope are set up here; add them"
            raise LdnError(Issue.FORBIDDEN, text)
        audience, seconds = order.metadata.issuer, order.profile.lifetimes.presentation
        who = order.requester
        first, _ = await self.organization(policy.organization, audience, seconds, who)
        second, _ = await self.vendor(policy.service_provider, audience, seconds, who)
        return {
            "grant_type": JWT_BEARER,
            "assertion": first,
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": second,
            "scope": order.scope,
        }


@dataclass(frozen=True)
class Certified:
    """D5: one assertion, bound to the certificate of the connection."""

    signer: Signer
    shown: str  # x5t#S256 of our TLS certificate
    new_id: NewId
    target_audience: str = ""

    async def __call__(self, order: Order) -> dict[str, str]:
        """The form of the ministry's services. Source: generic functions §2.6."""
        own = claims(self.signer, order, self.new_id)
        own |= {"aud": [order.audience], "cnf": {"x5t#S256": self.shown}, "scope": order.scope}
        target = {"target_audience": self.target_audience} if self.target_audience else {}
        algorithm = _chosen(self.signer, order.profile.alg_out.client_assertion)
        return target | {
            "grant_type": CLIENT_CREDENTIALS,
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": self.signer.sign(own | target, algorithm),
            "scope": order.scope,
        }


@dataclass(frozen=True)
class ByCertificate:
    """D7: the certificate of the connection alone."""

    client_id: str  # our URA

    async def __call__(self, order: Order) -> dict[str, str]:
        """The form of a request without any assertion. Source: RFC 8705 §2.1."""
        return {
            "grant_type": CLIENT_CREDENTIALS,
            "client_id": self.client_id,
            "scope": order.scope,
        }


@dataclass(frozen=True)
class Exchanged:
    """D6: what another network gave us, for a token here; we are the one who acts."""

    signer: Signer
    subject: Callable[[Order], Awaitable[tuple[str, str]]]  # token and subject_token_type
    new_id: NewId
    audience: str = ""

    async def __call__(self, order: Order) -> dict[str, str]:
        """The form of an exchange. Source: RFC 8693 §2.1."""
        token, kind = await self.subject(order)
        own = claims(self.signer, order, self.new_id)
        return {
            "grant_type": EXCHANGE,
            "subject_token": token,
            "subject_token_type": kind,
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": self.signer.sign(own),
            "scope": order.scope,
        } | ({"audience": self.audience} if self.audience else {})


async def definition_of(order: Order) -> Definition:
    """What the other side asks to be presented; raises LdnError(incomplete) without one."""
    at = order.metadata.presentation_definition_endpoint
    if not at:
        raise _unintelligible("no presentation_definition_endpoint")
    url = f"{at}?scope={'%20'.join(sorted(order.requester.scopes))}"
    json = {"accept": "application/json"}
    reply = await order.http.send("GET", url, headers=json, deadline=order.deadline)
    if reply.status != 200:
        raise _unintelligible(f"presentation definition: status {reply.status}")
    try:
        return load_definition(parse(reply.body))
    except LdnError as error:
        raise _unintelligible("presentation definition") from error


_GRANTS = {"D1": VP_BEARER, "D2": JWT_BEARER, "D3": JWT_BEARER, "D5": CLIENT_CREDENTIALS}
_GRANTS |= {"D6": EXCHANGE, "D7": CLIENT_CREDENTIALS}


def speaker_for(order: Order, speakers: Mapping[str, Speaker]) -> Speaker:
    """The first dialect of the peer's profile that we speak and its server takes.

    Raises LdnError(not-supported) when there is none.
    """
    taken = order.metadata.grant_types_supported
    for name in order.profile.token_out:
        if name in speakers and (not taken or _GRANTS.get(name) in taken):
            return speakers[name]
    text = "the holder's authorization server and this node have no dialect in common"
    raise LdnError(Issue.NOT_SUPPORTED, f"{text}; check its peer profile", status=501)


def claims(signer: Signer, order: Order, new_id: NewId) -> dict[str, Any]:
    """The claims that every assertion of ours has."""
    ura, moment = signer.party.ura.value, int(order.now.timestamp())
    longest = min(_ASSERTION, order.profile.lifetimes.assertion)
    own = {"iss": ura, "sub": ura, "aud": order.audience, "jti": new_id()}
    return own | {"iat": moment, "exp": moment + longest}


def _chosen(signer: Signer, allowed: tuple[str, ...]) -> str:
    """The peer's first choice that our key can; our own when the profile has none."""
    fitting = jose.suited(signer.key)
    return next((a for a in allowed if a in fitting), signer.algorithm)


def vouched(requester: Requester) -> dict[str, Any]:
    """What an organization vouches for in its own assertion: why, who, about whom."""
    told: dict[str, Any] = {"purpose": requester.purpose}
    if requester.person is not None:
        person = requester.person
        told["person"] = {"uzi": person.uzi, "role": person.role, "name": person.name}
    if requester.patient is not None:
        told["patient"] = requester.patient.value
    if requester.emergency is not None:
        told["emergency"] = told_of(requester.emergency)
    return told


def _unintelligible(detail: str) -> LdnError:
    text = "the holder's authorization server gives an answer we do not understand"
    return LdnError(Issue.INCOMPLETE, f"{text}; report this to its operator", detail=detail)
