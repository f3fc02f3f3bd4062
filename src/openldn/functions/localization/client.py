"""The port of localization at an index elsewhere; one row of DIALECTS per wire profile.

The client survives what the national index does beyond its guide: `resource_type`, 201 for a
removal, `searchset` as the answer to a Bundle, a source system of its own.
Source: specification of localization §5.3-§5.5; rules L17, L18, L21, L24, L42.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient
from openldn.base.runtime import NewId
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import Bsn, Ura
from openldn.fhir.model import Resource
from openldn.functions.localization.categories import require_category
from openldn.functions.localization.dialects import DIALECTS, Dialect, Holder, Seen
from openldn.functions.localization.model import (
    CREATE,
    DELETE,
    LOCALIZE,
    BearerOf,
    TokenOf,
)
from openldn.functions.localization.parameters import id_of

_MOST_PAGES = 100_000
_GONE = {404, 410}
_LATER = {429: Issue.THROTTLED, 503: Issue.TRANSIENT}


@dataclass(frozen=True)
class Heard:
    """What the index answered: its status, and its body when that was JSON."""

    status: int
    body: Any = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def well(self) -> bool:
        """Whether it succeeded."""
        return 200 <= self.status < 300


@dataclass(frozen=True)
class LocalizationClient:
    """One organization's dealings with an index, in one dialect."""

    http: HttpClient = field(repr=False)
    base: str  # FHIR base of the index (URL), without trailing slash
    holder: Holder
    token: TokenOf = field(repr=False)
    bearer: BearerOf = field(repr=False)
    new_id: NewId
    dialect: Dialect = DIALECTS["list-2026"]
    deadline: float = 10.0  # seconds for one call

    @property
    def categorized(self) -> bool:
        """Whether this index keeps categories apart; else a patient has one record."""
        return self.dialect.code

    async def register(self, patient: Bsn, category: str = "") -> None:
        """Say that we hold data of this patient; saying it again changes nothing.

        Raises LdnError: business-rule for a category that is none or that the dialect wants,
        incomplete when the index refuses, transient or timeout when it is away.
        """
        require_category(category)
        if self.dialect.needs_code and not category:
            text = f"{self.dialect.name} registers a data category at a time; name it"
            raise LdnError(Issue.BUSINESS_RULE, text)
        body = self.dialect.make(self.holder, await self.token(patient), category)
        heard = await self.send("POST", f"/{self.dialect.type}", CREATE, body=body)
        if not heard.well and heard.status != 409:
            raise refused(heard)

    async def withdraw(self, patient: Bsn, category: str = "") -> None:
        """Take back what `register` said; nothing there is no error.

        Raises LdnError as `register` does; business-rule for a category where the index keeps
        none, for that would take back the others as well.
        """
        require_category(category)
        if category and not self.categorized:
            text = f"{self.dialect.name} keeps no categories; withdraw the patient as a whole"
            raise LdnError(Issue.BUSINESS_RULE, text)
        for seen in await self.registered(patient):
            if not category or seen.category == category:
                await self.remove(seen.id)

    async def holders(self, patient: Bsn, category: str = "") -> list[Ura]:
        """Who holds data of this patient, each once, in order; raises LdnError as `register`."""
        require_category(category)
        return sorted({seen.custodian for seen in await self._found(patient, category)})

    async def registered(self, patient: Bsn) -> list[Seen]:
        """What stands at the index of us, by this application, about this patient."""
        found = await self._found(patient, "")
        return [seen for seen in found if self._ours(seen)]

    async def own(self) -> list[str]:
        """The ids of all records of this application, in pages where the index gives them.

        Raises LdnError as `register` does, also when the index cannot list that many.
        """
        d = self.dialect
        wanted = d.own(self.holder)
        path = f"/{d.type}?{urlencode(require_complete(wanted))}"
        ids: list[str] = []
        for _ in range(_MOST_PAGES):
            body = _bundle(await self.send("GET", path, LOCALIZE))
            ids += [seen.id for seen in self._seen(body) if self._ours(seen)]
            following = next_of(body)
            if not following:
                return ids
            query = urlsplit(following).query
            path = f"/{d.type}?{query}"
        raise LdnError(Issue.INCOMPLETE, "the index gives pages without end; its operator's turn")

    async def remove(self, id: str) -> None:
        """Take away one record of ours; one that is gone is no error."""
        if not id_of(id):
            raise LdnError(Issue.INCOMPLETE, "the index gave a record without a usable id")
        heard = await self.send("DELETE", f"/{self.dialect.type}/{id}", DELETE)
        if not heard.well and heard.status not in _GONE:
            raise refused(heard)

    def _ours(self, seen: Seen) -> bool:
        source = seen.source in ("", self.holder.source)  # a dialect may show no source
        return seen.custodian == self.holder.ura and source

    async def _found(self, patient: Bsn, category: str) -> list[Seen]:
        d = self.dialect
        wanted = [(d.subject, f"{d.subject_system}|{await self.token(patient)}")]
        if category and d.code:
            wanted.append(("code", category))
        query = urlencode(require_complete(wanted))
        body = _bundle(await self.send("GET", f"/{d.type}?{query}", LOCALIZE))
        if next_of(body):
            text = "the index answers about one patient in pages; what it left out is unknown"
            raise LdnError(Issue.INCOMPLETE, text)
        return self._seen(body)

    def _seen(self, body: Resource) -> list[Seen]:
        try:
            entries = body.get("entry") or []
            found = [entry["resource"] for entry in entries]
            return [self.dialect.read(r) for r in found if _kind(r) == self.dialect.type]
        except (LookupError, TypeError, AttributeError, LdnError) as error:
            raise _unusable() from error

    async def send(
        self, method: str, path: str, scope: str, *, body: Resource | None = None
    ) -> Heard:
        """One call below the base, whatever comes of it; raises LdnError only without answer."""
        headers = {
            "authorization": f"Bearer {await self.bearer(scope)}",
            "accept": "application/fhir+json",
            "x-request-id": self.new_id(),
        }
        if body is not None:
            headers["content-type"] = "application/fhir+json"
        reply = await self.http.send(
            method,
            self.base + path,
            headers=headers,
            body=dump(body) if body is not None else None,
            deadline=self.deadline,
        )
        try:
            heard = parse(reply.body) if reply.body else None
        except LdnError:
            heard = None
        return Heard(reply.status, heard, reply.headers)


def require_complete(wanted: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    """The same parameters; raises LdnError(invalid) for an identifier that could mean all.

    There is an index that answers `|x` with every record of the caller, and removes them.
    """
    for name, value in wanted:
        system, _, rest = value.partition("|")
        if name.endswith("identifier") and not (system and rest):
            text = "an identifier needs its system and its value; nothing was sent"
            raise LdnError(Issue.INVALID, text)
    return wanted


def refused(heard: Heard) -> LdnError:
    """The refusal of an index in our words; its own text may repeat what was sent."""
    code = ""
    if isinstance(heard.body, dict) and _kind(heard.body) == "OperationOutcome":
        issues = heard.body.get("issue")
        first = issues[0] if isinstance(issues, list) and issues else None
        code = str(first.get("code", ""))[:40] if isinstance(first, dict) else ""
    issue = _LATER.get(heard.status, Issue.INCOMPLETE)
    text = f"the index answers with status {heard.status}; look at its log by the request id"
    return LdnError(issue, text, detail=f"index {heard.status} {code}".strip())


def _kind(value: Any) -> str:
    """The type of a resource, also where its key is written `resource_type` (rule L42)."""
    if not isinstance(value, dict):
        return ""
    return str(value.get("resourceType") or value.get("resource_type") or "")


def _bundle(heard: Heard) -> Resource:
    if not heard.well:
        raise refused(heard)
    if _kind(heard.body) != "Bundle":
        raise _unusable()
    found: Resource = heard.body
    return found


def next_of(body: Resource) -> str:
    """The address of the next page; empty when there is none."""
    links = body.get("link")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("relation") == "next":
            return str(link.get("url", ""))
    return ""


def _unusable() -> LdnError:
    return LdnError(Issue.INCOMPLETE, "the answer of the index cannot be read; its operator's turn")
