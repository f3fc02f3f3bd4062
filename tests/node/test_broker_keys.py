"""The keys of the broker a node agreed with, as they are published (RFC 7517 §5)."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from openldn.base.errors import LdnError
from openldn.node.believing import _keys
from openldn.trust import jose

KEY = jose.key_of(ec.generate_private_key(ec.SECP256R1()))
OURS = jose.public_jwk(KEY) | {"kid": "one"}


def published(*keys: Any) -> bytes:
    return json.dumps({"keys": keys}).encode()


def test_a_key_of_a_kind_we_do_not_know_leaves_the_others_in_use() -> None:
    found = _keys(published({"kty": "AKP", "kid": "new"}, OURS, "?"), None)

    assert set(found) == {"one"}


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"keys": 5}', b'{"keys": null}', b"\xff"])
def test_what_is_no_key_set_is_refused(body: bytes) -> None:
    with pytest.raises(LdnError):
        _keys(body, None)
