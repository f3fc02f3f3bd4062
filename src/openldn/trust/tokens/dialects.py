"""The dialects of token requests, as data: one validator reads them all. Trust and broker §5."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from openldn.base.errors import Issue, LdnError
from openldn.trust.jose import Jws
from openldn.trust.tokens.errors import ONE_WORD, WORDS, invalid_request
from openldn.trust.tokens.ports import Ports

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
VP_BEARER = "vp_token-bearer"
CLIENT_CREDENTIALS = "client_credentials"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
CLIENT_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_NAMES = ("authorization_base", "client_id", "scope", "audience", "resource", "target_audience")
_LONGEST = 512  # characters of what is kept or compared
CLIENT = frozenset({"client_assertion", "client_assertion_type"})

Form = Mapping[str, str]
Read = Mapping[str, "Jws | LdnError"]  # the signed parameters, unverified, or why not


def _any(form: Form, tokens: Read) -> bool:
    return True


def _presents(form: Form, tokens: Read) -> bool:
    """A `vp` claim in one of the two: trust and broker §5."""
    return any(isinstance(t, Jws) and "vp" in t.claims for t in tokens.values())


def _asserts(form: Form, tokens: Read) -> bool:
    return "client_assertion" in form


@dataclass(frozen=True)
class Dialect:
    """One way to ask for a token."""

    name: str
    grant_type: str
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()  # any other parameter is left alone (RFC 6749 §3.2)
    forbidden: frozenset[str] = frozenset()
    signed: tuple[str, ...] = ()  # parameters that are JWTs of this dialect
    fits: Callable[[Form, Read], bool] = _any  # whether a form of this grant type is this one
    needs: Callable[[Ports], bool] = lambda _: True  # whether it can be read at all
    words: Mapping[Issue, str] = field(default_factory=lambda: WORDS)
    authenticates: tuple[str, ...] = ()  # token_endpoint_auth_methods_supported
    profile: str = "twiin"  # peer profile, unless the tenant has another


def _presentations(ports: Ports) -> bool:
    return ports.presentations is not None and bool(ports.policies)


DIALECTS = (  # of several with one grant type, the first that fits
    Dialect(
        "D1",
        VP_BEARER,
        required=frozenset({"assertion", "presentation_submission"}),
        forbidden=CLIENT,
        signed=("assertion",),
        needs=_presentations,
        words=ONE_WORD,
        authenticates=("none",),
        profile="nuts-6",
    ),
    Dialect(
        "D3",
        JWT_BEARER,
        required=frozenset({"assertion"}) | CLIENT,
        forbidden=frozenset({"presentation_submission", "client_id"}),
        signed=("client_assertion", "assertion"),
        fits=_presents,
        needs=_presentations,
        authenticates=("private_key_jwt",),
        profile="ig-2026",
    ),
    Dialect(
        "D2",
        JWT_BEARER,
        required=frozenset({"assertion"}) | CLIENT,
        optional=frozenset({"authorization_base"}),
        forbidden=frozenset({"presentation_submission"}),
        signed=("client_assertion", "assertion"),
        authenticates=("private_key_jwt",),
    ),
    Dialect(
        "D5",
        CLIENT_CREDENTIALS,
        required=CLIENT,
        optional=frozenset({"target_audience"}),
        forbidden=frozenset({"assertion"}),
        signed=("client_assertion",),
        fits=_asserts,
        authenticates=("private_key_jwt",),
        profile="minvws",
    ),
    Dialect(
        "D7",
        CLIENT_CREDENTIALS,
        required=frozenset({"client_id"}),
        forbidden=CLIENT | {"assertion"},
        authenticates=("tls_client_auth",),
    ),
    Dialect(
        "D6",
        EXCHANGE,
        required=frozenset({"subject_token", "subject_token_type"}),
        optional=frozenset({"actor_token", "actor_token_type", "audience"}),
        signed=("client_assertion",),
        needs=lambda ports: ports.exchange is not None,
        authenticates=("private_key_jwt", "tls_client_auth"),
    ),
)


def offered(names: Collection[str], ports: Ports) -> tuple[Dialect, ...]:
    """The dialects a server takes: those that were chosen and can be read."""
    return tuple(d for d in DIALECTS if d.name in names and d.needs(ports))


def recognized(form: Form, tokens: Read, dialects: Collection[Dialect]) -> Dialect:
    """The dialect of this form; raises LdnError(invalid | not-supported)."""
    if "grant_type" not in form:
        raise invalid_request("form: grant_type", "grant_type is missing")
    speaking = [d for d in dialects if d.grant_type == form["grant_type"]]
    if not speaking:
        text = "this grant type is not supported; see grant_types_supported"
        raise LdnError(Issue.NOT_SUPPORTED, text, detail="form: grant_type", status=400)
    return next((d for d in speaking if d.fits(form, tokens)), speaking[-1])


def check(form: Form, dialect: Dialect) -> None:
    """Refuse a form that lacks a parameter or has one it may not have; LdnError(invalid)."""
    if missing := dialect.required - set(form):
        raise invalid_request("form: missing", f"missing: {', '.join(sorted(missing))}")
    if wrong := dialect.forbidden & set(form):
        raise invalid_request("form: forbidden", f"leave out: {', '.join(sorted(wrong))}")
    if any(len(form.get(n, "")) > _LONGEST or not form.get(n, "").isprintable() for n in _NAMES):
        raise invalid_request("form: value", "a value is too long or cannot be printed")
    given = form.get("client_assertion_type")
    if ("client_assertion" in form or given) and given != CLIENT_ASSERTION_TYPE:
        text = f"client_assertion_type must be {CLIENT_ASSERTION_TYPE}"
        raise invalid_request("form: client_assertion_type", text)
