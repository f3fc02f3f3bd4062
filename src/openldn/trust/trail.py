"""The trail of a proof: each check that was made, why it is asked, and how it came out."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from openldn.base.errors import Issue, LdnError

PASS, FAIL, SKIP = "pass", "fail", "skip"


class Rule(NamedTuple):
    """One thing that must hold: its reason code, the clause that asks it, and it in words."""

    code: str  # "jwt.alg": for the log and for trails; never changes once published
    source: str  # "RFC 8725 §3.1"
    text: str  # "the algorithm is one that this peer may use"


@dataclass(frozen=True, slots=True)
class Check:
    """One rule as it came out; `said` never holds a secret, a name or a BSN."""

    rule: Rule
    outcome: str
    said: str = ""


@dataclass(slots=True)
class Trail:
    """The checks of one proof, in the order made; a person can read it from top to bottom.

    `issue` is what a failed check is called: `login` for who asks, `forbidden` for a grant.
    """

    checks: list[Check] = field(default_factory=list)
    issue: Issue = Issue.LOGIN

    def require(self, fits: bool, rule: Rule, said: str = "") -> None:
        """Note the outcome; raises LdnError with the rule's code as detail when it fails.

        The message tells an attacker nothing: which check failed stands in the log only.
        """
        self.checks.append(Check(rule, PASS if fits else FAIL, said))
        if not fits:
            raise self.refusal(rule)

    def note(self, rule: Rule, said: str = "") -> None:
        """A check that passed, or was done elsewhere."""
        self.checks.append(Check(rule, PASS, said))

    def skip(self, rule: Rule, said: str) -> None:
        """A check that was not made, and why."""
        self.checks.append(Check(rule, SKIP, said))

    def refusal(self, rule: Rule) -> LdnError:
        """The error of a check that failed."""
        return LdnError(self.issue, "the proof is not accepted; make a fresh one", detail=rule.code)

    @property
    def failed(self) -> Check | None:
        """The check that failed, if one did."""
        return next((c for c in self.checks if c.outcome == FAIL), None)

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)
