"""Journeys in which somebody offers: referral and transfer, accepted, refused, withdrawn, moved.

CN-4 and CN-5 are trials of the transition plan: the BgZ between LSP and Zorgplatform, and the
eOverdracht between Zorgplatform and Nuts, in both directions and without a broker of others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openldn.exchanges import EXCHANGES
from openldn.exchanges.eoverdracht import ADVANCE_NOTICE, HANDOFF
from openldn.patterns.exchange import Title
from openldn.testbench.journeys.model import SOMETHING, Journey, Step, at_least

TOLD = 20.0  # seconds in which the other side hears of it
NO_PLACE = "geen plaats op de afdeling"
LATER = {"start": "2031-03-03T09:00:00+01:00"}


@dataclass(frozen=True)
class Way:
    """One offer from one party to another; its name keeps it apart from others in a journey."""

    name: str
    sender: str
    receiver: str
    exchange: str
    use_case: str
    resources: tuple[Mapping[str, str], ...] = ()

    @property
    def title(self) -> Title:
        """What it offers."""
        return EXCHANGES[self.exchange].title

    def offered(self) -> tuple[Step, ...]:
        """The sender offers, the receiver hears of it."""
        return (
            Step(
                self.sender,
                "offer",
                Title(
                    f"{{{self.sender}}} biedt {{{self.receiver}}} aan: {self.title.nl}",
                    f"{{{self.sender}}} offers {{{self.receiver}}}: {self.title.en}",
                ),
                {
                    "to": self.receiver,
                    "exchange": self.exchange,
                    "use_case": self.use_case,
                    "resources": self.resources,
                },
                {"answer": 201, "status": "requested"},
                {"offer": f"{self.name}-sent", "task": f"{self.name}-task"},
            ),
            Step(
                self.receiver,
                "find",
                Title(
                    f"{{{self.receiver}}} krijgt de notificatie",
                    f"{{{self.receiver}}} gets the notification",
                ),
                {"sender": self.sender, "task": f"${self.name}-task"},
                {"offer": SOMETHING, "status": "requested"},
                {"offer": f"{self.name}-received"},
                within=TOLD,
                turn=self.sender,
            ),
        )

    def acts(self, who: str, event: str, said: Title, becomes: str, **given: Any) -> Step:
        """A decision of one of the two."""
        side = "sent" if who == self.sender else "received"
        return Step(
            who,
            "act",
            said,
            {"offer": f"${self.name}-{side}", "event": event, **given},
            {"answer": 200, "status": becomes},
        )

    def sees(self, who: str, said: Title, **expected: Any) -> Step:
        """One of the two sees where it stands, on its own side."""
        side, other = ("sent", self.receiver) if who == self.sender else ("received", self.sender)
        given = {"offer": f"${self.name}-{side}"}
        return Step(who, "look", said, given, expected, within=TOLD, turn=other)

    def accepted(self) -> tuple[Step, ...]:
        """The receiver accepts, the sender sees it."""
        return (
            self.acts(
                self.receiver,
                "accept",
                Title(f"{{{self.receiver}}} accepteert", f"{{{self.receiver}}} accepts"),
                "accepted",
            ),
            self.sees(
                self.sender,
                Title(
                    f"{{{self.sender}}} ziet dat {{{self.receiver}}} accepteerde",
                    f"{{{self.sender}}} sees that {{{self.receiver}}} accepted",
                ),
                status="accepted",
            ),
        )

    def fetched(self, least: int = 1) -> Step:
        """The receiver fetches what was offered, on the right that came with the offer."""
        return Step(
            self.receiver,
            "fetch",
            Title(
                f"{{{self.receiver}}} haalt op: {self.title.nl}",
                f"{{{self.receiver}}} fetches: {self.title.en}",
            ),
            {"offer": f"${self.name}-received"},
            {"status": 200, "gaps": 0, "resources": at_least(least)},
            {"correlation": f"{self.name}-fetched"},
            turn=self.sender,
        )

    def completed(self) -> tuple[Step, ...]:
        """The receiver completes, the sender sees it."""
        return (
            self.acts(
                self.receiver,
                "complete",
                Title(f"{{{self.receiver}}} rondt af", f"{{{self.receiver}}} completes"),
                "completed",
            ),
            self.sees(
                self.sender,
                Title(
                    f"{{{self.sender}}} ziet dat het is afgerond",
                    f"{{{self.sender}}} sees that it is completed",
                ),
                status="completed",
            ),
        )

    def started(self) -> tuple[Step, ...]:
        """The sender starts what was accepted, as in a transfer; the receiver sees it."""
        return (
            self.acts(
                self.sender,
                "start",
                Title(
                    f"{{{self.sender}}} stelt het overdrachtsbericht beschikbaar",
                    f"{{{self.sender}}} makes the handoff available",
                ),
                "in-progress",
            ),
            self.sees(
                self.receiver,
                Title(
                    f"{{{self.receiver}}} ziet dat de overdracht doorgaat",
                    f"{{{self.receiver}}} sees that the transfer goes on",
                ),
                status="in-progress",
            ),
        )

    def refused(self) -> tuple[Step, ...]:
        """The receiver refuses with a reason, the sender reads it."""
        return (
            self.acts(
                self.receiver,
                "reject",
                Title(
                    f"{{{self.receiver}}} weigert: {NO_PLACE}",
                    f"{{{self.receiver}}} refuses: {NO_PLACE}",
                ),
                "rejected",
                reason={"text": NO_PLACE},
            ),
            self.sees(
                self.sender,
                Title(
                    f"{{{self.sender}}} leest waarom {{{self.receiver}}} weigerde",
                    f"{{{self.sender}}} reads why {{{self.receiver}}} refused",
                ),
                status="rejected",
                why=NO_PLACE,
            ),
        )

    def withdrawn(self) -> tuple[Step, ...]:
        """The sender withdraws, the receiver sees it."""
        return (
            self.acts(
                self.sender,
                "cancel",
                Title(f"{{{self.sender}}} trekt terug", f"{{{self.sender}}} withdraws"),
                "cancelled",
                reason={"text": "niet meer nodig"},
            ),
            self.sees(
                self.receiver,
                Title(
                    f"{{{self.receiver}}} ziet dat het is teruggetrokken",
                    f"{{{self.receiver}}} sees that it was withdrawn",
                ),
                status="cancelled",
            ),
        )

    def moved(self) -> tuple[Step, ...]:
        """The receiver proposes another date, the sender agrees."""
        return (
            self.acts(
                self.receiver,
                "propose",
                Title(
                    f"{{{self.receiver}}} stelt een andere datum voor",
                    f"{{{self.receiver}}} proposes another date",
                ),
                "received",
                proposed=LATER,
            ),
            self.sees(
                self.sender,
                Title(
                    f"{{{self.sender}}} ziet het voorstel", f"{{{self.sender}}} sees the proposal"
                ),
                business="counter-proposed",
            ),
            self.acts(
                self.sender,
                "agree",
                Title(f"{{{self.sender}}} gaat akkoord", f"{{{self.sender}}} agrees"),
                "received",
            ),
            self.sees(
                self.receiver,
                Title(
                    f"{{{self.receiver}}} ziet het akkoord", f"{{{self.receiver}}} sees the consent"
                ),
                business="",
            ),
        )

    def referred(self) -> tuple[Step, ...]:
        """A whole referral."""
        return (*self.offered(), *self.accepted(), self.fetched(), *self.completed())

    def transferred(self) -> tuple[Step, ...]:
        """A whole transfer."""
        before = (*self.offered(), *self.accepted(), *self.started())
        return (*before, self.fetched(), *self.completed())


def refer(name: str, sender: str, receiver: str) -> Way:
    """A referral with the BgZ."""
    return Way(name, sender, receiver, "bgz", "refer")


def _document(id_: str, code: Any) -> Mapping[str, str]:
    return {"value": f"Composition/{id_}", "code": code.code, "system": code.system}


def transfer(name: str, sender: str, receiver: str) -> Way:
    """A transfer with registration message and handoff."""
    documents = (
        _document("jansen-advance-notice", ADVANCE_NOTICE),
        _document("jansen-handoff", HANDOFF),
    )
    return Way(name, sender, receiver, "eoverdracht", "transfer", documents)


_THERE, _BACK = refer("there", "hospital", "clinic"), refer("back", "clinic", "hospital")
_NO, _OFF = refer("no", "hospital", "clinic"), refer("off", "clinic", "hospital")
_MOVED = refer("moved", "hospital", "clinic")
CN_4 = Journey(
    "cn-4",
    Title(
        "CN-4: verwijzen met de BgZ tussen Zorgplatform en LSP, heen en terug",
        "CN-4: referring with the basic data set between Zorgplatform and LSP, both ways",
    ),
    (
        *_THERE.referred(),
        *_BACK.referred(),
        *(*_NO.offered(), *_NO.refused()),
        *(*_MOVED.offered(), *_MOVED.moved(), *_MOVED.accepted(), *_MOVED.completed()),
        *(*_OFF.offered(), *_OFF.withdrawn()),
    ),
)

_OUT = transfer("out", "hospital", "rehabilitation")
_IN = transfer("in", "rehabilitation", "hospital")
_FULL = transfer("full", "hospital", "rehabilitation")
_EMPTY = transfer("empty", "rehabilitation", "hospital")
CN_5 = Journey(
    "cn-5",
    Title(
        "CN-5: eOverdracht tussen Zorgplatform en Nuts, heen en terug, zonder broker van derden",
        "CN-5: nursing handoff between Zorgplatform and Nuts, both ways, no broker of others",
    ),
    (
        *_OUT.transferred(),
        *_IN.transferred(),
        *(*_FULL.offered(), *_FULL.refused()),
        *(*_EMPTY.offered(), *_EMPTY.accepted(), *_EMPTY.withdrawn()),
    ),
)

_STORY = refer("story", "hospital", "rehabilitation")
JANSEN = Journey(
    "jansen",
    Title(
        "Mevrouw Jansen gaat na haar fietsongeval van het ziekenhuis naar de revalidatie",
        "Mrs Jansen goes from hospital to rehabilitation after her bicycle accident",
    ),
    (
        Step(
            "hospital",
            "offer",
            Title(
                "{hospital}: ik wil mevrouw Jansen overdragen aan {rehabilitation}, zodat zij kan "
                "herstellen; ik stuur een notificatie met de vraag haar over te nemen",
                "{hospital}: I want to hand Mrs Jansen over to {rehabilitation} to recover; I send "
                "a notification that asks to take her over",
            ),
            {"to": "rehabilitation", "exchange": "bgz", "use_case": "refer"},
            {"answer": 201, "status": "requested"},
            {"offer": "story-sent", "task": "story-task"},
        ),
        _STORY.offered()[1],
        _STORY.acts(
            "rehabilitation",
            "accept",
            Title(
                "{rehabilitation}: mevrouw Jansen wordt overgedragen aan ons, we hebben plek",
                "{rehabilitation}: Mrs Jansen is handed over to us, we have a place",
            ),
            "accepted",
        ),
        _STORY.accepted()[1],
        Step(
            "rehabilitation",
            "fetch",
            Title(
                "{rehabilitation}: ik haal de patiëntsamenvatting op en neem de diagnose en de "
                "behandelaanwijzing over",
                "{rehabilitation}: I fetch the patient summary and take over the diagnosis and the "
                "treatment directive",
            ),
            {"offer": "$story-received"},
            {"status": 200, "gaps": 0, "resources": at_least(20)},
            {"correlation": "story-fetched"},
            turn="hospital",
        ),
        Step(
            "hospital",
            "evidence",
            Title(
                "{hospital} legde vast wie wat van haar inzag",
                "{hospital} recorded who saw what of her",
            ),
            {"correlation": "$story-fetched", "event": "data-served"},
            {"events": at_least(1)},
            within=5,
        ),
        *_STORY.completed(),
    ),
)
