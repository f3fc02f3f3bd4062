"""The endpoint that is checked, and what the operator gave beside its address."""

from dataclasses import dataclass, field
from pathlib import Path

from openldn.trust.certificates.tls_profiles import TlsProfile


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Given:
    """What the operator gave beside the address; what is absent makes some checks skip."""

    client: Pair | None = None
    other: Pair | None = None  # another organization's, for C42
    expired: Pair | None = None
    revoked: Pair | None = None
    ca: Path | None = None  # the authorities the endpoint should lead to, and accept
    issuer: str = ""  # of the authorization server
    grants: tuple[str, ...] = ()  # the grant types we need there
    fhir: str = ""  # base URL
    fhir_version: str = ""
    aorta: str = ""  # a URL at which AORTA headers are demanded
    fsc: bool = False
    fsc_token: str = field(default="", repr=False)  # of another group
    token: str = field(default="", repr=False)  # an access token bound to `client`
    did: str = ""
    presentation: str = field(default="", repr=False)
    status_list: str = ""
    ura: str = ""
    directory: str = ""  # base URL of an mCSD directory
    resolver: str = ""  # host:port of a name server
    plain_port: int = 80  # where plain HTTP would be
    renegotiation: bool = False  # this peer may renegotiate TLS 1.2 once (Zorgplatform)
    private: bool = False  # hosts that are not public may be called


@dataclass(frozen=True)
class Target:
    """The endpoint, and what it is judged by."""

    host: str
    port: int
    profile: TlsProfile
    given: Given = Given()

    @property
    def name(self) -> str:
        """Host and port as in a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 443 else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The first part of every URL here."""
        return f"https://{self.name}"
