"""The recipients: the keys they register, and the versions of the secrets made for them.

Source: generic functions §6.3 (administration), §6.5 (key life).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.base.sql import Connection, Pool, connection, transaction
from openldn.fhir.identifiers import Oin, Ura
from openldn.functions.pseudonyms import oprf, sealing, store
from openldn.functions.pseudonyms.model import (
    EVERY,
    LEAD,
    KeyVersion,
    RecipientKey,
    parse_scope,
)
from openldn.functions.pseudonyms.vault import Vault
from openldn.trust.jose import jwk_thumbprint, key_of

MOST_SCOPES, MOST_KEYS, MOST_KID = 32, 32, 200
NOTICE = LEAD + timedelta(minutes=3)  # so that other processes know a version before its lead


@dataclass(frozen=True)
class Draft:
    """A key as a recipient offers it."""

    organization: Ura
    oin: Oin | None
    scopes: Sequence[str]
    pem: str = field(repr=False)
    kid: str = ""  # empty: the thumbprint of the key (RFC 7638)


@dataclass(frozen=True)
class Registry:
    """What recipients may change, each only its own; others do not learn that it exists."""

    pool: Pool
    vault: Vault
    clock: Clock
    new_id: NewId
    overlap: timedelta = timedelta(days=90)  # a version lives as long, and beside its successor

    async def prepare(self) -> None:
        """Make the tables; raises LdnError(transient) when a secret in them cannot be opened."""
        await store.prepare(self.pool)
        async with connection(self.pool) as db:
            for version in await store.living(db):
                self.vault.open(version)

    async def register(self, draft: Draft) -> RecipientKey:
        """A key as it stands from now on; its scopes get a secret when they have none.

        Raises LdnError: business-rule for a key or scope that is none, conflict when another key
        of this recipient serves one of the scopes.
        """
        key = self._key(self.new_id(), draft, self.clock())
        async with transaction(self.pool) as db:
            await _lock(db, draft.organization, draft.oin)
            if len(await store.keys_of(db, draft.organization)) >= MOST_KEYS:
                raise LdnError(Issue.CONFLICT, f"there are {MOST_KEYS} keys; remove one first")
            await self._put(db, key)
        return key

    async def keys(self, organization: Ura) -> list[RecipientKey]:
        """The keys of a recipient, oldest first."""
        async with connection(self.pool) as db:
            return await store.keys_of(db, organization)

    async def change(self, id_: str, draft: Draft) -> RecipientKey:
        """The key with other content; raises LdnError as `register` does, and not-found."""
        async with transaction(self.pool) as db:
            await _lock(db, draft.organization, draft.oin)
            found = [k for k in await store.keys_of(db, draft.organization) if k.id == id_]
            if not found:
                raise _unknown()
            key = self._key(id_, draft, found[0].created)
            await self._put(db, key)
        return key

    async def remove(self, organization: Ura, id_: str) -> None:
        """Forget a key; its scopes' secrets stay. Raises LdnError(not-found)."""
        async with transaction(self.pool) as db:
            if not await store.remove_key(db, organization, id_):
                raise _unknown()

    async def _put(self, db: Connection, key: RecipientKey) -> None:
        if not await store.put_key(db, key):
            text = "another of your keys serves one of these scopes; change or remove it first"
            raise LdnError(Issue.CONFLICT, text)
        for scope in key.scopes:
            if not await store.versions_for(db, key.organization, scope):
                await self._add(db, key.organization, scope, (1, self.clock(), None))

    def _key(self, id_: str, draft: Draft, created: datetime) -> RecipientKey:
        public = sealing.public_key(draft.pem)
        kid = draft.kid or jwk_thumbprint(key_of(public))
        if len(kid) > MOST_KID or not (kid.isascii() and kid.isprintable()):
            raise LdnError(Issue.BUSINESS_RULE, f"a key id has at most {MOST_KID} ASCII characters")
        scopes = _scopes(draft.scopes)
        pem = sealing.pem_of(public)
        return RecipientKey(id_, draft.organization, draft.oin, scopes, kid, pem, created)

    async def versions(self, organization: Ura) -> list[KeyVersion]:
        """The versions of a recipient's secrets, past and announced, by scope, newest first."""
        async with connection(self.pool) as db:
            return await store.versions_of(db, organization)

    async def rotate(
        self, organization: Ura, begins: datetime | None, ends: datetime | None, scope: str = ""
    ) -> list[KeyVersion]:
        """A new version of the secret of this scope, or of each that the recipient has.

        It begins when every process knows it and every answer holds it, ten minutes from now at
        the earliest. The one before it lives on beside it for the overlap, at least.
        Raises LdnError: business-rule for a moment that has passed or a life shorter than the
        overlap, conflict for one that begins before its predecessor, not-found when there is
        nothing to rotate.
        """
        now = self.clock()
        if begins is not None and begins < now:
            raise LdnError(Issue.BUSINESS_RULE, "from_dt is in the past; leave it out for now")
        async with transaction(self.pool) as db:
            await _lock(db, organization, None)
            all_ = await store.versions_of(db, organization)
            wanted = dict.fromkeys(v.scope for v in all_ if not scope or v.scope == scope)
            if not wanted:
                raise _unknown()
            return [
                await self._succeed(db, [v for v in all_ if v.scope == s], (begins or now, ends))
                for s in wanted
            ]

    async def _succeed(
        self, db: Connection, before: list[KeyVersion], life: tuple[datetime, datetime | None]
    ) -> KeyVersion:
        newest, (start, ends), now = before[0], life, self.clock()
        if any(v.active(now) for v in before):
            start = max(start, now + NOTICE)
        if ends is not None and ends < start + self.overlap:
            text = f"until_dt: a version lives {self.overlap.days} days at least after it begins"
            raise LdnError(Issue.BUSINESS_RULE, text)
        if start < newest.begins:
            text = "a version begins after the one before it; choose a later from_dt"
            raise LdnError(Issue.CONFLICT, text)
        least = start + self.overlap
        for old in before:
            if old.sealed and old is newest and (old.ends is None or old.ends < least):
                await store.set_end(db, old.organization, old.id, least)
        place = newest.organization, newest.scope
        return await self._add(db, *place, (newest.version + 1, start, ends))

    async def end(self, organization: Ura, id_: str, ends: datetime | None) -> KeyVersion:
        """The version with another end; None: not yet decided.

        Raises LdnError: not-found, business-rule for a moment that has passed, conflict when its
        successor would not have the overlap, or nothing would be left to evaluate with.
        """
        now = self.clock()
        if ends is not None and ends < now:
            raise LdnError(Issue.BUSINESS_RULE, "until_dt is in the past")
        async with transaction(self.pool) as db:
            await _lock(db, organization, None)
            all_ = await store.versions_of(db, organization)
            found = next((v for v in all_ if v.id == id_), None)
            if found is None:
                raise _unknown()
            self._require_overlap(found, all_, ends, now)
            await store.set_end(db, organization, id_, ends)
        return replace(found, ends=ends)

    def _require_overlap(
        self, found: KeyVersion, all_: list[KeyVersion], ends: datetime | None, now: datetime
    ) -> None:
        if found.sealed is None:
            raise LdnError(Issue.CONFLICT, "this version is destroyed; nothing brings it back")
        later = [v.begins for v in all_ if v.scope == found.scope and v.version > found.version]
        least = min(later, default=max(now, found.begins)) + self.overlap
        if ends is not None and ends < least:
            text = f"until_dt: recipients need {self.overlap.days} days beside the next version"
            raise LdnError(Issue.CONFLICT, text)

    async def destroy_ended(self) -> int:
        """Wipe the secrets that ended; how many. None younger than the overlap is ever wiped."""
        now = self.clock()
        async with transaction(self.pool) as db:
            return len(await store.destroy(db, now, now - self.overlap))

    async def adopt(self, version: KeyVersion, secret: bytes) -> None:
        """Take over a secret that an earlier service made, so that its pseudonyms stay the same.

        The recipient is one that registered a key. Raises LdnError: invalid for what is no
        scalar, conflict when this version exists.
        """
        place = version.organization, version.scope, version.version
        sealed = replace(version, sealed=self.vault.seal(*place, secret))
        async with transaction(self.pool) as db:
            await _lock(db, version.organization, None)
            if not await store.add_version(db, sealed):
                raise LdnError(Issue.CONFLICT, "this version of the secret exists already")

    async def _add(
        self,
        db: Connection,
        organization: Ura,
        scope: str,
        life: tuple[int, datetime, datetime | None],
    ) -> KeyVersion:
        number, begins, ends = life
        sealed = self.vault.seal(organization, scope, number, oprf.fresh_scalar())
        made = KeyVersion(
            self.new_id(), organization, scope, number, begins, ends, destroyed=None, sealed=sealed
        )
        if not await store.add_version(db, made):
            raise LdnError(Issue.CONFLICT, "this version was made a moment ago; read it again")
        return made


async def _lock(db: Connection, organization: Ura, oin: Oin | None) -> None:
    if not await store.locked(db, organization, oin):
        text = "this OIN is registered by another organization; the operator must look at it"
        raise LdnError(Issue.CONFLICT, text)


def _scopes(given: Sequence[str]) -> tuple[str, ...]:
    cleaned = dict.fromkeys(s.strip().lower() for s in given)
    if not 1 <= len(cleaned) <= MOST_SCOPES:
        raise LdnError(Issue.BUSINESS_RULE, f"name 1 to {MOST_SCOPES} scopes")
    scopes = tuple(s if s == EVERY else parse_scope(s) for s in cleaned)
    if EVERY in scopes and len(scopes) > 1:
        raise LdnError(Issue.BUSINESS_RULE, f"{EVERY} serves every scope; name it alone")
    return scopes


def _unknown() -> LdnError:
    return LdnError(Issue.NOT_FOUND, "nothing of yours has this id")
