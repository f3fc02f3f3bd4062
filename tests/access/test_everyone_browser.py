"""Asking everyone, emergencies and looking back in a real browser, also without JavaScript."""

import os
from pathlib import Path
from typing import Any

import pytest
from access.records import JANSEN
from access.test_portal_browser import Open, violations, window
from access.world import World, case
from playwright.sync_api import Page, expect

from openldn.access.professional.people import Standing, practitioners
from openldn.access.professional.settings import read_network
from openldn.trust.people.levels import Level

__all__ = ["window"]
WHY = "buiten bewustzijn gevonden naast haar fiets"


def enter(page: Page, world: World) -> Page:
    """Signed in at level high."""
    node = read_network(world.network).nodes[0]
    session = world.portal.sessions.begin(node, practitioners(node)[0], Standing(Level.HIGH))
    page.context.add_cookies([{"name": "openldn-session", "value": session.id, "url": world.url}])
    return page


def ask(page: Page) -> None:
    page.goto("/everyone")
    page.fill("#bsn", JANSEN)
    page.check("#treating")
    page.locator("form.ask button").click()
    page.wait_for_url("**/everyone/*")


def break_glass(page: Page) -> None:
    page.goto("/emergency")
    page.fill("#bsn", JANSEN)
    page.check('input[value="unconscious"]')
    page.fill("#text", WHY)
    page.check("#aware")
    page.locator("form.ask button").click()
    page.wait_for_url("**/everyone/*")


def shoot(page: Page, name: str) -> None:
    """A picture to look at, where somebody asked for them."""
    if folder := os.environ.get("OPENLDN_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize(("locale", "scheme"), [("nl-NL", "light"), ("en-GB", "dark")])
def test_no_page_of_these_has_a_barrier_that_axe_can_find(
    window: Open, world: World, locale: str, scheme: str
) -> None:
    world.node.cases += [case("one"), case("two", outcome="justified", review="gezien en goed")]
    page = enter(window(locale=locale, color_scheme=scheme), world)
    found: list[str] = []

    def look(name: str) -> None:
        shoot(page, f"{name}-{locale[:2]}")
        found.extend(violations(page))

    for path in ("/everyone", "/emergency", "/reviews", "/reviews/one", "/reviews/two"):
        page.goto(path)
        look(path.strip("/").replace("/", "-"))
    page.goto("/emergency")
    page.locator("form.ask button").click()
    page.wait_for_selector("#summary")
    look("emergency-wrong")
    ask(page)
    expect(page.locator("#part-progress")).to_contain_text("2 ")
    world.node.go_on.set()
    if locale == "en-GB":
        break_glass(page)
        page.wait_for_selector('#everyone[data-done="yes"]')
    look("everyone")

    assert found == []


def test_answers_of_everyone_appear_while_others_are_awaited(window: Open, world: World) -> None:
    page = enter(window(), world)
    ask(page)
    expect(page.locator("#part-progress")).to_contain_text("2 van 3 zorgaanbieders klaar")
    expect(page.locator("#section-allergies")).to_contain_text("Ziekenhuis De Brug")
    page.locator("#part-holders a").first.focus()
    marked = page.evaluate("window.marked = document.activeElement.getAttribute('href')")

    world.node.go_on.set()
    page.wait_for_selector('#everyone[data-done="yes"]')

    expect(page.locator("#section-allergies")).to_contain_text("Revalidatiecentrum De Linde")
    expect(page.locator("#live")).to_contain_text("2 van 3 zorgaanbieders antwoordden volledig")
    assert page.evaluate("window.marked") == marked  # it was never loaded anew
    assert page.evaluate("document.activeElement.getAttribute('href')") == marked


def test_without_javascript_the_page_of_everyone_reloads_until_all_came(
    window: Open, world: World
) -> None:
    page = enter(window(java_script_enabled=False), world)
    ask(page)
    expect(page.locator("#part-progress")).to_contain_text("2 van 3 zorgaanbieders klaar")
    world.node.go_on.set()

    expect(page.locator('#everyone[data-done="yes"]')).to_be_attached(timeout=10_000)
    assert page.locator('noscript meta[http-equiv="refresh"]').count() == 0


def test_an_emergency_is_not_printed(window: Open, world: World) -> None:
    world.node.go_on.set()
    page = enter(window(), world)
    break_glass(page)
    page.wait_for_selector('#everyone[data-done="yes"]')
    page.emulate_media(media="print")

    expect(page.locator("#everyone")).to_be_hidden()
    expect(page.locator(".no-print")).to_be_visible()


@pytest.mark.parametrize("size", [{"width": 320, "height": 640}])
def test_on_a_small_screen_nothing_runs_off(
    window: Open, world: World, size: dict[str, Any]
) -> None:
    world.node.go_on.set()
    world.node.cases.append(case("one"))
    page = enter(window(viewport=size), world)
    break_glass(page)
    page.wait_for_selector('#everyone[data-done="yes"]')
    for path in (page.url, "/emergency", "/reviews", "/reviews/one"):
        page.goto(path)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 320, path
