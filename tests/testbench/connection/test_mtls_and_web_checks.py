"""R86: the checks of mutual TLS and the web, at good and deliberately bad endpoints.

Source: secure network §5.
"""

import asyncio

import pytest
from testbench.connection.bench import Bench
from testbench.connection.cases import MTLS, WEB, Case
from testbench.connection.looking import looked


@pytest.mark.parametrize("case", [*MTLS, *WEB], ids=str)
def test_an_endpoint_is_found_as_it_is(case: Case, bench: Bench) -> None:
    result, expected = asyncio.run(looked(case, bench))

    assert result.outcome is expected, result
    assert result.evidence
