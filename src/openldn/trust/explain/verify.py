"""The real verifiers, run for an explanation: each check, those that failed, those not reached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.trust import jose
from openldn.trust.broker.readers import trail_failed
from openldn.trust.broker.saml import BROKERED, brokered
from openldn.trust.brokered import CREDENTIAL
from openldn.trust.certificates import belief as belief_module
from openldn.trust.certificates import chain, party_of
from openldn.trust.certificates.belief import NONE, REVOKED, Belief
from openldn.trust.credentials import credential, did, did_x509, presentation
from openldn.trust.credentials.credential import Asked, Credentials, Trust
from openldn.trust.credentials.keeping import did_web
from openldn.trust.credentials.model import Definition, Descriptor, Expected, Field
from openldn.trust.credentials.presentation import Verifier
from openldn.trust.credentials.resolver import Resolver
from openldn.trust.credentials.status import StatusLists
from openldn.trust.documents import Terms
from openldn.trust.evidence import Evidence, Kind
from openldn.trust.explain.collecting import Collected, collect
from openldn.trust.explain.detect import Found, Sort
from openldn.trust.explain.model import NOT_REACHED, Sources
from openldn.trust.jose import encoded, key_of_jwk
from openldn.trust.saml import claims as saml_claims
from openldn.trust.saml import confirmation, signature, xml
from openldn.trust.saml import read as saml_read
from openldn.trust.saml.names import SAML
from openldn.trust.saml.organizations import organizations
from openldn.trust.saml.read import SamlExpected
from openldn.trust.saml.variants import Variant, variant
from openldn.trust.tokens import assertions
from openldn.trust.tokens.ports import Peer
from openldn.trust.trail import Check, Rule, Trail

PARTY = Rule("certificate.party", "CIBG PvE UZI-register", "it names a care provider")
OPAQUE = Rule("opaque.network", "RFC 7662 §2", "a server of the network knows this token")

# What most things of a sort are judged by, unless another profile is chosen.
PROFILES: Mapping[Sort, str] = {
    Sort.JWT: "twiin",
    Sort.CREDENTIAL: "ig-2026",
    Sort.PRESENTATION: "ig-2026",
    Sort.CERTIFICATE: "twiin",
    Sort.SAML: "zorgplatform",
    Sort.OPAQUE: "twiin",
}
# What a verifier of each sort may check: those it did not come to are told as well.
RULES: Mapping[Sort, tuple[ModuleType, ...]] = {
    Sort.JWT: (jose, assertions, chain, belief_module),
    Sort.CREDENTIAL: (jose, credential, did, did_x509),
    Sort.PRESENTATION: (jose, presentation, credential),
    Sort.CERTIFICATE: (chain, belief_module),
    Sort.SAML: (xml, saml_read, signature, confirmation, saml_claims),
    Sort.OPAQUE: (),
}


@dataclass(frozen=True)
class Offline:
    """Belief that does not ask whether something was revoked when nothing may be fetched."""

    belief: Belief

    async def believe(
        self, chain: Sequence[x509.Certificate], trail: Trail, revocation: str = "crl-hard"
    ) -> Evidence:
        """The evidence of a chain; raises LdnError(the trail's issue)."""
        if self.belief.documents is not None:
            return await self.belief.believe(chain, trail, revocation)
        found = await self.belief.believe(chain, trail, NONE)
        trail.skip(REVOKED, "not looked up: nothing is fetched without --network")
        return found

    async def still(self, evidence: Evidence) -> bool:
        """Whether it still counts."""
        return await self.belief.still(evidence)


async def verified(found: Found, sources: Sources) -> Collected:
    """All checks of the real verifier, those not reached at the end."""
    runs = {
        Sort.JWT: _jwt,
        Sort.CREDENTIAL: _credential,
        Sort.PRESENTATION: _presentation,
        Sort.CERTIFICATE: _certificate,
        Sort.SAML: _saml,
        Sort.OPAQUE: _opaque,
    }

    async def run(trail: Trail) -> object:
        return await runs[found.sort](found, sources, trail)

    collected = await collect(run)
    if collected.finished:
        return collected
    reached = {c.rule.code for c in collected.checks}
    missed = [r for m in RULES[found.sort] for r in vars(m).values() if isinstance(r, Rule)]
    rest = {r.code: Check(r, NOT_REACHED) for r in missed if r.code not in reached}
    return replace(collected, checks=(*collected.checks, *rest.values()))


def _belief(sources: Sources) -> Offline:
    return Offline(Belief(sources.anchors, sources.documents, sources.clock))


async def _jwt(found: Found, sources: Sources, trail: Trail) -> object:
    jws = jose.read(found.text, trail)
    expected = assertions.Expected(
        audiences=_audiences(jws),
        now=sources.clock(),
        profile=sources.profile,
        believes=_belief(sources),
        registered=_registered(sources, jws),
    )
    client = jws.claim("iss") == jws.claim("sub") and "purpose" not in jws.claims
    return await assertions.verified(jws, expected, trail, client=client)


def _registered(sources: Sources, jws: jose.Jws) -> Any:
    """Keys that the issuer publishes itself, when something may be fetched."""

    async def ask(issuer: str, kid: str) -> Peer | None:
        if sources.documents is None:
            return None
        terms: Terms[dict[str, Any]] = Terms(_read_jwks, fresh=60, stale=600)
        found = await sources.documents.get(f"{issuer}/jwks", terms)
        if kid not in found:
            return None
        ends = sources.clock().replace(year=sources.clock().year + 1)
        evidence = Evidence(Kind.ASSERTION, kid, issuer, ends)
        subject = frozenset({Ura.parse(jws.claim("sub"))} if jws.claim("sub").isdigit() else ())
        return Peer(issuer, key_of_jwk(found[kid]), subject, sources.profile, evidence)

    return ask


def _read_jwks(body: bytes, before: dict[str, Any] | None) -> dict[str, Any]:
    try:
        keys = msgspec.json.decode(body, type=dict[str, list[dict[str, Any]]])["keys"]
        return {str(k.pop("kid")): k for k in keys}
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError) as error:
        raise LdnError(Issue.INCOMPLETE, "the keys of the issuer cannot be read") from error


async def _credential(found: Found, sources: Sources, trail: Trail) -> object:
    return await _credentials(found, sources).verify(found.text, _asked(found, sources), trail)


async def _presentation(found: Found, sources: Sources, trail: Trail) -> object:
    jws = jose.read(found.text, trail)
    expected = Expected(_audiences(jws), sources.clock(), sources.profile, required=frozenset())
    verifier = Verifier(_credentials(found, sources))
    return await verifier.verify(found.text, _anything(found), expected, trail)


def _credentials(found: Found, sources: Sources) -> Credentials:
    """A verifier that believes the authorities given, and what issuers say of themselves."""
    issuing = frozenset(encoded(c.fingerprint(SHA256())) for c in sources.anchors.certificates)
    between = frozenset(
        encoded(c.fingerprint(SHA256())) for jws in held(found) for c in _below(jws, sources)
    )
    brokers = {CREDENTIAL: frozenset({_did(sources.broker)})} if sources.broker else {}
    trust, belief = Trust(issuing | between, brokers), _belief(sources)
    resolver = Resolver(sources.documents)
    if sources.documents is None:
        return Credentials(resolver, belief, trust)
    lists = StatusLists(sources.documents, resolver, belief, trust, sources.clock)
    return Credentials(resolver, belief, trust, lists)


def _did(broker: str) -> str:
    return did_web(broker.removesuffix("/oauth2/broker")).text


def _below(jws: jose.Jws, sources: Sources) -> tuple[x509.Certificate, ...]:
    """The authorities in a chain that leads to an anchor: what a did:x509 may name."""
    try:
        found = assertions.chain_of(jws, Trail())
        sources.anchors.check(found, sources.clock())
    except LdnError:
        return ()
    return found[1:]


def held(found: Found) -> list[jose.Jws]:
    """The credentials as they came, unverified."""
    if found.jws is None:
        return []
    vp = found.jws.claims.get("vp")
    inner = vp.get("verifiableCredential", []) if isinstance(vp, dict) else []
    texts = [t for t in (inner if isinstance(inner, list) else [inner]) if isinstance(t, str)]
    read = [found.jws] if found.sort is Sort.CREDENTIAL else []
    for text in texts[:10]:
        try:
            read.append(jose.read(text, Trail()))
        except LdnError:
            continue
    return read


def _types(found: Found) -> tuple[str, ...]:
    kinds: list[str] = []
    for jws in held(found):
        vc = jws.claims.get("vc")
        named = vc.get("type", []) if isinstance(vc, dict) else []
        kinds += [t for t in (named if isinstance(named, list) else [named]) if isinstance(t, str)]
    return tuple(dict.fromkeys(k for k in kinds if k != "VerifiableCredential"))


def _asked(found: Found, sources: Sources) -> Asked:
    return Asked(sources.clock(), sources.profile, frozenset(_types(found)))


def _anything(found: Found) -> Definition:
    """A definition that asks for just what is there."""
    fields = [Field("", ("$.type", "$.type[*]"), const=t) for t in _types(found)]
    descriptors = tuple(Descriptor(f.const or "", (f,)) for f in fields)
    return Definition("explain", descriptors, {})


async def _certificate(found: Found, sources: Sources, trail: Trail) -> object:
    evidence = await _belief(sources).believe(found.chain, trail, sources.profile.revocation)
    try:
        party_of(found.chain[0].public_bytes(Encoding.DER))
    except LdnError as error:
        raise trail_failed(trail, PARTY) from error
    trail.note(PARTY)
    return evidence


async def _saml(found: Found, sources: Sources, trail: Trail) -> object:
    root = xml.parse(found.xml, trail)
    issuer = root.findtext(f".//{{{SAML}}}Issuer", "").strip()
    audience = root.findtext(f".//{{{SAML}}}Audience", "")
    kind = _variant(found.xml)
    expected = SamlExpected(
        audience=audience.strip(),
        now=sources.clock(),
        profile=sources.profile,
        variant=kind,
        pinned={issuer: sources.pinned.get(issuer, sources.anchors.certificates)},
        organization=organizations({}),
    )
    return (
        brokered(found.xml, expected, trail)
        if kind is BROKERED
        else saml_read.read(found.xml, expected, trail)
    )


def _variant(content: bytes) -> Variant:
    """The kind of assertion it looks like; encrypted ones come from the sign-in."""
    if b"EncryptedAssertion" in content or b"EncryptedData" in content:
        return variant("zorgplatform-sso")
    if b"https://openldn.nl/claims/act" in content:
        return BROKERED
    if b"cm:holder-of-key" in content:
        return variant("aorta-transactietoken")
    if b"cm:sender-vouches" in content:
        return variant("aorta-mandaattoken")
    return variant("zorgplatform-token")


async def _opaque(found: Found, sources: Sources, trail: Trail) -> object:
    told = await sources.introspect(found.text) if sources.introspect else None
    trail.require(bool(told and told.get("active")), OPAQUE)
    return told


def _audiences(jws: jose.Jws) -> frozenset[str]:
    """Its own audience: for whom it is, is told as a fact and not judged."""
    named = jws.claims.get("aud")
    listed = named if isinstance(named, list) else [named]
    return frozenset(a for a in listed if isinstance(a, str))
