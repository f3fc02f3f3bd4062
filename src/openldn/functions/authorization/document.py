"""The normalized document of a matter: what Rego sees as `input`.

Source: generic functions §3.3 (what the Knooppunt normalizes to inside).
"""

from typing import Any

from openldn.fhir.identifiers import Bsn
from openldn.functions.authorization.model import FORM, Consent, Facts
from openldn.functions.authorization.policies import POLICIES, Policy, capability_checked
from openldn.functions.authorization.question import REST, LocalConsent, Matter
from openldn.functions.authorization.request import split_or

OWN_POLICY = "policy.own"  # what the log calls a denial by the holder's own file


def document(matter: Matter, policy: Policy | None = None) -> dict[str, Any]:
    """The document of a matter under one policy; JSON all through."""
    subject, context = matter.question.subject, matter.question.context
    return {
        "subject": {
            **subject.claims,
            "active": subject.active,
            "client": {"id": subject.client, "scopes": list(subject.scopes)},
            "organization": {
                "ura": subject.organization,
                "name": subject.organization_name,
                "facility_type": subject.facility_type,
            },
            "user": {"id": subject.user, "role": " ".join(subject.roles)},
        },
        "resource": _resource(matter),
        "action": {
            "connection_type_code": context.connection,
            "request": {
                "method": matter.question.request.method,
                "path": matter.question.request.path,
            },
            "fhir_rest": _rest(matter, policy),
        },
        "context": {
            "data_holder_organization_id": context.holder,
            "data_holder_facility_type": context.holder_type,
            "patient_id": matter.patient_id,
            "patient_bsn": matter.patient_bsn,
            "mitz_consent": matter.consent is Consent.PERMIT,
            "purpose_of_use": context.purpose,
            "legal_basis": context.basis.value,
        },
    }


def _resource(matter: Matter) -> dict[str, Any]:
    rest = matter.rest
    return {
        "type": rest.type if rest else "",
        "id": rest.id if rest else "",
        "consents": [_consent(c) for c in matter.consents],
    }


def _consent(consent: LocalConsent) -> dict[str, Any]:
    return {"scope": consent.scope, "permit": consent.permit, "data": sorted(consent.data)}


def _rest(matter: Matter, policy: Policy | None) -> dict[str, Any]:
    rest = matter.rest
    if rest is None:
        return {}
    known = (policy.capabilities if policy else None) or {}
    return {
        "capability_checked": capability_checked(rest, known),
        "interaction_type": rest.interaction,
        "operation": rest.operation,
        "search_params": {n: [list(g) for g in groups] for n, groups in rest.search.items()},
        "include": list(rest.include),
        "revinclude": list(rest.revinclude),
    }


def of_names(names: tuple[str, ...] | list[str]) -> Policy | None:
    """The first of these policies that we have."""
    return next((POLICIES[n] for n in names if n in POLICIES), None)


def document_of_facts(facts: Facts, patient: Bsn | None, exchange: str) -> dict[str, Any]:
    """The document of a question that the node's own enforcement point decides."""
    requester, asked = facts.requester, facts.asked
    person = requester.person
    return {
        "subject": {
            "active": True,
            "client": {"id": str(facts.peer), "scopes": sorted(requester.scopes)},
            "organization": {
                "ura": str(requester.organization),
                "name": requester.organization_name,
                "facility_type": "",
            },
            "user": {"id": person.uzi, "role": person.role} if person else {"id": "", "role": ""},
        },
        "resource": {"type": asked.type, "id": "", "consents": []},
        "action": {
            "connection_type_code": REST,
            "request": {"method": "", "path": "/".join(("", asked.type, asked.operation))},
            "fhir_rest": _asked(facts),
        },
        "context": {
            "data_holder_organization_id": str(facts.holder),
            "data_holder_facility_type": "",
            "patient_id": "",
            "patient_bsn": patient.value if patient else "",
            "mitz_consent": facts.consent is Consent.PERMIT,
            "purpose_of_use": requester.purpose,
            "legal_basis": facts.basis.value,
            "exchange": exchange,
        },
    }


def _asked(facts: Facts) -> dict[str, Any]:
    asked = facts.asked
    search: dict[str, list[list[str]]] = {}
    for name, value in asked.parameters:
        if name not in FORM | {"_include", "_revinclude"}:
            search.setdefault(name, []).append(list(split_or(value)))
    return {
        "capability_checked": True,
        "interaction_type": asked.interaction,
        "operation": asked.operation,
        "search_params": search,
        "include": [v for n, v in asked.parameters if n == "_include"],
        "revinclude": [v for n, v in asked.parameters if n == "_revinclude"],
    }
