"""Chains in an `x5c` header, and trust in intermediates. Source: Nuts RFC023 §5; rules R56, R62."""

import base64
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from trust.parties import HOSPITAL, World

from openldn.base.errors import Issue, LdnError
from openldn.trust.certificates.chain import (
    AUTHORITY,
    ORDER,
    ROOT,
    X5C,
    Anchors,
    leaf_first,
    ordered_chain,
)
from openldn.trust.certificates.issue import create_authority
from openldn.trust.trail import Rule, Trail


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("chain"))


def chain(world: World) -> list[x509.Certificate]:
    """Leaf, issuing authority, root."""
    path = world.folder / str(HOSPITAL) / "signing.pem"
    return [*x509.load_pem_x509_certificates(path.read_bytes()), *world.anchors.certificates]


def x5c(certificates: list[x509.Certificate]) -> list[str]:
    ders = (c.public_bytes(serialization.Encoding.DER) for c in certificates)
    return [base64.b64encode(der).decode() for der in ders]


def refused(header: object, rule: Rule) -> None:
    trail = Trail(issue=Issue.INVALID)
    with pytest.raises(LdnError) as caught:
        ordered_chain(header, trail)
    assert (caught.value.issue, caught.value.detail) == (Issue.INVALID, rule.code)


def test_a_chain_from_leaf_to_root_is_read(world: World) -> None:
    assert list(ordered_chain(x5c(chain(world)), Trail())) == chain(world)


def test_one_certificate_is_no_chain(world: World) -> None:
    refused(x5c(chain(world)[:1]), X5C)
    refused(x5c(chain(world)[2:]), X5C)


def test_another_order_is_refused(world: World) -> None:
    leaf, issuing, root = chain(world)

    for order in ([issuing, leaf, root], [root, issuing, leaf], [leaf, root, issuing]):
        refused(x5c(order), ORDER)


def test_a_certificate_that_does_not_belong_is_refused(world: World, tmp_path: Path) -> None:
    create_authority(tmp_path, world.clock)
    stranger = Anchors.load(tmp_path / "ca.pem").certificates[0]
    leaf, issuing, root = chain(world)

    for extra in ([leaf, issuing, root, stranger], [stranger, leaf, issuing, root]):
        refused(x5c(extra), ORDER)
    refused(x5c([leaf, issuing, root, root]), ORDER)
    refused(x5c([leaf, leaf, issuing, root]), ORDER)


def test_a_chain_without_its_root_is_refused_where_the_root_is_asked(world: World) -> None:
    refused(x5c(chain(world)[:2]), ROOT)

    assert len(ordered_chain(x5c(chain(world)[:2]), Trail(), root=False)) == 2


def test_the_owner_of_a_certificate_cannot_issue_another_below_it(world: World) -> None:
    leaf, issuing, root = chain(world)
    content = (world.folder / str(HOSPITAL) / "signing.key").read_bytes()
    key = serialization.load_pem_private_key(content, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    forged = (
        x509.CertificateBuilder()
        .subject_name(leaf.subject)
        .issuer_name(leaf.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(world.clock() - timedelta(days=1))
        .not_valid_after(world.clock() + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )

    refused(x5c([forged, leaf, issuing, root]), AUTHORITY)


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", "text", {}, [], 7, [1, 2], [None, None], ["", ""], ["AA==", "AA=="]),
        *(["not base64!", "AAAA"], ["A" * 60_000] * 2, ["QQ=="] * 6, [["AAAA"], ["AAAA"]]),
    ],
)
def test_what_is_no_list_of_certificates_is_refused(header: object) -> None:
    refused(header, X5C)


def test_the_url_alphabet_is_not_that_of_x5c(world: World) -> None:
    url = [t.replace("+", "-").replace("/", "_").rstrip("=") for t in x5c(chain(world))]

    refused(url, X5C)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_changed_byte_anywhere_in_the_chain_is_refused_and_never_breaks(
    world: World, data: st.DataObject
) -> None:
    ders = [bytearray(c.public_bytes(serialization.Encoding.DER)) for c in chain(world)]
    victim = ders[data.draw(st.integers(0, 2))]
    place = data.draw(st.integers(0, len(victim) - 1))
    victim[place] ^= data.draw(st.integers(1, 255))
    header = [base64.b64encode(bytes(der)).decode() for der in ders]
    trail = Trail()

    with pytest.raises(LdnError):
        found = ordered_chain(header, trail)
        # bits that the signature does not cover do not count: the chain is still the same one
        assert [c.tbs_certificate_bytes for c in found] == [
            c.tbs_certificate_bytes for c in chain(world)
        ]
        raise trail.refusal(ORDER)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=2, max_size=5))
def test_random_bytes_are_never_a_chain(ders: list[bytes]) -> None:
    with pytest.raises(LdnError):
        ordered_chain([base64.b64encode(der).decode() for der in ders], Trail())


def test_the_leaf_of_a_bag_is_the_one_that_issued_none(world: World) -> None:
    leaf, issuing, root = chain(world)

    for bag in ([issuing, root, leaf], [root, leaf, issuing], [leaf]):
        assert leaf_first(bag)[0] == leaf
    for unclear in ([root], [], [leaf, chain(world)[0], leaf]):
        with pytest.raises(LdnError):
            leaf_first(unclear)


def test_an_intermediate_is_an_anchor_of_its_own(world: World) -> None:
    leaf, issuing, _ = chain(world)

    path = Anchors((issuing,), issuing_only=True).path([leaf], world.clock())

    assert path == (leaf, issuing)


def test_a_root_vouches_for_too_many_where_the_issuing_authority_is_asked(world: World) -> None:
    leaf, issuing, root = chain(world)

    Anchors((root,)).check([leaf, issuing], world.clock())
    with pytest.raises(LdnError) as caught:
        Anchors((root,), issuing_only=True).check([leaf, issuing], world.clock())

    assert caught.value.detail == "chain: issuing"
