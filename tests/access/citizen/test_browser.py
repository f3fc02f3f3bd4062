"""The pages of citizens in a real browser: axe, keyboard, without JavaScript, on a small screen."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from access.citizen.world import JANSEN, World, line
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, expect

from openldn.access.citizen.desk import Message
from openldn.base.runtime import instant, utc_now
from openldn.functions.consent.model import Choice, Decision, Level, Target

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PAGES = ["", "choices", "looked", "sign-in", "nowhere"]
Open = Callable[..., Page]
CHOSEN = (
    Choice("1", Decision.PERMIT, Target(Level.CATEGORY, "hospital")),
    Choice("2", Decision.DENY, user=Target(Level.PROVIDER, "90000005")),
)


@pytest.fixture
def window(browser: Browser, mine: World) -> Iterator[Open]:
    """Opens a window as Mrs Jansen; whatever it complains about fails the test."""
    complaints: list[str] = []
    with ExitStack() as stack:

        def opened(**options: Any) -> Page:
            context = browser.new_context(base_url=mine.url, **{"locale": "nl-NL", **options})
            stack.callback(context.close)
            page = context.new_page()
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda said: complaints.append(said.text))
            page.goto("/mijn/sign-in")
            page.locator("button.person").first.click()
            page.wait_for_url("**/mijn/")
            return page

        yield opened
    expected = "Failed to load resource: the server responded with a status of 40"
    assert not [c for c in complaints if not c.startswith(expected)]


def violations(page: Page) -> list[str]:
    options = {"runOnly": {"type": "tag", "values": WCAG}}
    found = Axe().run(page, options=options).response["violations"]
    return [f"{page.url} {v['id']}: {n['html'][:160]}" for v in found for n in v["nodes"][:3]]


def fill(mine: World) -> None:
    mine.registry.kept[JANSEN] = [CHOSEN]
    mine.log.lines = (line(count=4), line(emergency=True), line(refused=True))
    mine.log.silent = ("Apotheek De Vijzel",)
    told = {"at": instant(utc_now()), "role": "01.015", "holder": "Ziekenhuis De Brug"}
    about = {"organization": "Kliniek", "code": "other", "outcome": "", "reason": "een reden"}
    mine.log.messages = (Message(**told, **about, opened=True),)


@pytest.mark.parametrize(("locale", "scheme"), [("nl-NL", "light"), ("en-GB", "dark")])
def test_no_page_has_a_barrier_that_axe_can_find(
    window: Open, mine: World, locale: str, scheme: str
) -> None:
    page = window(locale=locale, color_scheme=scheme)
    found = violations(page)
    fill(mine)
    for name in PAGES:
        page.goto(f"/mijn/{name}")
        found += violations(page)
    page.goto("/mijn/choices")
    page.locator(
        'button[type="submit"]', has_text="betekent" if locale == "nl-NL" else "means"
    ).click()
    found += violations(page)  # nothing chosen: the form again, with what is wrong
    page.locator('input[name="decision"]').first.check()
    page.locator('form[action$="preview"]:has(select) button').click()
    found += violations(page)

    assert found == []


@pytest.mark.parametrize("width", [320, 390, 640, 1280])
def test_no_page_scrolls_sideways(window: Open, mine: World, width: int) -> None:
    page = window(viewport={"width": width, "height": 800})
    fill(mine)

    for name in PAGES:
        page.goto(f"/mijn/{name}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def test_a_choice_can_be_made_without_javascript(window: Open, mine: World) -> None:
    page = window(java_script_enabled=False)
    page.goto("/mijn/choices")
    page.locator('input[value="yes"]').check()
    page.locator('select[name="user"]').select_option("category:RPZAC001")
    page.get_by_text("Laat zien wat dit betekent").click()
    expect(page.locator("main")).to_contain_text("Er is nog niets bewaard")
    page.get_by_text("Bewaar deze keuze").click()

    expect(page.locator("main")).to_contain_text("Uw keuze is bewaard")
    assert len(mine.registry.kept[JANSEN][-1]) == 1
