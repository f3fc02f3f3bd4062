"""Localization: records that say who holds data of a patient, and the port to ask for them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from openldn.fhir.identifiers import Bsn, Ura
from openldn.trust.parties import Caller

CREATE, DELETE, READ, LOCALIZE = "nvi:create", "nvi:delete", "nvi:read", "nvi:localize"
SCOPES = frozenset({CREATE, DELETE, READ, LOCALIZE})  # NVI app/models/auth/data.py

_GUIDE = "http://minvws.github.io/generiekefuncties-docs"
NVI_IDENTIFIER = f"{_GUIDE}/NamingSystem/nvi-identifier"  # of a token for a patient
PSEUDO_BSN = "http://fhir.nl/fhir/NamingSystem/pseudo-bsn"  # the same in the older guide
OAUTH_CLIENT_ID = f"{_GUIDE}/NamingSystem/oauth-client-id"  # of a source, in the guide
URI_SYSTEM = "urn:ietf:rfc:3986"  # of a source, as the national index is built
CUSTODIAN_EXTENSION = f"{_GUIDE}/StructureDefinition/nl-gf-localization-custodian"
SOURCE_SYSTEMS = {URI_SYSTEM: 1, OAUTH_CLIENT_ID: 2}  # and the number the store keeps


class Opened(Protocol):
    """What a token for a patient holds once the recipient opened it."""

    @property
    def elements(self) -> tuple[tuple[int, bytes], ...]:
        """Key version and unblinded group element (32 bytes), newest version first."""
        ...

    @property
    def digest(self) -> bytes:
        """SHA-256 of the JWE: what makes a second use of the token the same token."""
        ...

    @property
    def expires(self) -> datetime:
        """When the token ends."""
        ...


# Opens base64url(JSON {"evaluated_output": JWE, "blind_factor": base64url}). Raises LdnError:
# invalid for what is no token for us or has ended, transient when there is no key to open it, or
# when it is not opened in time: how long that may take, the opener knows.
Open = Callable[[str], Awaitable[Opened]]

TokenOf = Callable[[Bsn], Awaitable[str]]  # a fresh token for this patient, for one use
BearerOf = Callable[[str], Awaitable[str]]  # the access token that carries these scopes


@dataclass(frozen=True)
class Source:
    """The application of a holder that registered: its client id."""

    value: str
    system: str = URI_SYSTEM


@dataclass(frozen=True)
class Record:
    """That a holder has data of a patient; the patient is not in it."""

    id: str
    custodian: Ura
    source: Source
    created: datetime
    category: str = ""  # data category; empty: the holder told none


@dataclass(frozen=True)
class Register:
    """Say that the caller holds data of the patient of this token."""

    token: str = field(repr=False)
    source: Source
    category: str = ""


@dataclass(frozen=True)
class Filter:
    """Which records: what is left out does not matter."""

    token: str = field(default="", repr=False)
    source: str = ""  # value of the source
    category: str = ""  # this one, or none told
    id: str = ""
    nothing: bool = False  # an identifier without system, which finds nothing
    formed: bool = False  # the token was put together by us, so its form is right

    @property
    def bounded(self) -> bool:
        """Whether it says whose records, so that a removal cannot take all by accident."""
        return bool(self.token or self.source or self.id)


@dataclass(frozen=True)
class Find:
    """Look for records; `own`: of the caller alone, else of every holder."""

    filter: Filter
    own: bool = True
    scope: str = LOCALIZE


@dataclass(frozen=True)
class Remove:
    """Take away records of the caller."""

    filter: Filter


Act = Register | Find | Remove


@dataclass(frozen=True)
class Done:
    """What an act came to."""

    records: tuple[Record, ...] = ()  # registered, found or removed
    duplicate: bool = False  # it stood there already; `records` is empty


@dataclass(frozen=True)
class Happened:
    """One act that was done, as evidence tells it."""

    caller: Caller
    act: Act
    done: Done
    subject: str  # keyed digest of the patient; empty when none was named


Tell = Callable[[Sequence[Happened]], Awaitable[None]]  # raises LdnError: then it is not done


class Localization(Protocol):
    """The port of localization, for one holder or asker."""

    async def register(self, patient: Bsn, category: str = "") -> None:
        """Say that we hold data of this patient; saying it again changes nothing."""
        ...

    async def withdraw(self, patient: Bsn, category: str = "") -> None:
        """Take back what `register` said; nothing there is no error.

        Without a category: everything we said about this patient.
        """
        ...

    async def holders(self, patient: Bsn, category: str = "") -> list[Ura]:
        """Who holds data of this patient, each once, in order.

        With a category: of that category, and who told none.
        """
        ...
