"""The page of the report in a real browser: axe, small screens, and what an endpoint says in it."""

import asyncio
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page
from testbench.connection.bench import Bench, https
from testbench.connection.endpoints import Page as Answer

from openldn.base.runtime import utc_now
from openldn.testbench.connection import render
from openldn.testbench.connection.examine import report
from openldn.testbench.connection.model import Report

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
HARM = "<script>window.harmed=1</script>"


@pytest.fixture(scope="module")
def found(bench: Bench) -> Report:
    """A report with every result in it, of a server that means harm."""

    async def made() -> Report:
        harmful = Answer(headers={"server": f"x/1.0 {HARM}"})
        async with https(missing=harmful, given=lambda _: {"renegotiation": True})(bench) as target:
            return await report(target, utc_now)

    return asyncio.run(made())


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


@pytest.mark.parametrize(
    ("language", "scheme", "width"), [("nl", "light", 320), ("en", "dark", 1280)]
)
def test_the_page_has_no_barrier_and_does_not_scroll_sideways(
    found: Report, page: Page, language: str, scheme: str, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_content(render.as_html(found, language))

    options = {"runOnly": {"type": "tag", "values": WCAG}}
    violations = Axe().run(page, options=options).response["violations"]

    assert [(v["id"], n["html"][:120]) for v in violations for n in v["nodes"][:3]] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("window.harmed") is None
