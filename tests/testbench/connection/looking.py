"""How the tests look: one check at one endpoint."""

from testbench.connection.bench import Bench
from testbench.connection.cases import Case

from openldn.base.runtime import utc_now
from openldn.testbench.connection.examine import examine, visiting
from openldn.testbench.connection.model import Outcome, Result


async def looked(case: Case, bench: Bench) -> tuple[Result, Outcome]:
    """What the check of this case found, and what it should have found."""
    async with case.open(bench) as target, visiting(target, utc_now) as visit:
        [row] = [r async for r in examine(visit, {case.check})]
    return row.result, case.outcome or Outcome(target.profile.weight(case.check))
