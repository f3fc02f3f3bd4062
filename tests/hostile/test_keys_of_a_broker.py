"""A key that a broker withdrew is believed for less than a minute more, its tokens too. R61."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from openldn.base.errors import LdnError
from openldn.base.http import HttpClient, Reply
from openldn.fhir.codec import dump
from openldn.node.believing import Registered
from openldn.trust import jose
from openldn.trust.credentials.did import parse
from openldn.trust.credentials.resolver import Resolver
from openldn.trust.documents import Documents, hosts
from openldn.trust.tokens.ports import Peer
from openldn.trust.trail import Trail

BROKER = "https://broker.example/oauth2/broker"
DID = "did:web:broker.example"


def fresh_jwk() -> dict[str, Any]:
    return jose.public_jwk(jose.key_of(ec.generate_private_key(ec.SECP256R1())))


class Published(HttpClient):
    """What a broker publishes: its keys by name."""

    def __init__(self, *names: str) -> None:
        self.now = datetime(2026, 11, 1, 12, tzinfo=UTC)
        self.names: tuple[str, ...] | None = names
        self.jwk = fresh_jwk()

    def clock(self) -> datetime:
        return self.now

    async def send(self, method: str, url: str, **other: object) -> Reply:
        if self.names is None:
            return Reply(404, {}, b"")
        return Reply(200, {}, dump(self._document() if url.endswith("did.json") else self._keys()))

    def _keys(self) -> dict[str, Any]:
        odd = {"kty": "oct", "k": "AAAA", "kid": "shared"}
        return {"keys": [*({**self.jwk, "kid": n} for n in self.names or ()), odd]}

    def _document(self) -> dict[str, Any]:
        ids = [f"{DID}#{n}" for n in self.names or ()]
        methods = [{"id": i, "controller": DID, "publicKeyJwk": self.jwk} for i in ids]
        return {"id": DID, "verificationMethod": methods, "assertionMethod": ids}

    def documents(self) -> Documents:
        return Documents(lambda _: self, hosts(["broker.example"]), self.clock)


async def later(there: Published, seconds: float, every: float, ask: Any) -> None:
    """Time passes while a busy holder keeps asking."""
    for _ in range(int(seconds / every)):
        there.now += timedelta(seconds=every)
        try:
            await ask()
        except LdnError:
            continue
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)


@pytest.mark.parametrize("names", [("new",), None], ids=["replaced", "gone"])
def test_a_withdrawn_key_signs_nothing_after_a_minute(names: tuple[str, ...] | None) -> None:
    async def case() -> None:
        there = Published("old")
        registered = Registered(BROKER, there.documents())
        peer = await registered(BROKER, "old")
        assert peer is not None
        assert await registered.still(peer.evidence)
        there.names, there.jwk = names, fresh_jwk()

        async def ask() -> Peer | None:
            return await registered(BROKER, "old")

        await later(there, 60, 10, ask)

        with pytest.raises((LdnError, AssertionError)):
            assert await ask() is not None
        if names is None:
            await later(there, 600, 60, ask)
        with pytest.raises((LdnError, AssertionError)):
            assert await registered.still(peer.evidence)

    asyncio.run(case())


def test_a_key_of_another_kind_beside_it_does_not_shut_the_broker_out() -> None:
    there = Published("old")
    assert asyncio.run(Registered(BROKER, there.documents())(BROKER, "old")) is not None
    assert asyncio.run(Registered(BROKER, there.documents())(BROKER, "shared")) is None
    assert asyncio.run(Registered(BROKER, there.documents())(BROKER, "None")) is None


def test_nobody_else_is_asked_for_keys() -> None:
    there = Published("old")
    registered = Registered(BROKER, there.documents())
    for issuer in ("https://BROKER.example/oauth2/broker", BROKER + "/", BROKER + "/../x", DID):
        assert asyncio.run(registered(issuer, "old")) is None


@pytest.mark.parametrize(("names", "seconds"), [(("new",), 60), (None, 620)])
def test_nor_does_it_sign_credentials_or_lists(
    names: tuple[str, ...] | None, seconds: float
) -> None:
    async def case() -> None:
        there = Published("old")
        resolver = Resolver(there.documents())

        async def ask() -> object:
            methods = await resolver.methods(parse(DID), {"kid": f"{DID}#old"}, Trail())
            return methods.key(f"{DID}#old", ("assertionMethod",), Trail())

        await ask()
        there.names, there.jwk = names, fresh_jwk()
        await later(there, seconds, 10, ask)

        with pytest.raises(LdnError):
            await ask()

    asyncio.run(case())
