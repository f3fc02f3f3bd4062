"""What a simulated party is told."""

from pathlib import Path
from typing import Literal

import msgspec

from openldn.base.http import Identity
from openldn.base.settings import Settings
from openldn.fhir.identifiers import Ura


class StsSettings(Settings, frozen=True):
    """The token service of the infrastructure, for a party that has one."""

    url: str  # its name as issuer too
    ura: str  # whose certificate it shows
    certificate: Path  # that signs its assertions
    identifier: str  # how it knows us: "urn:oid:…"
    audience: str  # for whom our own assertions are


class PartySettings(Settings, frozen=True, kw_only=True):
    """One simulated party; files are PEM paths."""

    kind: Literal["lsp", "zorgplatform", "nuts"]  # whose manner it has: lsp, zorgplatform, nuts
    key: str  # short name, as in network.json
    name: str  # of the organization
    ura: str  # of the organization
    care: str  # sort of care provider, in words
    provider_type: str  # the same as a code (OID …15.1060)
    receives_from: str  # key of the provider that the nursing handoff in its records is for
    certificate: Path  # server and client certificate, leaf first
    key_file: Path
    ca: Path  # the authorities it believes
    issuers: Path  # the authorities below `ca`
    signing_certificate: Path  # signs the assertions that tokens are asked with
    signing_key: Path
    public: str  # origin it is reached at
    addressing: str  # FHIR base of the directory
    addressing_ura: str  # whose certificate the directory shows
    host: str = "127.0.0.1"
    port: int = 8470
    closed_to: tuple[str, ...] = ()  # URAs let in; none: whoever has a certificate
    fetch_hosts: tuple[str, ...] = ()  # hosts of DID documents
    sts: StsSettings | None = None
    broker: str = ""  # the broker between infrastructures (issuer URL), whose word counts
    saml: dict[str, Path] = msgspec.field(default_factory=dict)  # issuer of assertions we
    # believe -> what it signs with
    organizations: dict[str, str] = msgspec.field(default_factory=dict)  # identifier in
    # assertions -> URA

    @property
    def holder(self) -> Ura:
        """The organization."""
        return Ura.parse(self.ura)

    @property
    def identity(self) -> Identity:
        """What it shows on connections, and whom it believes."""
        return Identity(self.certificate, self.key_file, self.ca)

    @property
    def issuer(self) -> str:
        """Its authorization server (URL)."""
        return f"{self.public}/oauth2/{self.ura}"

    @property
    def fhir(self) -> str:
        """Its FHIR base (URL)."""
        return f"{self.public}/fhir"

    @property
    def notification(self) -> str:
        """Where it is notified (URL)."""
        return f"{self.public}/notification"
