"""Journeys of the eOverdracht and of a referral with data that no table knows."""

from openldn.fhir.identifiers import CANON
from openldn.patterns.exchange import Title
from openldn.testbench.journeys.asking import round_
from openldn.testbench.journeys.model import SOMETHING, Journey, Step, at_least, with_text
from openldn.testbench.journeys.offering import Way, transfer

_WAY = transfer("handed", "hospital", "rehabilitation")


def _fetched(way: Way, said: Title, least: int, kept: str) -> Step:
    return Step(
        way.receiver,
        "fetch",
        said,
        {"offer": f"${way.name}-received"},
        {"status": 200, "resources": at_least(least)},
        {"correlation": kept},
        turn=way.sender,
    )


EOVERDRACHT = Journey(
    "eoverdracht",
    Title(
        "eOverdracht van ziekenhuis naar revalidatie: aanmeldbericht, overdracht, voltooiing",
        "Nursing handoff from hospital to rehabilitation: registration, handoff, completion",
    ),
    (
        *_WAY.offered(),
        _fetched(
            _WAY,
            Title(
                "{rehabilitation} leest het aanmeldbericht; het overdrachtsbericht is nog dicht",
                "{rehabilitation} reads the registration message; the handoff is still closed",
            ),
            1,
            "registered",
        ),
        *_WAY.accepted(),
        *_WAY.started(),
        _fetched(
            _WAY,
            Title(
                "{rehabilitation} haalt het overdrachtsbericht op, met waar het naar verwijst",
                "{rehabilitation} fetches the handoff, with what it refers to",
            ),
            15,
            "handed-over",
        ),
        Step(
            "hospital",
            "evidence",
            Title("{hospital} legde vast wie wat inzag", "{hospital} recorded who saw what"),
            {"event": "data-served", "correlation": "$handed-over"},
            {"events": at_least(2)},
            within=5,
        ),
        *_WAY.completed(),
    ),
)

EOVERDRACHT_REQUEST = Journey(
    "eoverdracht-request",
    Title(
        "Een overdracht opvragen bij de vorige zorgaanbieder, zonder dat die iets stuurde",
        "Requesting a handoff at the previous care provider, who sent nothing",
    ),
    (
        *round_("rehabilitation", "hospital", "eoverdracht"),
        *round_("hospital", "rehabilitation", "eoverdracht"),
    ),
)

_REASON = {
    "code": "unconscious",
    "text": "bewusteloos binnengebracht, bekend bij anderen",
    "use": "view",
}
EMERGENCY = Journey(
    "emergency",
    Title(
        "Spoedopname: de overdracht inzien met de noodknop, en er later op terugkijken",
        "Acute admission: looking at the handoff by breaking the glass, and looking back later",
    ),
    (
        Step(
            "clinic",
            "collect",
            Title(
                "{clinic}: wie weet iets van haar? Ik druk op de noodknop, met reden",
                "{clinic}: who knows anything of her? I break the glass, and say why",
            ),
            {"exchange": "eoverdracht", "purpose": "BTG", "emergency": _REASON},
            {"status": 200, "gaps": 0, "resources": at_least(20), "labels": with_text("BTG")},
        ),
        *(
            Step(
                who,
                "cases",
                Title(f"{{{who}}} {nl}", f"{{{who}}} {en}"),
                {"side": side, "exchange": "eoverdracht"},
                {"cases": at_least(1), "case": SOMETHING, "code": "unconscious"},
                {"case": f"{side}-case"},
                within=10,
            )
            for who, side, nl, en in (
                ("clinic", "asked", "moet dit laten nakijken", "must have this reviewed"),
                ("hospital", "held", "zag wie inkeek, en waarom", "saw who looked, and why"),
            )
        ),
        Step(
            "hospital",
            "messages",
            Title(
                "{hospital} zette een bericht klaar voor mevrouw Jansen",
                "{hospital} left a message for Mrs Jansen",
            ),
            {},
            {"messages": at_least(1), "by": SOMETHING},
            within=10,
        ),
        Step(
            "clinic",
            "review",
            Title(
                "{clinic}: een tweede persoon kijkt terug en vindt het terecht",
                "{clinic}: a second person looks back and finds it justified",
            ),
            {
                "case": "$asked-case",
                "outcome": "justified",
                "text": "gezien met het verslag van de ambulance",
            },
            {"answer": 200, "outcome": "justified"},
        ),
    ),
)

_INTAKE = {
    "resourceType": "QuestionnaireResponse",
    "id": "jansen-intake",
    "status": "completed",
    "questionnaire": f"{CANON}/Questionnaire/fall-risk",
    "subject": {"reference": "Patient/jansen"},
    "item": [
        {"linkId": "1", "text": "Gevallen in het afgelopen jaar", "answer": [{"valueInteger": 2}]}
    ],
}
_PHOTO = {
    "resourceType": "Media",
    "id": "jansen-wound",
    "status": "completed",
    "subject": {"reference": "Patient/jansen"},
    "content": {"contentType": "image/png", "title": "wond linkerheup"},
}
_ANYTHING = Way(
    "anything",
    "hospital",
    "gp",
    "referral",
    "refer",
    (
        {"value": "QuestionnaireResponse/jansen-intake"},
        {"value": "Media/jansen-wound"},
    ),
)
REFERRAL = Journey(
    "referral",
    Title(
        "Verwijzen met een gegevensset die geen tabel kent: dezelfde afspraken",
        "Referring with a data set that no table knows: the same agreements",
    ),
    (
        Step(
            "hospital",
            "record",
            Title(
                "{hospital} heeft een vragenlijst en een foto in het dossier, in FHIR R4",
                "{hospital} has a questionnaire and a photo in the record, in FHIR R4",
            ),
            {"fhir": "R4", "resources": (_INTAKE, _PHOTO)},
            {"answer": 200, "kept": 3},
        ),
        *_ANYTHING.offered(),
        *_ANYTHING.accepted(),
        _ANYTHING.fetched(2),
        *_ANYTHING.completed(),
    ),
)
