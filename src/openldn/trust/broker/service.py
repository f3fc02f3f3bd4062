"""The broker: verifies a proof, narrows it, keeps the trail, and only then mints.

Source: RFC 8693 §2; trust and broker §9.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.fhir.identifiers import Ura
from openldn.trust.broker.convert import narrow
from openldn.trust.broker.model import Arrived, Asked, Audience, Draft, Made, Mint, Reader, Terms
from openldn.trust.broker.rate import Rate
from openldn.trust.broker.store import ConversionStore, Record, record_of
from openldn.trust.certificates import require_party, thumbprint
from openldn.trust.evidence import Evidence, Proof, Status
from openldn.trust.jose import encoded
from openldn.trust.trail import Rule, Trail

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"
SAML = "urn:ietf:params:oauth:token-type:saml2"
# No registry knows a token type for these two (IANA OAuth URI, 2026): names of our own.
VP = "urn:openldn:token-type:vp"
CERTIFICATE = "urn:openldn:token-type:x509"
GIVES = {JWT: "jwt", VP: "vp", SAML: "saml"}  # requested_token_type -> what is minted

PARTICIPANT = Rule("broker.participant", "RFC 8693 §2.2.2", "the audience takes part here")
ONCE = Rule("broker.once", "RFC 7519 §4.1.7", "this proof was not exchanged before")
TYPE = Rule("broker.type", "RFC 8693 §2.1", "the subject token is of a type that we read")
FORM = Rule("broker.form", "RFC 8693 §2.1", "the request has what an exchange needs")
GRANTED = Rule("broker.grant", "RFC 6749 §5.2", "the grant type is token exchange")

_NEEDED = ("subject_token", "subject_token_type", "audience", "scope", "requested_token_type")
_KEPT = timedelta(minutes=10)  # beyond the end of a proof its use is remembered
_LONGEST_SHOWN = timedelta(hours=1, minutes=2)  # of any profile, with what clocks may differ
_SWEEP = timedelta(minutes=1)

Directory = Callable[[str], Awaitable[Audience | None]]  # issuer URL -> who takes part there
Connected = Callable[[bytes, Trail], Awaitable[Evidence]]  # certificate (DER); raises LdnError
Entry = Callable[[Draft], Awaitable[Status]]  # a fresh place in the broker's status list


@dataclass
class Broker:
    """One broker: what it reads, what it mints, and where it keeps what it did."""

    url: str  # its issuer, as others know it
    readers: Mapping[str, Reader]  # subject_token_type -> who verifies it
    mints: Mapping[str, Mint]  # jwt, vp, saml -> who makes it
    directory: Directory
    entry: Entry
    store: ConversionStore
    clock: Clock
    new_id: NewId
    connected: Connected | None = None  # None: whoever TLS lets in is believed
    rate: Rate = field(default_factory=Rate)
    longest: timedelta = timedelta(minutes=15)
    kept: timedelta = timedelta(days=365 * 5)  # how long a trail can be read
    _swept: datetime | None = field(default=None, repr=False)

    @property
    def audiences(self) -> frozenset[str]:
        """What a subject token must be addressed to."""
        return frozenset({self.url, f"{self.url}/token"})

    def metadata(self) -> dict[str, Any]:
        """What this broker tells about itself. Source: RFC 8414 §2; RFC 8705 §2.1."""
        return {
            "issuer": self.url,
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": [],
            "grant_types_supported": [GRANT],
            "token_endpoint_auth_methods_supported": ["tls_client_auth"],
            "subject_token_types_supported": sorted(self.readers),
            "requested_token_types_supported": sorted(
                kind for kind, gives in GIVES.items() if gives in self.mints
            ),
            "tls_client_certificate_bound_access_tokens": True,
        }

    async def exchange(
        self, form: Mapping[str, str], certificate: bytes, trail: Trail
    ) -> dict[str, Any]:
        """The response (RFC 8693 §2.2.1) to a request on a connection with this certificate.

        The trail tells what was checked, also when the request is refused. Raises LdnError:
        login (who asks, or the proof), not-found (audience), business-rule (scope),
        not-supported (grant type, conversion), throttled, invalid.
        """
        now = self.clock()
        party = require_party(certificate, now).ura
        self.rate.take(party.value, now)
        _check_form(form, trail)
        audience = await self._audience(form["audience"], trail)
        arrived = Arrived(self.audiences, certificate, now)
        proof = await self._read(form["subject_token_type"], form["subject_token"], arrived, trail)
        proof = await self._connected(proof, certificate, trail)
        actor = await self._actor(form, arrived, trail)
        await self._use(party, (proof, actor), trail)
        asked = Asked(
            audience=audience,
            gives=GIVES.get(form["requested_token_type"], ""),
            scopes=frozenset(form["scope"].split()),
            party=party,
            thumbprint=thumbprint(certificate),
            certificate=certificate,
            actor=actor.organization.value if actor else "",
        )
        draft = narrow(proof, asked, Terms(self.url, now, self.new_id(), self.longest), trail)
        made = await self._minted(draft, form["subject_token"], trail)
        await self._sweep(now)
        return _response(draft, made)

    async def trail(self, jti: str, certificate: bytes) -> Record:
        """The record of a conversion, for the two parties it is between and nobody else.

        Raises LdnError(not-found), the same for what is absent and what is another's.
        """
        party = require_party(certificate, self.clock()).ura
        found = await self.store.find(jti)
        if found is None or party not in (found.organization, found.holder):
            raise LdnError(Issue.NOT_FOUND, "no conversion of yours has this id")
        return found

    async def _audience(self, issuer: str, trail: Trail) -> Audience:
        found = await self.directory(issuer)
        trail.issue = Issue.NOT_FOUND
        trail.require(found is not None, PARTICIPANT)
        assert found is not None  # noqa: S101  (required above)
        return found

    async def _read(self, kind: str, token: str, arrived: Arrived, trail: Trail) -> Proof:
        trail.issue = Issue.LOGIN
        reader = self.readers.get(kind)
        trail.require(reader is not None, TYPE)
        assert reader is not None  # noqa: S101  (required above)
        return await reader.read(token, arrived, trail)

    async def _connected(self, proof: Proof, certificate: bytes, trail: Trail) -> Proof:
        """The proof, resting on the certificate of the connection too: it binds what is minted."""
        if self.connected is None:
            return proof
        shown = await self.connected(certificate, trail)
        evidence = tuple(dict.fromkeys((*proof.evidence, shown)))
        return replace(proof, evidence=evidence)

    async def _actor(self, form: Mapping[str, str], arrived: Arrived, trail: Trail) -> Proof | None:
        if "actor_token" not in form:
            return None
        kind = form.get("actor_token_type", "")
        return await self._read(kind, form["actor_token"], arrived, trail)

    async def _use(self, party: Ura, proofs: tuple[Proof | None, ...], trail: Trail) -> None:
        """Mark what can be used once; also what is refused hereafter cannot be tried again."""
        shown = [p for p in proofs if p is not None]
        values = [value for p in shown for value in p.used]
        # an assertion proves until its certificate ends, but can be shown for an hour at most
        now = self.clock()
        until = min(max(p.expires for p in shown), now + _LONGEST_SHOWN) + _KEPT
        fresh = len(set(values)) == len(values)
        trail.require(await self.store.use(party, values, until) and fresh, ONCE)

    async def _minted(self, draft: Draft, subject_token: str, trail: Trail) -> Made:
        status = await self.entry(draft)
        digest = encoded(hashlib.sha256(subject_token.encode()).digest())
        await self.store.add(record_of(draft, digest, status, trail))
        return await self.mints[draft.gives].make(draft, status)

    async def _sweep(self, now: datetime) -> None:
        if self._swept is None or now - self._swept >= _SWEEP:
            self._swept = now
            await self.store.sweep(now, now - self.kept)


def _check_form(form: Mapping[str, str], trail: Trail) -> None:
    trail.issue = Issue.INVALID
    trail.require("grant_type" in form, FORM, "grant_type")
    trail.issue = Issue.NOT_SUPPORTED
    trail.require(form["grant_type"] == GRANT, GRANTED)
    trail.issue = Issue.INVALID
    missing = [name for name in _NEEDED if not form.get(name)]
    trail.require(not missing, FORM, " ".join(missing))
    paired = ("actor_token" in form) == ("actor_token_type" in form)
    trail.require(paired, FORM, "actor_token_type")


def _response(draft: Draft, made: Made) -> dict[str, Any]:
    more = {"client_assertion": made.client_assertion} if made.client_assertion else {}
    expires = min(draft.shown_by, made.expires or draft.shown_by)
    return {
        "access_token": made.token,
        "issued_token_type": made.kind,
        "token_type": "N_A",
        "expires_in": int((expires - draft.issued).total_seconds()),
        "scope": " ".join(sorted(draft.scopes)),
        "jti": draft.id,
        **more,
    }
