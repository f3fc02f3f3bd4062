"""Audit: the facts of one access, before they become a FHIR AuditEvent."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from openldn.fhir.identifiers import Bsn, Ura
from openldn.trust.parties import Requester


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
    policy: str = ""  # the policy that decided, with its version


class Audit(Protocol):
    """The port of audit."""

    async def record(self, accesses: Sequence[Access]) -> None:
        """Write these durably, all or none; raises LdnError(transient) when that cannot be."""
        ...
