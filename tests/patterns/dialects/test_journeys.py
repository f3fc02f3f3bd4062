"""Negotiations between each pair of dialects, by their maps and tables alone.

A sender speaks one dialect, a receiver another, and a node between them keeps the offer. What both
can say reaches the other; what one cannot is told as lost. Source: pattern rules §6, 1-4 and 6.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product

import pytest
from offers import HOME, HOSPITAL, NOW, offer, parties

from openldn.base.errors import Issue, LdnError
from openldn.patterns.dialects import DIALECTS, FORMS, read, written
from openldn.patterns.dialects.answers import applied
from openldn.patterns.dialects.hearing import Arrived, Known, hear
from openldn.patterns.dialects.model import Dialect, Loss
from openldn.patterns.dialects.states import followed, spoken, state_of, steps
from openldn.patterns.dialects.telling import message
from openldn.patterns.moves import Actor
from openldn.patterns.notified_pull.model import Given, Offer, Period, Reason
from openldn.patterns.notified_pull.states import TABLES

S, R = Actor.PLACER, Actor.FULFILLER
PAIRS = list(product(DIALECTS, repeat=2))
WHY = Given(Reason("no bed this week"))
DATE = Given(None, "", Period(NOW + timedelta(days=3)))

pairs = pytest.mark.parametrize(("sender", "receiver"), PAIRS)


def table_of(*codes: str) -> str:
    """Transfers where one of them knows nothing else, referrals otherwise."""
    return "placer-starts" if "N" in codes else "fulfiller-starts"


@dataclass
class Between:
    """A sender and a receiver, each with the status that its own system shows, and the offer."""

    sender: Dialect
    receiver: Dialect
    offer: Offer
    shown: dict[Actor, str] = field(default_factory=dict)
    lost: dict[Actor, list[Loss]] = field(default_factory=lambda: {S: [], R: []})

    def dialect(self, actor: Actor) -> Dialect:
        """What this side speaks."""
        return self.sender if actor is S else self.receiver

    def does(self, actor: Actor, event: str, given: Given = Given()) -> bool:  # noqa: B008
        """One side brings this about in its own dialect; false when it cannot."""
        own, other = self.dialect(actor), S if actor is R else R
        row = self.offer.moves.by_event(self.offer.state, event, actor)
        said = self._said(own, row.after, actor)
        if said is None:
            return False
        before = self.offer.state
        found = followed(self.offer.moves, before, said, own, actor)
        self.offer = applied(self.offer, found, given, NOW)
        self.shown[actor] = said
        self._tell(other, before, actor)
        return self.offer.state == row.after

    def _said(self, own: Dialect, after: str, actor: Actor) -> str | None:
        """The status by which this side says it; None when its dialect has no way."""
        if own.code == "H":
            return after
        at, goal = self.shown[actor], own.statuses[after]
        if at == "on-hold" and after == "received":
            goal = "requested"  # how eOverdracht agrees
        elif goal == at or state_of(goal, own) != after or (actor is R and not own.returns):
            goal = ""
        way = steps(own.table, at, goal, actor) if goal else None
        if not way:
            self.lost[actor].append(Loss("state", f"{own.code} cannot say {after} here"))
            return None
        return goal

    def _tell(self, other: Actor, before: str, actor: Actor) -> None:
        dialect = self.dialect(other)
        if dialect.code == "H":
            self.shown[other] = self.offer.state
            return
        if other is S and not dialect.returns:
            self.lost[other].append(Loss("state", "no way back"))
            return
        told = spoken(dialect, before, self.offer.state, actor)
        self.lost[other].extend(told.losses)
        at = self.shown[other]
        for status in told.statuses:
            if steps(dialect.table, at, status, actor) is None:
                self.lost[other].append(Loss("state", f"nobody can tell {status} after {at}"))
                return
            at = status
        self.shown[other] = at

    def agree(self) -> None:
        """Each side shows what the offer is, or was told what it is missing."""
        for actor in Actor:
            dialect, at = self.dialect(actor), self.shown[actor]
            meant = dialect.statuses[self.offer.state] if dialect.code != "H" else self.offer.state
            agreed = at == "requested" and self.offer.state == "received"
            assert at == meant or agreed or self.lost[actor], (actor, at, meant)


def offered(sender: str, receiver: str) -> Between:
    """An offer that the sender wrote, a node read, and the receiver was written to."""
    table = table_of(sender, receiver)
    content = ("eoverdracht", "transfer") if table == "placer-starts" else ("bgz", "refer")
    given = offer(
        exchange=content[0], use_case=content[1], table=table, focus="", group="", queries=()
    )
    for code in (sender, receiver):
        if code in FORMS:
            told = written(given, DIALECTS[code], parties())
            given = read(told.notification, told.task, DIALECTS[code], parties()).offer
    shown = {S: "requested", R: "requested"}
    return Between(DIALECTS[sender], DIALECTS[receiver], given, shown)


def carried(between: Between, *events: tuple[Actor, str]) -> bool:
    """Both can say each of these: what it is called in the tables of their cells."""
    return all(between.dialect(actor).steps[event].whole for _, event in events for actor in Actor)


def played(between: Between, *events: tuple[Actor, str, Given]) -> None:
    """Play it as far as it goes; where both can say all of it, it goes to the end unlost."""
    whole = carried(between, *((a, e) for a, e, _ in events))
    for actor, event, given in events:
        if not between.does(actor, event, given):
            break
        between.agree()
    else:
        between.agree()
        return
    between.agree()
    assert between.lost[S] or between.lost[R]
    assert not whole


@pairs
def test_1_an_offer_is_accepted_and_completed(sender: str, receiver: str) -> None:
    between = offered(sender, receiver)
    starts = S if between.offer.table == "placer-starts" else R
    played(between, (R, "accept", Given()), (starts, "start", Given()), (R, "complete", Given()))
    if not between.lost[S] and not between.lost[R]:
        assert between.offer.state == "completed"


@pairs
def test_2_an_offer_is_refused_with_its_reason(sender: str, receiver: str) -> None:
    between = offered(sender, receiver)
    played(between, (R, "reject", WHY))
    if between.offer.state != "requested":
        assert (between.offer.state, between.offer.reason) == ("rejected", WHY.reason)
        told = written(between.offer, between.sender, parties()).task if sender in FORMS else None
        assert told is None or told["statusReason"]["text"] == "no bed this week"


@pairs
def test_3_another_date_is_proposed_and_agreed_or_not(sender: str, receiver: str) -> None:
    between = offered(sender, receiver)
    played(between, (R, "propose", DATE), (S, "cancel", WHY))
    if {sender, receiver} <= {"N", "H"}:
        assert between.offer.state == "cancelled"
    between = offered(sender, receiver)
    played(between, (R, "propose", DATE), (S, "agree", Given()), (R, "accept", Given()))
    if {sender, receiver} <= {"N", "H"}:
        assert between.offer.state == "accepted"
        assert between.shown == {S: "accepted", R: "accepted"}
        assert not between.lost[S] and not between.lost[R]


@pairs
def test_4_an_offer_is_withdrawn_before_and_after_it_was_accepted(
    sender: str, receiver: str
) -> None:
    between = offered(sender, receiver)
    played(between, (S, "cancel", WHY))
    assert between.offer.state == "cancelled"
    assert set(between.shown.values()) == {"cancelled"}

    between = offered(sender, receiver)
    between.does(R, "accept")
    between.does(S, "cancel", WHY)
    between.agree()
    assert between.offer.state == "cancelled"


@pairs
def test_4_a_withdrawal_during_the_work_ends_as_failed(sender: str, receiver: str) -> None:
    between = offered(sender, receiver)
    table, own = TABLES[between.offer.table], between.sender
    between.offer = applied(
        between.offer, followed(table, "requested", "accepted", own, R), WHY, NOW
    )
    starts = S if between.offer.table == "placer-starts" else R
    step = followed(table, "accepted", "in-progress", own, starts)
    between.offer = applied(between.offer, step, WHY, NOW)
    between.shown = {S: "in-progress", R: "in-progress"}

    if steps(own.table, "in-progress", "cancelled", S) and own.code != "H":
        found = followed(table, "in-progress", "cancelled", own, S)
        between.offer = applied(between.offer, found, WHY, NOW)
        between.shown[S] = "cancelled"
        assert between.offer.state == "failed"
    elif own.code == "H":
        between.offer = applied(
            between.offer, followed(table, "in-progress", "failed", own, R), WHY, NOW
        )
        between.shown[S] = "failed"
    else:
        assert own.code == "O"  # it has no way to stop what is under way
        return
    told = spoken(between.receiver, "in-progress", "failed", S)
    assert told.statuses or told.losses or receiver == "H"


@pairs
def test_6_an_offer_that_has_ended_opens_nothing_where_its_end_is_said(
    sender: str, receiver: str
) -> None:
    between = offered(sender, receiver)
    dialect = between.receiver
    if receiver not in FORMS:
        return
    late = {"expires": NOW - timedelta(seconds=1)}
    given = offer(**late, queries=())
    told = written(given, dialect, parties())
    sent = message("", given, told, dialect)
    if not dialect.cells["expires"].whole:
        assert "expires" in {loss.element for loss in told.losses}
    elif sent is not None and sent.body is not None:
        arrived = Arrived(sent.method, sent.path, body=sent.body)
        with pytest.raises(LdnError) as refused:
            hear(arrived, Known(receiver), parties(placer=HOSPITAL, fulfiller=HOME))
        assert refused.value.issue is Issue.BUSINESS_RULE
    else:
        found = read(told.notification, told.task, dialect, parties()).offer
        assert found.expires == late["expires"]


@pairs
def test_what_the_sender_sends_is_what_the_receiver_hears(sender: str, receiver: str) -> None:
    between = offered(sender, receiver)
    if receiver not in FORMS:
        return
    told = written(between.offer, between.receiver, parties())
    sent = message("", between.offer, told, between.receiver)
    if sent is None:
        assert between.receiver.shape == "S5"
        return
    path, _, query = sent.path.partition("?")
    known = parties(placer=HOSPITAL, fulfiller=HOME)
    heard = hear(Arrived(sent.method, path, query, sent.body), Known(receiver), known)
    assert (heard.sender, heard.task) == (HOSPITAL, between.offer.id)
    assert heard.dialect == receiver
