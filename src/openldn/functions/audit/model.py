"""Audit: the facts of one access, before they become a FHIR AuditEvent, and how to find them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from openldn.fhir.identifiers import CANON, Bsn, Oin, Ura
from openldn.trust.parties import Person, Requester

REQUESTED, SERVED, READ = "data-requested", "data-served", "audit-read"
NODE = f"{CANON}/NamingSystem/node-id"
CLIENT = f"{CANON}/NamingSystem/gateway-client"


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
class Party:
    """A machine or an organization that took part in an event."""

    id: str
    system: str = CLIENT  # naming system of the id
    address: str = ""  # URL, IP address or host name
    name: str = ""  # of an organization; never of a person


@dataclass(frozen=True)
class Thing:
    """What an event was about, beside a patient: a resource, a document, a key, a policy."""

    reference: str = ""  # "Task/17"
    id: str = ""  # where it is no resource
    system: str = ""  # naming system of the id
    description: str = ""  # "requested>accepted"; masked
    role: str = "4"  # 4 a resource, 3 a document or report, 20 a job
    details: tuple[tuple[str, str], ...] = ()  # what is known of it: ("scope", "bgz")


@dataclass(frozen=True)
class Event:
    """What happened, as one row of the catalogue tells it; `catalogue.ROWS` says what it needs.

    Source: specification of audit events §8.2, §8.6.
    """

    code: str  # "localization-queried"
    started: datetime
    ended: datetime | None = None
    outcome: str = "0"  # 0 success, 4 client error or partial, 8 refused or failed, 12 unavailable
    reason: str = ""  # why refused or failed, without personal data
    purpose: str = ""  # v3-ActReason code: "TREAT", "BTG"
    client: Party | None = None  # who called; None: ourselves
    server: Party | None = None  # who was called; None: ourselves
    person: Person | None = None
    responsible: Person | None = None  # on whose behalf a mandated person acts
    citizen: str = ""  # "PAT": the person is the patient; "AGNT": somebody who represents them
    organization: Ura | Oin | None = None  # on whose behalf it was done
    organization_name: str = ""
    holder: Ura | None = None  # whose data were asked, at the asking side
    community: str = ""  # OID of the other country's contact point
    patient: Bsn | None = None
    subject: str = ""  # keyed digest of a pseudonym, where a service knows no BSN
    things: tuple[Thing, ...] = ()
    consents: tuple[
        str, ...
    ] = ()  # which consents counted: id of a Consent, or urn:uuid of a question
    query: str = field(default="", repr=False)  # "GET List?…", kept base64 in the event
    interaction: str = "search-type"  # FHIR's code of what was done, where the row leaves it open
    correlation: str = ""  # X-Request-Id
    trace: str = ""  # W3C traceparent
    token: str = ""  # jti
    checks: str = ""  # authorization, treatment relation, consent, emergency; "" = as the row says
    legal_basis: str = ""
    policy: str = ""
    relation: str = ""
    consent: str = ""
    exchange: str = ""
    pattern: str = ""
    agreement: str = ""  # technical agreement with its version (URI)
    categories: tuple[str, ...] = ()  # of data: "AllergyIntolerance"
    count: int | None = None  # records, or holders; never content
    dialect: str = ""
    act: tuple[str, ...] = ()
    once: str = ""  # what names it: told again it is not written again; empty: each is a new one


@dataclass(frozen=True)
class Source:
    """Who keeps this log, as every event tells it."""

    holder: Ura | Oin
    node: str  # node id: the host name other parties know it by
    address: str = ""  # FHIR base or API of the node (URL)
    staff_names: bool = False  # whether names of staff are kept (NEN 7513 chapter 9)
    kind: str = "4"  # 4 a node, 6 a gateway, decision point or authorization server, 3 a portal
    personal: bool = True  # False: an index or pseudonym service, which may never know a BSN


@dataclass(frozen=True)
class AuditFilter:
    """What to look for; what is left out does not matter."""

    patient: Bsn | None = None
    since: datetime | None = None  # written at this moment or later
    until: datetime | None = None  # written before this moment
    correlation: str = ""
    code: str = ""  # "data-served"
    codes: tuple[str, ...] = ()  # any of these
    outcome: str = ""
    organization: str = ""  # URA of who asked
    actor: str = ""  # UZI number of who asked
    count: int = 100  # events per page, at most 1000
    page: int = 0  # cursor: only events before this sequence number


@dataclass(frozen=True)
class AuditPage:
    """Events as canonical FHIR JSON, newest first, and the cursor of what follows (0 = end)."""

    events: tuple[bytes, ...]
    next: int = 0
    places: tuple[int, ...] = ()  # sequence number of each


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


class Evidence(Protocol):
    """The port for every other event of the catalogue."""

    async def record(self, events: Sequence[Event]) -> None:
        """Write these durably, all or none; raises LdnError(transient) when that cannot be.

        Events of the node and its directory wait on disk while the store is away (`Row.spooled`).
        """
        ...


class Audit(Protocol):
    """The port of audit."""

    async def record(self, accesses: Sequence[Access]) -> None:
        """Write these durably, all or none; raises LdnError(transient) when that cannot be."""
        ...
