"""The wire shapes of question and decision that are in use; one row for each.

`pdp-flat` is that of the Knooppunt, `authzen-ig` that of the implementation guide in AuthZEN's
form, `opa-data` that of the data API of Open Policy Agent around the normalized document.
Source: generic functions §3.2, §3.3; openpolicyagent.org REST API.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.functions.authorization.question import (
    REST,
    Context,
    Decision,
    Question,
    Reason,
    Subject,
)
from openldn.functions.authorization.request import HttpRequest, Pair, decoded, pairs_of

Document = Mapping[str, Any]
_OF_SUBJECT = frozenset(
    "active client_id scope user_id user_role organization_ura organization_name"
    " organization_facility_type".split()
)
REFERRAL = "authorization_base"  # the claim that names the referral; consent is implied by it
_PURPOSES = frozenset({"TREAT", "COC", "ETREAT", "BTG"})


@dataclass(frozen=True)
class Shape:
    """One shape: how a question is read and a decision written."""

    name: str
    paths: tuple[str, ...]
    read: Callable[[Document], Question]
    write: Callable[[Decision], dict[str, Any]]


def read_flat(body: Document) -> Question:
    """The question in `pdp-flat`; raises LdnError(structure) for anything else."""
    given = _object(body, "input")
    subject, context = _object(given, "subject"), _object(given, "context")
    claims = {k: v for k, v in subject.items() if k not in _OF_SUBJECT}
    return Question(
        Subject(
            scopes=tuple(_text(subject, "scope").split()),
            client=_text(subject, "client_id"),
            active=subject.get("active", True) is True,
            organization=ura_of(_text(subject, "organization_ura")),
            organization_name=_text(subject, "organization_name"),
            facility_type=_text(subject, "organization_facility_type"),
            user=_text(subject, "user_id"),
            roles=_texts(subject, "user_role"),
            claims=claims,
        ),
        _request(_object(given, "request"), encoded=True),
        _context(context, _text(context, "connection_type_code"), _text(claims, REFERRAL)),
    )


def read_authzen(body: Document) -> Question:
    """The question in `authzen-ig`; raises LdnError(structure) for anything else.

    `action.fhir_rest` is not believed: the request itself is read.
    """
    subject = _object(_object(body, "subject"), "properties")
    action = _object(body, "action")
    action = _object(action, "properties") if "request" not in action else action
    known = (
        "client_id client_qualifications subject_id subject_organization_id"
        " subject_organization subject_role subject_facility_type"
    )
    claims = {k: v for k, v in subject.items() if k not in known.split()}
    return Question(
        Subject(
            scopes=_texts(subject, "client_qualifications"),
            client=_text(subject, "client_id"),
            organization=ura_of(_text(subject, "subject_organization_id")),
            organization_name=_text(subject, "subject_organization"),
            facility_type=_text(subject, "subject_facility_type"),
            user=_text(subject, "subject_id"),
            roles=_texts(subject, "subject_role"),
            claims=claims,
        ),
        _request(_object(action, "request"), encoded=False),
        _context(
            _object(body, "context"),
            _text(action, "connection_type_code"),
            _text(claims, REFERRAL),
        ),
    )


def read_opa(body: Document) -> Question:
    """The question as the normalized document that policies see (§3.3), in OPA's `input`."""
    given = _object(body, "input")
    subject, action = _object(given, "subject"), _object(given, "action")
    client, user = _object(subject, "client"), _object(subject, "user")
    organization = _object(subject, "organization")
    known = {"client", "organization", "user", "active"}
    claims = {k: v for k, v in subject.items() if k not in known}
    return Question(
        Subject(
            scopes=_texts(client, "scopes"),
            client=_text(client, "id"),
            active=subject.get("active", True) is True,
            organization=ura_of(_text(organization, "ura")),
            organization_name=_text(organization, "name"),
            facility_type=_text(organization, "facility_type"),
            user=_text(user, "id"),
            roles=_texts(user, "role"),
            claims=claims,
        ),
        _request(_object(action, "request"), encoded=True),
        _context(
            _object(given, "context"),
            _text(action, "connection_type_code"),
            _text(claims, REFERRAL),
        ),
    )


def write_flat(decision: Decision) -> dict[str, Any]:
    """The decision in `pdp-flat`: `allow`, `error` and what each policy says."""
    policies = {
        name: {"allow": v.allow, "reasons": [_reason(r) for r in v.reasons]}
        for name, v in decision.policies.items()
    }
    if decision.own:
        policies["own"] = {"allow": False, "reasons": [_reason(r) for r in decision.own]}
    written: dict[str, Any] = {"allow": decision.allow, "policies": policies}
    return {**written, "error": decision.error} if decision.error else written


def write_authzen(decision: Decision) -> dict[str, Any]:
    """The decision in `authzen-ig`: a boolean, and the reasons as context."""
    reasons = [_reason(r) for r in decision.reasons]
    if decision.error:
        reasons.append({"code": "unexpected_input", "description": decision.error})
    return {"decision": decision.allow, "context": {"reasons": reasons}}


def write_opa(decision: Decision) -> dict[str, Any]:
    """The decision as OPA answers its data API: `result`."""
    return {"result": write_flat(decision)}


SHAPES = (
    Shape("pdp-flat", ("/pdp", "/pdp/v1/data/knooppunt/authz"), read_flat, write_flat),
    Shape("authzen-ig", ("/access/v1/evaluation",), read_authzen, write_authzen),
    Shape("opa-data", ("/v1/data/openldn/authz", "/v1/data/knooppunt/authz"), read_opa, write_opa),
)


def shape(name: str) -> Shape:
    """The shape of this name; raises LdnError(not-found)."""
    known = {s.name: s for s in SHAPES}
    if name not in known:
        raise LdnError(Issue.NOT_FOUND, f"no such shape; choose from {', '.join(known)}")
    return known[name]


def ura_of(text: str) -> str:
    """The URA in `URA|123`, `urn:…|123` or `123`; raises LdnError(invalid) for anything else."""
    value = text.rpartition("|")[2].rpartition(":")[2]
    if text and not (value.isascii() and value.isdigit() and len(value) <= 8):
        raise LdnError(Issue.INVALID, "the organization is not named by a URA")
    return value.zfill(8) if value else ""


def _request(given: Document, *, encoded: bool) -> HttpRequest:
    header = _object(given, "header") if given.get("header") else {}
    kinds = [v for k, v in header.items() if str(k).lower() == "content-type"]
    kind = kinds[0] if kinds else ""
    kind = kind[0] if isinstance(kind, list) and kind else kind
    body = _text(given, "body")
    return HttpRequest(
        method=_text(given, "method").upper(),
        path=_text(given, "path"),
        query=tuple(_query(given)),
        content_type=str(kind),
        body=body if encoded else _decoded_body(body),
    )


def _decoded_body(body: str) -> str:
    try:
        return base64.b64decode(body, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise LdnError(Issue.STRUCTURE, "action.request.body is not base64 of text") from error


def _query(given: Document) -> list[Pair]:
    """A query string, or a map of names to values as they stood in the URL."""
    query = given.get("query_params", given.get("query"))
    if isinstance(query, str):
        return pairs_of(query.removeprefix("?"))
    if query is None:
        return []
    if not isinstance(query, Mapping):
        raise LdnError(Issue.STRUCTURE, "the query is a text or a map")
    pairs = []
    for name, values in query.items():
        for value in values if isinstance(values, list) else [values]:
            if not isinstance(value, str):
                raise LdnError(Issue.STRUCTURE, "a value of the query is not a text")
            pairs.append((decoded(str(name)), decoded(value)))
    return pairs


def _context(given: Document, connection: str, referral: str) -> Context:
    purpose = _text(given, "purpose_of_use") or "TREAT"
    if purpose not in _PURPOSES:
        known = ", ".join(sorted(_PURPOSES))
        raise LdnError(Issue.INVALID, f"purpose_of_use is one of {known}")
    return Context(
        connection=connection or REST,
        holder=ura_of(_text(given, "data_holder_organization_id")),
        holder_type=_text(given, "data_holder_facility_type"),
        patient_bsn=_text(given, "patient_bsn").rpartition("|")[2],
        patient_id=_text(given, "patient_id"),
        purpose=purpose,
        referral=referral,
    )


def _reason(reason: Reason) -> dict[str, str]:
    return {"code": reason.code.value, "description": reason.description}


def _object(given: Document, name: str) -> Document:
    value = given.get(name, {})
    if not isinstance(value, Mapping):
        raise LdnError(Issue.STRUCTURE, f"{name} is not an object", where=name)
    return value


def _text(given: Document, name: str) -> str:
    value = given.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise LdnError(Issue.STRUCTURE, f"{name} is not a text", where=name)
    return value


def _texts(given: Document, name: str) -> tuple[str, ...]:
    """A text of words, or a list of texts."""
    value = given.get(name)
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    return tuple(_text(given, name).split())
