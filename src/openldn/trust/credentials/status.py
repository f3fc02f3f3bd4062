"""Whether a credential was revoked: lists of bits that its issuer signs, read and kept in bounds.

Source: W3C Bitstring Status List 1.0, StatusList2021 (draft, deployed); GFI-003; A14, R71.
"""

import asyncio
import base64
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.trust import jose
from openldn.trust.credentials.content import VC1, VC2, date, members, moment, subject_of
from openldn.trust.credentials.credential import ISSUING, STATUS, Believing, Trust
from openldn.trust.credentials.did import Did, parse, refuse
from openldn.trust.credentials.did_x509 import ASSERTION, Chain, fingerprint
from openldn.trust.credentials.resolver import Methods, Resolver, of_chain
from openldn.trust.documents import Ask, Documents, Terms
from openldn.trust.evidence import Evidence, Status
from openldn.trust.trail import Rule, Trail

ENTRY = Rule("status.entry", "GFI-003", "the status entry is of a type we know, and whole")
LIST = Rule("status.list", "GFI-003", "the list is a credential of the type that fits the entry")
BY = Rule("status.issuer", "GFI-003", "who issued the credential issued the list")
ENDS = Rule("status.end", "A14", "the list tells until when it serves, and that is not past")
NEWER = Rule("status.rollback", "R71", "the list is not older than the one we had")
BITS = Rule("status.bits", "Bitstring §3.2", "at least 131,072 bits, of a size we unpack")
INDEX = Rule("status.index", "Bitstring §3.2", "the index lies in the list")
PURPOSE = Rule("status.purpose", "Bitstring §3.2", "the list is about what the entry asks")
UNSET = Rule("status.revoked", "R71, A14", "the bit of this credential is not set")
_RULES = {r.code: r for r in (LIST, BY, ENDS, NEWER, BITS, INDEX, PURPOSE, ISSUING)}

FAMILIES = {  # type of the entry -> types of the list and of its subject
    "StatusList2021Entry": ("StatusList2021Credential", "StatusList2021"),
    "BitstringStatusListEntry": ("BitstringStatusListCredential", "BitstringStatusList"),
}
REFUSING = frozenset({"revocation", "suspension"})  # purposes whose bit refuses
LEAST, LARGEST = 16 * 1024, 16 * 1024 * 1024  # bytes of a list, unpacked
FRESH, STALE = 30.0, 3600.0  # seconds a list serves unasked, and at most
_MOST_ENTRIES = 4
_PATIENCE = 0.9  # seconds a request waits for a list
_ASK = Ask(accept="application/jwt, application/vc+jwt, */*")


@dataclass(frozen=True)
class StatusList:
    """A list that its issuer signed."""

    issuer: str
    kind: str
    purposes: frozenset[str]
    bits: bytes = field(repr=False)
    issued: datetime
    ends: datetime
    chain: Chain | None = None  # of a did:x509

    def set(self, index: int, trail: Trail) -> bool:
        """Whether this bit is set; the first is the leftmost. Raises LdnError beyond the list."""
        trail.require(0 <= index < len(self.bits) * 8, INDEX)
        return bool(self.bits[index // 8] & (0x80 >> index % 8))


@dataclass(frozen=True)
class StatusLists:
    """The status lists of others; the port `credential.Statuses`."""

    documents: Documents
    resolver: Resolver
    belief: Believing
    trust: Trust
    clock: Clock
    fresh: float = FRESH
    stale: float = STALE

    async def check(
        self, content: Mapping[str, Any], issuer: Did, trail: Trail, *, unknown: bool = False
    ) -> tuple[Status, ...]:
        """Where the status of this credential stands, none of them set.

        Raises LdnError(the trail's issue), also for a list that cannot be had, unless `unknown`
        lets that pass.
        """
        found = content.get("credentialStatus")
        entries = found if isinstance(found, list) else [found]
        trail.require(0 < len(entries) <= _MOST_ENTRIES, ENTRY)
        statuses = []
        for entry in entries:
            status, kind = _entry(entry, trail)
            if status.purpose in REFUSING:
                statuses.append(status)
                await self._require_unset(status, kind, issuer, trail, unknown=unknown)
        return tuple(statuses)

    async def still(self, evidence: Evidence) -> bool:
        """Whether its bit is unset still; raises LdnError when that cannot be known now."""
        if evidence.status is None or evidence.status.index < 0:
            return evidence.expires > self.clock()
        trail = Trail(issue=Issue.INCOMPLETE)
        issuer = parse(evidence.issuer, trail)
        listed = await self._list(evidence.status, issuer, trail)
        return not listed.set(evidence.status.index, trail)

    async def _require_unset(
        self, status: Status, kind: str, issuer: Did, trail: Trail, *, unknown: bool
    ) -> None:
        inner = Trail(issue=trail.issue)
        try:
            listed = await self._list(status, issuer, inner)
            inner.require(listed.kind == FAMILIES[kind][0], LIST)
            inner.require(status.purpose in listed.purposes, PURPOSE)
            revoked = listed.set(status.index, inner)
        except LdnError as error:
            if unknown:
                trail.skip(STATUS, error.detail)
                return
            refuse(_RULES.get(error.detail, STATUS), _noting(trail, error.detail))
        trail.note(STATUS, status.url)
        trail.require(not revoked, UNSET, status.purpose)

    async def _list(self, status: Status, issuer: Did, trail: Trail) -> StatusList:
        try:
            async with asyncio.timeout(_PATIENCE):
                listed = await self._had(status.url, issuer, trail)
        except TimeoutError as error:
            text = "the status list did not come in time; its operator's turn"
            raise LdnError(Issue.TIMEOUT, text, detail="status: late") from error
        trail.require(listed.issuer == issuer.text, BY)
        if listed.chain is not None:
            await self.belief.believe(listed.chain.certificates, trail)
        return listed

    async def _had(self, url: str, issuer: Did, trail: Trail) -> StatusList:
        """The list: as it is while fresh, behind a renewal for a moment, then only when renewed.

        The last good one serves on while no new one can be had.
        """
        methods = None
        if issuer.method != "x509":
            methods = await self.resolver.methods(issuer, {}, trail)
        reading = _Reading(issuer, methods, self.trust, self.clock)
        terms = Terms(_one_of(reading, url), self.fresh, self.stale, lambda s: s.ends)
        # kept apart by issuer: what a stranger makes of another's list must not stand in its way
        place = f"{url}#{issuer.text}"
        if (self.documents.age(place) or 0.0) > 2 * self.fresh:
            with suppress(LdnError, TimeoutError):
                async with asyncio.timeout(_PATIENCE / 2):
                    return await self.documents.refresh(place, terms, _ASK)
        return await self.documents.get(place, terms, _ASK)


@dataclass(frozen=True)
class _Reading:
    """What a list must meet before it replaces the last good one."""

    issuer: Did
    methods: Methods | None
    trust: Trust
    clock: Clock

    def read(self, text: str, url: str, last: StatusList | None) -> StatusList:
        trail = Trail()
        token = jose.read(text, trail)
        trail.require(token.claim("iss") == self.issuer.text, BY)
        methods = self.methods or of_chain(self.issuer, token.header, trail)
        if methods.chain is not None:
            trail.require(fingerprint(methods.authority) in self.trust.issuing, ISSUING)
        key = methods.key(token.header_text("kid"), (ASSERTION,), trail)
        jose.verify(token, key, jose.ALGORITHMS, trail)
        vc = token.claims.get("vc", token.claims)
        issued, ends = _dates(token, vc if isinstance(vc, dict) else {}, trail)
        trail.require(ends > self.clock(), ENDS)
        trail.require(
            last is None or last.issuer != self.issuer.text or issued >= last.issued, NEWER
        )
        kind, subject = _subject(vc, url, trail)
        bits = unpacked(subject.get("encodedList"), trail)
        purposes = frozenset(members(subject, "statusPurpose"))
        return StatusList(self.issuer.text, kind, purposes, bits, issued, ends, methods.chain)


def unpacked(encoded: object, trail: Trail) -> bytes:
    """The bits in an encodedList; raises LdnError(the trail's issue) for a bomb or a short list."""
    try:
        text = str(encoded).removeprefix("u").rstrip("=").translate(_URL_SAFE)
        packed = jose.unpadded(text)
        unpacker = zlib.decompressobj(wbits=31)
        bits = unpacker.decompress(packed, LARGEST + 1)
    except (LdnError, zlib.error):
        refuse(BITS, trail)
    whole = unpacker.eof and not unpacker.unused_data
    trail.require(whole and LEAST <= len(bits) <= LARGEST, BITS)
    return bits


_URL_SAFE = str.maketrans("+/", "-_")


def _one_of(reading: _Reading, url: str) -> Callable[[bytes, StatusList | None], StatusList]:
    def read(body: bytes, last: StatusList | None) -> StatusList:
        # sent as it is, or as a JSON text
        text = body.decode("latin-1").strip().strip('"')
        return reading.read(text, url, last)

    return read


def _entry(entry: Any, trail: Trail) -> tuple[Status, str]:
    """Where an entry points, and its type."""
    if not isinstance(entry, dict):
        refuse(ENTRY, trail)
    kinds = members(entry, "type")
    index, url = entry.get("statusListIndex"), entry.get("statusListCredential")
    index = str(index) if isinstance(index, int) and not isinstance(index, bool) else index
    purpose = entry.get("statusPurpose", "revocation")
    fits = len(kinds) == 1 and kinds[0] in FAMILIES and entry.get("statusSize", 1) == 1
    if not fits or not isinstance(index, str) or not isinstance(url, str):
        refuse(ENTRY, trail)
    digits = index.isascii() and index.isdigit() and len(index) <= 9
    trail.require(digits and isinstance(purpose, str) and len(url) <= 2000, ENTRY)
    return Status(url, int(index), str(purpose)), kinds[0]


def _subject(vc: Any, url: str, trail: Trail) -> tuple[str, Mapping[str, Any]]:
    """The type of a list and its subject, of one family."""
    if not isinstance(vc, dict):
        refuse(LIST, trail)
    subject = subject_of(vc)
    pairs = {one: other for one, other in FAMILIES.values()}
    kinds = [k for k in members(vc, "type") if k in pairs]
    contexts = members(vc, "@context")[:1]
    if len(kinds) != 1 or subject is None or contexts not in ((VC1,), (VC2,)):
        refuse(LIST, trail)
    fits = subject.get("type") == pairs[kinds[0]] and vc.get("id", url) == url
    trail.require(fits, LIST)
    return kinds[0], subject


def _dates(token: jose.Jws, vc: Mapping[str, Any], trail: Trail) -> tuple[datetime, datetime]:
    issued = date(token.claims, "nbf", trail) or date(token.claims, "iat", trail)
    issued = issued or moment(vc.get("validFrom")) or moment(vc.get("issuanceDate"))
    given = (
        date(token.claims, "exp", trail),
        moment(vc.get("validUntil")),
        moment(vc.get("expirationDate")),
    )
    ends = [end for end in given if end is not None]
    if issued is None or not ends:
        refuse(ENDS, trail)
    return issued, min(ends)


def _noting(trail: Trail, said: str) -> Trail:
    """The trail, with what was found on the way to the refusal."""
    trail.skip(STATUS, said)
    return trail


def packed(bits: bytes, kind: str) -> str:
    """The encodedList of these bits for a list of this entry type."""
    squeezed = zlib.compressobj(level=9, wbits=31)
    text = base64.urlsafe_b64encode(squeezed.compress(bits) + squeezed.flush()).rstrip(b"=")
    return ("u" if kind == "BitstringStatusListEntry" else "") + text.decode()
