"""Making credentials and presentations: signed by a certificate's key, or by the holder's.

Source: trust and broker §3.1, §9 (B1); Nuts RFC021 §4, RFC023 §4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.fhir.identifiers import URA_SYSTEM
from openldn.trust import jose
from openldn.trust.certificates.keys import Signing
from openldn.trust.certificates.party import CertificateParty, party_of
from openldn.trust.credentials.content import BASE, VC1
from openldn.trust.credentials.did_x509 import leaf_says, name_of
from openldn.trust.credentials.types import types
from openldn.trust.evidence import Status
from openldn.trust.peers import Profile

SAYS = (("san", "otherName"), ("subject", "O"), ("subject", "L"))  # what a did:x509 carries


@dataclass(frozen=True)
class HolderKey:
    """The key of a DID that presents: signs, and is never given away."""

    did: str
    name: str  # the fragment
    key: jose.Key = field(repr=False)

    @property
    def kid(self) -> str:
        """The DID URL of the key."""
        return f"{self.did}#{self.name}"


@dataclass(frozen=True)
class Issuer:
    """Who issues: a DID, its key, and for did:x509 the chain that proves it."""

    did: str
    kid: str
    key: jose.Key = field(repr=False)
    algorithm: str
    header: Mapping[str, Any] = field(default_factory=dict, repr=False)
    last: datetime | None = None  # nothing it issues may live longer


@dataclass(frozen=True)
class Making:
    """Time and ids, and how long what is made may live."""

    clock: Clock
    new_id: NewId
    life: timedelta | None = None  # None: as long as the issuer may
    status: Mapping[str, Any] | None = None  # the credentialStatus


def algorithm_of(key: jose.Key, allowed: Sequence[str]) -> str:
    """The first algorithm that the peer takes and the key can; raises LdnError(invalid)."""
    for algorithm in allowed:
        if algorithm in jose.suited(key):
            return algorithm
    text = f"this key cannot sign with {', '.join(allowed)}; use a key of another kind"
    raise LdnError(Issue.INVALID, text)


def complete(
    chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """The chain up to and with its root, which a file often leaves out.

    Raises LdnError(invalid) when no authority given completes it.
    """
    whole = list(chain)
    while whole[-1].subject != whole[-1].issuer:
        above = [a for a in authorities if a.subject == whole[-1].issuer]
        if not above or len(whole) > len(chain) + 4:
            text = "the root above this certificate is not known; add it to the trusted file"
            raise LdnError(Issue.INVALID, text)
        whole.append(above[0])
    return tuple(whole)


def certificate_issuer(signing: Signing, profile: Profile) -> Issuer:
    """The issuer that a certificate is: did:x509, pinned at the authority that issued it.

    The chain must reach its root. Raises LdnError(invalid).
    """
    chain = signing.chain
    if len(chain) < 2 or chain[-1].subject != chain[-1].issuer:
        raise LdnError(Issue.INVALID, "the chain must reach from the certificate to its root")
    known = leaf_says(chain[0])
    says = [s for kind, key in SAYS for s in sorted(known) if s[:2] == (kind, key)]
    did = name_of(chain, says)
    return Issuer(
        did=did,
        kid=f"{did}#0",
        key=signing.key,
        algorithm=algorithm_of(signing.key, profile.alg_out.credential),
        header={"x5c": signing.x5c, "x5t#S256": signing.thumbprint},
        last=chain[0].not_valid_after_utc,
    )


def issue_x509(signing: Signing, subject: str, profile: Profile, making: Making) -> str:
    """An X509Credential for a DID, as JWT: what the certificate says, in the certificate's name."""
    known = leaf_says(signing.chain[0])
    said: dict[str, Any] = {}
    for kind, key in SAYS:
        values = sorted(v for k, n, v in known if (k, n) == (kind, key))
        if values:
            said.setdefault(kind, {})[key] = values[0] if len(values) == 1 else values
    issuer = certificate_issuer(signing, profile)
    return issue_credential(issuer, "X509Credential", {"id": subject, **said}, making)


def issue_organization(
    signing: Signing, kind: str, subject: str, profile: Profile, making: Making
) -> str:
    """A HealthcareProviderCredential or HealthcareOrganizationCredential for a DID, as JWT."""
    party = party_of(signing.ders[0])
    content = {"id": subject, **_ORGANIZATIONS[kind](party)}
    return issue_credential(certificate_issuer(signing, profile), kind, content, making)


def issue_credential(issuer: Issuer, kind: str, subject: Mapping[str, Any], making: Making) -> str:
    """A credential of this kind as JWT; it never outlives its issuer."""
    now = making.clock().replace(microsecond=0)
    ends = [e for e in (issuer.last, now + making.life if making.life else None) if e is not None]
    known = types().get(kind)
    vc: dict[str, Any] = {
        "@context": [VC1, *(known.contexts if known else ())],
        "type": [BASE, kind],
        "credentialSubject": dict(subject),
    }
    vc |= {"credentialStatus": dict(making.status)} if making.status else {}
    claims = {
        "iss": issuer.did,
        "sub": subject["id"],
        "nbf": int(now.timestamp()),
        "jti": f"{issuer.did}#{making.new_id()}",
        "vc": vc,
    }
    claims |= {"exp": int(min(ends).timestamp())} if ends else {}
    return jose.sign(claims, issuer.key, issuer.algorithm, {"kid": issuer.kid, **issuer.header})


def holder_issuer(holder: HolderKey) -> Issuer:
    """The issuer that a holder is: for what it says of itself, and delegations it gives."""
    return Issuer(holder.did, holder.kid, holder.key, jose.suited(holder.key)[0])


def present(
    holder: HolderKey,
    credentials: Sequence[str | Mapping[str, Any]],
    audience: str,
    lifetime: int,
    making: Making,
) -> str:
    """A presentation as JWT for this audience that lives `lifetime` seconds."""
    now = int(making.clock().timestamp())
    vp = {
        "@context": [VC1],
        "type": ["VerifiablePresentation"],
        "holder": holder.did,
        "verifiableCredential": list(credentials),
    }
    claims = {
        "iss": holder.did,
        "sub": holder.did,
        "aud": audience,
        "jti": f"{holder.did}#{making.new_id()}",
        "nonce": making.new_id(),
        "iat": now,
        "nbf": now,
        "exp": now + lifetime,
        "vp": vp,
    }
    return jose.sign(claims, holder.key, jose.suited(holder.key)[0], {"kid": holder.kid})


def status_entry(status: Status, kind: str) -> dict[str, Any]:
    """The credentialStatus that points at a bit of our own list."""
    return {
        "id": f"{status.url}#{status.index}",
        "type": kind,
        "statusPurpose": status.purpose,
        "statusListIndex": str(status.index),
        "statusListCredential": status.url,
    }


def _provider(party: CertificateParty) -> dict[str, Any]:
    return {
        "@type": "HealthcareProvider",
        "identifier": {"system": URA_SYSTEM, "value": party.ura.value},
        "name": party.name,
    }


def _organization(party: CertificateParty) -> dict[str, Any]:
    return {"organization": {"ura": party.ura.value, "name": party.name}}


_ORGANIZATIONS = {
    "HealthcareProviderCredential": _provider,
    "HealthcareOrganizationCredential": _organization,
}
