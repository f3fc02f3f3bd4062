"""A holder's own Rego file: it denies further, never allows, and fails closed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from functions.authorization.decision_cases import (
    CONDITION,
    JANSEN,
    NOW,
    Register,
    Registry,
    asking,
    codes,
)

from openldn.base.errors import LdnError
from openldn.functions.authorization.model import Consent
from openldn.functions.authorization.own import OwnPolicy
from openldn.functions.authorization.service import DecisionPoint

pytest.importorskip("regopy")

HEAD = "package openldn.own\nimport rego.v1\n"
ONLY_SMALL = f"""{HEAD}
deny contains "no medication is given by us" if input.resource.type == "MedicationRequest"
deny contains "not to this organization" if input.subject.organization.ura == "00000009"
allow := true
"""
ENDLESS = f"""{HEAD}
deny contains "slow" if {{
    input.resource.type == "Condition"
    many := numbers.range(1, 20000)
    count([1 | some x in many; some y in many; x * y == -1]) > 0
}}
"""
WRONG = f"""{HEAD}
deny := [7] if input.resource.type == "Condition"
deny := [] if not input.resource.type == "Condition"
"""


def with_own(
    folder: Path, text: str, check: Callable[[OwnPolicy], Awaitable[None]], patience: float = 20
) -> None:
    path = folder / "own.rego"
    path.write_text(text)

    async def run() -> None:
        own = await OwnPolicy.open(path, patience)
        try:
            await check(own)
        finally:
            await own.close()

    asyncio.run(run())


def point(own: OwnPolicy, says: Consent = Consent.PERMIT) -> DecisionPoint:
    return DecisionPoint(lambda: NOW, Register(), Registry(says), own.judge)


def test_it_denies_what_our_policies_allow_and_its_text_is_the_reason(tmp_path: Path) -> None:
    category = "http://snomed.info/sct|16076005"
    medication = asking(
        f"/MedicationRequest?patient=jansen&category={category}"
        "&_include=MedicationRequest:medication"
    )

    async def check(own: OwnPolicy) -> None:
        assert (await point(own).decide(CONDITION)).allow
        refused = await point(own).decide(medication)
        assert not refused.allow
        assert [(r.rule, r.description) for r in refused.own] == [
            ("own", "no medication is given by us")
        ]
        assert refused.policies["bgz"].allow

    with_own(tmp_path, ONLY_SMALL, check)


def test_it_never_allows_what_our_policies_deny(tmp_path: Path) -> None:
    async def check(own: OwnPolicy) -> None:
        for says in (Consent.UNKNOWN, Consent.DENY):
            decision = await point(own, says).decide(CONDITION)
            assert (decision.allow, decision.own) == (False, ())
        outside = await point(own).decide(asking("/Condition?patient=jansen&code=x"))
        assert not outside.allow

    with_own(tmp_path, f'{HEAD}\nallow := true\ndeny contains "x" if false\n', check)


def test_a_file_that_does_not_end_denies_in_time_and_the_next_question_is_answered(
    tmp_path: Path,
) -> None:
    allergy = asking("/AllergyIntolerance?patient=jansen")

    async def check(own: OwnPolicy) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        decision = await point(replace(own, patience=0.3)).decide(CONDITION)
        assert loop.time() - begun < 10
        assert codes(decision) == [("internal_error", "own")]
        assert not decision.allow
        assert (await point(own).decide(allergy)).allow

    with_own(tmp_path, ENDLESS, check)


def test_an_answer_of_another_form_denies(tmp_path: Path) -> None:
    async def check(own: OwnPolicy) -> None:
        decision = await point(own).decide(CONDITION)
        assert codes(decision) == [("internal_error", "own")]
        assert (await point(own).decide(asking("/Flag?patient=jansen"))).allow

    with_own(tmp_path, WRONG, check)


def test_a_process_that_is_ended_from_outside_denies_and_comes_back(tmp_path: Path) -> None:
    async def check(own: OwnPolicy) -> None:
        assert (await point(own).decide(CONDITION)).allow
        process = own._process
        assert process is not None
        process.kill()
        await process.wait()
        assert (await point(own).decide(CONDITION)).allow

    with_own(tmp_path, ONLY_SMALL, check)


def test_an_answer_that_nobody_waited_for_answers_no_other_question(tmp_path: Path) -> None:
    """Who asked left; what the process then says must not be taken for the next question's."""
    text = f"""{HEAD}
deny contains "a condition" if input.resource.type == "Condition"
"""

    async def check(own: OwnPolicy) -> None:
        harmless = {"resource": {"type": "Observation"}}
        for turns in range(12):
            leaving = asyncio.create_task(own.denials(harmless))
            for _ in range(turns):
                await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.wait({leaving})
            [reason] = await own.denials({"resource": {"type": "Condition"}})
            assert reason.description == "a condition"

    with_own(tmp_path, text, check)


def test_a_text_with_the_patient_in_it_reaches_nobody(tmp_path: Path) -> None:
    text = f"""{HEAD}
deny contains sprintf("not about %s", [input.context.patient_bsn]) if input.resource.type
"""

    async def check(own: OwnPolicy) -> None:
        decision = await point(own).decide(CONDITION)
        assert [r.description for r in decision.own] == ["[REDACTED]"]
        assert not decision.allow

    with_own(tmp_path, text, check)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEAD}\ndeny contains x if {{", "not valid Rego"),
        ("package openldn.own\nimport rego.v1\nallow := true", "no set `deny`"),
        ('package other\nimport rego.v1\ndeny contains "x" if true', "no set `deny`"),
        (f"{HEAD}\ndeny := true", "no set `deny`"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start_and_says_why(
    tmp_path: Path, text: str, said: str
) -> None:
    async def check(own: OwnPolicy) -> None:
        raise AssertionError("it must not start")

    with pytest.raises(LdnError) as refused:
        with_own(tmp_path, text, check)

    assert said in refused.value.message
    assert "own.rego" in refused.value.message


def test_a_file_that_is_not_there_stops_the_start() -> None:
    with pytest.raises(LdnError) as refused:
        asyncio.run(OwnPolicy.open(Path("/nowhere/own.rego")))

    assert "/nowhere/own.rego" in refused.value.message


def test_the_file_sees_the_document_and_no_more_than_it(tmp_path: Path) -> None:
    text = f"""{HEAD}
deny contains sprintf("saw %s %s", [input.context.patient_id, input.action.fhir_rest.operation])
    if input.resource.type == "Observation"
deny contains "has an environment" if opa.runtime().env.PATH
"""

    async def check(own: OwnPolicy) -> None:
        lastn = "/Observation/$lastn?patient=jansen&code=http://loinc.org|85354-9"
        decision = await point(own).decide(asking(lastn))
        assert [r.description for r in decision.own] == ["saw jansen $lastn"]
        assert JANSEN not in str(decision)

    with_own(tmp_path, text, check)
