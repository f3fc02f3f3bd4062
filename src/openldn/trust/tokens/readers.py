"""The dialects, each read into the one `Proof`."""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import lru_cache

from cryptography import x509

from openldn.base.errors import Issue
from openldn.fhir.identifiers import Ura
from openldn.trust import jose
from openldn.trust.brokered import completed
from openldn.trust.certificates import CertificateParty, require_party, thumbprint
from openldn.trust.credentials.definitions import spelled
from openldn.trust.evidence import Claims, Proof, Value
from openldn.trust.tokens import assertions
from openldn.trust.tokens.assertions import Word
from openldn.trust.tokens.desk import Desk
from openldn.trust.tokens.errors import invalid_target
from openldn.trust.tokens.ports import Swap
from openldn.trust.tokens.presented import one_presentation, two_presentations
from openldn.trust.trail import Rule, Trail

TREATMENT = "TREAT"  # what a dialect without purpose of use asks for

SAME = Rule("client.organization", "RFC 7523 §3", "client and grant are of one organization")
CLIENT_ID = Rule("client.id", "RFC 7521 §4.2", "client_id names who is proven")
CONFIRMED = Rule("client.cnf", "RFC 8705 §3", "made for the certificate of this connection")
KEY_ID = Rule("client.kid", "RFC 7800 §3.4", "kid names the certificate of this connection")
TARGET = Rule("client.audience", "MinVWS, target_audience", "asked for an address of this holder")
CLAIMED = Rule("client.scope", "MinVWS, scope", "no scope beyond that of the assertion")
ACT = Rule("exchange.act", "RFC 8693 §4.1", "who acts for another is named")

Reader = Callable[[Desk, Trail], Awaitable[Proof]]


async def plain(desk: Desk, trail: Trail) -> Proof:
    """D2, Twiin-07: an assertion of the client and one of the organization that asks."""
    client = await client_word(desk, trail)
    trail.issue = Issue.FORBIDDEN
    word = await assertions.verified(desk.tokens["assertion"], desk.expected, trail, client=False)
    same_connection(word, desk, trail)
    one = word.issuer == client.issuer if client.anyone else False
    trail.require(one or word.organizations <= client.organizations, SAME)
    check_client_id(desk, trail, client.subject)
    proof = proof_of(word, client, desk, trail, "" if word.own else TREATMENT)
    return completed(proof, assertions.brokered(word), desk.certificate, trail)


async def client_word(desk: Desk, trail: Trail) -> Word:
    """Who the client says it is, proven by its assertion."""
    token = desk.tokens["client_assertion"]
    word = await assertions.verified(token, desk.expected, trail, client=True)
    same_connection(word, desk, trail)
    return word


def same_connection(word: Word, desk: Desk, trail: Trail) -> None:
    """An organization that signs with its own certificate also shows its own on TLS."""
    if word.own:
        party = require_party(desk.certificate, desk.now)
        trail.require(frozenset({party.ura}) == word.organizations, assertions.ORGANIZATION)


def check_client_id(desk: Desk, trail: Trail, *names: str) -> None:
    """A client_id need not be there, but if it is, it names who was proven."""
    given = desk.form.get("client_id", "")
    before, trail.issue = trail.issue, Issue.LOGIN
    trail.require(not given or given in names, CLIENT_ID)
    trail.issue = before


def proof_of(word: Word, client: Word, desk: Desk, trail: Trail, purpose: str = TREATMENT) -> Proof:
    """What two plain assertions prove together; `purpose` where they name none."""
    [organization] = word.organizations
    name = word.name if word.own else assertions.named(word)
    base = desk.form.get("authorization_base") or word.claims.get("authorization_base", "")
    return Proof(
        dialect="D2",
        subject=word.subject,
        organization=organization,
        issued=word.issued,
        expires=min(word.evidence.expires, client.evidence.expires, *_bounds(word)),
        evidence=tuple(dict.fromkeys((word.evidence, client.evidence))),
        organization_name=name,
        system="" if client.own else client.subject,
        person=assertions.person_of(word, trail),
        patient=assertions.patient_of(word, trail),
        purpose=assertions.purpose_of(word, trail, purpose),
        authorization_base=base[:512] if isinstance(base, str) else "",
        claims={word.subject: claims_of(word, organization, name)},
        emergency=assertions.emergency_of(word, trail),
    )


def _bounds(word: Word) -> tuple[datetime, ...]:
    """What a broker passes on lives no longer than it says: RFC 8693 §2.2.1."""
    return (word.expires,) if word.anyone else ()


def claims_of(word: Word, organization: Ura, name: str) -> Claims:
    """The claims of introspection that a plain assertion gives."""
    values = {"organization_ura": organization.value, "organization_name": name}
    return {
        k: (Value(v, word.issuer, word.issued, word.evidence.expires),)
        for k, v in values.items()
        if v
    }


async def certified_assertion(desk: Desk, trail: Trail) -> Proof:
    """D5, the ministry's form: an assertion bound to the certificate of the connection."""
    party = require_party(desk.certificate, desk.now)
    word = await _ministry_word(desk, party, trail)
    shown = thumbprint(desk.certificate)
    bound = word.claims.get("cnf")
    named = bound.get("x5t#S256", "") if isinstance(bound, dict) else ""
    fits = isinstance(named, str) and hmac.compare_digest(named.encode(), shown.encode())
    trail.require(fits, CONFIRMED)
    for target in (desk.form.get("target_audience"), word.claims.get("target_audience")):
        if target is not None and (not isinstance(target, str) or target not in desk.public):
            raise invalid_target(TARGET.code)
    trail.note(TARGET)
    told = word.claims.get("scope")
    claimed = spelled(str(told).split(), desk.scopes)
    trail.require(told is None or desk.scopes <= claimed, CLAIMED)
    check_client_id(desk, trail, word.subject)
    proof = proof_of(word, word, desk, trail)
    return replace(proof, dialect="D5", organization_name=party.name)


async def _ministry_word(desk: Desk, party: CertificateParty, trail: Trail) -> Word:
    """By x5c, or without it by the key of the connection's certificate, which `kid` names."""
    token = desk.tokens["client_assertion"]
    if "x5c" in token.header:
        return await client_word(desk, trail)
    trail.require(token.header_text("kid") == thumbprint(desk.certificate), KEY_ID)
    chain = tls_chain(desk)
    key = jose.key_of_certificate(chain[0])
    jose.verify(token, key, desk.profile.alg_in.client_assertion, trail)
    named = token.claim("iss") == token.claim("sub") == party.ura.value
    trail.require(named, assertions.SUBJECT)
    issued, expires = assertions.check_claims(token, desk.expected, desk.profile, trail)
    evidence = await desk.believes.believe(chain, trail, desk.profile.revocation)
    ura, subject = frozenset({party.ura}), party.ura.value
    return Word(subject, subject, ura, party.name, evidence, issued, expires, token.claims, False)


async def certificate_alone(desk: Desk, trail: Trail) -> Proof:
    """D7, RFC 8705 §2.1: the certificate of the connection names the client."""
    party = require_party(desk.certificate, desk.now)
    chain = tls_chain(desk)
    evidence = await desk.believes.believe(chain, trail, desk.profile.revocation)
    check_client_id(desk, trail, party.ura.value)
    word = Word(
        party.ura.value,
        party.ura.value,
        frozenset({party.ura}),
        party.name,
        evidence,
        desk.now,
        evidence.expires,
        {},
    )
    return replace(proof_of(word, word, desk, trail), dialect="D7")


def tls_chain(desk: Desk) -> tuple[x509.Certificate, ...]:
    """The certificate of the connection and the authorities above it that we hold."""
    return chain_of(desk.certificate, desk.ports.issuers)


@lru_cache(maxsize=1024)
def chain_of(
    certificate: bytes, issuers: tuple[x509.Certificate, ...]
) -> tuple[x509.Certificate, ...]:
    """This certificate (DER) and the authorities above it, of these."""
    chain = [x509.load_der_x509_certificate(certificate)]
    while len(chain) < 4:
        above = next((c for c in issuers if c.subject == chain[-1].issuer), None)
        if above is None or above in chain:
            break
        chain.append(above)
    return tuple(chain)


async def exchanged(desk: Desk, trail: Trail) -> Proof:
    """D6, RFC 8693: who the subject token proves, with the client as the one who acts."""
    swap = await swap_of(desk, trail)
    trail.issue = Issue.FORBIDDEN
    exchange = desk.ports.exchange
    assert exchange is not None  # noqa: S101  (the dialect is offered with this port only)
    found = await exchange(swap, trail)
    trail.require(bool(found.act), ACT)
    return replace(found, dialect="D6")


async def swap_of(desk: Desk, trail: Trail) -> Swap:
    """The exchange as it is asked, by a client that is proven."""
    form = desk.form
    if "client_assertion" in form:
        client = await client_word(desk, trail)
        trail.require(bool(client.organizations), assertions.ORGANIZATION)
        proof = replace(_as_client(client, desk), dialect="D2")
    else:
        proof = await certificate_alone(desk, trail)
    return Swap(
        form["subject_token"],
        form["subject_token_type"],
        proof,
        form.get("actor_token", ""),
        form.get("actor_token_type", ""),
        form.get("audience", ""),
        form.get("resource", ""),
        desk.scopes,
        form.get("requested_token_type", ""),
        desk.certificate,
    )


def _as_client(word: Word, desk: Desk) -> Proof:
    organization = min(word.organizations, key=lambda u: u.value)
    return Proof(
        "D2", word.subject, organization, word.issued, word.evidence.expires, (word.evidence,)
    )


READERS: Mapping[str, Reader] = {
    "D1": one_presentation,
    "D2": plain,
    "D3": two_presentations,
    "D5": certified_assertion,
    "D6": exchanged,
    "D7": certificate_alone,
}
