"""Behind an existing national gateway: its `x-gf-*` headers, from its addresses only.

Source: generic functions §2.6, rules L34-L36, L44, L45, N03.
"""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from functions.gated import NVI, PRS, gate, service
from starlette.requests import Request

from openldn.base.errors import LdnError
from openldn.fhir.identifiers import Oin, Ura
from openldn.functions.authentication.connections import Connections
from openldn.functions.authentication.gateway import guarded
from openldn.functions.authentication.headers import networks
from openldn.functions.authentication.model import Mandate, Organization, Register
from openldn.functions.authentication.profiles import SERVICES
from openldn.trust.parties import Caller, caller_of

PRACTICE, VENDOR = Ura("90000101"), "00000003876543210000"
OWN = "00000003123456780000"
REGISTER = Register((Organization(PRACTICE, Oin(OWN), "Praktijk West"),))
GATEWAY, STRANGER = "10.1.2.3", "10.9.9.9"
TO_NVI = {
    "x-gf-sub": "90000101",
    "x-gf-act-sub": VENDOR,
    "x-gf-audience": NVI,
    "x-gf-scope": "nvi:read nvi:create",
    "x-gf-cert-type": "UZI",
    "x-gf-organization-name": "Praktijk West",
    "x-gf-source-id": "ehr-7",
}
TO_PRS = {
    "x-gf-sub": OWN,
    "x-gf-act-sub": OWN,
    "x-gf-act-cn": "praktijk.example",
    "x-gf-audience": PRS,
}


class Desk:
    """A token desk that nobody asks anything."""

    connections = Connections(lambda: datetime(2027, 3, 1, tzinfo=UTC))

    def __init__(self, register: Register = REGISTER) -> None:
        self.register, self.clock = register, self.connections.clock

    async def found(self, token: str) -> Any:
        raise AssertionError("no token is looked at")


def asked(
    headers: dict[str, str] | list[tuple[str, str]],
    name: str = "localization",
    peer: str | None = GATEWAY,
    desk: Any = None,
) -> tuple[int, Caller | None]:
    """The status of the answer, and who reached the service."""
    seen: list[Request] = []
    desk = desk or Desk()
    audience = PRS if name == "pseudonyms" else NVI
    app = guarded(service(seen), gate(desk, SERVICES[name], audience, from_="10.1.2.0/24"))
    pairs = headers.items() if isinstance(headers, dict) else headers
    status = asyncio.run(_status(app, [(k.encode(), v.encode()) for k, v in pairs], peer))
    return status, caller_of(seen[0].scope) if seen else None


async def _status(app: Any, headers: list[tuple[bytes, bytes]], peer: str | None) -> int:
    messages: list[Any] = []
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/fhir/List",
        "raw_path": b"/fhir/List",
        "query_string": b"",
        "headers": headers,
        "client": (peer, 40000) if peer else None,
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        messages.append(message)

    await app(scope, receive, send)
    return int(messages[0]["status"])


def test_the_headers_of_the_index_say_who_calls() -> None:
    status, caller = asked(TO_NVI)

    assert status == 200
    assert caller == Caller(
        PRACTICE,
        frozenset({"nvi:read", "nvi:create"}),
        Oin(OWN),
        VENDOR,
        "ehr-7",
        NVI,
        "Praktijk West",
    )


def test_the_headers_of_the_pseudonym_service_have_an_oin_and_no_scope() -> None:
    status, caller = asked(TO_PRS, "pseudonyms")

    assert status == 200
    assert caller is not None
    assert (caller.organization, caller.oin, caller.acting) == (PRACTICE, Oin(OWN), "")
    assert caller.scopes == {"prs:read"}


@pytest.mark.parametrize("name", [n for n in TO_NVI if n != "x-gf-source-id"])
def test_l36_a_missing_header_is_400_at_the_index(name: str) -> None:
    assert asked({k: v for k, v in TO_NVI.items() if k != name}) == (400, None)


@pytest.mark.parametrize("name", list(TO_PRS))
def test_l36_a_missing_header_is_403_at_the_pseudonym_service(name: str) -> None:
    shown = {k: v for k, v in TO_PRS.items() if k != name}

    assert asked(shown, "pseudonyms") == (403, None)


def test_l36_a_header_that_comes_twice_is_as_good_as_none() -> None:
    twice = [*TO_NVI.items(), ("x-gf-sub", "90000382")]

    assert asked(twice) == (400, None)


def test_l35_another_audience_is_refused_as_each_service_says() -> None:
    assert asked(TO_NVI | {"x-gf-audience": "other"}) == (401, None)
    assert asked(TO_PRS | {"x-gf-audience": "other"}, "pseudonyms") == (403, None)


@pytest.mark.parametrize("words", ["foo", "nvi:read foo", "epd:read", "prs:read"])
def test_l34_a_scope_word_that_the_service_does_not_have_is_400(words: str) -> None:
    assert asked(TO_NVI | {"x-gf-scope": words}) == (400, None)


def test_l45_a_short_ura_is_padded_and_anything_else_is_refused() -> None:
    _, caller = asked(TO_NVI | {"x-gf-sub": "123"})

    assert caller is not None and caller.organization == Ura("00000123")
    for wrong in ("900001011", "9000010a", "+123"):
        assert asked(TO_NVI | {"x-gf-sub": wrong}) == (400, None)


def test_an_oin_of_nobody_we_know_is_refused() -> None:
    assert asked(TO_PRS | {"x-gf-sub": VENDOR}, "pseudonyms") == (403, None)


@pytest.mark.parametrize("peer", [STRANGER, "10.1.3.1", "::1", "not an address", None])
def test_n03_the_headers_count_from_the_listed_addresses_only(peer: str | None) -> None:
    assert asked(TO_NVI, peer=peer) == (401, None)


def test_the_same_address_in_the_clothes_of_the_other_version_counts() -> None:
    assert asked(TO_NVI, peer=f"::ffff:{GATEWAY}")[0] == 200


def test_from_the_gateway_a_request_without_headers_is_refused_too() -> None:
    assert asked({}) == (400, None)


def test_what_is_no_network_is_refused_at_the_start() -> None:
    with pytest.raises(LdnError, match=r"10\.1\.2\.3/8"):
        networks(["10.1.2.3/8"])


def test_a_number_twice_in_the_register_is_refused_at_the_start() -> None:
    one = Organization(PRACTICE, Oin(OWN))

    with pytest.raises(LdnError, match="twice"):
        Register((one, Organization(Ura("90000382"), Oin(OWN))))
    assert Register((one,), (Mandate(PRACTICE, VENDOR),)).by_ura(PRACTICE) == one
