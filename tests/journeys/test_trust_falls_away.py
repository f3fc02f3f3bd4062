"""What others rest on falls away: a certificate is revoked, the broker or the authority is gone."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from journeys.laptop import NOBODY, Laptop, clear, fresh, openldn, resources, until, whole
from openldn.testbench.members import MEMBERS
from openldn.testbench.synth.people import bsns

URAS = {m.key: m.ura for m in MEMBERS}
BOUND = 60.0  # seconds in which a revocation must be known everywhere


@pytest.fixture(scope="module")
def stage() -> Iterator[Laptop]:
    """A network of this module alone: what is revoked stays revoked."""
    laptop = fresh()
    laptop.up()
    yield laptop
    clear(laptop)


@pytest.fixture(scope="module")
def patients(stage: Laptop) -> Iterator[str]:
    """Patients that nobody asked for before, so that no token is there yet; they consent."""

    def each() -> Iterator[str]:
        for number in bsns():
            stage.consent(number.value)
            yield number.value

    stage.consent(NOBODY)
    return each()


@contextmanager
def away(network: Laptop, part: str) -> Iterator[None]:
    """The part is killed, and what is started in its place does not come up."""
    (killed,) = network.pids(part)
    os.kill(killed, signal.SIGKILL)
    until(lambda: bool(set(network.pids(part)) - {killed}), f"{part} is started again", 10)
    (held,) = set(network.pids(part)) - {killed}
    os.kill(held, signal.SIGSTOP)  # long before it listens
    try:
        yield
    finally:
        os.kill(held, signal.SIGCONT)


def gets(network: Laptop, asker: str, holder: str, bsn: str) -> bool:
    return whole(network.ask(asker, URAS[holder], bsn))


def test_without_the_broker_each_infrastructure_goes_on_and_between_them_it_is_told(
    stage: Laptop, patients: Iterator[str]
) -> None:
    new, other = next(patients), next(patients)
    with away(stage, "broker"):
        assert gets(stage, "gp", "clinic", new)
        assert gets(stage, "hospital", "hospital", new)
        for asker, holder in (("gp", "hospital"), ("hospital", "rehabilitation")):
            reply = stage.ask(asker, URAS[holder], other)
            told = {r["issue"][0]["diagnostics"] for r in resources(reply)}
            assert len(resources(reply)) == 29 and len(told) == 1, told
            assert "broker" in told.pop()
    until(lambda: gets(stage, "gp", "hospital", other), "the broker is back", 20)
    assert gets(stage, "hospital", "rehabilitation", other)


def test_without_the_authority_the_last_good_list_serves(
    stage: Laptop, patients: Iterator[str]
) -> None:
    holders = ("clinic", "rehabilitation")
    until(lambda: all(gets(stage, "gp", h, NOBODY) for h in holders), "the lists are known")
    ends = time.monotonic() + 17  # beyond the 15 seconds that a list is used unasked
    with away(stage, "simulators"):
        while time.monotonic() < ends:
            began = time.monotonic()
            assert all(gets(stage, "gp", h, next(patients)) for h in holders)
            assert time.monotonic() - began < 5


def test_a_certificate_that_is_revoked_is_dead_everywhere_within_a_minute(
    stage: Laptop, patients: Iterator[str]
) -> None:
    holders = ("clinic", "rehabilitation", "hospital")  # LSP, Nuts, Zorgplatform
    until(lambda: all(gets(stage, "gp", h, NOBODY) for h in holders), "the practice is believed")

    done = openldn(
        "pki", "--dir", str(stage.plan.pki), "--revoke", f"{stage.plan.pki}/gp/signing.pem"
    )
    assert done.returncode == 0, done.stderr
    began, dead = time.monotonic(), dict[str, float]()
    while len(dead) < len(holders):
        for holder in set(holders) - set(dead):
            if not gets(stage, "gp", holder, NOBODY):
                dead[holder] = time.monotonic() - began
        assert time.monotonic() - began <= BOUND, f"still believed somewhere; dead: {dead}"
        time.sleep(0.2)
    print(f"dead after {dead}")
    for asker in ("pharmacy", "rehabilitation", "hospital"):
        assert all(gets(stage, asker, h, NOBODY) for h in holders), asker
