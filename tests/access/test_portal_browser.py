"""The pages in a real browser: axe, keyboard, without JavaScript, on paper, on a small screen."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from access.records import JANSEN
from access.world import FULL, PARTIAL, REFUSES, SLOW, World
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, BrowserContext, Page, expect

REQUEST, WHERE = "form.ask button:not([name])", 'form.ask button[value="where"]'
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
Open = Callable[..., Page]


@pytest.fixture
def window(browser: Browser, world: World) -> Iterator[Open]:
    """Opens a window on the portal; whatever it complains about fails the test."""
    complaints: list[str] = []
    with ExitStack() as stack:

        def opened(**options: Any) -> Page:
            context: BrowserContext = browser.new_context(
                base_url=world.url, **{"locale": "nl-NL", **options}
            )
            stack.callback(context.close)
            page = context.new_page()
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda said: complaints.append(said.text))
            page.on("dialog", lambda dialog: complaints.append(dialog.message))
            page.goto("/")
            return page

        yield opened
    expected = "Failed to load resource: the server responded with a status of 40"
    assert not [c for c in complaints if not c.startswith(expected)]


def sign_in(page: Page) -> Page:
    page.goto("/sign-in")
    page.locator("button.person").first.click()
    page.wait_for_url("**/find")
    return page


def locate(page: Page) -> Page:
    page.goto("/find")
    page.fill("#bsn", JANSEN)
    page.check("#treating")
    page.locator(WHERE).click()
    page.wait_for_selector("#where")
    return page


def ask(page: Page, holder: str, *, wait: bool = True) -> str:
    page.goto("/find")
    page.fill("#bsn", JANSEN)
    page.check(f'input[value="{holder}"]')
    page.check("#treating")
    page.locator(REQUEST).click()
    page.wait_for_url("**/questions/*")
    if wait:
        page.wait_for_selector('#answer[data-done="yes"]')
    return page.url


def violations(page: Page) -> list[str]:
    options = {"runOnly": {"type": "tag", "values": WCAG}}
    found = Axe().run(page, options=options).response["violations"]
    return [f"{page.url} {v['id']}: {n['html'][:160]}" for v in found for n in v["nodes"][:3]]


@pytest.mark.parametrize(("locale", "scheme"), [("nl-NL", "light"), ("en-GB", "dark")])
def test_no_page_has_a_barrier_that_axe_can_find(window: Open, locale: str, scheme: str) -> None:
    page = window(locale=locale, color_scheme=scheme)
    found = violations(page)
    page.goto("/sign-in")
    found += violations(page)
    sign_in(page)
    found += violations(page)
    page.locator(REQUEST).click()
    page.wait_for_selector("#summary")
    found += violations(page)
    locate(page)
    found += violations(page)
    url = ask(page, FULL)
    found += violations(page)
    page.goto(f"{url}/evidence")
    found += violations(page)
    ask(page, REFUSES)
    found += violations(page)
    ask(page, PARTIAL)
    found += violations(page)
    page.locator("tbody th a").first.click()
    found += violations(page)
    for path in ("/find", "/network", "/nowhere"):
        page.goto(path)
        found += violations(page)

    assert found == []


def test_a_page_that_is_still_loading_has_no_barrier_either(window: Open, world: World) -> None:
    page = sign_in(window())
    ask(page, SLOW, wait=False)
    expect(page.locator("#part-progress")).to_contain_text("20 van 29")

    found = violations(page)
    world.node.go_on.set()

    assert found == []


def test_answers_appear_while_others_are_awaited_and_the_end_is_announced(
    window: Open, world: World
) -> None:
    page = sign_in(window())
    ask(page, SLOW, wait=False)

    expect(page.locator("#part-progress")).to_contain_text("20 van 29 deelvragen beantwoord")
    expect(page.locator("#section-allergies")).to_contain_text("penicilline")
    expect(page.locator("#section-procedures")).to_contain_text("Wordt opgehaald")
    page.locator("#section-allergies tbody a").first.focus()

    world.node.go_on.set()
    page.wait_for_selector('#answer[data-done="yes"]')

    expect(page.locator("#section-procedures")).not_to_contain_text("Wordt opgehaald")
    expect(page.locator("#live")).to_contain_text("Klaar: 29 van 29")
    assert page.evaluate("document.activeElement.closest('section').id") == "section-allergies"


def test_the_whole_way_can_be_walked_by_keyboard(window: Open) -> None:
    page = window()

    def press_until(selector: str, key: str = "Tab") -> None:
        for _ in range(80):
            page.keyboard.press(key)
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                choice = page.evaluate("!!document.activeElement.closest('.choice')")
                assert outline != "none" or choice, selector
                return
        raise AssertionError(f"not reachable by keyboard: {selector}")

    press_until(".skip")
    press_until(".hero .button")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sign-in")
    press_until("button.person")
    page.keyboard.press("Enter")
    page.wait_for_url("**/find")
    press_until("#bsn")
    page.keyboard.type(JANSEN)
    press_until('input[name="holder"]')
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    press_until("#treating")
    page.keyboard.press("Space")
    press_until(REQUEST)
    page.keyboard.press("Enter")
    page.wait_for_url("**/questions/*")
    page.wait_for_selector('#answer[data-done="yes"]')
    press_until(".contents a")
    press_until(".evidence-link a")
    page.keyboard.press("Enter")
    page.wait_for_url("**/evidence")
    press_until(".who button")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/$"))


def test_errors_take_the_focus_and_lead_to_their_field(window: Open) -> None:
    page = sign_in(window())
    page.fill("#bsn", "123456789")
    page.locator(REQUEST).click()
    page.wait_for_selector("#summary")

    assert page.evaluate("document.activeElement.id") == "summary"
    page.locator('#summary a[href="#bsn"]').click()
    assert page.evaluate("document.activeElement.id") == "bsn"
    assert page.title().startswith("Fout:")


def test_everything_works_without_javascript(window: Open, world: World) -> None:
    page = sign_in(window(java_script_enabled=False))
    ask(page, SLOW, wait=False)
    expect(page.locator("#part-progress")).to_contain_text("20 van 29", timeout=15000)

    world.node.go_on.set()
    expect(page.locator("#part-progress")).to_contain_text("Klaar: 29 van 29", timeout=15000)
    page.locator(".evidence-link a").click()
    expect(page.locator("h1")).to_have_text("Vastlegging van deze vraag")
    page.locator(".who button").click()
    page.wait_for_url(re.compile(r"/$"))


def test_records_made_to_do_harm_do_none(window: Open) -> None:
    page = sign_in(window())
    ask(page, PARTIAL)

    assert page.evaluate("window.harmed") is None
    assert page.locator("main script, main img").count() == 0
    expect(page.locator("#section-problems del")).to_contain_text("Appendicitis")


def test_a_print_carries_identity_origin_time_and_test_and_no_controls(window: Open) -> None:
    page = sign_in(window())
    ask(page, FULL)
    page.emulate_media(media="print")

    expect(page.locator(".identity h1")).to_be_visible()
    expect(page.locator(".asked-by")).to_contain_text("T. Huisman-Test")
    expect(page.locator(".asked-by .print-only")).to_be_visible()
    expect(page.locator(".test")).to_be_visible()
    expect(page.locator(".contents")).to_be_hidden()
    expect(page.locator(".who")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.querySelector('.identity')).display") == (
        "table-header-group"  # so that it stands on every sheet
    )


# 640 is also what a window of 1280 gives when its text is twice as large.
@pytest.mark.parametrize("width", [320, 640, 1280])
def test_no_page_scrolls_sideways(window: Open, width: int) -> None:
    page = sign_in(window(viewport={"width": width, "height": 800}))
    seen = [ask(page, FULL), ask(page, PARTIAL)]
    seen += [f"{seen[0]}/evidence", "/find", "/network", "/sign-in", "/"]

    for url in seen:
        page.goto(url)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, url


def test_every_target_is_large_enough_to_hit(window: Open) -> None:
    page = sign_in(window())
    ask(page, FULL)

    small = page.evaluate(
        """() => [...document.querySelectorAll('a, button, input:not([type=hidden])')]
             .map(e => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
             .filter(([_, r]) => r.width && (r.height < 24 || r.width < 24) && r.width > 1)
             .map(([html]) => html)"""
    )

    assert [html for html in small if 'class="skip"' not in html] == []


def test_nothing_is_left_in_the_browser(window: Open) -> None:
    page = sign_in(window())
    ask(page, FULL)

    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert page.evaluate("document.cookie") == ""
    assert JANSEN not in page.url + page.title()


@pytest.mark.parametrize("script", [True, False])
def test_where_data_are_is_told_with_and_without_javascript(window: Open, script: bool) -> None:
    page = locate(sign_in(window(java_script_enabled=script)))

    expect(page.locator("#where li")).to_have_count(3)
    expect(page.locator(".choice", has_text="heeft gegevens")).to_have_count(2)
    page.get_by_label("Ziekenhuis De Brug").check()
    page.locator(REQUEST).click()
    page.wait_for_url("**/questions/*")


def test_where_data_are_takes_the_focus_and_enter_still_asks_the_holder(window: Open) -> None:
    page = locate(sign_in(window()))
    assert page.evaluate("document.activeElement.id") == "where"

    page.get_by_label("Ziekenhuis De Brug").check()
    page.locator("#bsn").press("Enter")

    page.wait_for_url("**/questions/*")
