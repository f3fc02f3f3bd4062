"""Care providers of our own making, for the tests of trust."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from openldn.base.http import Identity
from openldn.base.runtime import new_uuid
from openldn.base.sql import Pool
from openldn.fhir.identifiers import Bsn, Ura
from openldn.trust.certificates import Anchors
from openldn.trust.certificates.issue import (
    Subject,
    Term,
    create_authority,
    issue_server,
    issue_signing,
)
from openldn.trust.parties import Person, Requester
from openldn.trust.tokens.dialects import CLIENT_ASSERTION_TYPE, JWT_BEARER
from openldn.trust.tokens.model import Shown
from openldn.trust.tokens.service import AuthorizationServer
from openldn.trust.tokens.signer import Signer
from openldn.trust.tokens.store import TokenStore

HOSPITAL, PRACTICE, PHARMACY = (Ura.parse(u) for u in ("90000382", "90000101", "90000505"))
NAMES = {
    HOSPITAL: "Ziekenhuis Oost",
    PRACTICE: "Huisartsenpraktijk West",
    PHARMACY: "Apotheek Zuid",
}
ISSUER = "https://127.0.0.1:8443/oauth2/90000382"
SCOPE = "bgz"
DOCTOR = Person("900012345", "01.015", "dr. A. Jansen")
PATIENT = Bsn.parse("999911120")


class Time:
    """A clock the test moves."""

    def __init__(self, start: datetime | None = None) -> None:
        self.now = start or datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class World:
    """An authority and the parties it issued certificates to."""

    folder: Path
    clock: Time = field(default_factory=Time)
    members: set[Ura] = field(default_factory=lambda: {HOSPITAL, PRACTICE, PHARMACY})

    def __post_init__(self) -> None:
        create_authority(self.folder, self.clock)
        for ura in (HOSPITAL, PRACTICE, PHARMACY):
            self.issue(str(ura), ura)

    def issue(self, key: str, ura: Ura, term: Term | None = None) -> None:
        subject, chosen = Subject(ura, NAMES[ura]), term or Term(self.clock)
        issue_server(self.folder / key, subject, chosen)
        issue_signing(self.folder / key, subject, chosen)

    @property
    def anchors(self) -> Anchors:
        return Anchors.load(self.folder / "ca.pem")

    def signer(self, key: object) -> Signer:
        folder = self.folder / str(key)
        return Signer.load(folder / "signing.pem", folder / "signing.key")

    def certificate(self, key: object) -> bytes:
        return der_of(self.folder / str(key) / "server.pem")

    def identity(self, key: object, ca: Path | None = None) -> Identity:
        folder = self.folder / str(key)
        return Identity(folder / "server.pem", folder / "server.key", ca or self.folder / "ca.pem")

    def server(
        self, pool: Pool, issuer: str = ISSUER, holder: Ura = HOSPITAL
    ) -> AuthorizationServer:
        async def known(ura: Ura) -> bool:
            return ura in self.members

        return AuthorizationServer(
            holder=holder,
            issuer=issuer,
            store=TokenStore(pool),
            anchors=self.anchors,
            clock=self.clock,
            new_id=new_uuid,
            known=known,
            scopes=frozenset({SCOPE, "audit"}),
        )

    def claims(self, ura: Ura = PRACTICE, **other: Any) -> dict[str, Any]:
        moment = int(self.clock().timestamp())
        plain = {"iss": str(ura), "sub": str(ura), "aud": ISSUER, "jti": new_uuid()}
        return plain | {"iat": moment, "exp": moment + 60} | other

    def form(self, ura: Ura = PRACTICE, **other: Any) -> dict[str, str]:
        """A good token request of this party; `other` claims go into the grant."""
        signer = self.signer(ura)
        vouched = {"person": {"uzi": DOCTOR.uzi, "role": DOCTOR.role, "name": DOCTOR.name}}
        claims = self.claims(ura, purpose="TREAT", **vouched) | other
        return self.signed(signer.sign(claims), signer.sign(self.claims(ura)))

    @staticmethod
    def signed(assertion: str, client_assertion: str) -> dict[str, str]:
        return {
            "grant_type": JWT_BEARER,
            "assertion": assertion,
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": client_assertion,
            "scope": SCOPE,
        }


def der_of(pem: Path) -> bytes:
    certificate = x509.load_pem_x509_certificates(pem.read_bytes())[0]
    return certificate.public_bytes(serialization.Encoding.DER)


def bearing(token: str, certificate: bytes) -> Shown:
    """The token as a bearer shows it on a connection with this certificate."""
    return Shown("bearer", token, certificate)


def requester(organization: Ura = PRACTICE, *, patient: Bsn | None = None) -> Requester:
    return Requester(
        organization, frozenset({SCOPE}), "TREAT", NAMES[organization], DOCTOR, patient
    )
