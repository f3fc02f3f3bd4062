"""Audit: the facts of one access, before they become a FHIR AuditEvent, and how to find them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from openldn.fhir.identifiers import Bsn, Ura
from openldn.trust.parties import Requester

REQUESTED, SERVED, READ = "data-requested", "data-served", "audit-read"


@dataclass(frozen=True)
class Access:
    """One question and what came of it, as one side saw it (NEN 7513).

    Source: specification of audit events, rows data-requested and data-served.
    """

    code: str  # "data-requested" at the asking side, "data-served" at the answering side
    started: datetime
    ended: datetime
    outcome: str  # 0 success, 4 client error or partial, 8 refused or failed, 12 unavailable
    requester: Requester
    holder: Ura
    patient: Bsn | None
    exchange: str  # "bgz"
    pattern: str  # "pull"
    query: str = field(repr=False)  # "GET Condition?patient.identifier=…", kept base64 in the event
    correlation: str = ""  # X-Request-Id, the same at both sides
    trace: str = ""  # W3C traceparent
    count: int = 0  # resources that matched
    reason: str = ""  # why refused or failed, without personal data
    token: str = ""  # jti
    peer: str = ""  # network address of the other side
    checks: str = "----"  # authorization, treatment relation, consent, emergency: T, F or -
    legal_basis: str = ""
    policy: str = ""  # the policy that decided, with its version: "bgz|1"
    relation: str = ""  # how the treatment relation was shown: "declared-by-requester"
    consent: str = ""  # which consent counted: "mitz-permit"
    interaction: str = "search-type"  # FHIR's code of what was done; "read"
    dialect: str = ""  # how the token was proven: "D2", "SAML"
    act: tuple[str, ...] = ()  # whose word came in between, nearest first: a broker


@dataclass(frozen=True)
class Source:
    """Who keeps this log, as every event tells it."""

    holder: Ura
    node: str  # node id: the host name other parties know it by
    address: str = ""  # FHIR base or API of the node (URL)
    staff_names: bool = False  # whether names of staff are kept (NEN 7513 chapter 9)


@dataclass(frozen=True)
class AuditFilter:
    """What to look for; what is left out does not matter."""

    patient: Bsn | None = None
    since: datetime | None = None  # written at this moment or later
    until: datetime | None = None  # written before this moment
    correlation: str = ""
    code: str = ""  # "data-served"
    count: int = 100  # events per page, at most 1000
    page: int = 0  # cursor: only events before this sequence number


@dataclass(frozen=True)
class AuditPage:
    """Events as canonical FHIR JSON, newest first, and the cursor of what follows (0 = end)."""

    events: tuple[bytes, ...]
    next: int = 0


@dataclass(frozen=True)
class Verdict:
    """What recomputing the chain showed."""

    events: int  # how many were recomputed
    broken: int = 0  # first sequence number that does not fit; 0 = none
    reason: str = ""

    @property
    def intact(self) -> bool:
        """Whether nothing was altered, removed or reordered."""
        return not self.broken


class Audit(Protocol):
    """The port of audit."""

    async def record(self, accesses: Sequence[Access]) -> None:
        """Write these durably, all or none; raises LdnError(transient) when that cannot be."""
        ...
