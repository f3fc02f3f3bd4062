"""One credential: believed by its signature, its issuer, its dates, its status and its content.

Source: Nuts RFC023 §5; trust and broker §3.1 (the order of the checks).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from cryptography import x509

from openldn.trust import jose
from openldn.trust.credentials.checks import CHECKS, Facts
from openldn.trust.credentials.content import Draft, read_credential
from openldn.trust.credentials.did import Did, parse, refuse
from openldn.trust.credentials.did_x509 import ASSERTION, fingerprint
from openldn.trust.credentials.model import WITHOUT_END, Credential
from openldn.trust.credentials.resolver import Methods, Resolver
from openldn.trust.credentials.types import UNKNOWN, CredentialType, claims_of, plain, types
from openldn.trust.evidence import Evidence, Kind, Status
from openldn.trust.peers import Profile
from openldn.trust.trail import Check, Rule, Trail

TYPE = Rule("vc.type", "R49", "the kind of credential is known, or asked for by name")
CONTEXT = Rule("vc.context", "VC-DM 1.1 §4.1", "the contexts of this kind of credential are there")
ISSUER = Rule("vc.issuer", "A11", "the issuer's DID is of a method for this kind of credential")
ISSUING = Rule("x509.issuing", "R62", "the DID names an issuing authority that we accept")
TRUSTED = Rule("vc.trusted", "trust and broker §3.2", "we believe this issuer of this kind")
DELEGATED = Rule("vc.delegated", "R51", "it delegates for the organization that was proven")
EXPIRES = Rule("vc.exp", "R59", "a credential of a certificate has an end")
BEGINS = Rule("vc.nbf", "VC-DM 1.1 §6.3.1", "a credential has a beginning")
WITHIN = Rule("vc.period", "R59, A12", "its period lies within that of the certificate")
NOW = Rule("vc.now", "RFC 7519 §4.1", "it is valid now, give or take the skew")
CLAIMS = Rule("vc.claims", "trust and broker §3", "what this kind must say, it says")
STATUS = Rule("status.known", "R71", "whether it is revoked can be known")

_MOST_SEEN = 1_000  # credentials that are not read again
_LARGEST_SEEN = 16 * 1024  # characters of one of those


class Believing(Protocol):
    """The port of certificate trust: chain, anchor and revocation."""

    async def believe(
        self, chain: Sequence[x509.Certificate], trail: Trail, revocation: str = "crl-hard"
    ) -> Evidence:
        """The evidence of a chain that is believed now; raises LdnError(the trail's issue)."""
        ...

    async def still(self, evidence: Evidence) -> bool:
        """Whether it has not been revoked since; raises LdnError when that cannot be known."""
        ...


class Statuses(Protocol):
    """The port of status lists."""

    async def check(
        self, content: Mapping[str, Any], issuer: Did, trail: Trail, *, unknown: bool = False
    ) -> tuple[Status, ...]:
        """Where the status stands, none of them set; raises LdnError(the trail's issue).

        `unknown` lets pass what cannot be known now.
        """
        ...


@dataclass(frozen=True)
class Trust:
    """Whom we believe."""

    issuing: frozenset[str]  # base64url SHA-256 of authorities that a did:x509 may name
    issuers: Mapping[str, frozenset[str]] = field(default_factory=dict)  # kind -> DIDs


@dataclass(frozen=True)
class Asked:
    """What is asked of a credential at this moment."""

    now: datetime
    profile: Profile
    types: frozenset[str] = frozenset()  # kinds that the definition asks for by name
    holder: str = ""  # DID of who presents it; empty: nobody yet (a wallet loads it)
    delegators: frozenset[str] = frozenset()  # DIDs and URAs that a delegation may be of
    status_may_be_unknown: bool = False


@dataclass(frozen=True)
class _Signed:
    """A credential by itself: its issuer signed it, and it says what its kind must say.

    Nothing here changes with time, with who presents it, or with whom we believe.
    """

    header: Mapping[str, Any]
    draft: Draft
    kind: CredentialType
    issuer: Did
    methods: Methods
    said: Mapping[str, tuple[str, ...]]
    checks: tuple[Check, ...]  # that were made of it


_Key = tuple[str, frozenset[str], tuple[str, ...]]  # all that `_Signed` depends on


@dataclass(frozen=True)
class Credentials:
    """Verifies credentials."""

    resolver: Resolver
    belief: Believing
    trust: Trust
    statuses: Statuses | None = None  # None: a credential with a status cannot be believed
    remembered: int = _MOST_SEEN
    _seen: dict[_Key, "_Signed"] = field(default_factory=dict, repr=False)

    async def verify(self, text: str, asked: Asked, trail: Trail) -> Credential:
        """The credential in a JWT, believed; raises LdnError(the trail's issue).

        That its subject is who presents it is for the presentation to check.
        """
        key: _Key = (text, asked.types, tuple(asked.profile.alg_in.credential))
        signed = await self._signed(key, asked, trail)
        draft, issuer = signed.draft, signed.issuer
        # what follows is asked anew each time: it changes, or depends on who presents
        certificate = await self._certificate(signed.methods, asked, trail)
        self._require_issuer(draft, signed.kind, asked, trail)
        if signed.kind.issuer_is == "delegator" and asked.holder:
            known = {plain(text) for text in asked.delegators}
            trail.require({plain(u) for u in signed.said.get("ura", ())} <= known, DELEGATED)
        _require_period(draft, signed.methods, asked, trail)
        statuses = await self._statuses(draft, issuer, asked, trail)
        self._remember(key, signed)
        expires = draft.ends or asked.now + WITHOUT_END
        name = draft.id or jose.encoded(text.rpartition(".")[2].encode())[:43]
        own = [
            Evidence(Kind.CREDENTIAL, name, issuer.text, expires, s) for s in statuses or (None,)
        ]
        return Credential(
            id=name,
            types=draft.types,
            issuer=issuer.text,
            subject=str(draft.subject["id"]),
            issued=draft.begins or asked.now,
            expires=draft.ends,
            content=draft.content,
            evidence=(*own, *certificate),
            claims=signed.said,
            algorithm=str(signed.header["alg"]),
            raw=text,
        )

    async def _signed(self, key: _Key, asked: Asked, trail: Trail) -> "_Signed":
        """The credential by itself; one that was believed before is not read again.

        Whether its chain is believed is not part of it, nor any date or status.
        """
        own = Trail(issue=trail.issue)
        try:
            kept = self._seen.get(key)
            if kept is not None and await self._same_keys(kept, own):
                own.checks = list(kept.checks)
                return kept
            own.checks = []
            return await self._read(key[0], asked, own)
        finally:
            trail.checks += own.checks

    async def _same_keys(self, kept: "_Signed", trail: Trail) -> bool:
        """Whether the issuer has the keys it had; those of a did:web may have changed since."""
        if kept.issuer.method != "web":
            return True  # they stand in the DID, or in the credential
        return await self.resolver.methods(kept.issuer, kept.header, trail) is kept.methods

    def _remember(self, key: _Key, signed: "_Signed") -> None:
        """Only what is believed is kept, so that strangers cannot fill the memory."""
        if self._seen.get(key) is signed or len(key[0]) > _LARGEST_SEEN:
            return
        self._seen[key] = signed
        while len(self._seen) > self.remembered:
            del self._seen[next(iter(self._seen))]

    async def _read(self, text: str, asked: Asked, trail: Trail) -> "_Signed":
        token = jose.read(text, trail)
        draft = read_credential(token, trail)
        kind = kind_of(draft.types, asked.types, trail)
        trail.require(kind.encoding == "jwt", TYPE)
        trail.require(set(kind.contexts) <= set(draft.contexts), CONTEXT)
        issuer = parse(draft.issuer, trail)
        trail.require(issuer.method in kind.issuers, ISSUER, issuer.method)
        methods = await self.resolver.methods(issuer, token.header, trail)
        key = methods.key(token.header_text("kid"), (ASSERTION,), trail)
        jose.verify(token, key, _algorithms(kind, asked.profile), trail)
        said = _content(draft, kind, issuer, methods, trail)
        return _Signed(token.header, draft, kind, issuer, methods, said, tuple(trail.checks))

    async def _certificate(
        self, methods: Methods, asked: Asked, trail: Trail
    ) -> tuple[Evidence, ...]:
        if methods.chain is None:
            return ()
        authority = methods.authority
        own = authority.issuer == authority.subject
        # a root vouches for every private authority below it, so naming it says too little
        trail.require(not own and fingerprint(authority) in self.trust.issuing, ISSUING)
        chain = methods.chain.certificates
        return (await self.belief.believe(chain, trail, asked.profile.revocation),)

    def _require_issuer(
        self, draft: Draft, kind: CredentialType, asked: Asked, trail: Trail
    ) -> None:
        subject = draft.subject["id"]
        match kind.issuer_is:
            case "holder":
                fits = draft.issuer == subject
            case "delegator":
                # a wallet that keeps it for later knows no delegator yet
                fits = draft.issuer in asked.delegators if asked.holder else True
                fits = fits and draft.issuer != subject
            case "trusted":
                fits = any(draft.issuer in self.trust.issuers.get(t, ()) for t in draft.types)
            case _:
                fits = True  # its certificate was believed above
        trail.require(fits, TRUSTED, kind.issuer_is)

    async def _statuses(
        self, draft: Draft, issuer: Did, asked: Asked, trail: Trail
    ) -> tuple[Status, ...]:
        if "credentialStatus" not in draft.content:
            return ()
        if self.statuses is None:
            trail.require(asked.status_may_be_unknown, STATUS)
            return ()
        unknown = asked.status_may_be_unknown
        return await self.statuses.check(draft.content, issuer, trail, unknown=unknown)


def kind_of(names: Sequence[str], asked: frozenset[str], trail: Trail) -> CredentialType:
    """The kind of credential with this name; raises LdnError for one we neither know nor ask."""
    [name] = names or [""]
    found = types().get(name) or (UNKNOWN if name in asked else None)
    return refuse(TYPE, trail) if found is None else found


def _algorithms(kind: CredentialType, profile: Profile) -> tuple[str, ...]:
    allowed = profile.alg_in.credential
    return tuple(a for a in allowed if not kind.algorithms or a in kind.algorithms)


def _content(
    draft: Draft, kind: CredentialType, issuer: Did, methods: Methods, trail: Trail
) -> dict[str, tuple[str, ...]]:
    said = claims_of(kind, draft.subject)
    for name in kind.checks:
        if methods.chain is None:
            refuse(ISSUER, trail)  # what is checked so is of certificates only
        CHECKS[name](Facts(draft, issuer, methods.chain, said), trail)
    needed = {name for name, claim in kind.claims.items() if claim.required}
    trail.require(needed <= set(said), CLAIMS)
    return said


def _require_period(draft: Draft, methods: Methods, asked: Asked, trail: Trail) -> None:
    trail.require(draft.begins is not None, BEGINS)
    begins, ends = draft.begins or asked.now, draft.ends
    if methods.chain is not None:
        trail.require(ends is not None, EXPIRES)
        last = ends or methods.chain.ends
        trail.require(begins >= methods.chain.begins and last <= methods.chain.ends, WITHIN)
    skew = timedelta(seconds=asked.profile.skew)
    # nothing is added to an end: many credentials end on the last day that a date can hold
    fits = begins <= asked.now + skew and (ends is None or asked.now - skew <= ends)
    trail.require(fits, NOW)
