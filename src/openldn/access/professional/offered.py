"""Offers as the node tells of them, read into what a page shows; what is unknown is left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any

from openldn.access.frame.words import HOME
from openldn.access.professional.readers import text_of
from openldn.base.errors import Issue, LdnError
from openldn.exchanges import EXCHANGES
from openldn.patterns.exchange import Exchange, Pattern, UseCase

OPEN = frozenset({"requested", "received", "accepted", "in-progress"})  # statuses still to end


@dataclass(frozen=True)
class Party:
    """One of the two organizations."""

    ura: str
    name: str

    @property
    def called(self) -> str:
        """Its name, or else its number."""
        return self.name or f"URA {self.ura}"


@dataclass(frozen=True)
class Action:
    """Something that we may do now."""

    event: str
    needs: str  # reason, proposal or nothing


@dataclass(frozen=True)
class Step:
    """Something that happened."""

    event: str
    by: Party
    person: str
    state: str
    moment: str
    reason: str = field(repr=False)
    note: str = field(repr=False)


@dataclass(frozen=True)
class Offered:
    """One offer, from either side."""

    id: str
    ours: bool  # we made it
    placer: Party
    fulfiller: Party
    exchange: str
    use_case: str
    status: str
    business: str
    ended: bool
    turn: frozenset[str]
    actions: tuple[Action, ...]
    group: str
    patient: str = field(repr=False)  # BSN; empty: not told
    service: str
    location: str
    reason: str = field(repr=False)
    note: str = field(repr=False)
    proposed: tuple[str, str]  # start and end of another date
    created: str
    changed: str
    expires: str
    version: str
    pending: Mapping[str, Any] = field(default_factory=dict, repr=False)  # our answer on its way
    delivery: Mapping[str, Any] = field(default_factory=dict, repr=False)
    history: tuple[Step, ...] = ()
    parts: int = 0  # searches and resources that it offers

    @property
    def peer(self) -> Party:
        """Who is at the other end."""
        return self.fulfiller if self.ours else self.placer

    @property
    def state(self) -> str:
        """The status, with its business status where there is one."""
        return f"{self.status}/{self.business}" if self.business else self.status

    @property
    def masked(self) -> str:
        """What a screen may show of the patient's number."""
        return f"•••••{self.patient[-3:]}" if self.patient else ""

    @property
    def whose(self) -> str:
        """Whose turn it is: us, them, both or nobody."""
        own = "placer" if self.ours else "fulfiller"
        if self.ended or not self.turn:
            return "nobody"
        if len(self.turn) > 1:
            return "both"
        return "us" if own in self.turn else "them"

    @property
    def another(self) -> str:
        """The proposed start; its day alone when no time was said, which is kept as midnight."""
        try:
            start = datetime.fromisoformat(self.proposed[0]).astimezone(HOME)
        except ValueError:
            return self.proposed[0]
        return start.date().isoformat() if start.time() == time() else self.proposed[0]

    @property
    def readable(self) -> bool:
        """Whether we, who received it, may fetch what it offers now."""
        return not self.ours and not self.ended and (self.status in {"accepted", "in-progress"})

    def title(self, language: str) -> str:
        """What it is about, in this language."""
        return title(self.exchange, self.use_case, language)


@dataclass(frozen=True)
class Kind:
    """An exchange and a use case of it that can be offered."""

    exchange: Exchange
    case: UseCase

    @property
    def key(self) -> str:
        """How a form names it."""
        return f"{self.exchange.code}.{self.case.name}"


# Every use case in which something is offered and then fetched.
KINDS = tuple(
    Kind(exchange, case)
    for exchange in EXCHANGES.values()
    for case in exchange.use_cases
    if case.pattern is Pattern.NOTIFIED_PULL
)


def title(code: str, name: str, language: str) -> str:
    """The exchange and its use case in words; codes for what we do not know."""
    exchange = EXCHANGES.get(code)
    if exchange is None:
        return " ".join(filter(None, (code, name)))
    told = [getattr(exchange.title, language)]
    told += [getattr(c.title, language) for c in exchange.use_cases if c.name == name]
    return ": ".join(filter(None, told))


def read(value: Any) -> Offered:
    """One offer; raises LdnError(incomplete) for what cannot be one."""
    if not isinstance(value, dict) or not text_of(value.get("id")):
        text = "the node answered something unintelligible; ask its operator"
        raise LdnError(Issue.INCOMPLETE, text)
    proposed = _object(value.get("proposed"))
    return Offered(
        id=text_of(value.get("id")),
        ours=value.get("side") == "sent",
        placer=_party(value.get("placer")),
        fulfiller=_party(value.get("fulfiller")),
        exchange=text_of(value.get("exchange")),
        use_case=text_of(value.get("use_case")),
        status=text_of(value.get("status")),
        business=text_of(value.get("business_status")),
        ended=value.get("ended") is True,
        turn=frozenset(map(text_of, _list(value.get("turn")))),
        actions=tuple(_action(a) for a in _list(value.get("actions"))),
        group=text_of(value.get("group")),
        patient=text_of(value.get("patient")),
        service=_label(value.get("service")),
        location=_label(value.get("location")),
        reason=text_of(_object(value.get("reason")).get("text")),
        note=text_of(value.get("note")),
        proposed=(text_of(proposed.get("start")), text_of(proposed.get("end"))),
        created=text_of(value.get("created")),
        changed=text_of(value.get("changed")),
        expires=text_of(value.get("expires")),
        version=str(value.get("version", "")),
        pending=_object(value.get("pending")),
        delivery=_object(value.get("delivery")),
        history=tuple(_step(s) for s in _list(value.get("history"))),
        parts=len(_list(value.get("queries"))) + len(_list(value.get("resources"))),
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _party(value: Any) -> Party:
    told = _object(value)
    return Party(text_of(told.get("ura")), text_of(told.get("name")))


def _action(value: Any) -> Action:
    told = _object(value)
    return Action(text_of(told.get("event")), text_of(told.get("needs")))


def _label(value: Any) -> str:
    told = _object(value)
    return text_of(told.get("display")) or text_of(told.get("value"))


def _step(value: Any) -> Step:
    told = _object(value)
    return Step(
        event=text_of(told.get("event")),
        by=Party(text_of(told.get("organization")), ""),
        person=text_of(told.get("person")),
        state=text_of(told.get("state")),
        moment=text_of(told.get("moment")),
        reason=text_of(_object(told.get("reason")).get("text")),
        note=text_of(told.get("note")),
    )
