"""The process in which a holder's own Rego file is evaluated: one line of JSON in, one line out.

It runs apart so that a file that does not end can be ended, before it takes all memory; it knows
nothing but the file and the documents it is given. (A limit on memory cannot be set: the engine
reserves far more addresses than it uses.)
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

QUERY = "v := data.openldn.own.deny"
FORM = "the file has no set `deny` of texts in the package openldn.own"


def run(path: Path, out: TextIO) -> int:
    """Answer documents until the input ends; 2 without regopy, 3 for a file we cannot use."""
    try:
        from regopy import Interpreter, RegoError  # type: ignore[import-untyped]
    except ImportError:
        return _say(out, 2, error="the extra `rego` is not installed: pip install 'openldn[rego]'")
    try:
        building, runs = Interpreter(), Interpreter()
        building.add_module("own", path.read_text(encoding="utf-8"))
        compiled = building.build(QUERY)  # once: a plain query compiles everything anew
        _say(out, 0, deny=denied(runs, compiled, {}))
    except (RegoError, OSError, ValueError) as error:
        known = isinstance(error, OSError | ValueError)
        return _say(out, 3, error=str(error) if known else "it is not valid Rego")
    for line in sys.stdin:
        try:
            _say(out, 0, deny=denied(runs, compiled, json.loads(line)))
        except (RegoError, ValueError) as error:
            _say(out, 0, error=type(error).__name__)
    return 0


def _say(out: TextIO, code: int, **told: Any) -> int:
    print(json.dumps(told), file=out, flush=True)
    return code


def denied(runs: Any, compiled: Any, document: dict[str, Any]) -> list[str]:
    """The texts in the set `deny`; raises ValueError when there is no such set."""
    runs.set_input_term(json.dumps(document))
    try:
        told = json.loads(str(runs.query_bundle(compiled)))
    except json.JSONDecodeError as error:
        raise ValueError(FORM) from error
    value = told.get("bindings", {}).get("v") if isinstance(told, dict) else None
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ValueError(FORM)
    return sorted(value)


if __name__ == "__main__":
    # what the engine itself prints must not come between the answers
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.exit(run(Path(sys.argv[1]), answers))
