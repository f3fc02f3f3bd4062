"""An OpenID provider as it publishes itself: where things are, and what we insist on."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import parse
from openldn.fhir.codec.model import Limits
from openldn.trust.documents import Documents, Terms
from openldn.trust.people.keysets import fetched
from openldn.trust.trail import Rule, Trail

FOUND = Rule("oidc.metadata", "OpenID Connect Discovery 1.0 §4", "the provider tells about itself")
ISSUER = Rule("oidc.issuer", "OpenID Connect Discovery 1.0 §4.3", "it is the provider we asked")

_LIMITS = Limits(size=256 * 1024, depth=8, nodes=500, values=4_000, digits=20)
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class Provider:
    """Where the parts of a provider are."""

    issuer: str
    authorization: str
    token: str
    userinfo: str
    keys: str
    says_issuer: bool  # the answer in the browser carries `iss` (RFC 9207)


def read(body: bytes, before: Provider | None = None) -> Provider:
    """The provider in this metadata; raises LdnError(invalid) for one that we cannot use.

    PKCE with S256 and private_key_jwt must be there: we never fall back to less.
    """
    value = parse(body, _LIMITS)
    if not isinstance(value, dict):
        raise _useless("no JSON object")
    wanted = ("issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
    found = [value.get(name) for name in wanted]
    if not all(isinstance(text, str) and secure(text) for text in found):
        raise _useless("an address is missing or is not https")
    _require(value, "code_challenge_methods_supported", "S256")
    _require(value, "response_types_supported", "code")
    _require(value, "token_endpoint_auth_methods_supported", "private_key_jwt")
    issuer, authorization, token, userinfo, keys = map(str, found)
    says = value.get("authorization_response_iss_parameter_supported") is True
    return Provider(issuer, authorization, token, userinfo, keys, says)


TERMS = Terms(read, fresh=300, stale=3600)


async def provider(issuer: str, documents: Documents, trail: Trail) -> Provider:
    """The provider with this issuer name; raises LdnError(the trail's issue)."""
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    found = await fetched(documents.get(url, TERMS), FOUND, trail)
    trail.require(found.issuer == issuer, ISSUER)
    return found


def secure(url: str) -> bool:
    """Whether this is an address on https, or on this machine itself."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    plain = parts.scheme == "http" and parts.hostname in _LOOPBACK
    return bool(parts.hostname) and (parts.scheme == "https" or plain) and "@" not in parts.netloc


def _require(value: dict[str, Any], name: str, word: str) -> None:
    listed = value.get(name)
    if not isinstance(listed, list) or word not in listed:
        raise _useless(f"{name} lacks {word}")


def _useless(reason: str) -> LdnError:
    text = "the sign-in provider publishes something that we cannot use; its operator's turn"
    return LdnError(Issue.INVALID, text, detail=f"oidc metadata: {reason}")
