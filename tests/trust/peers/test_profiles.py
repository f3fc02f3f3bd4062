"""Peer profiles are checked data: trust and broker §4, §8; rule R55."""

import json
from importlib.resources import files
from typing import Any, get_args

import msgspec
import pytest

from openldn.base.errors import Issue, LdnError
from openldn.trust import jose, peers

FOLDER = files(peers)
PLAIN: dict[str, Any] = {
    "name": "x",
    "wire": "T",
    "token_in": ["D2"],
    "token_out": [],
    "alg_in": {},
    "alg_out": {},
}
# peer -> object -> what it may sign with, as the spec's table has it
MAY = {
    ("nuts-6", "credential"): {"PS256", "ES256", "EdDSA"},
    ("nuts-6", "presentation"): {"ES256"},
    ("ig-2026", "credential"): {"PS256", "ES256", "RS256"},
    ("twiin", "assertion"): {"PS256", "ES512"},
    ("lsp-nuts", "credential"): {"RS256"},
    ("lsp-nuts", "assertion"): {"ES512"},
    ("viplive", "assertion"): {"PS256"},
    ("minvws", "client_assertion"): {"RS256"},
}
MAY_NOT = {
    ("nuts-6", "credential"): {"RS256"},
    ("nuts-6", "presentation"): {"RS256"},
    ("twiin", "assertion"): {"RS256", "EdDSA"},
    ("lsp-nuts", "assertion"): {"PS256", "RS256"},
    ("viplive", "assertion"): {"ES512", "RS256"},
    ("minvws", "client_assertion"): {"PS256"},
}


def written(**changes: Any) -> bytes:
    return json.dumps(PLAIN | changes).encode()


def test_the_schema_beside_the_profiles_is_that_of_the_struct() -> None:
    kept = (FOLDER / "schema.json").read_bytes()
    message = "run: python -c 'from openldn.trust import peers; print(peers.schema().decode())'"
    assert kept == peers.schema(), message


def test_every_profile_file_is_read_and_named_after_its_file() -> None:
    names = [f.name.removesuffix(".json") for f in (FOLDER / "data").iterdir()]
    assert sorted(n for n in names if n.isidentifier() or "-" in n) == list(peers.profiles())


def test_the_algorithms_one_can_write_are_those_we_can_verify() -> None:
    listed = [a for part in get_args(peers.Jose) for a in get_args(part) or (part,)]
    assert sorted(listed) == sorted(jose.ALGORITHMS)


@pytest.mark.parametrize("side", ["alg_in", "alg_out"])
@pytest.mark.parametrize("name", list(peers.profiles()))
def test_no_profile_knows_none_or_a_shared_secret(name: str, side: str) -> None:
    kinds = msgspec.structs.asdict(getattr(peers.profile(name), side))
    assert not [a for listed in kinds.values() for a in listed if a == "none" or a[:2] == "HS"]


@pytest.mark.parametrize(("peer", "kind"), sorted(MAY))
def test_a_peer_may_use_its_own_algorithms(peer: str, kind: str) -> None:
    assert MAY[peer, kind] <= set(getattr(peers.profile(peer).alg_in, kind))


@pytest.mark.parametrize(("peer", "kind"), sorted(MAY_NOT))
def test_a_peer_may_not_use_those_of_another(peer: str, kind: str) -> None:
    assert not MAY_NOT[peer, kind] & set(getattr(peers.profile(peer).alg_in, kind))


@pytest.mark.parametrize("name", list(peers.profiles()))
def test_what_we_sign_for_a_peer_is_what_it_would_take_of_us(name: str) -> None:
    found = peers.profile(name)
    ours, theirs = (msgspec.structs.asdict(a) for a in (found.alg_out, found.alg_in))
    assert all(set(ours[kind]) <= set(theirs[kind]) for kind in ours)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"{", "truncated"),
        (b"\xff", ""),
        (b"[]", "Expected `object`"),
        (written(alg_in={"assertion": ["HS256"]}), "Invalid enum value 'HS256'"),
        (written(alg_in={"assertion": ["none"]}), "Invalid enum value 'none'"),
        (written(alg_in={"asertion": []}), "unknown field `asertion`"),
        (written(wire="Q"), "Invalid enum value 'Q'"),
        (written(token_in=["D11"]), "Invalid enum value 'D11'"),
        (written(revocation="never"), "Invalid enum value 'never'"),
        (written(skew=3600), "<= 60"),
        (written(lifetimes={"presentation": 0}), ">= 1"),
        (written(reply=500), "Invalid enum value 500"),
        (written(quirks=["wears-a-hat"]), "no quirk wears-a-hat"),
        (written(colour="red"), "unknown field `colour`"),
    ],
    ids=lambda v: v[:30] if isinstance(v, bytes) else str(v),
)
def test_a_profile_that_says_something_else_is_refused(content: bytes, word: str) -> None:
    with pytest.raises(LdnError) as error:
        peers.load(content, "x.json")
    assert error.value.issue is Issue.INVALID
    assert "peer profile x.json" in error.value.message
    assert word in error.value.message


def test_an_unknown_profile_is_refused_with_the_list() -> None:
    with pytest.raises(LdnError, match="choose from fsc, ig-2026"):
        peers.profile("telex")
