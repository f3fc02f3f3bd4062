"""What an identity rests on, and what a party has shown once it is verified: the hub of trust.

Every dialect (signed assertions, presentations, SAML, a certificate alone) is read into a
`Proof`; grants, conversions and trails are made from a `Proof` and from nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from openldn.fhir.identifiers import Bsn, Ura
from openldn.trust.parties import Emergency, Person


class Kind(StrEnum):
    """What sort of thing an identity rests on."""

    CERTIFICATE = "certificate"
    CREDENTIAL = "credential"
    ASSERTION = "assertion"  # a signed JWT of an organization or a broker
    SAML = "saml"
    STATEMENT = "statement"  # of Dezi, about a person


@dataclass(frozen=True)
class Status:
    """Where a source tells whether what it issued still counts."""

    url: str  # of the status list credential, or of the statement's status
    index: int = -1  # the bit in the list; -1: the whole answer is about this one thing
    purpose: str = "revocation"


@dataclass(frozen=True)
class Evidence:
    """One thing an identity rests on, and may be revoked; enough to look again later."""

    kind: Kind
    id: str  # thumbprint (base64url SHA-256) of a certificate; id or jti of anything else
    issuer: str  # who vouches: DID, URL, or subject of the issuing authority
    expires: datetime
    status: Status | None = None
    chain: tuple[bytes, ...] = field(default=(), repr=False)  # DER, leaf first: for CRL and OCSP


@dataclass(frozen=True)
class Value:
    """One value of a claim, and who says so."""

    value: str = field(repr=False)
    issuer: str
    issued: datetime
    expires: datetime


Claims = Mapping[str, tuple[Value, ...]]  # field.id -> values


@dataclass(frozen=True)
class Proof:
    """Who stands before us, proven: the one form all dialects end in."""

    dialect: str  # "twiin", "vp", "vp2", "saml", "certificate", "broker", …
    subject: str  # as the proof names it: DID, URL or URA
    organization: Ura
    issued: datetime
    expires: datetime  # not beyond the shortest of its evidence
    evidence: tuple[Evidence, ...]
    organization_name: str = ""
    system: str = ""  # the vendor or system that acts for the organization: DID, URL or name
    person: Person | None = None
    patient: Bsn | None = None
    purpose: str = ""  # v3-ActReason code, when the dialect carries one
    authorization_base: str = ""  # opaque reference to why this may be asked (Twiin)
    scopes: frozenset[str] | None = None  # None: the proof itself does not limit scope
    act: tuple[str, ...] = ()  # who acted in between (brokers), nearest first
    used: tuple[str, ...] = ()  # jti and nonce values, each to be used once: "iss|value"
    claims: Mapping[str, Claims] = field(default_factory=dict, repr=False)  # subject -> claims
    client_claims: Mapping[str, Claims] = field(default_factory=dict, repr=False)  # of the vendor
    emergency: Emergency | None = None  # why the glass is broken, when it is
