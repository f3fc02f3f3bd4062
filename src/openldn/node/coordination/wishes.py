"""What an organization's own applications ask of its offers, read and checked."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn, Ura
from openldn.node.ask import Practitioner
from openldn.patterns.exchange import Exchange, UseCase
from openldn.patterns.notified_pull.model import Given, Label, Period, Pointer, Reason

MOST = 25  # receivers of one request
_KEY = re.compile(r"[A-Za-z0-9._-]{16,64}")
_OFFERS = UUID("b6a9c5e2-0f5b-4a37-9d0e-5c2b7a0c9d41")  # ids made of keys are ours alone
_LONGEST = 2000  # characters of a note or a reason
_RELATIVE = re.compile(r"[A-Z][A-Za-z]{1,40}(/(\$[a-z-]{1,40}|[A-Za-z0-9.-]{1,64}))?(\?.*)?")


class _Read(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    def __repr__(self) -> str:
        return f"{type(self).__name__}(•••)"


class Department(_Read, frozen=True, kw_only=True):
    """A department or place, by the identifier that its organization gave it."""

    system: str
    value: str
    assigner: str = ""  # URA of that organization
    display: str = ""


class Part(_Read, frozen=True, kw_only=True):
    """A part of the data."""

    value: str
    code: str = ""
    system: str = ""


class Acting(_Read, frozen=True, kw_only=True):
    """Who of the organization acts; nobody is named when its software does so by itself."""

    practitioner: Practitioner | None = None
    statement: str = ""  # of Dezi about the practitioner, as it was given


class Wish(Acting, frozen=True, kw_only=True):
    """An offer to be made."""

    exchange: str
    bsn: str
    receivers: tuple[str, ...] = ()  # URAs; several are candidates for one request
    use_case: str = ""
    service: Department | None = None
    location: Department | None = None
    note: str = ""
    expires: datetime | None = None
    queries: tuple[Part, ...] | None = None  # None: those of the use case
    resources: tuple[Part, ...] = ()
    key: str = ""  # the application's own; the same wish with the same key is made once


class Dates(_Read, frozen=True, kw_only=True):
    """Another date that is proposed."""

    start: datetime
    end: datetime | None = None


class Why(_Read, frozen=True, kw_only=True):
    """A reason."""

    text: str
    code: str = ""
    system: str = ""


class Word(Acting, frozen=True, kw_only=True):
    """What comes along with an act."""

    reason: Why | None = None
    note: str = ""
    proposed: Dates | None = None


class Fetching(_Read, frozen=True, kw_only=True):
    """Who fetches what an offer names, and why."""

    practitioner: Practitioner
    statement: str = ""
    purpose: str = "TREAT"


def read(kind: type[Any], body: dict[str, Any], whole: str) -> Any:
    """The body as this kind; raises LdnError(invalid) that names the place, never a value."""
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        place = re.search(r"at `\$\.([a-z_.\[\]]{1,40})`", str(error))
        raise LdnError(Issue.INVALID, whole, where=place.group(1) if place else "") from error


def given_of(word: Word) -> Given:
    """What comes along, as the state tables take it; raises LdnError(invalid)."""
    why, dates = word.reason, word.proposed
    _require_short(word.note, "note")
    if why is not None:
        _require_short(why.text, "reason.text")
    reason = Reason(why.text, why.code, why.system) if why else None
    return Given(reason, word.note, _period(dates) if dates else None)


def receivers_of(wish: Wish) -> list[Ura]:
    """Whom it goes to, each once; raises LdnError(invalid)."""
    found = list(dict.fromkeys(Ura.parse(text) for text in wish.receivers))
    named = wish.service.assigner if wish.service else ""
    if not found and named:
        found = [Ura.parse(named)]
    if not 0 < len(found) <= MOST:
        text = f"name 1 to {MOST} receivers by URA, or a service with its assigner"
        raise LdnError(Issue.INVALID, text, where="receivers")
    if wish.service is not None and len(found) > 1:
        text = "a service is of one organization; leave it out to ask several"
        raise LdnError(Issue.INVALID, text, where="service")
    return found


def pointers_of(wish: Wish, exchange: Exchange, case: UseCase) -> tuple[Pointer, ...]:
    """The searches that are offered; raises LdnError: invalid, or forbidden outside the use case.

    Source: R13 (relative only), R76.
    """
    if wish.queries is None and not exchange.releases:
        return ()
    if wish.queries is None:
        plan = exchange.release(case.release).plan
        return tuple(
            Pointer(q.template, q.input.code, q.input.system) if q.input else Pointer(q.template)
            for q in plan
        )
    found = tuple(_pointer(p, "queries") for p in wish.queries)
    _require_within(exchange, case, [p.value for p in found])
    return found


def resources_of(wish: Wish) -> tuple[Pointer, ...]:
    """The single resources that are offered; raises LdnError(invalid)."""
    return tuple(_pointer(p, "resources") for p in wish.resources)


def label_of(service: Department | None, owner: Ura) -> Label | None:
    """The department or place of this organization."""
    if service is None:
        return None
    assigner = Ura.parse(service.assigner) if service.assigner else owner
    return Label(service.system, service.value, assigner, service.display)


def once(wish: Wish, holder: Ura, receiver: Ura) -> str:
    """The id of the offer that comes of a wish with a key: the same for each attempt.

    Empty without a key; raises LdnError(invalid) for one that is none.
    """
    if not wish.key:
        return ""
    if not _KEY.fullmatch(wish.key):
        text = "key: 16 to 64 letters, digits, dots, dashes or underscores; a UUID will do"
        raise LdnError(Issue.INVALID, text, where="key")
    return str(uuid5(_OFFERS, f"{holder}/{receiver}/{wish.key}"))


def patient_of(wish: Wish) -> Bsn:
    """Whom it is about; raises LdnError(invalid)."""
    return Bsn.parse(wish.bsn)


def _require_within(exchange: Exchange, case: UseCase, queries: Sequence[str]) -> None:
    versions = [r.fhir for r in exchange.releases if r.id == case.release or not case.release]
    if versions and (outside := exchange.outside(case, versions[0], queries)):
        text = f"{len(outside)} of the queries lie outside {exchange.code}; leave them out"
        raise LdnError(Issue.FORBIDDEN, text, where="queries")


def _pointer(part: Part, where: str) -> Pointer:
    if not _RELATIVE.fullmatch(part.value) or ".." in part.value or len(part.value) > _LONGEST:
        text = f"{where}: searches and references relative to a FHIR base"
        raise LdnError(Issue.INVALID, text, where=where)
    return Pointer(part.value, part.code, part.system)


def _require_short(text: str, where: str) -> None:
    if len(text) > _LONGEST:
        raise LdnError(Issue.TOO_LONG, f"{where}: at most {_LONGEST} characters", where=where)


def _period(dates: Dates) -> Period:
    return Period(_aware(dates.start), _aware(dates.end) if dates.end else None)


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise LdnError(Issue.INVALID, "a moment needs a time zone", where="proposed")
    return moment
