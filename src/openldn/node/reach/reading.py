"""What the other side's answers to our tries mean. Pure."""

from openldn.base.errors import Issue, LdnError
from openldn.base.http import Reply
from openldn.fhir.codec import parse
from openldn.node.reach.model import Came, Found

_FAIL, _UNSURE = Came.FAIL, Came.UNSURE
_OURS = ("ALERT_", "refuses our certificate", "does not trust who issued our certificate")
_THEIRS = ("certificate is not one we trust", "certificate has expired", "no UZI server")
# What an answer to a question without a patient means, by its status; the rest is a failure.
_STATUS = {
    200: Found("policy.unguarded", _UNSURE),
    400: Found("policy.untold", _UNSURE),
    401: Found("policy.token", _FAIL),
    404: Found("policy.not-served", _FAIL),
    422: Found("policy.untold", _UNSURE),
    429: Found("policy.busy", _UNSURE),
    503: Found("policy.busy", _UNSURE),
}
# Reasons that hold whatever the patient, in the words of this software's own policy.
_PARTY = (
    "the token opens another organization",
    "the certificate is not of the organization in the token",
    "the asking organization is not active in the directory",
    "the token lacks the scope",
)
# Ours was looked at before; a road may not carry it when no person asks.
_PURPOSE = "the purpose of use is not one of this exchange"
_PATIENT = "no patient is named"


def unreached(error: LdnError) -> tuple[Found, Found | None]:
    """What a failed connection says of the steps tls and trust; None: nothing of trust."""
    text, reached = f"{error.detail} {error.message}", Found("tls.reached")
    if "another organization answers" in text:
        return reached, Found("trust.other", _FAIL)
    if any(words in text for words in _OURS):
        return reached, Found("trust.ours", _FAIL, error.message)
    if any(words in text for words in _THEIRS):
        return reached, Found("trust.theirs", _FAIL, error.message)
    if "broke off the connection" in text:
        # in TLS 1.3 a server may refuse a certificate after the handshake, without a word
        return reached, Found("trust.broken", _FAIL, error.message)
    key = "tls.timeout" if error.issue is Issue.TIMEOUT else "tls.unreachable"
    return Found(key, _FAIL, error.message), None


def untokened(error: LdnError) -> Found:
    """What a token that did not come says."""
    keys = {
        Issue.FORBIDDEN: "token.refused",
        Issue.LOGIN: "token.refused",
        Issue.NOT_SUPPORTED: "token.unable",
    }
    return Found(keys.get(error.issue, "token.away"), _FAIL, error.message)


def unpatiented(reply: Reply) -> Found:
    """What the answer to a question that names no patient says of the holder's policy.

    Its own words are compared with those we know and never repeated.
    """
    if reply.status != 403:
        return _STATUS.get(reply.status, Found("policy.fails", _FAIL))
    said = _said(reply)
    if reason := next((words for words in _PARTY if words in said), ""):
        return Found("policy.party", _FAIL, reason)
    if _PURPOSE in said:
        return Found("policy.unpurposed", _UNSURE)
    return Found("policy.open") if _PATIENT in said else Found("policy.untold", _UNSURE)


def _said(reply: Reply) -> str:
    try:
        outcome = parse(reply.body)
    except LdnError:
        return ""
    issues = outcome.get("issue") if isinstance(outcome, dict) else None
    listed = [i for i in issues if isinstance(i, dict)] if isinstance(issues, list) else []
    return " ".join(str(i.get("diagnostics", "")) for i in listed)
