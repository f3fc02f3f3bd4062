"""What a proof may be turned into: trust and broker §9 with its invariants, rule R68."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trust.broker.proofs import (
    ASKER,
    BROKER,
    CERTIFICATE,
    HOLDER,
    ISSUER,
    NOW,
    PATIENT,
    PERSON,
    PROOF,
    SIDES,
    asked,
    audience,
    terms,
)

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.trust.broker.convert import narrow
from openldn.trust.broker.model import Asked, Draft, Terms, conversions
from openldn.trust.evidence import Proof, Value
from openldn.trust.peers import profile
from openldn.trust.trail import FAIL, Trail

HOMES = {"twiin": "lsp", "vp": "nuts", "vp2": "nuts", "saml": "zorgplatform"}
ROADS = [(d, home, side) for d, home in HOMES.items() for side in SIDES if side != home]
SCOPES = st.frozensets(st.sampled_from(["bgz:pull", "bgz:notify", "lab:pull", "med:pull"]))
ACTORS = st.sampled_from(["https://b1", "https://b2", BROKER])
SECONDS = st.integers(min_value=-600, max_value=3600).map(lambda s: timedelta(seconds=s))


def refused(proof: Proof, ask: Asked | None = None) -> tuple[Issue, str]:
    trail = Trail()
    with pytest.raises(LdnError) as error:
        narrow(proof, ask or asked(), terms(), trail)
    failed = trail.failed
    assert failed is not None
    assert failed.rule.code == error.value.detail
    return error.value.issue, error.value.detail


def tried(proof: Proof, ask: Asked, bounds: Terms) -> Draft | None:
    try:
        return narrow(proof, ask, bounds, Trail())
    except LdnError:
        return None


@st.composite
def proofs(draw: st.DrawFn) -> Proof:
    expires = NOW + draw(SECONDS)
    evidence = draw(st.lists(SECONDS, max_size=3))
    return replace(
        PROOF,
        dialect=draw(st.sampled_from([*HOMES, "certificate", "broker"])),
        organization=draw(st.sampled_from([ASKER, HOLDER])),
        issued=NOW - draw(SECONDS),
        expires=expires,
        evidence=tuple(replace(CERTIFICATE, expires=NOW + e) for e in evidence),
        person=draw(st.sampled_from([None, PERSON])),
        patient=draw(st.sampled_from([None, PATIENT])),
        scopes=draw(st.none() | SCOPES),
        act=tuple(
            draw(st.lists(st.sampled_from(["https://b1", "https://b2", BROKER]), max_size=4))
        ),
    )


@st.composite
def questions(draw: st.DrawFn) -> Asked:
    side = draw(st.sampled_from(sorted(SIDES)))
    return asked(
        side,
        audience=audience(side, scopes=draw(st.none() | SCOPES)),
        gives=draw(st.sampled_from(["jwt", "vp", "saml"])),
        scopes=draw(SCOPES),
    )


@pytest.mark.parametrize(("dialect", "home", "side"), ROADS)
def test_every_dialect_becomes_that_of_every_other_infrastructure(
    dialect: str, home: str, side: str
) -> None:
    trail = Trail()
    draft = narrow(replace(PROOF, dialect=dialect), asked(side), terms(), trail)

    assert (draft.gives, draft.via) == (SIDES[side][0], (home,))
    assert trail.failed is None
    assert len(trail.checks) == 11


def test_the_table_names_each_conversion_once() -> None:
    table = conversions()

    assert [c.id for c in table.conversions] == [f"B{n}" for n in range(1, 10)]
    ours = [(t, g) for c in table.conversions if c.by == "broker" for t in c.takes for g in c.gives]
    assert len(ours) == len(set(ours))


@pytest.mark.parametrize(
    ("takes", "gives", "id"),
    [
        ("certificate", "jwt", "B2"),
        ("certificate", "vp", "B2"),
        ("certificate", "saml", "B2"),
        ("vp", "jwt", "B5"),
        ("vp2", "saml", "B6"),
        ("saml", "vp", "B7"),
        ("saml", "jwt", "B7"),
        ("twiin", "vp", "B8"),
        ("twiin", "saml", "B8"),
    ],
)
def test_each_road_has_its_row(takes: str, gives: str, id: str) -> None:
    found = conversions().find(takes, gives)
    assert found is not None
    assert found.id == id


@given(proof=proofs(), ask=questions())
def test_no_identity_is_minted_that_was_not_proven(proof: Proof, ask: Asked) -> None:
    if draft := tried(proof, ask, terms()):
        assert draft.organization == proof.organization == ASKER
        assert draft.person is proof.person
        assert draft.patient is proof.patient
        assert draft.evidence == proof.evidence != ()
        assert draft.proof is proof


@given(proof=proofs(), ask=questions(), longest=SECONDS)
def test_nothing_lives_longer_than_what_it_rests_on(
    proof: Proof, ask: Asked, longest: timedelta
) -> None:
    if draft := tried(proof, ask, terms(longest=longest)):
        assert draft.expires <= proof.expires
        assert all(draft.expires <= e.expires for e in proof.evidence)
        assert draft.expires - draft.issued <= longest
        assert draft.expires >= draft.shown_by > draft.issued == NOW


@given(proof=proofs(), ask=questions())
def test_scope_and_audience_never_widen(proof: Proof, ask: Asked) -> None:
    if draft := tried(proof, ask, terms()):
        assert draft.scopes
        assert proof.scopes is None or draft.scopes <= proof.scopes
        assert draft.audience.scopes is None or draft.scopes <= draft.audience.scopes
        assert draft.audience.issuer == ISSUER


@given(proof=proofs(), ask=questions())
def test_the_chain_of_actors_grows_by_the_broker_and_stays_bounded(
    proof: Proof, ask: Asked
) -> None:
    if draft := tried(proof, ask, terms()):
        assert draft.act == (BROKER, *proof.act)
        assert draft.act.count(BROKER) == 1
        assert len(draft.act) <= 3


@given(proof=proofs(), ask=questions())
def test_no_infrastructure_is_entered_twice(proof: Proof, ask: Asked) -> None:
    if draft := tried(proof, ask, terms()):
        assert draft.audience.infrastructure not in draft.via


@given(proof=proofs(), ask=questions())
def test_every_refusal_is_one_failed_check_on_the_trail(proof: Proof, ask: Asked) -> None:
    trail = Trail()
    try:
        narrow(proof, ask, terms(), trail)
    except LdnError as error:
        assert [c.rule.code for c in trail if c.outcome == FAIL] == [error.detail]
    else:
        assert trail.failed is None


def test_another_organizations_proof_is_refused() -> None:
    stolen = replace(PROOF, organization=Ura("90000399"))
    assert refused(stolen) == (Issue.LOGIN, "broker.party")


def test_an_actor_that_is_not_who_asks_is_refused() -> None:
    assert refused(PROOF, asked(actor=HOLDER.value)) == (Issue.LOGIN, "broker.actor")


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_proof_that_has_ended_is_refused(seconds: int) -> None:
    old = replace(PROOF, expires=NOW + timedelta(seconds=seconds))
    assert refused(old) == (Issue.LOGIN, "broker.current")


def test_a_proof_of_the_future_is_refused() -> None:
    early = replace(PROOF, issued=NOW + timedelta(seconds=6))
    assert refused(early) == (Issue.LOGIN, "broker.current")


def test_a_proof_that_rests_on_nothing_is_refused() -> None:
    assert refused(replace(PROOF, evidence=())) == (Issue.LOGIN, "broker.evidence")


def test_the_way_back_is_refused() -> None:
    assert refused(PROOF, asked("lsp")) == (Issue.NOT_FOUND, "broker.infrastructure")


def test_an_infrastructure_passed_with_another_broker_is_refused() -> None:
    value = Value("nuts", "https://b1", NOW, NOW + timedelta(minutes=1))
    passed = replace(PROOF, act=("https://b1",), claims={"via": {"infrastructure": (value,)}})
    assert refused(passed) == (Issue.NOT_FOUND, "broker.infrastructure")


def test_what_cannot_be_converted_is_refused() -> None:
    strange = replace(PROOF, dialect="semaphore")
    assert refused(strange) == (Issue.NOT_SUPPORTED, "broker.conversion")


def test_a_form_that_the_holder_does_not_speak_is_refused() -> None:
    assert refused(PROOF, asked("nuts", gives="saml")) == (Issue.NOT_SUPPORTED, "broker.spoken")


@pytest.mark.parametrize("scopes", [frozenset(), frozenset({"bgz:pull", "lab:pull"})])
def test_a_scope_beyond_the_proof_is_refused(scopes: frozenset[str]) -> None:
    narrower = replace(PROOF, scopes=frozenset({"bgz:pull"}))
    assert refused(narrower, asked(scopes=scopes)) == (Issue.BUSINESS_RULE, "broker.scope")


def test_a_chain_that_passed_this_broker_is_refused() -> None:
    assert refused(replace(PROOF, act=("https://b1", BROKER))) == (Issue.LOGIN, "broker.loop")


def test_a_fourth_broker_is_refused() -> None:
    long = replace(PROOF, act=("https://b1", "https://b2", "https://b3"))
    assert refused(long) == (Issue.LOGIN, "broker.depth")


def test_what_would_live_less_than_a_second_is_not_minted() -> None:
    short = replace(PROOF, expires=NOW + timedelta(milliseconds=900))
    assert refused(short) == (Issue.LOGIN, "broker.lifetime")


def test_a_presentation_for_nuts_can_be_shown_five_seconds_at_most() -> None:
    ask = asked("nuts", audience=audience("nuts", profile=profile("nuts-6")))
    draft = narrow(PROOF, ask, terms(), Trail())
    assert draft.shown_by - draft.issued == timedelta(seconds=5)
