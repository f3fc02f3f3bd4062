"""The broker's keys: picked by what the peer's profile allows, public in JWKS and DID documents."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.trust.jose import Key, jwk_thumbprint, public_jwk, sign, suited


@dataclass(frozen=True)
class BrokerKeys:
    """Keys to sign with; they are used here and go nowhere."""

    url: str  # issuer of the broker: https://host:port/oauth2/broker
    keys: tuple[Key, ...] = field(repr=False)

    def sign(
        self, claims: Mapping[str, Any], allowed: Sequence[str], header: Mapping[str, Any]
    ) -> str:
        """The claims, signed with the first algorithm the peer takes that we have a key for.

        `kid` in the header is the key's thumbprint, after the DID when the header has one.
        Raises LdnError(exception) when no key of ours suits the peer.
        """
        key, algorithm = self._picked(allowed)
        kid = str(header.get("kid", "")) + jwk_thumbprint(key)
        return sign(claims, key, algorithm, {**header, "kid": kid})

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517 §5)."""
        return {"keys": [self._jwk(key) for key in self.keys]}

    @property
    def origin(self) -> str:
        """Where the broker is reached, without a path."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def did(self) -> str:
        """The DID of the broker itself. Source: did:web §3."""
        return f"did:web:{quote(urlsplit(self.url).netloc, safe='.-')}"

    def did_of(self, organization: Ura) -> str:
        """The DID that the broker hosts for an organization without one of its own."""
        return f"{self.did}:org:{organization.value}"

    def document(self, did: str) -> dict[str, Any]:
        """The DID document: the broker's keys, to assert and to authenticate with."""
        methods = [self._method(did, key) for key in self.keys]
        names = [m["id"] for m in methods]
        return {
            "@context": [
                "https://www.w3.org/ns/did/v1",
                "https://w3id.org/security/suites/jws-2020/v1",
            ],
            "id": did,
            **({"controller": self.did} if did != self.did else {}),
            "verificationMethod": methods,
            "assertionMethod": names,
            "authentication": names,
        }

    def _picked(self, allowed: Collection[str]) -> tuple[Key, str]:
        for algorithm in allowed:
            for key in self.keys:
                if algorithm in suited(key):
                    return key, algorithm
        text = "the broker has no key that this peer's profile allows; its operator must add one"
        raise LdnError(Issue.EXCEPTION, text, detail=f"broker.key: {' '.join(allowed)}")

    def _method(self, did: str, key: Key) -> dict[str, Any]:
        return {
            "id": f"{did}#{jwk_thumbprint(key)}",
            "type": "JsonWebKey2020",
            "controller": did,
            "publicKeyJwk": public_jwk(key),
        }

    def _jwk(self, key: Key) -> dict[str, Any]:
        return {**public_jwk(key), "kid": jwk_thumbprint(key), "use": "sig"}
