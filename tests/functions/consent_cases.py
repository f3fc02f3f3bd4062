"""People, providers and questions of the seed story, shared by the tests of consent."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.consent.model import (
    ANYTHING,
    Choice,
    Decision,
    Disclosure,
    Level,
    Provider,
    Target,
    User,
)

MOMENT = datetime(2027, 3, 2, 9, 14, 7, tzinfo=UTC)
JANSEN, PIETERSEN = Bsn.parse("999900006"), Bsn.parse("999911120")
HOSPITAL = Provider(Ura("00000001"), "V6")
CLINIC = Provider(Ura("00000002"), "Z4")
PRACTICE = Provider(Ura("00000003"), "Z3")
DOCTOR = User("000095254", "01.015")
ASKED = Disclosure(JANSEN, HOSPITAL, CLINIC, DOCTOR, "bgz")
PERMIT, DENY, UNKNOWN = Decision.PERMIT, Decision.DENY, Decision.UNKNOWN
THE_HOSPITAL = Target(Level.PROVIDER, "00000001")
THE_CLINIC = Target(Level.PROVIDER, "00000002")
HOSPITALS = Target(Level.CATEGORY, "hospital")
CLINICS = Target(Level.CATEGORY, "clinic")
TREATMENT = Target(Level.CATEGORY, "GGC002")


@dataclass
class Time:
    """A clock that stands still until it is moved."""

    now: datetime = field(default=MOMENT)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def choice(
    decision: Decision,
    id: str = "c-1",
    *,
    holder: Target = ANYTHING,
    user: Target = ANYTHING,
    context: Target = ANYTHING,
    resource: Target = ANYTHING,
) -> Choice:
    return Choice(id, decision, holder, user, context, resource)
