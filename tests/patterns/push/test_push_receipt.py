"""The receipt of a push says what was made of it, or why not, and can be read back."""

from copy import deepcopy
from datetime import UTC, datetime

import pytest
from pushes import document, observation, parcel_of, patient, transaction

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import check
from openldn.fhir.identifiers import Bsn, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.patterns.push.model import Content, Push
from openldn.patterns.push.receipt import (
    Line,
    apart,
    read_receipt,
    receipt_of,
    refusal_of,
    state_of,
    status_of,
    with_signature,
)
from openldn.patterns.push.rules import Finding, Terms, findings

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
DIGEST = "ni:///sha-256;abc"
WHY = Finding("type", Issue.NOT_SUPPORTED, "not taken", "Bundle.entry[1].resource", 1)
SIGNATURE = {
    "type": [{"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}],
    "when": "2026-03-01T09:00:00.000Z",
    "who": {"identifier": {"system": "urn:oid:2.16.528.1.1007.3.3", "value": "90000002"}},
    "targetFormat": "application/fhir+json",
    "sigFormat": "application/jose",
    "data": "QUJD",
}


def push(form: str = "transaction") -> Push:
    sides = Ura("90000001"), Ura("90000002")
    content = Content(form, 2, 1000, DIGEST)
    known = ("p1", "urn:uuid:00000000-0000-4000-8000-000000000009", *sides, "referral", "send")
    return Push(*known, FhirVersion.R4, NOW, NOW, "accepted", 2, content)


def test_pu12_a_receipt_names_message_content_and_what_each_entry_became() -> None:
    lines = (Line(200), Line(201, "Observation/1/_history/1"))

    told = receipt_of(push(), lines)
    read = read_receipt(check(deepcopy(told), FhirVersion.R4))

    assert (read.message, read.digest) == (push().message, DIGEST)
    assert (read.state, read.why, read.lines) == ("accepted", None, lines)


def test_pu12_a_partly_taken_batch_says_which_entry_was_refused_and_why() -> None:
    lines = (Line(201, "Patient/1/_history/1"), Line(422, finding=WHY))

    told = receipt_of(push("batch"), lines)
    read = read_receipt(check(deepcopy(told), FhirVersion.R4))

    assert told["type"] == "batch-response"
    assert read.state == "partly-accepted" == state_of(lines)
    assert read.why is not None and read.why.code == "type"


def test_pu12_a_refusal_is_an_outcome_with_a_coded_reason_and_its_message() -> None:
    told = refusal_of(push(), [WHY])
    read = read_receipt(check(deepcopy(told), FhirVersion.R4))

    assert (read.message, read.digest, read.state) == (push().message, DIGEST, "refused")
    assert read.why is not None and (read.why.code, read.why.text) == ("type", "not taken")


@pytest.mark.parametrize("version", FhirVersion)
@pytest.mark.parametrize(
    "receipt", [receipt_of(push(), (Line(201, "Patient/1/_history/1"),)), refusal_of(push(), [WHY])]
)
def test_pu12_a_signature_is_put_and_taken_apart_in_both_versions(
    receipt: Resource, version: FhirVersion
) -> None:
    whole = with_signature(receipt, SIGNATURE, version)

    rest, signature = apart(check(deepcopy(whole), version))

    assert rest == receipt
    expected = {n: v for n, v in SIGNATURE.items() if n != "targetFormat"}
    assert signature is not None and signature.items() >= expected.items()


def test_a_receipt_without_signature_has_none() -> None:
    assert apart(receipt_of(push(), ()))[1] is None
    assert apart(refusal_of(push(), [WHY]))[1] is None


def test_the_status_of_a_refusal_follows_from_its_first_reason() -> None:
    terms = Terms(Bsn("999911120"), ("transaction",), frozenset({"Patient"}))
    cases = {
        422: transaction(patient(), observation(1)),
        413: transaction(*(patient() for _ in range(2001))),
        403: transaction(patient("999900006")),
    }
    for status, bundle in cases.items():
        assert status_of(findings(parcel_of(bundle), terms)) == status
    assert status_of(findings(parcel_of(document()), terms)) == 422


def test_what_another_party_says_is_cut_and_unknown_words_are_not_repeated() -> None:
    long = {**refusal_of(push(), [WHY])}
    long["issue"][0]["details"]["text"] = "x" * 10_000
    read = read_receipt(long)
    assert read.why is not None and len(read.why.text) == 300

    strange = {"resourceType": "OperationOutcome", "issue": [{"code": "odd", "diagnostics": "J."}]}
    read = read_receipt(strange)
    assert read.why is not None and read.why.code == "business-rule" and "J." not in read.why.text


@pytest.mark.parametrize(
    "answer",
    [
        {"resourceType": "Bundle", "type": "searchset"},
        {"resourceType": "Bundle", "type": "transaction-response", "entry": [{}]},
        {
            "resourceType": "Bundle",
            "type": "transaction-response",
            "entry": [{"response": {"status": "done"}}],
        },
    ],
)
def test_an_answer_that_is_no_receipt_is_not_taken_for_one(answer: Resource) -> None:
    with pytest.raises(LdnError) as told:
        read_receipt(answer)
    assert told.value.issue is Issue.INCOMPLETE
