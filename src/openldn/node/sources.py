"""Sources: where a node gets its own organization's data from when another party may have them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import urlencode

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import Clock
from openldn.fhir.api.pages import PAGE
from openldn.fhir.codec import Format, decode, dump
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.model import Found, Place, Record
from openldn.fhir.records.store import Records
from openldn.fhir.search.parse import parse_query
from openldn.node.clients import Clients
from openldn.node.settings import STATION, NodeSettings

Pair = tuple[str, str]
LASTN = "$lastn"


@dataclass(frozen=True)
class Wanted:
    """A search that the policy has permitted."""

    fhir: FhirVersion
    type: str
    operation: str = ""  # "$lastn"
    pairs: tuple[Pair, ...] = field(default=(), repr=False)
    cursor: str = ""  # of a following page

    @property
    def path(self) -> str:
        """The address below the base."""
        return f"{self.type}/{self.operation}" if self.operation else self.type

    @property
    def said(self) -> str:
        """The search as evidence keeps it: the same words at both sides.

        A following page differs in its last parameter, so that it is an access of its own.
        """
        mark = hashlib.sha256(self.cursor.encode()).hexdigest()[:16]
        pairs = [*self.pairs, (PAGE, mark)] if self.cursor else list(self.pairs)
        return said(self.path, pairs)


def said(path: str, pairs: list[Pair]) -> str:
    """A search in one line: "GET Condition?patient.identifier=…"."""
    return f"GET {path}?{urlencode(pairs)}" if pairs else f"GET {path}"


class Source(Protocol):
    """The port of a source."""

    async def search(self, wanted: Wanted) -> Found:
        """One page of what the organization has; raises LdnError: invalid, incomplete, timeout."""
        ...


@dataclass(frozen=True)
class StationSource:
    """The node's own data station, in process."""

    records: Records
    holder: Ura

    async def search(self, wanted: Wanted) -> Found:
        """One page of the stored records that match."""
        pairs = wanted.pairs + (((PAGE, wanted.cursor),) if wanted.cursor else ())
        query = parse_query(wanted.fhir, wanted.type, pairs)
        if wanted.operation == LASTN:
            query = replace(query, lastn=1)
        return await self.records.search(Place(str(self.holder), wanted.fhir), query)


@dataclass(frozen=True)
class RemoteSource:
    """A source system that speaks FHIR itself, on the organization's own network."""

    http: HttpClient
    base: str  # FHIR base (URL), without trailing slash
    clock: Clock
    patience: float = 8.0  # seconds

    async def search(self, wanted: Wanted) -> Found:
        """One page of what the source answers; the patient is named in the body, never in a URL.

        Raises LdnError: incomplete when it cannot be reached or understood, timeout.
        """
        answer = _searchset(await self._reply(wanted), wanted.fhir)
        entries = [e for e in answer.get("entry", ()) if "id" in e.get("resource", {})]
        links = (x.get("url", "") for x in answer.get("link", ()) if x.get("relation") == "next")
        return Found(
            matches=tuple(self._record(e["resource"]) for e in entries if _mode(e) == "match"),
            included=tuple(self._record(e["resource"]) for e in entries if _mode(e) == "include"),
            next=self._below(next(links, "")),
            total=answer.get("total"),
        )

    async def _reply(self, wanted: Wanted) -> Reply:
        accept = {"accept": Format.JSON.mime}
        if wanted.cursor:
            url = f"{self.base}{wanted.cursor}"
            return await self.http.send("GET", url, headers=accept, deadline=self.patience)
        tail = "" if wanted.operation else "/_search"
        return await self.http.send(
            "POST",
            f"{self.base}/{wanted.path}{tail}",
            headers={**accept, "content-type": "application/x-www-form-urlencoded"},
            body=urlencode(wanted.pairs).encode(),
            deadline=self.patience,
        )

    def _below(self, link: str) -> str:
        """A next link without the base; a source may not send us elsewhere."""
        if not link:
            return ""
        if not link.startswith((f"{self.base}/", f"{self.base}?")):
            raise _faulty("a next page outside its own address")
        return link.removeprefix(self.base)

    def _record(self, resource: Resource) -> Record:
        return Record(resource["resourceType"], resource["id"], 1, self.clock(), dump(resource))


def _searchset(reply: Reply, version: FhirVersion) -> Resource:
    if reply.status != 200:
        raise _faulty(f"status {reply.status}")
    try:
        answer = decode(reply.body, Format.JSON, version)
    except LdnError as error:
        raise _faulty(str(error.issue)) from error
    if answer.get("resourceType") != "Bundle" or answer.get("type") != "searchset":
        raise _faulty("not a searchset")
    return answer


def _mode(entry: Mapping[str, Resource]) -> str:
    return str(entry.get("search", {}).get("mode", "match"))


def _faulty(detail: str) -> LdnError:
    text = "the holder's own source cannot answer this; its operator's turn"
    return LdnError(Issue.INCOMPLETE, text, detail=f"source: {detail}")


def source_of(
    settings: NodeSettings, version: FhirVersion, clients: Clients, records: Records
) -> Source:
    """Where this node's data of this version come from, by its settings."""
    address = settings.source(version)
    if address == STATION:
        return StationSource(records, settings.holder)
    base = address.rstrip("/")
    return RemoteSource(clients.other(base), base, records.clock, settings.source_patience)
