"""The directory as a node sees it: questions over FHIR (ITI-90), own entries kept up to date.

Whether someone takes part is never answered from an old answer: when the directory is away, the
answer is an error and the caller refuses. An address may serve a minute longer.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode, urljoin

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import Clock
from openldn.fhir.codec import Format, decode, dump
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.addressing.model import Endpoint, Organization
from openldn.functions.addressing.resources import (
    endpoint_for,
    entries,
    organization_id,
    organization_of,
)
from openldn.trust.remembering import Remembered

_JSON = {"accept": "application/fhir+json"}
_WRITE = {**_JSON, "content-type": "application/fhir+json; fhirVersion=4.0"}
_PAGES = 100  # pages followed at most
_LIST = 4  # times the deadline of one call that a whole list may take


@dataclass
class DirectoryClient:
    """Asks the directory at `base`; keeps answers for a moment."""

    http: HttpClient
    base: str  # FHIR R4 base, without trailing slash
    clock: Clock
    deadline: float = 5.0  # seconds for one call
    fresh: float = 10.0  # seconds an answer is used without asking again
    stale: float = 60.0  # seconds an address is used while the directory is away
    page: int = 200  # entries asked at once
    _parties: Remembered[list[Organization]] = field(init=False, repr=False)
    _addresses: Remembered[list[Resource]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._parties = Remembered(self.clock, self.fresh)
        self._addresses = Remembered(self.clock, self.fresh, self.stale)

    async def organizations(self) -> list[Organization]:
        """Every care provider, active or not, by name; raises LdnError when it cannot be asked."""

        async def ask() -> list[Resource]:
            return await self._search("Organization", [])

        found = await self._addresses.get("organizations", ask)
        known = [o for o in map(organization_of, found) if o is not None]
        return sorted(known, key=lambda o: (o.name.casefold(), o.ura))

    async def organization(self, ura: Ura) -> Organization:
        """One care provider.

        Raises LdnError: not-found when the directory does not know it, incomplete when two
        entries claim its number, incomplete or timeout when the directory cannot be asked.
        """
        found = await self._entries(ura)
        if not found:
            text = f"the directory knows no care provider with URA {ura}; check the number"
            raise LdnError(Issue.NOT_FOUND, text)
        if len(found) > 1:
            text = f"the directory has {len(found)} entries with URA {ura}; its operator's turn"
            raise LdnError(Issue.INCOMPLETE, text)
        return found[0]

    async def known(self, ura: Ura) -> bool:
        """Whether this care provider takes part: it stands in the directory, active.

        Raises LdnError when the directory cannot be asked: that never means yes.
        """
        try:
            return (await self.organization(ura)).active
        except LdnError as error:
            if error.issue is Issue.NOT_FOUND:
                return False
            raise

    async def type_of(self, ura: Ura) -> str:
        """The type of this care provider, a code of PROVIDER_TYPES; empty when it tells none.

        Raises LdnError as `organization` does.
        """
        return (await self.organization(ura)).type

    async def endpoint(self, holder: Ura, payload: str) -> Endpoint:
        """Where `holder` serves this payload type.

        Raises LdnError: not-found when it is unknown, no longer active or does not serve this.
        """

        async def organization() -> list[Resource]:
            return await self._by_ura(holder)

        known = await self._addresses.get(f"organization {holder}", organization)
        active = [r for r in known if (o := organization_of(r)) and o.active]
        if not active:
            text = f"the directory knows no active care provider with URA {holder}"
            raise LdnError(Issue.NOT_FOUND, text)

        async def endpoints() -> list[Resource]:
            reference = f"Organization/{active[0]['id']}"
            return await self._search("Endpoint", [("organization", reference)])

        found = await self._addresses.get(f"endpoints {holder}", endpoints)
        chosen = endpoint_for(holder, payload, found, self.clock())
        if chosen is None:
            text = f"the care provider with URA {holder} does not offer this exchange (yet)"
            raise LdnError(Issue.NOT_FOUND, text)
        return chosen

    async def publish(self, organization: Organization, endpoints: Sequence[Endpoint]) -> None:
        """Make the directory show exactly this of our organization; doing it again is nothing.

        Endpoints that are no longer served are set to `off`. Raises LdnError when the directory
        refuses, or cannot be asked.
        """
        wanted = entries(organization, endpoints)
        for resource in wanted:
            await self._put(resource)
        kept = {(r["resourceType"], r["id"]) for r in wanted}
        reference = f"Organization/{organization_id(organization.ura)}"
        own = await self._search("Endpoint", [("organization", reference)])
        for resource in own:
            if ("Endpoint", resource["id"]) not in kept and resource.get("status") != "off":
                await self._put({**resource, "status": "off"})
        self.forget()

    async def withdraw(self, organization: Organization) -> None:
        """Stop taking part: our entry stays, no longer active, and our endpoints are off."""
        await self.publish(replace(organization, active=False), [])

    def forget(self) -> None:
        """Ask the directory anew from now on."""
        self._parties.forget()
        self._addresses.forget()

    async def _entries(self, ura: Ura) -> list[Organization]:
        async def ask() -> list[Organization]:
            found = map(organization_of, await self._by_ura(ura))
            return [o for o in found if o is not None and o.ura == ura]

        return await self._parties.get(str(ura), ask)

    async def _by_ura(self, ura: Ura) -> list[Resource]:
        return await self._search("Organization", [("identifier", f"{URA_SYSTEM}|{ura}")])

    async def _search(self, type_: str, pairs: list[tuple[str, str]]) -> list[Resource]:
        """Every match, page after page, within the patience for one list."""
        try:
            async with asyncio.timeout(self.deadline * _LIST):
                return await self._pages(type_, pairs)
        except TimeoutError as error:
            text = "the directory did not give its whole list in time; try again later"
            raise LdnError(Issue.TIMEOUT, text) from error

    async def _pages(self, type_: str, pairs: list[tuple[str, str]]) -> list[Resource]:
        query = urlencode([*pairs, ("_count", str(self.page))])
        url, found = f"{self.base}/{type_}?{query}", []
        for _ in range(_PAGES):
            page = _resource(await self._call("GET", url, _JSON))
            found += [r for r in _matches(page) if r.get("resourceType") == type_]
            following = _next(page)
            if not following:
                return found
            url = urljoin(url, following)
            if not url.startswith(f"{self.base}/") and not url.startswith(f"{self.base}?"):
                raise _unreadable("a next link that leads elsewhere")
        raise _unreadable("more pages than we follow")

    async def _put(self, resource: Resource) -> None:
        url = f"{self.base}/{resource['resourceType']}/{resource['id']}"
        for attempt in (1, 2):
            headers = dict(_WRITE)
            present = await self._call("GET", url, _JSON, besides={404, 410})
            if present.status == 200:
                if _content(_resource(present)) == _content(resource):
                    return
                headers["if-match"] = present.headers.get("etag", "")
            body = dump(_content(resource))
            done = await self._call("PUT", url, headers, body, besides={412, 428})
            if done.status not in {412, 428}:
                return
            if attempt == 2:
                text = "our entry in the directory is being changed by someone else; try again"
                raise LdnError(Issue.CONFLICT, text)

    async def _call(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes | None = None,
        besides: frozenset[int] | set[int] = frozenset(),
    ) -> Reply:
        try:
            reply = await self.http.send(
                method, url, headers=headers, body=body, deadline=self.deadline
            )
        except LdnError as error:
            text = f"the directory: {error.message}"
            raise LdnError(error.issue, text, error.detail, status=error.status) from error
        if reply.status in besides or 200 <= reply.status < 300:
            return reply
        raise _refusal(reply)


def _content(resource: Resource) -> Resource:
    """The entry without what the directory adds."""
    return {k: v for k, v in resource.items() if k not in {"meta", "text"}}


def _resource(reply: Reply) -> Resource:
    try:
        return decode(reply.body, Format.JSON, FhirVersion.R4)
    except LdnError as error:
        raise _unreadable(f"{error.issue} at {error.where}") from error


def _matches(page: Resource) -> list[Resource]:
    return [e["resource"] for e in page.get("entry", []) if "id" in e.get("resource", {})]


def _next(page: Resource) -> str:
    links = page.get("link", [])
    return next((str(k.get("url", "")) for k in links if k.get("relation") == "next"), "")


_TURNS: dict[int, tuple[Issue, str]] = {
    401: (Issue.INCOMPLETE, "the directory does not accept our certificate; renew it"),
    403: (Issue.FORBIDDEN, "the directory refuses: the entry is not ours to write"),
    422: (Issue.BUSINESS_RULE, "the directory refuses our entry: it breaks a rule"),
    429: (Issue.THROTTLED, "the directory asks us to slow down; try again later"),
}


def _refusal(reply: Reply) -> LdnError:
    unexpected = (Issue.INCOMPLETE, f"the directory answers with status {reply.status}; try again")
    issue, text = _TURNS.get(reply.status, unexpected)
    return LdnError(issue, text, detail=f"status {reply.status}")


def _unreadable(detail: str) -> LdnError:
    text = "the directory's answer cannot be read; its operator's turn"
    return LdnError(Issue.INCOMPLETE, text, detail=detail)
