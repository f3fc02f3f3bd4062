"""Minting with JWTs: signed assertions for Twiin and LSP holders, presentations for Nuts."""

from dataclasses import dataclass
from typing import Any

from openldn.base.runtime import NewId
from openldn.trust.broker.claims import assertion, common, credential
from openldn.trust.broker.keys import BrokerKeys
from openldn.trust.broker.model import Draft, Made
from openldn.trust.broker.service import JWT, VP
from openldn.trust.evidence import Status

_CONTEXT = "https://www.w3.org/2018/credentials/v1"


@dataclass(frozen=True)
class AssertionMint:
    """Makes the two assertions of RFC 7523: the grant about the organization, and the client's."""

    keys: BrokerKeys
    new_id: NewId

    async def make(self, draft: Draft, status: Status) -> Made:
        """The grant; its client assertion authenticates the broker that made it."""
        allowed = draft.audience.profile.alg_out
        client = {
            **common(draft),
            "sub": self.keys.url,
            "jti": self.new_id(),
            "cnf": {"x5t#S256": draft.thumbprint},
        }
        return Made(
            self.keys.sign(assertion(draft, status, self.keys.did), allowed.assertion, {}),
            JWT,
            self.keys.sign(client, allowed.client_assertion, {}),
        )


@dataclass(frozen=True)
class PresentationMint:
    """Makes a presentation by the DID that the broker hosts for the organization.

    Its one credential is the broker's word about that DID, and lives as long as the draft.
    """

    keys: BrokerKeys
    new_id: NewId

    async def make(self, draft: Draft, status: Status) -> Made:
        """The presentation; with two-VP peers also that of the broker as service provider."""
        did = self.keys.did_of(draft.organization)
        shown = self._presented(did, self._credential(draft, did, status), draft)
        if draft.audience.profile.token_in[:1] != ("D3",):
            return Made(shown, VP)
        delegation = self._delegation(draft, did, status)
        return Made(shown, VP, self._presented(self.keys.did, delegation, draft))

    def _credential(self, draft: Draft, did: str, status: Status) -> str:
        content = credential(draft, did, self.keys.did, status)
        return self._issued(draft, (self.keys.did, did, draft.id), content)

    def _delegation(self, draft: Draft, did: str, status: Status) -> str:
        """The organization's DID, hosted here, lets the broker act. Source: PSA 10.6.7."""
        content = credential(draft, self.keys.did, did, status)
        ura = {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": draft.organization.value}
        content["type"] = ["VerifiableCredential", "ServiceProviderDelegationCredential"]
        content["credentialSubject"] = {
            "id": self.keys.did,
            "hasDelegation": {"delegatedBy": {"identifier": [ura]}},
        }
        return self._issued(draft, (did, self.keys.did, self.new_id()), content)

    def _issued(self, draft: Draft, parties: tuple[str, str, str], content: dict[str, Any]) -> str:
        """The credential as a JWT; `parties`: issuer, subject and id of it."""
        issuer, subject, id = parties
        claims = {**common(draft), "iss": issuer, "sub": subject, "jti": id, "vc": content}
        del claims["aud"]
        claims["exp"] = int(draft.expires.timestamp())
        allowed = draft.audience.profile.alg_out.credential
        return self.keys.sign(claims, allowed, {"kid": f"{issuer}#"})

    def _presented(self, did: str, held: str, draft: Draft) -> str:
        vp = {
            "@context": [_CONTEXT],
            "type": ["VerifiablePresentation"],
            "holder": did,
            "verifiableCredential": [held],
        }
        fresh = {"jti": f"{did}#{self.new_id()}", "nonce": self.new_id()}
        claims = {**common(draft), "iss": did, "sub": did, **fresh, "vp": vp}
        allowed = draft.audience.profile.alg_out.presentation
        return self.keys.sign(claims, allowed, {"kid": f"{did}#"})
