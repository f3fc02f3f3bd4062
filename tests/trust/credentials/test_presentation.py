"""Presentations: Nuts RFC021 §4, GFI-004; rules R45, R47–R49, R51, R55; trust and broker §5, §7."""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trust.credentials.kit import (
    AUDIENCE,
    Uzi,
    asking,
    defined,
    definition,
    holder,
    opened,
    resigned,
    signed,
)

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import dump
from openldn.trust import jose
from openldn.trust.credentials.definitions import shipped_policies
from openldn.trust.credentials.issue import present
from openldn.trust.credentials.model import Definition, Presented
from openldn.trust.credentials.submission import read_submission
from openldn.trust.peers import profile
from openldn.trust.trail import Trail

UZI = Uzi()
HOSPITAL = UZI.party()
VENDOR = UZI.party("90000505", "Leverancier")


def verified(
    text: str, wanted: Definition | None = None, trail: Trail | None = None, **expected: Any
) -> Presented:
    verifier, chosen = UZI.verifier(), wanted or definition()
    return asyncio.run(verifier.verify(text, chosen, UZI.expected(**expected), trail or Trail()))


def refused(text: str, wanted: Definition | None = None, **expected: Any) -> str:
    trail = Trail(issue=Issue.FORBIDDEN)
    with pytest.raises(LdnError) as caught:
        verified(text, wanted, trail, **expected)
    assert trail.failed is not None
    assert caught.value.detail == trail.failed.rule.code
    assert caught.value.issue is Issue.FORBIDDEN
    return caught.value.detail


def altered(**claims: Any) -> str:
    """The hospital's presentation with other claims, signed by the hospital."""
    return resigned(HOSPITAL.present(), HOSPITAL.holder.key, **claims)


def second(offset: float) -> int:
    return int((UZI.clock() + timedelta(seconds=offset)).timestamp())


def test_a_presentation_tells_who_the_organization_is() -> None:
    found = verified(HOSPITAL.present())

    said = {name: [v.value for v in values] for name, values in found.captured.items()}
    assert said == {
        "organization_id": [HOSPITAL.holder.did],
        "organization_name": ["Ziekenhuis Oost"],
        "organization_ura": ["90000382"],
    }
    [ura] = found.captured["organization_ura"]
    assert ura.issuer.startswith("did:x509:0:sha256:")
    assert (ura.issued, ura.expires) == (UZI.clock(), HOSPITAL.signing.chain[0].not_valid_after_utc)
    assert found.holder == HOSPITAL.holder.did
    assert found.nonce and found.jti
    assert found.expires == UZI.clock() + timedelta(seconds=5)


def test_r45_it_lives_five_seconds_and_no_more() -> None:
    assert verified(altered(nbf=second(0), exp=second(5)))
    assert refused(altered(nbf=second(0), exp=second(6))) == "vp.lifetime"
    assert refused(altered(nbf=second(0), exp=second(365 * 86400))) == "vp.lifetime"
    assert refused(altered(nbf=second(5), exp=second(5))) == "vp.lifetime"
    ig = profile("ig-2026")
    assert verified(altered(nbf=second(0), exp=second(60)), profile=ig)
    assert refused(altered(nbf=second(0), exp=second(61)), profile=ig) == "vp.lifetime"


def test_r45_clocks_may_differ_five_seconds_and_six_is_refused() -> None:
    assert verified(altered(iat=None, nbf=second(5), exp=second(10)))
    assert refused(altered(iat=None, nbf=second(6), exp=second(11))) == "vp.now"
    assert verified(altered(iat=second(-10), nbf=second(-10), exp=second(-5)))
    assert refused(altered(iat=second(-11), nbf=second(-11), exp=second(-6))) == "vp.now"
    assert refused(altered(iat=second(6))) == "vp.now"
    for hours in (-2, 2):
        when = hours * 3600
        late = altered(iat=second(when), nbf=second(when), exp=second(when + 5))
        assert refused(late) == "vp.now"


@pytest.mark.parametrize(
    "aud",
    [
        None,
        "",
        "https://hospital.example/oauth2/90000101",
        "https://hospital.example/oauth2/90000382/",
        [],
        [AUDIENCE, "https://other.example"],
        [AUDIENCE, AUDIENCE],
        {"aud": AUDIENCE},
        [[AUDIENCE]],
    ],
)
def test_r47_it_is_made_for_exactly_us(aud: object) -> None:
    assert refused(altered(aud=aud)) == "vp.aud"
    assert verified(altered(aud=[AUDIENCE]))


def test_r48_who_signs_is_the_subject_of_every_credential() -> None:
    stolen = HOSPITAL.x509()
    both = VENDOR.present(credentials=[VENDOR.x509(), stolen])

    assert refused(VENDOR.present(credentials=[stolen])) == "vp.presenter"
    assert refused(both) == "vp.presenter"


def test_the_key_that_signs_is_one_of_the_holder() -> None:
    text = HOSPITAL.present()

    assert refused(resigned(text, VENDOR.holder.key)) == "jwt.signature"
    header, claims = opened(text)
    header["kid"] = VENDOR.holder.kid
    assert refused(jose.sign(claims, VENDOR.holder.key, "ES256", header)) == "did.kid"
    assert refused(altered(sub=VENDOR.holder.did)) == "vp.holder"
    assert refused(altered(iss=opened(HOSPITAL.x509())[1]["iss"])) == "vp.holder"
    vp = opened(text)[1]["vp"] | {"holder": VENDOR.holder.did}
    assert refused(altered(vp=vp)) == "vp.holder"
    assert verified(altered(sub=None))


def test_r49_what_does_not_answer_the_definition_is_refused_without_a_hint() -> None:
    wanted = defined(asking("HealthcareProviderCredential"))

    assert refused(HOSPITAL.present(), wanted) == "vp.definition"
    assert verified(HOSPITAL.present(credentials=[HOSPITAL.provider()]), wanted)


def test_a_definition_narrows_the_algorithms_and_never_widens_them() -> None:
    narrow = defined(asking("X509Credential"), format={"jwt_vp": {"alg": ["PS256"]}})
    wide = defined(
        asking("X509Credential"),
        format={"jwt_vp": {"alg": ["RS256", "ES256"]}, "jwt_vc": {"alg": ["PS256"]}},
    )

    assert refused(HOSPITAL.present(), narrow) == "jwt.alg"
    assert refused(HOSPITAL.present(), wide) == "vp.definition"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"nonce": None}, "vp.nonce"),
        ({"nonce": ""}, "vp.nonce"),
        ({"nonce": 5}, "vp.nonce"),
        ({"nonce": "n" * 300}, "vp.claims"),
        ({"exp": None}, "vp.claims"),
        ({"nbf": None, "iat": None}, "vp.claims"),
        ({"jti": None}, "vp.claims"),
        ({"exp": "soon"}, "vc.date"),
        ({"vp": None}, "vp.form"),
        ({"vp": []}, "vp.form"),
        ({"vp": {}}, "vp.form"),
        ({"iss": None}, "did.form"),
        ({"iss": "did:web:node.example"}, "vp.holder"),
    ],
)
def test_every_claim_that_is_needed_is_there(claims: dict[str, Any], code: str) -> None:
    required = frozenset({"nonce", "jti"})

    assert refused(altered(**claims), required=required) == code


@pytest.mark.parametrize(
    "held", [None, [], "text", [1], [{}], ["a.b.c"], [{"type": "X509Credential"}]]
)
def test_what_is_held_are_credentials_as_jwt(held: object) -> None:
    vp = opened(HOSPITAL.present())[1]["vp"] | {"verifiableCredential": held}

    assert refused(altered(vp=vp)) in {"vp.form", "jwt.form", "jwt.content"}


def test_one_credential_need_not_stand_in_a_list_and_eleven_are_too_many() -> None:
    text = HOSPITAL.x509()
    vp = opened(HOSPITAL.present())[1]["vp"]

    assert verified(altered(vp=vp | {"verifiableCredential": text}))
    small = [HOSPITAL.says("NutsEmployeeCredential", {"name": "A"})] * 11
    assert refused(altered(vp=vp | {"verifiableCredential": small})) == "vp.form"


def test_a_kind_nobody_knows_is_refused_unless_asked_for_and_trusted() -> None:
    odd = HOSPITAL.says("OddCredential", {"colour": "blue"})
    text = HOSPITAL.present(credentials=[HOSPITAL.x509(), odd])
    wanted = defined(asking("X509Credential"), asking("OddCredential"))

    assert refused(text) == "vc.type"
    assert refused(text, wanted) == "vc.trusted"
    trusting = UZI.verifier(issuers={"OddCredential": frozenset({HOSPITAL.holder.did})})
    assert asyncio.run(trusting.verify(text, wanted, UZI.expected(), Trail()))


DELEGATION = {"hasDelegation": {"delegatedBy": {"identifier": [{"value": "90000382"}]}}}
FIRST = defined(
    {
        "id": "organization",
        "constraints": {
            "fields": [
                {"path": ["$.type"], "filter": {"const": "HealthcareProviderCredential"}},
                {"id": "delegating_hcp", "path": ["$.credentialSubject.id"]},
                {
                    "id": "delegating_hcp_ura",
                    "path": [
                        "$.credentialSubject.identifier[*].value",
                        "$.credentialSubject.identifier.value",
                    ],
                },
            ]
        },
    }
)
SECOND = defined(
    {
        "id": "vendor",
        "constraints": {
            "fields": [
                {"path": ["$.type"], "filter": {"const": "ServiceProviderDelegationCredential"}},
                {"id": "delegating_hcp", "path": ["$.issuer"]},
                {
                    "id": "delegating_hcp_ura",
                    "path": ["$.credentialSubject.hasDelegation.delegatedBy.identifier[*].value"],
                },
            ]
        },
    }
)
KIND = "ServiceProviderDelegationCredential"


def test_r51_the_vendor_shows_a_delegation_of_the_organization() -> None:
    first = verified(HOSPITAL.present(credentials=[HOSPITAL.provider()]), FIRST)
    given = HOSPITAL.says(KIND, DELEGATION, VENDOR.holder.did)

    found = verified(VENDOR.present(credentials=[given]), SECOND, shared=first.captured)

    assert found.holder == VENDOR.holder.did


def test_r51_a_delegation_of_another_or_about_another_is_refused() -> None:
    practice = UZI.party("90000101", "Huisartsenpraktijk West")
    shared = verified(HOSPITAL.present(credentials=[HOSPITAL.provider()]), FIRST).captured
    other_ura = {"hasDelegation": {"delegatedBy": {"identifier": [{"value": "90000101"}]}}}

    for shown, code in (
        (practice.says(KIND, DELEGATION, VENDOR.holder.did), "vc.trusted"),
        (VENDOR.says(KIND, DELEGATION), "vc.trusted"),
        (HOSPITAL.says(KIND, other_ura, VENDOR.holder.did), "vc.delegated"),
        (HOSPITAL.says(KIND, {}, VENDOR.holder.did), "vc.claims"),
    ):
        assert refused(VENDOR.present(credentials=[shown]), SECOND, shared=shared) == code
    alone = HOSPITAL.says(KIND, DELEGATION, VENDOR.holder.did)
    assert refused(VENDOR.present(credentials=[alone]), SECOND) == "vc.trusted"


def test_r51_the_shipped_policy_ties_the_vendor_to_the_organization() -> None:
    policy = shipped_policies()["bgz"]
    assert policy.service_provider is not None
    first = verified(HOSPITAL.present(), policy.organization)
    given = HOSPITAL.says(KIND, DELEGATION, VENDOR.holder.did)

    found = verified(
        VENDOR.present(credentials=[given]), policy.service_provider, shared=first.captured
    )

    assert [v.value for v in found.captured["service_provider_id"]] == [VENDOR.holder.did]


def submission(**other: Any) -> str:
    entry = {"id": "organization", "format": "jwt_vc", "path": "$.verifiableCredential[0]"}
    whole = {
        "id": "1",
        "definition_id": definition().id,
        "descriptor_map": [entry | other.pop("entry", {})],
    }
    return json.dumps(whole | other)


@pytest.mark.parametrize(
    "path",
    ["$.verifiableCredential[0]", "$.vp.verifiableCredential[0]", "$.verifiableCredential"],
)
def test_a_submission_points_at_the_credential(path: str) -> None:
    assert verified(HOSPITAL.present(), submission=submission(entry={"path": path}))
    nested = {"path": "$", "path_nested": {"format": "jwt_vc", "path": path}}
    assert verified(HOSPITAL.present(), submission=submission(entry=nested))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "vp.submission"),
        ("[]", "vp.submission"),
        ("{}", "vp.submission"),
        (submission(definition_id="another"), "vp.submission"),
        (submission(descriptor_map=[]), "vp.definition"),
        (submission(descriptor_map=[1]), "vp.submission"),
        (submission(entry={"id": "another"}), "vp.submission"),
        (submission(entry={"path": "$.verifiableCredential[1]"}), "vp.submission"),
        (submission(entry={"path": "$..*"}), "vp.submission"),
        (submission(entry={"path": 5}), "vp.submission"),
    ],
)
def test_a_submission_that_points_elsewhere_is_refused(text: str, code: str) -> None:
    assert refused(HOSPITAL.present(), submission=text) == code


def test_no_algorithm_and_no_shared_secret() -> None:
    _, claims = opened(HOSPITAL.present())
    body = jose.encoded(dump(claims))
    for algorithm in ("none", "HS256", "ES512", "ES256K"):
        head = jose.encoded(dump({"alg": algorithm, "kid": HOSPITAL.holder.kid}))
        assert refused(f"{head}.{body}.") in {"jwt.alg", "jwt.key"}


def test_a_web_holder_that_cannot_be_looked_up_is_refused_like_any_other() -> None:
    party = holder()
    did = "did:web:node.example"
    claims = opened(present(party, [HOSPITAL.x509(did)], AUDIENCE, 5, UZI.making()))[1]
    claims |= {"iss": did, "sub": did, "vp": claims["vp"] | {"holder": did}}

    assert refused(signed(claims, party, kid=f"{did}#0")) == "did.document"


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "iat", "nonce", "jti", "vp", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just(AUDIENCE),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["type", "@context", "verifiableCredential", "holder", "id"]),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_no_claims_break_the_reader(claims: dict[str, Any]) -> None:
    _only_ours(lambda: verified(altered(**claims)))


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["type", "@context", "credentialSubject", "issuer", "id", "credentialStatus", "proof"]
        ),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=20) | st.just("X509Credential"),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["id", "san", "otherName", "subject", "O", "type"]),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=10,
        ),
        max_size=5,
    )
)
def test_no_credential_breaks_the_reader(vc: dict[str, Any]) -> None:
    text = HOSPITAL.x509()
    inner = opened(text)[1]["vc"] | vc
    odd = resigned(text, HOSPITAL.signing.key, vc=inner)

    _only_ours(lambda: verified(HOSPITAL.present(credentials=[odd])))
    _only_ours(lambda: verified(altered(vp={**opened(HOSPITAL.present())[1]["vp"], **vc})))


def _only_ours(work: Callable[[], object]) -> None:
    try:
        work()
    except LdnError as error:
        assert error.detail


@given(
    st.text(max_size=60)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=12),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["id", "definition_id", "descriptor_map", "path", "path_nested"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=8,
    ).map(json.dumps)
)
def test_no_submission_breaks_the_reader(text: str) -> None:
    _only_ours(lambda: read_submission(text, definition(), 1, Trail()))
