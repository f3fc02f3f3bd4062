"""The settings of the role `broker`."""

from pathlib import Path

import msgspec

from openldn.base.http import Identity
from openldn.base.settings import Settings
from openldn.fhir.identifiers import Ura


class BrokerSettings(Settings, frozen=True, kw_only=True):
    """One broker; files are paths, never values."""

    ura: str  # of the organization that runs the broker
    certificate: Path  # server certificate, leaf first; signs nothing
    key_file: Path
    ca: Path  # the authorities whose parties may connect
    signing_keys: tuple[str, ...]  # PEM, PKCS#12 or pkcs11: URI; an EC and an RSA key serve all
    saml_certificate: Path  # holders of SAML infrastructures pin this
    saml_key: str  # its private key: PEM or PKCS#12
    dsn: str  # PostgreSQL database of the broker alone
    addressing: str  # FHIR base of the directory
    public: str  # origin that parties reach the broker at
    addressing_ura: str = ""  # whose certificate the directory must show
    secret_file: Path | None = None  # password or PIN of the keys
    operators: dict[str, str] = msgspec.field(default_factory=dict)  # thumbprint of a person's
    # certificate -> name; they decide whom the broker believes
    fetch_hosts: tuple[str, ...] = ()  # hosts of revocation lists, DID documents, status lists
    saml_issuers: dict[str, str] = msgspec.field(default_factory=dict)  # issuer of assertions ->
    # thumbprint of its certificate
    saml_organizations: dict[str, str] = msgspec.field(default_factory=dict)  # identifier in
    # assertions -> URA
    lifetime: int = 900  # seconds that anything may live that rests on what is minted
    trail_days: int = 1825  # how long a trail can be read
    revocation_every: float = 10.0  # seconds between two looks at the sources
    host: str = "127.0.0.1"
    port: int = 8443
    insecure_anchors: Path | None = None  # stand-in: PEM that counts without two persons

    @property
    def holder(self) -> Ura:
        """The organization; raises LdnError(invalid) for what is not a URA."""
        return Ura.parse(self.ura)

    @property
    def identity(self) -> Identity:
        """What the broker shows on its connections and whom it lets connect."""
        return Identity(self.certificate, self.key_file, self.ca)

    @property
    def issuer(self) -> str:
        """The broker as others name it (URL)."""
        return f"{self.public.rstrip('/')}/oauth2/broker"
