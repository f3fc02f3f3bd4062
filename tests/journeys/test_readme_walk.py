"""The five-minute walk of the README, done word by word in a real browser."""

import re
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from journeys.laptop import Laptop

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
WALK = README[README.index("## Five minutes") : README.index("## Test")]
BOLD = re.findall(r"\*\*([^*]+)\*\*", WALK)  # what is chosen, in order
LEANING = re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", WALK)  # names, in order
BSN = re.findall(r"`(\d{9})`", WALK)[0]


def opened(network: Laptop, browser: Browser) -> Page:
    page = browser.new_page(locale="nl-NL")
    page.goto(network.plan.origin("portal"))
    return page


def test_the_readme_leads_to_the_bgz_of_mrs_jansen(network: Laptop, browser: Browser) -> None:
    sign_in, ask, evidence = BOLD
    practitioner, _, hospital = [name for name in LEANING if name != "all healthy"][:3]
    page = opened(network, browser)

    page.get_by_role("link", name=sign_in).click()
    page.get_by_role("button", name=practitioner).click()
    page.get_by_label("Burgerservicenummer").fill(BSN)
    page.get_by_label(hospital).check()
    page.get_by_label("Ik heb een behandelrelatie").check()
    page.get_by_role("button", name=ask).click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("Jansen", timeout=15_000)
    expect(page.get_by_text("29 van 29 deelvragen").last).to_be_visible(timeout=15_000)
    fracture = page.get_by_role("row").filter(has_text="fractuur van collum femoris")
    expect(fracture).to_contain_text("Ziekenhuis De Brug")
    assert BSN not in page.content()

    page.get_by_role("link", name=evidence).click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator("main")).to_contain_text("Ziekenhuis De Brug")
    page.close()


def test_a_published_test_patient_is_shown(
    shared_data: Path, laptop: Laptop, browser: Browser
) -> None:
    laptop.up("--data", str(shared_data / "nictiz"))
    page = opened(laptop, browser)

    page.get_by_role("link", name="Inloggen als testgebruiker").click()
    page.get_by_role("button", name="R. Herstel-Test").click()
    page.get_by_label("Burgerservicenummer").fill("999901370")
    page.get_by_label("Ziekenhuis De Brug").check()
    page.get_by_label("Ik heb een behandelrelatie").check()
    page.get_by_role("button", name="Gegevens opvragen").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("de Herder", timeout=15_000)
    expect(page.get_by_text("29 van 29 deelvragen").last).to_be_visible(timeout=15_000)
    expect(page.get_by_text("eiwit van kat").first).to_be_visible()
    page.close()
