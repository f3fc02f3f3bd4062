"""What only a broker says in a proof it minted: who acted, through what, where it is revoked.

Below the authorization server and the broker, so that the one reads what the other writes.
Source: RFC 8693 §4.1 (act); RFC 7800, RFC 8705 §3.1 (cnf); trust and broker §9.
"""

import hmac
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeGuard

from openldn.trust.certificates import thumbprint
from openldn.trust.emergencies import emergency_in
from openldn.trust.evidence import Evidence, Kind, Proof, Status, Value
from openldn.trust.parties import Emergency
from openldn.trust.trail import Rule, Trail

CREDENTIAL = "BrokeredOrganizationCredential"  # the kind in which a broker speaks to Nuts holders

ACT = Rule("brokered.act", "RFC 8693 §4.1", "the chain of actors is whole and not too long")
BOUND = Rule("brokered.cnf", "RFC 8705 §3.1", "made for the certificate of this connection")
STATUS = Rule("brokered.status", "trust and broker §9 B9", "it says where it can be revoked")
STILL = Rule("brokered.status.still", "trust and broker §9 B9", "its broker did not withdraw it")
WHY = Rule("brokered.emergency", "exchange patterns §7.3", "a reason that is told is whole")
SCOPED = Rule("brokered.scope", "RFC 8693 §4.2", "it says which scopes it is for")

DEEPEST = 3  # brokers between asker and holder
_PASSED = 8  # infrastructures


def nested(act: tuple[str, ...]) -> dict[str, Any]:
    """The chain of actors, the nearest outermost. Source: RFC 8693 §4.1."""
    if not act:
        return {}
    below = nested(act[1:])
    return {"sub": act[0], **({"act": below} if below else {})}


def flat(act: object, bound: int = 8) -> tuple[str, ...]:
    """The actors in a nested claim, nearest first; ValueError for another shape or too deep."""
    found: list[str] = []
    while act is not None:
        if not isinstance(act, dict) or not isinstance(act.get("sub"), str) or len(found) >= bound:
            raise ValueError("not a chain of actors")
        found.append(act["sub"])
        act = act.get("act")
    return tuple(found)


def completed(
    proof: Proof, said: Mapping[str, Any] | None, certificate: bytes, trail: Trail
) -> Proof:
    """The proof with what its broker says; one that no broker made (`said` None) stays as it is.

    `said` are claims that a broker signed, as its reader verified them: never what a party says
    of itself. All of it must be there, for it is what binds the proof to who asked, narrows it
    and lets it be revoked. Raises LdnError(the trail's issue).
    """
    if said is None:
        return proof
    trail.require("act" in said, ACT)
    bound = said.get("cnf")
    named = bound.get("x5t#S256", "") if isinstance(bound, dict) else ""
    fits = isinstance(named, str) and bool(certificate)
    fits = fits and hmac.compare_digest(named.encode(), thumbprint(certificate).encode())
    trail.require(fits, BOUND)
    scope = said.get("scope")
    trail.require(isinstance(scope, str) and bool(scope.split()), SCOPED)
    scopes = frozenset(str(scope).split())
    listed = _evidence(proof, said, trail)
    return replace(
        proof,
        act=_act(said, trail),
        expires=min([proof.expires, *(e.expires for e in listed)]),
        scopes=scopes if proof.scopes is None else scopes & proof.scopes,
        evidence=(*proof.evidence, *listed),
        claims={**proof.claims, "via": {"infrastructure": _via(proof, said)}},
        emergency=_emergency(said, trail),
    )


def _emergency(said: Mapping[str, Any], trail: Trail) -> Emergency | None:
    """Why the glass is broken, as the broker read it of who asks."""
    try:
        found = emergency_in(said.get("emergency"))
    except ValueError:
        trail.require(False, WHY)
        raise
    if found is not None:
        trail.note(WHY)
    return found


def status_claim(status: Status, issuer: str, expires: datetime) -> dict[str, Any]:
    """Where an assertion can be revoked, the DID that signs the list, and until when it counts.

    The assertion itself can be shown for a shorter time than what is made of it may live.
    """
    ends = int(expires.timestamp())
    return {"issuer": issuer, "uri": status.url, "idx": status.index, "exp": ends}


def status_of(said: object, proof: Proof, id: str) -> Evidence | None:
    """The evidence in a status claim; None for another shape."""
    if not isinstance(said, Mapping):
        return None
    url, issuer, index, ends = (said.get(name) for name in ("uri", "issuer", "idx", "exp"))
    if not isinstance(url, str) or not isinstance(issuer, str):
        return None
    if not _within(index, 2**30) or not _within(ends, 2**36):
        return None
    expires = min(proof.expires, datetime.fromtimestamp(ends, UTC))
    return Evidence(Kind.CREDENTIAL, id, issuer, expires, Status(url, index))


def _within(number: object, bound: int) -> TypeGuard[int]:
    return type(number) is int and 0 <= number < bound


def _act(said: Mapping[str, Any], trail: Trail) -> tuple[str, ...]:
    try:
        found = flat(said["act"], DEEPEST)
    except ValueError:
        found = ()
    # an assertion names who signed it: nobody can put another broker in its own place
    trail.require(bool(found) and said.get("iss", found[0]) == found[0], ACT)
    return found


def _evidence(proof: Proof, said: Mapping[str, Any], trail: Trail) -> tuple[Evidence, ...]:
    """Of an assertion; a credential tells its status itself, and it was looked at already."""
    if "status" not in said:
        known = any(e.status is not None and e.status.index >= 0 for e in proof.evidence)
        trail.require(known, STATUS)
        return ()
    found = status_of(said["status"], proof, str(said.get("jti", "")))
    trail.require(found is not None, STATUS)
    return (found,) if found else ()


def _via(proof: Proof, said: Mapping[str, Any]) -> tuple[Value, ...]:
    named = said.get("via")
    passed = [v for v in named if isinstance(v, str)] if isinstance(named, list) else []
    issuer = proof.system or proof.subject
    return tuple(Value(v, issuer, proof.issued, proof.expires) for v in passed[:_PASSED])
