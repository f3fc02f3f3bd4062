"""The page about peers names every profile, field, quirk and published example that is refused."""

from pathlib import Path

import msgspec
import pytest
from peers_page import BROKEN, text

from openldn.trust import explain, peers

SOURCE = Path(explain.__file__).parents[1]
RULES = "".join(p.read_text(encoding="utf-8") for p in SOURCE.rglob("*.py"))


def test_every_profile_field_and_quirk_is_told() -> None:
    page = text()
    for name in (*peers.profiles(), *peers.QUIRKS):
        assert name in page
    for field in msgspec.structs.fields(peers.Profile):
        assert f"| `{field.name}` |" in page


@pytest.mark.parametrize("code", sorted({code for _, _, code in BROKEN}))
def test_a_broken_example_is_refused_with_a_code_that_exists(code: str) -> None:
    assert f'Rule("{code}"' in RULES


def test_every_quirk_of_a_profile_is_explained() -> None:
    used = {q for found in peers.profiles().values() for q in found.quirks}
    assert used <= set(peers.QUIRKS)
