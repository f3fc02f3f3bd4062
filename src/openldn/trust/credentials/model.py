"""What a credential and a presentation are once they are verified, and the ports around them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from openldn.trust.evidence import Evidence, Value
from openldn.trust.jose import Jws
from openldn.trust.peers import Profile
from openldn.trust.trail import Trail

WITHOUT_END = timedelta(days=1)  # how long we rely on a credential that has no end of its own
Captured = Mapping[str, tuple[Value, ...]]  # field.id of a presentation definition -> values


@dataclass(frozen=True)
class Credential:
    """A verified credential."""

    id: str  # its id, or jti
    types: tuple[str, ...]  # without VerifiableCredential
    issuer: str  # DID
    subject: str  # DID of credentialSubject.id
    issued: datetime
    expires: datetime | None
    content: Mapping[str, Any] = field(repr=False)  # the VC as JSON, whatever the encoding was
    evidence: tuple[Evidence, ...] = ()
    claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)  # of its type
    algorithm: str = ""  # it was signed with; empty: it is not signed itself
    raw: str | Mapping[str, Any] = field(default="", repr=False)  # as it came


@dataclass(frozen=True)
class Field:
    """One field of an input descriptor: where to look, and what must stand there."""

    id: str  # captured under this name; empty: only checked
    paths: tuple[str, ...]  # JSONPath, the first that finds something counts
    const: str | None = None
    pattern: str = ""  # regular expression with at most one group
    optional: bool = False
    enum: tuple[str, ...] = ()  # one of these


@dataclass(frozen=True)
class Descriptor:
    """One credential that must be presented."""

    id: str
    fields: tuple[Field, ...]
    algorithms: tuple[str, ...] = ()  # of the credential; empty: those of the profile
    groups: tuple[str, ...] = ()  # that requirements pick from

    @property
    def types(self) -> frozenset[str]:
        """The kinds of credential that this descriptor asks for by name."""
        named = (
            f for f in self.fields if any(p.startswith(("$.type", "$.vc.type")) for p in f.paths)
        )
        return frozenset(t for f in named for t in (f.const, *f.enum) if t)


@dataclass(frozen=True)
class Requirement:
    """How many descriptors of a group, or how many of the nested requirements, must be met."""

    least: int  # -1: all
    most: int
    group: str = ""
    nested: tuple["Requirement", ...] = ()


@dataclass(frozen=True)
class Definition:
    """A presentation definition, checked when it was loaded (DIF Presentation Exchange 2)."""

    id: str
    descriptors: tuple[Descriptor, ...]
    raw: Mapping[str, Any] = field(repr=False)  # as it is published
    algorithms: tuple[str, ...] = ()  # of the presentation; empty: those of the profile
    requirements: tuple[Requirement, ...] = ()  # empty: every descriptor must be met


@dataclass(frozen=True)
class ScopePolicy:
    """What must be shown for a scope: the organization's credentials, and the vendor's."""

    organization: Definition
    service_provider: Definition | None = None


@dataclass(frozen=True)
class Expected:
    """What a presentation must meet."""

    audiences: frozenset[str]  # exactly one of these
    now: datetime
    profile: Profile  # algorithms, lifetime, skew, revocation
    # What VP1 fixed: the same field.id must agree, and who delegates must be among its values.
    shared: Captured = field(default_factory=dict, repr=False)
    required: frozenset[str] = frozenset({"nonce"})  # claims beside iss, aud, exp and vp
    submission: str = field(default="", repr=False)  # presentation_submission (D1), as it came
    status_may_be_unknown: bool = False  # an unreachable status list does not refuse (discovery)


@dataclass(frozen=True)
class Presented:
    """A verified presentation."""

    holder: str  # DID of who signed it and is the subject of every credential
    credentials: tuple[Credential, ...]
    captured: Captured = field(repr=False)
    nonce: str
    jti: str
    issued: datetime
    expires: datetime  # not beyond any of its credentials
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True)
class Along:
    """What goes along with the credentials of a wallet when they are shown."""

    # credentials of this one request, about the person who asks: JWT, or JSON for one of Dezi
    credentials: tuple[str | Mapping[str, Any], ...] = field(default=(), repr=False)
    # what a first presentation fixed, for a vendor that acts for several organizations
    shared: Captured = field(default_factory=dict, repr=False)


class Presentations(Protocol):
    """The port of presentation verifying."""

    async def verify(
        self, presentation: str | Jws, definition: Definition, expected: Expected, trail: Trail
    ) -> Presented:
        """The presentation, as it came or read already, believed and fitting the definition.

        Raises LdnError(the trail's issue) with the reason code of the check that failed.
        """
        ...


class Wallet(Protocol):
    """The port of a wallet: it presents, and never gives a key away."""

    async def present(
        self, definition: Definition, audience: str, lifetime: int, along: Along | None = None
    ) -> str:
        """A VP as JWT for this audience that lives `lifetime` seconds, nonce and jti fresh.

        Raises LdnError(forbidden) that names the kind of credential that is missing.
        """
        ...
