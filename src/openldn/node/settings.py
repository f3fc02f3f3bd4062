"""The settings of one node: one organization, its certificates, its road and its sources."""

from pathlib import Path

import msgspec

from openldn.base.http import Identity
from openldn.base.settings import Settings
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion
from openldn.node.dialects.settings import PeerSettings
from openldn.node.national import NationalSettings
from openldn.node.outbox.settings import OutboxSettings
from openldn.node.push.settings import PushSettings
from openldn.trust.people.vouching import PeopleSettings

STATION = "station"  # a source that is the node's own data station


class Sts(Settings, frozen=True):
    """What is agreed with a token service of Zorgplatform."""

    url: str  # of the service; its name as issuer too, unless `issuer` says otherwise
    certificate: Path  # that signs its assertions
    identifier: str  # how it knows us: "urn:oid:…"
    audience: str  # for whom our own assertions are
    ura: str = ""  # whose certificate it must show on the connection
    issuer: str = ""  # its name as issuer; empty: `url`
    organizations: dict[str, str] = msgspec.field(default_factory=dict)  # identifier -> URA


class NodeSettings(Settings, frozen=True, kw_only=True):
    """One node; files are PEM paths, never values."""

    key: str  # short name, as in network.json
    name: str  # of the organization
    ura: str  # of the organization
    certificate: Path  # server and client certificate, leaf first
    key_file: Path
    ca: Path  # the authorities this node believes
    signing_certificate: Path  # signs the assertions that tokens are asked with
    signing_key: Path  # PEM, PKCS#12 (.p12, .pfx) or a pkcs11: URI
    secret_file: Path | None = None  # file with the password or PIN of the signing key
    dsn: str  # PostgreSQL database of this node alone
    addressing: str  # FHIR base of the directory
    public: str  # origin other parties reach this node at, "https://node.example:8443"
    audit_key: Path | None = None  # made at first start, kept as long as the audit log; None:
    # audit.key beside the signing key
    audit_keep_days: int = 1827  # how long audit events are kept; five years at least
    audit_staff_names: bool = False  # whether audit events keep the names of staff
    access_log_names: bool = False  # whether patients are shown those names
    addressing_ura: str = ""  # whose certificate the directory must show; empty: its host name
    # and an authority we believe are enough
    agb: str = ""  # AGB code of the organization, for the directory
    kind: str = ""  # sort of care provider, in words
    provider_type: str = ""  # the same as a code (OID …15.1060): "Z3", a general practice
    infrastructure: str = "direct"  # the road others find this node on: direct, lsp, nuts or
    # zorgplatform
    host: str = "127.0.0.1"
    port: int = 8443
    patience: float = 10.0  # seconds we wait for one query at another holder
    collect_patience: float = 15.0  # seconds a question to everyone who holds data may take
    collect_holder_megabytes: int = 8  # what one holder may send in answer to it
    collect_megabytes: int = 96  # what all holders together may send
    collect_gate: bool = False  # whether consent is asked here too, before a holder is asked
    collect_tells_consent: bool = False  # whether who asks may know that consent said no
    emergency_closed: tuple[str, ...] = ()  # types of data (Observation) that stay closed in an
    # emergency
    emergency_overrules_objection: bool = False  # whether an emergency passes an objection; only
    # where the law lets it
    source_patience: float = 8.0  # seconds we wait for our own source
    stu3: str = STATION  # where STU3 data come from: "station" or the FHIR base (URL) of a source
    r4: str = STATION  # the same for R4
    dialects: tuple[str, ...] = ("D1", "D2", "D3", "D5", "D7", "SAML")  # ways to ask for a token
    # that are taken: D1 and D3 are presentations, D2 and D5 signed assertions, D7 is a certificate
    issuers: Path | None = None  # PEM: the authorities below `ca` that issue to organizations; a
    # did:x509 may name these only, and TLS clients need not show them; None: those of `ca`
    fetch_hosts: tuple[str, ...] = ()  # hosts that revocation lists, DID documents, status lists
    # and key sets may be fetched from
    revocation_every: float = 20.0  # seconds between two looks at what living tokens rest on
    did_origin: str = ""  # origin in our did:web when it is not `public`; never an IP address
    wallet_key: Path | None = None  # made at first start; None: wallet.key beside the signing key
    broker: str = ""  # the broker to other infrastructures (issuer URL); empty: none
    broker_ura: str = ""  # whose certificate the broker must show
    broker_saml_certificate: Path | None = None  # signs the broker's SAML; for Zorgplatform
    sts: Sts | None = None  # the token service of Zorgplatform; None: no SAML of our own
    insecure_unchecked_revocation: bool = False  # stand-in: certificates count without a list
    people: PeopleSettings | None = None  # whose statements about people count; None: nobody's
    own_policy: Path | None = None  # Rego of the organization itself; it can only deny further
    own_patience: float = 1.0  # seconds that Rego has for one question
    national: NationalSettings = NationalSettings()  # the national functions it leans on
    outbox: OutboxSettings = OutboxSettings()  # how what must arrive is delivered
    peers: dict[str, PeerSettings] = msgspec.field(default_factory=dict)  # how others are spoken
    # to, by URA; who is not here is spoken to as the directory says
    push: PushSettings = PushSettings()  # what others may push here
    insecure_presumed_consent: bool = False  # stand-in until consent is asked: everyone agrees

    @property
    def holder(self) -> Ura:
        """The organization; raises LdnError(invalid) for what is not a URA."""
        return Ura.parse(self.ura)

    @property
    def sealing_key(self) -> Path:
        """The file with the key of the audit log."""
        return self.audit_key or self.signing_key.with_name("audit.key")

    @property
    def consents_key(self) -> Path:
        """The file with the key of the organization's own consents."""
        return self.national.consent_key or self.signing_key.with_name("consent.key")

    @property
    def holder_key(self) -> Path:
        """The file with the key of the wallet."""
        return self.wallet_key or self.signing_key.with_name("wallet.key")

    @property
    def identity(self) -> Identity:
        """What the node shows on its connections and whom it believes."""
        return Identity(self.certificate, self.key_file, self.ca)

    @property
    def issuer(self) -> str:
        """The node's authorization server (URL)."""
        return f"{self.public}/oauth2/{self.holder}"

    def fhir(self, version: FhirVersion) -> str:
        """The FHIR base others ask this node's data at (URL)."""
        return f"{self.public}/fhir/{version}"

    def source(self, version: FhirVersion) -> str:
        """Where data of this version come from."""
        return {FhirVersion.STU3: self.stu3, FhirVersion.R4: self.r4}[version]
