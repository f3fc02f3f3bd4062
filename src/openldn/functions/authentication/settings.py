"""Settings of the gateway in front of a service."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.settings import Settings
from openldn.fhir.identifiers import Oin, Ura
from openldn.functions.authentication.model import Mandate, Organization, Register


class OrganizationSettings(Settings, frozen=True):
    """An organization that is known by two numbers."""

    ura: str  # of the organization
    oin: str  # of the same organization
    name: str = ""  # as it is told to the service


class MandateSettings(Settings, frozen=True):
    """An organization lets another party act for it."""

    organization: str  # URA of who gives the mandate
    acting: str  # URA or OIN of who may act for it
    scopes: tuple[str, ...] = ()  # empty: each scope the organization itself may have
    until: datetime | None = None  # with a time zone; None: until it is taken out of here


class UpstreamSettings(Settings, frozen=True):
    """An existing national gateway that stands before this service."""

    # networks (CIDR) whose x-gf-* headers are believed as they come
    insecure_trust_headers_from: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    audiences: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]  # taken in x-gf-audience
    insecure_plain_http: bool = False  # serve that gateway without TLS


class IssuerSettings(Settings, frozen=True):
    """A token endpoint elsewhere, whose tokens are taken and which is asked about them."""

    issuer: str  # its name, `iss`
    introspection: str = ""  # where it tells what a token stands for; empty: its tokens are signed
    keys: str = ""  # where its key set stands; one of the two is needed
    algorithms: tuple[str, ...] = ("ES256", "PS256", "RS256")  # that it may sign with
    ura: str = ""  # whose certificate it must show; empty: its host name is enough


class GatewaySettings(Settings, frozen=True):
    """The gateway in front of a service: who comes in, and with which token."""

    issuer: str = ""  # origin that clients reach us at; empty: `public` of the role
    audiences: tuple[str, ...] = ()  # target_audience that means this service; empty: the issuer
    seconds: Annotated[int, msgspec.Meta(ge=60, le=3600)] = 600  # that a token lives
    per_minute: Annotated[int, msgspec.Meta(ge=12)] = 6000  # requests of one acting organization
    number: Literal["", "ura", "oin"] = ""  # in organization_id; empty: as the service has it
    organizations: tuple[OrganizationSettings, ...] = ()  # those that are known by two numbers
    mandates: tuple[MandateSettings, ...] = ()  # who may act for whom
    legacy_epd_scopes: bool = False  # take epd:read and epd:write for the words of today
    introspectors: tuple[str, ...] = ()  # URAs and OINs of services that may introspect here
    elsewhere: IssuerSettings | None = None  # None: the service gives its tokens itself
    upstream: UpstreamSettings | None = None  # None: no other gateway stands before us
    # hosts that revocation lists may be fetched from; empty: no list is asked (event insecure)
    fetch_hosts: tuple[str, ...] = ()
    issuers: Path | None = None  # PEM: the authorities between a client and `ca`; None: those of it


def register_of(settings: GatewaySettings) -> Register:
    """Who may act for whom; raises LdnError(invalid) that names what cannot be read."""
    organizations = (
        Organization(Ura.parse(o.ura), Oin.parse(o.oin), o.name) for o in settings.organizations
    )
    return Register(tuple(organizations), tuple(map(_mandate, settings.mandates)))


def _mandate(given: MandateSettings) -> Mandate:
    if given.until is not None and given.until.tzinfo is None:
        raise LdnError(
            Issue.INVALID, "gateway.mandates: until needs a time zone, 2028-01-01T00:00Z"
        )
    organization = Ura.parse(given.organization)
    # a URA of fewer than eight digits is the same as the padded one
    acting = given.acting if len(given.acting) > 8 else Ura.parse(given.acting).value
    acting = Oin.parse(acting).value if len(acting) > 8 else acting
    return Mandate(organization, acting, frozenset(given.scopes), given.until)
