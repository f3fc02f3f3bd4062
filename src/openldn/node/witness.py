"""What follows from an access, as evidence beside it: the decision, and a broken glass.

It is written with the access, in one commit. Source: specification of audit events §8.6, rows
authorization-decision and emergency-started; rules G18, G19.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import unquote

from openldn.base.runtime import instant
from openldn.functions.audit.event import event_of
from openldn.functions.audit.model import SERVED, Access, Event, Source, Thing
from openldn.functions.authorization.question import EMERGENCIES
from openldn.node.evidence import FAILED, SUCCESS, Log

DECIDED, EMERGENCY = "authorization-decision", "emergency-started"
REFUSED = "refused: "  # how the reason of a denial begins
_MOST = 10_000  # emergencies that are remembered as told

Broken = tuple[str, ...]  # what makes an emergency the same


@dataclass
class Witness:
    """Records accesses with the events that follow from them; implements `Audit`."""

    log: Log
    source: Source
    broke: Callable[[], None] = lambda: None  # called once an emergency is safe in the log
    _told: OrderedDict[Broken, None] = field(default_factory=OrderedDict, repr=False)

    async def record(self, accesses: Sequence[Access]) -> None:
        """Write these durably, all or none; raises LdnError(transient) when that cannot be."""
        decisions = [decision(a, self.source) for a in accesses if decided(a)]
        broken = [a for a in accesses if self._breaks(a)]
        emergencies = [emergency(a, self.source) for a in broken]
        safe = False
        try:
            await self.log.record([*accesses, *decisions, *emergencies])
            safe = True
            if emergencies:
                self.broke()
        finally:
            if not safe:  # a next try tells it
                for access in broken:
                    self._told.pop(_same(access), None)

    def _breaks(self, access: Access) -> bool:
        """Whether an emergency begins here: told once for all queries of one question."""
        asked, same = access.requester, _same(access)
        urgent = asked.purpose in EMERGENCIES and asked.person is not None
        if not urgent or access.patient is None or same in self._told:
            return False
        self._told[same] = None
        if len(self._told) > _MOST:
            self._told.popitem(last=False)
        return True


def decided(access: Access) -> bool:
    """Whether our policy decided about it; what could not be read or looked up was not."""
    return access.code == SERVED and (_refused(access) or access.checks.startswith("T"))


def decision(access: Access, source: Source) -> Event:
    """What was decided, with its four checks."""
    denied = _refused(access)
    return event_of(
        access,
        source,
        code=DECIDED,
        outcome=FAILED if denied else SUCCESS,
        reason=access.reason if denied else "",
        query="",
        count=None,
        consents=tuple(_consents(access)),
    )


def emergency(access: Access, source: Source) -> Event:
    """That the glass was broken, and whether that opened anything."""
    return replace(
        event_of(access, source),
        code=EMERGENCY,
        query="",
        count=None,
        checks=access.checks if access.code == SERVED else "",
        legal_basis="emergency",
        things=(_why(access),),
    )


def _why(access: Access) -> Thing:
    """The reason that was given, and what both sides need to find it again."""
    asked, given = access.requester, access.requester.emergency
    side = "held" if access.code == SERVED else "asked"
    where = (("side", side), ("holder", str(access.holder)))
    if given is None:
        text = f"emergency declared ({asked.purpose}) for {access.exchange}"
        return Thing(description=text, details=where)
    began = instant(datetime.fromtimestamp(given.began, UTC))
    named = (("case", given.case), ("reason", given.code), ("level", given.level))
    return Thing(description=given.text, details=(*where, *named, ("began", began)))


def _refused(access: Access) -> bool:
    return access.reason.startswith(REFUSED)


def _consents(access: Access) -> Iterator[str]:
    """Which consent counted: the last part of `mitz-permit/urn%3Auuid%3A…`."""
    _, _, id_ = access.consent.partition("/")
    if id_:
        yield unquote(id_)


def _same(access: Access) -> Broken:
    asked = access.requester
    person = asked.person.uzi if asked.person else ""
    patient = access.patient.value if access.patient else ""
    return (
        *(access.code, access.correlation, str(asked.organization), person, patient),
        *(str(access.holder), access.outcome),
    )
