"""For every check endpoints that are as they should be, and endpoints that are not."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.requests import Request
from testbench.connection import endpoints as e
from testbench.connection.bench import Bench, Open, at, https
from testbench.connection.endpoints import Page, Tls
from testbench.connection.odd_pki import DAY, NOW, Wish, leaf_of, rsa_key, with_sha1

from openldn.base.http import peer_certificate
from openldn.testbench.connection.checks.infrastructure import MISSING, WRONG_GROUP
from openldn.testbench.connection.checks.oauth import JWT_BEARER, WELL_KNOWN
from openldn.testbench.connection.model import Outcome
from openldn.testbench.connection.numbers import BROKEN, GROUPS, SUITES_1_2, SUITES_1_3, WEAK_GROUPS
from openldn.testbench.connection.target import Target
from openldn.trust import jose
from openldn.trust.certificates import thumbprint

NEW = tuple(SUITES_1_3.values())
USUAL = (GROUPS["X25519"], GROUPS["P-256"])
MLKEM = GROUPS["X25519MLKEM768"]
AES256, CHACHA, AES128 = 0x1302, 0x1303, 0x1301
GCM = SUITES_1_2["ECDHE-ECDSA-AES256-GCM-SHA384"]
OLD = "ALL:@SECLEVEL=0"


@dataclass(frozen=True)
class Case:
    """One endpoint and how one check finds it; None: as the profile weighs a shortcoming."""

    check: str
    what: str
    open: Open
    outcome: Outcome | None = None

    def __str__(self) -> str:
        return f"{self.check} {self.what}"


def good(check: str, what: str, open: Open) -> Case:
    return Case(check, what, open, Outcome.PASS)


def bad(check: str, what: str, open: Open, outcome: Outcome | None = None) -> Case:
    return Case(check, what, open, outcome)


def new_only(bench: Bench) -> Tls:
    return bench.tls(lowest="TLSv1_3")


def taking(suite: int, bench: Bench) -> e.Endpoint:
    return e.agreeing(suite)


def by_rsa(highest: str) -> Open:
    """A server that is visited with an RSA certificate, over P-384 alone."""

    @asynccontextmanager
    async def opened(bench: Bench) -> AsyncIterator[Target]:
        client = bench.pki.leaf(f"rsa-{highest}", Wish(key=rsa_key(2048)))
        how = bench.tls(highest=highest, curve="secp384r1")
        async with e.served(how) as port:
            yield bench.target(port, client=client)

    return opened


CHANNEL = [
    good("C01", "offers TLS 1.3", https()),
    bad("C01", "offers TLS 1.2 alone", https(lambda b: b.tls(highest="TLSv1_2"))),
    good("C02", "refuses what is old", https()),
    bad(
        "C02",
        "accepts TLS 1.0 and 1.1",
        https(lambda b: b.tls(lowest="TLSv1", highest="TLSv1_1", ciphers=OLD)),
    ),
    good("C03", "offers TLS 1.3 alone", https(new_only)),
    bad("C03", "offers TLS 1.2 too", https()),
    good("C04", "accepts AES-256-GCM", https()),
    bad("C04", "knows ChaCha20 alone", at(lambda _: e.retrying((CHACHA,), USUAL))),
    good("C05", "accepts ChaCha20-Poly1305", https()),
    bad("C05", "knows AES-256-GCM alone", at(lambda _: e.retrying((AES256,), USUAL))),
    good("C06", "accepts AES-128-GCM", https(given=lambda _: {"profile": "twiin-1.3"})),
    bad(
        "C06",
        "lacks AES-128-GCM where it is demanded",
        at(lambda _: e.retrying((AES256, CHACHA), USUAL), profile="twiin-1.3"),
        Outcome.FAIL,
    ),
    bad("C06", "lacks AES-128-GCM where it is not", at(lambda _: e.retrying((AES256,), USUAL))),
    good("C07", "knows suites with forward secrecy alone", https()),
    bad("C07", "accepts CBC", https(lambda b: b.tls(ciphers="DEFAULT:@SECLEVEL=0"))),
    *(
        bad("C07", f"accepts {kind}", at(partial(taking, suites[0])))
        for kind, suites in BROKEN.items()
    ),
    good("C08", "agrees over X25519", https()),
    bad("C08", "agrees over P-192", at(lambda _: e.agreeing(GCM, groups=(WEAK_GROUPS["P-192"],)))),
    bad("C08", "agrees over no group of the profile", at(lambda _: e.retrying(NEW, (25,)))),
    good("C09", "offers X25519MLKEM768", at(lambda _: e.retrying(NEW, (MLKEM,)))),
    bad("C09", "offers no ML-KEM", at(lambda _: e.retrying(NEW, USUAL))),
    good("C23", "gives tickets without early data", https(new_only)),
    good("C23", "asks for a share of P-384 first", by_rsa("TLSv1_3")),
    bad(
        "C23",
        "gives tickets for early data",
        at(lambda b: e.openssl(b.server, "-early_data", "-tls1_3", "-max_early_data", "16384")),
    ),
    good("C24", "refuses renegotiation", https(lambda b: b.tls(highest="TLSv1_2"))),
    good("C24", "refuses renegotiation to an RSA client", by_rsa("TLSv1_2")),
    bad(
        "C24",
        "takes renegotiation by the client",
        https(lambda b: b.tls(highest="TLSv1_2", allow=e.ALLOW_RENEGOTIATION)),
    ),
    bad("C24", "knows no secure renegotiation", at(lambda _: e.agreeing(GCM, secure=False))),
    good(
        "C24",
        "takes the one renegotiation that is agreed",
        https(
            lambda b: b.tls(highest="TLSv1_2", allow=e.ALLOW_RENEGOTIATION),
            given=lambda _: {"renegotiation": True},
        ),
    ),
    good("C25", "does not compress", https()),
    bad("C25", "compresses", at(lambda _: e.agreeing(GCM, compression=1))),
]


def with_crl(stem: str, crl: str) -> Open:
    """A server whose certificate names a CRL; which one tells `crl`."""

    @asynccontextmanager
    async def opened(bench: Bench) -> AsyncIterator[Target]:
        lists: dict[str, Page] = {}
        async with e.plain(e.site(lists)) as port:
            point = f"http://127.0.0.1:{port}/crl"
            show = bench.pki.leaf(stem, Wish(crl=point))
            bodies = {
                "fresh": bench.pki.crl(),
                "stale": bench.pki.crl(ends=NOW - DAY),
                "of another": bench.pki.crl(by=ec.generate_private_key(ec.SECP256R1())),
                "with it": bench.pki.crl(show),
                "noise": b"noise",
            }
            if crl in bodies:
                lists["/crl"] = Page(bodies[crl], kind="application/pkix-crl")
            async with e.served(bench.tls(show=show)) as served:
                yield bench.target(served)

    return opened


def with_responder(stem: str, answer: str) -> Open:
    """A server whose certificate names an OCSP responder that gives this answer."""

    @asynccontextmanager
    async def opened(bench: Bench) -> AsyncIterator[Target]:
        answers: dict[str, Page] = {}
        async with e.plain(e.site(answers)) as port:
            show = bench.pki.leaf(stem, Wish(ocsp=f"http://127.0.0.1:{port}/ocsp"))
            bodies = {
                "good": bench.pki.status(show),
                "revoked": bench.pki.status(show, revoked=True),
                "forged": bench.pki.status(show, by=bench.others),
                "about another": bench.pki.status(bench.other),
                "noise": b"noise",
            }
            answers["POST /ocsp"] = Page(bodies[answer], kind="application/ocsp-response")
            async with e.served(bench.tls(show=show)) as served:
                yield bench.target(served)

    return opened


def stapling(stem: str, *, revoked: bool) -> Open:
    """OpenSSL's server with an OCSP response in the handshake."""

    @asynccontextmanager
    async def opened(bench: Bench) -> AsyncIterator[Target]:
        show = bench.pki.leaf(stem)
        file = bench.folder / f"{stem}.ocsp"
        file.write_bytes(bench.pki.status(show, revoked=revoked))
        async with e.openssl(show, "-status_file", str(file)) as port:
            yield bench.target(port)

    return opened


def in_directory(entries: int) -> Open:
    """A server and a directory that knows so many organizations with its URA."""
    bundle = json.dumps({"resourceType": "Bundle", "entry": [{}] * entries}).encode()
    return https(
        pages=lambda _: {"/fhir/Organization": Page(bundle)},
        given=lambda o: {"directory": f"{o}/fhir"},
    )


CERTIFICATE = [
    good("C10", "has a key on P-256", https()),
    good("C10", "has RSA of 3072 bits", https(lambda b: b.leaf("rsa3072", key=rsa_key(3072)))),
    bad(
        "C10",
        "has RSA of 2048 bits",
        https(lambda b: b.leaf("rsa2048", key=rsa_key(2048))),
        Outcome.WARN,
    ),
    bad(
        "C10",
        "has RSA of 1024 bits",
        https(lambda b: replace(b.leaf("rsa1024", key=rsa_key(1024)), ciphers=OLD)),
    ),
    good("C11", "is signed with SHA-256", https()),
    bad(
        "C11",
        "is signed with SHA-1",
        https(lambda b: b.tls(show=with_sha1(b.pki.leaf("sha1")), ciphers=OLD)),
    ),
    good("C17", "serves its whole chain", https()),
    bad("C17", "leaves the intermediate out", https(lambda b: b.leaf("alone", alone=True))),
    bad(
        "C17",
        "leads to an authority that is not trusted",
        https(lambda b: b.tls(show=b.others.leaf("elsewhere"))),
    ),
    good("C18", "names its host", https()),
    bad("C18", "names another host", https(lambda b: b.leaf("host", hosts=("other.test",)))),
    bad(
        "C18",
        "has a wildcard",
        https(lambda b: b.leaf("wild", hosts=("localhost", "*.example.test"))),
    ),
    good("C19", "is valid for a year", https()),
    bad("C19", "has expired", https(lambda b: b.leaf("late", ends=NOW - timedelta(hours=1)))),
    bad(
        "C19",
        "ends within 30 days",
        https(lambda b: b.leaf("soon", ends=NOW + 10 * DAY)),
        Outcome.WARN,
    ),
    bad("C19", "is not valid yet", https(lambda b: b.leaf("early", begins=NOW + DAY))),
    good("C20", "has a fresh CRL", with_crl("crl-fresh", "fresh")),
    bad("C20", "has a CRL that ended", with_crl("crl-stale", "stale")),
    bad("C20", "has a CRL signed by another", with_crl("crl-other", "of another")),
    bad("C20", "is on its CRL", with_crl("crl-listed", "with it")),
    bad("C20", "has noise for a CRL", with_crl("crl-noise", "noise")),
    bad("C20", "has a CRL that is not there", with_crl("crl-absent", "absent")),
    good("C21", "staples that it is good", stapling("staple", revoked=False)),
    bad("C21", "staples that it is revoked", stapling("staple-revoked", revoked=True)),
    bad("C21", "does not staple", with_responder("ocsp-good", "good"), Outcome.WARN),
    bad("C21", "is revoked by OCSP", with_responder("ocsp-revoked", "revoked")),
    bad("C21", "has a forged OCSP answer", with_responder("ocsp-forged", "forged")),
    bad("C21", "has an OCSP answer about another", with_responder("ocsp-other", "about another")),
    bad("C21", "has noise for an OCSP answer", with_responder("ocsp-noise", "noise")),
    good("C22", "has the URA of the record", https(given=lambda _: {"ura": "90000001"})),
    bad("C22", "has another URA", https(given=lambda _: {"ura": "90000002"})),
    bad("C22", "has no URA", https(lambda b: b.leaf("no-ura", ura=""))),
    good("C22", "is in the directory", in_directory(1)),
    bad("C22", "is not in the directory", in_directory(0)),
]


def revoking(*, checks: bool) -> Open:
    """A server that does, or does not, look in the CRL; an expired and a revoked client."""

    @asynccontextmanager
    async def opened(bench: Bench) -> AsyncIterator[Target]:
        revoked = bench.pki.leaf("revoked")
        expired = bench.pki.leaf("expired", Wish(ends=NOW - timedelta(hours=1)))
        crl = bench.folder / f"crl-{checks}.pem"
        der = bench.pki.crl(revoked)
        crl.write_bytes(_pem("X509 CRL", der))
        how = bench.tls(trust=bench.pki.both, crl=crl if checks else None)
        async with e.served(how) as port:
            yield bench.target(port, revoked=revoked, expired=expired if checks else None)

    return opened


def _pem(kind: str, der: bytes) -> bytes:
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN {kind}-----\n{text}-----END {kind}-----\n".encode()


MTLS = [
    good("C12", "asks a client certificate", https()),
    bad("C12", "asks none", https(lambda b: b.tls(trust=None))),
    good("C13", "refuses who shows none", https()),
    good(
        "C13",
        "answers 401 to who shows none",
        https(lambda b: b.tls(demand=False), missing=Page(status=401)),
    ),
    bad(
        "C13",
        "gives data to who shows none",
        https(lambda b: b.tls(demand=False), missing=Page(status=200)),
    ),
    good("C14", "refuses a strange issuer", https()),
    bad("C14", "takes a strange issuer", at(lambda b: e.openssl(b.server, "-verify", "2"))),
    good("C15", "refuses expired and revoked", revoking(checks=True)),
    bad("C15", "takes a revoked certificate", revoking(checks=False)),
    good(
        "C16",
        "names its authority",
        at(lambda b: e.openssl(b.server, "-Verify", "2", "-CAfile", str(b.pki.ca))),
    ),
    good(
        "C16",
        "names its authority in TLS 1.2",
        at(lambda b: e.openssl(b.server, "-Verify", "2", "-CAfile", str(b.pki.ca), "-tls1_2")),
    ),
    bad(
        "C16",
        "names another authority",
        at(lambda b: e.openssl(b.server, "-Verify", "2", "-CAfile", str(b.others.ca))),
    ),
    bad("C16", "names none", https(), Outcome.WARN),
]


def beside_plain(page: Page | None) -> Open:
    """A server with plain HTTP at another port; None: that port is closed."""

    @asynccontextmanager
    async def opened(bench: Bench) -> AsyncIterator[Target]:
        async with e.served(bench.tls()) as port:
            if page is None:
                yield bench.target(port, plain_port=e.free_port())
                return
            async with e.plain(e.site({"/": page})) as other:
                yield bench.target(port, plain_port=other)

    return opened


def front(**headers: str) -> Open:
    return https(pages=lambda _: {"/": Page(b"<p>", kind="text/html", headers=headers)})


def named(zone: e.Zone, *, signed: bool) -> Open:
    """A server with a name of its own in a zone of ours."""

    @asynccontextmanager
    async def opened(bench: Bench) -> AsyncIterator[Target]:
        async with e.served(bench.tls()) as port, e.names(zone, signed=signed) as dns:
            yield bench.target(port, host="node.ldn.test", resolver=f"127.0.0.1:{dns}")

    return opened


def both_families(*, alike: bool) -> Open:
    """A server at IPv4 and, in another way when not `alike`, at IPv6."""
    zone = {("node.ldn.test.", "A"): ("127.0.0.1",), ("node.ldn.test.", "AAAA"): ("::1",)}

    @asynccontextmanager
    async def opened(bench: Bench) -> AsyncIterator[Target]:
        port = e.free_port()
        old = bench.tls(highest="TLSv1_2")
        async with (
            e.served(bench.tls(), port=port),
            e.served(bench.tls() if alike else old, host="::1", port=port),
            e.names(zone, signed=True) as dns,
        ):
            yield bench.target(port, host="node.ldn.test", resolver=f"127.0.0.1:{dns}")

    return opened


HERE = {("node.ldn.test.", "A"): ("127.0.0.1",)}
CAA = {("ldn.test.", "CAA"): ('0 issue "pki.test"',)}


async def never(request: Request) -> Page:
    """An answer that does not come while anybody waits for it."""
    while not await request.is_disconnected():
        await asyncio.sleep(0.05)
    return Page()


async def slow(request: Request) -> Page:
    """An answer that comes too late for the budget."""
    await asyncio.sleep(1.1)
    return Page(json.dumps({"issuer": "x"}).encode())


async def bounded(request: Request) -> Page:
    """What a server does that bounds the size of a body."""
    size = int(request.headers.get("content-length", "0"))
    return Page(status=413 if size > 1024 * 1024 else 400)


async def echoing(request: Request) -> Page:
    return Page(b"cannot read: " + await request.body(), 400, "text/plain")


TRACE = b'Traceback (most recent call last):\n  File "x.py", line 1'
WEB = [
    good("C26", "has no plain HTTP", beside_plain(None)),
    good(
        "C26",
        "redirects plain HTTP",
        beside_plain(Page(status=301, headers={"location": "https://localhost/"})),
    ),
    bad("C26", "serves plain HTTP", beside_plain(Page())),
    bad(
        "C26",
        "redirects to plain HTTP",
        beside_plain(Page(status=302, headers={"location": "http://localhost/"})),
    ),
    good("C27", "sends HSTS", front(**{"strict-transport-security": "max-age=31536000"})),
    bad("C27", "sends no HSTS", front()),
    bad("C27", "sends HSTS of a minute", front(**{"strict-transport-security": "max-age=60"})),
    good("C37", "is signed and has CAA", named(HERE | CAA, signed=True)),
    bad("C37", "is not signed", named(HERE | CAA, signed=False)),
    bad("C37", "has no CAA", named(HERE, signed=True)),
    good("C38", "answers alike over both", both_families(alike=True)),
    bad("C38", "answers differently", both_families(alike=False)),
    bad("C38", "has IPv4 alone", named(HERE, signed=True)),
    good("C39", "has the right time", https()),
    bad(
        "C39",
        "is 8 seconds behind",
        https(
            pages=lambda _: {"/": Page(headers={"date": f"{NOW - DAY:%a, %d %b %Y %H:%M:%S} GMT"})}
        ),
    ),
    good("C43", "answers in time", https()),
    bad(
        "C43",
        "publishes its metadata slowly",
        https(
            pages=lambda _: {WELL_KNOWN: slow},
            given=lambda o: {"issuer": o},
        ),
    ),
    good("C44", "gives nothing away", https()),
    bad("C44", "shows a stack trace", https(missing=Page(TRACE, 500, "text/plain"))),
    bad("C44", "tells its version", https(missing=Page(headers={"server": "Apache/2.4.1"}))),
    bad("C44", "tells its framework", https(missing=Page(headers={"x-powered-by": "PHP"}))),
    bad("C44", "reflects what it gets", https(missing=echoing)),
    good("C45", "answers 413", https(missing=bounded)),
    bad("C45", "takes it without an answer", https(missing=never)),
    bad("C45", "accepts it", https(missing=Page(status=200))),
]


def metadata(origin: str, **changes: Any) -> bytes:
    return json.dumps(
        {
            "issuer": f"{origin}/oauth2/90000001",
            "token_endpoint": f"{origin}/token",
            "jwks_uri": f"{origin}/jwks",
            "grant_types_supported": [JWT_BEARER],
            **changes,
        }
    ).encode()


INSERTED, APPENDED = f"{WELL_KNOWN}/oauth2/90000001", f"/oauth2/90000001{WELL_KNOWN}"
REFUSAL = Page(b'{"error": "invalid_request"}', 400, headers={"cache-control": "no-store"})


def server(
    where: str = INSERTED, pages: Mapping[str, e.Answer] | None = None, **changes: Any
) -> Open:
    """An authorization server with this metadata."""
    return https(
        pages=lambda o: {where: Page(metadata(o, **changes)), **(pages or {})},
        given=lambda o: {"issuer": f"{o}/oauth2/90000001"},
    )


def token(page: Page) -> Open:
    return server(pages={"POST /token": page})


def a_key(curve: ec.EllipticCurve | None = None) -> Any:
    return jose.key_of(ec.generate_private_key(curve or ec.SECP256R1()))


def jwk(key: Any, kid: str = "1", **more: Any) -> dict[str, Any]:
    return {**jose.public_jwk(key), "kid": kid, **more}


def jwks(*keys: dict[str, Any]) -> Open:
    return server(pages={"/jwks": Page(json.dumps({"keys": keys}).encode())})


def jwks_of_tls() -> Open:
    @asynccontextmanager
    async def opened(bench: Bench) -> AsyncIterator[Target]:
        key = jose.key_of_certificate(leaf_of(bench.server))
        async with jwks(jwk(key))(bench) as target:
            yield target

    return opened


OAUTH = [
    good("C28", "publishes inserted", server()),
    good("C28", "publishes appended", server(APPENDED)),
    bad("C28", "publishes nowhere", server("/elsewhere")),
    bad("C28", "names another issuer", server(issuer="https://other.test")),
    good("C29", "keeps its addresses", server()),
    bad("C29", "has a token endpoint on http", server(token_endpoint="http://localhost/token")),
    bad("C29", "has its keys elsewhere", server(jwks_uri="https://other.test/jwks")),
    good("C30", "advertises what we need", server()),
    bad("C30", "advertises another grant", server(grant_types_supported=["authorization_code"])),
    good("C31", "refuses with an OAuth error", token(REFUSAL)),
    bad("C31", "lets its refusal be cached", token(replace(REFUSAL, headers={}))),
    bad("C31", "refuses with a page", token(Page(b"<h1>no", 400, "text/html"))),
    bad("C31", "gives a token", token(Page(b'{"access_token": "x"}'))),
    good("C32", "publishes public keys", jwks(jwk(a_key()), jwk(a_key(), "2"))),
    bad("C32", "publishes a private part", jwks(jwk(a_key(), d="AAAA"))),
    bad("C32", "has one kid twice", jwks(jwk(a_key()), jwk(a_key()))),
    bad("C32", "has a weak key", jwks(jwk(jose.key_of(rsa_key(1024))))),
    bad("C32", "has an alg that does not fit", jwks(jwk(a_key(), alg="RS256"))),
    bad("C32", "signs with the key of TLS", jwks_of_tls()),
    bad("C32", "has no keys", jwks()),
]


def fhir(page: Page, **given: Any) -> Open:
    return https(
        pages=lambda _: {"/fhir/metadata": page, "/fhir/Patient": page},
        given=lambda o: {"fhir": f"{o}/fhir", **given},
    )


R4 = Page(b'{"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"}')
SIGNER = a_key()


def did_of(origin: str) -> str:
    return f"did:web:{origin.removeprefix('https://').replace(':', '%3A')}"


def document(origin: str, key: Any = SIGNER) -> bytes:
    did = did_of(origin)
    method = {"id": f"{did}#1", "type": "JsonWebKey2020", "publicKeyJwk": jose.public_jwk(key)}
    return json.dumps({"id": did, "verificationMethod": [method]}).encode()


def signed(origin: str, key: Any = SIGNER, **claims: Any) -> str:
    whole = {"iss": did_of(origin), "iat": int(NOW.timestamp()), **claims}
    return jose.sign(whole, key, "ES256", {"kid": f"{did_of(origin)}#1"})


def identity(kind: str = "application/did+json", key: Any = SIGNER, id: str = "") -> Open:
    """A DID document; the presentation is signed with `key`."""
    return https(
        pages=lambda o: {
            "/.well-known/did.json": Page(
                document(o).replace(did_of(o).encode(), (id or did_of(o)).encode(), 1), kind=kind
            )
        },
        given=lambda o: {"did": did_of(o), "presentation": signed(o, key)},
    )


def listing(key: Any = SIGNER, body: bytes | None = None, **claims: Any) -> Open:
    return https(
        pages=lambda o: {
            "/.well-known/did.json": Page(document(o), kind="application/did+json"),
            "/status/1": Page(body or signed(o, key, **claims).encode(), kind="application/jwt"),
        },
        given=lambda o: {"status_list": f"{o}/status/1"},
    )


def seconds(moment: Any) -> int:
    return int(moment.timestamp())


UNAUTHORIZED = Page(b"{}", 401, headers={"www-authenticate": "Bearer"})
DATA = [
    good("C33", "tells its FHIR version", fhir(R4, fhir_version="4.0.1")),
    bad("C33", "has another than the directory", fhir(R4, fhir_version="3.0.2")),
    bad("C33", "has no statement", fhir(Page(status=404))),
    bad("C33", "gives a page", fhir(Page(b"<h1>FHIR", kind="text/html"))),
    good("C34", "demands a token", fhir(UNAUTHORIZED)),
    bad("C34", "gives data without one", fhir(R4)),
    bad("C34", "does not say what it wants", fhir(Page(status=401))),
    good("C35", "publishes its keys", identity()),
    bad("C35", "signs with another key", identity(key=a_key())),
    bad("C35", "has another content type", identity("text/plain")),
    bad("C35", "is the document of another", identity(id="did:web:other.test")),
    bad("C35", "is not there", https(given=lambda o: {"did": did_of(o)})),
    good("C36", "is signed and fresh", listing(exp=seconds(NOW + DAY))),
    bad("C36", "has ended", listing(exp=seconds(NOW - DAY))),
    bad("C36", "is two days old without an end", listing(iat=seconds(NOW - 2 * DAY))),
    bad("C36", "is signed by another", listing(a_key(), exp=seconds(NOW + DAY))),
    bad("C36", "is not signed", listing(body=b'{"type": "BitstringStatusListCredential"}')),
    bad("C36", "is noise", listing(body=b"noise")),
]


async def aorta(request: Request) -> Page:
    named = request.headers.get("aorta-id", "")
    return Page(headers={"aorta-id": named}) if named else Page(status=400)


async def inway(request: Request) -> Page:
    if request.headers.get("fsc-authorization"):
        return Page(status=403, headers={"fsc-error-code": WRONG_GROUP})
    return Page(status=401, headers={"fsc-error-code": MISSING})


def binding(*, bound: bool) -> Open:
    """Data for who shows the token, over the right certificate alone when `bound`."""

    @asynccontextmanager
    async def opened(bench: Bench) -> AsyncIterator[Target]:
        mine = thumbprint(leaf_of(bench.client).public_bytes(Encoding.DER))

        async def patient(request: Request) -> Page:
            shown = thumbprint(peer_certificate(request.scope) or b"")
            right = request.headers.get("authorization") == "Bearer secret-token"
            return Page() if right and (shown == mine or not bound) else UNAUTHORIZED

        given = {"token": "secret-token", "other": bench.other}
        open = https(
            pages=lambda _: {"/fhir/Patient": patient},
            given=lambda o: {"fhir": f"{o}/fhir", **given},
        )
        async with open(bench) as target:
            yield target

    return opened


def at_aorta(page: e.Answer) -> Open:
    return https(pages=lambda _: {"/": page}, given=lambda o: {"aorta": f"{o}/"})


def at_inway(page: e.Answer, **given: Any) -> Open:
    return https(pages=lambda _: {"/": page}, given=lambda _: {"fsc": True, **given})


INFRASTRUCTURE = [
    good("C40", "demands AORTA-ID and returns it", at_aorta(aorta)),
    bad("C40", "does without AORTA-ID", at_aorta(Page())),
    good("C41", "gives the errors of FSC", at_inway(inway, fsc_token="of-another-group")),
    bad("C41", "gives data without a token", at_inway(Page())),
    bad(
        "C41",
        "gives no error code",
        at_inway(Page(status=401), fsc_token="of-another-group"),
    ),
    good("C42", "binds a token to its certificate", binding(bound=True)),
    bad("C42", "takes a token over another certificate", binding(bound=False)),
]

CASES = [*CHANNEL, *CERTIFICATE, *MTLS, *WEB, *OAUTH, *DATA, *INFRASTRUCTURE]
