"""A test authority on plain HTTP that can be made to fail in every way such servers do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from trust.parties import HOSPITAL, NAMES, Time

from openldn.base.http import HttpClient, serving
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates.api import routes
from openldn.trust.certificates.belief import Belief
from openldn.trust.certificates.chain import Anchors
from openldn.trust.certificates.issue import (
    ISSUING_NAME,
    Authority,
    Shape,
    Subject,
    Term,
    create_authority,
    existing_authority,
    issue_signing,
    served_at,
)
from openldn.trust.certificates.revocation import Freshness
from openldn.trust.certificates.revoking import Revoking
from openldn.trust.documents import Documents, hosts

Make = Callable[["Served"], bytes]
URL = x509.UniformResourceIdentifier


@dataclass
class Served:
    """The authority, how it misbehaves, and what was asked of it."""

    folder: Path
    address: str
    clock: Time
    client: HttpClient
    faults: dict[str, str] = field(default_factory=dict)  # start of a path -> what goes wrong
    asked: list[str] = field(default_factory=list)
    recorded: bytes = b""
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def issue(self, key: str = "hospital", shape: Shape | None = None, days: float = 365) -> None:
        subject = Subject(HOSPITAL, NAMES[HOSPITAL])
        issue_signing(
            self.folder / key, subject, Term(self.clock, days), shape or served_at(self.address)
        )

    def chain(self, key: str = "hospital") -> list[x509.Certificate]:
        path = self.folder / key / "signing.pem"
        if not path.exists():
            self.issue(key)
        return x509.load_pem_x509_certificates(path.read_bytes())

    def revoke(self, key: str = "hospital") -> None:
        self.revoking.revoke(self.chain(key)[0].serial_number)

    @property
    def revoking(self) -> Revoking:
        return Revoking(self.folder, self.clock)

    @property
    def authority(self) -> Authority:
        return existing_authority(self.folder, self.clock())

    @property
    def root(self) -> Anchors:
        return Anchors.load(self.folder / "ca.pem")

    @property
    def issuing(self) -> Anchors:
        return Anchors.load(self.folder / "issuing.pem", issuing_only=True)

    def documents(self) -> Documents:
        return Documents(lambda _: self.client, hosts({"127.0.0.1"}), self.clock)

    def belief(self, longest: float = 4 * 3600) -> Belief:
        freshness = Freshness(longest=longest)
        return Belief(self.issuing, self.documents(), self.clock, freshness)


def list_of(
    served: Served,
    key: ec.EllipticCurvePrivateKey | None = None,
    name: x509.Name | None = None,
    age: timedelta = timedelta(0),
    *extensions: tuple[x509.ExtensionType, bool],
) -> bytes:
    """A list like that of the authority, but for what is given."""
    authority, begins = served.authority, served.clock() - age
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name or authority.certificate.subject)
        .last_update(begins)
        .next_update(begins + timedelta(hours=1))
        .add_extension(x509.CRLNumber(2**60), critical=False)
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    return builder.sign(key or authority.key, hashes.SHA256()).public_bytes(Encoding.DER)


def part(**given: object) -> x509.IssuingDistributionPoint:
    values: dict[str, object] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**{**values, **given})  # type: ignore[arg-type]


def _with(value: x509.ExtensionType) -> Make:
    return lambda served: list_of(served, None, None, timedelta(0), (value, True))


FRESH = ec.generate_private_key(ec.SECP256R1())
STRANGER = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Stranger CA")])
RELATIVE = x509.RelativeDistinguishedName([x509.NameAttribute(x509.NameOID.COMMON_NAME, "part 7")])
ODD = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
BODIES: dict[str, Make] = {
    "garbage": lambda _: b"<html>under maintenance</html>",
    "empty": lambda _: b"",
    "huge": lambda _: b"0" * (17 * 1024 * 1024),
    "truncated": lambda s: s.revoking.crl()[:-7],
    "signature": lambda s: list_of(s, FRESH),
    "issuer": lambda s: list_of(s, FRESH, STRANGER),
    "expired": lambda s: list_of(s, None, None, timedelta(hours=2)),
    "tomorrow": lambda s: list_of(s, None, None, timedelta(hours=-2)),
    "difference": _with(x509.DeltaCRLIndicator(1)),
    "authorities": _with(part(only_contains_ca_certs=True)),
    "reasons": _with(part(only_some_reasons=frozenset({x509.ReasonFlags.key_compromise}))),
    "indirect": _with(part(indirect_crl=True)),
    "elsewhere": _with(part(full_name=[URL("http://elsewhere.example/other.crl")])),
    "unknown critical": _with(ODD),
    "relative": _with(part(relative_name=RELATIVE)),  # only the library knows what that means
    "recorded": lambda s: s.recorded,
}


def answer_of(served: Served, of: str, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    """A good OCSP answer about the certificate `of`, signed by this key."""
    authority, now = served.authority, served.clock()
    return (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=served.chain(of)[0],
            issuer=authority.certificate,
            algorithm=hashes.SHA1(),
            cert_status=ocsp.OCSPCertStatus.GOOD,
            this_update=now,
            next_update=now + timedelta(hours=1),
            revocation_time=None,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, authority.certificate)
        .certificates([authority.certificate])
        .sign(key or authority.key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


BODIES |= {
    "forged answer": lambda s: answer_of(s, "hospital", FRESH),
    "answer about another": lambda s: answer_of(s, "another"),
    "not authorized": lambda _: ocsp.OCSPResponseBuilder.build_unsuccessful(
        ocsp.OCSPResponseStatus.UNAUTHORIZED
    ).public_bytes(Encoding.DER),
}
CRL_FAULTS = (
    *("404", "slow", "garbage", "empty", "huge", "truncated", "signature", "issuer", "expired"),
    *("tomorrow", "difference", "authorities", "reasons", "indirect", "elsewhere"),
    *("unknown critical", "relative"),
)
OCSP_FAULTS = (
    *("404", "slow", "garbage", "empty", "forged answer", "answer about another"),
    "not authorized",
)


@asynccontextmanager
async def authority(folder: Path) -> AsyncIterator[Served]:
    """A fresh authority that serves its lists and answers for as long as the block lasts."""
    clock, client = Time(), HttpClient()
    served = Served(folder, "", clock, client)
    inner = Starlette(routes=routes(folder, clock))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await inner(scope, receive, send)
            return
        served.asked.append(scope["path"])
        fault = next((f for p, f in served.faults.items() if scope["path"].startswith(p)), "")
        if fault == "slow":
            await served.released.wait()
        if fault in {"", "slow"}:
            await inner(scope, receive, send)
            return
        found = Response(status_code=404) if fault == "404" else Response(BODIES[fault](served))
        await found(scope, receive, send)

    async with serving(app, "127.0.0.1", 0, None) as port:
        served.address = f"http://127.0.0.1:{port}"
        create_authority(folder, clock, served.address)
        try:
            yield served
        finally:
            served.released.set()
            await client.close()


__all__ = ["CRL_FAULTS", "ISSUING_NAME", "OCSP_FAULTS", "Served", "Ura", "authority"]
