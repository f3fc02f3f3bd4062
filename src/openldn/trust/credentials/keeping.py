"""The key of an organization's DID: made once, kept in a file that only its owner reads.

The DID is a did:web; its document says which key signs for it. Source: did:web §2.5; GFI-001.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openldn.fhir.identifiers import Ura
from openldn.trust import jose, keyfile
from openldn.trust.certificates.keys import Signing
from openldn.trust.credentials.did import Did, parse
from openldn.trust.credentials.issue import HolderKey

_CONTEXTS = ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/suites/jws-2020/v1"]


def did_web(origin: str, ura: Ura | None = None) -> Did:
    """The DID of an origin ("https://node.example:8443"), or of an organization there.

    Raises LdnError(invalid) for an origin that a did:web cannot name, such as an IP address.
    """
    host = origin.removeprefix("https://").rstrip("/").replace(":", "%3A")
    return parse(f"did:web:{host}" + (f":iam:{ura}" if ura else ""))


def holder_key(path: Path, did: Did) -> HolderKey:
    """The key at `path`, made when there is none; several processes may do so at once.

    Raises LdnError(exception) when the file cannot be made or used.
    """
    keyfile.kept(path, "the organization's DID", keyfile.signing_key)
    public = Signing.load(path)
    return HolderKey(did.text, jose.jwk_thumbprint(public.key), public.key)


def document(keys: Sequence[HolderKey]) -> dict[str, Any]:
    """The document of the DID that these keys are of, the first one the key in use."""
    did = keys[0].did
    methods = [
        {
            "id": each.kid,
            "type": "JsonWebKey2020",
            "controller": did,
            "publicKeyJwk": jose.public_jwk(each.key),
        }
        for each in keys
    ]
    kids = [each.kid for each in keys]
    return {
        "@context": _CONTEXTS,
        "id": did,
        "verificationMethod": methods,
        "authentication": kids,
        "assertionMethod": kids,
    }
