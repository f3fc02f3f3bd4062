"""The pages in a real browser: axe, keyboard, without JavaScript, on paper, on a small screen."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from access.administration.world import (
    HOSTILE,
    World,
    mixed,
    reached,
    refused,
    trouble,
    waiting,
)
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, expect

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SECTIONS = ["", "keys", "credentials", "peers", "refusals", "documents", "outbox", "network", "map"]
WAY = "map?from=hospital&to=90000002&exchange=bgz&purpose=TREAT&try=1"
PAGES = [*SECTIONS, WAY, "sign-in", "nowhere"]
Open = Callable[..., Page]


@pytest.fixture
def window(browser: Browser, desk: World) -> Iterator[Open]:
    """Opens a window that looks at the hospital; whatever it complains about fails the test."""
    complaints: list[str] = []
    with ExitStack() as stack:

        def opened(**options: Any) -> Page:
            context = browser.new_context(base_url=desk.url, **{"locale": "nl-NL", **options})
            stack.callback(context.close)
            page = context.new_page()
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda said: complaints.append(said.text))
            page.on("dialog", lambda dialog: complaints.append(dialog.message))
            page.goto("/beheer/sign-in")
            page.locator("button.person").first.click()
            page.wait_for_url("**/beheer/")
            return page

        yield opened
    expected = "Failed to load resource: the server responded with a status of 40"
    assert not [c for c in complaints if not c.startswith(expected)]


def violations(page: Page) -> list[str]:
    options = {"runOnly": {"type": "tag", "values": WCAG}}
    found = Axe().run(page, options=options).response["violations"]
    return [f"{page.url} {v['id']}: {n['html'][:160]}" for v in found for n in v["nodes"][:3]]


@pytest.mark.parametrize(("locale", "scheme"), [("nl-NL", "light"), ("en-GB", "dark")])
def test_no_page_has_a_barrier_that_axe_can_find(
    window: Open, desk: World, locale: str, scheme: str
) -> None:
    page = window(locale=locale, color_scheme=scheme)
    found = violations(page)
    desk.node.state, desk.node.refusals = trouble(), refused()
    desk.node.addresses, desk.node.messages = mixed(), waiting()
    for name in PAGES:
        page.goto(f"/beheer/{name}")
        found += violations(page)
    desk.node.down = True
    page.goto("/beheer/")
    found += violations(page)

    assert found == []


@pytest.mark.parametrize("width", [320, 390, 640, 1280])
def test_no_page_scrolls_sideways(window: Open, desk: World, width: int) -> None:
    page = window(viewport={"width": width, "height": 800})
    desk.node.state, desk.node.refusals = trouble(), refused()
    desk.node.addresses, desk.node.messages = mixed(), waiting()

    for name in PAGES:
        page.goto(f"/beheer/{name}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_verdict_and_the_first_point_stand_on_the_first_screen(
    window: Open, desk: World, width: int, height: int
) -> None:
    desk.node.state, desk.node.refusals = trouble(), refused()
    page = window(viewport={"width": width, "height": height})
    page.goto("/beheer/")

    for selector in (".verdict", ".work .marks", ".work h3"):
        box = page.locator(selector).first.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= height, selector


def test_everything_works_without_javascript(window: Open, desk: World) -> None:
    desk.node.state, desk.node.refusals = trouble(), refused()
    page = window(java_script_enabled=False)
    page.locator(".main-nav a", has_text="Weigeringen").click()
    page.select_option("#code", "jwt.signature")
    page.locator(".filter button").click()
    expect(page.locator("tbody tr").first).to_contain_text("jwt.signature")
    page.locator(".pages a").last.click()
    expect(page.locator("#code")).to_have_value("jwt.signature")
    page.locator(".languages a", has_text="English").click()
    expect(page.locator("h1")).to_have_text("Refusals")
    page.locator(".who button").click()
    page.wait_for_url("**/beheer/sign-in")


def test_the_whole_way_can_be_walked_by_keyboard(window: Open, desk: World) -> None:
    desk.node.state, desk.node.refusals = trouble(), refused()
    page = window()
    page.goto("/beheer/")

    def press_until(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", selector
                return
        raise AssertionError(f"not reachable by keyboard: {selector}")

    press_until(".skip")
    press_until(".work a")
    page.keyboard.press("Enter")
    page.wait_for_url("**/beheer/keys")
    press_until('.main-nav a[href="/beheer/refusals"]')
    page.keyboard.press("Enter")
    page.wait_for_url("**/beheer/refusals")
    press_until("#code")
    press_until(".filter button")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"refusals\?"))


def test_what_a_node_tells_can_do_no_harm(window: Open, desk: World) -> None:
    desk.node.state, desk.node.refusals = trouble(), refused()
    desk.node.addresses, desk.node.messages = mixed(), waiting()
    page = window()

    for name in ("", "refusals", "outbox", "network"):
        page.goto(f"/beheer/{name}")
        assert page.evaluate("window.harmed") is None
        assert page.locator("main script, main img").count() == 0


def test_a_print_names_the_node_the_time_and_test_and_has_no_controls(
    window: Open, desk: World
) -> None:
    desk.node.state = trouble()
    page = window()
    page.goto("/beheer/")
    page.emulate_media(media="print")

    expect(page.locator(".node-head")).to_contain_text("URA 90000001")
    expect(page.locator(".updated .meta")).to_be_visible()
    expect(page.locator(".test")).to_be_visible()
    expect(page.locator(".verdict")).to_be_visible()
    expect(page.locator(".updated .button")).to_be_hidden()
    expect(page.locator(".bar")).to_be_hidden()


def test_every_target_is_large_enough_to_hit(window: Open, desk: World) -> None:
    desk.node.state, desk.node.refusals = trouble(), refused()
    page = window()
    small: list[str] = []
    desk.node.messages = waiting()
    for name in ("", "peers", "refusals", "outbox"):
        page.goto(f"/beheer/{name}")
        small += page.evaluate(
            """() => [...document.querySelectorAll('a, button, select, input:not([type=hidden])')]
                 .map(e => [e.outerHTML.slice(0, 80), e.getBoundingClientRect()])
                 .filter(([_, r]) => r.width && (r.height < 24 || r.width < 24) && r.width > 1)
                 .map(([html]) => html)"""
        )

    assert [html for html in small if 'class="skip"' not in html] == []


def test_nothing_is_left_in_the_browser(window: Open) -> None:
    page = window()

    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert page.evaluate("document.cookie") == ""


def test_a_way_is_tried_with_the_keyboard_and_its_outcome_read(window: Open, desk: World) -> None:
    desk.node.reached = reached("tls", "tls.timeout", reason=HOSTILE)
    page = window(java_script_enabled=False)
    page.goto("/beheer/map")

    page.get_by_label("B: wie antwoordt").select_option("90000002")
    page.get_by_role("button", name="Probeer de weg").press("Enter")

    expect(page.locator("#way")).to_contain_text("Nee, A kan B nu niet bereiken.")
    expect(page.locator("#way tbody tr").nth(4)).to_contain_text("mislukt")
    expect(page.locator("#way tbody tr").nth(4)).to_contain_text("Aan Kliniek Het Veer")
    assert page.get_by_label("B: wie antwoordt").input_value() == "90000002"
    assert desk.node.wanted == ["to=90000002&exchange=bgz&purpose=TREAT"]
    assert page.locator("svg .edge.chosen").count() == 1


def test_a_message_is_retried_or_dropped_with_the_keyboard_and_without_javascript(
    window: Open, desk: World
) -> None:
    desk.node.messages = waiting()
    page = window(java_script_enabled=False)
    page.locator(".main-nav a", has_text="Postvak uit").click()
    second = page.locator("table.outbox tbody tr").nth(1)
    gone = desk.node.messages[1]["id"]

    second.locator("summary").press("Enter")
    second.get_by_label("Waarom hoeft het niet aan te komen?").fill("telefonisch verteld")
    second.get_by_role("button", name="Laat het vervallen").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Het is vervallen")
    expect(page.locator("table.outbox")).not_to_contain_text(gone)

    again = desk.node.messages[2]["id"]
    row = page.locator("table.outbox tbody tr").nth(1)
    row.get_by_role("button", name="Probeer opnieuw").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Het staat weer in de rij")
    page.select_option("#state", "queued")
    page.locator(".filter button").click()
    expect(page.locator("table.outbox")).to_contain_text(again)
    expect(page.locator("table.outbox")).to_contain_text("Nu onderweg")
    assert desk.node.acts == [
        ("drop", gone, {"reason": "telefonisch verteld"}),
        ("retry", again, {}),
    ]
