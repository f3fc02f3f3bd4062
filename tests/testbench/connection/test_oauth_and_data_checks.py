"""R86: the checks of OAuth, data and infrastructures, at good and deliberately bad endpoints.

Source: secure network §5.
"""

import asyncio

import pytest
from testbench.connection.bench import Bench
from testbench.connection.cases import DATA, INFRASTRUCTURE, OAUTH, Case
from testbench.connection.looking import looked


@pytest.mark.parametrize(
    "case", [*OAUTH, *DATA, *INFRASTRUCTURE], ids=lambda c: f"{c.check} {c.what}"
)
def test_an_endpoint_is_found_as_it_is(case: Case, bench: Bench) -> None:
    result, expected = asyncio.run(looked(case, bench))

    assert result.outcome is expected, result
    assert result.evidence
