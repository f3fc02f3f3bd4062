"""Targets of `tools/fuzz.py`: keys, certificates, credentials and people."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from fuzz_bench import Bench, Target, claims_in, signing, text_in
from trust.credentials.kit import definition, opened
from trust.people.register import KEYS

from openldn.base.errors import LdnError
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import Ura
from openldn.trust import jose
from openldn.trust.certificates import party_of
from openldn.trust.certificates.party import load as load_certificate
from openldn.trust.certificates.party import text_of, uzi_of
from openldn.trust.certificates.revocation import Freshness, sources
from openldn.trust.credentials import dezi, resolver, status
from openldn.trust.credentials.content import VC2
from openldn.trust.credentials.definitions import load_definition, shipped_policies
from openldn.trust.credentials.did import parse as parse_did
from openldn.trust.credentials.did_x509 import pinned, read_chain
from openldn.trust.credentials.issue import HolderKey, holder_issuer
from openldn.trust.credentials.keeping import did_web, document
from openldn.trust.credentials.published import PublishedLists
from openldn.trust.credentials.submission import make_submission, read_submission
from openldn.trust.peers import load
from openldn.trust.people import keysets, statement
from openldn.trust.trail import Trail

_LIST = "https://hospital.example/statuslist/90000382/0"


def _jwt(at: Bench) -> Target:
    return Target(lambda c: jose.read(text_in(c), Trail()), (at.text.encode(), b"e30.e30."))


def _certificate(at: Bench) -> Target:
    return Target(party_of, (at.pair[0].public_bytes(Encoding.DER),))


def _other_name(at: Bench) -> Target:
    def read(content: bytes) -> object:
        with suppress(ValueError):
            return uzi_of(text_of(content))
        return None

    found = at.pair[0].extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return Target(read, tuple(n.value for n in found.value if isinstance(n, x509.OtherName)))


def _profile(at: Bench) -> Target:
    return Target(lambda c: load(c, "fuzz"), (b"{}", b'{"name": "fuzz", "alg_in": {}}'))


def _did(at: Bench) -> Target:
    texts = (holder_issuer(at.party.holder).did, opened(at.text)[1]["iss"], "did:web:a.nl%3A1:b")
    return Target(lambda c: parse_did(text_in(c)), tuple(t.encode() for t in texts))


def _chain(at: Bench) -> Target:
    """The header of a did:x509 credential: its chain, and what the DID says of it."""
    did = parse_did(opened(at.text)[1]["iss"])

    def read(content: bytes) -> object:
        trail = Trail()
        return pinned(did, read_chain(claims_in(content), trail), trail)

    return Target(read, (dump({"x5c": opened(at.text)[0]["x5c"]}),))


def _leaf(at: Bench) -> Target:
    """The inside of a leaf that its authority signed: who it names, and where it is looked up."""
    above = [at.uzi.issuing, at.uzi.root]

    def read(content: bytes) -> object:
        certificate = load_certificate(at.sealed(content))
        with suppress(LdnError):
            at.run(at.uzi.belief.believe([certificate, *above], Trail()))
        for kind in ("crl", "ocsp"):
            sources((certificate, at.uzi.issuing), kind, Freshness(), at.uzi.clock)
        with suppress(LdnError):
            read_chain({"x5c": [_base64(c) for c in (certificate, *above)]}, Trail())
        return party_of(certificate.public_bytes(Encoding.DER))

    return Target(read, (at.pair[0].tbs_certificate_bytes,))


def _base64(certificate: x509.Certificate) -> str:
    pem = certificate.public_bytes(Encoding.PEM).decode()
    return "".join(pem.splitlines()[1:-1])


def _presentation(at: Bench) -> Target:
    """As it comes in a form; a changed one gets no further than its signature."""
    return Target(lambda c: _verified(at, text_in(c)), (at.party.present().encode(),))


def _presented(at: Bench) -> Target:
    """The claims of a presentation, signed by its holder."""
    sign, seed = signing(at.party.present(), at.party.holder.key)
    return Target(lambda c: _verified(at, sign(c)), (seed,))


def _verified(at: Bench, text: str) -> object:
    expected = at.uzi.expected(required=frozenset({"jti", "nonce"}))
    return at.run(at.verifier.verify(text, definition(), expected, Trail()))


def _credential(at: Bench) -> Target:
    """The claims of a credential, signed by its certificate."""
    sign, seed = signing(at.text, at.signing.key)

    def read(content: bytes) -> object:
        return at.run(at.verifier.credentials.verify(sign(content), at.uzi.asked(), Trail()))

    return Target(read, (seed,))


def _status_list(at: Bench) -> Target:
    """The claims of a status list, signed by its issuer."""
    issuer = holder_issuer(at.party.holder)
    unstored: Any = None
    lists = PublishedLists(Ura("90000382"), issuer, "", unstored, at.uzi.clock)
    sign, seed = signing(lists._signed(_LIST, bytes(status.LEAST)), at.party.holder.key)
    did = parse_did(issuer.did)
    methods = at.run(resolver.Resolver(None).methods(did, {}, Trail()))
    reading = status._Reading(did, methods, at.uzi.trust, at.uzi.clock)

    def read(content: bytes) -> object:
        return status._one_of(reading, _LIST)(sign(content).encode(), None)

    return Target(read, (seed,))


def _status_entry(at: Bench) -> Target:
    """The credentialStatus of a credential."""
    entry = {"type": "StatusList2021Entry", "statusListIndex": "7", "statusListCredential": _LIST}
    return Target(lambda c: status._entry(claims_in(c), Trail()), (dump(entry),))


def _did_document(at: Bench) -> Target:
    """The document of a did:web."""
    did = did_web("https://hospital.example", Ura("90000382"))
    seed = document([HolderKey(did.text, "0", at.party.holder.key)])
    return Target(lambda c: resolver._reading(did.text)(c, None), (dump(seed),))


def _key_set(at: Bench) -> Target:
    """The published keys of who signs about people, and of a broker."""
    keys = [jose.public_jwk(jose.key_of(KEYS[n])) | {"kid": n, "use": "sig"} for n in KEYS]
    return Target(keysets.read, (dump({"keys": keys}),))


def _definition(at: Bench) -> Target:
    seeds = tuple(dump(p.organization.raw) for p in list(shipped_policies().values())[:2])
    return Target(lambda c: load_definition(parse(c)), seeds)


def _submission(at: Bench) -> Target:
    wanted = definition()
    seed = make_submission(wanted, {wanted.descriptors[0].id: 0}, "1")
    return Target(lambda c: read_submission(text_in(c), wanted, 1, Trail()), (dump(seed),))


def _dezi_statement(at: Bench) -> Target:
    """The claims of a statement, signed by its register; and the statement itself."""
    sign, seed = signing(at.people.statement(), jose.key_of(KEYS[at.people.published[0]]))

    def read(content: bytes) -> object:
        text = sign(content) if content[:1] == b"{" else text_in(content)
        return at.run(statement.verify(text, at.people.expected(), Trail()))

    return Target(read, (seed, at.people.statement().encode()))


def _dezi_credential(at: Bench) -> Target:
    """A credential around a statement that was believed already."""

    async def believed(text: str, organization: Ura, trail: Trail) -> object:
        return text

    def read(content: bytes) -> object:
        asked = at.uzi.asked(now=at.people.now)
        return at.run(dezi.verify(claims_in(content), asked_of, asked, believed, Trail()))

    said, asked_of = at.people.claims(), Ura("90000382")
    employee = {
        place.partition(".")[2]: said[claim]
        for place, claim in dezi.EQUAL
        if place.startswith("employee.")
    }
    ends = [datetime.fromtimestamp(said[n], UTC).isoformat() for n in ("nbf", "exp")]
    vc = {
        "@context": [VC2],
        "type": ["VerifiableCredential", dezi.TYPE],
        "issuer": said["iss"],
        "validFrom": ends[0],
        "validUntil": ends[1],
        "credentialSubject": {
            "id": at.party.holder.did,
            "identifier": said["abonnee_nummer"],
            "name": said["abonnee_naam"],
            "employee": employee,
        },
        "proof": {"type": "DeziIDJWT07", "jwt": at.people.statement()},
    }
    return Target(read, (dump(vc),))


CREDENTIALS: dict[str, Callable[[Bench], Target]] = {
    "jwt": _jwt,
    "certificate": _certificate,
    "leaf": _leaf,
    "other-name": _other_name,
    "chain": _chain,
    "profile": _profile,
    "did": _did,
    "presentation": _presentation,
    "presented": _presented,
    "credential": _credential,
    "status-list": _status_list,
    "status-entry": _status_entry,
    "did-document": _did_document,
    "key-set": _key_set,
    "definition": _definition,
    "submission": _submission,
    "dezi-statement": _dezi_statement,
    "dezi-credential": _dezi_credential,
}
