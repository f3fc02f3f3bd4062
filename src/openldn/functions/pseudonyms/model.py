"""Pseudonyms: to whom they are made, what travels, and what the recipient reads from it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn, Oin, Ura

SCOPE = "prs:read"  # what a caller of the service needs
LIFE = 300  # seconds an answer of the service counts
SKEW = 60  # seconds that clocks may differ
# An answer holds a version this long before it begins: else one that was given just before
# would miss what is written under the new version just after.
LEAD = timedelta(seconds=LIFE + 2 * SKEW)
SUBJECT = "pseudonym:eval:"  # what the subject of an answer begins with
EVERY = "*"  # the scope of a key that serves all scopes
BSN = "BSN"  # the type of a personal identifier; its case counts, "bsn" is another
_SCOPE = re.compile(r"[a-z0-9][a-z0-9._:/-]{1,99}")


class Pseudonyms(Protocol):
    """A patient as a token for the one recipient that this was made for."""

    async def token(self, patient: Bsn) -> str:
        """base64url of {evaluated_output, blind_factor}: for one transaction, never kept.

        Only the recipient can make a pseudonym of it; two tokens of one patient differ. Raises
        LdnError when the service refuses, is away or answers nonsense.
        """
        ...


@dataclass(frozen=True)
class Opened:
    """What a recipient reads from a token: the pseudonym under each key version that counts."""

    # newest version that counts first, to write under; then all others to search; 32 bytes each
    elements: tuple[tuple[int, bytes], ...] = field(repr=False)
    digest: bytes = field(repr=False)  # SHA-256 of the JWE: used once until it expires
    expires: datetime


@dataclass(frozen=True)
class Target:
    """To whom pseudonyms are made, and the words that both sides hash with."""

    organization: str  # as the service knows it: "oin:00000099000000001000", "ura:90000901"
    scope: str  # "nvi"
    info: str  # the HKDF info: "oin:00000099000000001000|nvi|v1"
    kind: str = BSN


@dataclass(frozen=True)
class Words:
    """Which words of a recipient go into the info string: one profile in circulation."""

    prefix: str
    scope: str


INFO = {  # Source: generic functions, §0.3 pseudonym info string
    "info-oin": Words("oin:", "nvi"),
    "info-ura": Words("ura:", "nationale-verwijsindex"),
}


def target(
    organization: str, info: str = "info-oin", *, scope: str = "", kind: str = BSN
) -> Target:
    """The recipient, with its info string by a named profile of `INFO`, or told in full.

    "oin:00000099000000001000|nvi|v1" is one in full: for a recipient that one profile names on
    the wire and another in the info string. Raises LdnError: invalid, business-rule.
    """
    if "|" in info:
        return Target(organization, parse_scope(scope or _middle(info)), info, kind)
    words = INFO.get(info)
    if words is None:
        text = f"no info profile {info!r}; choose one of {', '.join(INFO)}, or tell it in full"
        raise LdnError(Issue.INVALID, text)
    named, chosen = parse_organization(organization, words.prefix), scope or words.scope
    return Target(named, parse_scope(chosen), f"{named}|{chosen}|v1", kind)


def _middle(info: str) -> str:
    parts = info.split("|")
    if len(parts) != 3 or not all(parts) or not info.isascii():
        text = "an info string has three parts: organization|scope|v1"
        raise LdnError(Issue.INVALID, text)
    return parts[1]


@dataclass(frozen=True)
class Wire:
    """One form of the question: its path, the names in it, and how an organization is named."""

    name: str
    path: str
    blinded: str
    organization: str
    scope: str
    answer: str
    prefix: str


WIRES: Mapping[str, Wire] = {
    w.name: w
    for w in (
        Wire(
            *("eval-2026", "/oprf/eval"),
            *("encryptedPersonalId", "recipientOrganization", "recipientScope"),
            *("jwe", "oin:"),
        ),
        Wire(
            *("ig-ministry", "/evaluate"),
            *("blinded_input", "recipient_organization", "recipient_scope"),
            *("evaluated_output", "ura:"),
        ),
    )
}


@dataclass(frozen=True)
class RecipientKey:
    """A public key that a recipient registered, and the scopes it serves."""

    id: str
    organization: Ura
    oin: Oin | None
    scopes: tuple[str, ...]
    kid: str
    pem: str = field(repr=False)  # SubjectPublicKeyInfo
    created: datetime


@dataclass(frozen=True)
class KeyVersion:
    """A version of the secret that pseudonyms of a recipient's scope are made with."""

    id: str
    organization: Ura
    scope: str  # EVERY: a root from which each scope has a secret of its own
    version: int
    begins: datetime
    ends: datetime | None  # None: not yet decided
    destroyed: datetime | None = None
    sealed: bytes | None = field(default=None, repr=False)  # encrypted; None: destroyed

    def active(self, moment: datetime) -> bool:
        """Whether evaluations are made with it at this moment: [begins, ends)."""
        ended = self.ends is not None and self.ends <= moment
        return self.sealed is not None and self.begins <= moment and not ended

    def coming(self, moment: datetime) -> bool:
        """Whether it begins while an answer of this moment may still be in use."""
        return self.sealed is not None and moment < self.begins <= moment + LEAD


def parse_organization(text: str, prefix: str) -> str:
    """The organization as named on the wire; raises LdnError(business-rule) for another form.

    Source: PRS app/models/oin.py; an OIN of zeros is nobody's.
    """
    kinds = {"oin:": Oin.parse, "ura:": Ura.parse}
    if not text.startswith(prefix):
        raise LdnError(Issue.BUSINESS_RULE, f"name the recipient as {prefix} and its number")
    try:
        value = str(kinds[prefix](text.removeprefix(prefix)))
    except LdnError as error:
        raise LdnError(Issue.BUSINESS_RULE, error.message) from error
    if not value.strip("0"):
        raise LdnError(Issue.BUSINESS_RULE, "a number of zeros is no organization's")
    return f"{prefix}{value}"


def parse_scope(text: str) -> str:
    """A scope of a recipient, lower-cased; raises LdnError(business-rule) for what is none."""
    lowered = text.strip().lower()
    if not _SCOPE.fullmatch(lowered):
        text = "a scope has 2 to 100 letters, digits and . _ : / -"
        raise LdnError(Issue.BUSINESS_RULE, text)
    return lowered
