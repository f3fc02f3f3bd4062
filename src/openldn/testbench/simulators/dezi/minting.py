"""What the simulated provider signs: ID tokens, userinfo and statements, right or wrong as told."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from openldn.access.professional.people import Practitioner, practitioner
from openldn.access.professional.settings import Node
from openldn.access.professional.words import words
from openldn.fhir.codec import dump
from openldn.testbench.simulators.dezi.state import Asked, SigningKey, State, Statement
from openldn.trust import jose
from openldn.trust.people.levels import Level
from openldn.trust.people.oidc import half_hash

_ALGORITHM = "RS256"
_ID_TOKEN = 300  # seconds
Claims = dict[str, Any]
Spoil = Callable[[Claims], Claims]

_SPOILT_TOKEN: Mapping[str, Spoil] = {
    "expired": lambda c: {"iat": c["iat"] - 900, "exp": c["exp"] - 900},
    "wrong_nonce": lambda c: {"nonce": "of-another-question"},
    "wrong_audience": lambda c: {"aud": "another-client"},
    "other_party": lambda c: {"aud": [c["aud"], "another-client"], "azp": "another-client"},
    "wrong_issuer": lambda c: {"iss": "https://another.example"},
    "wrong_hash": lambda c: {"at_hash": half_hash("another", _ALGORITHM)},
}
_SPOILT_STATEMENT: Mapping[str, Spoil] = {
    "statement_expired": lambda c: {"nbf": c["nbf"] - 10**6, "exp": c["nbf"] - 10},
    "statement_other_organization": lambda c: {"abonnee_nummer": "90099999"},
}


def id_token(state: State, asked: Asked, subject: str, access: str) -> str:
    """The ID token that answers this request."""
    moment = int(state.clock().timestamp())
    claims = {
        "iss": state.origin,
        "sub": subject,
        "aud": asked.client,
        "azp": asked.client,
        "iat": moment,
        "auth_time": moment,
        "exp": moment + _ID_TOKEN,
        "nonce": asked.nonce,
        "at_hash": half_hash(access, _ALGORITHM),
        "acr": _level(state).uri,
    }
    claims |= _spoils(state, _SPOILT_TOKEN, claims)
    if state.fault("alg_none") or state.fault("alg_hs256"):
        return _forged(state, claims)
    return _signed(state.signing, claims, {}, wrong=state.fault("wrong_signature"))


def userinfo(state: State, client: str, key: str) -> Claims:
    """What the provider tells of the person with this key, in its shape."""
    node, person = practitioner(state.nodes, key)
    subject = "another" if state.fault("wrong_subject") else subject_of(state, key)
    told: Claims = {"iss": state.origin, "aud": client, "sub": subject}
    if state.shape == "max":
        return told | _older(node, person, _level(state).uri)
    id_, text = statement(state, node, person)
    id_ = state.new_id() if state.fault("other_statement") else id_
    return told | {"verklaring_id": id_, "verklaring": text}


def subject_of(state: State, key: str) -> str:
    """The name of a person at this provider: it tells nothing."""
    return hashlib.sha256(f"{state.origin} {key}".encode()).hexdigest()


def signed_userinfo(state: State, claims: Claims) -> str:
    """Userinfo as a JWT."""
    return _signed(state.signing, claims, {}, wrong=False)


def statement(state: State, node: Node, person: Practitioner) -> tuple[str, str]:
    """The id of a fresh statement about this person, and the statement."""
    id_ = state.new_id()
    state.statements[id_] = Statement(person.key, state.fault("statement_revoked"))
    begins = state.clock() - timedelta(seconds=1)
    initials, surname = person.name.split(" ", 1)
    claims: Claims = {
        "jti": state.new_id(),
        "iss": state.origin,
        "nbf": int(begins.timestamp()),
        "exp": int((begins + state.statement_lifetime).timestamp()),
        "json_schema": "https://www.dezi.nl/json_schemas/v1/verklaring.json",
        "loa_dezi": _level(state).uri,
        "verklaring_id": id_,
        "dezi_nummer": person.uzi,
        "voorletters": initials,
        "voorvoegsel": None,
        "achternaam": surname,
        "abonnee_nummer": node.ura,
        "abonnee_naam": node.name,
        "rol_code": person.role,
        "rol_naam": words("nl").known(f"role.{person.role}", person.role),
        "rol_code_bron": "http://www.dezi.nl/rol_bron/big",
        "status_uri": f"{state.origin}/status/v1/verklaring/{id_}",
    }
    claims |= _spoils(state, _SPOILT_STATEMENT, claims)
    origin = "https://keys.example" if state.fault("statement_other_keys") else state.origin
    header = {"jku": f"{origin}/dezi/jwks.json"}
    wrong = state.fault("statement_wrong_signature")
    state.note("statement", id=id_)
    return id_, _signed(state.stating, claims, header, wrong=wrong)


def key_set(key: SigningKey) -> dict[str, Any]:
    """The published key."""
    jwk = jose.public_jwk(key.key) | {"kid": key.id, "use": "sig", "alg": _ALGORITHM}
    return {"keys": [jwk]}


def _older(node: Node, person: Practitioner, level: str) -> Claims:
    """The claims of MAX."""
    initials, surname = person.name.split(" ", 1)
    relation = {"ura": node.ura, "entity_name": node.name, "roles": [person.role]}
    return {
        "initials": initials,
        "surname_prefix": "",
        "surname": surname,
        "uzi_id": person.uzi,
        "relations": [relation],
        "loa_uzi": level,
        "loa_authn": level,
    }


def _level(state: State) -> Level:
    return Level.LOW if state.fault("low") else Level.HIGH


def _spoils(state: State, table: Mapping[str, Spoil], claims: Claims) -> Claims:
    changed: Claims = {}
    for name in filter(state.fault, table):
        changed |= table[name](claims)
    return changed


def _signed(key: SigningKey, claims: Claims, header: Mapping[str, str], *, wrong: bool) -> str:
    used = jose.key_of(rsa.generate_private_key(65537, 2048)) if wrong else key.key
    return jose.sign(claims, used, _ALGORITHM, {**header, "kid": key.id})


def _forged(state: State, claims: Claims) -> str:
    """A token with an algorithm that no verifier may accept."""
    none = state.fault("alg_none")
    header = {"alg": "none" if none else "HS256", "typ": "JWT", "kid": state.signing.id}
    text = f"{jose.encoded(dump(header))}.{jose.encoded(dump(claims))}"
    pem = state.signing.key.raw_value.public_key().public_bytes(  # type: ignore[union-attr]
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    tail = b"" if none else hmac.digest(pem, text.encode(), "sha256")
    return f"{text}.{jose.encoded(tail)}"
