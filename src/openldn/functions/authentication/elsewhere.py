"""Tokens of a token endpoint elsewhere: asked there (RFC 7662), or signed by it (RFC 9068)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient
from openldn.base.runtime import Clock
from openldn.fhir.codec import parse
from openldn.fhir.identifiers import Oin, Ura
from openldn.functions.authentication.model import Pass, Register
from openldn.functions.authentication.store import hashed
from openldn.trust import jose
from openldn.trust.documents import Documents
from openldn.trust.parties import Caller
from openldn.trust.people import keysets
from openldn.trust.remembering import Remembered
from openldn.trust.tokens.assertions import moment
from openldn.trust.trail import Rule, Trail

_FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
_FRESH = 5.0  # seconds an answer counts without asking again

CLAIMS = Rule("gateway.claims", "RFC 9068 §2.2", "the token says who calls, for whom and how long")
ISSUER = Rule("gateway.iss", "RFC 9068 §4", "the token is of the endpoint that we agreed with")


@dataclass(frozen=True)
class Terms:
    """What is agreed with the token endpoint elsewhere."""

    issuer: str  # its name, as `iss`
    audiences: frozenset[str]  # those that mean this service
    register: Register


@dataclass
class Introspection:
    """What a token stands for, as its own endpoint tells (`Found`)."""

    terms: Terms
    http: HttpClient  # shows our certificate, and checks whose endpoint it is
    url: str
    clock: Clock
    deadline: float = 5.0  # seconds for one answer

    def __post_init__(self) -> None:
        """Remember for a moment what was answered."""
        self._remembered = Remembered[Pass](self.clock, fresh=_FRESH)

    async def __call__(self, token: str) -> Pass:
        """What it stands for; raises LdnError: login, incomplete, timeout."""
        return await self._remembered.get(hashed(token).hex(), lambda: self._asked(token))

    async def _asked(self, token: str) -> Pass:
        body = urlencode({"token": token}).encode("ascii")
        reply = await self.http.send(
            "POST", self.url, headers=_FORM, body=body, deadline=self.deadline
        )
        if reply.status != 200:
            raise _away(f"status {reply.status}")
        try:
            told = parse(reply.body)
        except LdnError as error:
            raise _away("form") from error
        if not isinstance(told, dict) or not isinstance(told.get("active"), bool):
            raise _away("form")
        if not told["active"]:
            raise _unknown("inactive")
        return pass_of(told, self.terms, Trail())


@dataclass
class Signed:
    """What a signed token says, once the keys of its endpoint prove it (`Found`)."""

    terms: Terms
    signer: keysets.Signer
    documents: Documents
    clock: Clock

    def __post_init__(self) -> None:
        """Remember for a moment which tokens were proven."""
        self._remembered = Remembered[Pass](self.clock, fresh=_FRESH)

    async def __call__(self, token: str) -> Pass:
        """What it says; raises LdnError(login)."""
        return await self._remembered.get(hashed(token).hex(), lambda: self._proven(token))

    async def _proven(self, token: str) -> Pass:
        trail = Trail()
        try:
            read = jose.read(token, trail)
            await keysets.believe(read, self.signer, self.documents, trail)
            return pass_of(read.claims, self.terms, trail)
        except LdnError as error:
            raise _unknown(error.detail) from error


def pass_of(claims: Mapping[str, Any], terms: Terms, trail: Trail) -> Pass:
    """What these claims stand for; raises LdnError(login) when one is missing or unreadable.

    The main organization is `sub`: a URA, or an OIN that the register knows.
    """
    trail.require(claims.get("iss") == terms.issuer, ISSUER)
    issued, expires = moment(claims.get("iat")), moment(claims.get("exp"))
    bound = _text(_inner(claims, "cnf"), "x5t#S256")
    if issued is None or expires is None or not bound:
        raise trail.refusal(CLAIMS)
    organization, oin = _organization(claims, terms.register, trail)
    caller = Caller(
        organization=organization,
        scopes=frozenset(_text(claims, "scope").split()),
        oin=oin,
        acting=_text(_inner(claims, "act"), "sub"),
        source=_text(claims, "client_id")[:200],
        audience=_audience(claims, terms),
        name=_text(claims, "organization_name")[:200],
    )
    begins, ends = (datetime.fromtimestamp(m, UTC) for m in (issued, expires))
    return Pass(caller, bound, begins, ends, _text(claims, "jti")[:128])


def _organization(
    claims: Mapping[str, Any], register: Register, trail: Trail
) -> tuple[Ura, Oin | None]:
    subject = _text(claims, "sub")
    try:
        if len(subject) <= 8:
            ura = Ura.parse(subject)
            known = register.by_ura(ura)
        else:
            known = register.by_oin(Oin.parse(subject))
            if known is None:
                raise trail.refusal(CLAIMS)
            ura = known.ura
    except LdnError as error:
        raise trail.refusal(CLAIMS) from error
    return ura, known.oin if known else None


def _audience(claims: Mapping[str, Any], terms: Terms) -> str:
    """The audience that means this service; else the first, which the gateway will refuse."""
    named = claims.get("aud")
    several = named if isinstance(named, list) else [named]
    texts = [a for a in several if isinstance(a, str)]
    return next((a for a in texts if a in terms.audiences), texts[0] if texts else "")


def _inner(claims: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = claims.get(name)
    return value if isinstance(value, dict) else {}


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""


def _unknown(why: str) -> LdnError:
    text = "the token does not count; ask a fresh one at the token endpoint"
    return LdnError(Issue.LOGIN, text, detail=f"gateway.token: {why}")


def _away(why: str) -> LdnError:
    text = "the token endpoint tells nothing of this token now; try again in a moment"
    return LdnError(Issue.INCOMPLETE, text, detail=f"gateway.introspection: {why}")
