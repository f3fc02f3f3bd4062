"""The parameters of a request as name and value pairs, from the address and from a form."""

import re
from urllib.parse import parse_qsl

from openldn.base.errors import Issue, LdnError
from openldn.fhir.api.model import Call, bad
from openldn.fhir.http import read_body

Pairs = list[tuple[str, str]]

FORM = "application/x-www-form-urlencoded"
RENDERING = frozenset({"_format", "_pretty"})  # about how the answer is written
MOST_PAIRS = 200
LARGEST_FORM = 256 * 1024

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:\-]{0,63}")


def query_pairs(call: Call) -> Pairs:
    """The parameters in the address, without those about rendering."""
    return split(call.request.scope.get("query_string", b"").decode("latin-1"))


async def all_pairs(call: Call) -> Pairs:
    """The parameters in the address and, with POST, in the form.

    Raises LdnError: invalid when they cannot be read, not-supported (415) for another body.
    """
    pairs = query_pairs(call)
    if call.request.method != "POST":
        return pairs
    body = await read_body(call.request, LARGEST_FORM)
    kind = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind != FORM:
        raise LdnError(Issue.NOT_SUPPORTED, f"send the parameters as {FORM}", status=415)
    if len(body) > 0 and not body.isascii():
        bad("the form is not percent-encoded")
    return pairs + split(body.decode("ascii"))


def split(text: str) -> Pairs:
    """The pairs in a query string; raises LdnError(invalid) for one that cannot be read."""
    if not text:
        return []
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_PAIRS)
    except UnicodeDecodeError:
        bad("the parameters are not UTF-8")
    except ValueError:
        bad(f"more than {MOST_PAIRS} parameters")
    if any("\x00" in value for pair in pairs for value in pair):
        bad("a parameter holds a zero byte")
    return [(name, value) for name, value in pairs if name not in RENDERING]


def named(name: str) -> str:
    """The parameter's name as a message may repeat it: not when it may be something else."""
    return f"parameter {name}" if _NAME.fullmatch(name) else "a parameter with a strange name"


def refuse_unknown(call: Call, known: frozenset[str] = frozenset()) -> None:
    """Raise LdnError(invalid) for a parameter not among `known`, unless the caller is lenient."""
    if not call.request.scope.get("query_string"):
        return
    for name, _ in query_pairs(call):
        if name not in known and not call.lenient:
            bad(f"{named(name)} has no meaning here; leave it out")
