"""Signatures under one resource: a detached JWS over its canonical form, carried by a Provenance.

Source: specification of signing (§9) after RFC 7515, RFC 8785 and hl7.org/fhir/R4/signatures.html.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import Resource
from openldn.trust import jose
from openldn.trust.canonical import canonical_json
from openldn.trust.certificates.chain import decoded
from openldn.trust.certificates.party import holder_of
from openldn.trust.trail import Rule, Trail

STATIC = "http://hl7.org/fhir/canonicalization/json#static"
FORMAT = f"application/fhir+json;canonicalization={STATIC}"
URA_OID = "urn:oid:2.16.528.1.1007.3.3"
AUTHOR = "1.2.840.10065.1.12.1.1"  # the author's signature
PURPOSES = "urn:iso-astm:E1762-95:2013"
AGENTS = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
ALGORITHMS = ("ES256", "PS256", "RS256")
SKEW = timedelta(seconds=60)
LARGEST = 96 * 1024  # characters of Signature.data

FORM = Rule("signature.form", "FHIR signatures, JWS", "data is base64 of a detached compact JWS")
CANON = Rule("signature.canon", "signing §9", "it is made over the static canonical JSON form")
PURPOSE = Rule("signature.purpose", "signing §9", "srCms says the purpose that Signature.type says")
MOMENT = Rule("signature.moment", "signing §9", "sigT, Signature.when and recorded are one moment")
FUTURE = Rule("signature.future", "signing §9", "it was not made in the future")
CERTIFIED = Rule("signature.certificate", "signing §9", "x5c or kid says whose key this is")
WHO = Rule("signature.who", "signing §9", "agent, signer and certificate are one organization")

Chain = Sequence[x509.Certificate]
Believe = Callable[[Chain, Trail], Awaitable[object]]  # raises LdnError for who is not believed
Known = Callable[[str], Chain | None]  # the certificates of a kid


@dataclass(frozen=True)
class Signer:
    """Who signs: the organization, its key, and its certificate with those above it."""

    ura: Ura
    key: jose.Key = field(repr=False)
    chain: Chain = field(repr=False)
    algorithm: str = "ES256"
    kid: str = ""  # stands in the header instead of the chain, for who has the certificate


@dataclass(frozen=True)
class Signed:
    """What a signature proved: who put it, and when."""

    ura: Ura
    when: datetime


def canonical(resource: Resource) -> bytes:
    """The bytes that are signed: without any `meta` of a resource and any narrative, as JCS.

    Source: signing §9; care-services says "element order", signing.md sorts: we sort.
    """
    return canonical_json(_static(resource))


def _static(value: Any) -> Any:
    if isinstance(value, list):
        return [_static(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: _static(v) for name, v in value.items() if not _left_out(value, name)}


def _left_out(holder: Mapping[str, Any], name: str) -> bool:
    """Of all elements named text only a narrative is an object."""
    narrative = name == "text" and isinstance(holder[name], dict)
    return narrative or (name == "meta" and "resourceType" in holder)


def detached(payload: bytes, signer: Signer, header: Mapping[str, Any]) -> str:
    """A compact JWS over these bytes without the bytes: `header..signature`."""
    der = [c.public_bytes(Encoding.DER) for c in signer.chain]
    shown = {"kid": signer.kid} if signer.kid else {"x5c": [*map(_base64, der)]}
    whole = {"typ": "JOSE", **header, **shown}
    head, _, signature = jose.sign_bytes(payload, signer.key, signer.algorithm, whole).split(".")
    return f"{head}..{signature}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def sign(resource: Resource, target: str, signer: Signer, now: datetime) -> Resource:
    """The Provenance by which `signer` answers for this resource, which stands at `target`."""
    moment = instant(now)
    header = {
        "canon": STATIC,
        "sigT": moment,
        "srCms": [{"commId": {"id": f"urn:oid:{AUTHOR}", "desc": "Author's Signature"}}],
    }
    text = detached(canonical(resource), signer, header)
    who = {"identifier": {"system": URA_OID, "value": str(signer.ura)}}
    signature = {
        "type": [{"system": PURPOSES, "code": AUTHOR}],
        "when": moment,
        "who": who,
        "targetFormat": FORMAT,
        "sigFormat": "application/jose",
        "data": _base64(text.encode()),
    }
    return {
        "resourceType": "Provenance",
        "target": [{"reference": target}],
        "recorded": moment,
        "agent": [{"type": {"coding": [{"system": AGENTS, "code": "author"}]}, "who": who}],
        "signature": [signature],
    }


def unknown(kid: str) -> Chain | None:
    """No certificate: we know of no key ids."""
    return None


@dataclass(frozen=True)
class Verifier:
    """Checks signatures; who is believed, and what time it is, others say."""

    believe: Believe
    known: Known = unknown

    async def verify(
        self, resource: Resource, provenance: Resource, now: datetime, trail: Trail | None = None
    ) -> Signed:
        """Who signed this resource, and when, by the one signature of the Provenance.

        Raises LdnError(business-rule, or the issue of `trail`) when anything does not hold: the
        detail is the code of the rule. Source: signing §9, rules S01 to S04.
        """
        trail = trail or Trail(issue=Issue.BUSINESS_RULE)
        signature = _only(provenance.get("signature"), trail)
        token = _token(signature, canonical(resource), trail)
        _agreed(token, signature, trail)
        when = _moment(token, signature, provenance, now, trail)
        chain = self._chain(token, trail)
        ura = _organization(chain[0], signature, provenance, trail)
        jose.verify(token, jose.key_of_certificate(chain[0]), ALGORITHMS, trail)
        await self.believe(chain, trail)
        return Signed(ura, when)

    def _chain(self, token: jose.Jws, trail: Trail) -> Chain:
        if "x5c" in token.header:
            return decoded(token.header["x5c"], trail, least=1)
        found = self.known(token.header_text("kid")) if token.header_text("kid") else ()
        trail.require(bool(found), CERTIFIED)
        return found or ()


def _only(signatures: object, trail: Trail) -> Mapping[str, Any]:
    one = isinstance(signatures, list) and len(signatures) == 1 and isinstance(signatures[0], dict)
    trail.require(one, FORM, "one signature")
    assert isinstance(signatures, list)  # noqa: S101  (required above)
    found: Mapping[str, Any] = signatures[0]
    return found


def _token(signature: Mapping[str, Any], payload: bytes, trail: Trail) -> jose.Jws:
    """The JWS with the bytes it is detached from put back."""
    data = str(signature.get("data", ""))
    try:
        fits = len(data) <= LARGEST
        text = base64.b64decode(data, validate=True).decode("ascii") if fits else ""
    except (binascii.Error, ValueError):
        text = ""
    parts = text.split(".")
    trail.require(len(parts) == 3 and not parts[1], FORM)
    return jose.read(f"{parts[0]}.{jose.encoded(payload)}.{parts[2]}", trail)


def _agreed(token: jose.Jws, signature: Mapping[str, Any], trail: Trail) -> None:
    formed = str(signature.get("targetFormat", FORMAT)).replace(" ", "")
    trail.require(token.header_text("canon") == STATIC and formed == FORMAT, CANON)
    said = _purposes(token.header.get("srCms"))
    types = {f"urn:oid:{c.get('code')}" for c in _codings(signature, PURPOSES)}
    trail.require(bool(said) and said == types, PURPOSE)


def _codings(signature: Mapping[str, Any], system: str) -> list[Mapping[str, Any]]:
    given = signature.get("type")
    found = [c for c in given if isinstance(c, dict)] if isinstance(given, list) else []
    return [c for c in found if c.get("system") == system]


def _purposes(commitments: object) -> set[str]:
    listed = commitments if isinstance(commitments, list) else []
    ids = [c.get("commId") for c in listed if isinstance(c, dict)]
    return {str(i.get("id")) for i in ids if isinstance(i, dict)}


def _moment(
    token: jose.Jws,
    signature: Mapping[str, Any],
    provenance: Resource,
    now: datetime,
    trail: Trail,
) -> datetime:
    texts = (token.header_text("sigT"), signature.get("when"), provenance.get("recorded"))
    moments = {_instant(str(text)) for text in texts}
    trail.require(len(moments) == 1 and None not in moments, MOMENT)
    when = moments.pop()
    assert when is not None  # noqa: S101  (required above)
    trail.require(when <= now + SKEW, FUTURE)
    return when


def _instant(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _organization(
    leaf: x509.Certificate,
    signature: Mapping[str, Any],
    provenance: Resource,
    trail: Trail,
) -> Ura:
    """The one organization that certificate, signer and author name."""
    certified = uras_of(leaf)
    authors = [a for a in provenance.get("agent", []) if isinstance(a, dict) and _author(a)]
    named = {_named(signature.get("who")), *(_named(a.get("who")) for a in authors)}
    trail.require(bool(authors) and len(certified) == 1 and named == certified, WHO)
    return Ura(certified.pop())


def _author(agent: Mapping[str, Any]) -> bool:
    kind = agent.get("type")
    codings = kind.get("coding", []) if isinstance(kind, dict) else []
    return any(c.get("system") == AGENTS and c.get("code") == "author" for c in codings)


def _named(who: object) -> str:
    identifier = who.get("identifier") if isinstance(who, dict) else None
    if not isinstance(identifier, dict) or identifier.get("system") != URA_OID:
        return ""
    return str(identifier.get("value", ""))


def uras_of(certificate: x509.Certificate) -> set[str]:
    """The care providers a certificate names: by URI (signing §9), or as a UZI certificate does."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return set()
    found = {u.removeprefix(f"{URA_OID}.") for u in uris if u.startswith(f"{URA_OID}.")}
    if found:
        return found
    try:
        return {str(holder_of(certificate.public_bytes(Encoding.DER)).ura)}
    except LdnError:
        return set()
