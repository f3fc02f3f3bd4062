"""The one error type of OpenLDN; it knows its FHIR issue code and HTTP status."""

from enum import StrEnum


class Issue(StrEnum):
    """FHIR R4 issue types we raise (hl7.org/fhir/R4/valueset-issue-type.html)."""

    INVALID = "invalid"
    STRUCTURE = "structure"
    LOGIN = "login"
    SECURITY = "security"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    NOT_SUPPORTED = "not-supported"
    CONFLICT = "conflict"
    DELETED = "deleted"
    MULTIPLE_MATCHES = "multiple-matches"
    TOO_LONG = "too-long"
    BUSINESS_RULE = "business-rule"
    THROTTLED = "throttled"
    INCOMPLETE = "incomplete"
    TRANSIENT = "transient"
    TIMEOUT = "timeout"
    EXCEPTION = "exception"


STATUS = {
    Issue.INVALID: 400,
    Issue.STRUCTURE: 400,
    Issue.LOGIN: 401,
    Issue.SECURITY: 403,
    Issue.FORBIDDEN: 403,
    Issue.NOT_FOUND: 404,
    Issue.NOT_SUPPORTED: 405,
    Issue.CONFLICT: 409,
    Issue.DELETED: 410,
    Issue.MULTIPLE_MATCHES: 412,
    Issue.TOO_LONG: 413,
    Issue.BUSINESS_RULE: 422,
    Issue.THROTTLED: 429,
    Issue.INCOMPLETE: 502,
    Issue.TRANSIENT: 503,
    Issue.TIMEOUT: 504,
    Issue.EXCEPTION: 500,
}


class LdnError(Exception):
    """A refusal or failure the caller may hear about.

    `message` goes to the caller: cause, whose turn it is, next step; never a BSN, a name or an
    internal detail. `detail` goes to the log only. `where` is the FHIRPath of the offending
    element. `status` replaces the issue's usual HTTP status where HTTP has a finer word
    (406, 415). `after` is how many seconds to wait before trying again, when somebody said so.
    """

    def __init__(  # noqa: PLR0913  (what comes by keyword is seldom said)
        self,
        issue: Issue,
        message: str,
        detail: str = "",
        *,
        where: str = "",
        status: int = 0,
        after: float = 0.0,
    ) -> None:
        super().__init__(issue, message, detail)
        self.issue, self.message, self.detail, self.where = issue, message, detail, where
        self.status, self.after = status or STATUS[issue], after

    def __str__(self) -> str:
        return f"{self.issue}: {self.message}"


def as_ldn_error(error: BaseException) -> LdnError:
    """The same failure in our vocabulary; what we do not know becomes `exception`.

    The detail of an unknown failure is its type only: its text may repeat what a caller sent.
    """
    match error:
        case LdnError():
            return error
        case TimeoutError():
            return LdnError(Issue.TIMEOUT, "no answer in time; try again later")
        case _:
            kind = type(error).__qualname__
            return LdnError(
                Issue.EXCEPTION, "internal error; report the correlation id", detail=kind
            )
