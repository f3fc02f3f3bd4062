"""What a resource server of the holder itself may hear about a token. RFC 7662; GFI-006."""

from collections.abc import Mapping
from typing import Any

from openldn.trust.credentials.definitions import RESERVED
from openldn.trust.evidence import Claims, Value
from openldn.trust.tokens.model import Grant

INACTIVE: Mapping[str, Any] = {"active": False}


def introspected(grant: Grant, issuer: str, audience: str) -> dict[str, Any]:
    """The answer for a token that counts; for Nuts resource servers the flat claims as well."""
    issued = int(grant.issued.timestamp())
    told: dict[str, Any] = {
        "active": True,
        "scope": " ".join(sorted(grant.requester.scopes)),
        "token_type": "DPoP" if grant.binding.key else "Bearer",
        "iss": issuer,
        "aud": audience,
        "sub": grant.requester.organization.value,
        "exp": int(grant.expires.timestamp()),
        "iat": issued,
        "nbf": issued,
        "jti": grant.id,
        "assertions": _grouped(grant.claims),
        "client_assertions": _grouped(grant.client_claims),
    }
    if confirmation := _confirmation(grant):
        told["cnf"] = confirmation
    if grant.system:
        told["client_id"] = grant.system
    if grant.act:
        told["act"] = _acting(grant.act)
    if grant.authorization_base:
        told["authorization_base"] = grant.authorization_base
    return _flat(grant.claims) | told if grant.dialect == "D1" else told


def _confirmation(grant: Grant) -> dict[str, str]:
    bound = {"jkt": grant.binding.key, "x5t#S256": grant.binding.certificate}
    return {k: v for k, v in bound.items() if v}


def _acting(act: tuple[str, ...]) -> dict[str, Any]:
    """Nested, the most recent outermost. Source: RFC 8693 §4.1."""
    nested: dict[str, Any] = {}
    for name in reversed(act):
        nested = {"sub": name, **({"act": nested} if nested else {})}
    return nested


def _grouped(subjects: Mapping[str, Claims]) -> dict[str, Any]:
    return {
        subject: {name: [_value(v) for v in values] for name, values in claims.items()}
        for subject, claims in subjects.items()
    }


def _value(value: Value) -> dict[str, Any]:
    times = {"iat": int(value.issued.timestamp()), "exp": int(value.expires.timestamp())}
    return {"value": value.value, "iss": value.issuer, **times}


def _flat(subjects: Mapping[str, Claims]) -> dict[str, Any]:
    return {
        name: values[0].value
        for claims in subjects.values()
        for name, values in claims.items()
        if values and name not in RESERVED
    }
