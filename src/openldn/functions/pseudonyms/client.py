"""Pseudonyms asked of the national service, in either wire profile; nothing is kept.

Source: generic functions §6.2 steps 1-4 and 7, §6.3, §6.4.
"""

import re
from dataclasses import dataclass
from typing import Protocol

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import NewId
from openldn.fhir.codec import dump, parse
from openldn.fhir.codec.model import Limits
from openldn.fhir.identifiers import Bsn
from openldn.functions.pseudonyms import oprf
from openldn.functions.pseudonyms.model import SCOPE, WIRES, Target, Wire, parse_organization
from openldn.trust import jose

_LIMITS = Limits(size=16 * 1024, depth=4, nodes=8, values=64, digits=20)
_JWE = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){4}")
_LARGEST = 8 * 1024  # characters of a JWE
_JSON = {"accept": "application/json", "content-type": "application/json"}
_TOLD = {  # what the service's refusal means here
    401: (Issue.INCOMPLETE, "it does not know who we are; check our token and certificate"),
    403: (Issue.INCOMPLETE, "it does not let us ask this; check our scopes with its operator"),
    404: (Issue.INCOMPLETE, "it knows no key of this recipient and scope; the recipient's turn"),
    422: (Issue.INCOMPLETE, "it speaks another wire profile; check the profile in our settings"),
    429: (Issue.THROTTLED, "it asks us to wait; try again later"),
    503: (Issue.TRANSIENT, "it cannot evaluate now; try again in a moment"),
    504: (Issue.TIMEOUT, "it had no answer in time; try again later"),
}


class Bearers(Protocol):
    """Where the client gets its access tokens."""

    async def bearer(self, scope: str) -> str:
        """A token with this scope; raises LdnError when there is none to be had."""
        ...

    def forget(self, token: str) -> None:
        """Do not give this token again: the service refused it."""
        ...


@dataclass(frozen=True)
class PseudonymsClient:
    """Asks the service at `base` for tokens to one recipient; it never sees who the patient is."""

    http: HttpClient
    base: str  # origin of the service, without trailing slash
    target: Target
    bearers: Bearers
    new_id: NewId
    wire: Wire = WIRES["eval-2026"]
    deadline: float = 5.0  # seconds for one question

    def __post_init__(self) -> None:
        """Raises LdnError(business-rule) for a recipient that this wire cannot name."""
        parse_organization(self.target.organization, self.wire.prefix)

    def require(self, check: str) -> None:
        """Raises LdnError(exception) unless the recipient told this check value for its words.

        A difference would never show later: it makes another pseudonym, so nothing is found.
        """
        if check and check != oprf.check_value(self.target):
            text = (
                "the recipient's check value of the info string is not ours: organization, "
                "scope, version and the case of the type must be the same at both sides"
            )
            raise LdnError(Issue.EXCEPTION, text)

    async def token(self, patient: Bsn) -> str:
        """A token of this patient for the recipient: for one transaction, never kept.

        Raises LdnError: incomplete when the service cannot be reached, refuses or answers
        nonsense; throttled, transient or timeout when it asks for patience.
        """
        blind = oprf.fresh_scalar()
        personal = oprf.identifier(patient.value, self.target.kind)
        question = {
            self.wire.blinded: oprf.encoded(oprf.blinded(personal, self.target.info, blind)),
            self.wire.organization: self.target.organization,
            self.wire.scope: self.target.scope,
        }
        reply = await self._ask(dump(question))
        return token_of(_answer(reply, self.wire), blind)

    async def _ask(self, body: bytes) -> Reply:
        bearer = await self.bearers.bearer(SCOPE)
        reply = await self._send(body, bearer)
        if reply.status == 401:  # it was withdrawn, or the service forgot it: once more
            self.bearers.forget(bearer)
            reply = await self._send(body, await self.bearers.bearer(SCOPE))
        return reply

    async def _send(self, body: bytes, bearer: str) -> Reply:
        headers = {**_JSON, "x-request-id": self.new_id(), "authorization": f"Bearer {bearer}"}
        url = f"{self.base}{self.wire.path}"
        try:
            return await self.http.send(
                "POST", url, headers=headers, body=body, deadline=self.deadline
            )
        except LdnError as error:
            text = f"the pseudonym service: {error.message}"
            raise LdnError(error.issue, text, error.detail, status=error.status) from error


def token_of(jwe: str, blind: bytes) -> str:
    """The answer and the blind factor as one word, as a `List.subject` holds it.

    Source: generic functions §6.2 step 7; without padding, as V10.
    """
    content = dump({"evaluated_output": jwe, "blind_factor": oprf.encoded(blind)})
    return jose.encoded(content)


def _answer(reply: Reply, wire: Wire) -> str:
    if reply.status != 200:
        issue, text = _TOLD.get(reply.status, (Issue.INCOMPLETE, "it refused; its operator's turn"))
        detail = f"status {reply.status}"
        raise LdnError(issue, f"the pseudonym service: {text}", detail=detail)
    try:
        found = parse(reply.body, _LIMITS)
    except LdnError as error:
        raise _nonsense("not JSON") from error
    jwe = found.get(wire.answer) if isinstance(found, dict) else None
    if not isinstance(jwe, str) or len(jwe) > _LARGEST or not _JWE.fullmatch(jwe):
        raise _nonsense("no JWE")
    return jwe


def _nonsense(detail: str) -> LdnError:
    text = "the pseudonym service: its answer cannot be read; its operator's turn"
    return LdnError(Issue.INCOMPLETE, text, detail=detail)
