"""What an offer opens where its dialect sends no authorization base: by Task and receiver.

Source: exchange patterns §2.2 step 2 (a record at the sender of what the receiver may read), §2.6;
pattern rules R22, R23.
"""

from dataclasses import dataclass, replace

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import connection
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion
from openldn.functions.authorization.model import Asked
from openldn.functions.authorization.policy import matches
from openldn.node import documents
from openldn.node.coordination.ledger import Ledger
from openldn.node.coordination.model import Kept
from openldn.node.coordination.register import (
    NOT_YET,
    Entry,
    Pairs,
    Register,
    refused,
    resource_in,
)
from openldn.node.dialects.speech import cases
from openldn.node.dialects.store import Spoken
from openldn.node.sources import Source, Wanted
from openldn.patterns.dialects.table import DIALECTS
from openldn.patterns.notified_pull.model import Offer, Pointer
from openldn.trust.tokens.model import Grant

# Dialects whose tokens are asked with presentations, which have no place for a base.
BASELESS = tuple(code for code, dialect in DIALECTS.items() if "D2" not in dialect.tokens)
_SCOPES = frozenset(case.wire.fetch for code in BASELESS for case in cases(code))


@dataclass(frozen=True)
class Opening:
    """What tokens without a base open, for one organization."""

    ledger: Ledger
    spoken: Spoken
    register: Register
    source: Source  # of STU3

    async def __call__(self, grant: Grant, path: str, pairs: Pairs) -> Entry | None:
        """The entry under which this may be asked; None when no offer is about it.

        Raises LdnError(forbidden) as the register does for a token with a base.
        """
        if grant.authorization_base or not grant.requester.scopes & _SCOPES:
            return await self.register.opens(grant, path, pairs)
        receiver = grant.requester.organization
        async with connection(self.ledger.pool) as db:
            handles = await self.spoken.without_base(db, receiver, BASELESS)
            found = [await self.ledger.offers.read(db, handle) for handle in handles]
        for kept in found:
            entry = await self._open(kept, receiver) if kept else None
            if entry is not None and entry.scope in grant.requester.scopes:
                if (covered := await self._covered(entry, path, pairs)) is not None:
                    return covered
        if any(kept and resource_in(path) in _named(kept.offer) for kept in found):
            raise refused(NOT_YET, "not-yet")
        return None

    async def _open(self, kept: Kept, receiver: Ura) -> Entry | None:
        try:
            return await self.register.of(kept, receiver)
        except LdnError as error:
            if error.issue is not Issue.FORBIDDEN:
                raise
            return None  # over, or not open yet: another offer may be about it

    async def _covered(self, entry: Entry, path: str, pairs: Pairs) -> Entry | None:
        """The entry when it is about what is asked: a part of it, or what a part refers to."""
        place = resource_in(path)
        if place in {p.value for p in entry.open}:
            return entry
        if place.count("/") == 1 and not place.endswith("/_search") and "$" not in place:
            inside = await self._referred(entry, place)
            return replace(entry, open=(*entry.open, Pointer(place))) if inside else None
        return entry if _searched(entry, place, pairs) else None

    async def _referred(self, entry: Entry, place: str) -> bool:
        for pointer in entry.open:
            type_, _, id_ = pointer.value.partition("/")
            if type_ == "Composition" and "?" not in id_:
                wanted = Wanted(FhirVersion.STU3, type_, "", (("_id", id_),))
                for record in (await self.source.search(wanted)).matches:
                    if place in documents.references(record):
                        return True
        return False


def _named(offer: Offer) -> set[str]:
    return {p.value for p in offer.resources}


def _searched(entry: Entry, path: str, pairs: Pairs) -> bool:
    """A search for the patient of this offer that is a part of it."""
    type_, _, rest = path.partition("/")
    operation = rest if rest.startswith("$") else ""
    asked = Asked(type_, tuple(pairs), operation, "operation" if operation else "search-type")
    try:
        named = asked.patient()
    except LdnError:
        return False
    return named == entry.patient and any(matches(asked, row) for row in entry.allowed)
