"""Journeys in which somebody asks: pull between infrastructures, and who holds data at all."""

from openldn.exchanges import EXCHANGES
from openldn.patterns.exchange import Title
from openldn.testbench.journeys.model import Journey, Step, at_least
from openldn.testbench.members import MEMBERS

_QUERIES = {code: len(e.release().plan) for code, e in EXCHANGES.items() if e.releases}


def _asking(asker: str, holder: str, exchange: str = "bgz") -> Step:
    title = EXCHANGES[exchange].title
    return Step(
        asker,
        "ask",
        Title(
            f"{{{asker}}} vraagt bij {{{holder}}} op: {title.nl}",
            f"{{{asker}}} asks {{{holder}}} for: {title.en}",
        ),
        {"holder": holder, "exchange": exchange},
        {"status": 200, "gaps": 0, "resources": at_least(1)},
        {"correlation": f"{asker}-{holder}-{exchange}"},
        turn=holder,
    )


def _proven(asker: str, holder: str, exchange: str = "bgz") -> tuple[Step, Step]:
    """Both sides keep evidence of each query."""
    correlation, count = f"${asker}-{holder}-{exchange}", _QUERIES[exchange]
    return (
        Step(
            holder,
            "evidence",
            Title(f"{{{holder}}} legde vast wie wat inzag", f"{{{holder}}} recorded who saw what"),
            {"correlation": correlation, "event": "data-served"},
            {"events": count},
            within=5,
        ),
        Step(
            asker,
            "evidence",
            Title(f"{{{asker}}} legde vast wat zij vroeg", f"{{{asker}}} recorded what it asked"),
            {"correlation": correlation, "event": "data-requested"},
            {"events": count},
            within=5,
        ),
    )


def round_(asker: str, holder: str, exchange: str = "bgz") -> tuple[Step, ...]:
    """A question, and the evidence of it on both sides."""
    return (_asking(asker, holder, exchange), *_proven(asker, holder, exchange))


PULL = Journey(
    "pull",
    Title(
        "Gericht bevragen over drie infrastructuren: de BgZ en de eOverdracht",
        "Pull over three infrastructures: the basic data set and the nursing handoff",
    ),
    (
        *round_("clinic", "hospital"),  # LSP asks Zorgplatform
        *round_("hospital", "clinic"),
        *round_("rehabilitation", "hospital"),  # Nuts asks Zorgplatform
        *round_("gp", "rehabilitation"),  # LSP asks Nuts
        *round_("rehabilitation", "hospital", "eoverdracht"),
        *round_("hospital", "rehabilitation", "eoverdracht"),
    ),
)

PAIRS = Journey(
    "pairs",
    Title(
        "Iedereen vraagt de BgZ bij iedereen: 25 paren",
        "Everybody asks everybody for the basic data set: 25 pairs",
    ),
    tuple(_asking(asker.key, holder.key) for asker in MEMBERS for holder in MEMBERS),
)


def _of_simulator(asker: str, holder: str) -> tuple[Step, ...]:
    """A node asks a simulated party, which saw each search come in."""
    return (
        _asking(asker, holder),
        Step(
            holder,
            "evidence",
            Title(f"{{{holder}}} zag elke vraag komen", f"{{{holder}}} saw each question come"),
            {"event": "data-read", "of": asker},
            {"events": at_least(_QUERIES["bgz"])},
        ),
    )


PULL_SIMULATED = Journey(
    "pull-simulated",
    Title(
        "Gericht bevragen bij en door partijen met een bestaand systeem",
        "Pull from and by parties with an existing system",
    ),
    (
        *_of_simulator("hospital", "lsp-party"),  # Zorgplatform asks LSP
        _asking("lsp-party", "hospital"),
        *_of_simulator("clinic", "zorgplatform-party"),  # LSP asks Zorgplatform
        _asking("zorgplatform-party", "clinic"),
        *_of_simulator("hospital", "nuts-party"),  # Zorgplatform asks Nuts
        _asking("nuts-party", "hospital"),
        *_of_simulator("rehabilitation", "zorgplatform-party"),  # Nuts asks Zorgplatform
        _asking("zorgplatform-party", "rehabilitation"),
    ),
    simulators=True,
)
