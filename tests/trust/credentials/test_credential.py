"""Credentials: trust and broker §3.1, §3.2, §10 (broken examples); R58, R59, R62, A10–A13."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from trust.credentials.kit import Party, Uzi, holder, opened, resigned

from openldn.base.errors import LdnError
from openldn.trust import jose
from openldn.trust.credentials.credential import Trust
from openldn.trust.credentials.did_x509 import fingerprint
from openldn.trust.credentials.issue import holder_issuer, issue_credential
from openldn.trust.credentials.model import Credential
from openldn.trust.peers import profile
from openldn.trust.trail import Trail

UZI = Uzi()
HOSPITAL = UZI.party()


def verified(
    text: str, authority: Uzi = UZI, trail: Trail | None = None, **asked: Any
) -> Credential:
    credentials = authority.verifier().credentials
    return asyncio.run(credentials.verify(text, authority.asked(**asked), trail or Trail()))


def refused(text: str, authority: Uzi = UZI, **asked: Any) -> str:
    trail = Trail()
    with pytest.raises(LdnError) as caught:
        verified(text, authority, trail, **asked)
    assert trail.failed is not None
    assert caught.value.detail == trail.failed.rule.code
    assert "proof is not accepted" in caught.value.message
    return caught.value.detail


def changed(
    text: str, party: Party = HOSPITAL, vc: dict[str, Any] | None = None, **claims: Any
) -> str:
    """The credential with another payload, signed anew by the certificate of its party."""
    inner = opened(text)[1]["vc"] | (vc or {})
    return resigned(text, party.signing.key, vc=inner, **claims)


def seconds(moment: object) -> int:
    return int(moment.timestamp())  # type: ignore[attr-defined]


def test_an_x509_credential_is_believed_and_says_the_organization() -> None:
    found = verified(HOSPITAL.x509())

    assert found.types == ("X509Credential",)
    assert found.subject == HOSPITAL.holder.did
    assert found.claims == {"ura": ("90000382",), "name": ("Ziekenhuis Oost",)}
    assert found.expires == HOSPITAL.signing.chain[0].not_valid_after_utc
    assert [e.kind for e in found.evidence] == ["credential", "certificate"]


@pytest.mark.parametrize(
    "kind", ["HealthcareProviderCredential", "HealthcareOrganizationCredential"]
)
def test_an_organization_credential_is_believed_when_the_certificate_says_so(kind: str) -> None:
    assert verified(HOSPITAL.provider(kind)).claims["ura"] == ("90000382",)


def test_rsa_certificates_issue_with_ps256_or_as_the_peer_asks() -> None:
    authority = Uzi(rsa=True)
    nuts, aorta = authority.party(), replace(authority.party(), profile=profile("lsp-nuts"))

    assert verified(nuts.x509(), authority).algorithm == "PS256"
    assert opened(aorta.provider())[0]["alg"] == "RS256"
    # Nuts peers do not send RS256, and a peer may only use what its profile lists
    assert refused(aorta.provider(), authority) == "jwt.alg"
    assert verified(aorta.provider(), authority, profile=profile("lsp-nuts")).algorithm == "RS256"


def test_a10_r58_a_value_that_the_did_does_not_carry_is_refused() -> None:
    text = HOSPITAL.x509()
    subject = opened(text)[1]["vc"]["credentialSubject"]

    for other in (
        {"subject": {"O": "Ziekenhuis Oost", "L": "Utrecht"}},
        {"subject": {"O": ["Ziekenhuis Oost", "Ander"]}},
        {"subject": {"CN": "Ziekenhuis Oost"}},
        {"san": {"otherName": "1-2-3"}},
        {"role": "boss"},
        {"subject": {"O": {"value": "Ziekenhuis Oost"}}},
    ):
        assert refused(changed(text, vc={"credentialSubject": {**subject, **other}})) == "vc.policy"
    only_id = {"credentialSubject": {"id": HOSPITAL.holder.did}}
    assert refused(changed(text, vc=only_id)) == "vc.policy"


def test_a11_an_x509_credential_of_another_kind_of_did_is_refused() -> None:
    party = holder()
    said = {"id": party.did, "subject": {"O": "Ziekenhuis Oost"}}
    text = issue_credential(holder_issuer(party), "X509Credential", said, UZI.making())

    assert refused(text) == "vc.issuer"


def test_a12_the_subject_must_be_the_subject() -> None:
    text = HOSPITAL.x509()

    assert refused(changed(text, sub="did:web:other.example")) == "vc.subject"
    assert refused(changed(text, sub=None)) == "vc.subject"
    assert refused(changed(text, sub=opened(text)[1]["iss"])) == "vc.subject"


def test_a12_r59_the_period_lies_within_the_certificate() -> None:
    text, leaf = HOSPITAL.x509(), HOSPITAL.signing.chain[0]
    before, after = leaf.not_valid_before_utc, leaf.not_valid_after_utc

    assert verified(changed(text, nbf=seconds(before), exp=seconds(after)))
    assert refused(changed(text, nbf=seconds(before) - 1)) == "vc.period"
    assert refused(changed(text, exp=seconds(after) + 1)) == "vc.period"
    assert refused(changed(text, exp=None)) == "vc.exp"
    assert refused(changed(text, nbf=None)) == "vc.nbf"
    assert verified(changed(text, nbf=None, iat=seconds(UZI.clock()))).issued == UZI.clock()


def test_a13_a_revoked_certificate_is_refused() -> None:
    authority = Uzi()
    party = authority.party()
    text = party.x509()
    verified(text, authority)

    authority.belief.revoked.add(party.signing.thumbprint)

    assert refused(text, authority) == "test.revoked"


def test_clocks_may_differ_five_seconds_and_no_more() -> None:
    text, now = HOSPITAL.x509(life=timedelta(hours=1)), UZI.clock()
    hour = timedelta(hours=1)

    assert verified(text, now=now - timedelta(seconds=5))
    assert refused(text, now=now - timedelta(seconds=6)) == "vc.now"
    assert verified(text, now=now + hour + timedelta(seconds=5))
    assert refused(text, now=now + hour + timedelta(seconds=6)) == "vc.now"
    assert refused(text, now=now - timedelta(hours=2)) == "vc.now"
    assert refused(text, now=now + timedelta(hours=3)) == "vc.now"


def test_r62_a_pin_on_the_root_alone_is_not_enough() -> None:
    text = HOSPITAL.x509()
    header, claims = opened(text)
    did = str(claims["iss"]).replace(fingerprint(UZI.issuing), fingerprint(UZI.root))
    pinned = jose.sign(
        claims | {"iss": did}, HOSPITAL.signing.key, "ES256", header | {"kid": f"{did}#0"}
    )
    verifier = UZI.verifier()
    wide = Trust(frozenset({fingerprint(UZI.root), fingerprint(UZI.issuing)}))
    wider = replace(verifier.credentials, trust=wide)

    assert refused(pinned) == "x509.issuing"
    with pytest.raises(LdnError) as caught:
        asyncio.run(wider.verify(pinned, UZI.asked(), Trail()))
    assert caught.value.detail == "x509.issuing"


def test_another_authority_of_the_same_name_is_not_believed() -> None:
    stranger = Uzi().party()

    assert refused(stranger.x509()) == "x509.issuing"


def test_an_organization_cannot_claim_the_number_or_name_of_another() -> None:
    text = HOSPITAL.provider()
    subject = opened(text)[1]["vc"]["credentialSubject"]
    other = {"identifier": {**subject["identifier"], "value": "90000101"}}
    two = {"identifier": [subject["identifier"], other["identifier"]]}

    for claimed, code in ((other, "vc.ura"), (two, "vc.ura"), ({"name": "Ander"}, "vc.name")):
        vc = {"credentialSubject": {**subject, **claimed}}
        assert refused(changed(text, vc=vc)) == code


def test_r63_a_certificate_of_a_person_does_not_say_an_organization() -> None:
    party = UZI.party(alternatives=[])

    with pytest.raises(LdnError):
        party.provider()
    assert "ura" not in verified(party.x509()).claims


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"vc": None}, "vc.form"),
        ({"vc": "text"}, "vc.form"),
        ({"vc": {"type": ["VerifiableCredential"]}}, "vc.form"),
        ({"iss": None}, "did.form"),
        ({"iss": "https://issuer.example"}, "did.form"),
        ({"exp": "tomorrow"}, "vc.date"),
        ({"exp": True}, "vc.date"),
        ({"nbf": -1}, "vc.date"),
        ({"exp": 10**15}, "vc.date"),
    ],
)
def test_what_is_not_a_credential_is_refused_by_name(claims: dict[str, Any], code: str) -> None:
    assert refused(resigned(HOSPITAL.x509(), HOSPITAL.signing.key, **claims)) == code


@pytest.mark.parametrize(
    ("vc", "code"),
    [
        ({"type": ["VerifiableCredential", "NobodyKnowsThis"]}, "vc.type"),
        ({"type": ["X509Credential", "VerifiableCredential"]}, "vc.form"),
        ({"type": ["VerifiableCredential", "X509Credential", "More"]}, "vc.form"),
        ({"type": [1, 2]}, "vc.form"),
        ({"@context": ["https://www.w3.org/2018/credentials/v1"]}, "vc.context"),
        ({"@context": ["https://www.w3.org/ns/credentials/v2"]}, "vc.form"),
        ({"credentialSubject": []}, "vc.form"),
        ({"credentialSubject": [{"id": "a"}, {"id": "b"}]}, "vc.form"),
        ({"issuer": "did:web:other.example"}, "vc.agrees"),
        ({"id": "another"}, "vc.agrees"),
        ({"expirationDate": "2026-31-07T00:00:00Z"}, "vc.date"),
        ({"expirationDate": "2026-07-31"}, "vc.date"),
        ({"expirationDate": "2026-07-31T00:00:00Z"}, "vc.agrees"),
        ({"validFrom": "2026-07-31T00:00:00Z"}, "vc.agrees"),
        ({"credentialStatus": {"type": "StatusList2021Entry"}}, "status.known"),
    ],
)
def test_a_credential_says_one_thing(vc: dict[str, Any], code: str) -> None:
    assert refused(changed(HOSPITAL.x509(), vc=vc)) == code


def test_only_the_issuer_can_have_signed_it() -> None:
    stranger = UZI.signing("90000101", "Huisartsenpraktijk West")
    text = HOSPITAL.x509()

    assert refused(resigned(text, stranger.key)) == "jwt.signature"
    head, body, _ = text.split(".")
    assert refused(f"{head}.{body}.{HOSPITAL.x509().rpartition('.')[2]}") == "jwt.signature"


def test_a_trusted_issuer_is_one_that_the_settings_name() -> None:
    framework = UZI.party("90000505", "Stelsel")
    vendor = holder()
    text = framework.says("ServiceProviderCredential", {"name": "Leverancier"}, vendor.did)
    header, claims = opened(text)

    assert refused(text) == "vc.issuer"  # a did:jwk cannot be a framework
    assert header["kid"].startswith(claims["iss"])


def test_who_speaks_of_itself_speaks_of_nobody_else() -> None:
    said = {"member": {"identifier": "1", "name": "A. Jansen", "roleName": "arts"}}

    assert verified(HOSPITAL.says("NutsEmployeeCredential", said)).claims == {
        "employee": ("1",),
        "name": ("A. Jansen",),
        "role": ("arts",),
    }
    other = HOSPITAL.says("NutsEmployeeCredential", said, "did:web:other.example")
    assert refused(other) == "vc.trusted"
    assert refused(HOSPITAL.says("NutsEmployeeCredential", {"name": "A."})) == "vc.claims"


class TestBrokenExamples:
    """What published examples do wrong (§10), done here in our own words."""

    def test_the_subject_says_another_name_than_the_did(self) -> None:
        text = HOSPITAL.x509()
        subject = opened(text)[1]["vc"]["credentialSubject"] | {"subject": {"O": "Zkh. Oost"}}
        assert refused(changed(text, vc={"credentialSubject": subject})) == "vc.policy"

    def test_the_thumbprint_is_that_of_the_authority(self) -> None:
        header, claims = opened(HOSPITAL.x509())
        header["x5t#S256"] = fingerprint(UZI.issuing)
        assert refused(jose.sign(claims, HOSPITAL.signing.key, "ES256", header)) == "x509.x5t"

    def test_the_prefix_stands_twice_in_the_kid(self) -> None:
        header, claims = opened(HOSPITAL.x509())
        header["kid"] = "did:x509:0:sha256:" + header["kid"]
        assert refused(jose.sign(claims, HOSPITAL.signing.key, "ES256", header)) == "did.kid"

    @pytest.mark.parametrize(
        ("old", "new", "code"),
        [
            ("subject:O:", "subject:o:", "did.x509.key"),
            ("Ziekenhuis%20Oost", "Ziekenhuis%2520Oost", "did.x509.value"),
            ("L:Amsterdam", "L:%27Amsterdam", "x509.policy"),
        ],
    )
    def test_the_did_is_written_otherwise(self, old: str, new: str, code: str) -> None:
        header, claims = opened(HOSPITAL.x509())
        did = str(claims["iss"]).replace(old, new)
        whole = header | {"kid": f"{did}#0"}
        text = jose.sign(claims | {"iss": did}, HOSPITAL.signing.key, "ES256", whole)
        assert refused(text) == code

    def test_the_subject_is_the_certificate_itself(self) -> None:
        text = HOSPITAL.x509()
        assert refused(changed(text, sub=opened(text)[1]["iss"])) == "vc.subject"

    def test_a_key_of_the_policy_and_the_field_differ(self) -> None:
        text = HOSPITAL.x509()
        subject = {"id": HOSPITAL.holder.did, "subject": {"O": "Amsterdam"}}
        assert refused(changed(text, vc={"credentialSubject": subject})) == "vc.policy"


def test_a_did_without_a_number_of_an_organization_proves_no_organization() -> None:
    header, claims = opened(HOSPITAL.provider())
    did = str(claims["iss"]).partition("::san:")[0] + "::subject:O:Ziekenhuis%20Oost"
    whole = header | {"kid": f"{did}#0"}
    text = jose.sign(claims | {"iss": did}, HOSPITAL.signing.key, "ES256", whole)

    assert refused(text) == "vc.ura"


def test_what_was_looked_at_once_is_still_refused_when_it_has_ended() -> None:
    text = HOSPITAL.x509(life=timedelta(hours=1))
    verifier, trail = UZI.verifier(), Trail()

    asyncio.run(verifier.credentials.verify(text, UZI.asked(), Trail()))
    asyncio.run(verifier.credentials.verify(text, UZI.asked(), trail))
    late = UZI.asked(now=UZI.clock() + timedelta(hours=2))
    with pytest.raises(LdnError) as caught:
        asyncio.run(verifier.credentials.verify(text, late, Trail()))

    assert caught.value.detail == "vc.now"
    assert "jwt.signature" in {c.rule.code for c in trail}
    # another profile looks again: it may not allow the algorithm
    other = UZI.asked(profile=profile("lsp-nuts"))
    with pytest.raises(LdnError) as caught:
        asyncio.run(verifier.credentials.verify(text, other, Trail()))
    assert caught.value.detail == "jwt.alg"


def test_a_credential_with_a_status_is_not_believed_where_status_cannot_be_known() -> None:
    text = changed(HOSPITAL.x509(), vc={"credentialStatus": {"type": "StatusList2021Entry"}})

    assert refused(text) == "status.known"
    assert verified(text, status_may_be_unknown=True)
