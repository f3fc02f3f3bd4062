"""The Merkle tree of the log: RFC 9162 §2.1, against its definition written down plainly."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openldn.functions.audit.merkle import (
    EMPTY,
    Grown,
    Peaks,
    consistency,
    includes,
    inclusion,
    leaf,
    peaks,
    root,
)

LEAVES = [f"event {n}".encode() for n in range(600)]


def plain(leaves: list[bytes]) -> bytes:
    """MTH as RFC 9162 §2.1.1 defines it."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + plain(leaves[:k]) + plain(leaves[k:])).digest()


def ranged(leaves: list[bytes], ranges: list[tuple[int, int]]) -> list[bytes]:
    return [plain(leaves[a:b]) for a, b in ranges]


def test_the_hashes_of_the_test_vectors_of_certificate_transparency() -> None:
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
    leaves = [bytes.fromhex(text) for text in inputs]
    leaves.append(bytes(range(0x60, 0x70)))

    assert root([leaf(x) for x in leaves[:1]]).hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )
    assert root([leaf(x) for x in leaves]).hex() == (
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    )


@given(st.integers(0, 600))
def test_a_tree_that_grows_and_one_made_at_once_are_the_definition(size: int) -> None:
    grown = Peaks()
    for content in LEAVES[:size]:
        grown.add(content)

    assert grown.root == root([leaf(x) for x in LEAVES[:size]]) == plain(LEAVES[:size])
    assert grown.hashes == ranged(LEAVES, peaks(size))
    assert size or grown.root == EMPTY


@given(st.data())
def test_each_event_is_proven_to_be_in_the_tree_and_no_other_is(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 300))
    place = data.draw(st.integers(0, size - 1))
    proof = ranged(LEAVES, inclusion(place, size))
    top = plain(LEAVES[:size])

    assert includes(LEAVES[place], place, size, proof, top)
    assert not includes(b"another", place, size, proof, top)
    assert not includes(LEAVES[place], place, size, [*proof, EMPTY], top)
    assert not proof or not includes(LEAVES[place], place, size, proof[:-1], top)
    other = data.draw(st.integers(0, size))
    assert other == place or not includes(LEAVES[place], other, size, proof, top)


@given(st.data())
def test_a_later_tree_is_proven_to_begin_with_an_earlier_one(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 300))
    old = data.draw(st.integers(0, size))
    proof = ranged(LEAVES, consistency(old, size))
    heads = Grown(old, plain(LEAVES[:old]), size, plain(LEAVES[:size]))

    assert heads.proven(proof)
    assert not heads.proven([*proof, EMPTY])
    if old:
        assert not Grown(old, EMPTY, size, heads.root).proven(proof)
        assert not Grown(old, heads.old_root, size, EMPTY).proven(proof)
    if proof:
        assert not heads.proven(proof[1:])


@pytest.mark.parametrize(("place", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_a_place_outside_the_tree_is_never_proven(place: int, size: int) -> None:
    assert not includes(b"", place, size, [], leaf(b""))
