"""Breaking the glass: what must be there, and for how long it counts.

Pure: both sides look at it, the asking one before it asks and the holder before it answers.

Source: exchange patterns §7.3; rule R83.
"""

from datetime import UTC, datetime, timedelta

from openldn.trust.parties import Emergency, Person
from openldn.trust.people.levels import Level, level

BREAKING = "BTG"  # v3-ActReason: break the glass
WINDOW = timedelta(minutes=15)  # one reason opens for so long
SKEW = timedelta(seconds=60)  # clocks of two organizations may differ by so much
SHORTEST, LONGEST = 10, 1000  # characters of the reason in a person's own words
REASONS = (
    "life-threatening",  # waiting would endanger the patient
    "unconscious",  # the patient cannot answer
    "incapacitated",  # the patient cannot decide, and nobody who may is there
    "unknown-patient",  # brought in from elsewhere, and nobody here knows what matters
    "other",
)


def flaws(emergency: Emergency | None, person: Person | None, now: datetime) -> list[str]:
    """Everything that is wrong with a broken glass; an empty list lets it count now."""
    if emergency is None:
        return [f"breaking the glass needs a coded reason and at least {SHORTEST} characters"]
    began = datetime.fromtimestamp(emergency.began, UTC)
    wrong = {
        "the reason is none of the coded ones": emergency.code not in REASONS,
        f"the reason has less than {SHORTEST} characters": not _says(emergency.text),
        "nobody is named who breaks the glass": person is None or not person.uzi,
        "who breaks the glass did not sign in at the level high": _low(emergency.level),
        "the time for this reason is over; give a reason anew": now > began + WINDOW + SKEW,
        "the reason was given later than now; check the clocks": began > now + SKEW,
    }
    return [text for text, found in wrong.items() if found]


def _says(text: str) -> bool:
    return SHORTEST <= len(text.strip()) and len(set(text)) > 2  # not a row of one sign


def _low(shown: str) -> bool:
    return level(shown) < Level.HIGH


def ends(began: int) -> datetime:
    """Until when a reason that was given then counts."""
    return datetime.fromtimestamp(began, UTC) + WINDOW
