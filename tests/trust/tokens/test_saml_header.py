"""The header `Authorization: SAML`: base64 (Zorgplatform) and base64url (AORTA)."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from trust.parties import HOSPITAL, PRACTICE, requester

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.trust.tokens.api import shown
from openldn.trust.tokens.model import Binding, Grant
from openldn.trust.tokens.presence import Presence

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def header(value: str) -> Request:
    raw = [(b"authorization", value.encode("latin-1"))]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": raw, "query_string": b""}
    return Request(scope)


async def known(ura: Ura) -> bool:
    return ura == PRACTICE


def read_by(value: str) -> bytes:
    """What the reader of assertions is given for this header."""
    seen: list[bytes] = []

    async def read(assertion: bytes, certificate: bytes) -> Grant:
        seen.append(assertion)
        ends = NOW + timedelta(minutes=5)
        return Grant("id", requester(), HOSPITAL, Binding(), NOW, ends)

    presence = Presence(HOSPITAL, None, lambda: NOW, known, 10)  # type: ignore[arg-type]  # unused
    asyncio.run(presence.by_saml(shown(header(value), "https://holder.example"), read))
    return seen[0]


@given(st.binary(min_size=1, max_size=300))
def test_both_spellings_of_an_assertion_are_the_same(content: bytes) -> None:
    plain, url = base64.b64encode(content).decode(), base64.urlsafe_b64encode(content).decode()

    for spelled in (plain, url, url.rstrip("=")):
        assert read_by(f"SAML {spelled}") == content


@pytest.mark.parametrize("value", ["SAML", "SAML ", "SAML %%%", "SAML a b", "SAML é", "SAML A"])
def test_what_is_no_base64_opens_nothing(value: str) -> None:
    with pytest.raises(LdnError) as caught:
        read_by(value)

    assert caught.value.issue is Issue.LOGIN
