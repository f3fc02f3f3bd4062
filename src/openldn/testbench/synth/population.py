"""Many fictitious patients: the same seed gives the same people, whatever was made before."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from random import Random

from openldn.base.errors import Issue, LdnError
from openldn.testbench.placed import Placed
from openldn.testbench.synth import circumstances as life
from openldn.testbench.synth import codes, handoff, zibs
from openldn.testbench.synth.chart import Chart
from openldn.testbench.synth.people import FIRST, bsns, person
from openldn.testbench.synth.story import JANSEN, SITES

MOST = 1_000_000  # patients
_TRANSFERS = {"hospital": "rehabilitation", "rehabilitation": "hospital"}  # from, to


def population(count: int, seed: int, today: date) -> Iterator[Placed]:
    """The records of `count` patients, each at one to three of the five providers.

    Raises LdnError(invalid) for a count out of bounds.
    """
    if not 1 <= count <= MOST:
        raise LdnError(Issue.INVALID, f"--patients: choose a number from 1 to {MOST}")
    numbers = (b for b in bsns(FIRST if count < 5000 else 900_000_000) if b != JANSEN.bsn)
    for index, bsn in zip(range(count), numbers, strict=False):
        # an own generator each, so that patient 7 is the same in a run of 10 and of 10,000
        random = Random(seed * 1_000_003 + index)  # noqa: S311
        someone = person(random, f"p{seed}-{index + 1}", bsn, today)
        for key in random.sample(sorted(SITES), random.randint(1, 3)):
            chart = Chart(someone, SITES[key], today)
            _write(chart, random)
            if key in _TRANSFERS:
                _hand_over(chart)
            yield from chart.placed()


def _write(chart: Chart, random: Random) -> None:
    life.coverage(chart, "Zorgverzekeraar De Boog", "9990")
    for code, product, use in random.sample(codes.PROBLEMS, random.randint(0, 3)):
        since = random.randint(30, 4000)
        zibs.problem(chart, code, since)
        zibs.medication(chart, product, use, since)
    if random.random() < 0.25:
        zibs.allergy(chart, *random.choice(codes.ALLERGIES))
    for vaccine in random.sample(codes.VACCINES, random.randint(0, 2)):
        zibs.vaccination(chart, vaccine, random.randint(10, 3000))
    _measure(chart, random)
    if random.random() < 0.3:
        zibs.procedure(chart, random.choice(codes.PROCEDURES), random.randint(10, 3000))
    habit = random.choice((life.NEVER_SMOKED, life.FORMER_SMOKER))
    life.habit(chart, "zib-TobaccoUse", life.TOBACCO, habit, random.randint(10, 900))


def _hand_over(chart: Chart) -> None:
    receiver = SITES[_TRANSFERS[chart.site.member.key]]
    handoff.nursing(chart, 1, 3, handoff.FALL_PREVENTION)
    handoff.advance_notice(chart, receiver, 2)
    handoff.handoff(chart, receiver, 2)


def _measure(chart: Chart, random: Random) -> None:
    days_ago = random.randint(1, 700)
    zibs.weight(chart, f"{random.randint(480, 1150) / 10:.1f}", days_ago)
    zibs.height(chart, str(random.randint(150, 200)), days_ago)
    systolic = random.randint(105, 175)
    zibs.blood_pressure(chart, str(systolic), str(systolic - random.randint(35, 60)), days_ago)
    for code, unit, low, high in random.sample(codes.LABORATORY, 2):
        wide = Decimal(high) * Decimal("1.3")
        share = Decimal(random.randint(0, 100)) / 100
        value = Decimal(low) + (wide - Decimal(low)) * share
        exact = value.quantize(Decimal(high))
        zibs.laboratory(chart, code, zibs.quantity(str(exact), unit), (low, high), days_ago)
