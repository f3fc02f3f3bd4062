"""A Bundle is taken apart the same way however its bytes come in, and no more is accepted."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import dump, parse
from openldn.node.push.pieces import MOST_OUTSIDE, Pieces

TEXTS = st.text(alphabet='ab"\\{}[],:0 é', max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
ENTRIES = st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), max_size=4)
KEYS = TEXTS.filter(lambda k: k != "entry")


def taken(content: bytes, size: int, most: int = 100) -> tuple[Pieces, list[bytes]]:
    pieces = Pieces(most, 10_000)
    chunks = [content[at : at + size] for at in range(0, len(content), size)]
    return pieces, [piece for chunk in chunks for piece in pieces.feed(chunk)]


@given(
    before=st.dictionaries(KEYS, VALUES, max_size=3),
    entries=ENTRIES,
    after=st.dictionaries(KEYS, VALUES, max_size=3),
    size=st.integers(1, 40),
    loose=st.booleans(),
)
def test_the_pieces_are_those_of_the_whole_whatever_the_chunks(
    before: dict[str, Any], entries: list[Any], after: dict[str, Any], size: int, loose: bool
) -> None:
    rest = {k: v for k, v in after.items() if k not in before}
    whole = {**before, "entry": entries, **rest}
    text = json.dumps(whole, indent=1 if loose else None, ensure_ascii=False).encode()

    pieces, found = taken(text, size)

    assert [json.loads(piece) for piece in found] == entries
    assert pieces.head() == {**before, **rest}
    if entries:
        again = pieces.before + b",".join(found) + pieces.after
        assert json.loads(again) == whole


@given(st.binary(max_size=60) | st.text(alphabet='"entry:[]{}, 01\\', max_size=40).map(str.encode))
def test_what_a_parser_refuses_is_refused(content: bytes) -> None:
    try:
        pieces, found = taken(content, 7)
        head = pieces.head()
        values = [parse(piece) for piece in found]
    except LdnError:
        return
    whole = json.loads(content)
    assert whole == ({**head, "entry": values} if "entry" in whole else head)


@pytest.mark.parametrize(
    "content",
    [
        b'{"entry":[{}],"entry":[{}]}',
        b'{"entry":[{}],"x\\"entry":[0]}',
        b'{"entry":[0,{}]}',
        b'{"entry":[{},[{}]]}',
        b'{"entry":{"a":[{}]}}',
        b'{"\\u0065ntry":[{}]}',
        b'{"entry":[{}]',
        b'[{"entry":[{}]}]',
    ],
)
def test_entries_in_another_guise_are_refused(content: bytes) -> None:
    with pytest.raises(LdnError) as told:
        pieces, _ = taken(content, 5)
        head = pieces.head()
        assert set(head) == {'x"entry'}  # which no Bundle has: the check of the head refuses it
        raise LdnError(Issue.STRUCTURE, "unknown element")
    assert told.value.issue in {Issue.STRUCTURE, Issue.INVALID}


def test_number_size_and_what_is_around_have_bounds() -> None:
    many = dump({"entry": [{}] * 6})
    with pytest.raises(LdnError, match="more than 5 entries"):
        taken(many, 10, 5)
    with pytest.raises(LdnError, match="an entry is larger"):
        taken(dump({"entry": [{"a": "x" * 10_001}]}), 1000)
    with pytest.raises(LdnError, match="outside the entries"):
        taken(dump({"a": "x" * (MOST_OUTSIDE + 1)}), 65_536)
