"""The story of Mrs Jansen, played by two people in two browsers.

She broke her hip in a bicycle accident; the hospital asks the rehabilitation center to take over,
which accepts, fetches the basic data set and takes over. Source: transition plan (notified pull).
"""

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, BrowserContext, Page, expect

from journeys.laptop import JANSEN, Laptop

SOON = 20_000  # milliseconds in which what one did is seen by the other
RECEIVER = "Revalidatiecentrum De Linde"


def arrive(network: Laptop, context: BrowserContext, who: str) -> Page:
    page = context.new_page()
    page.goto(f"{network.plan.origin('portal')}/sign-in")
    chosen = f'form:has(input[name="person"][value="{who}"]) button'
    if not page.locator(chosen).count():  # the portal itself asks nobody: one signs in elsewhere
        page.get_by_role("main").get_by_role("link").or_(
            page.get_by_role("main").get_by_role("button")
        ).first.click()
    page.locator(chosen).click()
    page.wait_for_url("**/find")
    return page


@pytest.fixture
def people(network: Laptop, browser: Browser) -> Iterator[tuple[Page, Page]]:
    """One at the hospital, one at the rehabilitation center."""
    contexts = [browser.new_context(locale=locale) for locale in ("nl-NL", "en-GB")]
    yield (
        arrive(network, contexts[0], "hospital.1"),
        arrive(network, contexts[1], "rehabilitation.1"),
    )
    for context in contexts:
        context.close()


def offer(network: Laptop, page: Page, note: str) -> str:
    """Make an offer for Mrs Jansen; the address of its page."""
    page.goto(f"{network.plan.origin('portal')}/offers/new")
    page.get_by_label("Burgerservicenummer").fill(JANSEN)
    page.get_by_label("Basisgegevensset Zorg").check()
    page.get_by_label(RECEIVER).check()
    page.get_by_label("Toelichting").fill(note)
    page.get_by_label("Ik behandel deze patiënt").check()
    page.get_by_role("button", name="Aanbieden").click()
    expect(page.locator("h1")).to_contain_text("Basisgegevensset Zorg")
    return page.url


def opened(network: Laptop, page: Page, note: str) -> None:
    """The newest offer received, once it is there."""
    page.goto(f"{network.plan.origin('portal')}/offers")
    row = page.locator("section.offers").first.locator("tbody tr").first
    expect(row).to_be_visible(timeout=SOON)
    row.get_by_role("link").click()
    expect(page.locator("#part-notices")).to_contain_text(note, timeout=SOON)


def no_barriers(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert not found, [(rule["id"], [n["html"] for n in rule["nodes"]]) for rule in found]


def test_she_is_taken_over_with_her_data_and_both_see_it_as_it_happens(
    network: Laptop, people: tuple[Page, Page]
) -> None:
    hospital, center = people
    offer(network, hospital, "heupfractuur na een val met de fiets")
    expect(hospital.locator("#part-progress")).to_contain_text(f"{RECEIVER} is aan zet")
    no_barriers(hospital)

    opened(network, center, "heupfractuur")
    no_barriers(center)
    center.locator("#act-accept button").click()
    expect(center.locator("#part-progress")).to_contain_text("accepted", timeout=SOON)

    # nobody touches the hospital's page
    expect(hospital.locator("#part-progress")).to_contain_text("geaccepteerd", timeout=SOON)
    expect(hospital.locator("#part-history")).to_contain_text("Geaccepteerd")

    fetched = center.url
    center.get_by_role("button", name="Fetch the data").click()
    expect(center.locator("#part-progress")).to_contain_text("Done", timeout=SOON)
    expect(center.locator("#part-patient")).to_contain_text("Jansen")
    assert JANSEN not in center.content()

    center.goto(fetched)
    center.locator("#act-complete button").click()
    expect(center.locator("#part-progress")).to_contain_text("completed", timeout=SOON)
    expect(hospital.locator("#part-progress")).to_contain_text("afgerond", timeout=SOON)
    assert JANSEN not in hospital.content()


def test_there_is_no_bed_and_the_hospital_reads_why(
    network: Laptop, people: tuple[Page, Page]
) -> None:
    hospital, center = people
    offer(network, hospital, "kan zij maandag komen?")
    opened(network, center, "kan zij maandag komen?")

    center.locator("#act-reject textarea").evaluate("field => field.removeAttribute('required')")
    center.locator("#act-reject button").click()
    expect(center.locator("[data-focus]")).to_contain_text("Give a reason")
    center.locator("#act-reject textarea").fill("no bed before Thursday")
    center.locator("#act-reject button").click()
    expect(center.locator("#part-progress")).to_contain_text("refused", timeout=SOON)

    expect(hospital.locator("#part-progress")).to_contain_text("geweigerd", timeout=SOON)
    expect(hospital.locator("#part-notices")).to_contain_text("no bed before Thursday")


def test_another_day_is_proposed_and_agreed(network: Laptop, people: tuple[Page, Page]) -> None:
    hospital, center = people
    offer(network, hospital, "graag morgen")
    opened(network, center, "graag morgen")
    center.locator("#date").fill("2030-03-04")
    center.locator("#act-propose button").click()
    expect(hospital.locator("#part-notices")).to_have_text(
        re.compile(r"Voorgestelde datum:\s+4 mrt. 2030\s*$", re.MULTILINE), timeout=SOON
    )
    hospital.locator("#act-agree button").click()
    expect(center.locator("#act-accept")).to_be_visible(timeout=SOON)


def test_without_javascript_all_of_it_works_too(network: Laptop, browser: Browser) -> None:
    context = browser.new_context(locale="nl-NL", java_script_enabled=False)
    page = arrive(network, context, "hospital.1")
    url = offer(network, page, "zonder script")
    page.goto(f"{network.plan.origin('portal')}/offers/sent")
    expect(page.locator("main")).to_contain_text(RECEIVER)
    page.goto(url)
    page.locator("#act-cancel textarea").fill("zij blijft hier")
    page.locator("#act-cancel button").click()
    expect(page.locator("#part-progress")).to_contain_text("ingetrokken")
    assert re.search(r"/offers/[A-Za-z0-9-]+$", page.url)
    context.close()
