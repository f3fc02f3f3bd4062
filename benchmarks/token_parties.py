"""Who asks and who answers in the measurements of tokens."""

import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.trust import jose
from openldn.trust.certificates.issue import (
    Subject,
    create_authority,
    issue_server,
    issue_signing,
)
from openldn.trust.certificates.keys import Signing
from openldn.trust.credentials.issue import (
    HolderKey,
    Making,
    complete,
    holder_issuer,
    issue_credential,
    issue_organization,
    present,
)
from openldn.trust.credentials.model import Definition, Descriptor, Field, ScopePolicy
from openldn.trust.credentials.submission import make_submission
from openldn.trust.evidence import Evidence, Kind
from openldn.trust.peers import Profile, profile
from openldn.trust.tokens.dialects import (
    CLIENT_ASSERTION_TYPE,
    CLIENT_CREDENTIALS,
    JWT_BEARER,
    VP_BEARER,
)
from openldn.trust.tokens.dpop import Prover
from openldn.trust.tokens.ports import Peer, Registered
from openldn.trust.tokens.signer import Signer

HOLDER, ASKER, SCOPE = Ura("90000382"), Ura("90000101"), "bgz"
GATEWAY, KID = "https://gateway.example", "k1"  # a client whose key is registered
_PROVIDER = "HealthcareProviderCredential"
_DELEGATION = "ServiceProviderDelegationCredential"
_DELEGATED = "$.credentialSubject.hasDelegation.delegatedBy.identifier.value"


def _definition(name: str, kind: str, *fields: Field) -> Definition:
    return Definition(name, (Descriptor(kind, (Field("", ("$.type",), kind), *fields)),), {})


_ORGANIZATION = _definition(
    "organization",
    _PROVIDER,
    Field("delegating_hcp", ("$.credentialSubject.id",)),
    Field("delegating_hcp_ura", ("$.credentialSubject.identifier.value",)),
    Field("organization_name", ("$.credentialSubject.name",)),
)
_VENDOR = _definition(
    "vendor",
    _DELEGATION,
    Field("delegating_hcp", ("$.issuer",)),
    Field("delegating_hcp_ura", (_DELEGATED,)),
)
POLICIES = {SCOPE: ScopePolicy(_ORGANIZATION, _VENDOR)}


def make_parties(folder: Path) -> None:
    """The authority and the certificates of both."""
    create_authority(folder)
    for key, ura in (("holder", HOLDER), ("asker", ASKER)):
        subject = Subject(ura, f"Zorgaanbieder {key}")
        issue_server(folder / key, subject)
        issue_signing(folder / key, subject)
    made = ec.generate_private_key(ec.SECP256R1())
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "gateway.key").write_bytes(pem)


def gateway_key(folder: Path) -> jose.Key:
    """The key of the registered client."""
    raw = load_pem_private_key((folder / "gateway.key").read_bytes(), None)
    assert isinstance(raw, ec.EllipticCurvePrivateKey)
    return jose.key_of(raw)


def knowing(folder: Path, agreed: Profile) -> Registered:
    """A register with one client."""
    public = jose.key_of_jwk(jose.public_jwk(gateway_key(folder)))
    evidence = Evidence(Kind.ASSERTION, KID, GATEWAY, utc_now() + timedelta(days=1))
    peer = Peer(GATEWAY, public, frozenset({ASKER}), agreed, evidence, "Gateway")

    async def registered(issuer: str, kid: str) -> Peer | None:
        return peer if (issuer, kid) == (GATEWAY, KID) else None

    return registered


def authorities(folder: Path) -> list[x509.Certificate]:
    """The root and the authority below it."""
    pems = (folder / name for name in ("ca.pem", "issuing.pem"))
    return [c for pem in pems for c in x509.load_pem_x509_certificates(pem.read_bytes())]


def _holder() -> HolderKey:
    key = jose.key_of(ec.generate_private_key(ec.SECP256R1()))
    return HolderKey("did:jwk:" + jose.encoded(dump(jose.public_jwk(key))), "0", key)


@dataclass
class Asker:
    """Makes a fresh form for each request, in each dialect."""

    folder: Path
    issuer: str

    def __post_init__(self) -> None:
        files = self.folder / "asker" / "signing.pem", self.folder / "asker" / "signing.key"
        self._signer = Signer.load(*files)
        found = Signing.load(files[1], files[0])
        signing = Signing(found.key, complete(found.chain, authorities(self.folder)))
        self._making = Making(utc_now, new_uuid)
        self._gateway = gateway_key(self.folder)
        self._prove = Prover(_holder().key, utc_now, new_uuid)
        self._own, self._vendor = _holder(), _holder()
        did, ours = self._own.did, profile("ig-2026")
        self._credential = issue_organization(signing, _PROVIDER, did, ours, self._making)
        by = {"identifier": {"system": URA_SYSTEM, "value": ASKER.value}}
        content = {"id": self._vendor.did, "hasDelegation": {"delegatedBy": by}}
        giver = holder_issuer(self._own)
        self._delegation = issue_credential(giver, _DELEGATION, content, self._making)
        told = make_submission(_ORGANIZATION, {_PROVIDER: 0}, "1")
        self._submission = dump(told).decode()

    def one(self) -> dict[str, str]:
        """D1: one presentation of five seconds."""
        return {
            "grant_type": VP_BEARER,
            "assertion": self._vp(self._own, self._credential, 5),
            "presentation_submission": self._submission,
            "scope": SCOPE,
        }

    def two(self) -> dict[str, str]:
        """D3: two presentations."""
        return self._pair(
            self._vp(self._own, self._credential, 60), self._vp(self._vendor, self._delegation, 60)
        )

    def plain(self) -> dict[str, str]:
        """D2: two plain assertions."""
        return self._pair(self._word(purpose="TREAT"), self._word())

    def alone(self) -> dict[str, str]:
        """D7: the certificate of the connection, and nothing else."""
        return {"grant_type": CLIENT_CREDENTIALS, "client_id": ASKER.value, "scope": SCOPE}

    def registered(self) -> tuple[dict[str, str], dict[str, str]]:
        """D2 by a client whose key is registered, with a DPoP proof in the place of TLS."""
        form = self._pair(self._said(ASKER.value), self._said("gateway"))
        return form, {"dpop": self._prove("POST", f"{self.issuer}/token")}

    def _said(self, subject: str) -> str:
        now = int(time.time())
        plain = {"iss": GATEWAY, "sub": subject, "aud": self.issuer, "jti": new_uuid()}
        claims = plain | {"iat": now, "exp": now + 60}
        return jose.sign(claims, self._gateway, "ES256", {"kid": KID})

    def _vp(self, holder: HolderKey, credential: str, seconds: int) -> str:
        return present(holder, [credential], self.issuer, seconds, self._making)

    def _word(self, **more: Any) -> str:
        now, ura = int(time.time()), ASKER.value
        plain = {"iss": ura, "sub": ura, "aud": self.issuer, "jti": new_uuid()}
        return self._signer.sign(plain | {"iat": now, "exp": now + 60} | more)

    @staticmethod
    def _pair(assertion: str, client_assertion: str) -> dict[str, str]:
        return {
            "grant_type": JWT_BEARER,
            "assertion": assertion,
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": client_assertion,
            "scope": SCOPE,
        }
