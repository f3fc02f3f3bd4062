"""Systems of identifiers. Source: generic functions §1, rules I01-I06."""

import json
from typing import Any

import pytest

from openldn.base import log
from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import utc_now
from openldn.fhir.identifier_systems import (
    CUSTODIAN,
    KVK_OLDER,
    KVK_SYSTEM,
    SYSTEMS,
    CustodianAssigned,
    custodian_assigned,
    identifier_of,
    number_of,
    system_of,
)
from openldn.fhir.identifiers import (
    AGB_SYSTEM,
    BSN_SYSTEM,
    URA_SYSTEM,
    Agb,
    Bsn,
    Kvk,
    KvkBranch,
    Oin,
    Ura,
    Uzi,
    bsn_reader,
)
from openldn.trust.tokens.model import AccessToken, Shown


@pytest.mark.parametrize("text", ["999990007", "123456782", "999911120"])
def test_i01_a_bsn_that_passes_the_check_is_accepted(text: str) -> None:
    assert Bsn.parse(text).value == text


@pytest.mark.parametrize("text", ["999940003", "000000000", "12345678", "99999000a"])
def test_i02_a_bsn_that_fails_is_refused(text: str) -> None:
    with pytest.raises(LdnError) as refused:
        Bsn.parse(text)

    assert refused.value.issue is Issue.INVALID
    assert text not in refused.value.message


def test_i02_an_untested_bsn_is_accepted_only_with_its_setting() -> None:
    strict = bsn_reader(insecure_accept_untested_bsn=False)
    loose = bsn_reader(insecure_accept_untested_bsn=True)

    assert loose("999940003").value == "999940003"
    for reader in (strict, Bsn.parse):  # also after the loose one was used
        with pytest.raises(LdnError):
            reader("999940003")
    for text in ("000000000", "12345678", "99999000a", "٩٩٩٩٤٠٠٠٣"):
        with pytest.raises(LdnError):
            loose(text)


@pytest.mark.parametrize("uri", [KVK_SYSTEM, KVK_OLDER])
def test_i03_both_systems_of_kvk_are_read_and_one_is_written(uri: str) -> None:
    number = number_of({"system": uri, "value": "12345678"})

    assert number == Kvk("12345678")
    assert identifier_of(Kvk("12345678")) == {"system": KVK_SYSTEM, "value": "12345678"}


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: s.name)
def test_each_system_is_read_in_every_spelling_and_written_in_one(system: Any) -> None:
    value = {
        "bsn": "999911120",
        "kvk-branch": "123456789012",
        "oin": "00000003123456780000",
    }.get(system.name, "90000382")

    for spelling in system.spellings:
        assert system_of(spelling) == system
        number = number_of({"system": spelling, "value": value})
        assert number is not None and number.value == value
        if system.outside:
            assert identifier_of(number) == {"system": system.uri, "value": value}


def test_an_oin_is_never_sent_out() -> None:
    with pytest.raises(LdnError):
        identifier_of(Oin("00000003123456780000"))


def test_another_system_is_no_number_of_ours_and_a_wrong_value_is_not_repeated() -> None:
    assert number_of({"system": "https://example.org/patients", "value": "1"}) is None
    assert number_of({"value": "1"}) is None
    with pytest.raises(LdnError) as refused:
        number_of({"system": BSN_SYSTEM, "value": "999940003"})
    assert "999940003" not in str(refused.value)
    with pytest.raises(LdnError):
        number_of({"system": URA_SYSTEM, "value": 90000382})


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Agb, "01057999", "1057999"),
        (Kvk, "12345678", "123456789"),
        (KvkBranch, "123456789012", "12345678901x"),
        (Uzi, "900012345", "9000123456789"),
    ],
)
def test_a_number_is_read_as_it_is_or_refused(kind: Any, good: str, bad: str) -> None:
    assert kind.parse(good).value == good
    for text in (bad, "", "१२३४५६७८", f" {good}"):
        with pytest.raises(LdnError) as refused:
            kind.parse(text)
        assert refused.value.issue is Issue.INVALID


def assigned(**other: Any) -> dict[str, Any]:
    assigner = {
        "system": URA_SYSTEM,
        "value": "90000382",
        "type": {"coding": [{"system": CUSTODIAN, "code": "custodian"}]},
    }
    whole: dict[str, Any] = {"use": "official", "system": "https://h.example/ids", "value": "7"}
    return whole | {"assigner": {"identifier": assigner | other.pop("assigner", {})}} | other


@pytest.mark.parametrize("uri", [URA_SYSTEM, KVK_SYSTEM, KVK_OLDER])
def test_a_custodian_has_a_ura_or_a_kvk_number(uri: str) -> None:
    found = custodian_assigned(assigned(assigner={"system": uri, "value": "90000382"}))

    kind = Ura if uri == URA_SYSTEM else Kvk
    assert found == CustodianAssigned("https://h.example/ids", "7", kind("90000382"))


_TWO = {"coding": [{"system": CUSTODIAN, "code": c} for c in ("custodian", "author")]}
_OTHER = {"coding": [{"system": CUSTODIAN, "code": "author"}]}


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"assigner": {"type": _TWO}}, "assigner.identifier.type.coding"),
        ({"assigner": {"type": _OTHER}}, "assigner.identifier.type.coding"),
        ({"assigner": {"type": None}}, "assigner.identifier.type.coding"),
        ({"assigner": {"system": AGB_SYSTEM}}, "assigner.identifier.system"),
        ({"assigner": {"system": None}}, "assigner.identifier.system"),
        ({"assigner": {"value": "x"}}, "assigner.identifier.value"),
        ({"use": "temp"}, "use"),
        ({"use": None}, "use"),
        ({"system": None}, "system"),
        ({"value": ""}, "value"),
    ],
)
def test_i04_what_is_not_assigned_by_one_custodian_is_rejected(
    wrong: dict[str, Any], where: str
) -> None:
    with pytest.raises(LdnError) as refused:
        custodian_assigned(assigned(**wrong), "Location.identifier[0]")

    assert refused.value.issue is Issue.BUSINESS_RULE
    assert refused.value.where == f"Location.identifier[0].{where}"


def test_i04_without_an_assigner_it_is_rejected() -> None:
    without = assigned()
    del without["assigner"]

    with pytest.raises(LdnError) as refused:
        custodian_assigned(without)
    assert refused.value.where == "assigner.identifier"


def test_i06_what_is_personal_or_secret_does_not_reach_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bsn, uzi, secret = "999911120", "900012345", "s3cr3t-t0k3n-of-a-caller"
    things = [
        Bsn.parse(bsn),
        Bsn.untested(bsn),
        Uzi.parse(uzi),
        AccessToken(secret, "jti", utc_now()),
        Shown("bearer", secret),
    ]
    log.configure("node")

    for thing in things:
        log.emit("failed", detail=f"{thing} {thing!r} {[thing]}", issue="exception")
        log.emit("failed", detail=str({"of": thing}), issue="exception")

    written = capsys.readouterr().err
    lines = [json.loads(line) for line in written.splitlines()]
    assert [line["event"] for line in lines] == ["failed"] * 2 * len(things)
    for hidden in (bsn, uzi, secret):
        assert hidden not in written
