"""Assertions of other parties. Source: SAML core §2; trust and broker §6.1; rule R69."""

from datetime import timedelta

from trust.saml.saml_world import (
    HOSPITAL,
    NOW,
    PATIENT,
    STS,
    USER,
    expected,
    sso,
)

from openldn.trust.evidence import Kind
from openldn.trust.saml.read import read
from openldn.trust.trail import Trail


def test_an_encrypted_assertion_of_a_pinned_sts_proves_who_launches_us() -> None:
    proof = read(sso(), expected(), Trail())

    assert proof.organization == HOSPITAL
    assert proof.person is not None
    assert (proof.person.uzi, proof.person.role) == (USER, "223366009")
    assert (proof.patient, proof.purpose) == (PATIENT, "TREAT")
    assert proof.authorization_base == "f8cab0af-901b-417e-8bb4-5198e2c47732"
    assert proof.expires == NOW + timedelta(minutes=12)
    assert {e.kind for e in proof.evidence} == {Kind.SAML, Kind.CERTIFICATE}
    assert proof.used == (f"{STS}|{proof.evidence[0].id}",)
