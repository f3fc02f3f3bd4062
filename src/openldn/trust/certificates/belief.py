"""Whether we believe a certificate now: its chain leads to our anchors and nobody revoked it.

Documents are fetched only for certificates whose chain already leads to our anchors, so that a
stranger cannot make us fetch anything. Source: RFC 5280 §6; trust and broker §1 (7), §4.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from openldn.base.errors import Issue, LdnError
from openldn.base.log import emit
from openldn.base.runtime import Clock
from openldn.trust.certificates.chain import CHAIN, Anchors
from openldn.trust.certificates.party import load, thumbprint
from openldn.trust.certificates.revocation import (
    Crl,
    Document,
    Freshness,
    Pair,
    Source,
    sources,
)
from openldn.trust.documents import Documents
from openldn.trust.evidence import Evidence, Kind, Status
from openldn.trust.trail import Rule, Trail

NONE, CRL_HARD, CRL_OR_OCSP = "none", "crl-hard", "crl-or-ocsp"
POLICIES = {CRL_HARD: ("crl",), CRL_OR_OCSP: ("crl", "ocsp")}

KNOWN = Rule("certificate.status", "RFC 5280 §6.3", "its issuer tells, recently, what is revoked")
REVOKED = Rule("certificate.revoked", "RFC 5280 §6.3.3", "its issuer has not revoked it")

PATIENCE = 0.7  # seconds a request waits for all it must learn of one chain
REMEMBERED = 300.0  # seconds the path of a chain is not built again
_MOST = 10_000  # chains remembered
DEFAULT = Freshness()
_AT_ONCE = 8  # documents renewed at the same time
_IDLE = 3600.0  # seconds after which a source nobody asks for is no longer renewed

_Chain = tuple[str | x509.Certificate, ...]  # the policy, and the certificates, leaf first
Cleared = tuple[Source, Document]  # where we looked, and the document that does not revoke


@dataclass
class _Verdict:
    """A chain that leads to our anchors, and what was last found of its certificates."""

    path: tuple[x509.Certificate, ...] = field(repr=False)
    evidence: Evidence = field(repr=False)
    since: datetime
    until: datetime
    clear: tuple[Cleared, ...] = field(default=(), repr=False)  # replaced whole, never changed


@dataclass
class _Used:
    source: Source
    pair: Pair = field(repr=False)
    moment: datetime
    failing: bool = False  # told in the log once, until it comes again


@dataclass
class Belief:
    """Who is believed, and for how long. Without `documents` nothing is known of revocation."""

    anchors: Anchors
    documents: Documents | None
    clock: Clock
    freshness: Freshness = DEFAULT
    _verdicts: dict[_Chain, _Verdict] = field(default_factory=dict, repr=False)
    _used: dict[str, _Used] = field(default_factory=dict, repr=False)
    _examining: dict[int, asyncio.Task[None]] = field(default_factory=dict, repr=False)

    async def believe(
        self, chain: Sequence[x509.Certificate], trail: Trail, revocation: str = CRL_HARD
    ) -> Evidence:
        """The leaf (first in `chain`) as evidence, once it is believed.

        `revocation` is that of the peer's profile: `crl-hard` (a list for each certificate, or
        nothing), `crl-or-ocsp`, or `none`; what we do not know counts as `crl-hard`. Raises
        LdnError(the trail's issue); the detail names the check and, when what is revoked cannot
        be known, the authority and the address. Nobody waits longer than a second.
        """
        policy = revocation if revocation in (NONE, CRL_OR_OCSP) else CRL_HARD
        verdict = self._led(chain, policy, trail)
        if policy == NONE:
            trail.skip(REVOKED, "not asked of this peer")
            return verdict.evidence
        cleared = verdict.clear
        if not await self._still_clear(cleared):
            cleared = verdict.clear = await self._clear(verdict, policy, trail)
        for source, _ in cleared:
            trail.note(KNOWN, str(source))
        trail.note(REVOKED)
        return verdict.evidence

    async def still(self, evidence: Evidence) -> bool:
        """Whether what was believed still counts; False once it is revoked or has ended.

        It is asked as it was when believed; evidence that does not tell counts as `crl-hard`.
        Raises LdnError(incomplete), naming the authority and the address, when it cannot be
        known within the bounds.
        """
        policy = evidence.status.purpose if evidence.status else CRL_HARD
        trail = Trail()
        try:
            chain = [load(der) for der in evidence.chain]
            await self.believe(chain, trail, policy)
        except LdnError as error:
            if trail.failed is None or trail.failed.rule is not KNOWN:
                return False
            text = f"cannot know whether a certificate is revoked: {trail.failed.said}"
            raise LdnError(Issue.INCOMPLETE, text, detail=KNOWN.code) from error
        return True

    async def refresh(self) -> int:
        """Renew what was used and is about to be looked at again; how many could not be.

        Each failure is an event in the log, with the authority's address.
        """
        if self.documents is None:
            return 0
        due = [u for u in list(self._used.values()) if self._due(u)]
        slots = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._attempt(used, slots)) for used in due]
        return sum(not task.result() for task in tasks)

    async def _attempt(self, used: _Used, slots: asyncio.Semaphore) -> bool:
        async with slots:
            try:
                await self._renew(used)
            except LdnError as error:
                if not used.failing:
                    detail = f"{used.source}: {error.detail or error.message}"
                    emit("unrenewed", issue=str(error.issue), detail=detail)
                used.failing = True
                return False
            used.failing = False
        return True

    async def refresh_forever(self, every: float = 10.0) -> None:
        """Renew in the background for as long as this runs; `every` is seconds between looks."""
        while True:
            await self.refresh()
            await asyncio.sleep(every)

    def _led(self, chain: Sequence[x509.Certificate], policy: str, trail: Trail) -> _Verdict:
        now = self.clock()
        key: _Chain = (policy, *chain)  # certificates are equal when all their bytes are
        kept = self._verdicts.get(key)
        if kept is None or not kept.since <= now < kept.until:
            self._verdicts.pop(key, None)
            kept = self._built(chain, policy, trail)
            while len(self._verdicts) >= _MOST:
                del self._verdicts[next(iter(self._verdicts))]
            self._verdicts[key] = kept
        trail.note(CHAIN, kept.evidence.issuer)
        return kept

    def _built(self, chain: Sequence[x509.Certificate], policy: str, trail: Trail) -> _Verdict:
        now = self.clock()
        try:
            path = self.anchors.path(chain, now)
        except LdnError as error:
            trail.require(False, CHAIN, error.detail)
            raise
        ends = min(c.not_valid_after_utc for c in path)
        ders = tuple(c.public_bytes(Encoding.DER) for c in path)
        issuer = path[0].issuer.rfc4514_string()
        first = self._sources((path[0], path[1]), policy)
        status = Status(first[0].url if first else "", purpose=policy)  # `still` asks the same
        evidence = Evidence(Kind.CERTIFICATE, thumbprint(ders[0]), issuer, ends, status, ders)
        return _Verdict(path, evidence, now, min(ends, now + timedelta(seconds=REMEMBERED)))

    async def _still_clear(self, cleared: tuple[Cleared, ...]) -> bool:
        """Whether every document that cleared this chain is still the one we have."""
        if self.documents is None or not cleared:
            return False
        try:
            for source, document in cleared:
                if await self.documents.get(source.key, source.terms, source.ask) is not document:
                    return False
                self._used[source.key].moment = self.clock()
        except (LdnError, KeyError):
            return False
        return True

    async def _clear(self, verdict: _Verdict, policy: str, trail: Trail) -> tuple[Cleared, ...]:
        """What clears each certificate below the anchor; all are looked at the same time."""
        verdict.clear = ()
        pairs = list(pairwise(verdict.path))
        async with asyncio.TaskGroup() as group:
            asks = [group.create_task(self._found(pair, policy)) for pair in pairs]
        cleared = []
        for pair, ask in zip(pairs, asks, strict=True):
            found = ask.result()
            if isinstance(found, str):
                raise self._unknown(trail, found)
            if found[1].revokes(pair):
                trail.require(False, REVOKED, str(found[0]))
            cleared.append(found)
        return tuple(cleared)

    async def _found(self, pair: Pair, policy: str) -> Cleared | str:
        """A sound document about this certificate, or in words what kept us from one."""
        asked = self._sources(pair, policy)
        if self.documents is None:
            return "this node fetches no revocation lists; set them up"
        why = f"the certificate of {pair[1].subject.rfc4514_string()} names no place to ask"
        for source in asked:
            try:
                async with asyncio.timeout(PATIENCE / len(asked)):
                    return source, await self._document(source, pair)
            except (LdnError, TimeoutError) as error:
                said = error.detail or error.message if isinstance(error, LdnError) else "late"
                why = f"{source}: {said}"
        return why

    async def _document(self, source: Source, pair: Pair) -> Document:
        assert self.documents is not None  # noqa: S101
        self._note_use(source, pair)
        found = await self.documents.get(source.key, source.terms, source.ask)
        return await self._sound(found, pair)

    def _note_use(self, source: Source, pair: Pair) -> None:
        if (used := self._used.get(source.key)) is not None:
            used.moment = self.clock()
            return
        while len(self._used) >= _MOST:
            del self._used[next(iter(self._used))]
        self._used[source.key] = _Used(source, pair, self.clock())

    async def _sound(self, document: Document, pair: Pair) -> Document:
        """This document, or the last good one while the library examines a new list.

        A list is examined once, outside the event loop: a long one takes seconds.
        """
        if not isinstance(document, Crl) or document.fault == "":
            return document
        task = self._examination(document, pair) if document.fault is None else None
        last = document.before
        if last is not None and last.serves(self.clock(), self.freshness.longest):
            return last
        if task is not None:
            await asyncio.shield(task)
        return document.sound()

    async def _renew(self, used: _Used) -> None:
        """Fetch and examine anew, however long that takes; raises LdnError(incomplete, …)."""
        assert self.documents is not None  # noqa: S101
        source = used.source
        found = await self.documents.refresh(source.key, source.terms, source.ask)
        if isinstance(found, Crl):
            if found.fault is None:
                await self._examination(found, used.pair)
            found.sound()

    def _examination(self, document: Crl, pair: Pair) -> asyncio.Task[None]:
        mark = id(document)
        task = self._examining.get(mark)
        if task is None:
            work = asyncio.to_thread(document.examine, pair, self.clock())
            task = self._examining[mark] = asyncio.create_task(work)
            task.add_done_callback(lambda _: self._examining.pop(mark, None))
        return task

    def _sources(self, pair: Pair, policy: str) -> list[Source]:
        kinds = POLICIES.get(policy, ())
        return [s for kind in kinds for s in sources(pair, kind, self.freshness, self.clock)]

    def _due(self, used: _Used) -> bool:
        assert self.documents is not None  # noqa: S101
        if (self.clock() - used.moment).total_seconds() > _IDLE:
            del self._used[used.source.key]
            return False
        age = self.documents.age(used.source.key)
        return age is None or age >= self.freshness.fresh / 2

    def _unknown(self, trail: Trail, said: str) -> LdnError:
        """The refusal when nothing can be known; who asks learns nothing, the log learns all."""
        try:
            trail.require(False, KNOWN, said)
        except LdnError as error:
            return LdnError(error.issue, error.message, detail=f"{KNOWN.code}: {said}")
        raise AssertionError("a failed check refuses")
