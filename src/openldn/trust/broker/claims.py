"""What a draft says, in the words of each dialect; pure, so that every mint says the same."""

import re
from typing import Any

from openldn.base.runtime import instant
from openldn.trust.broker.model import Draft
from openldn.trust.brokered import CREDENTIAL, nested, status_claim
from openldn.trust.emergencies import told_of
from openldn.trust.evidence import Status

_UZI = re.compile(r"[0-9]{1,12}", re.ASCII)
_ROLE = re.compile(r"[0-9]{2}\.[0-9]{3}", re.ASCII)


def status_entry(status: Status, kind: str) -> dict[str, Any]:
    """Where it can be revoked. Source: W3C StatusList2021 §4.1, Bitstring Status List §2.1."""
    return {
        "id": f"{status.url}#{status.index}",
        "type": kind or "StatusList2021Entry",
        "statusPurpose": status.purpose,
        "statusListIndex": str(status.index),
        "statusListCredential": status.url,
    }


def assertion(draft: Draft, status: Status, did: str) -> dict[str, Any]:
    """The claims of an authorization grant about the organization; `did` signs the status list.

    Source: RFC 7523 §3.
    """
    proof = draft.proof
    said = {
        "organization_name": proof.organization_name,
        "purpose": proof.purpose,
        "authorization_base": proof.authorization_base,
        "patient": proof.patient.value if proof.patient else "",
        "emergency": told_of(proof.emergency) if proof.emergency else None,
        **_person(draft),
    }
    return {
        **common(draft),
        "sub": draft.organization.value,
        "jti": draft.id,
        **{name: value for name, value in said.items() if value},
        "scope": " ".join(sorted(draft.scopes)),
        "act": nested(draft.act),
        "via": list(draft.via),
        "cnf": {"x5t#S256": draft.thumbprint},
        "status": status_claim(status, did, draft.expires),
    }


def common(draft: Draft) -> dict[str, Any]:
    """Who made it, for whom, and until when it can be shown."""
    issued = int(draft.issued.timestamp())
    return {
        "iss": draft.act[0],
        "aud": draft.audience.issuer,
        "iat": issued,
        "nbf": issued,
        "exp": int(draft.shown_by.timestamp()),
    }


def subject(draft: Draft, did: str) -> dict[str, Any]:
    """What a credential says of the organization that the broker hosts as `did`."""
    proof = draft.proof
    said: dict[str, Any] = {
        "id": did,
        "organization_ura": draft.organization.value,
        "organization_name": proof.organization_name,
        "purpose": proof.purpose,
        "authorization_base": proof.authorization_base,
        "patient": proof.patient.value if proof.patient else "",
        "emergency": told_of(proof.emergency) if proof.emergency else None,
        "employee": _employee(draft),
        "act": nested(draft.act),
        "via": list(draft.via),
        "scope": " ".join(sorted(draft.scopes)),
        "cnf": {"x5t#S256": draft.thumbprint},
    }
    return {name: value for name, value in said.items() if value}


def credential(draft: Draft, did: str, issuer: str, status: Status) -> dict[str, Any]:
    """The `vc` claim of the broker's credential. Source: VC data model 1.1 §6.3.1."""
    return {
        "@context": ["https://www.w3.org/2018/credentials/v1"],
        "type": ["VerifiableCredential", CREDENTIAL],
        "issuer": issuer,
        "issuanceDate": instant(draft.issued),
        "expirationDate": instant(draft.expires),
        "credentialSubject": subject(draft, did),
        "credentialStatus": status_entry(status, draft.audience.profile.status_list),
    }


def _person(draft: Draft) -> dict[str, dict[str, str]]:
    """The person by UZI number and role; one who has none is a user of the organization."""
    person = draft.person
    if person is None:
        return {}
    if _UZI.fullmatch(person.uzi) and _ROLE.fullmatch(person.role):
        return {"person": {"uzi": person.uzi, "role": person.role, "name": person.name}}
    return {"user": {"id": person.uzi, "role": person.role, "name": person.name}}


def _employee(draft: Draft) -> dict[str, str]:
    person = draft.person
    return {"identifier": person.uzi, "role": person.role, "name": person.name} if person else {}
