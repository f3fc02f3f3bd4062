"""The decision point at another address, and what a holder's own FHIR register knows.

One row of PROFILES per wire shape. A decision point that cannot be reached or understood never
allows: the failure is raised (rule E04).
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.fhir.codec import Format, decode, dump, parse
from openldn.fhir.identifiers import BSN_SYSTEM, URA_SYSTEM
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.search.ranges import date_range
from openldn.functions.authorization.question import (
    About,
    Code,
    Decision,
    LocalConsent,
    Question,
    Reason,
    Verdict,
)

_JSON = {"accept": "application/json", "content-type": "application/json"}
_FHIR = {"accept": "application/fhir+json"}
_FORM = {**_FHIR, "content-type": "application/x-www-form-urlencoded"}
_CODES = {code.value: code for code in Code}


@dataclass(frozen=True)
class Profile:
    """How a question is written and a decision read in one wire shape."""

    path: str
    write: Callable[[Question], dict[str, Any]]
    allowed: Callable[[dict[str, Any]], object]
    reasons: Callable[[dict[str, Any]], list[Any]]


def write_flat(question: Question) -> dict[str, Any]:
    """The question in `pdp-flat`."""
    subject, context = question.subject, question.context
    return {
        "input": {
            "subject": {
                **subject.claims,
                "active": subject.active,
                "client_id": subject.client,
                "scope": " ".join(subject.scopes),
                "user_id": subject.user,
                "user_role": " ".join(subject.roles),
                "organization_ura": subject.organization,
                "organization_name": subject.organization_name,
                "organization_facility_type": subject.facility_type,
            },
            "request": _request(question, question.request.body),
            "context": _context(question) | {"connection_type_code": context.connection},
        }
    }


def write_authzen(question: Question) -> dict[str, Any]:
    """The question in `authzen-ig`."""
    subject, context = question.subject, question.context
    body = base64.b64encode(question.request.body.encode()).decode()
    return {
        "subject": {
            "type": "organization",
            "id": subject.organization,
            "properties": {
                **subject.claims,
                "client_id": subject.client,
                "client_qualifications": list(subject.scopes),
                "subject_id": subject.user,
                "subject_organization_id": f"URA|{subject.organization}",
                "subject_organization": subject.organization_name,
                "subject_role": list(subject.roles),
                "subject_facility_type": subject.facility_type,
            },
        },
        "resource": {},
        "action": {
            "name": "request",
            "connection_type_code": context.connection,
            "request": _request(question, body),
        },
        "context": _context(question),
    }


def _request(question: Question, body: str) -> dict[str, Any]:
    asked = question.request
    header = {"content-type": [asked.content_type]} if asked.content_type else {}
    return {
        "method": asked.method,
        "protocol": "HTTP/1.1",
        "path": asked.path,
        "query": urlencode(list(asked.query), quote_via=quote, safe=""),
        "header": header,
        "body": body,
    }


def _context(question: Question) -> dict[str, Any]:
    context = question.context
    return {
        "data_holder_organization_id": context.holder,
        "data_holder_facility_type": context.holder_type,
        "patient_bsn": context.patient_bsn,
        "patient_id": context.patient_id,
        "purpose_of_use": context.purpose,
    }


def _flat_reasons(body: dict[str, Any]) -> list[Any]:
    policies = body.get("policies")
    found = policies.values() if isinstance(policies, dict) else []
    return [r for p in found if isinstance(p, dict) for r in p.get("reasons") or []]


def _authzen_reasons(body: dict[str, Any]) -> list[Any]:
    context = body.get("context")
    found = context.get("reasons") if isinstance(context, dict) else None
    return found if isinstance(found, list) else []


PROFILES = {
    "pdp-flat": Profile("/pdp", write_flat, lambda b: b.get("allow"), _flat_reasons),
    "authzen-ig": Profile(
        "/access/v1/evaluation", write_authzen, lambda b: b.get("decision"), _authzen_reasons
    ),
}


@dataclass(frozen=True)
class RemotePoint:
    """A decision point at `base`; implements `Deciding`."""

    http: HttpClient
    base: str  # URL without trailing slash
    profile: str = "pdp-flat"
    deadline: float = 2.0  # seconds
    name: str = "remote"  # what its verdict is called

    async def decide(self, question: Question) -> Decision:
        """Its decision; raises LdnError(incomplete) for no answer and for one that is none."""
        profile = PROFILES[self.profile]
        url, body = f"{self.base}{profile.path}", dump(profile.write(question))
        try:
            reply = await self.http.send(
                "POST", url, headers=_JSON, body=body, deadline=self.deadline
            )
        except LdnError as error:
            raise _unusable("cannot be reached") from error
        return self._decision(profile, reply)

    def _decision(self, profile: Profile, reply: Reply) -> Decision:
        if reply.status != 200:
            raise _unusable(f"answers with status {reply.status}")
        try:
            body = parse(reply.body)
        except LdnError as error:
            raise _unusable("answers what is not JSON") from error
        allow = profile.allowed(body) if isinstance(body, dict) else None
        if not isinstance(body, dict) or not isinstance(allow, bool):
            raise _unusable("does not say whether it allows")
        reasons = tuple(map(_reason, profile.reasons(body)))
        return Decision(allow, {self.name: Verdict(allow, () if allow else reasons)})


def _unusable(what: str) -> LdnError:
    text = f"the decision point {what}; nothing is disclosed, try again later"
    return LdnError(Issue.INCOMPLETE, text, detail="pdp.unusable")


def _reason(given: Any) -> Reason:
    """A reason of theirs: the code if we know it; its text is not ours to repeat."""
    code = given.get("code") if isinstance(given, dict) else None
    known = _CODES.get(str(code), Code.NOT_ALLOWED)
    return Reason(known, f"the decision point says {known}", "remote")


@dataclass(frozen=True)
class FhirInformation:
    """What a holder's own FHIR R4 register knows; implements `Information`."""

    http: HttpClient
    base: str  # FHIR base without trailing slash
    deadline: float = 2.0  # seconds for one call
    most: int = field(default=200)  # consents of one resource

    async def bsns(self, patient: str) -> Sequence[str]:
        """Every BSN of Patient/{id}; none when there is no such patient.

        Raises LdnError when the register cannot be reached or read.
        """
        url = f"{self.base}/Patient/{quote(patient, safe='')}"
        reply = await self.http.send("GET", url, headers=_FHIR, deadline=self.deadline)
        if reply.status in {404, 410}:
            return []
        found = _resource(reply)
        if found.get("resourceType") != "Patient":
            raise LdnError(Issue.INCOMPLETE, "the register answers no Patient; its operator's turn")
        identifiers = found.get("identifier", [])
        return [i["value"] for i in identifiers if i.get("system") == BSN_SYSTEM and "value" in i]

    async def consents(self, about: About) -> Sequence[LocalConsent]:
        """The active consents that name this resource; raises LdnError as `bsns` does."""
        patient = about.resource.startswith("Patient/")
        pairs = [("patient" if patient else "data", about.resource), ("_count", str(self.most))]
        reply = await self.http.send(
            "POST",
            f"{self.base}/Consent/_search",
            headers=_FORM,
            body=urlencode(pairs).encode(),
            deadline=self.deadline,
        )
        bundle = _resource(reply)
        if any(k.get("relation") == "next" for k in bundle.get("link", [])):
            text = f"more than {self.most} consents name one resource; its operator's turn"
            raise LdnError(Issue.INCOMPLETE, text)
        found = [e["resource"] for e in bundle.get("entry", []) if "resource" in e]
        kept = [r for r in found if r["resourceType"] == "Consent"]
        return [c for c in map(local_consent, kept) if c is not None]


def _resource(reply: Reply) -> Resource:
    if reply.status != 200:
        text = f"the register answers with status {reply.status}; its operator's turn"
        raise LdnError(Issue.INCOMPLETE, text)
    return decode(reply.body, Format.JSON, FhirVersion.R4)


def local_consent(resource: Resource) -> LocalConsent | None:
    """What an IHE PCF Consent (R4) says; None for one that is not active.

    A permission with exceptions inside is no permission: we do not weigh them here.
    """
    if resource.get("status") != "active":
        return None
    provision = resource.get("provision", {})
    codes = [c.get("code", "") for c in resource.get("scope", {}).get("coding", [])]
    period = provision.get("period", {})
    return LocalConsent(
        scope=codes[0] if codes else "",
        permit=provision.get("type") == "permit" and not provision.get("provision"),
        actors=frozenset(_ura(a.get("reference", {})) for a in provision.get("actor", [])),
        data=frozenset(_reference(d.get("reference", {})) for d in provision.get("data", [])),
        start=_moment(period.get("start"), 0),
        end=_moment(period.get("end"), 1),
    )


def _moment(text: str | None, which: int) -> Any:
    span = date_range(text) if text else None
    return span[which] if span else None


def _ura(reference: Resource) -> str:
    identifier = reference.get("identifier", {})
    return str(identifier.get("value", "")) if identifier.get("system") == URA_SYSTEM else ""


def _reference(reference: Resource) -> str:
    return "/".join(str(reference.get("reference", "")).split("/")[-2:])
