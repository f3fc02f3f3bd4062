"""Tokens and a wallet of a simulated party: gone when it ends."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from openldn.fhir.identifiers import Ura
from openldn.trust.credentials.store import CredentialStore, Held
from openldn.trust.evidence import Evidence
from openldn.trust.tokens.model import Grant
from openldn.trust.tokens.store import TokenStore


class RememberedTokens(TokenStore):
    """The store of an authorization server, without a database."""

    def __init__(self) -> None:
        self.grants: dict[bytes, Grant] = {}
        self.used: dict[str, datetime] = {}

    async def use(self, holder: Ura, values: Iterable[str], expires: datetime) -> frozenset[str]:
        """Mark these values used; those that were not used before."""
        fresh = frozenset(values) - self.used.keys()
        self.used.update(dict.fromkeys(fresh, expires))
        return fresh

    async def add(self, key: bytes, grant: Grant) -> None:
        """Keep a grant under the hash of its token."""
        self.grants[key] = grant

    async def find(self, holder: Ura, key: bytes) -> Grant | None:
        """The grant of this token."""
        return self.grants.get(key)

    async def evidence(self, holder: Ura, now: datetime) -> list[Evidence]:
        """Nothing: a simulated party looks once at what its tokens rest on."""
        return []

    async def sweep(self, holder: Ura, now: datetime) -> None:
        """Forget what has ended."""
        self.grants = {k: g for k, g in self.grants.items() if g.expires > now}
        self.used = {value: ends for value, ends in self.used.items() if ends > now}


class RememberedCredentials(CredentialStore):
    """A wallet without a database."""

    def __init__(self) -> None:
        self.credentials: dict[str, Held] = {}

    async def keep(self, holder: Ura, held: Held, now: datetime) -> bool:
        """Keep a credential; false when it stood there already."""
        fresh = held.id not in self.credentials
        self.credentials[held.id] = held
        return fresh

    async def held(self, holder: Ura) -> list[Held]:
        """What is in the wallet, newest first."""
        return sorted(self.credentials.values(), key=lambda h: h.issued, reverse=True)

    async def drop(self, holder: Ura, ids: Sequence[str]) -> int:
        """Take these credentials out; how many were there."""
        return sum(self.credentials.pop(id_, None) is not None for id_ in ids)
