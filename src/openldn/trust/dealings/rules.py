"""Every reason to refuse that we know by code: its source clause, and it in words.

Rules stand where they are checked; this collects them, so that a code that was kept or logged
can be told in words.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module

from openldn.base.errors import Issue, LdnError
from openldn.trust.trail import Rule

# Modules with rules. A test compares this list with the source.
MODULES = (
    "openldn.trust.aorta.metadata",
    "openldn.trust.aorta.stelseltoken",
    "openldn.trust.broker.convert",
    "openldn.trust.broker.readers",
    "openldn.trust.broker.saml",
    "openldn.trust.broker.service",
    "openldn.trust.brokered",
    "openldn.trust.certificates.belief",
    "openldn.trust.certificates.chain",
    "openldn.trust.credentials.checks",
    "openldn.trust.credentials.content",
    "openldn.trust.credentials.credential",
    "openldn.trust.credentials.dezi",
    "openldn.trust.credentials.did",
    "openldn.trust.credentials.did_x509",
    "openldn.trust.credentials.presentation",
    "openldn.trust.credentials.resolver",
    "openldn.trust.credentials.status",
    "openldn.trust.credentials.submission",
    "openldn.trust.dealings.rules",
    "openldn.trust.explain.service",
    "openldn.trust.explain.verify",
    "openldn.trust.jose",
    "openldn.trust.people.keysets",
    "openldn.trust.people.levels",
    "openldn.trust.people.oidc",
    "openldn.trust.people.provider",
    "openldn.trust.people.statement",
    "openldn.trust.people.status",
    "openldn.trust.people.vouching",
    "openldn.trust.saml.claims",
    "openldn.trust.saml.confirmation",
    "openldn.trust.saml.encryption",
    "openldn.trust.saml.read",
    "openldn.trust.saml.signature",
    "openldn.trust.saml.soap",
    "openldn.trust.saml.sts_service",
    "openldn.trust.saml.trust",
    "openldn.trust.saml.xml",
    "openldn.trust.signatures",
    "openldn.trust.tokens.assertions",
    "openldn.trust.tokens.dpop",
    "openldn.trust.tokens.presented",
    "openldn.trust.tokens.readers",
    "openldn.trust.tokens.service",
)

_OAUTH = "RFC 6749 §5.2"
_TLS = "RFC 8446 §6.2"
# What another party says when it refuses us; the left side is the detail of our error.
SAID: Mapping[str, Rule] = {
    "token endpoint: invalid_client": Rule(
        "oauth.invalid_client", _OAUTH, "the peer accepts our proof of who we are"
    ),
    "token endpoint: invalid_grant": Rule(
        "oauth.invalid_grant", _OAUTH, "the peer accepts our assertion or presentation"
    ),
    "token endpoint: invalid_request": Rule(
        "oauth.invalid_request", _OAUTH, "the peer can read our token request"
    ),
    "token endpoint: invalid_scope": Rule(
        "oauth.invalid_scope", _OAUTH, "the peer offers the scope we ask for"
    ),
    "token endpoint: unauthorized_client": Rule(
        "oauth.unauthorized_client", _OAUTH, "the peer lets us use this kind of token request"
    ),
    "token endpoint: unsupported_grant_type": Rule(
        "oauth.unsupported_grant_type", _OAUTH, "the peer knows this kind of token request"
    ),
    "status 401 of the holder": Rule(
        "http.401", "RFC 6750 §3.1", "the peer accepts the token it gave us"
    ),
    "status 403 of the holder": Rule(
        "http.403", "RFC 9110 §15.5.4", "the peer's policy permits our question"
    ),
    "ALERT_CERTIFICATE_EXPIRED": Rule(
        "tls.our-certificate-expired", _TLS, "our certificate is valid for the peer"
    ),
    "ALERT_CERTIFICATE_REVOKED": Rule(
        "tls.our-certificate-revoked", _TLS, "our certificate is not revoked"
    ),
    "ALERT_UNKNOWN_CA": Rule(
        "tls.our-authority-unknown", _TLS, "the peer trusts the authority of our certificate"
    ),
    "ALERT_CERTIFICATE_REQUIRED": Rule(
        "tls.our-certificate-missing", _TLS, "we show a client certificate"
    ),
    "ALERT_BAD_CERTIFICATE": Rule(
        "tls.our-certificate-refused", _TLS, "the peer accepts our certificate"
    ),
    "ALERT_CERTIFICATE_UNKNOWN": Rule(
        "tls.our-certificate-refused", _TLS, "the peer accepts our certificate"
    ),
    "CERTIFICATE_HAS_EXPIRED": Rule(
        "tls.peer-certificate-expired", "RFC 5280 §6.1.3", "the peer's certificate is valid now"
    ),
    "CERTIFICATE_VERIFY_FAILED": Rule(
        "tls.peer-certificate-untrusted", "RFC 5280 §6", "the peer's certificate is one we trust"
    ),
}
# The last resort, for a refusal whose check is not a rule (yet).
_OTHER = {
    issue: Rule(f"issue.{issue}", "RFC 9110 §15", text)
    for issue, text in {
        Issue.LOGIN: "the caller proves who it is",
        Issue.FORBIDDEN: "the caller may do what it asks",
        Issue.BUSINESS_RULE: "the request keeps to what is agreed",
        Issue.INVALID: "the request can be read",
        Issue.NOT_SUPPORTED: "the request is of a kind that is offered here",
        Issue.INCOMPLETE: "the other party gives an answer we can use",
    }.items()
}
OTHER = Rule("issue.other", "RFC 9110 §15", "the request can be answered")


@cache
def rules(modules: tuple[str, ...] = MODULES) -> Mapping[str, Rule]:
    """Every rule of these modules by its code; raises LdnError when one code means two things."""
    found: dict[str, Rule] = {}
    for name in modules:
        for rule in _constants(vars(import_module(name)).values()):
            if found.setdefault(rule.code, rule) != rule:
                text = f"two rules have the code {rule.code}; give one another code"
                raise LdnError(Issue.EXCEPTION, text)
    return found


def _constants(values: Iterable[object]) -> Iterable[Rule]:
    for value in values:
        if isinstance(value, Rule):
            yield value
        elif isinstance(value, Mapping):
            yield from (v for v in value.values() if isinstance(v, Rule))
        elif isinstance(value, tuple | frozenset):
            yield from (v for v in value if isinstance(v, Rule))


def rule_of(error: LdnError, more: Mapping[str, Rule] | None = None) -> Rule:
    """The rule that did not hold; one of the last resort when the error names none we know."""
    code = error.detail.partition(": ")[0]  # what follows tells an operator more
    for found in (SAID, rules(), more or {}):
        if known := found.get(error.detail) or found.get(code):
            return known
    return _OTHER.get(error.issue, OTHER)
