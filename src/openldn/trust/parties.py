"""Who takes part: care providers, their people, and on whose behalf they act."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn, Oin, Ura


@dataclass(frozen=True)
class Person:
    """A practitioner as the asking organization vouches for them."""

    uzi: str  # UZI or Dezi number
    role: str  # UZI role code, "01.015"
    name: str = field(default="", repr=False)


@dataclass(frozen=True)
class Emergency:
    """Why the glass is broken, in the word of the organization whose person breaks it."""

    case: str  # by which both sides know it: an id that the asking side made
    code: str  # of the coded reasons: "life-threatening"
    text: str = field(repr=False)  # in the person's own words
    level: str  # of assurance that the person signed in with, as eIDAS writes it
    began: int  # the moment the reason was given, in seconds since 1970


@dataclass(frozen=True)
class Requester:
    """Who asks: the organization, proven; the person, vouched for; and why."""

    organization: Ura
    scopes: frozenset[str]
    purpose: str  # v3-ActReason code, "TREAT"
    organization_name: str = ""
    person: Person | None = None
    patient: Bsn | None = None  # the one patient this request is about, when the token fixes it
    base: str = field(default="", repr=False)  # authorization base that a token is asked with
    emergency: Emergency | None = None  # None: the glass is not broken


@dataclass(frozen=True)
class Caller:
    """Who calls a national service, as its gateway established it.

    The gateway is the only one that makes a Caller; a service behind it never reads a header of
    the request to learn who calls.
    """

    organization: Ura  # on whose behalf: the main organization
    scopes: frozenset[str]  # "nvi:create", "prs:read"
    oin: Oin | None = None  # the main organization in government traffic
    acting: str = ""  # URA or OIN of who holds the connection, where that is another
    source: str = ""  # the application of the organization: its client id
    audience: str = ""
    name: str = ""

    def need(self, scope: str) -> None:
        """Raises LdnError(forbidden), naming the scope, unless it was given."""
        if scope not in self.scopes:
            text = f"this needs the scope {scope}; ask for a token that carries it"
            raise LdnError(Issue.FORBIDDEN, text, detail="caller.scope")


CALLER = "openldn.caller"  # where the gateway puts the Caller in the ASGI scope


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """Who calls; raises LdnError(login) when no gateway let this request in."""
    found = scope.get(CALLER)
    if not isinstance(found, Caller):
        text = "nobody established who calls; come through the gateway with a token"
        raise LdnError(Issue.LOGIN, text, detail="caller.absent")
    return found
