"""Bearer tokens that each show one patient, as the interfaces for citizens do."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from starlette.requests import Request

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import parse

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


@dataclass(frozen=True)
class Bearers:
    """Digest of a token -> Patient id; the tokens themselves are not kept."""

    patients: Mapping[bytes, str] = field(repr=False)

    @classmethod
    def load(cls, file: Path) -> Self:
        """The tokens in a JSON file {"token": "Patient id"}.

        Raises LdnError(invalid) that names the file and what is wrong, never a token.
        """
        try:
            content = parse(file.read_bytes())
        except OSError as error:
            reason = error.strerror or "unreadable"
            raise LdnError(Issue.INVALID, f"--tokens {file}: {reason}") from error
        except LdnError as error:
            raise LdnError(Issue.INVALID, f"--tokens {file}: {error.message}") from error
        if not isinstance(content, dict) or not content:
            text = f'--tokens {file}: write {{"token": "id of a Patient", …}}'
            raise LdnError(Issue.INVALID, text)
        return cls({_digest(t.strip()): _patient(file, p) for t, p in content.items()})

    async def patient_of(self, request: Request) -> str:
        """The one patient this request may see; raises LdnError(login) without a known token."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        shown = _digest(token.strip())
        if scheme.lower() == "bearer":
            for known, patient in self.patients.items():
                if hmac.compare_digest(known, shown):
                    return patient
        text = "no token, or one we do not know; send Authorization: Bearer with a valid token"
        raise LdnError(Issue.LOGIN, text)


def _patient(file: Path, id: object) -> str:
    bare = id.removeprefix("Patient/") if isinstance(id, str) else ""
    if not _ID.fullmatch(bare):
        raise LdnError(Issue.INVALID, f"--tokens {file}: a token leads to no Patient id")
    return bare


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
