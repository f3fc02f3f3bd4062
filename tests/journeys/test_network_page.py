"""The operator of the directory sees in a real browser which addresses work, and which do not."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from journeys.laptop import OPENLDN, Laptop, openldn, until

PROVIDERS = (
    "Ziekenhuis De Brug",
    "Kliniek Het Veer",
    "Revalidatiecentrum De Linde",
    "Huisartsenpraktijk Het Plein",
    "Apotheek De Vijzel",
)
SILENT = "Apotheek De Vijzel"
# Addresses of one provider: STU3, R4, Tasks, tokens, notifications in both, care team, care plans,
# pushes in both.
EACH = 10
EVERY = 2  # seconds between two tries in these tests


@contextmanager
def operator(network: Laptop, browser: Browser) -> Iterator[Page]:
    """The pages as the operator of a node sees them."""
    page = browser.new_page(locale="nl-NL")
    page.goto(f"{network.plan.origin('portal')}/beheer/")
    page.get_by_role("button", name="Kliniek Het Veer").click()
    yield page
    page.close()


@pytest.fixture
def page(network: Laptop, browser: Browser) -> Iterator[Page]:
    """The pages of the network that all tests use."""
    with operator(network, browser) as page:
        yield page


@pytest.fixture
def own(laptop: Laptop, browser: Browser) -> Iterator[Page]:
    """The pages of a network of this test alone, for its functions start again."""
    laptop.up()
    with operator(laptop, browser) as page:
        yield page


def addresses(network: Laptop, page: Page) -> Locator:
    """The section of the addresses, as it is told now."""
    page.goto(f"{network.plan.origin('portal')}/beheer/network")
    return page.get_by_role("region", name="Adressen")


def badges(network: Laptop, page: Page) -> dict[str, set[str]]:
    """Of each care provider what the badges of its addresses say."""
    found: dict[str, set[str]] = {}
    for row in addresses(network, page).locator("tbody tr").all():
        name = row.locator("th span").first.inner_text().splitlines()[0]
        found.setdefault(name, set()).add(row.locator(".badge").inner_text().strip())
    return found


@contextmanager
def stopped(network: Laptop, part: str) -> Iterator[None]:
    """This part hangs: it accepts a connection and says nothing, for as long as the block lasts."""
    [pid] = network.pids(part)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def tried_often(network: Laptop) -> None:
    """Have the directory try every address every two seconds: it starts again with that."""
    file = network.plan.settings("functions")  # the directory runs in it
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"(?m)^probe_every = .*$", f"probe_every = {EVERY}", text))
    [pid] = network.pids("functions")
    os.kill(pid, signal.SIGTERM)
    until(lambda: network.pids("functions") not in ([], [pid]), "the directory starts again")


def test_after_the_start_the_addresses_of_all_five_work(network: Laptop, page: Page) -> None:
    wanted = {name: {"Werkt"} for name in PROVIDERS}

    until(lambda: badges(network, page) == wanted, "every address works")

    expect(addresses(network, page)).to_contain_text("Elk adres werkt.")


def test_a_node_that_hangs_shows_as_failing_while_the_others_work(
    laptop: Laptop, own: Page
) -> None:
    tried_often(laptop)
    well = {name: {"Werkt"} for name in PROVIDERS}
    until(lambda: badges(laptop, own) == well, "every address works")

    with stopped(laptop, "pharmacy"):
        failing = well | {SILENT: {"Werkt niet"}}
        until(lambda: badges(laptop, own) == failing, "only the pharmacy fails", 60)
        section = addresses(laptop, own)
        expect(section).to_contain_text(f"Werkt niet: {EACH}.")
        expect(section.locator("tbody tr").first).to_contain_text(SILENT)
        expect(section.locator("tbody tr").first).to_contain_text("geen antwoord op tijd")

    until(lambda: badges(laptop, own) == well, "the pharmacy works again")
    expect(addresses(laptop, own).locator("tbody tr", has_text=SILENT).first).to_contain_text(
        "geen antwoord op tijd"  # how it failed is still told
    )


def test_the_directory_is_asked_and_tried_from_the_command_line(network: Laptop) -> None:
    place = ("--network", str(network.folder))

    for typed, ura in (("ziekenhius de burg", "90000001"), ("apoteek vijsel", "90000005")):
        found = openldn("directory", "find", typed, *place)
        assert found.returncode == 0 and ura in found.stdout, (OPENLDN, found.stderr)
    assert "nobody fits" in openldn("directory", "find", "zeppelin", *place).stdout
    tried = openldn("directory", "probe", *place)
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert tried.stdout.count("answers as the directory says") == EACH * len(PROVIDERS)
