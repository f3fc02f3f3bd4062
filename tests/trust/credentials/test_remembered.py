"""What is remembered of a credential changes no verdict, and never what may change by itself."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trust.credentials.kit import Party, Site, Time, Uzi, holder, opened, resigned, site

from openldn.base.errors import LdnError
from openldn.base.http import Identity
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates.issue import Subject, create_authority, issue_server
from openldn.trust.credentials.credential import Asked, Credentials, Trust
from openldn.trust.credentials.issue import holder_issuer, issue_credential
from openldn.trust.credentials.keeping import did_web, document, holder_key
from openldn.trust.credentials.paths import found, path
from openldn.trust.credentials.resolver import Resolver
from openldn.trust.documents import Documents
from openldn.trust.peers import profile
from openldn.trust.trail import Trail

UZI = Uzi()
HOSPITAL, PRACTICE = UZI.party(), UZI.party("90000101", "Huisartsenpraktijk West")
DELEGATION = {"hasDelegation": {"delegatedBy": {"identifier": {"value": "90000382"}}}}
KIND = "ServiceProviderDelegationCredential"
TEXTS = (
    HOSPITAL.x509(),
    HOSPITAL.x509(life=timedelta(hours=1)),
    HOSPITAL.provider(),
    PRACTICE.provider(),
    HOSPITAL.says(KIND, DELEGATION, PRACTICE.holder.did),
    PRACTICE.says(KIND, DELEGATION, HOSPITAL.holder.did),
    HOSPITAL.says("OddCredential", {"colour": "blue"}),
    resigned(HOSPITAL.x509(), HOSPITAL.signing.key, jti="other"),
    resigned(HOSPITAL.x509(), PRACTICE.signing.key),
    resigned(HOSPITAL.provider(), HOSPITAL.signing.key, sub=PRACTICE.holder.did),
)
TRUST = Trust(UZI.trust.issuing, {"OddCredential": frozenset({HOSPITAL.holder.did})})


def credentials(remembered: int, trust: Trust = TRUST) -> Credentials:
    return Credentials(Resolver(None), UZI.belief, trust, remembered=remembered)


def verdict(chosen: Credentials, text: str, asked: Asked) -> tuple[object, ...]:
    """The credential or the refusal, and every check that was made."""
    trail = Trail()
    try:
        outcome: object = asyncio.run(chosen.verify(text, asked, trail))
    except LdnError as error:
        outcome = error.issue, error.detail, error.message
    return outcome, tuple(trail)


def mixed(parts: tuple[int, int, int]) -> str:
    """A header, a payload and a signature, each of another credential perhaps."""
    return ".".join(TEXTS[one].split(".")[place] for place, one in enumerate(parts))


def mutated(text: str, at: int, other: str) -> str:
    place = at % len(text)
    return text[:place] + other + text[place + 1 :]


number = st.integers(0, len(TEXTS) - 1)
texts = st.one_of(
    st.sampled_from(TEXTS),
    st.tuples(number, number, number).map(mixed),
    st.builds(mutated, st.sampled_from(TEXTS), st.integers(0, 9999), st.sampled_from("AZaz09_-.")),
)
parties = st.sampled_from((HOSPITAL.holder.did, PRACTICE.holder.did, "90000382", "382"))
asks = st.builds(
    Asked,
    now=st.sampled_from((0, 1, 3, 8800)).map(lambda hours: UZI.clock() + timedelta(hours=hours)),
    profile=st.sampled_from(("nuts-6", "ig-2026", "lsp-nuts")).map(profile),
    types=st.sampled_from((frozenset(), frozenset({"OddCredential"}))),
    holder=st.sampled_from(("", HOSPITAL.holder.did, PRACTICE.holder.did)),
    delegators=st.frozensets(parties),
)


revocations = st.lists(st.sampled_from((HOSPITAL, PRACTICE)), max_size=1)


@settings(max_examples=300, deadline=None)
@given(st.lists(texts, min_size=1, max_size=2), st.lists(asks, min_size=2, max_size=5), revocations)
def test_what_was_seen_before_is_judged_as_what_was_not(
    shown: list[str], asked: list[Asked], revoked: list[Party]
) -> None:
    warm = credentials(4)
    UZI.belief.revoked = {party.signing.thumbprint for party in revoked}
    try:
        for one, text in product(asked, shown):
            assert verdict(warm, text, one) == verdict(credentials(0), text, one)
        UZI.belief.revoked = set()
        for one, text in product(asked, shown):
            assert verdict(warm, text, one) == verdict(credentials(0), text, one)
    finally:
        UZI.belief.revoked = set()


def test_a_certificate_that_is_revoked_refuses_what_is_remembered() -> None:
    authority = Uzi()
    party = authority.party()
    chosen, text = authority.verifier().credentials, party.provider()
    asyncio.run(chosen.verify(text, authority.asked(), Trail()))

    authority.belief.revoked.add(party.signing.thumbprint)

    with pytest.raises(LdnError) as caught:
        asyncio.run(chosen.verify(text, authority.asked(), Trail()))
    assert caught.value.detail == "test.revoked"


def test_only_what_is_believed_is_remembered_and_no_more_than_there_is_room_for() -> None:
    chosen = credentials(2)
    stranger = Uzi(root_name="Another Root CA").party()
    for text in (stranger.x509(), TEXTS[8], HOSPITAL.x509(life=timedelta(seconds=-60))):
        verdict(chosen, text, UZI.asked())
    assert not chosen._seen

    for _ in range(5):
        verdict(chosen, HOSPITAL.provider(), UZI.asked())
    assert len(chosen._seen) == 2


def test_what_is_large_is_read_anew() -> None:
    chosen = credentials(2)
    name = {"name": "x" * 20_000}
    large = HOSPITAL.says("OddCredential", name)
    asked = UZI.asked(types=frozenset({"OddCredential"}))

    asyncio.run(chosen.verify(large, asked, Trail()))

    assert not chosen._seen


def test_a_key_that_a_did_web_no_longer_has_refuses_what_is_remembered(tmp_path: Path) -> None:
    create_authority(tmp_path)
    issue_server(tmp_path / "node", Subject(Ura("90000382"), "Ziekenhuis Oost"))
    files = (tmp_path / "node/server.pem", tmp_path / "node/server.key", tmp_path / "ca.pem")

    async def work(pages: Site, documents: Documents, clock: Time) -> None:
        did = did_web(pages.origin)
        old, new = (holder_key(tmp_path / f"{n}.key", did) for n in ("old", "new"))
        text = issue_credential(
            holder_issuer(old), "OddCredential", {"id": holder().did}, Uzi(clock).making()
        )
        trust = Trust(frozenset(), {"OddCredential": frozenset({old.did})})
        chosen = Credentials(Resolver(documents), Uzi(clock).belief, trust)

        async def outcome() -> str:
            asked = Asked(clock(), profile("nuts-6"), frozenset({"OddCredential"}))
            trail = Trail()
            try:
                await chosen.verify(text, asked, trail)
            except LdnError as error:
                assert trail.failed is not None
                return error.detail
            return ""

        async def publish(*keys: Any) -> None:
            pages.pages["/.well-known/did.json"] = (200, dump(document(keys)))
            clock.advance(5 * 3600)  # beyond what an old copy may be used

        await publish(old)
        assert [await outcome(), await outcome()] == ["", ""]
        await publish(old, new)
        assert await outcome() == ""
        await publish(new)
        assert await outcome() == "did.key"

    async def run() -> None:
        clock = Time()
        async with site(clock, Identity(*files)) as (pages, documents):
            await work(pages, documents, clock)

    asyncio.run(run())


names = st.sampled_from(("a", "b", "type", "length", "_x", "A1"))
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
)


@given(st.dictionaries(names, values, max_size=4), st.lists(names, min_size=1, max_size=4))
def test_a_plain_path_finds_what_the_library_finds(
    content: Mapping[str, Any], steps: list[str]
) -> None:
    text = "$." + ".".join(steps)
    by_library = path(text).findall(content)
    flat = [v for found in by_library for v in (found if isinstance(found, list) else [found])]

    assert found(content, [text]) == tuple(flat)
    assert found(content, ["$.nowhere.at.all", text]) == tuple(flat)


def test_a_signature_counts_for_its_own_header_and_payload_only() -> None:
    header, payload, signature = TEXTS[0].split(".")
    longer = f"{header}.{payload}.{signature}AAAA"

    for text in (longer, f"{header}.{payload}.", mixed((0, 1, 0)), mixed((3, 0, 0))):
        outcome = verdict(credentials(0), text, UZI.asked())[0]
        assert outcome != verdict(credentials(0), TEXTS[0], UZI.asked())[0]
        assert isinstance(outcome, tuple)
    assert opened(TEXTS[0])[0]["alg"] == "ES256"
