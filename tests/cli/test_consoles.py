"""What is printed is what it was: `:O:` in an identifier is not a picture."""

import ast
from pathlib import Path

import openldn

SOURCE = Path(openldn.__path__[0])


def test_no_console_turns_words_into_pictures() -> None:
    calls = [
        (str(path.relative_to(SOURCE)), call)
        for path in SOURCE.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Console"
    ]

    pictures = [name for name, call in calls if "emoji" not in {k.arg for k in call.keywords}]

    assert calls
    assert not pictures, f"say emoji=False, or ::subject:O:: becomes a circle: {pictures}"
