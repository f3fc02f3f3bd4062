"""How a token request is refused: a word of OAuth for the caller, a reason code for the log."""

from collections.abc import Mapping

from openldn.base.errors import Issue, LdnError

# our issue -> error code of RFC 6749 §5.2, and all that a caller hears of why
WORDS: Mapping[Issue, str] = {
    Issue.LOGIN: "invalid_client",
    Issue.FORBIDDEN: "invalid_grant",
    Issue.BUSINESS_RULE: "invalid_scope",
    Issue.NOT_SUPPORTED: "unsupported_grant_type",
    Issue.TRANSIENT: "temporarily_unavailable",
    Issue.TIMEOUT: "temporarily_unavailable",
    Issue.INCOMPLETE: "temporarily_unavailable",
    Issue.THROTTLED: "slow_down",
    Issue.EXCEPTION: "server_error",
}
# Nuts RFC021 §5: one word for whatever does not fit, so that it tells nothing.
ONE_WORD: Mapping[Issue, str] = {
    **WORDS,
    **dict.fromkeys((Issue.LOGIN, Issue.FORBIDDEN, Issue.BUSINESS_RULE), "invalid_request"),
}
_TEXTS = {
    "invalid_client": "the client is not proven; check certificate and assertion",
    "invalid_grant": "the assertion is not accepted; make a fresh one",
    "invalid_scope": "ask for scopes of scopes_supported",
    "unauthorized_client": "no mandate for this; the main organization must have one registered",
    "invalid_target": "tokens for this audience are not given here",
    "invalid_dpop_proof": "the DPoP proof is not accepted; make a fresh one",
    "unsupported_grant_type": "see grant_types_supported",
    "temporarily_unavailable": "try again in a moment",
    "slow_down": "too many requests or tokens at once; wait a moment",
    "server_error": "report the correlation id",
}
_OTHERWISE = "the request cannot be read or does not fit; see the metadata of this server"
_STATUSES = {"invalid_client": 401, "temporarily_unavailable": 503, "slow_down": 429}


class Refused(LdnError):
    """A token request that is refused, in the words of OAuth."""

    def __init__(self, error: LdnError, word: str) -> None:
        status = error.status if word == "invalid_request" else _STATUSES.get(word, 400)
        status = error.status if error.status in {413, 500, 504} else status
        if word == "invalid_request" and status in {401, 403, 422}:
            status = 400
        super().__init__(error.issue, error.message, error.detail, status=status)
        self.word = word  # the OAuth error code

    @property
    def description(self) -> str:
        """What the caller hears; the same for every reason behind one word."""
        return _TEXTS.get(self.word, _OTHERWISE)


def refused(error: LdnError, words: Mapping[Issue, str] = WORDS) -> Refused:
    """The refusal for this failure, unless it has its word already."""
    if isinstance(error, Refused):
        return error
    return Refused(error, words.get(error.issue, "invalid_request"))


def invalid_target(detail: str) -> Refused:
    """The audience or resource is not one we give tokens for (RFC 8693 §2.2.2)."""
    error = LdnError(Issue.FORBIDDEN, "no tokens for this audience here", detail=detail, status=400)
    return Refused(error, "invalid_target")


def invalid_proof(detail: str) -> Refused:
    """The DPoP proof of a token request does not hold (RFC 9449 §5)."""
    error = LdnError(Issue.LOGIN, "the DPoP proof is not accepted", detail=detail, status=400)
    return Refused(error, "invalid_dpop_proof")


def invalid_scope(detail: str) -> LdnError:
    """The scope is not offered, or not to who asks."""
    text = "ask for a scope in scopes_supported"
    return LdnError(Issue.BUSINESS_RULE, text, detail=detail, status=400)


def invalid_request(detail: str, text: str = "the request does not fit") -> LdnError:
    """The form itself is wrong."""
    return LdnError(Issue.INVALID, text, detail=detail)
