"""What is checked of one kind of credential beyond what holds for all; named in types.json.

Source: A10, R58; trust and broker §3.1, §3.2.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from openldn.trust.certificates.party import uzi_of
from openldn.trust.credentials.content import Draft
from openldn.trust.credentials.did import Did
from openldn.trust.credentials.did_x509 import Chain
from openldn.trust.trail import Rule, Trail

IN_DID = Rule("vc.policy", "R58, A10", "each value of the subject stands in the issuer's DID")
URA = Rule("vc.ura", "trust and broker §3.2", "the URA is that of the issuer's certificate")
NAME = Rule("vc.name", "trust and broker §3.2", "the name is that of the issuer's certificate")


@dataclass(frozen=True)
class Facts:
    """What a check may look at."""

    draft: Draft
    issuer: Did
    chain: Chain
    claims: Mapping[str, tuple[str, ...]] = field(repr=False)


Check = Callable[[Facts, Trail], None]


def subject_in_did(facts: Facts, trail: Trail) -> None:
    """Refuse any value of the subject that the did:x509 of the issuer does not carry."""
    policies = facts.issuer.x509.policies if facts.issuer.x509 else ()
    known = {(p.kind, p.key, p.value) for p in policies}
    said = list(_said({k: v for k, v in facts.draft.subject.items() if k != "id"}))
    trail.require(bool(said) and all(s in known for s in said), IN_DID)


def ura_in_certificate(facts: Facts, trail: Trail) -> None:
    """Refuse a URA other than that of the certificate, which the issuer's DID must carry too."""
    policies = facts.issuer.x509.policies if facts.issuer.x509 else ()
    numbers = [p.value for p in policies if (p.kind, p.key) == ("san", "otherName")]
    try:
        uras = {uzi_of(n)[1].value for n in numbers}
    except ValueError:
        uras = set()
    trail.require(len(uras) == 1 and set(facts.claims.get("ura", ())) == uras, URA)


def name_in_certificate(facts: Facts, trail: Trail) -> None:
    """Refuse a name that is not the organization of the certificate's subject."""
    said = facts.claims.get("name", ())
    trail.require(bool(said) and set(said) <= set(facts.chain.values("subject", "O")), NAME)


CHECKS: Mapping[str, Check] = {
    "subject-in-did": subject_in_did,
    "ura-in-certificate": ura_in_certificate,
    "name-in-certificate": name_in_certificate,
}


def _said(subject: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Each value with its policy and key; what is not of that shape comes out as unknown."""
    for kind, keys in subject.items():
        if not isinstance(keys, dict):
            yield kind, "", None
            continue
        for key, value in keys.items():
            for one in value if isinstance(value, list) and value else [value]:
                yield kind, key, one if isinstance(one, str) else None
