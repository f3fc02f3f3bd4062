"""Somebody here breaks the glass: the reason is looked at and kept before anything is asked.

Source: exchange patterns §7.3; rule R83.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.fhir.identifiers import Bsn
from openldn.functions.authorization.emergency import BREAKING, LONGEST, flaws
from openldn.node.emergencies.model import Case, Side
from openldn.node.emergencies.store import CaseStore
from openldn.trust.parties import Emergency, Requester
from openldn.trust.people.levels import Level

VIEW = "view"  # what who asks does with the answers: show them, and keep nothing
_WHOLE = "emergency needs use, and a code and a text or the case gone on with; nothing else"
_KEEPS = (
    "breaking the glass lets somebody look and nothing else; an application that shows the answers "
    f"and keeps none says so with use: {VIEW}"
)


class Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The reason as an application sends it."""

    code: str = ""
    text: str = ""
    case: str = ""  # of a reason that was given before, whose time is not over
    use: str = ""  # "view": the application keeps nothing of what comes

    def __repr__(self) -> str:
        """Which reason; not in whose words."""
        return f"Given({self.code!r})"


@dataclass(frozen=True)
class Declaring:
    """Looks at reasons on behalf of one organization."""

    store: CaseStore
    clock: Clock
    new_id: NewId

    async def __call__(
        self, requester: Requester, body: Mapping[str, Any], exchange: str, level: Level
    ) -> Requester:
        """Who asks, with the reason that opens; as it was when the glass is not broken.

        Raises LdnError: invalid for a reason without the purpose BTG or one that cannot be read,
        forbidden without a reason that counts or for an application that keeps, not-found for a
        case that is not theirs, transient when it cannot be kept.
        """
        given = _read(body.get("emergency"))
        if requester.purpose != BREAKING:
            if given is not None:
                text = f"a reason for an emergency goes with the purpose {BREAKING}"
                raise LdnError(Issue.INVALID, text, where="purpose")
            return requester
        if given is not None and given.use != VIEW:
            raise LdnError(Issue.FORBIDDEN, _KEEPS, detail="emergency.use")
        if given is not None and given.case:
            return self._checked(requester, await self._again(requester, given.case))
        found = self._checked(requester, self._new(given, level))
        await self.store.begin(self._case(found, exchange))
        return found

    def _new(self, given: Given | None, level: Level) -> Emergency | None:
        if given is None:
            return None
        text, now = " ".join(given.text.split()), int(self.clock().timestamp())
        if len(text) > LONGEST or not text.isprintable():
            what = f"emergency.text: at most {LONGEST} printable characters"
            raise LdnError(Issue.INVALID, what, where="emergency")
        return Emergency(self.new_id(), given.code, text, level.uri, now)

    async def _again(self, requester: Requester, number: str) -> Emergency:
        """The reason that was given before, by the same person for the same patient."""
        case = await self.store.own(number)
        person = requester.person.uzi if requester.person else ""
        if case is None or (case.patient, case.person) != (requester.patient, person):
            text = "no such case of this person and this patient; give a reason"
            raise LdnError(Issue.NOT_FOUND, text)
        return Emergency(
            case.number, case.code, case.reason, case.level, int(case.began.timestamp())
        )

    def _checked(self, requester: Requester, emergency: Emergency | None) -> Requester:
        if wrong := flaws(emergency, requester.person, self.clock()):
            raise LdnError(Issue.FORBIDDEN, "; ".join(wrong), detail="emergency.reason")
        return replace(requester, emergency=emergency)

    def _case(self, requester: Requester, exchange: str) -> Case:
        given, person, patient = requester.emergency, requester.person, requester.patient
        assert given and person and patient  # noqa: S101  (`_checked` saw to it)
        return Case(
            *(Side.ASKED, str(requester.organization), given.case, Bsn(patient.value)),
            *(datetime.fromtimestamp(given.began, UTC), self.new_id()),
            *(requester.organization_name, person.uzi, person.role, given.code, given.text),
            exchange=exchange,
            level=given.level,
        )


def _read(given: object) -> Given | None:
    if given is None:
        return None
    try:
        return msgspec.convert(given, Given)
    except msgspec.ValidationError as error:
        raise LdnError(Issue.INVALID, _WHOLE, where="emergency") from error
