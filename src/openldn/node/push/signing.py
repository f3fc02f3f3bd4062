"""The receiver's signature under a receipt, and whether one counts."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import Resource
from openldn.patterns.push.model import Push
from openldn.patterns.push.receipt import apart, named, read_receipt, with_signature
from openldn.trust.certificates.keys import Signing
from openldn.trust.signatures import AGENTS, URA_OID, Signer, Verifier, canonical, sign


@dataclass(frozen=True)
class Seals:
    """Signs our receipts, and checks those of others."""

    ura: Ura
    signing: Callable[[], Signing]
    verifier: Verifier
    clock: Clock

    def sealed(self, receipt: Resource, push: Push, now: datetime) -> Resource:
        """The receipt with our signature."""
        key = self.signing()
        signer = Signer(self.ura, key.key, key.chain, key.algorithm)
        provenance = sign(statement_of(receipt, push), push.message, signer, now)
        return with_signature(receipt, provenance["signature"][0], push.fhir)

    async def require(self, receipt: Resource, push: Push) -> None:
        """Raises LdnError(incomplete) unless the receiver of this push signed this receipt."""
        rest, signature = apart(receipt)
        said = signature or {}
        author = {"type": {"coding": [{"system": AGENTS, "code": "author"}]}}
        provenance = {
            "resourceType": "Provenance",
            "recorded": said.get("when", ""),
            "agent": [{**author, "who": said.get("who")}],
            "signature": [said],
        }
        text = "the receipt is not signed by its receiver; its operator's turn"
        try:
            signed = await self.verifier.verify(statement_of(rest, push), provenance, self.clock())
        except LdnError as error:
            if error.issue not in {Issue.BUSINESS_RULE, Issue.INVALID}:
                raise
            raise LdnError(Issue.INCOMPLETE, text, detail=error.detail) from error
        if signed.ura != push.receiver:
            raise LdnError(Issue.INCOMPLETE, text, detail="push.receipt.who")


def statement_of(receipt: Resource, push: Push) -> Resource:
    """What is signed: message, content, sender, and the receipt itself by its digest.

    A resource of its own, so that the signature has one size however long the receipt is.
    """
    about = read_receipt(receipt)
    said = {
        "message": about.message,
        "content": about.digest,
        "sender": f"{URA_OID}.{push.sender}",
        "receipt": named(hashlib.sha256(canonical(receipt)).digest()),
    }
    parameters = [{"name": n, "valueUri": v} for n, v in said.items() if v]
    return {"resourceType": "Parameters", "parameter": parameters}
