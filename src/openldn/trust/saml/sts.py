"""The asking side of an STS: our own signed word in, an assertion for a third party out.

Source: infrastructures §3 (Zorgplatform); WS-Trust 1.4 §4.
"""

import base64
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import Clock, NewId
from openldn.fhir.identifiers import Ura
from openldn.trust.parties import Requester
from openldn.trust.peers import Profile
from openldn.trust.saml import soap, trust
from openldn.trust.saml.make import Content, Towards, make
from openldn.trust.saml.read import SamlExpected, read
from openldn.trust.saml.signature import Signing
from openldn.trust.saml.variants import Variant, reasons, variant
from openldn.trust.tokens.model import AccessToken
from openldn.trust.tokens.purse import Purse
from openldn.trust.trail import Trail

LARGEST = 10 * 1024 * 1024  # bytes of an answer that is read; give the HttpClient the same
DEADLINE = 10.0  # seconds for one token
_HEADERS = {"content-type": f"{soap.MEDIA_TYPE}; charset=utf-8", "accept": soap.MEDIA_TYPE}

Key = tuple[Ura, str, Requester, str]


@dataclass(frozen=True)
class Account:
    """What we agreed with the operator of an STS."""

    url: str  # of the STS; its name as issuer too, unless told otherwise
    audience: str  # for whom our own assertion is: "https://zorgplatform.online"
    applies_to: str  # the address the token is for
    organization: Ura  # ours
    identifier: str  # ours, as the peer knows us: "urn:oid:…"
    profile: Profile
    signing: Signing
    pinned: tuple[x509.Certificate, ...]  # of the STS
    issuer: str = ""


@dataclass
class StsClient:
    """Gets assertions for the header `Authorization: SAML`; implements `Tokens`."""

    account: Account
    client: HttpClient  # over mutual TLS
    clock: Clock
    new_id: NewId
    deadline: float = DEADLINE

    def __post_init__(self) -> None:
        """Begin with an empty purse."""
        self._purse = Purse(self.clock)

    async def token(self, holder: Ura, issuer: str, requester: Requester) -> AccessToken:
        """An assertion for the party behind the STS, which opens `holder`'s data there.

        Raises LdnError: forbidden with the reason of the STS, incomplete, timeout.
        """
        return await self.for_workflow(holder, requester, "")

    async def for_workflow(self, holder: Ura, requester: Requester, workflow: str) -> AccessToken:
        """An assertion that names the workflow it is for, where there is one.

        Several who need the same at once wait for one request. Raises LdnError as `token` does.
        """
        if requester.organization != self.account.organization:
            text = "this node asks for its own organization only; check the settings of the STS"
            raise LdnError(Issue.FORBIDDEN, text)
        key = (holder, self.account.url, requester, workflow)
        return self._purse.kept(key) or await self._purse.ask(key, self._ask(requester, workflow))

    def forget(self, token: AccessToken) -> None:
        """Do not use this assertion again: it was refused."""
        self._purse.forget(token)

    async def _ask(self, requester: Requester, workflow: str) -> AccessToken:
        reply = await self.client.send(
            "POST",
            self.account.url,
            headers=_HEADERS,
            body=self.request(requester, workflow),
            deadline=self.deadline,
        )
        if reply.status != 200:
            raise _refusal(reply)
        return self._given(reply)

    def request(self, requester: Requester, workflow: str = "") -> bytes:
        """The envelope that asks for a token: our own word, signed, good for five minutes.

        Raises LdnError(business-rule) for a purpose that the dialect has no word for.
        """
        ours, now = self.account, self.clock()
        kind = variant(_kind(requester))
        lasting = timedelta(seconds=ours.profile.lifetimes.saml)
        values = _values(requester, kind, ours.identifier) | {"workflow": workflow}
        content = Content(
            ours.identifier, _name_id(requester, ours.identifier), values, now, now + lasting
        )
        towards = Towards((ours.audience,), ours.profile, kind, ours.signing)
        assertion = make(content, towards, self.new_id)
        message_id = f"urn:uuid:{self.new_id()}"
        return soap.request(ours.url, message_id, assertion, trust.request(ours.applies_to), now)

    def _given(self, reply: Reply) -> AccessToken:
        trail = Trail(issue=Issue.INCOMPLETE)
        try:
            body = soap.read_answer(reply.body, trail, LARGEST)
            assertion = trust.read_response(body, trail)
            proof = read(assertion, self._expected(), trail)
        except LdnError as error:
            text = "the STS gives an answer we do not accept; report this to its operator"
            raise LdnError(Issue.INCOMPLETE, text, detail=error.detail) from error
        value = base64.b64encode(assertion).decode()
        return AccessToken(value, proof.evidence[0].id, proof.expires, "SAML")

    def _expected(self) -> SamlExpected:
        ours = self.account
        return SamlExpected(
            audience=ours.applies_to,
            now=self.clock(),
            profile=ours.profile,
            variant=variant("zorgplatform-token"),
            pinned={ours.issuer or ours.url: ours.pinned},
            organization=lambda _: ours.organization,
        )


def _kind(requester: Requester) -> str:
    return "zorgplatform-professional" if requester.person else "zorgplatform-application"


def _name_id(requester: Requester, identifier: str) -> str:
    """Our user at our OID; a user that is named so already stays as it is."""
    if requester.person is None:
        return identifier
    name = requester.person.uzi
    return name if "@" in name else f"{name}@{identifier.removeprefix('urn:oid:')}"


def _values(requester: Requester, kind: Variant, identifier: str) -> dict[str, str]:
    purposes = {ours: theirs for theirs, ours in reasons().items()}
    purpose = purposes.get(kind.purpose or requester.purpose, "")
    if not purpose:
        text = "this purpose has no word in the dialect of the STS; ask for treatment"
        raise LdnError(Issue.BUSINESS_RULE, text)
    return {
        "purpose": purpose,
        "role": kind.role,
        "resource": requester.patient.value if requester.patient else "",
        "organization": identifier,
    }


def _refusal(reply: Reply) -> LdnError:
    # Only words we know are repeated: what another party writes may hold anything.
    try:
        code = trust.read_fault(soap.read_answer(reply.body, Trail()))
    except LdnError:
        code = ""
    if code:
        text = f"the STS refuses ({code}): {trust.FAULTS[code]}"
        return LdnError(Issue.FORBIDDEN, text, detail=f"sts: {code}")
    text = "the STS gives no token now; try again later"
    return LdnError(Issue.INCOMPLETE, text, detail=f"sts: status {reply.status}")
