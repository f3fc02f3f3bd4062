"""Assertions of our own (B6): never more than the proof, never longer; read back as they were."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from trust.saml.saml_world import (
    HOSPITAL,
    HOSPITAL_OID,
    NOW,
    PATIENT,
    US,
    VALUES,
    Keys,
    assertion,
    believed,
    content,
    expected,
    keys,
    plain,
    tag,
    towards,
)

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid
from openldn.fhir.identifiers import Bsn
from openldn.trust.evidence import Evidence, Kind, Proof
from openldn.trust.parties import Person
from openldn.trust.peers import Profile, profile
from openldn.trust.saml.make import Towards, content_of, make
from openldn.trust.saml.names import DS
from openldn.trust.saml.read import read
from openldn.trust.saml.variants import variant
from openldn.trust.trail import Trail

EVIDENCE = Evidence(Kind.CREDENTIAL, "urn:uuid:1", "did:x509:0:sha256:x", NOW + timedelta(hours=1))


def proof(**other: Any) -> Proof:
    """What a presentation of a hospital has proven."""
    usual = Proof(
        dialect="vp2",
        subject="did:web:hospital.example",
        organization=HOSPITAL,
        issued=NOW,
        expires=NOW + timedelta(minutes=5),
        evidence=(EVIDENCE,),
        person=Person("900012345", "01.015", "A. Jansen"),
        patient=PATIENT,
        purpose="TREAT",
        authorization_base="f8cab0af",
    )
    return replace(usual, **other)


def peer(name: str, signing: Keys | None = None) -> Towards:
    return Towards((US,), profile("zorgplatform"), variant(name), signing or keys("us"))


def test_a_presentation_becomes_a_transaction_token() -> None:
    kind = peer("aorta-transactietoken")

    xml = make(content_of(proof(), kind, "unused", NOW), kind, new_uuid)

    issuer = f"urn:IIroot:2.16.528.1.1007.3.3:IIext:{HOSPITAL}"
    pinned = {issuer: (keys("us").certificate,)}
    got = believed(xml, plain(variant=kind.variant, pinned=pinned))
    assert got.organization == HOSPITAL
    assert got.person is not None and got.person.role == "01.015"
    assert got.expires == NOW + timedelta(minutes=5)


def test_a_transaction_token_of_a_server_has_an_empty_name() -> None:
    kind = peer("aorta-transactietoken")

    said = content_of(proof(person=None), kind, "unused", NOW)

    assert said.name_id == ""


def test_a_presentation_becomes_a_request_of_zorgplatform() -> None:
    kind = peer("zorgplatform-professional")
    named = proof(person=Person("jansen@1.2.3.4", "01.015"))

    xml = make(content_of(named, kind, HOSPITAL_OID, NOW), kind, new_uuid)

    pinned = {HOSPITAL_OID: (keys("us").certificate,)}
    got = believed(xml, plain(variant=kind.variant, pinned=pinned))
    assert (got.organization, got.patient, got.purpose) == (HOSPITAL, PATIENT, "TREAT")
    assert got.authorization_base == "f8cab0af"
    assert got.person is not None and got.person.role == "224609002"


def test_a_system_asks_for_operations() -> None:
    kind = peer("zorgplatform-application")

    said = content_of(proof(person=None), kind, HOSPITAL_OID, NOW)

    assert said.name_id == HOSPITAL_OID
    assert (said.values["role"], said.values["purpose"]) == ("182777000", "OPERATIONS")


@given(st.integers(1, 7200))
def test_an_assertion_never_outlives_its_proof(seconds: int) -> None:
    kind = peer("zorgplatform-professional")
    brief = proof(expires=NOW + timedelta(seconds=seconds), person=Person("j@1.2.3", "01.015"))

    said = content_of(brief, kind, HOSPITAL_OID, NOW)

    assert said.ends == NOW + timedelta(seconds=min(seconds, 900))


def test_nothing_is_made_of_a_proof_that_has_ended() -> None:
    with pytest.raises(LdnError) as caught:
        content_of(proof(expires=NOW), peer("zorgplatform-professional"), HOSPITAL_OID, NOW)

    assert caught.value.issue is Issue.FORBIDDEN


def test_a_proof_without_a_purpose_makes_no_request_of_zorgplatform() -> None:
    with pytest.raises(LdnError, match="purpose"):
        content_of(proof(purpose=""), peer("zorgplatform-professional"), HOSPITAL_OID, NOW)


def test_the_signature_stands_directly_after_the_issuer() -> None:
    root = etree.fromstring(assertion())

    assert [child.tag for child in root][:3] == [
        tag("Issuer"),
        f"{{{DS}}}Signature",
        tag("Subject"),
    ]


def test_an_assertion_lives_at_most_as_long_as_the_profile_says() -> None:
    kind = peer("zorgplatform-application")
    long = proof(expires=NOW + timedelta(hours=9))

    assert content_of(long, kind, HOSPITAL_OID, NOW).ends == NOW + timedelta(minutes=15)


def test_a_key_that_the_peer_does_not_accept_signs_nothing() -> None:
    only_rsa = towards(profile=_only("rsa-sha256"), signing=keys("us", "ec521"))

    with pytest.raises(LdnError) as caught:
        make(content(), only_rsa, new_uuid)
    assert caught.value.issue is Issue.INVALID


def _only(algorithm: str) -> Profile:
    usual = profile("zorgplatform")
    saml = msgspec.structs.replace(usual.alg_out, saml=(algorithm,))
    return msgspec.structs.replace(usual, alg_out=saml)


def test_nothing_is_encrypted_to_a_key_that_cannot_decrypt() -> None:
    with pytest.raises(LdnError) as caught:
        make(content(), towards(receiver=keys("us", "ec").certificate), new_uuid)
    assert caught.value.issue is Issue.INVALID


WORDS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), max_size=40)


def bsn(eight: int) -> Bsn:
    """The BSN that begins with these digits, or the usual one when there is none."""
    total = sum(w * int(d) for w, d in zip(range(9, 1, -1), str(eight), strict=True))
    return Bsn.parse(f"{eight}{total % 11}") if total % 11 < 10 and total > 10 else PATIENT


@settings(max_examples=60, deadline=None)
@given(
    user=st.from_regex(r"[A-Za-z0-9._-]{1,20}@[1-9]\.[1-9]{1,3}\.[0-9]{1,9}", fullmatch=True),
    patient=st.integers(10_000_000, 99_999_999).map(bsn),
    name=WORDS,
    workflow=WORDS,
    closed=st.booleans(),
)
def test_what_is_written_is_read_back(
    user: str, patient: Bsn, name: str, workflow: str, closed: bool
) -> None:
    values = VALUES | {"resource": patient.value, "name": name, "workflow": workflow}
    receiver = keys("us").certificate if closed else None
    xml = make(content(name_id=user, values=values), towards(receiver=receiver), new_uuid)

    got = read(xml, expected() if closed else plain(), Trail())

    assert got.subject == user and got.patient == patient
    assert got.person is not None and got.person.name == name
    assert got.authorization_base == workflow
