"""Signatures under one resource: specification of signing §9 (rules S01-S04)."""

import asyncio
import base64
import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from trust.parties import HOSPITAL, PRACTICE, World

from openldn.base.errors import LdnError
from openldn.fhir.codec import dump, parse
from openldn.fhir.model import Resource
from openldn.trust.canonical import canonical_json
from openldn.trust.certificates.keys import Signing
from openldn.trust.signatures import (
    FORMAT,
    PURPOSES,
    URA_OID,
    Chain,
    Signer,
    Verifier,
    canonical,
    sign,
)
from openldn.trust.trail import Trail

EXAMPLE = json.loads((Path(__file__).parent / "signing_example.json").read_text())
LATER = datetime(2026, 8, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
MANDATE: Resource = {
    "resourceType": "OrganizationAffiliation",
    "id": "ura-90000382-mandate",
    "meta": {"versionId": "1", "lastUpdated": "2026-11-25T12:00:00Z"},
    "text": {"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>x</div>"},
    "active": True,
    "organization": {"reference": "Organization/ura-90000382"},
    "code": [{"text": "beheer"}],
}


async def pinned(chain: Chain, trail: Trail) -> None:
    """Believes the published test certificate only; nobody else may."""
    der = hashlib.sha256(chain[0].public_bytes(Encoding.DER)).hexdigest()
    assert der == "c0d799831a40dee7749cedb9e53c00b0266228758f21372fff078c93a7b24c5e"


def published() -> Resource:
    who = {"identifier": {"system": URA_OID, "value": "22222222"}}
    agents = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
    return {
        "resourceType": "Provenance",
        "recorded": "2026-07-14T10:15:00Z",
        "agent": [{"type": {"coding": [{"system": agents, "code": "author"}]}, "who": who}],
        "signature": [
            {
                "type": [{"system": PURPOSES, "code": "1.2.840.10065.1.12.1.1"}],
                "when": "2026-07-14T10:15:00Z",
                "who": who,
                "targetFormat": FORMAT,
                "sigFormat": "application/jose",
                "data": base64.b64encode(EXAMPLE["jws"].encode()).decode(),
            }
        ],
    }


def test_s01_the_worked_example_of_the_ministry_verifies() -> None:
    payload = canonical(EXAMPLE["resource"])

    assert len(payload) == 854
    assert hashlib.sha256(payload).hexdigest() == (
        "ef744faaa368265fc362afbdb707dcb7ff820e70a28a0f1901fcec90e0e4a7c7"
    )
    signed = asyncio.run(Verifier(pinned).verify(EXAMPLE["resource"], published(), LATER))
    assert str(signed.ura) == "22222222"
    assert signed.when == datetime(2026, 7, 14, 10, 15, tzinfo=UTC)


def test_s02_a_new_version_of_the_same_content_is_still_signed() -> None:
    moved = {**EXAMPLE["resource"], "meta": {"versionId": "7", "tag": [{"code": "copy"}]}}
    told = {**moved, "text": {"status": "generated", "div": "<div/>"}}

    for resource in (moved, told):
        assert asyncio.run(Verifier(pinned).verify(resource, published(), LATER))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("pki"))


def signer(world: World, ura: object = HOSPITAL) -> Signer:
    folder = world.folder / str(ura)
    found = Signing.load(folder / "signing.key", folder / "signing.pem")
    return Signer(HOSPITAL, found.key, found.chain)


def verifier(world: World) -> Verifier:
    async def believe(chain: Chain, trail: Trail) -> None:
        world.anchors.check(chain, world.clock())

    return Verifier(believe)


def refused(world: World, resource: Resource, provenance: Resource) -> str:
    with pytest.raises(LdnError) as refusal:
        asyncio.run(verifier(world).verify(resource, provenance, world.clock()))
    return refusal.value.detail


def test_what_we_sign_we_verify_also_after_a_round_trip(world: World) -> None:
    provenance = sign(MANDATE, "OrganizationAffiliation/x", signer(world), world.clock())

    stored = parse(dump(provenance))
    signed = asyncio.run(verifier(world).verify(MANDATE, stored, world.clock()))

    assert signed.ura == HOSPITAL
    assert abs(signed.when - world.clock()) < timedelta(seconds=1)


def test_s03_any_other_change_breaks_the_signature(world: World) -> None:
    provenance = sign(MANDATE, "OrganizationAffiliation/x", signer(world), world.clock())
    changes: list[Resource] = [
        {**MANDATE, "active": False},
        {**MANDATE, "id": "ura-90000382-other"},
        {**MANDATE, "organization": {"reference": "Organization/ura-90000101"}},
        {**MANDATE, "code": [{"text": "Beheer"}]},
        {**MANDATE, "code": [{"text": "beheer", "coding": [{"code": "x"}]}]},
        {name: value for name, value in MANDATE.items() if name != "active"},
    ]
    for changed in changes:
        assert refused(world, changed, provenance) == "jwt.signature"


def changed(provenance: Resource, *path: Any, to: Any) -> Resource:
    whole = copy.deepcopy(provenance)
    at: Any = whole
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = to
    return whole


def rewritten(provenance: Resource, change: Callable[[dict[str, Any]], None]) -> Resource:
    """With another header; nobody signed that, but the rules are looked at first."""
    text = base64.b64decode(provenance["signature"][0]["data"]).decode()
    head, _, signature = text.split(".")
    header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    change(header)
    new = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
    data = base64.b64encode(f"{new}..{signature}".encode()).decode()
    return changed(provenance, "signature", 0, "data", to=data)


def test_s04_who_signed_is_who_the_certificate_names(world: World) -> None:
    provenance = sign(MANDATE, "OrganizationAffiliation/x", signer(world), world.clock())
    other = {"identifier": {"system": URA_OID, "value": str(PRACTICE)}}

    signer_differs = changed(provenance, "signature", 0, "who", to=other)
    author_differs = changed(provenance, "agent", 0, "who", to=other)
    key_of_another = sign(MANDATE, "x", signer(world, PRACTICE), world.clock())
    nobody = changed(provenance, "agent", to=[])

    for wrong in (signer_differs, author_differs, key_of_another, nobody):
        assert refused(world, MANDATE, wrong) == "signature.who"


def test_s04_the_purpose_in_the_header_is_that_of_the_signature(world: World) -> None:
    provenance = sign(MANDATE, "OrganizationAffiliation/x", signer(world), world.clock())
    witness = {"system": PURPOSES, "code": "1.2.840.10065.1.12.1.5"}

    assert refused(world, MANDATE, changed(provenance, "signature", 0, "type", to=[witness])) == (
        "signature.purpose"
    )
    without = rewritten(provenance, lambda header: header.pop("srCms"))
    assert refused(world, MANDATE, without) == "signature.purpose"


def test_s04_the_moments_agree_and_are_not_in_the_future(world: World) -> None:
    provenance = sign(MANDATE, "OrganizationAffiliation/x", signer(world), world.clock())
    early = "2026-01-01T00:00:00Z"

    for path in (("signature", 0, "when"), ("recorded",)):
        assert refused(world, MANDATE, changed(provenance, *path, to=early)) == "signature.moment"
    ahead = world.clock() + timedelta(seconds=90)
    late = sign(MANDATE, "OrganizationAffiliation/x", signer(world), ahead)
    assert refused(world, MANDATE, late) == "signature.future"


def test_s04_a_signature_says_whose_key_it_is_made_with(world: World) -> None:
    provenance = sign(MANDATE, "OrganizationAffiliation/x", signer(world), world.clock())

    without = rewritten(provenance, lambda header: header.pop("x5c"))
    unknown = rewritten(without, lambda header: header.update(kid="somebody"))

    assert refused(world, MANDATE, without) == "signature.certificate"
    assert refused(world, MANDATE, unknown) == "signature.certificate"


def test_a_key_id_that_is_known_serves_as_well_as_a_certificate(world: World) -> None:
    whole = replace(signer(world), kid="our key")
    provenance = sign(MANDATE, "x", whole, world.clock())

    knowing = replace(verifier(world), known={"our key": whole.chain}.get)

    assert asyncio.run(knowing.verify(MANDATE, provenance, world.clock())).ura == HOSPITAL
    assert refused(world, MANDATE, provenance) == "signature.certificate"


def test_another_form_or_canonicalization_is_refused(world: World) -> None:
    provenance = sign(MANDATE, "OrganizationAffiliation/x", signer(world), world.clock())
    other = "http://hl7.org/fhir/canonicalization/json"

    canon = rewritten(provenance, lambda header: header.update(canon=other))
    unsigned = rewritten(provenance, lambda header: header.update(alg="none"))
    garbage = changed(provenance, "signature", 0, "data", to="bm90IGEgdG9rZW4=")

    assert refused(world, MANDATE, canon) == "signature.canon"
    assert refused(world, MANDATE, unsigned) == "jwt.alg"
    assert refused(world, MANDATE, garbage) == "signature.form"
    assert refused(world, MANDATE, changed(provenance, "signature", to=[])) == "signature.form"


def test_who_is_not_believed_signs_nothing(world: World, tmp_path: Path) -> None:
    strangers = World(tmp_path)
    provenance = sign(MANDATE, "x", signer(strangers), world.clock())

    with pytest.raises(LdnError, match="does not lead to an authority we trust"):
        asyncio.run(verifier(world).verify(MANDATE, provenance, world.clock()))


NUMBERS = {  # RFC 8785 appendix B, and ECMA-262
    0.0: "0",
    5e-324: "5e-324",
    -5e-324: "-5e-324",
    1.7976931348623157e308: "1.7976931348623157e+308",
    9007199254740992: "9007199254740992",
    295147905179352830000.0: "295147905179352830000",
    9.999999999999997e22: "9.999999999999997e+22",
    1e23: "1e+23",
    1.0000000000000001e23: "1.0000000000000001e+23",
    999999999999999700000.0: "999999999999999700000",
    1e21: "1e+21",
    9.999999999999997e-7: "9.999999999999997e-7",
    0.000001: "0.000001",
    333333333.3333332: "333333333.3333332",
    -0.0000033333333333333333: "-0.0000033333333333333333",
    1424953923781206.2: "1424953923781206.2",
}


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_are_written_as_the_standard_shows(number: float) -> None:
    assert canonical_json(number).decode() == NUMBERS[number]


def test_members_are_sorted_by_their_utf_16_units() -> None:
    # RFC 8785 §3.2.3
    names = ["€", "\r", "\ufb33", "1", "\U0001f600", "\x80", "ö"]

    ordered = list(json.loads(canonical_json(dict.fromkeys(names, 1))))

    assert ordered == ["\r", "1", "\x80", "ö", "€", "\U0001f600", "\ufb33"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
)


@given(JSON)
def test_the_canonical_form_says_the_same_and_is_a_fixed_point(value: Any) -> None:
    once = canonical_json(value)

    assert json.loads(once, parse_int=float) == value
    assert canonical_json(json.loads(once)) == once


def test_what_json_cannot_say_has_no_canonical_form() -> None:
    for odd in (float("inf"), float("nan"), {1: "x"}, b"bytes"):
        with pytest.raises(LdnError):
            canonical_json(odd)


def test_a_certificate_without_names_names_nobody(world: World) -> None:
    from openldn.trust.signatures import uras_of

    anchor = x509.load_pem_x509_certificate((world.folder / "ca.pem").read_bytes())

    assert uras_of(anchor) == set()
