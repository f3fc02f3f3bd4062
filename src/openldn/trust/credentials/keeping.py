"""The key of an organization's DID: made once, kept in a file that only its owner reads.

The DID is a did:web; its document says which key signs for it. Source: did:web §2.5; GFI-001.
"""

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura
from openldn.trust import jose
from openldn.trust.certificates.keys import Signing
from openldn.trust.credentials.did import Did, parse
from openldn.trust.credentials.issue import HolderKey

_SECRET = 0o600
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
    if not path.exists():
        _make(path)
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


def _make(path: Path) -> None:
    """Write a fresh key, whole; who comes second leaves the one that is there."""
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sink = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _SECRET)
        with os.fdopen(sink, "wb") as file:
            file.write(pem)
        with suppress(FileExistsError):
            os.link(draft, path)
    except OSError as error:
        text = f"cannot write {path}: {error.strerror}; choose another folder"
        raise LdnError(Issue.EXCEPTION, text) from error
    finally:
        with suppress(OSError):
            draft.unlink()
