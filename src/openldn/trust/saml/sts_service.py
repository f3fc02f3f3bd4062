"""An STS: takes the signed word of a registered party, gives an assertion of its own.

Source: WS-Trust 1.4 §4; infrastructures §3. It never says more than it was shown, nor longer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.base.log import emit
from openldn.base.runtime import Clock, NewId
from openldn.fhir.http import read_body
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates import thumbprint
from openldn.trust.evidence import Proof
from openldn.trust.peers import Profile
from openldn.trust.saml import soap, trust
from openldn.trust.saml.make import Content, Towards, make
from openldn.trust.saml.organizations import organizations
from openldn.trust.saml.read import SamlExpected, read
from openldn.trust.saml.signature import Signing
from openldn.trust.saml.variants import reasons, variant
from openldn.trust.saml.xml import LARGEST, parse
from openldn.trust.trail import Rule, Trail

REGISTERED = Rule("sts.registered", "infrastructures §3", "the client certificate is of this party")
OWN_NAME = Rule("sts.own-name", "infrastructures §3", "a party speaks for its own organization")
ALLOWED = Rule("sts.applies-to", "WS-Trust §4.2", "this party may ask tokens for this address")
FRESH = Rule("sts.fresh", "WS-Security §11", "neither message nor assertion was used before")

LASTING = timedelta(minutes=12)  # as Zorgplatform's own assertions

Use = Callable[[Sequence[str], datetime], Awaitable[bool]]  # each once; false when used before


@dataclass(frozen=True)
class RelyingParty:
    """A party that may ask for tokens."""

    identifier: str  # its name as issuer: "urn:oid:…"
    organization: Ura
    certificates: tuple[x509.Certificate, ...]  # it signs with
    applies_to: frozenset[str]  # addresses it may ask tokens for
    client: str = ""  # x5t#S256 of its TLS client certificate; empty: any that TLS accepted


@dataclass(frozen=True)
class Asked:
    """A request that is believed: who asks, and for which address."""

    message_id: str
    proof: Proof
    address: str
    moment: datetime


@dataclass(frozen=True)
class Sts:
    """Gives assertions to the parties it knows."""

    url: str  # where it is reached, and its name as issuer
    audience: str  # as parties name it in what they show
    profile: Profile
    signing: Signing
    parties: Mapping[str, RelyingParty]  # by identifier
    use: Use
    clock: Clock
    new_id: NewId

    async def issue(self, envelope: bytes, client: bytes) -> bytes:
        """The answer to a request on a connection with this client certificate (DER).

        Raises LdnError: login (who asks is not proven), forbidden (it may not have this token).
        """
        asked = await self.asked(envelope, client)
        return self.answer(asked, make(*self.said(asked), self.new_id))

    async def asked(self, envelope: bytes, client: bytes) -> Asked:
        """What is asked, once it is believed; raises LdnError as `issue` does."""
        now, trail = self.clock(), Trail()
        skew = timedelta(seconds=self.profile.skew)
        request = soap.read_request(envelope, self.url, now, skew, trail)
        proof = await asyncio.to_thread(read, request.assertion, self._expected(now), trail)
        party = self.parties[proof.system]
        known = bool(client) and party.client in {"", thumbprint(client)}
        trail.require(known, REGISTERED)
        trail.require(_own(proof, party), OWN_NAME)
        kept = now + timedelta(seconds=self.profile.lifetimes.saml) + 2 * skew
        used = (*proof.used, f"{party.identifier}|{request.message_id}")
        trail.require(await self.use(used, kept), FRESH)
        trail.issue = Issue.FORBIDDEN
        address = trust.read_request(request.body, trail)
        trail.require(address in party.applies_to, ALLOWED)
        return Asked(request.message_id, proof, address, now)

    def said(self, asked: Asked) -> tuple[Content, Towards]:
        """What the assertion will say: what was proven, no more, no longer."""
        proof, now = asked.proof, asked.moment
        ends = min(now + LASTING, proof.expires)
        content = Content(self.url, proof.subject, _values(proof), now, ends)
        kind = variant("zorgplatform-token")
        return content, Towards((asked.address,), self.profile, kind, self.signing)

    def answer(self, asked: Asked, assertion: bytes) -> bytes:
        """The envelope with this assertion."""
        now = asked.moment
        given = trust.Given(asked.address, now, min(now + LASTING, asked.proof.expires))
        body = trust.response(given, parse(assertion, Trail()))
        return soap.answer(asked.message_id, body, now)

    def _expected(self, now: datetime) -> SamlExpected:
        return SamlExpected(
            audience=self.audience,
            now=now,
            profile=self.profile,
            variant=variant("zorgplatform-request"),
            pinned={name: party.certificates for name, party in self.parties.items()},
            organization=organizations({n: p.organization for n, p in self.parties.items()}),
        )


def _own(proof: Proof, party: RelyingParty) -> bool:
    """Whether it speaks in its own name: organization, and tenant of its user."""
    tenant = party.identifier.removeprefix("urn:oid:")
    named = proof.subject in {party.identifier} or proof.subject.rpartition("@")[2] == tenant
    return proof.organization == party.organization and named


def _values(proof: Proof) -> dict[str, str]:
    said = {key: values[0].value for key, values in proof.claims[proof.subject].items()}
    purposes = {ours: theirs for theirs, ours in reasons().items()}
    return {**said, "purpose": purposes[proof.purpose]}


def routes(sts: Sts, path: str = "/sts") -> list[Route]:
    """The STS on HTTP: SOAP 1.2 in, SOAP 1.2 out."""

    async def issue(request: Request) -> Response:
        """POST: a token, or a fault in the words of WS-Trust §11."""
        try:
            envelope = await read_envelope(request)
            given = await sts.issue(envelope, peer_certificate(request.scope) or b"")
        except LdnError as error:
            return refused(error, getattr(request.state, "correlation", ""), sts.clock())
        return respond(given, 200)

    return [Route(path, issue, methods=["POST"])]


async def read_envelope(request: Request) -> bytes:
    """The body of a SOAP request; raises LdnError with status 415 for another content type."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != soap.MEDIA_TYPE:
        raise LdnError(Issue.INVALID, f"send {soap.MEDIA_TYPE}", status=415)
    return await read_body(request, LARGEST)


_CODES = {  # our issue -> code of WS-Trust §11
    Issue.LOGIN: "FailedAuthentication",
    Issue.FORBIDDEN: "RequestFailed",
    Issue.INVALID: "InvalidRequest",
    Issue.TOO_LONG: "InvalidRequest",
}


def refused(error: LdnError, correlation: str, now: datetime) -> Response:
    """The fault for this failure; who asks does not hear which check failed."""
    code = _CODES.get(error.issue, "RequestFailed")
    emit("refused", issue=str(error.issue), detail=error.detail, correlation=correlation)
    sender = error.issue in _CODES
    body = trust.fault(code, sender=sender)
    # SOAP 1.2 part 2 §7.5.2.2: 400 when the sender is at fault, else 500
    status = error.status if error.status == 415 else 400 if sender else 500
    return respond(soap.answer("", body, now, soap.FAULT_ACTION), status)


def respond(envelope: bytes, status: int) -> Response:
    """The envelope as an answer, which nobody may keep."""
    kind = f"{soap.MEDIA_TYPE}; charset=utf-8"
    return Response(envelope, status, {"content-type": kind, "cache-control": "no-store"})
