"""Looking back at each case: was it right to break the glass?"""

from dataclasses import dataclass

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.functions.audit.model import Event, Evidence, Thing
from openldn.node.emergencies.model import Case, Found, Review, Reviewer
from openldn.node.emergencies.store import CaseStore

REVIEWED = "emergency-reviewed"
_SHORTEST, _LONGEST = 10, 2000  # characters of the finding
_LONGEST_ID, _LONGEST_NAME = 64, 100


@dataclass(frozen=True)
class Reviewing:
    """The worklist of one organization."""

    store: CaseStore
    evidence: Evidence
    clock: Clock

    async def review(self, id: str, found: str, text: str, reviewer: Reviewer) -> Case:
        """The case with this outcome, for good; the evidence is written before.

        Raises LdnError: invalid for an outcome, text or reviewer that will not do, not-found,
        forbidden for who broke the glass, conflict when somebody reviewed it already, transient
        without evidence.
        """
        review = self._review(found, text, reviewer)
        case = await self.store.find(id)
        if case is None:
            raise LdnError(Issue.NOT_FOUND, "no such case; look at the list again")
        if case.review is not None:
            raise _reviewed()
        if review.reviewer.id == case.person:
            text = "who broke the glass does not review it; let somebody else look"
            raise LdnError(Issue.FORBIDDEN, text, detail="emergency.reviewer")
        await self.evidence.record([_event(case, review)])
        if not await self.store.review(id, review):
            raise _reviewed()
        kept = await self.store.find(id)
        assert kept is not None  # noqa: S101  (cases are never taken away)
        return kept

    def _review(self, found: str, text: str, reviewer: Reviewer) -> Review:
        if found not in list(Found):
            raise LdnError(Issue.INVALID, f"outcome: choose {' or '.join(Found)}", where="outcome")
        said = " ".join(text.split())
        who = Reviewer(reviewer.id.strip(), " ".join(reviewer.name.split()))
        if not _SHORTEST <= len(said) <= _LONGEST or not said.isprintable():
            what = f"text: say why, in {_SHORTEST} to {_LONGEST} characters"
            raise LdnError(Issue.INVALID, what, where="text")
        told = ((who.id, _LONGEST_ID), (who.name, _LONGEST_NAME))
        if not all(0 < len(t) <= most and t.isprintable() for t, most in told):
            what = "reviewer: the number and the name of who looked at it"
            raise LdnError(Issue.INVALID, what, where="reviewer")
        return Review(Found(found), said, who, self.clock())


def _reviewed() -> LdnError:
    return LdnError(Issue.CONFLICT, "this case was reviewed already; look at the list again")


def _event(case: Case, review: Review) -> Event:
    known = (("case", case.number), ("side", str(case.side)))
    details = (*known, ("outcome", str(review.found)), ("reviewer", review.reviewer.id))
    return Event(
        code=REVIEWED,
        started=review.at,
        ended=review.at,
        purpose="HOPERAT",
        patient=case.patient,
        exchange=case.exchange,
        things=(Thing(description=review.text, details=details),),
    )
