"""Every journey there is, by name. To add one: write it, add one line here."""

from openldn.base.errors import Issue, LdnError
from openldn.testbench.journeys.asking import PAIRS, PULL, PULL_SIMULATED
from openldn.testbench.journeys.existing import CN_4_SIMULATED, CN_5_SIMULATED, NURSING_HOMES
from openldn.testbench.journeys.handing import (
    EMERGENCY,
    EOVERDRACHT,
    EOVERDRACHT_REQUEST,
    REFERRAL,
)
from openldn.testbench.journeys.model import Journey
from openldn.testbench.journeys.offering import CN_4, CN_5, JANSEN
from openldn.testbench.journeys.sending import PRESCRIPTION

_EVERY = (
    *(PULL, PAIRS, CN_4, CN_5, JANSEN),
    *(EOVERDRACHT, EOVERDRACHT_REQUEST, EMERGENCY, REFERRAL, PRESCRIPTION),
    *(PULL_SIMULATED, CN_4_SIMULATED, CN_5_SIMULATED, NURSING_HOMES),
)
JOURNEYS = {journey.name: journey for journey in _EVERY}


def journey_of(name: str) -> Journey:
    """The journey with this name; raises LdnError(not-found) that lists them."""
    if found := JOURNEYS.get(name):
        return found
    text = f"no such journey; choose from {', '.join(JOURNEYS)}"
    raise LdnError(Issue.NOT_FOUND, text)
