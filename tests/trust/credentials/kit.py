"""A UZI-like authority, certificates, credentials and presentations of our own making.

authority = Uzi()                              # or Uzi(rsa=True)
hospital = authority.party("90000382")         # certificate, holder key (did:jwk), X509Credential
vp = hospital.present(AUDIENCE, authority.clock())
verifier = authority.verifier()                # a real Verifier that believes this authority
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from openldn.base.errors import LdnError
from openldn.base.http import HttpClient, Identity, client_context, server_context, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.codec import dump
from openldn.trust import jose
from openldn.trust.certificates import Anchors
from openldn.trust.certificates.keys import Signing
from openldn.trust.certificates.party import OTHER_NAME, thumbprint
from openldn.trust.credentials import dezi
from openldn.trust.credentials.credential import Asked, Credentials, Statuses, Trust
from openldn.trust.credentials.definitions import load_definition, shipped_policies
from openldn.trust.credentials.did_x509 import fingerprint
from openldn.trust.credentials.issue import (
    HolderKey,
    Making,
    holder_issuer,
    issue_credential,
    issue_organization,
    issue_x509,
    present,
)
from openldn.trust.credentials.model import Definition, Expected
from openldn.trust.credentials.presentation import Verifier
from openldn.trust.credentials.resolver import Resolver
from openldn.trust.documents import Documents, hosts
from openldn.trust.evidence import Evidence, Kind
from openldn.trust.peers import Profile, profile
from openldn.trust.trail import Rule, Trail

AUDIENCE = "https://hospital.example/oauth2/90000382"
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
NUTS = profile("nuts-6")
CHAIN = Rule("test.chain", "the kit", "the chain leads to the authority of the test")
REVOKED = Rule("test.revoked", "the kit", "the authority of the test has not revoked it")

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Time:
    """A clock the test moves."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def private_key(*, is_rsa: bool) -> Private:
    if is_rsa:
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


def other_name(text: str, tag: int = 0x0C) -> x509.OtherName:
    return x509.OtherName(OTHER_NAME, bytes((tag, len(text))) + text.encode())


def uzi_number(ura: str, card: str = "S", role: str = "00.000") -> str:
    return f"2.16.528.1.1007.99.2110-1-9{ura.zfill(8)}-{card}-{ura}-{role}-00000000"


@dataclass
class Believed:
    """The port of certificate trust with anchors of its own and a list of revoked leaves."""

    anchors: Anchors
    clock: Time
    revoked: set[str] = field(default_factory=set)
    asked: int = 0

    async def believe(
        self, chain: Sequence[x509.Certificate], trail: Trail, revocation: str = "crl-hard"
    ) -> Evidence:
        self.asked += 1
        try:
            self.anchors.check(chain, self.clock())
        except LdnError as error:
            trail.require(False, CHAIN, error.detail)
        ders = tuple(c.public_bytes(Encoding.DER) for c in chain)
        trail.require(thumbprint(ders[0]) not in self.revoked, REVOKED)
        ends = chain[0].not_valid_after_utc
        issuer = chain[0].issuer.rfc4514_string()
        return Evidence(Kind.CERTIFICATE, thumbprint(ders[0]), issuer, ends, chain=ders)

    async def still(self, evidence: Evidence) -> bool:
        return evidence.id not in self.revoked


@dataclass
class Uzi:
    """A root, an issuing authority, and the parties it issues to."""

    clock: Time = field(default_factory=Time)
    rsa: bool = False
    root_name: str = "TEST Root CA"

    def __post_init__(self) -> None:
        self.root_key, self.key = self.fresh_key(), self.fresh_key()
        root, issuing = name("TEST", self.root_name), name("TEST", "TEST UZI-register Server CA")
        self.root = self._certificate(root, self.root_key, root, self.root_key, depth=1)
        self.issuing = self._certificate(issuing, self.key, root, self.root_key, depth=0)
        self.belief = Believed(Anchors((self.root,)), self.clock)

    def fresh_key(self) -> Private:
        return private_key(is_rsa=self.rsa)

    @property
    def trust(self) -> Trust:
        return Trust(frozenset({fingerprint(self.issuing)}))

    def signing(
        self, ura: str = "90000382", title: str = "Ziekenhuis Oost", **other: Any
    ) -> Signing:
        """A certificate of this organization with its key; `other` as in `leaf`."""
        key = self.fresh_key()
        leaf = self.leaf(key, ura, title, **other)
        return Signing(jose.key_of(key), (leaf, self.issuing, self.root))

    def leaf(
        self,
        key: Private,
        ura: str = "90000382",
        title: str = "Ziekenhuis Oost",
        *,
        alternatives: Sequence[x509.GeneralName] | None = None,
        usage: Mapping[str, bool] | None = None,
        eku: Sequence[x509.ObjectIdentifier] = (),
        days: float = 365,
    ) -> x509.Certificate:
        names = alternatives if alternatives is not None else [other_name(uzi_number(ura))]
        builder = self._builder(
            name(title, title, "Amsterdam"), key, self.issuing.subject, timedelta(days=days)
        ).add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(
            key_usage(**(usage if usage is not None else {"digital_signature": True})),
            critical=True,
        )
        if eku:
            builder = builder.add_extension(x509.ExtendedKeyUsage(eku), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def _certificate(
        self, subject: x509.Name, key: Private, issuer: x509.Name, signer: Private, depth: int
    ) -> x509.Certificate:
        return (
            self._builder(subject, key, issuer, timedelta(days=3650), signer)
            .add_extension(x509.BasicConstraints(ca=True, path_length=depth), critical=True)
            .add_extension(key_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .sign(signer, hashes.SHA256())
        )

    def _builder(
        self,
        subject: x509.Name,
        key: Private,
        issuer: x509.Name,
        life: timedelta,
        signer: Private | None = None,
    ) -> x509.CertificateBuilder:
        above = (signer or self.key).public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.clock() - timedelta(days=1))
            .not_valid_after(self.clock() + life)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), False)
        )

    def making(self, life: timedelta | None = None) -> Making:
        return Making(self.clock, new_uuid, life)

    def party(self, ura: str = "90000382", title: str = "Ziekenhuis Oost", **other: Any) -> "Party":
        """An organization with a certificate, a did:jwk and an X509Credential for it."""
        return Party(self, self.signing(ura, title, **other), holder())

    def verifier(
        self,
        *,
        documents: Documents | None = None,
        statuses: Statuses | None = None,
        statement: dezi.Statement | None = None,
        issuers: Mapping[str, frozenset[str]] | None = None,
    ) -> Verifier:
        trust = replace(self.trust, issuers=issuers or {})
        credentials = Credentials(Resolver(documents), self.belief, trust, statuses)
        return Verifier(credentials, statement)

    def expected(self, **other: Any) -> Expected:
        values: dict[str, Any] = {"audiences": frozenset({AUDIENCE}), "now": self.clock()}
        return Expected(**values | {"profile": NUTS} | other)

    def asked(self, **other: Any) -> Asked:
        values: dict[str, Any] = {"now": self.clock(), "profile": NUTS}
        return Asked(**values | other)


@dataclass
class Party:
    """An organization that can present itself."""

    authority: Uzi
    signing: Signing
    holder: HolderKey
    profile: Profile = NUTS

    @property
    def making(self) -> Making:
        return self.authority.making()

    def x509(self, subject: str = "", **making: Any) -> str:
        """An X509Credential for its own DID, or another."""
        chosen = replace(self.making, **making)
        return issue_x509(self.signing, subject or self.holder.did, self.profile, chosen)

    def provider(self, kind: str = "HealthcareProviderCredential") -> str:
        return issue_organization(self.signing, kind, self.holder.did, self.profile, self.making)

    def says(self, kind: str, subject: Mapping[str, Any], to: str = "") -> str:
        """A credential in the name of its own DID, about itself or another."""
        content = {"id": to or self.holder.did, **subject}
        making = replace(self.making, life=timedelta(hours=1))
        return issue_credential(holder_issuer(self.holder), kind, content, making)

    def present(
        self,
        audience: str = AUDIENCE,
        credentials: Sequence[str | Mapping[str, Any]] | None = None,
        lifetime: int = 5,
    ) -> str:
        """A presentation of its X509Credential, or of what is given."""
        shown = [self.x509()] if credentials is None else credentials
        return present(self.holder, shown, audience, lifetime, self.making)


def holder(key: jose.Key | None = None) -> HolderKey:
    """A fresh did:jwk with its key."""
    chosen = key or jose.key_of(ec.generate_private_key(ec.SECP256R1()))
    did = f"did:jwk:{jose.encoded(dump(jose.public_jwk(chosen)))}"
    return HolderKey(did, "0", chosen)


def definition(scope: str = "bgz") -> Definition:
    """The shipped definition of what an organization shows."""
    return shipped_policies()[scope].organization


def asking(kind: str, *fields: Mapping[str, Any]) -> dict[str, Any]:
    """A descriptor of a presentation definition that asks for this kind of credential."""
    typed = {"path": ["$.type"], "filter": {"type": "string", "const": kind}}
    return {"id": kind, "constraints": {"fields": [typed, *fields]}}


def defined(*descriptors: Mapping[str, Any], **other: Any) -> Definition:
    return load_definition({"id": "test", "input_descriptors": list(descriptors), **other})


def signed(claims: Mapping[str, Any], by: HolderKey | Signing, **header: Any) -> str:
    """Claims as a JWT by a holder or a certificate, whatever they say."""
    if isinstance(by, HolderKey):
        return jose.sign(claims, by.key, jose.suited(by.key)[0], {"kid": by.kid, **header})
    return jose.sign(claims, by.key, jose.suited(by.key)[0], header)


def opened(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a JWT, to change them and sign again."""
    token = jose.read(text, Trail())
    return dict(token.header), dict(token.claims)


def resigned(text: str, by: jose.Key, **claims: Any) -> str:
    """The JWT with other claims (None removes one), signed anew by this key."""
    header, content = opened(text)
    whole = {k: v for k, v in (content | claims).items() if v is not None}
    return jose.sign(whole, by, str(header.pop("alg")), header)


def name(organization: str, common: str, place: str = "") -> x509.Name:
    pairs = [
        (NameOID.COUNTRY_NAME, "NL"),
        (NameOID.ORGANIZATION_NAME, organization),
        (NameOID.COMMON_NAME, common),
        (NameOID.LOCALITY_NAME, place),
    ]
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in pairs if text])


def key_usage(**chosen: bool) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
    more = ("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{n: chosen.get(n, False) for n in names + more})


@dataclass
class Site:
    """Pages of another party over loopback: path -> status and body."""

    pages: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    origin: str = ""
    hits: int = 0
    stuck: bool = False  # it takes questions and does not answer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.hits += 1
        while self.stuck:
            await asyncio.sleep(0.01)
        status, body = self.pages.get(scope["path"], (404, b""))
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def site(
    clock: Time, identity: Identity | None = None
) -> AsyncIterator[tuple[Site, Documents]]:
    """A site, and documents that may come from there; over TLS with an identity."""
    pages = Site()
    server, client = (
        (server_context(identity), HttpClient(client_context(identity)))
        if identity
        else (None, HttpClient())
    )
    async with serving(pages, "127.0.0.1", 0, server) as port:
        pages.origin = f"https://localhost:{port}" if identity else f"http://127.0.0.1:{port}"
        allowed = hosts({f"127.0.0.1:{port}", f"localhost:{port}"})
        documents = Documents(lambda url: client, allowed, clock)
        try:
            yield pages, documents
        finally:
            pages.stuck = False
            await documents.close()
            await client.close()
