"""Reading subject tokens: each dialect is verified by its own part into a `Proof`."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from openldn.base.errors import LdnError
from openldn.trust import jose
from openldn.trust.broker.model import Arrived
from openldn.trust.broker.saml import registered
from openldn.trust.certificates import party_of
from openldn.trust.credentials.model import Definition, Expected, Presentations
from openldn.trust.evidence import Proof
from openldn.trust.peers import Profile
from openldn.trust.saml.organizations import Organization
from openldn.trust.saml.read import SamlExpected, read
from openldn.trust.saml.variants import variant
from openldn.trust.tokens import assertions
from openldn.trust.tokens.desk import Desk
from openldn.trust.tokens.ports import Believes, Ports, Registered
from openldn.trust.tokens.presented import proof_of as proof_of_shown
from openldn.trust.tokens.readers import proof_of as proof_of_words
from openldn.trust.trail import Rule, Trail

CHAIN = Rule("broker.chain", "RFC 5280 §6.1", "one to five certificates in base64, leaf first")
SHOWN = Rule("broker.shown", "RFC 8705 §2.1", "it is the certificate of this connection")
NAMED = Rule("broker.named", "CIBG PvE UZI-register", "the certificate names a care provider")
BASE64 = Rule("broker.base64", "RFC 8693 §3", "the assertion comes in base64url or base64")

_CERTIFICATES = 5
Pinned = Callable[[], Awaitable[Mapping[str, tuple[x509.Certificate, ...]]]]


@dataclass(frozen=True)
class CertificateReader:
    """B2: the chain of the TLS client certificate, leaf first, base64 with spaces between."""

    belief: Believes
    profile: Profile

    async def read(self, token: str, arrived: Arrived, trail: Trail) -> Proof:
        """The organization that the certificate of this connection names."""
        chain = _chain(token, trail)
        trail.require(_der(chain[0]) == arrived.certificate, SHOWN)
        evidence = await self.belief.believe(chain, trail, self.profile.revocation)
        try:
            party = party_of(arrived.certificate)
        except LdnError as error:
            raise trail_failed(trail, NAMED) from error
        trail.note(NAMED)
        return Proof(
            dialect="certificate",
            subject=party.ura.value,
            organization=party.ura,
            issued=arrived.now,
            expires=evidence.expires,
            evidence=(evidence,),
            organization_name=party.name,
            system=party.uzi,
            purpose="TREAT",
        )


@dataclass(frozen=True)
class SamlReader:
    """B7: an assertion by a pinned certificate, addressed to the broker."""

    audience: str  # the broker as issuers of assertions name it
    profile: Profile
    pinned: Pinned
    organization: Organization
    variant: str = "zorgplatform-token"
    keys: tuple[rsa.RSAPrivateKey, ...] = ()

    async def read(self, token: str, arrived: Arrived, trail: Trail) -> Proof:
        """Who the assertion is about."""
        try:
            xml = base64.b64decode(token.translate(_URL_SAFE) + "=" * (-len(token) % 4), None, True)
        except (binascii.Error, ValueError) as error:
            raise trail_failed(trail, BASE64) from error
        expected = SamlExpected(
            audience=self.audience,
            now=arrived.now,
            profile=self.profile,
            variant=variant(self.variant),
            pinned=await self.pinned(),
            organization=self.organization,
            keys=self.keys,
            client=arrived.certificate,
        )
        found = read(xml, expected, trail)
        return replace(found, person=registered(found.person))


@dataclass(frozen=True)
class AssertionReader:
    """B8: the word of an organization about itself, signed with its own certificate (Twiin)."""

    believes: Believes
    profile: Profile
    registered: Registered | None = None

    async def read(self, token: str, arrived: Arrived, trail: Trail) -> Proof:
        """Who the assertion is about."""
        jws = jose.read(token, trail)
        expected = assertions.Expected(
            arrived.audiences, arrived.now, self.profile, self.believes, self.registered
        )
        word = await assertions.verified(jws, expected, trail, client=False)
        desk = _desk(arrived, self.profile, self.believes)
        proof = proof_of_words(word, word, desk, trail)
        used = (f"{word.issuer}|{jws.claim('jti')}",)
        # its few minutes are to be shown in; what it proves lasts as long as the certificate
        return replace(proof, dialect="twiin", used=used)


@dataclass(frozen=True)
class PresentationReader:
    """B5, B6: a presentation of the organization, addressed to the broker (Nuts)."""

    presentations: Callable[[], Presentations]  # with whom we believe at this moment
    definition: Definition  # what an organization shows to the broker
    believes: Believes
    profile: Profile

    async def read(self, token: str, arrived: Arrived, trail: Trail) -> Proof:
        """Who the presentation is about."""
        expected = Expected(arrived.audiences, arrived.now, self.profile)
        shown = await self.presentations().verify(token, self.definition, expected, trail)
        proof = proof_of_shown(shown, _desk(arrived, self.profile, self.believes), trail)
        used = tuple(f"{shown.holder}|{v}" for v in {shown.nonce, shown.jti} if v)
        # its few seconds are to be shown in; what it proves lasts as long as the credentials
        return replace(proof, dialect="vp", used=used)


def _desk(arrived: Arrived, profile: Profile, believes: Believes) -> Desk:
    """The request as the readers of the authorization server look at it."""
    [issuer] = [a for a in arrived.audiences if not a.endswith("/token")]
    return Desk(
        form={},
        tokens={},
        certificate=arrived.certificate,
        scopes=frozenset(),
        issuer=issuer,
        public=frozenset(),
        now=arrived.now,
        profile=profile,
        believes=believes,
        ports=Ports(),
    )


_URL_SAFE = str.maketrans("-_", "+/")


def trail_failed(trail: Trail, rule: Rule) -> LdnError:
    """The refusal of a check that failed elsewhere, noted."""
    try:
        trail.require(False, rule)
    except LdnError as error:
        return error
    raise AssertionError("a failed check refuses")


def _chain(token: str, trail: Trail) -> tuple[x509.Certificate, ...]:
    parts = token.split()
    trail.require(1 <= len(parts) <= _CERTIFICATES, CHAIN)
    try:
        ders = [base64.b64decode(part, validate=True) for part in parts]
        found = tuple(x509.load_der_x509_certificate(der) for der in ders)
    except (ValueError, x509.InvalidVersion) as error:
        raise trail_failed(trail, CHAIN) from error
    trail.note(CHAIN)
    return found


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
