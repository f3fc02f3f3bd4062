"""How a simulated party calls others: at the address of the directory, in its own manner."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from openldn.base.errors import Issue, LdnError
from openldn.base.http import Reply
from openldn.base.runtime import NewId
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import Bsn, Ura
from openldn.fhir.model import Resource
from openldn.functions.addressing.model import Endpoint, Organization
from openldn.testbench.simulators.party.believing import Faith
from openldn.trust.aorta.headers import AortaId
from openldn.trust.parties import Person, Requester
from openldn.trust.tokens.model import Tokens

DEADLINE = 10.0  # seconds for one call
FHIR = "application/fhir+json"
DOCTOR = Person("900000077", "01.015", "TEST simulator")
AORTA_VERSION = "contentVersion=1.0.0; acceptVersion=>=1.0.0 <2.0.0"


class Book(Protocol):
    """The part of a directory client that a party uses."""

    async def endpoint(self, holder: Ura, payload: str) -> Endpoint:
        """Where `holder` serves this; raises LdnError(not-found)."""
        ...

    async def known(self, ura: Ura) -> bool:
        """Whether this care provider takes part."""
        ...

    async def publish(self, organization: Organization, endpoints: Sequence[Endpoint]) -> None:
        """Make the directory show exactly this; raises LdnError."""
        ...


@dataclass(frozen=True)
class Call:
    """On what right something is asked."""

    scope: str
    base: str = ""
    bsn: str = ""
    native: bool = False  # by the token service of the infrastructure, where both have it


@dataclass(frozen=True)
class Peer:
    """Somebody, at the address where they serve one thing, and on what right we ask."""

    ura: Ura
    payload: str
    call: Call


@dataclass(frozen=True)
class Outside:
    """The other parties."""

    faith: Faith
    directory: Book
    new_id: NewId

    async def notify(self, peer: Peer, method: str, path: str, body: Resource | None) -> int:
        """Send a notification; the status that came back.

        Raises LdnError when there is no address, no token or no answer.
        """
        sent = dump(body) if body is not None else b""
        return (await self._send(peer, method, path, sent)).status

    async def read(self, peer: Peer, path: str) -> Resource:
        """What stands at this path below its FHIR base; raises LdnError."""
        return _resource(await self._send(peer, "GET", f"/{path}"))

    async def put(self, peer: Peer, task: Resource) -> Resource:
        """The Task after our update; raises LdnError."""
        return _resource(await self._send(peer, "PUT", f"/Task/{task['id']}", dump(task)))

    async def _send(self, peer: Peer, method: str, path: str, body: bytes | None = None) -> Reply:
        endpoint, call = await self.directory.endpoint(peer.ura, peer.payload), peer.call
        token = await self._tokens(endpoint, call).token(
            endpoint.holder, endpoint.authorization_server, self._requester(call)
        )
        url = f"{endpoint.url}{path}"
        shown = token.headers(method, url.partition("?")[0])
        headers = {"accept": FHIR, **self._aorta(endpoint), **shown}
        if body:
            headers["content-type"] = FHIR
        line = self.faith.lines.of(endpoint.holder)
        return await line.send(method, url, headers=headers, body=body, deadline=DEADLINE)

    def _tokens(self, endpoint: Endpoint, call: Call) -> Tokens:
        own = self.faith.manner.infrastructure
        if call.native and own == endpoint.infrastructure == "zorgplatform":
            return self.faith.assertions(endpoint.authorization_server)
        return self.faith.tokens()

    def _requester(self, call: Call) -> Requester:
        told = self.faith.settings
        patient = Bsn.parse(call.bsn) if call.bsn else None
        return Requester(
            *(told.holder, frozenset({call.scope}), "TREAT", told.name),
            *(DOCTOR, patient, call.base),
        )

    def _aorta(self, endpoint: Endpoint) -> Mapping[str, str]:
        if not self.faith.manner.aorta and endpoint.infrastructure != "lsp":
            return {}
        begun = AortaId.begin(self.new_id)
        return {"aorta-id": str(begun), "aorta-version": AORTA_VERSION}


def _resource(reply: Reply) -> Resource:
    content: Any = parse(reply.body) if reply.body else {}
    if reply.status not in {200, 201}:
        issues = content.get("issue", ()) if isinstance(content, dict) else ()
        said = "; ".join(str(i.get("diagnostics", i.get("code", ""))) for i in issues)
        text = f"the other party answers {reply.status}: {said or 'without a reason'}"
        raise LdnError(Issue.INCOMPLETE, text)
    if not isinstance(content, dict):
        raise LdnError(Issue.INCOMPLETE, "the other party answers something that is no resource")
    return content
