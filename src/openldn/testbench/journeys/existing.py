"""CN-4 and CN-5 with parties that keep their existing system, and nursing homes among each other.

Each party speaks its own dialect; the node turns it into the harmonized form and back. What a
dialect has no words for is part of what these journeys show.
"""

from typing import Any

from openldn.patterns.exchange import Title
from openldn.testbench.journeys.model import Journey, Step, at_least, with_text
from openldn.testbench.journeys.offering import NO_PLACE, Way, refer, transfer

LATER = "2031-03-03T09:00:00+01:00"


def _untold(way: Way) -> Step:
    """The sender hears nothing of a decision: Twiin TA NP 1.2 has no answer."""
    said = Title(
        f"{{{way.sender}}} hoort daar niets van: Twiin TA NP kent geen antwoord",
        f"{{{way.sender}}} hears nothing of it: Twiin TA NP has no answer",
    )
    return way.sees(way.sender, said, status="requested")


def _decides(way: Way, event: str, becomes: str, nl: str, en: str, **more: Any) -> Step:
    who = way.receiver
    return way.acts(who, event, Title(f"{{{who}}} {nl}", f"{{{who}}} {en}"), becomes, **more)


def _lost(way: Way, step: str) -> Step:
    """The node tells its own people that the other side cannot hear what they decided."""
    said = Title(
        f"{{{way.receiver}}} leest dat {{{way.sender}}} dit niet kan horen",
        f"{{{way.receiver}}} reads that {{{way.sender}}} cannot hear this",
    )
    return way.sees(way.receiver, said, lost=with_text(f"step {step}"), dialect="T")


def _dead(way: Way) -> Step:
    """What was taken back opens nothing any more."""
    return Step(
        way.receiver,
        "fetch",
        Title(
            f"{{{way.receiver}}} kan niets meer ophalen: het recht eindigde met het aanbod",
            f"{{{way.receiver}}} can fetch nothing any more: the right ended with the offer",
        ),
        {"offer": f"${way.name}-received"},
        {"resources": 0},
        turn=way.sender,
    )


def _seen(way: Way, least: int) -> Step:
    """A simulated sender saw each question of the receiver come in."""
    return Step(
        way.sender,
        "evidence",
        Title(
            f"{{{way.sender}}} zag elke vraag van {{{way.receiver}}} komen",
            f"{{{way.sender}}} saw each question of {{{way.receiver}}} come",
        ),
        {"event": "data-read", "of": way.receiver},
        {"events": at_least(least)},
    )


def _goes_wrong(way: Way, kind: str, nl: str, en: str) -> Step:
    """Something that is seen in the field happens at the sender."""
    return Step(
        way.sender,
        "fault",
        Title(f"{{{way.sender}}} {nl}", f"{{{way.sender}}} {en}"),
        {"kind": kind, "at": "offer"},
        {"answer": 200},
    )


def _to_twiin(way: Way, least: int) -> tuple[Step, ...]:
    """A node refers to a party of Twiin, which fetches; the node withdraws when all is done."""
    return (
        *way.offered(),
        _decides(way, "accept", "accepted", "accepteert", "accepts"),
        _untold(way),
        way.fetched(least),
        *way.withdrawn(),
        _dead(way),
    )


def _from_twiin(way: Way) -> tuple[Step, ...]:
    """A party of Twiin refers to a node."""
    return (
        *way.offered(),
        _decides(way, "accept", "accepted", "accepteert", "accepts"),
        _lost(way, "accept"),
        way.fetched(20),
        _seen(way, 20),
        _decides(way, "complete", "completed", "rondt af", "completes"),
        _untold(way),
    )


def _refused_by_twiin(way: Way) -> tuple[Step, ...]:
    why = {"text": NO_PLACE}
    refused = _decides(way, "reject", "rejected", f"weigert: {NO_PLACE}", "refuses", reason=why)
    return (*way.offered(), refused, _untold(way))


_OUT = refer("out", "hospital", "lsp-party")
_IN = refer("in", "lsp-party", "hospital")
_OVER = refer("over", "clinic", "zorgplatform-party")
_BACK = refer("back", "zorgplatform-party", "clinic")
_NO = refer("no", "hospital", "lsp-party")
_NOT = refer("not", "zorgplatform-party", "clinic")
_OFF = refer("off", "lsp-party", "hospital")
_BROKEN = refer("broken", "lsp-party", "hospital")

CN_4_SIMULATED = Journey(
    "cn-4-simulated",
    Title(
        "CN-4 met bestaande systemen: verwijzen met de BgZ tussen LSP en Zorgplatform",
        "CN-4 with existing systems: referring with the BgZ between LSP and Zorgplatform",
    ),
    (
        *_to_twiin(_OUT, 20),  # Zorgplatform to LSP
        *_from_twiin(_IN),  # LSP to Zorgplatform
        *_to_twiin(_OVER, 2),  # LSP to Zorgplatform
        *_from_twiin(_BACK),  # Zorgplatform to LSP
        *_refused_by_twiin(_NO),
        *(*_refused_by_twiin(_NOT), _lost(_NOT, "reject")),
        *(*_OFF.offered(), *_OFF.withdrawn()),
        _goes_wrong(
            _BROKEN, "twice", "notificeert per ongeluk twee keer", "notifies twice by mistake"
        ),
        _goes_wrong(
            _BROKEN,
            "broken-escape",
            "biedt een zoekvraag aan die niet te lezen is",
            "offers a search that cannot be read",
        ),
        *_BROKEN.offered(),
        _decides(_BROKEN, "accept", "accepted", "accepteert", "accepts"),
        Step(
            "hospital",
            "find",
            Title("{hospital} heeft één aanbod, niet twee", "{hospital} has one offer, not two"),
            {"sender": "lsp-party", "task": "$broken-task"},
            {"found": 1},
        ),
        _BROKEN.sees(
            "hospital",
            Title(
                "{hospital} leest welk deel niet te vragen is",
                "{hospital} reads which part cannot be asked",
            ),
            lost=with_text("Task.input"),
        ),
        _BROKEN.fetched(20),  # all the rest
    ),
    simulators=True,
)


def _registered(way: Way) -> Step:
    """Before the transfer goes on, the registration message alone can be read (R22)."""
    return Step(
        way.receiver,
        "fetch",
        Title(
            f"{{{way.receiver}}} leest het aanmeldbericht; de overdracht is nog dicht",
            f"{{{way.receiver}}} reads the registration message; the handoff is still closed",
        ),
        {"offer": f"${way.name}-received"},
        {"status": 200, "resources": at_least(3)},
        turn=way.sender,
    )


def _handed(way: Way) -> tuple[Step, ...]:
    """A whole transfer: registration, answer, handoff, completion; both sides see each step."""
    return (
        *way.offered(),
        _registered(way),
        *way.accepted(),
        *way.started(),
        way.fetched(10),
        *way.completed(),
    )


def _moved(way: Way) -> tuple[Step, ...]:
    """A party of Nuts proposes another date by the status on-hold; the node agrees."""
    return (
        *way.offered(),
        _decides(
            *(way, "propose", "on-hold", "stelt een andere datum voor", "proposes another date"),
            proposed={"start": LATER},
        ),
        way.sees(
            way.sender,
            Title(f"{{{way.sender}}} ziet het voorstel", f"{{{way.sender}}} sees the proposal"),
            business="counter-proposed",
        ),
        way.acts(
            way.sender,
            "agree",
            Title(f"{{{way.sender}}} gaat akkoord", f"{{{way.sender}}} agrees"),
            "received",
        ),
        way.sees(
            way.receiver,
            Title(f"{{{way.receiver}}} ziet het akkoord", f"{{{way.receiver}}} sees the consent"),
            status="requested",
        ),
        *way.accepted(),
        *way.withdrawn(),
    )


_THERE = transfer("there", "hospital", "nuts-party")
_HERE = transfer("here", "nuts-party", "hospital")
_LINDEN = transfer("linden", "rehabilitation", "zorgplatform-party")
_TOWER = transfer("tower", "zorgplatform-party", "rehabilitation")
_FULL = transfer("full", "hospital", "nuts-party")
_CLOSED = transfer("closed", "nuts-party", "hospital")
_DATE = transfer("date", "hospital", "nuts-party")

CN_5_SIMULATED = Journey(
    "cn-5-simulated",
    Title(
        "CN-5 met bestaande systemen: eOverdracht tussen Zorgplatform en Nuts, zonder broker van "
        "derden",
        "CN-5 with existing systems: nursing handoff between Zorgplatform and Nuts, no broker of "
        "others",
    ),
    (
        *_handed(_THERE),  # Zorgplatform to Nuts
        *(*_handed(_HERE), _seen(_HERE, 2)),  # Nuts to Zorgplatform
        *_handed(_LINDEN),  # Nuts to Zorgplatform
        *_handed(_TOWER),  # Zorgplatform to Nuts
        *(*_FULL.offered(), *_FULL.refused()),
        *(*_CLOSED.offered(), *_CLOSED.refused()),
        *_moved(_DATE),
    ),
    simulators=True,
)

_HOME, _AWAY = (
    transfer("home", "nuts-party", "rehabilitation"),
    transfer("away", "rehabilitation", "nuts-party"),
)
NURSING_HOMES = Journey(
    "nursing-homes",
    Title(
        "eOverdracht tussen twee verpleeghuizen op Nuts, waarvan een met een bestaand systeem",
        "Nursing handoff between two nursing homes on Nuts, one of them with an existing system",
    ),
    (*_handed(_AWAY), *_handed(_HOME)),
    simulators=True,
)
