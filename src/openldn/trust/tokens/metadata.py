"""What an authorization server tells about itself: exactly what it takes (R53)."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from openldn.trust.peers import Profile
from openldn.trust.tokens import dpop
from openldn.trust.tokens.dialects import Dialect

_PRESENTED = frozenset({"D1", "D3"})


def metadata(
    issuer: str,
    dialects: Collection[Dialect],
    profiles: Mapping[str, Profile],
    scopes: Iterable[str],
) -> dict[str, Any]:
    """The metadata document. Source: RFC 8414 §2; RFC 8705 §3.3; RFC 9449 §5.1; Nuts RFC021."""
    told: dict[str, Any] = {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "introspection_endpoint": f"{issuer}/introspect",
        "introspection_endpoint_auth_methods_supported": ["tls_client_auth"],
        "response_types_supported": [],
        "grant_types_supported": _each(d.grant_type for d in dialects),
        "token_endpoint_auth_methods_supported": _each(
            a for d in dialects for a in d.authenticates
        ),
        "scopes_supported": sorted(scopes),
        "tls_client_certificate_bound_access_tokens": True,
        "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
    }
    algorithms = _each(
        a
        for d in dialects
        for a in profiles[d.name].alg_in.client_assertion
        if "private_key_jwt" in d.authenticates
    )
    if algorithms:
        told["token_endpoint_auth_signing_alg_values_supported"] = algorithms
    presented = [d for d in dialects if d.name in _PRESENTED]
    if presented:
        formats = _formats([profiles[d.name] for d in presented])
        told |= {"vp_formats": formats, "vp_formats_supported": formats}
    if any(d.name == "D1" for d in dialects):
        told["presentation_definition_endpoint"] = f"{issuer}/presentation_definition"
    return told


def _formats(profiles: Collection[Profile]) -> dict[str, Any]:
    """Both spellings of the formats, for both are in use. Source: trust and broker §5.1."""
    shown = {"alg_values_supported": _each(a for p in profiles for a in p.alg_in.presentation)}
    held = {"alg_values_supported": _each(a for p in profiles for a in p.alg_in.credential)}
    return {"jwt_vp_json": shown, "jwt_vc_json": held, "jwt_vp": shown, "jwt_vc": held}


def _each(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
