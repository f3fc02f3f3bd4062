"""Presentation definitions: DIF PE 2; R49–R51, R75; trust and broker §5.3, §5.4."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trust.credentials.kit import NOW, asking, defined

from openldn.base.errors import Issue, LdnError
from openldn.exchanges import EXCHANGES
from openldn.fhir.codec import dump
from openldn.trust.credentials.definitions import (
    RESERVED,
    load_definition,
    load_policies,
    policy_of,
    shipped_policies,
    spelled,
)
from openldn.trust.credentials.matching import select
from openldn.trust.credentials.model import Credential
from openldn.trust.credentials.patterns import captured, pattern

UZI = r"^[0-9.]+-\d+-\d+-S-(\d+)-00\.000-\d+$"
NUMBER = "2.16.528.1.1007.99.2110-1-900025039-S-90000382-00.000-00000000"


def wrong(value: object) -> str:
    with pytest.raises(LdnError) as caught:
        load_definition(value, "bgz: organization")
    assert caught.value.issue is Issue.INVALID
    assert "presentation definition bgz: organization" in caught.value.message
    return caught.value.message


def field(**members: Any) -> dict[str, Any]:
    fields = [{"path": ["$.type"], **members}]
    return {"id": "d", "input_descriptors": [{"id": "a", "constraints": {"fields": fields}}]}


def credential(kind: str, algorithm: str = "ES256", **subject: Any) -> Credential:
    content = {"type": ["VerifiableCredential", kind], "credentialSubject": subject}
    return Credential(
        "1",
        (kind,),
        "did:web:a.example",
        "did:web:b.example",
        NOW,
        None,
        content,
        (),
        {},
        algorithm,
    )


def test_every_exchange_has_a_definition_that_asks_who_the_organization_is() -> None:
    scopes = {case.scope for e in EXCHANGES.values() for case in e.use_cases}

    for scope in scopes:
        policy = policy_of(shipped_policies(), scope)
        assert policy is not None
        ids = {f.id for d in policy.organization.descriptors for f in d.fields}
        assert {"organization_id", "organization_name", "organization_ura"} <= ids


def test_r75_letter_case_and_dashes_of_a_scope_do_not_matter() -> None:
    policies = load_policies(dump({"Bgz-Sender": {"organization": field()}}))

    assert policy_of(policies, "bgzsender") is policy_of(policies, "BGZ-sender")
    assert policy_of(policies, "bgzother") is None


def test_r50_two_groups_and_reserved_names_are_refused_at_start_up() -> None:
    assert "two capture groups" in wrong(field(filter={"pattern": "^(a)-(b)$"}))
    for name in sorted(RESERVED):
        assert "reserved" in wrong(field(id=name))


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"id": "d", "input_descriptors": []},
        {"id": "d", "input_descriptors": [1]},
        {"id": "d", "input_descriptors": [{"id": "a"}]},
        {"id": "d", "input_descriptors": [{"id": "a", "constraints": {"fields": []}}]},
        field(path=[]),
        field(path=["$["]),
        field(path=["type"]),
        field(path=["$." + "a" * 400]),
        field(filter=[]),
        field(filter={"type": "number"}),
        field(filter={"minimum": 5}),
        field(filter={"pattern": "["}),
        field(filter={"pattern": "a" * 300}),
        field(filter={"const": 5}),
        field(filter={"enum": [5]}),
        {**field(), "format": {"jwt_vp": {"alg": ["none"]}}},
        {**field(), "format": {"jwt_vc": {"alg": []}}},
        {**field(), "submission_requirements": [{"rule": "pick", "from": "absent"}]},
        {**field(), "submission_requirements": [{"rule": "pick"}]},
        {"id": "d", "input_descriptors": [*field()["input_descriptors"]] * 2},
    ],
)
def test_a_definition_that_cannot_work_is_refused_at_start_up(value: object) -> None:
    assert wrong(value)


@pytest.mark.parametrize(
    "content", [b"[]", b"{", b'{"bgz": 1}', b'{"bgz": {"other": {}}}', b'{"a":{}}']
)
def test_policies_that_cannot_work_are_refused_at_start_up(content: bytes) -> None:
    with pytest.raises(LdnError):
        load_policies(content)


def test_the_number_of_a_uzi_certificate_gives_the_ura() -> None:
    assert captured(UZI, NUMBER) == "90000382"
    assert captured(UZI, NUMBER.replace("-S-", "-M-")) is None
    assert captured(UZI, NUMBER.replace("00.000", "01.015")) is None
    assert captured(UZI, NUMBER + "\n") is None
    assert captured(UZI, NUMBER + "x" * 2000) is None
    assert captured("^did:web:", "did:web:a.example") == "did:web:a.example"


@pytest.mark.parametrize(
    "text",
    [
        r"(a+)+$",
        r"^(?:a|a)*$",
        r"(?:a*)*b",
        r"a*a*a*b",
        r"\d+\d+\d+$",
        r".*.*.*x",
        r"(.*)-(?:.*)-.*x",
        r"[a-z]+[a-y]+[a-x]+$",
        r"(?=a)b",
        r"(?P<n>a)",
        r"(?<=a)b",
        r"(a)\1",
        r"(?:a{1,}){1,}",
        r"((a{0,999}){0,999}){0,999}",
    ],
)
def test_a_pattern_that_could_run_long_is_refused(text: str) -> None:
    with pytest.raises(LdnError):
        pattern(text)


@pytest.mark.parametrize(
    "text", [UZI, "^did:web:", ".*", "^a.*z$", r"^\d{8}$", "a|b", r"^[^:]+:\w+$"]
)
def test_plain_patterns_are_taken_and_are_quick(text: str) -> None:
    for value in ("a" * 1024, "1" * 1024, "1-" * 512, "a:" * 512):
        began = time.perf_counter()
        captured(text, value)
        assert time.perf_counter() - began < 0.2


@given(st.text(alphabet=r"ab.*+?()[]{}|\d^$1,-", max_size=14))
def test_no_pattern_that_is_taken_runs_long(text: str) -> None:
    try:
        pattern(text)
    except LdnError:
        return
    began = time.perf_counter()
    captured(text, "a" * 600 + "!")
    assert time.perf_counter() - began < 1.0


def test_const_enum_optional_and_the_first_path_that_finds_something() -> None:
    wanted = defined(
        {
            "id": "a",
            "constraints": {
                "fields": [
                    {"path": ["$.type"], "filter": {"type": "string", "enum": ["A", "B"]}},
                    {"id": "n", "path": ["$.credentialSubject.x", "$.credentialSubject.y"]},
                    {"id": "o", "path": ["$.credentialSubject.o"], "optional": True},
                ]
            },
        }
    )

    found = select(wanted, [credential("C", y="1"), credential("B", y="2")], {})

    assert found is not None
    assert found.chosen == {"a": 1}
    assert [v.value for v in found.captured["n"]] == ["2"]
    assert "o" not in found.captured
    assert select(wanted, [credential("B")], {}) is None


def test_the_same_name_in_two_descriptors_must_say_the_same() -> None:
    ura = {"id": "ura", "path": ["$.credentialSubject.ura"]}
    wanted = defined(asking("A", ura), asking("B", ura))

    assert select(wanted, [credential("A", ura="1"), credential("B", ura="00000001")], {})
    assert select(wanted, [credential("A", ura="1"), credential("B", ura="2")], {}) is None


def test_the_algorithms_of_a_descriptor_limit_its_credential() -> None:
    wanted = defined({**asking("A"), "format": {"jwt_vc": {"alg": ["PS256"]}}})

    assert select(wanted, [credential("A", "PS256")], {})
    assert select(wanted, [credential("A", "ES256")], {}) is None


@pytest.mark.parametrize(
    ("requirement", "kinds", "fulfilled"),
    [
        ({"rule": "all", "from": "g"}, "AB", True),
        ({"rule": "all", "from": "g"}, "A", False),
        ({"rule": "pick", "from": "g"}, "A", True),
        ({"rule": "pick", "from": "g"}, "C", False),
        ({"rule": "pick", "count": 2, "from": "g"}, "A", False),
        ({"rule": "pick", "min": 1, "max": 2, "from": "g"}, "AB", True),
        (
            {
                "rule": "pick",
                "count": 1,
                "from_nested": [{"rule": "all", "from": "g"}, {"rule": "all", "from": "h"}],
            },
            "C",
            True,
        ),
    ],
)
def test_submission_requirements_pick_from_groups(
    requirement: dict[str, Any], kinds: str, fulfilled: bool
) -> None:
    wanted = defined(
        *(
            {**asking(kind), "group": [group]}
            for kind, group in (("A", "g"), ("B", "g"), ("C", "h"))
        ),
        submission_requirements=[requirement],
    )

    assert (select(wanted, [credential(k) for k in kinds], {}) is not None) is fulfilled


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "input_descriptors", "constraints", "fields", "path", "filter", "format",
                 "pattern", "const", "enum", "submission_requirements", "rule", "from", "group",
                 "jwt_vp", "alg", "count", "from_nested"]
            ),
            inner,
            max_size=4,
        ),
        max_leaves=12,
    )
)  # fmt: skip
def test_no_definition_breaks_the_reader(value: object) -> None:
    for shape in (value, {"id": "d", "input_descriptors": [value]}, field(filter=value)):
        try:
            load_definition(shape)
        except LdnError as error:
            assert error.issue is Issue.INVALID


@pytest.mark.parametrize("name", ["system", "SYSTEM", "Sys-tem", "test_open", "TEST_x", "test-x"])
def test_r74_a_name_that_policy_engines_keep_for_themselves_is_refused(name: str) -> None:
    with pytest.raises(LdnError, match="no policy may have the name") as caught:
        load_policies(dump({name: {"organization": field()}}))

    assert name in caught.value.message


def test_r74_a_name_that_only_resembles_one_is_taken() -> None:
    found = load_policies(dump({n: {"organization": field()} for n in ("testament", "systems")}))

    assert set(found) == {"testament", "systems"}


def test_r75_scopes_are_read_as_they_are_offered_whatever_their_case_and_dashes() -> None:
    offered = {"bgz:pull", "medication-overview"}

    assert spelled(["BGZ:Pull", "medication_overview"], offered) == offered
    assert spelled(["MedicationOverview", "other"], offered) == {"medication-overview", "other"}


@pytest.mark.parametrize(
    "path",
    [
        "$..[?search(@.name, '^(a+)+$x')]",
        "$..[?match(@.name,'(a|aa)+b')]",
        "$..[?@.name =~ /(a+)+b/]",
        "$.a[? count (@..*) > 1]",
        "$..a[?$..b]",
        "$.a[?@.x[?@.y[?@.z]]]",
        "$..*..*..*",
        "$.a | $..b",
    ],
)
def test_no_path_of_another_party_keeps_us_busy(path: str) -> None:
    """A holder tells what it wants presented: who asks looks in its wallet by those paths."""
    began = time.perf_counter()

    assert "JSONPath" in wrong(field(path=[path]))
    assert time.perf_counter() - began < 0.1


def test_a_path_may_choose_by_an_equal_value() -> None:
    load_definition(field(path=["$.identifier[?(@.system=='http://fhir.nl/fhir/ura')].value"]))
