"""Parties that present credentials: real keys, real credentials, the real verifier."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from trust.parties import HOSPITAL, ISSUER, PRACTICE, SCOPE, World

from openldn.base.runtime import new_uuid
from openldn.base.sql import Pool
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.trust import jose
from openldn.trust.certificates.keys import Signing
from openldn.trust.credentials.credential import Credentials, Trust
from openldn.trust.credentials.did_x509 import fingerprint
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
from openldn.trust.credentials.presentation import Verifier
from openldn.trust.credentials.resolver import Resolver
from openldn.trust.peers import profile
from openldn.trust.tokens.belief import Anchored
from openldn.trust.tokens.dialects import CLIENT_ASSERTION_TYPE, JWT_BEARER, VP_BEARER
from openldn.trust.tokens.ports import Ports
from openldn.trust.tokens.service import AuthorizationServer
from openldn.trust.trail import Trail

PROVIDER, DELEGATION = "HealthcareProviderCredential", "ServiceProviderDelegationCredential"


def _field(name: str, *paths: str, const: str | None = None) -> Field:
    return Field(name, paths, const)


def _definition(name: str, kind: str, *fields: Field) -> Definition:
    named = Field("", ("$.type",), kind)
    raw = {"id": name, "input_descriptors": [{"id": kind}]}
    return Definition(name, (Descriptor(kind, (named, *fields)),), raw)


ORGANIZATION = _definition(
    "organization",
    PROVIDER,
    _field("delegating_hcp", "$.credentialSubject.id"),
    _field("delegating_hcp_ura", "$.credentialSubject.identifier.value"),
    _field("organization_name", "$.credentialSubject.name"),
)
VENDOR = _definition(
    "vendor",
    DELEGATION,
    _field("delegating_hcp", "$.issuer"),
    _field("delegating_hcp_ura", "$.credentialSubject.hasDelegation.delegatedBy.identifier.value"),
)
POLICIES = {SCOPE: ScopePolicy(ORGANIZATION, VENDOR)}


def did_jwk() -> HolderKey:
    """A holder with a fresh key that is its own DID."""
    key = jose.key_of(ec.generate_private_key(ec.SECP256R1()))
    return HolderKey("did:jwk:" + jose.encoded(dump(jose.public_jwk(key))), "0", key)


@dataclass
class Presenter:
    """A care provider with a wallet, and a vendor that acts for it."""

    world: World
    ura: Ura = PRACTICE

    def __post_init__(self) -> None:
        self.making = Making(self.world.clock, new_uuid)
        self.holder, self.vendor = did_jwk(), did_jwk()
        self.credential = self.provider_credential(self.holder.did)
        self.delegation = self.delegated(self.holder, self.vendor.did, self.ura)

    def signing(self) -> Signing:
        folder = self.world.folder / str(self.ura)
        found = Signing.load(folder / "signing.key", folder / "signing.pem")
        return Signing(found.key, complete(found.chain, authorities(self.world)))

    def provider_credential(self, subject: str) -> str:
        return issue_organization(
            self.signing(), PROVIDER, subject, profile("ig-2026"), self.making
        )

    def delegated(self, giver: HolderKey, to: str, ura: Ura) -> str:
        identifier = {"system": URA_SYSTEM, "value": ura.value}
        content = {"id": to, "hasDelegation": {"delegatedBy": {"identifier": identifier}}}
        return issue_credential(holder_issuer(giver), DELEGATION, content, self.making)

    def vp(self, audience: str = ISSUER, lifetime: int = 5) -> str:
        return present(self.holder, [self.credential], audience, lifetime, self.making)

    def vendor_vp(self, audience: str = ISSUER, lifetime: int = 60) -> str:
        return present(self.vendor, [self.delegation], audience, lifetime, self.making)

    def one(self, **other: str) -> dict[str, str]:
        """A D1 form."""
        return {
            "grant_type": VP_BEARER,
            "assertion": self.vp(),
            "presentation_submission": submission(),
            "scope": SCOPE,
            "client_id": "https://practice.example/oauth2",
        } | other

    def two(self, **other: str) -> dict[str, str]:
        """A D3 form."""
        return {
            "grant_type": JWT_BEARER,
            "assertion": self.vp(lifetime=60),
            "client_assertion_type": CLIENT_ASSERTION_TYPE,
            "client_assertion": self.vendor_vp(),
            "scope": SCOPE,
        } | other


def submission() -> str:
    place = {"format": "jwt_vc", "path": "$.vp.verifiableCredential[0]"}
    entry = {"id": PROVIDER, "format": "jwt_vp", "path": "$", "path_nested": place}
    return dump({"id": "1", "definition_id": "organization", "descriptor_map": [entry]}).decode()


def resigned(token: str, key: HolderKey, change: dict[str, Any], drop: Sequence[str] = ()) -> str:
    """The presentation with other claims, signed again."""
    read = jose.read(token, Trail())
    claims = {k: v for k, v in (read.claims | change).items() if k not in drop}
    return jose.sign(claims, key.key, "ES256", {"kid": key.kid})


def authorities(world: World) -> list[x509.Certificate]:
    pems = (world.folder / name for name in ("ca.pem", "issuing.pem"))
    return [c for pem in pems for c in x509.load_pem_x509_certificates(pem.read_bytes())]


def ports(world: World, believes: Any = None, **other: Any) -> Ports:
    """The real verifier; without `believes` no list of what is revoked is looked at."""
    believing = believes or Anchored(world.anchors, world.clock)
    issuing = frozenset(fingerprint(c) for c in authorities(world))
    verifier = Verifier(Credentials(Resolver(None), believing, Trust(issuing)))
    return replace(Ports(believing, None, verifier, POLICIES), **other)


def server(
    world: World,
    pool: Pool,
    issuer: str = ISSUER,
    holder: Ura = HOSPITAL,
    **other: Any,
) -> AuthorizationServer:
    """A server that takes every dialect it has the parts for."""
    made = world.server(pool, issuer, holder)
    changed: dict[str, Any] = {
        "dialects": frozenset({"D1", "D2", "D3", "D5", "D6", "D7"}),
        "ports": ports(world),
        "unbound": True,
    }
    fields = {
        n: getattr(made, n)
        for n in ("holder", "issuer", "store", "anchors", "clock", "new_id", "known", "scopes")
    }
    return AuthorizationServer(**fields | changed | other)
