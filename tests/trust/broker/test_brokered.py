"""What a holder takes from a broker's word: RFC 8693 §4.1, RFC 8705 §3.1, rule R68."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from trust.broker.proofs import BROKER, NOW, PROOF

from openldn.base.errors import LdnError
from openldn.trust.brokered import completed, flat, nested
from openldn.trust.certificates import thumbprint
from openldn.trust.jose import key_of, read, sign
from openldn.trust.trail import Trail

DER = b"certificate of the connection"
KEY = key_of(ec.generate_private_key(ec.SECP256R1()))
LISTED = {"issuer": "did:web:broker.example", "uri": "https://b/status/1", "idx": 4}
ENDS = int((NOW + timedelta(minutes=3)).timestamp())
SAID: dict[str, Any] = {
    "jti": "id-1",
    "act": {"sub": BROKER},
    "via": ["nuts"],
    "scope": "bgz:pull",
    "cnf": {"x5t#S256": thumbprint(DER)},
    "status": LISTED | {"exp": ENDS},
}


def token(**changes: Any) -> dict[str, Any]:
    said = {k: v for k, v in (SAID | changes).items() if v is not None}
    return read(sign(said, KEY, "ES256"), Trail()).claims


def test_the_word_of_a_broker_completes_the_proof() -> None:
    found = completed(PROOF, token(), DER, Trail())

    assert found.act == (BROKER,)
    assert found.scopes == frozenset({"bgz:pull"})
    assert found.expires == NOW + timedelta(minutes=3)
    assert found.evidence[-1].status is not None
    assert found.evidence[-1].status.index == 4
    assert (found.organization, found.person, found.patient) == (
        PROOF.organization,
        PROOF.person,
        PROOF.patient,
    )


WHY = {"case": "c-1", "code": "other", "text": "naast haar fiets", "level": "x", "began": 12}


def test_r83_the_reason_that_a_broker_passes_on_is_whole_or_refused() -> None:
    assert completed(PROOF, token(emergency=WHY), DER, Trail()).emergency is not None
    whole: list[object] = [
        *({**WHY, "text": ""}, {**WHY, "text": "x" * 1001}, {**WHY, "text": "a\u200bb"}),
        *({**WHY, "began": "12"}, {**WHY, "began": True}, {**WHY, "began": -1}),
        *({**WHY, "case": 1}, {}, [], "broken"),
    ]
    for wrong in whole:
        with pytest.raises(LdnError) as error:
            completed(PROOF, token(emergency=wrong), DER, Trail())
        assert error.value.detail == "brokered.emergency"


def test_a_scope_is_only_ever_narrowed() -> None:
    narrow = replace(PROOF, scopes=frozenset({"lab:pull", "bgz:pull"}))
    found = completed(narrow, token(scope="bgz:pull med:pull"), DER, Trail())
    assert found.scopes == frozenset({"bgz:pull"})


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"cnf": None}, "brokered.cnf"),
        ({"cnf": {"x5t#S256": "other"}}, "brokered.cnf"),
        ({"cnf": {"x5t#S256": 1}}, "brokered.cnf"),
        ({"cnf": "x"}, "brokered.cnf"),
        ({"scope": None}, "brokered.scope"),
        ({"scope": " "}, "brokered.scope"),
        ({"act": None}, "brokered.act"),
        ({"act": {}}, "brokered.act"),
        ({"iss": "https://other.example"}, "brokered.act"),
        ({"act": {"sub": 1}}, "brokered.act"),
        ({"act": "x"}, "brokered.act"),
        ({"act": nested(("a", "b", "c", "d"))}, "brokered.act"),
        ({"status": None}, "brokered.status"),
        ({"status": "x"}, "brokered.status"),
        ({"status": LISTED}, "brokered.status"),
        ({"status": LISTED | {"exp": ENDS, "idx": -1}}, "brokered.status"),
        ({"status": LISTED | {"exp": ENDS, "idx": True}}, "brokered.status"),
        ({"status": LISTED | {"exp": 2**40}}, "brokered.status"),
        ({"status": LISTED | {"exp": ENDS, "uri": 1}}, "brokered.status"),
    ],
    ids=lambda v: str(v)[:50],
)
def test_a_word_that_is_not_whole_is_refused(change: dict[str, Any], code: str) -> None:
    with pytest.raises(LdnError) as error:
        completed(PROOF, token(**change), DER, Trail())
    assert error.value.detail == code


def test_without_a_client_certificate_nothing_is_taken() -> None:
    with pytest.raises(LdnError) as error:
        completed(PROOF, token(), b"", Trail())
    assert error.value.detail == "brokered.cnf"


def test_what_no_broker_said_stays_as_it_is() -> None:
    assert completed(PROOF, None, DER, Trail()) is PROOF


@pytest.mark.parametrize("act", [(), ("a",), ("a", "b", "c")])
def test_a_chain_of_actors_comes_back_as_it_went(act: tuple[str, ...]) -> None:
    assert flat(nested(act) or None) == act
