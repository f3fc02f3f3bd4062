"""The form of a token request, within bounds. Source: RFC 6749 §3.2."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request

from openldn.base.errors import Issue, LdnError
from openldn.fhir.http import read_body

_LARGEST = 256 * 1024  # bytes: two tokens with their certificates
_FIELDS = 20
_FORM = "application/x-www-form-urlencoded"


async def read_form(request: Request) -> Mapping[str, str]:
    """The parameters, each once; raises LdnError(invalid | too-long)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise LdnError(Issue.INVALID, f"send {_FORM}", detail="form: content type")
    body = await read_body(request, _LARGEST)
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            max_num_fields=_FIELDS,
        )
    except ValueError as error:
        raise LdnError(Issue.INVALID, "the form cannot be read", detail="form") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise LdnError(Issue.INVALID, "a parameter comes twice", detail="form: duplicate")
    return form
