"""The pseudonym service: evaluates what callers blinded, and tells only the recipient.

It sees no personal identifier, and keeps neither what it was given nor what it answered.
Source: generic functions §6.2-6.5.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from joserfc.jwk import RSAKey

from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit
from openldn.base.runtime import Clock
from openldn.base.sql import connection
from openldn.functions.pseudonyms import oprf, sealing, store
from openldn.functions.pseudonyms.model import (
    LIFE,
    SCOPE,
    SUBJECT,
    KeyVersion,
    RecipientKey,
)
from openldn.functions.pseudonyms.rate import Rate
from openldn.functions.pseudonyms.registry import Registry
from openldn.functions.pseudonyms.sealing import Sealer
from openldn.functions.pseudonyms.vault import UNREADABLE
from openldn.trust.parties import Caller
from openldn.trust.remembering import Remembered

_NONE_NOW = "no secret"
_FRESH = 5.0  # seconds until another process sees a change of keys


@dataclass(frozen=True)
class Question:
    """What a caller asks: a blinded element, evaluated for one recipient and scope."""

    blinded: str = field(repr=False)  # base64
    organization: str
    scope: str


@dataclass(frozen=True)
class Asked:
    """One question and what came of it, as evidence tells it: no element, no answer."""

    caller: Caller
    recipient: str  # "oin:…" or "ura:…"
    scope: str
    versions: tuple[int, ...] = ()  # of the secrets it was evaluated with
    refused: LdnError | None = None


Tell = Callable[[Asked], Awaitable[None]]  # raises LdnError: then nothing is answered


async def _nobody(asked: Asked) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class _Recipient:
    key: RecipientKey
    sealer: Sealer
    secrets: tuple[tuple[KeyVersion, bytes], ...] = field(repr=False)  # newest version first

    def names(self) -> set[str]:
        own = {str(self.key.organization), f"ura:{self.key.organization}"}
        return own | ({str(self.key.oin), f"oin:{self.key.oin}"} if self.key.oin else set())


@dataclass
class Evaluations:
    """Answers questions of callers; the caller is never the one who reads the answer."""

    registry: Registry
    rate: Rate
    clock: Clock
    algorithm: str = sealing.DEFAULT
    own: Collection[str] = ()  # recipients ("oin:…", "ura:…") that may ask for themselves
    tell: Tell = _nobody
    _known: Remembered[_Recipient] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.algorithm not in sealing.ALGORITHMS:
            text = f"the algorithm of answers is one of {', '.join(sealing.ALGORITHMS)}"
            raise LdnError(Issue.INVALID, text)
        self._known = Remembered(self.clock, _FRESH)

    def forget(self) -> None:
        """Look keys up anew: one was changed here."""
        self._known.forget()

    async def evaluate(self, caller: Caller, question: Question) -> str:
        """The evaluation as a JWE that only the recipient can open.

        Raises LdnError: forbidden without the scope, or when the caller is the recipient;
        throttled beyond the bound; not-found when the recipient has no key for the scope;
        transient when it has no secret now; invalid, one text for every cause, for what is no
        element of the group.
        """
        told = _told(caller, question)
        try:
            caller.need(SCOPE)
            self.rate.take(caller.acting or str(caller.organization), self.clock())
            recipient = await self._recipient(question)
            self._require_other(caller, recipient)
            answer, versions = self._answered(question, recipient, told)
        except LdnError as error:
            _tell(error, told)
            await self.tell(Asked(caller, question.organization, question.scope, refused=error))
            raise
        await self.tell(Asked(caller, question.organization, question.scope, versions))
        return answer

    async def _recipient(self, question: Question) -> _Recipient:
        name, scope = question.organization, question.scope

        async def ask() -> _Recipient:
            return await self._prepared(name, scope)

        return await self._known.get(f"{name}|{scope}", ask)

    async def _prepared(self, name: str, scope: str) -> _Recipient:
        async with connection(self.registry.pool) as db:
            key = await store.key_for(db, name, scope)
            if key is None:
                text = "this recipient has no key for this scope; it must register one"
                raise LdnError(Issue.NOT_FOUND, text, detail="no key")
            versions = await store.versions_for(db, key.organization, scope)
        public = sealing.public_key(key.pem)
        sealer = Sealer(key.kid, RSAKey(public, public), self.algorithm)
        vault = self.registry.vault
        secrets = tuple((v, vault.secret(v, scope)) for v in versions if v.sealed is not None)
        return _Recipient(key, sealer, secrets)

    def _require_other(self, caller: Caller, recipient: _Recipient) -> None:
        """Who reads the answers and asks the questions can find every BSN by trying them all."""
        asking = {str(caller.organization), caller.acting.rpartition(":")[2]}
        asking |= {str(caller.oin)} if caller.oin else set()
        names = recipient.names()
        if asking & names and not names & set(self.own):
            text = "a recipient may not ask for its own pseudonyms; the operator may allow it"
            raise LdnError(Issue.FORBIDDEN, text, detail="caller is recipient")

    def _answered(
        self, question: Question, recipient: _Recipient, told: dict[str, str]
    ) -> tuple[str, tuple[int, ...]]:
        now = self.clock()
        active = [(v, s) for v, s in recipient.secrets if v.active(now)]
        coming = [(v, s) for v, s in recipient.secrets if v.coming(now)]
        if not active:
            text = "this recipient has no secret that counts now; its administrator's turn"
            raise LdnError(Issue.TRANSIENT, text, detail=_NONE_NOW)
        point = oprf.decoded(question.blinded)
        evaluated = {
            v.version: oprf.encoded(oprf.multiply(s, point)) for v, s in (*active, *coming)
        }
        answer = recipient.sealer.seal(_claims(question, evaluated, now))
        versions = ",".join(map(str, evaluated))
        emit(
            "210400",
            **told,
            oprf_secret_versie=versions,
            ontvanger_pubkey_id=recipient.sealer.kid,
        )
        return answer, tuple(evaluated)


async def destroy_forever(registry: Registry, every: float) -> None:
    """Wipe what ended, now and every so many seconds, until it is cancelled."""
    while True:
        await destroy_now(registry)
        await asyncio.sleep(every)


async def destroy_now(registry: Registry) -> None:
    """Wipe what ended and tell of it; while the store is away, tell that and leave it."""
    try:
        if count := await registry.destroy_ended():
            emit("destroyed", count=count)
    except LdnError as error:
        emit("failed", issue=str(error.issue), detail=error.detail)


def _claims(question: Question, evaluated: Mapping[int, str], now: datetime) -> dict[str, Any]:
    """`evaluated` has the version to write under first; `key_version` is ours, others ignore it.

    Source: PRS app/services/oprf/jwe_token.py.
    """
    newest, issued = next(iter(evaluated)), int(now.timestamp())
    return {
        "subject": f"{SUBJECT}{evaluated[newest]}",
        "aud": question.organization,
        "scope": question.scope,
        "version": "1.1",
        "iat": issued,
        "exp": issued + LIFE,
        "key_version": newest,
        "extra_versions": {str(n): e for n, e in evaluated.items() if n != newest},
    }


def _told(caller: Caller, question: Question) -> dict[str, str]:
    main = str(caller.oin) if caller.oin else f"ura:{caller.organization}"
    return {
        "handelende_oin": caller.acting or main,
        "namens_oin": main,
        "doel_oin": question.organization,
    }


_TYPES = {  # Source: PRS app/services/oprf/oprf_service.py, error_type
    Issue.INVALID: "invalid_blinded_input",
    Issue.FORBIDDEN: "forbidden",
    Issue.THROTTLED: "rate_limited",
}


def _tell(error: LdnError, told: Mapping[str, str]) -> None:
    if error.issue is Issue.NOT_FOUND:
        emit("210403", **told, endpoint="evaluate")
        return
    if error.detail == UNREADABLE:
        emit("270406", error_reason=UNREADABLE)
    kind = _TYPES.get(error.issue, "crypto_evaluation_failure")
    kind = "secret_version_destroyed" if error.detail == _NONE_NOW else kind
    emit("210402", **told, error_type=kind, endpoint="evaluate")
