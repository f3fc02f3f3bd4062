"""What `tools/fuzz.py` feeds: each reader of trust, with small valid inputs to begin from.

A signature stops nearly everything that was changed. Where the checks behind it are worth
reaching, the input is what gets signed (claims, an assertion, the inside of a certificate, list
or answer), and the target signs it as an insider would.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlencode

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from fuzz_bench import Bench, Target, der, signing, text_in
from fuzz_credentials import CREDENTIALS
from lxml import etree
from starlette.requests import Request
from trust.credentials.kit import AUDIENCE, holder
from trust.saml import saml_world as saml

from openldn.base.errors import LdnError
from openldn.base.runtime import new_uuid
from openldn.testbench.connection import handshake, prober
from openldn.testbench.connection.checks import CHECKS
from openldn.testbench.connection.examine import _looked
from openldn.testbench.connection.hello import (
    HANDSHAKE,
    RETRY,
    Messages,
    NotTlsError,
    Offer,
    message,
    record,
    server_hello,
    vector,
)
from openldn.testbench.connection.target import Given
from openldn.testbench.connection.target import Target as ConnectionTarget
from openldn.testbench.connection.visit import Visit
from openldn.trust import jose
from openldn.trust.aorta.headers import AortaId, AortaVersion
from openldn.trust.aorta.versions import Range
from openldn.trust.certificates.issue import Authority, signed_list
from openldn.trust.certificates.revocation import Freshness, read_answer, read_crl
from openldn.trust.certificates.tls_profiles import tls_profile
from openldn.trust.saml import soap
from openldn.trust.saml import trust as ws_trust
from openldn.trust.saml.read import read as read_saml
from openldn.trust.saml.signature import sign as sign_xml
from openldn.trust.saml.xml import parse as parse_xml
from openldn.trust.saml.xml import serialized
from openldn.trust.tokens import dpop
from openldn.trust.tokens.api import shown
from openldn.trust.tokens.dialects import (
    CLIENT_ASSERTION_TYPE,
    CLIENT_CREDENTIALS,
    DIALECTS,
    EXCHANGE,
    JWT_BEARER,
    VP_BEARER,
    check,
    recognized,
)
from openldn.trust.tokens.forms import read_form
from openldn.trust.trail import Trail

_BASIC = bytes.fromhex("06092b0601050507300101")  # OID: id-pkix-ocsp-basic


def _saml(at: Bench) -> Target:
    """An assertion as it comes; the certificate is pinned."""
    wanted, sealed = saml.plain(), saml.expected()

    def read(content: bytes) -> object:
        with suppress(LdnError):
            read_saml(content, sealed, Trail())
        return read_saml(content, wanted, Trail())

    return Target(read, (saml.assertion(), saml.sso()))


def _saml_signed(at: Bench) -> Target:
    """An assertion without its signature, signed by who is pinned."""
    wanted, by = saml.plain(), saml.keys("sts")

    def read(content: bytes) -> object:
        root = parse_xml(content, Trail())
        if not root.get("ID"):
            return None
        try:
            sign_xml(root, 1, by, wanted.profile.alg_out.saml)
        except (LdnError, ValueError, TypeError, xmlsec.Error):  # tells nothing of the reader
            return None
        return read_saml(serialized(root), wanted, Trail())

    root = etree.fromstring(saml.assertion())
    root.remove(root[1])
    return Target(read, (serialized(root),))


def _ws_trust(at: Bench) -> Target:
    """The envelope of a request to the STS."""
    asked = ws_trust.request("https://api.example/fhir/")
    seed = soap.request(saml.STS, f"urn:uuid:{new_uuid()}", saml.assertion(), asked, saml.NOW)

    def read(content: bytes) -> object:
        found = soap.read_request(content, saml.STS, saml.NOW, timedelta(seconds=5), Trail())
        return ws_trust.read_request(found.body, Trail())

    return Target(read, (seed,))


def _aorta(at: Bench) -> Target:
    """AORTA-ID, AORTA-Version, and a range of versions alone."""

    def read(content: bytes) -> object:
        text = text_in(content)
        with suppress(LdnError):
            AortaId.read([text])
        with suppress(LdnError):
            return AortaVersion.read([text]).answer_in([])
        return Range.parse(text)

    texts = (
        ">=1.* || ^2.0.0 || ~3.1 <4.0.0",
        str(AortaId.begin(new_uuid)),
        "contentVersion=3.0.1; acceptVersion=>=3.0.0 <4.0.0 || 5.*",
    )
    return Target(read, tuple(t.encode() for t in texts))


def _dpop(at: Bench) -> Target:
    """The claims of a proof, signed by its key; and the proof itself."""
    key, url = holder().key, f"{AUDIENCE}/fhir"
    proof = dpop.Prover(key, at.uzi.clock, new_uuid)("GET", url, "token")
    sign, seed = signing(proof, key)
    call = dpop.Call("GET", url, at.now, "token")

    def read(content: bytes) -> object:
        text = sign(content) if content[:1] == b"{" else text_in(content)
        return dpop.check(text, call, Trail())

    return Target(read, (seed, proof.encode()))


def _request(headers: list[tuple[bytes, bytes]], body: bytes = b"") -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}
    return Request(scope, receive)


def _token_form(at: Bench) -> Target:
    """The form of a token request, up to its dialect."""
    kind = [(b"content-type", b"application/x-www-form-urlencoded")]

    def token(text: str) -> jose.Jws | LdnError:
        try:
            return jose.read(text, Trail())
        except LdnError as error:
            return error

    def read(content: bytes) -> object:
        form = at.run(read_form(_request(kind, content)))
        tokens = {n: token(t) for n, t in form.items() if n.endswith(("assertion", "token"))}
        dialect = recognized(form, tokens, DIALECTS)
        check(form, dialect)
        return dialect

    client = {"client_assertion_type": CLIENT_ASSERTION_TYPE, "client_assertion": at.text}
    vp = at.party.present(credentials=["e30.e30."])
    forms: tuple[dict[str, str], ...] = (
        {"grant_type": VP_BEARER, "assertion": vp, "presentation_submission": "{}"},
        {"grant_type": JWT_BEARER, "assertion": vp, "scope": "bgz", **client},
        {"grant_type": CLIENT_CREDENTIALS, "target_audience": AUDIENCE, **client},
        {"grant_type": EXCHANGE, "subject_token": vp, "subject_token_type": "urn:x"},
    )
    return Target(read, tuple(urlencode(f).encode() for f in forms))


def _shown(at: Bench) -> Target:
    """The headers Authorization and DPoP of a request, one on each line."""

    def read(content: bytes) -> object:
        first, _, second = content.partition(b"\n")
        return shown(_request([(b"authorization", first), (b"dpop", second)]), AUDIENCE)

    return Target(read, (b"Bearer abc", b"DPoP abc\ne30.e30.", b"SAML PHNhbWw+"))


def _crl(at: Bench) -> Target:
    """The inside of a list of revoked certificates, signed by its authority; and the list."""
    key = at.uzi.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    span = (at.now, at.now + timedelta(hours=1))
    revoked = {7: (at.now, x509.ReasonFlags.key_compromise)}
    whole = signed_list(Authority(at.uzi.issuing, key), revoked, span)
    inside = x509.load_der_x509_crl(whole).tbs_certlist_bytes

    def read(content: bytes) -> object:
        with suppress(LdnError):
            read_crl(content, at.pair, ("http://crl.example/", at.now), None)
        found = read_crl(at.sealed(content), at.pair, ("http://crl.example/", at.now), None)
        found.examine(at.pair, at.now)
        return found.revokes(at.pair)

    return Target(read, (inside, whole))


def _ocsp(at: Bench) -> Target:
    """The inside of an answer about a certificate, signed by its authority; and the answer."""
    leaf, issuing = at.pair
    whole = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            *(leaf, issuing, hashes.SHA1(), ocsp.OCSPCertStatus.GOOD),
            *(at.now, at.now + timedelta(hours=1), None, None),
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, issuing)
        .sign(at.uzi.key, hashes.SHA256())
    )

    def read(content: bytes) -> object:
        with suppress(LdnError):
            read_answer(content, at.pair, (Freshness(), at.now), None)
        basic = der(0x30, _BASIC + der(0x04, at.sealed(content)))
        answer = der(0x30, b"\x0a\x01\x00" + der(0xA0, basic))
        return read_answer(answer, at.pair, (Freshness(), at.now), None)

    return Target(read, (whole.tbs_response_bytes, whole.public_bytes(Encoding.DER)))


def _tls_answer(at: Bench) -> Target:
    """What a server says after a ClientHello: its first record, and a whole flight."""
    hello = b"\x03\x03" + bytes(32) + b"\0\xc0\x2f\0" + vector(b"\xff\x01\0\x01\0", 2)
    retry = b"\x03\x03" + RETRY + b"\0\x13\x01\0"
    retry += vector(b"\0\x2b\0\x02\x03\x04\0\x33\0\x02\0\x1d", 2)
    chain = vector(vector(at.pair[0].public_bytes(Encoding.DER), 3), 3)
    flight = message(2, hello) + message(11, chain) + message(14, b"")
    seeds = (record(HANDSHAKE, flight), record(HANDSHAKE, message(2, retry)), record(21, b"\2\x28"))
    return Target(
        lambda c: at.run(_answered(c)), seeds, (NotTlsError, handshake.RefusedError, EOFError)
    )


def _shown_certificate(at: Bench) -> Target:
    """A certificate that an endpoint under check shows, in every check that reads it."""
    own = {"C10", "C11", "C17", "C18", "C19", "C20", "C21", "C22"}
    checks = [c for c in CHECKS if c.id in own]
    under_check = ConnectionTarget("localhost", 1, tls_profile("twiin-1.4"), Given(ca=at.ca))

    async def looked(content: bytes) -> object:
        visit = Visit(under_check, prober.Prober("127.0.0.1", 1), at.uzi.clock)
        shown: asyncio.Future[Any] = at.loop.create_future()
        chain = (content, at.uzi.issuing.public_bytes(Encoding.DER))
        shown.set_result(handshake.Flight(server_hello(b"\3\3" + bytes(36)), chain))
        visit._facts["newest"] = cast(Any, shown)
        return [await _looked(check, visit, 2.0) for check in checks]

    return Target(lambda c: at.run(looked(c)), (at.pair[0].public_bytes(Encoding.DER),))


async def _answered(content: bytes) -> object:
    def wire() -> prober.Wire:
        reader = asyncio.StreamReader()
        reader.feed_data(content)
        reader.feed_eof()
        unused: Any = None
        return prober.Wire(reader, unused)

    with suppress(NotTlsError, EOFError):
        seen = await prober._first(wire())
        if seen.hello is not None:
            str(seen), seen.hello.share, seen.hello.group
    with suppress(NotTlsError):
        for kind, body in Messages().feed(content):
            handshake._note(handshake.Flight(server_hello(b"\3\3" + bytes(36))), kind, body)
    return await handshake._Old(wire(), Offer(), None)._flight()


TARGETS: dict[str, Callable[[Bench], Target]] = {
    **CREDENTIALS,
    "saml": _saml,
    "saml-signed": _saml_signed,
    "ws-trust": _ws_trust,
    "aorta": _aorta,
    "dpop": _dpop,
    "token-form": _token_form,
    "authorization": _shown,
    "crl": _crl,
    "ocsp": _ocsp,
    "tls-answer": _tls_answer,
    "shown-certificate": _shown_certificate,
}
