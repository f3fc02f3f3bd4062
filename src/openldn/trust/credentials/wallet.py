"""The wallet of an organization: credentials about it, verified before they are kept, and shown.

Source: trust and broker §9 (B1, B5); Nuts RFC021 §4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.fhir.identifiers import Ura
from openldn.trust import jose
from openldn.trust.certificates.keys import Signing
from openldn.trust.credentials.content import members, moment, read_credential, subject_of
from openldn.trust.credentials.credential import Asked, Credentials
from openldn.trust.credentials.issue import (
    HolderKey,
    Making,
    holder_issuer,
    issue_credential,
    issue_organization,
    issue_x509,
    present,
)
from openldn.trust.credentials.matching import select
from openldn.trust.credentials.model import Along, Credential, Definition
from openldn.trust.credentials.store import CredentialStore, Held
from openldn.trust.credentials.submission import make_submission
from openldn.trust.peers import Profile
from openldn.trust.trail import Trail

OWN = ("X509Credential", "HealthcareProviderCredential", "HealthcareOrganizationCredential")
_DAY = timedelta(days=1)
_NEVER = datetime.max.replace(tzinfo=UTC)
_SPENT = 2 / 3  # of its life, after which a credential of our own making is made anew


@dataclass(frozen=True)
class NodeWallet:
    """The wallet of one organization; the port `model.Wallet`. Its key never leaves it."""

    organization: Ura
    key: HolderKey
    store: CredentialStore
    credentials: Credentials  # believes what is loaded
    profile: Profile  # whose algorithms we make credentials with
    clock: Clock
    new_id: NewId

    async def load(self, encoded: str) -> Held:
        """Keep a credential about this organization once it is believed.

        Raises LdnError(business-rule) for one that is not, or is about another.
        """
        trail = Trail(issue=Issue.BUSINESS_RULE)
        asked = Asked(self.clock(), self.profile, types=frozenset(self.credentials.trust.issuers))
        try:
            found = await self.credentials.verify(encoded, asked, trail)
        except LdnError as error:
            text = f"the credential is not believed: {error.detail}"
            raise LdnError(error.issue, text, error.detail) from error
        if found.subject != self.key.did:
            text = f"the credential is about another than {self.key.did}; have it issued to that"
            raise LdnError(Issue.BUSINESS_RULE, text, detail="wallet.subject")
        held = _held(found)
        await self.store.keep(self.organization, held, self.clock())
        return held

    async def held(self) -> list[Held]:
        """What is in the wallet, newest first."""
        return await self.store.held(self.organization)

    async def delete(self, name: str) -> None:
        """Take one out; raises LdnError(not-found) when it is not there."""
        if not await self.store.drop(self.organization, [name]):
            raise LdnError(Issue.NOT_FOUND, "no such credential in this wallet; list it first")

    async def renew(
        self, signing: Signing, kinds: Sequence[str] = OWN[:1], *, all_: bool = False
    ) -> list[Held]:
        """Make anew what our certificate says of us, where it is due; what was made.

        Due is: absent, of an earlier certificate, spent for two thirds, or `all_`. The chain of
        `signing` must reach its root. Raises LdnError(invalid | business-rule).
        """
        if unknown := set(kinds) - set(OWN):
            text = f"a certificate cannot issue {', '.join(sorted(unknown))}"
            raise LdnError(Issue.INVALID, text)
        held = await self.held()
        made = []
        for kind in kinds:
            before = [h for h in held if h.kind == kind and h.subject == self.key.did]
            if all_ or not any(self._good(h, signing) for h in before):
                made.append(await self.load(self._own(kind, signing)))
                await self.store.drop(self.organization, [h.id for h in before])
        return made

    async def present(
        self, definition: Definition, audience: str, lifetime: int, along: Along | None = None
    ) -> str:
        """A VP as JWT for this audience that lives `lifetime` seconds, nonce and jti fresh.

        Raises LdnError(forbidden) that names the kind of credential that is missing.
        """
        vp, _ = await self.presented(definition, audience, lifetime, along)
        return vp

    async def presented(
        self, definition: Definition, audience: str, lifetime: int, along: Along | None = None
    ) -> tuple[str, dict[str, Any]]:
        """The presentation, and the presentation_submission that goes with it (dialect D1)."""
        extra, now = along or Along(), self.clock()
        encoded = [*(h.encoded for h in await self.held()), *extra.credentials]
        usable = [c for e in encoded if _counts(c := _unverified(e), now)]
        found = select(definition, usable, extra.shared)
        if found is None:
            raise self._missing(definition, usable)
        brought = [i for i, c in enumerate(usable) if c.raw in extra.credentials]
        places = list(dict.fromkeys((*found.chosen.values(), *brought)))
        shown = [usable[place].raw for place in places]
        making = Making(self.clock, self.new_id)
        chosen = {name: places.index(place) for name, place in found.chosen.items()}
        submission = make_submission(definition, chosen, self.new_id())
        return present(self.key, shown, audience, lifetime, making), submission

    def employee(self, number: str, name: str, role: str) -> str:
        """A NutsEmployeeCredential: this organization vouches for one of its people, for a day."""
        member = {"identifier": number, "name": name, "roleName": role, "type": "EmployeeRole"}
        subject = {"id": self.key.did, "type": "Organization", "member": member}
        issuer = holder_issuer(self.key)
        making = Making(self.clock, self.new_id, life=_DAY)
        return issue_credential(issuer, "NutsEmployeeCredential", subject, making)

    def _own(self, kind: str, signing: Signing) -> str:
        making = Making(self.clock, self.new_id)
        if kind == OWN[0]:
            return issue_x509(signing, self.key.did, self.profile, making)
        return issue_organization(signing, kind, self.key.did, self.profile, making)

    def _good(self, held: Held, signing: Signing) -> bool:
        header = jose.read(held.encoded, Trail()).header
        if header.get("x5t#S256") != signing.thumbprint or held.expires is None:
            return False
        return self.clock() < held.issued + (held.expires - held.issued) * _SPENT

    def _missing(self, definition: Definition, usable: Sequence[Credential]) -> LdnError:
        kinds = {t for c in usable for t in c.types}
        asked = sorted({t for d in definition.descriptors for t in d.types} - kinds)
        what = ", ".join(asked) or "one that answers every field"
        text = f"the wallet lacks a credential that is asked: {what}; load it into the wallet"
        return LdnError(Issue.FORBIDDEN, text, detail="wallet.missing")


def _held(found: Credential) -> Held:
    assert isinstance(found.raw, str)  # noqa: S101  (loaded as JWT)
    [kind] = found.types
    return Held(found.id, kind, found.issuer, found.subject, found.issued, found.expires, found.raw)


def _unverified(encoded: str | Mapping[str, Any]) -> Credential:
    """A credential of our own as it is written: we choose by it, others verify it."""
    if not isinstance(encoded, str):
        begins, ends = moment(encoded.get("validFrom")), moment(encoded.get("validUntil"))
        subject = str((subject_of(encoded) or {}).get("id", ""))
        issuer, kinds = str(encoded.get("issuer", "")), members(encoded, "type")[1:]
        issued = begins or _NEVER
        return Credential("", kinds, issuer, subject, issued, ends, encoded, raw=encoded)
    trail = Trail(issue=Issue.INVALID)
    token = jose.read(encoded, trail)
    draft = read_credential(token, trail)
    return Credential(
        id=draft.id,
        types=draft.types,
        issuer=draft.issuer,
        subject=str(draft.subject["id"]),
        issued=draft.begins or _NEVER,
        expires=draft.ends,
        content=draft.content,
        algorithm=token.header_text("alg"),
        raw=encoded,
    )


def _counts(credential: Credential, now: datetime) -> bool:
    return credential.expires is None or now < credential.expires
