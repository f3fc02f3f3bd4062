"""What the evidence of an access says of how it ended."""

from openldn.base.errors import LdnError

SUCCESS, CLIENT_ERROR, FAILED, UNAVAILABLE = "0", "4", "8", "12"
_CLIENT_ERRORS = frozenset({400, 404, 405, 406, 409, 410, 412, 413, 415, 422})


def outcome_code(error: LdnError | None) -> str:
    """The outcome of an AuditEvent: 0 success, 4 the asker's error, 8 refused or failed.

    Source: specification of audit events §8.5.
    """
    if error is None:
        return SUCCESS
    return CLIENT_ERROR if error.status in _CLIENT_ERRORS else FAILED
