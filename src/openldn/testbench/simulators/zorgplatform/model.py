"""What the simulated Zorgplatform is told, keeps, and can be made to do wrong."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
from cryptography import x509

from openldn.base.errors import Issue, LdnError
from openldn.base.settings import Settings
from openldn.fhir.identifiers import Ura
from openldn.trust.saml.sts_service import RelyingParty


class ZorgplatformSettings(Settings, frozen=True):
    """Settings of the role `sim-zorgplatform`."""

    certificate: Path  # TLS, leaf first
    key_file: Path
    ca: Path  # the authorities whose parties may connect
    signing_certificate: Path  # RSA, for assertions
    signing_key: Path
    relying_parties: Path  # JSON: a list of parties, see `Party`
    public: str  # origin it is reached at, "https://localhost:8470"
    host: str = "127.0.0.1"
    port: int = 8470
    tls_1_2: bool = False  # speak TLS 1.2 only, as the real one does


class Party(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the file with relying parties; paths are relative to that file."""

    identifier: str  # "urn:oid:…"
    organization: str  # URA
    certificates: tuple[str, ...]  # PEM files: what it signs with
    applies_to: tuple[str, ...]
    client: str = ""  # x5t#S256 of its TLS client certificate
    launch: str = ""  # where launches are posted; empty: it takes none
    audience: str = ""  # its own name in what it is sent
    receiver: str = ""  # PEM file: what assertions for it are encrypted to


@dataclass(frozen=True)
class Launch:
    """An application that takes launches."""

    party: RelyingParty
    url: str
    audience: str
    receiver: x509.Certificate = field(repr=False)


Kind = Literal[
    "delay",
    "error-500",
    "error-503",
    "truncated",
    "wrong-signature",
    "wrong-audience",
    "wrong-issuer",
    "expired",
    "not-yet",
    "unencrypted",
    "no-tenant",
    "duplicate",
    "error-root",
    "patient-404",
]


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that must go wrong, the next `times` times at this place."""

    kind: Kind
    at: Literal["sts", "sso", "fhir"] = "sts"
    times: int = 1
    seconds: float = 0.0  # of a delay


@dataclass(frozen=True)
class Event:
    """Something that happened; names parties, never people."""

    moment: datetime
    name: str  # "sts.issued", "sts.refused", "sso.launched", "fhir.read", "fault.used"
    party: str = ""
    detail: str = ""


def load_parties(path: Path) -> tuple[dict[str, RelyingParty], dict[str, Launch]]:
    """Those who may ask, and those who may be launched, by identifier.

    Raises LdnError(invalid) that names the file.
    """
    try:
        entries = msgspec.json.decode(path.read_bytes(), type=list[Party])
        parties = {e.identifier: _party(e, path.parent) for e in entries}
        launches = {e.identifier: _launch(e, parties, path.parent) for e in entries if e.launch}
    except (OSError, ValueError, LdnError) as error:
        text = f"relying parties in {path} cannot be used: {error}; correct the file"
        raise LdnError(Issue.INVALID, text) from error
    return parties, launches


def _party(entry: Party, folder: Path) -> RelyingParty:
    certificates = tuple(_certificate(folder / name) for name in entry.certificates)
    return RelyingParty(
        entry.identifier,
        Ura.parse(entry.organization),
        certificates,
        frozenset(entry.applies_to),
        entry.client,
    )


def _launch(entry: Party, parties: dict[str, RelyingParty], folder: Path) -> Launch:
    receiver = _certificate(folder / entry.receiver)
    return Launch(parties[entry.identifier], entry.launch, entry.audience, receiver)


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(path.read_bytes())[0]
