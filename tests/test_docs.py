"""The docs say what the code does: headings for everything, links that lead somewhere."""

import re
from pathlib import Path

import pytest
from write_reference import pages

from openldn.cli import COMMANDS
from openldn.exchanges import EXCHANGES

ROOT = Path(__file__).parent.parent
PAGES = [p for p in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(?:\w*)\n(.*?)^```", re.M | re.S)


def headings(text: str) -> set[str]:
    return {line.lstrip("# ").strip() for line in text.splitlines() if line.startswith("#")}


def anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, part = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            lost.append(link)
        elif part and part not in {anchor(h) for h in headings(target.read_text(encoding="utf-8"))}:
            lost.append(link)

    assert not lost


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_page_opens_with_a_title_and_a_sentence(page: Path) -> None:
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.strip()]

    assert lines[0].startswith("# ")
    assert not lines[1].startswith("#")


def test_the_reference_repeats_the_code() -> None:
    stale = [
        name
        for name, text in pages().items()
        if (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") != text
    ]

    assert not stale, f"run: python tools/write_reference.py {stale}"


def test_every_exchange_has_its_page() -> None:
    folder = ROOT / "docs" / "reference" / "exchanges"

    assert {p.stem for p in folder.glob("*.md")} == set(EXCHANGES)


def test_every_page_of_a_shelf_is_on_its_list() -> None:
    shelves = [p for p in (ROOT / "docs").iterdir() if p.is_dir()]
    missing = [
        str(page.relative_to(ROOT))
        for shelf in shelves
        for page in shelf.glob("*.md")
        if page.name != "README.md"
        and f"({page.name})" not in (shelf / "README.md").read_text(encoding="utf-8")
    ]

    assert not missing


def test_every_command_that_the_docs_type_exists() -> None:
    typed = set()
    for page in PAGES:
        for block in BLOCK.findall(page.read_text(encoding="utf-8")):
            typed |= set(re.findall(r"(?:^|\bbin/)openldn (\w+)", block, re.M))
            targets = set(re.findall(r"^make (\w+)", block, re.M))
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            assert all(re.search(rf"^{t}:", makefile, re.M) for t in targets), (page.name, targets)

    assert typed <= set(COMMANDS)


def test_the_readme_names_the_two_commands_that_continuous_integration_runs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert "\nmake up\n" in readme
    assert "\nmake test\n" in readme
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").rstrip().endswith("make test")
