"""R86: every check of the connection checker, against good and deliberately bad endpoints.

Source: secure network §5, C01 to C45.
"""

import asyncio
import ssl
from pathlib import Path

import pytest
from testbench.connection.bench import Bench
from testbench.connection.cases import CASES, Case

from openldn.base.runtime import utc_now
from openldn.testbench.connection.checks import CHECKS
from openldn.testbench.connection.examine import examine, visiting
from openldn.testbench.connection.model import LANGUAGES, Outcome, Result
from openldn.testbench.connection.numbers import GROUPS


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


async def looked(case: Case, bench: Bench) -> tuple[Result, Outcome]:
    async with case.open(bench) as target, visiting(target, utc_now) as visit:
        [row] = [r async for r in examine(visit, {case.check})]
    return row.result, case.outcome or Outcome(target.profile.weight(case.check))


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.check} {c.what}")
def test_an_endpoint_is_found_as_it_is(case: Case, bench: Bench) -> None:
    result, expected = asyncio.run(looked(case, bench))

    assert result.outcome is expected, result
    assert result.evidence


def test_every_check_has_a_good_and_a_bad_endpoint() -> None:
    ids = {f"C{n:02}" for n in range(1, 46)}

    assert {c.id for c in CHECKS} == ids
    assert {c.check for c in CASES if c.outcome is Outcome.PASS} == ids
    assert {c.check for c in CASES if c.outcome is not Outcome.PASS} == ids


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.id)
def test_every_check_says_in_both_languages_what_is_asked_and_what_to_do(check: object) -> None:
    for words in (check.title, check.requirement, check.advice):  # type: ignore[attr-defined]
        assert all(words.of(language) for language in LANGUAGES)
        assert words.nl != words.en or len(words.nl) < 20


def test_a_real_server_with_ml_kem_is_found(bench: Bench, tmp_path: Path) -> None:
    if ssl.OPENSSL_VERSION_INFO < (3, 5):
        pytest.skip(f"{ssl.OPENSSL_VERSION} has no ML-KEM: that needs OpenSSL 3.5")
    [case] = [c for c in CASES if c.check == "C03" and c.outcome is Outcome.PASS]

    async def asked() -> Result:
        async with case.open(bench) as target, visiting(target, utc_now) as visit:
            [row] = [r async for r in examine(visit, {"C09"})]
            assert str(GROUPS["X25519MLKEM768"])
            return row.result

    assert asyncio.run(asked()).outcome is Outcome.PASS
