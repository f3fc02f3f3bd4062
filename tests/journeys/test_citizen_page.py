"""A citizen chooses in a real browser, and the network does as they say within seconds."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Browser, Page, expect

from journeys.laptop import CLINIC, HOSPITAL, JANSEN, Laptop, whole

WITHIN = 5.0  # seconds after which a withdrawal counts everywhere


@pytest.fixture
def page(network: Laptop, browser: Browser) -> Iterator[Page]:
    """Mrs Jansen at her own pages; what she chose in a test ends with it."""
    page = browser.new_page(locale="nl-NL")
    page.goto(f"{network.plan.origin('portal')}/mijn/")
    page.get_by_role("button", name="Johanna Jansen").click()
    yield page
    page.goto(f"{network.plan.origin('portal')}/mijn/choices")
    objections = page.locator("li", has=page.locator(".badge.no"))
    while objections.count():
        objections.first.get_by_role("button").click()
        page.get_by_role("button", name="Bewaar deze keuze").click()
    page.close()


def asked(network: Laptop, who: str) -> bool:
    """Whether the hospital answers all that `who` asks; beside the loop of the browser."""
    with ThreadPoolExecutor(1) as beside:
        return whole(beside.submit(network.ask, who, HOSPITAL).result())


def object_to(page: Page, network: Laptop, user: str, holder: str) -> None:
    page.goto(f"{network.plan.origin('portal')}/mijn/choices")
    page.get_by_label("Nee, dat mag niet").check()
    page.locator("#user").select_option(f"provider:{user}")
    page.locator("#holder").select_option(f"provider:{holder}")
    page.get_by_role("button", name="Laat zien wat dit betekent").click()


def test_an_objection_is_shown_before_it_is_kept_and_then_holds_within_seconds(
    network: Laptop, page: Page
) -> None:
    assert asked(network, "clinic")

    object_to(page, network, CLINIC, HOSPITAL)
    expect(page.locator("main")).to_contain_text("Gegevens bij Ziekenhuis De Brug")
    expect(page.locator(".effect")).to_contain_text("Kliniek Het Veer")
    assert asked(network, "clinic"), "nothing is kept yet"
    page.get_by_role("button", name="Bewaar deze keuze").click()
    expect(page.locator("main")).to_contain_text("Uw keuze is bewaard")

    kept = time.monotonic()
    while asked(network, "clinic"):
        assert time.monotonic() - kept < WITHIN, "an objection counts within five seconds"
    assert asked(network, "gp"), "the objection is about one care provider only"


def test_who_looked_is_shown_with_what_was_refused(network: Laptop, page: Page) -> None:
    begun = time.monotonic()
    while not asked(network, "clinic"):
        assert time.monotonic() - begun < WITHIN, "an objection that ended no longer counts"

    page.goto(f"{network.plan.origin('portal')}/mijn/looked")

    main = page.locator("main")
    expect(main).to_contain_text("Kliniek Het Veer")
    expect(main).to_contain_text("Ziekenhuis De Brug")
    expect(main).to_contain_text("U gaf toestemming")
    assert JANSEN not in page.content() and JANSEN not in page.url


def test_the_operator_sees_that_every_function_answers(network: Laptop, browser: Browser) -> None:
    page = browser.new_page(locale="nl-NL")
    page.goto(f"{network.plan.origin('portal')}/beheer/")
    page.get_by_role("button", name="Kliniek Het Veer").click()
    page.goto(f"{network.plan.origin('portal')}/beheer/network")

    for name in ("Adressering", "Lokalisatie", "Pseudoniemen", "Toestemming", "Broker"):
        expect(page.locator("main")).to_contain_text(name)
    functions = page.get_by_role("region", name="Functies")
    expect(functions.locator(".badge.ok")).to_have_count(5)
    page.close()
