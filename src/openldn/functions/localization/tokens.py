"""The token that stands for a patient: base64url(JSON {evaluated_output, blind_factor}).

Source: specification of localization §5.2; with or without `=`.
"""

from base64 import b64decode, urlsafe_b64encode
from typing import Any

import msgspec

from openldn.base.errors import Issue, LdnError

LONGEST = 16 * 1024  # characters; a JWE with ten key versions has a third of it
_NOT_ONE = "the identifier of the subject is no token for a patient; ask a new one and send it"


def envelope(jwe: str, blind_factor: str) -> str:
    """The token of these two."""
    text = msgspec.json.encode({"evaluated_output": jwe, "blind_factor": blind_factor})
    return urlsafe_b64encode(text).decode().rstrip("=")


def require_envelope(token: str, *, formed: bool = False) -> None:
    """Raises LdnError(invalid) unless it has the form of a token; never repeats it.

    One that is `formed` by us only needs a bounded length.
    """
    if len(token) > LONGEST:
        raise LdnError(Issue.INVALID, "the token is longer than any is; ask a new one")
    if formed:
        return
    try:
        padded = token.rstrip("=")
        plain = b64decode(padded + "=" * (-len(padded) % 4), altchars=b"-_", validate=True)
        value: Any = msgspec.json.decode(plain)
    except (ValueError, RecursionError) as error:
        raise LdnError(Issue.INVALID, _NOT_ONE) from error
    parts = ("evaluated_output", "blind_factor")
    if not isinstance(value, dict) or not all(isinstance(value.get(p), str) for p in parts):
        raise LdnError(Issue.INVALID, _NOT_ONE)
