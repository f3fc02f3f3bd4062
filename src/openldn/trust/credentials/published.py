"""The status lists of what an organization issues: a place for each credential, and the list.

Source: W3C Bitstring Status List 1.0, StatusList2021; trust and broker §3.4.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Ura
from openldn.trust import jose
from openldn.trust.credentials.content import BASE, VC1
from openldn.trust.credentials.issue import Issuer, status_entry
from openldn.trust.credentials.status import FAMILIES, LEAST, packed
from openldn.trust.credentials.store import CredentialStore
from openldn.trust.evidence import Status

SIZE = LEAST * 8  # bits of one page
LIFE = timedelta(hours=1)  # how long a list that we give serves at most
_STEP = 54_773  # odd, so that places spread over the page and each comes once
_CONTEXTS = {
    "StatusList2021Entry": "https://w3id.org/vc/status-list/2021/v1",
    "BitstringStatusListEntry": "https://www.w3.org/ns/credentials/status/v1",
}


@dataclass(frozen=True)
class PublishedLists:
    """The lists of one organization; `base` is the address of its pages, without the number."""

    holder: Ura
    issuer: Issuer
    base: str  # "https://node.example/statuslist/90000382"
    store: CredentialStore
    clock: Clock
    kind: str = "StatusList2021Entry"  # as the profile of the peer has it (`status_list`)

    async def entry(self, credential: str) -> dict[str, Any]:
        """The credentialStatus of a credential with this id, at a place of its own."""
        page, index = _where(await self.store.allocate(self.holder, credential))
        return status_entry(Status(f"{self.base}/{page}", index), self.kind)

    async def revoke(self, credential: str) -> None:
        """Revoke a credential for good; raises LdnError(not-found) for one we did not issue."""
        if not await self.store.revoke(self.holder, credential, self.clock()):
            text = "no credential with this id that still counts was issued here"
            raise LdnError(Issue.NOT_FOUND, text)

    async def page(self, number: int) -> str:
        """A page as a signed credential; raises LdnError(not-found) for one without places."""
        if number * SIZE >= max(1, await self.store.given(self.holder)):
            raise LdnError(Issue.NOT_FOUND, "there is no such page of the status list")
        bits = bytearray(LEAST)
        for place in await self.store.revoked(self.holder, number * SIZE, (number + 1) * SIZE):
            _, index = _where(place)
            bits[index // 8] |= 0x80 >> index % 8
        return self._signed(f"{self.base}/{number}", bytes(bits))

    def _signed(self, url: str, bits: bytes) -> str:
        now = self.clock().replace(microsecond=0)
        outer, inner = FAMILIES[self.kind]
        subject = {
            "id": f"{url}#list",
            "type": inner,
            "statusPurpose": "revocation",
            "encodedList": packed(bits, self.kind),
        }
        vc = {
            "@context": [VC1, _CONTEXTS[self.kind]],
            "id": url,
            "type": [BASE, outer],
            "credentialSubject": subject,
        }
        claims = {
            "iss": self.issuer.did,
            "sub": subject["id"],
            "jti": url,
            "nbf": int(now.timestamp()),
            "exp": int(min(filter(None, (now + LIFE, self.issuer.last))).timestamp()),
            "vc": vc,
        }
        header = {"kid": self.issuer.kid, **self.issuer.header}
        return jose.sign(claims, self.issuer.key, self.issuer.algorithm, header)


def _where(place: int) -> tuple[int, int]:
    """Page and index of a place; who sees an index cannot tell when it was given."""
    page, within = divmod(place, SIZE)
    return page, within * _STEP % SIZE
