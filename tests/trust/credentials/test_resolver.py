"""DID resolution: did:web (A19, GFI-001), did:key, did:jwk; trust and broker §1."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import base58
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from trust.credentials.kit import Site, Time, Uzi, site

from openldn.base.errors import LdnError
from openldn.base.http import Identity
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Ura
from openldn.trust import jose
from openldn.trust.certificates.issue import Subject, Term, create_authority, issue_server
from openldn.trust.credentials.did import parse
from openldn.trust.credentials.keeping import did_web, document, holder_key
from openldn.trust.credentials.resolver import Methods, Resolver
from openldn.trust.documents import Documents
from openldn.trust.trail import Trail

KEY = jose.key_of(ec.generate_private_key(ec.SECP256R1()))


def resolved(did: str, resolver: Resolver | None = None) -> Methods:
    chosen = resolver or Resolver(None)
    return asyncio.run(chosen.methods(parse(did), {}, Trail()))


def refused(did: str) -> str:
    with pytest.raises(LdnError) as caught:
        resolved(did)
    return caught.value.detail


def compressed(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


@pytest.mark.parametrize(
    ("prefix", "content", "private"),
    [
        (b"\x80\x24", compressed, ec.generate_private_key(ec.SECP256R1())),
        (b"\x81\x24", compressed, ec.generate_private_key(ec.SECP384R1())),
        (b"\x82\x24", compressed, ec.generate_private_key(ec.SECP521R1())),
        (
            b"\xed\x01",
            lambda k: k.public_bytes(Encoding.Raw, PublicFormat.Raw),
            ed25519.Ed25519PrivateKey.generate(),
        ),
        (
            b"\x85\x24",
            lambda k: k.public_bytes(Encoding.DER, PublicFormat.PKCS1),
            rsa.generate_private_key(65537, 2048),
        ),
    ],
)
def test_a_did_key_is_its_key(
    prefix: bytes, content: Callable[[Any], bytes], private: jose.PrivateKey
) -> None:
    name = "z" + base58.b58encode(prefix + content(private.public_key())).decode()
    did = f"did:key:{name}"

    key = resolved(did).key(f"{did}#{name}", ["authentication"], Trail())

    assert jose.public_jwk(key) == jose.public_jwk(jose.key_of(private))


@pytest.mark.parametrize(
    "did",
    [
        "did:key:x",
        "did:key:z",
        "did:key:z0OIl",
        "did:key:" + "z" * 900,
        "did:key:z" + base58.b58encode(b"\x80\x24" + b"\x05" * 33).decode(),
        "did:key:z" + base58.b58encode(b"\x80\x24" + b"\x02" * 10).decode(),
        "did:key:z" + base58.b58encode(b"\xec\x01" + b"\x02" * 32).decode(),
        "did:key:z" + base58.b58encode(b"\xed\x01" + b"\x02" * 31).decode(),
        "did:jwk:e30",
        "did:jwk:W10",
        "did:jwk:AAAA",
        f"did:jwk:{jose.encoded(dump(KEY.as_dict(private=True)))}",
        f"did:jwk:{jose.encoded(dump({'kty': 'oct', 'k': 'AAAA'}))}",
    ],
)
def test_what_is_not_a_public_key_of_ours_is_refused(did: str) -> None:
    assert refused(did) == "did.key"


def test_a_did_jwk_for_encryption_does_not_sign() -> None:
    did = f"did:jwk:{jose.encoded(dump({**jose.public_jwk(KEY), 'use': 'enc'}))}"

    with pytest.raises(LdnError) as caught:
        resolved(did).key(f"{did}#0", ["assertionMethod"], Trail())
    assert caught.value.detail == "did.key"


@given(st.binary(max_size=80))
def test_no_bytes_break_the_readers_of_keys(content: bytes) -> None:
    for did in (
        f"did:key:z{base58.b58encode(content).decode()}",
        f"did:jwk:{jose.encoded(content)}",
    ):
        try:
            resolved(did)
        except LdnError as error:
            assert error.detail.startswith("did.")


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    folder = tmp_path_factory.mktemp("pki")
    create_authority(folder)
    issue_server(folder / "node", Subject(Ura.parse("90000382"), "Ziekenhuis Oost"), Term())
    return Identity(folder / "node/server.pem", folder / "node/server.key", folder / "ca.pem")


def with_site(identity: Identity, work: Callable[[Site, Documents, Time], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = Time()
        async with site(clock, identity) as (pages, documents):
            await work(pages, documents, clock)

    asyncio.run(run())


async def failing(resolver: Resolver, did: str, kid: str = "") -> str:
    trail = Trail()
    with pytest.raises(LdnError) as caught:
        await resolver.methods(parse(did), {"kid": kid}, trail)
    assert trail.failed is not None
    assert caught.value.detail == "did.document"
    return trail.failed.said


def test_a19_a_did_web_is_what_its_document_says(identity: Identity, tmp_path: Path) -> None:
    async def work(pages: Site, documents: Documents, clock: Time) -> None:
        did = did_web(pages.origin, Ura.parse("90000382"))
        holder = holder_key(tmp_path / "did.key", did)
        pages.pages["/iam/90000382/did.json"] = (200, dump(document([holder])))
        resolver = Resolver(documents)

        for _ in range(3):
            found = await resolver.methods(did, {"kid": holder.kid}, Trail())
        key = found.key(holder.kid, ["assertionMethod"], Trail())

        assert jose.public_jwk(key) == jose.public_jwk(holder.key)
        assert pages.hits == 1

    with_site(identity, work)


def test_a19_a_missing_or_false_document_is_refused(identity: Identity, tmp_path: Path) -> None:
    async def work(pages: Site, documents: Documents, clock: Time) -> None:
        did = did_web(pages.origin)
        good = document([holder_key(tmp_path / "did.key", did)])
        resolver, path = Resolver(documents), "/.well-known/did.json"

        assert await failing(resolver, did.text) == "document: status"
        for body in (
            b"",
            b"[]",
            b"{}",
            dump({**good, "id": "did:web:other.example"}),
            dump({**good, "verificationMethod": "x"}),
            dump({**good, "verificationMethod": [{}] * 51}),
            b"[" * 100_000,
        ):
            pages.pages[path] = (200, body)
            await failing(resolver, did.text)
        pages.pages[path] = (302, dump(good))
        assert await failing(resolver, did.text) == "document: status"
        assert await failing(resolver, "did:web:other.example") == "document: host"
        pages.pages[path] = (200, dump(good))
        assert await resolver.methods(did, {}, Trail())

    with_site(identity, work)


def test_keys_of_others_private_keys_and_odd_entries_are_passed_over(
    identity: Identity, tmp_path: Path
) -> None:
    async def work(pages: Site, documents: Documents, clock: Time) -> None:
        did = did_web(pages.origin)
        good = document([holder_key(tmp_path / "did.key", did)])
        [method] = good["verificationMethod"]
        odd = [
            7,
            {},
            {**method, "id": 5},
            {**method, "id": f"{did.text}#p", "publicKeyJwk": KEY.as_dict(private=True)},
            {**method, "id": f"{did.text}#c", "controller": "did:web:other.example"},
            {**method, "id": "did:web:other.example#o"},
            {**method, "id": "#relative"},
        ]
        content = {**good, "verificationMethod": odd, "assertionMethod": ["#relative", 5]}
        pages.pages["/.well-known/did.json"] = (200, dump(content))

        found = await Resolver(documents).methods(did, {}, Trail())

        assert set(found.keys) == {"relative"}
        assert found.key(f"{did.text}#relative", ["assertionMethod"], Trail())

    with_site(identity, work)


def test_a_new_key_is_found_and_a_stranger_cannot_make_us_ask(
    identity: Identity, tmp_path: Path
) -> None:
    async def work(pages: Site, documents: Documents, clock: Time) -> None:
        did, path = did_web(pages.origin), "/.well-known/did.json"
        old, new = (holder_key(tmp_path / n, did) for n in ("old.key", "new.key"))
        pages.pages[path] = (200, dump(document([old])))
        resolver = Resolver(documents)
        await resolver.methods(did, {"kid": old.kid}, Trail())
        pages.pages[path] = (200, dump(document([new, old])))

        for _ in range(20):
            await resolver.methods(did, {"kid": f"{did.text}#guess"}, Trail())
        assert pages.hits == 1
        clock.advance(31)
        found = await resolver.methods(did, {"kid": new.kid}, Trail())

        assert found.key(new.kid, ["authentication"], Trail())
        assert pages.hits == 2

    with_site(identity, work)


def test_nobody_waits_a_second_for_a_document(identity: Identity, tmp_path: Path) -> None:
    async def work(pages: Site, documents: Documents, clock: Time) -> None:
        did, path = did_web(pages.origin), "/.well-known/did.json"
        pages.stuck = True
        began = asyncio.get_running_loop().time()

        await failing(Resolver(documents), did.text)

        assert asyncio.get_running_loop().time() - began < 1.0
        pages.stuck = False
        pages.pages[path] = (200, dump(document([holder_key(tmp_path / "did.key", did)])))

    with_site(identity, work)


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    did = did_web("https://node.example:8443", Ura.parse("90000382"))

    one, other = (holder_key(tmp_path / "did.key", did) for _ in range(2))

    assert one.kid == other.kid
    assert one.did == "did:web:node.example%3A8443:iam:90000382"
    assert (tmp_path / "did.key").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["did.key"]
    assert "d" not in document([one])["verificationMethod"][0]["publicKeyJwk"]


def test_an_address_cannot_be_a_did_web() -> None:
    with pytest.raises(LdnError) as caught:
        did_web("https://127.0.0.1:8443")
    assert caught.value.detail == "did.web"


def test_a_did_x509_is_not_resolved_without_its_chain() -> None:
    party = Uzi().party()
    issuer = jose.read(party.x509(), Trail()).claim("iss")

    assert refused(issuer) == "x5c.form"
