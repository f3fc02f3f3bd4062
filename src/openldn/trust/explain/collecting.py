"""Trails that go on after a failure, so that a person sees everything that is wrong at once.

A verifier stops at the first check that fails, as it must. For an explanation it is run again
with that failure forgiven, until it cannot go on. Nothing is ever believed because of this: one
failed check is enough for the verdict.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from openldn.base.errors import LdnError
from openldn.trust.trail import FAIL, PASS, Check, Rule, Trail

_RUNS = 12
CIRCUMSTANCES = frozenset({"saml.holder"})  # what nobody can tell who was not there
# What code stumbles over that was promised that a check had passed.
_STUMBLES = (
    *(LdnError, AssertionError, ValueError, TypeError),
    *(KeyError, IndexError, AttributeError),
)


@dataclass(slots=True)
class Forgiving(Trail):
    """Notes a failure of these rules and goes on."""

    forgiven: frozenset[str] = field(default_factory=frozenset)

    def require(self, fits: bool, rule: Rule, said: str = "") -> None:
        """Note the outcome; raises LdnError only for what is not forgiven."""
        if not fits and rule.code in CIRCUMSTANCES:
            self.skip(rule, "depends on the connection it is shown on")
            return
        self.checks.append(Check(rule, PASS if fits else FAIL, said))
        if not fits and rule.code not in self.forgiven:
            raise self.refusal(rule)

    def note(self, rule: Rule, said: str = "") -> None:
        """A check that passed; one that just failed and was forgiven stays failed."""
        if not any(c.rule == rule and c.outcome == FAIL for c in self.checks):
            self.checks.append(Check(rule, PASS, said))


@dataclass(frozen=True)
class Collected:
    """All that a verifier had to say."""

    checks: tuple[Check, ...]
    finished: bool  # it came to its end; else there are checks it never reached

    @property
    def believed(self) -> bool:
        """Every check was reached and none failed."""
        return self.finished and all(c.outcome != FAIL for c in self.checks)


async def collect(verify: Callable[[Trail], Awaitable[object]]) -> Collected:
    """Run until nothing new comes out; the checks of the run that came farthest."""
    best: tuple[Check, ...] = ()
    forgiven: frozenset[str] = frozenset()
    for _ in range(_RUNS):
        trail = Forgiving(forgiven=forgiven)
        finished = await _finished(verify, trail)
        checks = _once(trail.checks)
        best = checks if len(checks) >= len(best) else best
        new = {c.rule.code for c in checks if c.outcome == FAIL} - forgiven
        if finished or not new:
            return Collected(best, finished)
        forgiven |= new
    return Collected(best, False)


async def _finished(verify: Callable[[Trail], Awaitable[object]], trail: Trail) -> bool:
    try:
        await verify(trail)
    except _STUMBLES as error:
        # a verifier that refuses without a check is still a refusal, told by its reason
        if isinstance(error, LdnError) and trail.failed is None:
            trail.checks.append(Check(Rule(error.detail or "refused", "", error.message), FAIL))
        return False
    return True


def _once(checks: list[Check]) -> tuple[Check, ...]:
    """Each check once; a failure counts more than a pass of the same rule."""
    kept: dict[tuple[str, str], Check] = {}
    for check in checks:
        key = (check.rule.code, check.said)
        if key not in kept or check.outcome == FAIL:
            kept[key] = check
    failed = {c.rule.code for c in kept.values() if c.outcome == FAIL}
    return tuple(c for c in kept.values() if c.outcome == FAIL or c.rule.code not in failed)
