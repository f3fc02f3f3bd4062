"""A Bundle of type transaction: read into acts, answered entry by entry.

Source: specification of localization §5.3, §5.4; rules L27-L32; hl7.org/fhir/R4/http.html#trules.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from openldn.base.errors import Issue, LdnError
from openldn.fhir.model import Resource, outcome
from openldn.functions.localization.lists import read_list, show_list
from openldn.functions.localization.model import READ, Act, Done, Filter, Find, Record, Remove
from openldn.functions.localization.parameters import Asked, id_of, read_parameters
from openldn.functions.localization.profiles import Profile
from openldn.functions.localization.service import UNKNOWN, at_entry
from openldn.trust.parties import Caller

MOST = 200  # entries
_NOBODY = "00000000-0000-0000-0000-000000000000"
_UPDATES = frozenset({"PUT", "PATCH"})
DUPLICATE = "this is registered already; nothing was changed"


def read_bundle(value: Any, profile: Profile, caller: Caller) -> list[Act]:
    """What the entries ask, in order; raises LdnError that names the entry.

    business-rule for another resource or type, invalid when it is empty, security or
    business-rule (by profile) for an update, too-long beyond 200 entries.
    """
    if not isinstance(value, dict) or value.get("resourceType") != "Bundle":
        raise profile.other("a resource of another type")
    if value.get("type") != "transaction":
        raise LdnError(
            Issue.BUSINESS_RULE, "send a Bundle of type transaction", where="Bundle.type"
        )
    entries = value.get("entry")
    if not isinstance(entries, list) or not entries:
        raise LdnError(Issue.INVALID, "the Bundle has no entries", where="Bundle.entry")
    if len(entries) > MOST:
        raise LdnError(Issue.TOO_LONG, f"more than {MOST} entries; send less at once")
    return [_entry(entry, place, profile, caller) for place, entry in enumerate(entries)]


def _entry(entry: Any, place: int, profile: Profile, caller: Caller) -> Act:
    try:
        return _act(entry, profile, caller)
    except LdnError as error:
        status = 400 if error.issue is Issue.STRUCTURE else error.status
        known = LdnError(error.issue, error.message, error.detail, status=status)
        raise at_entry(known, place) from error


def _act(entry: Any, profile: Profile, caller: Caller) -> Act:
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict):
        raise _unreadable("it has no request")
    method, url = str(request.get("method")), request.get("url")
    if method in _UPDATES:
        text = "records are not changed: remove the old one and register the new one"
        issue = Issue.SECURITY if profile.changed == 403 else Issue.BUSINESS_RULE
        raise LdnError(issue, text, status=profile.changed)
    if not isinstance(url, str):
        raise _unreadable("its request has no url")
    path, question, query = url.lstrip("/").partition("?")
    if method == "POST" and path == "List" and not question:
        require_source(caller)
        return read_list(entry.get("resource"), profile, caller)
    if method not in {"GET", "DELETE"} or path.split("/")[0] != "List":
        raise _unreadable("its request is none of POST List, GET List, DELETE List")
    if path != "List":
        wanted = by_id(path.removeprefix("List/"))
        return Find(wanted, scope=READ) if method == "GET" else Remove(wanted)
    asked = read_parameters(parse_qsl(query, keep_blank_values=True), profile)
    return find(asked.filter) if method == "GET" else removal(asked, caller)


def by_id(text: str) -> Filter:
    """One record; an id that is none of ours finds nothing, like any other unknown id."""
    return Filter(id=id_of(text) or _NOBODY)


def removal(asked: Asked, caller: Caller) -> Remove:
    """A removal by what it is about; raises LdnError(invalid) when that could be everything."""
    require_source(caller)
    if not asked.complete or not asked.filter.bounded:
        text = "say of what, with system and value: subject:identifier or source:identifier"
        raise LdnError(Issue.INVALID, text)
    return Remove(asked.filter)


def find(wanted: Filter) -> Find:
    """A search: of a patient alone it is for every holder, else for the caller's own."""
    return Find(wanted, own=not wanted.token or bool(wanted.source))


def require_source(caller: Caller, status: int = 403) -> None:
    """Raises LdnError unless it is known which application of the organization calls."""
    if not caller.source:
        text = "the token does not say which application calls (source id); ask one that does"
        issue = Issue.FORBIDDEN if status == 403 else Issue.INVALID
        raise LdnError(issue, text, detail="source id", status=status)


@dataclass(frozen=True)
class Answering:
    """How answers are written: in this profile, with addresses below this origin."""

    profile: Profile
    public: str

    def address(self, record: Record) -> str:
        """Where a record stands."""
        return f"{self.public}{self.profile.base}/List/{record.id}"

    def searchset(self, records: Sequence[Record], following: str = "") -> Resource:
        """The records as a searchset Bundle; `following` is the address of the next page."""
        found: Resource = {"resourceType": "Bundle", "type": "searchset"}
        if following:
            found["link"] = [{"relation": "next", "url": following}]
        else:
            found["total"] = len(records)
        if records:
            found["entry"] = [
                {
                    "fullUrl": self.address(record),
                    "resource": show_list(record, self.profile),
                    "search": {"mode": "match"},
                }
                for record in records
            ]
        return found

    def bundle(self, acts: Sequence[Act], done: Sequence[Done]) -> Resource:
        """The answer to a transaction, entry by entry."""
        entries = [self._entry(act, came) for act, came in zip(acts, done, strict=True)]
        return {"resourceType": "Bundle", "type": self.profile.bundle, "entry": entries}

    def _entry(self, act: Act, done: Done) -> Resource:
        if isinstance(act, Find):
            if not act.filter.id:
                return self._answered(200, self.searchset(done.records))
            if done.records:
                return self._answered(200, show_list(done.records[0], self.profile))
            return self._answered(404, outcome(Issue.NOT_FOUND, UNKNOWN))
        if isinstance(act, Remove):
            if act.filter.id and not done.records:
                return self._answered(404, outcome(Issue.NOT_FOUND, UNKNOWN))
            return self._answered(self.profile.deleted)
        if done.duplicate:
            return self._answered(409, outcome(Issue.CONFLICT, DUPLICATE))
        [record] = done.records
        entry = self._answered(201, show_list(record, self.profile))
        entry["fullUrl"] = entry["response"]["location"] = self.address(record)
        return entry

    def _answered(self, status: int, resource: Resource | None = None) -> Resource:
        text = f"{status} {HTTPStatus(status).phrase}" if self.profile.strict else str(status)
        entry: Resource = {"response": {"status": text}}
        if resource is not None and resource["resourceType"] == "OperationOutcome":
            entry["response"]["outcome"] = resource
        elif resource is not None:
            entry["resource"] = resource
        return entry


def _unreadable(what: str) -> LdnError:
    return LdnError(Issue.STRUCTURE, f"the entry cannot be read: {what}")
