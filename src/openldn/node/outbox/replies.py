"""What a peer's answer over HTTP means for a delivery: rule R17."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from openldn.base.errors import STATUS, Issue, LdnError
from openldn.base.http import Reply
from openldn.node.outbox.model import Delivered

TAKEN = frozenset({200, 201, 202, 204})
_LATER = frozenset({408, 425})
_ISSUES = {status: issue for issue, status in reversed(STATUS.items())}


def taken(reply: Reply, now: datetime) -> Delivered:
    """That the peer has it; raises LdnError, which says whether and when to try again.

    Nothing of what the peer wrote is repeated. Source: patterns §2.7 (200, 201, 202, 204), §5.
    """
    if reply.status in TAKEN:
        return Delivered()
    detail, status = f"status {reply.status}", reply.status
    if status == 429:
        text = "the other party asks to slow down; it is tried again when that is over"
        after = wait(reply.headers.get("retry-after", ""), now)
        raise LdnError(Issue.THROTTLED, text, detail, after=after)
    if 400 <= status < 500 and status not in _LATER:
        text = f"the other party refuses it with status {status}; find out why, then retry or drop"
        raise LdnError(_ISSUES.get(status, Issue.BUSINESS_RULE), text, detail, status=status)
    text = f"the other party answers with status {status}; its operator's turn"
    after = wait(reply.headers.get("retry-after", ""), now)
    kept = status if status in _LATER or status >= 500 else 502  # a redirect is not followed
    raise LdnError(Issue.INCOMPLETE, text, detail, status=kept, after=after)


def wait(text: str, now: datetime) -> float:
    """The seconds that a Retry-After asks; 0 when it cannot be read. Source: RFC 9110 §10.2.3."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
