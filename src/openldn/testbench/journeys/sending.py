"""A journey of push: a prescription to the pharmacy and the answer back."""

from openldn.patterns.exchange import Title
from openldn.testbench.journeys.model import Journey, Step, with_text

_GP, _PHARMACY = "gp", "pharmacy"


def _sent(who: str, to: str, content: str, said: Title) -> tuple[Step, ...]:
    """It is sent, taken, and stands in the logs of both."""
    case = {"prescription": "prescribe"}.get(content, content)
    given = {"exchange": "prescription", "use_case": case, "to": to, "content": content}
    received = Title(
        f"{{{to}}} heeft het bericht in het eigen dossier en gaf een getekend ontvangstbewijs",
        f"{{{to}}} has it in its own records and gave a signed receipt",
    )
    taken = {"state": "accepted", "entries": 2, "receipt": "transaction-response"}
    return (
        Step(
            *(who, "push", said, given, {"answer": 201}),
            {"push": content, "correlation": f"{content}-id"},
        ),
        Step(who, "pushed", received, {"push": f"${content}"}, taken, within=20, turn=to),
        *(
            Step(
                party,
                "evidence",
                Title(
                    f"{{{party}}} legde vast wat er ging en kwam",
                    f"{{{party}}} recorded what went and came",
                ),
                {"event": event, "correlation": f"${content}-id"},
                {"events": 1},
                within=5,
            )
            for party, event in ((who, "data-pushed"), (to, "data-received"))
        ),
    )


PRESCRIPTION = Journey(
    "prescription",
    Title(
        "Een voorschrift naar de apotheek en de afhandeling terug, door gericht verzenden",
        "A prescription to the pharmacy and its dispense answer back, by push",
    ),
    (
        *_sent(
            *(_GP, _PHARMACY, "prescription"),
            Title(
                "{gp} stuurt een voorschrift voor mevrouw Jansen naar {pharmacy}",
                "{gp} sends a prescription for Mrs Jansen to {pharmacy}",
            ),
        ),
        *_sent(
            *(_PHARMACY, _GP, "dispense"),
            Title(
                "{pharmacy} meldt aan {gp} wat er is verstrekt",
                "{pharmacy} tells {gp} what was dispensed",
            ),
        ),
        Step(
            _GP,
            "push",
            Title(
                "{gp} wil een diagnose als voorschrift sturen; die gaat niet weg",
                "{gp} wants to send a diagnosis as a prescription; it does not leave",
            ),
            {
                "exchange": "prescription",
                "use_case": "prescribe",
                "to": _PHARMACY,
                "content": "diagnosis",
            },
            {"answer": 422, "reason": with_text("nothing was sent [type]")},
        ),
    ),
)
