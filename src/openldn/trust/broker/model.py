"""What the broker converts into what, as data, and what it hands out."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Protocol

import msgspec

from openldn.fhir.identifiers import Bsn, Ura
from openldn.trust.evidence import Evidence, Proof, Status
from openldn.trust.parties import Person
from openldn.trust.peers import Profile
from openldn.trust.trail import Trail


class Conversion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One row of the table: B1 … B9."""

    id: str
    by: str  # which part of the product does it: broker, credentials, tokens, revocation
    takes: tuple[str, ...]  # dialects of a proof
    gives: tuple[str, ...]
    text: str
    checks: tuple[str, ...]
    mapping: dict[str, str]  # name in what it takes -> name in what it gives
    source: str


class Speech(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one infrastructure speaks: the proofs it makes and those it believes."""

    takes: tuple[str, ...]
    gives: tuple[str, ...]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every conversion, and which infrastructure speaks what."""

    infrastructures: dict[str, Speech]
    conversions: tuple[Conversion, ...]

    def find(self, takes: str, gives: str) -> Conversion | None:
        """The conversion of the broker from one dialect to another, when there is one."""
        fitting = (c for c in self.conversions if takes in c.takes and gives in c.gives)
        return next((c for c in fitting if c.by == "broker"), None)

    def home(self, dialect: str) -> str:
        """The infrastructure that speaks this dialect; empty for one that nobody speaks."""
        homes = self.infrastructures.items()
        return next((n for n, s in homes if dialect in s.takes + s.gives), "")


@cache
def conversions() -> Table:
    """The table that ships with the product."""
    content = (files(__package__) / "conversions.json").read_bytes()
    return msgspec.json.decode(content, type=Table)


@dataclass(frozen=True)
class Audience:
    """A holder's authorization server, as the directory knows it."""

    issuer: str  # URL; what a proof for it is addressed to
    holder: Ura
    infrastructure: str  # lsp, nuts, zorgplatform
    profile: Profile  # algorithms, lifetimes and quirks of that side
    scopes: frozenset[str] | None = None  # what may be asked there; None: the holder decides


@dataclass(frozen=True)
class Asked:
    """What one party wants its proof turned into."""

    audience: Audience
    gives: str  # jwt, vp, saml
    scopes: frozenset[str]
    party: Ura  # whom the TLS certificate of the connection names
    thumbprint: str  # of that certificate: what is minted is bound to it
    certificate: bytes = field(default=b"", repr=False)  # that certificate, DER
    actor: str = ""  # who asks on behalf of the subject, when an actor token says so


@dataclass(frozen=True)
class Terms:
    """The bounds the broker keeps, whatever is asked."""

    broker: str  # its own URL, as it stands in act chains
    now: datetime
    id: str  # of what is to be minted
    longest: timedelta = timedelta(minutes=15)  # what rests on what is minted lives no longer
    depth: int = 3  # brokers between asker and holder


@dataclass(frozen=True)
class Draft:
    """What may be minted: never more than what was proven; a mint adds a signature only."""

    id: str  # jti
    conversion: str  # B5
    gives: str
    audience: Audience
    proof: Proof  # verified in the same request
    scopes: frozenset[str]
    act: tuple[str, ...]  # the broker first
    via: tuple[str, ...]  # infrastructures it has passed, nearest first
    thumbprint: str
    issued: datetime
    shown_by: datetime  # it must be shown to the holder before this, as that side agreed
    expires: datetime  # what the holder makes of it counts no longer
    certificate: bytes = field(default=b"", repr=False)

    @property
    def organization(self) -> Ura:
        """Whom it speaks of."""
        return self.proof.organization

    @property
    def person(self) -> Person | None:
        """Who asks within the organization, when that was proven."""
        return self.proof.person

    @property
    def patient(self) -> Bsn | None:
        """The one patient it is about, when that was proven."""
        return self.proof.patient

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What it rests on."""
        return self.proof.evidence


@dataclass(frozen=True)
class Made:
    """What was minted, as the asking side sends it to the holder."""

    token: str = field(repr=False)
    kind: str  # issued_token_type
    client_assertion: str = field(default="", repr=False)
    expires: datetime | None = None  # when a part of it lives shorter than the draft


@dataclass(frozen=True)
class Arrived:
    """Circumstances in which a subject token came in."""

    audiences: frozenset[str]  # the broker's own: what it must be addressed to
    certificate: bytes = field(repr=False)  # TLS client certificate, DER
    now: datetime


class Reader(Protocol):
    """The port of verifying a subject token of one type."""

    async def read(self, token: str, arrived: Arrived, trail: Trail) -> Proof:
        """Who stands before us; raises LdnError(the trail's issue) with the reason code."""
        ...


class Mint(Protocol):
    """The port of making a proof of one dialect; keys stay behind it."""

    async def make(self, draft: Draft, status: Status) -> Made:
        """The draft, signed; `status` is its place in the broker's status list."""
        ...
