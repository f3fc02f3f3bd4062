"""Who may stand before a national service, for whom, and what a token of the gateway opens."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Oin, Ura
from openldn.trust.parties import Caller

_SKEW = timedelta(seconds=5)
URA, OIN = "ura", "oin"  # by which number a service knows an organization


@dataclass(frozen=True)
class Party:
    """Who holds a connection, as its client certificate says."""

    id: str  # URA or OIN
    name: str = ""
    ura: Ura | None = None  # None: a party of the government, which has an OIN


@dataclass(frozen=True)
class Organization:
    """A main organization that is known by both numbers."""

    ura: Ura
    oin: Oin
    name: str = ""


@dataclass(frozen=True)
class Mandate:
    """An organization lets another party act for it."""

    organization: Ura
    acting: str  # URA or OIN of the other party
    scopes: frozenset[str] = frozenset()  # empty: each scope the organization itself may have
    until: datetime | None = None  # None: until it is withdrawn


@dataclass(frozen=True)
class Pass:
    """What one token stands for: who calls, on which connection, until when."""

    caller: Caller
    thumbprint: str  # x5t#S256 of the client certificate it is bound to (RFC 8705)
    issued: datetime
    expires: datetime
    id: str = ""  # names the token in logs without being the token

    def lasts(self, now: datetime) -> bool:
        """Whether it counts now; clocks of two machines may differ five seconds."""
        return self.issued - _SKEW <= now < self.expires


Found = Callable[[str], Awaitable[Pass]]  # what this token stands for; raises LdnError(login)


class Bearers(Protocol):
    """Where a client of a national service gets its tokens."""

    async def bearer(self, scope: str) -> str:
        """A token with these scopes (separated by spaces) that lasts at least thirty seconds.

        Raises LdnError: forbidden with the server's reason, incomplete, timeout.
        """
        ...

    def forget(self, token: str) -> None:
        """Do not give this token again: the service refused it."""
        ...


@dataclass(frozen=True)
class Register:
    """The organizations that are known by two numbers, and who may act for whom."""

    organizations: tuple[Organization, ...] = ()
    mandates: tuple[Mandate, ...] = ()
    _oins: Mapping[Oin, Organization] = field(init=False, repr=False, compare=False)
    _uras: Mapping[Ura, Organization] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Find by either number; raises LdnError(invalid) when one stands there twice."""
        oins = {o.oin: o for o in self.organizations}
        uras = {o.ura: o for o in self.organizations}
        if min(len(oins), len(uras)) < len(self.organizations):
            raise LdnError(Issue.INVALID, "a URA or OIN stands twice in gateway.organizations")
        object.__setattr__(self, "_oins", oins)
        object.__setattr__(self, "_uras", uras)

    def by_oin(self, oin: Oin) -> Organization | None:
        """The organization with this OIN, where the operator named it."""
        return self._oins.get(oin)

    def by_ura(self, ura: Ura) -> Organization | None:
        """The organization with this URA, where the operator named it."""
        return self._uras.get(ura)

    def acting(self, party: Party, organization: Ura) -> str:
        """The number of the acting party; empty when the organization itself holds the line."""
        if party.id == organization.value:
            return ""
        known = self.by_ura(organization)
        own = {organization.value} | ({known.oin.value} if known else set())
        return "" if party.id in own else party.id

    def require(
        self, party: Party, organization: Ura, scopes: frozenset[str], now: datetime
    ) -> None:
        """Raises LdnError(forbidden) unless the party is the organization, or has its mandate."""
        acting = self.acting(party, organization)
        if not acting:
            return
        for mandate in self.mandates:
            named = (mandate.organization, mandate.acting) == (organization, acting)
            lasts = mandate.until is None or now < mandate.until
            if named and lasts and (not mandate.scopes or scopes <= mandate.scopes):
                return
        text = (
            "the certificate is of another organization, which has no mandate for this; "
            "the main organization must have its mandate registered here"
        )
        raise LdnError(Issue.FORBIDDEN, text, detail="gateway.mandate")
