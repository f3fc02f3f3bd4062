"""did:x509 resolution: trust and broker §1; Nuts RFC023 §3; rules R56, R57, R58, R62, R64."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier
from trust.credentials.kit import Uzi, other_name, uzi_number

from openldn.base.errors import LdnError
from openldn.trust import jose
from openldn.trust.certificates.keys import Signing
from openldn.trust.credentials.did import parse
from openldn.trust.credentials.did_x509 import fingerprint, leaf_says, name_of
from openldn.trust.credentials.resolver import Methods, Resolver
from openldn.trust.trail import Trail

UZI = Uzi()
SIGNING = UZI.signing()
OTHER = Uzi()
NUMBER = uzi_number("90000382")


def did_of(
    policies: str, algorithm: str = "sha256", authority: x509.Certificate | None = None
) -> str:
    pin = fingerprint(authority or UZI.issuing, algorithm)
    return f"did:x509:0:{algorithm}:{pin}::{policies}"


def resolved(did: str, x5c: object = None, **header: Any) -> Methods:
    whole = {"x5c": SIGNING.x5c if x5c is None else x5c, **header}
    return asyncio.run(Resolver(None).methods(parse(did), whole, Trail()))


def refused(did: str, x5c: object = None, **header: Any) -> str:
    with pytest.raises(LdnError) as caught:
        resolved(did, x5c, **header)
    return caught.value.detail


def x5c(*certificates: x509.Certificate) -> list[str]:
    return Signing(SIGNING.key, certificates).x5c


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_the_chain_gives_the_key_of_its_leaf(algorithm: str) -> None:
    found = resolved(did_of("subject:O:Ziekenhuis%20Oost:L:Amsterdam", algorithm))

    key = found.key(f"{found.did}#0", ["assertionMethod"], Trail())
    assert jose.public_jwk(key) == jose.public_jwk(SIGNING.key)


def _bad_chains() -> Sequence[tuple[str, object, str]]:
    leaf, issuing, root = SIGNING.chain
    return [
        ("one certificate", x5c(leaf), "x5c.form"),
        ("no list", "text", "x5c.form"),
        ("not base64", ["%%", "%%"], "x5c.form"),
        ("not certificates", ["AAAA", "AAAA"], "x5c.form"),
        ("numbers", [1, 2, 3], "x5c.form"),
        ("root first", x5c(root, issuing, leaf), "x5c.order"),
        ("one left out", x5c(leaf, root), "x5c.order"),
        ("one too many", x5c(leaf, issuing, root, OTHER.root), "x5c.order"),
        ("root twice", x5c(leaf, issuing, root, root), "x5c.order"),
        ("without its root", x5c(leaf, issuing), "x5c.root"),
        ("of another authority", x5c(leaf, OTHER.issuing, OTHER.root), "x5c.order"),
    ]


BAD_CHAINS = _bad_chains()


@pytest.mark.parametrize(("what", "chain", "code"), BAD_CHAINS, ids=[c[0] for c in BAD_CHAINS])
def test_r56_anything_but_the_exact_chain_is_refused(what: str, chain: object, code: str) -> None:
    assert refused(did_of("subject:L:Amsterdam"), chain) == code


def test_r56_the_fingerprint_of_the_leaf_is_refused() -> None:
    assert refused(did_of("subject:L:Amsterdam", authority=SIGNING.chain[0])) == "x509.fingerprint"
    assert refused(did_of("subject:L:Amsterdam", authority=OTHER.issuing)) == "x509.fingerprint"


@pytest.mark.parametrize(
    "policies",
    [
        "subject:O:Ziekenhuis%20West",
        "subject:O:ziekenhuis%20oost",
        "subject:O:Ziekenhuis%20Oost::subject:O:Ander",
        "subject:L:Amsterdam::san:otherName:1-2-3",
        "san:dns:node.example",
        "subject:ST:Amsterdam",
        "eku:1.3.6.1.5.5.7.3.1",
    ],
)
def test_everything_the_did_says_must_stand_in_the_leaf(policies: str) -> None:
    assert refused(did_of(policies)) == "x509.policy"


def test_every_kind_of_alternative_name_and_usage_can_be_said() -> None:
    names = [
        other_name(NUMBER),
        x509.RFC822Name("a@b.example"),
        x509.DNSName("node.example"),
        x509.UniformResourceIdentifier("https://node.example/"),
    ]
    signing = UZI.signing(alternatives=names, eku=[ObjectIdentifier("1.3.6.1.5.5.7.3.36")])
    says = (
        f"san:otherName:{NUMBER}::san:email:a%40b.example::san:dns:node.example"
        "::san:uri:https%3A%2F%2Fnode.example%2F::eku:1.3.6.1.5.5.7.3.36"
    )

    assert resolved(did_of(says), signing.x5c).keys


@pytest.mark.parametrize("tag", [0x0C, 0x13, 0x16])
def test_r64_the_number_is_read_in_each_kind_of_string_and_beside_others(tag: int) -> None:
    stranger = x509.OtherName(ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), bytes((0x0C, 1)) + b"x")
    signing = UZI.signing(alternatives=[stranger, other_name(NUMBER, tag)])

    assert resolved(did_of(f"san:otherName:{NUMBER}"), signing.x5c).keys
    assert refused(did_of("san:otherName:x"), signing.x5c) == "x509.policy"


def test_the_key_is_for_what_the_certificate_says() -> None:
    agreement = UZI.signing(usage={"key_agreement": True})
    neither = UZI.signing(usage={"key_encipherment": True})
    did = did_of("subject:L:Amsterdam")

    found = resolved(did, agreement.x5c)
    assert found.key(f"{did}#0", ["keyAgreement"], Trail())
    with pytest.raises(LdnError) as caught:
        found.key(f"{did}#0", ["assertionMethod"], Trail())
    assert caught.value.detail == "did.key"
    assert refused(did, neither.x5c) == "x509.usage"


def test_the_thumbprint_in_the_header_is_that_of_the_leaf() -> None:
    did = did_of("subject:L:Amsterdam")

    assert resolved(did, **{"x5t#S256": SIGNING.thumbprint}).keys
    assert refused(did, **{"x5t#S256": fingerprint(UZI.issuing)}) == "x509.x5t"


def test_the_name_we_make_resolves_and_is_pinned_at_the_issuing_authority() -> None:
    did = name_of(SIGNING.chain, sorted(leaf_says(SIGNING.chain[0])))

    found = resolved(did)

    assert found.authority == UZI.issuing
    assert "::san:otherName:2.16.528" in did


def test_a_did_x509_without_a_chain_is_refused() -> None:
    with pytest.raises(LdnError) as caught:
        asyncio.run(Resolver(None).methods(parse(did_of("subject:L:Amsterdam")), {}, Trail()))

    assert caught.value.detail == "x5c.form"
