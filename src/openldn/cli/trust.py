"""openldn trust: why something is believed or not, and whom a broker believes."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openldn.access.professional.settings import Network, Node
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Identity, Reply, client_context
from openldn.base.runtime import utc_now
from openldn.cli.network import network_at
from openldn.trust.certificates import Anchors
from openldn.trust.documents import Documents, hosts
from openldn.trust.explain.detect import detect
from openldn.trust.explain.model import Explanation, Sources
from openldn.trust.explain.service import explain as explained
from openldn.trust.explain.service import told, verdict
from openldn.trust.explain.verify import PROFILES
from openldn.trust.explain.words import LABELS, SORTS, step
from openldn.trust.peers import profile as peer_profile

_DEADLINE = 10.0  # seconds for one answer
_LARGEST = 2 * 1024 * 1024  # bytes that are read from a file or standard input
_OUTCOMES = {"fail": "bold red", "skip": "yellow", "not reached": "dim", "pass": "green"}
NOT_BELIEVED, UNREADABLE = 1, 2  # exit codes


class Language(StrEnum):
    """In which language something is explained."""

    EN = "en"
    NL = "nl"


class Act(StrEnum):
    """What to do with anchors."""

    LIST = "list"
    PROPOSE = "propose"
    APPROVE = "approve"
    REMOVE = "remove"


def explain(  # noqa: PLR0913  (each is an option of the command)
    what: Annotated[str, typer.Argument(help="Text of it, a file, or - for input.")],
    ca: Annotated[Path | None, typer.Option(help="PEM file with whom you trust.")] = None,
    network: Annotated[
        Path | None, typer.Option(help="Folder of a running network, to look things up in.")
    ] = None,
    profile: Annotated[str, typer.Option(help="Peer profile to judge by.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
    lang: Annotated[Language, typer.Option(help="Language of the explanation.")] = Language.EN,
) -> None:
    """Explain a token, credential, presentation, certificate or SAML assertion.

    Exit code 0 when it is believed, 1 when it is not, 2 when it cannot be read.
    """
    try:
        content = _content(what)
        found = asyncio.run(_explained(content, ca, network, profile))
    except LdnError as error:
        if error.issue is not Issue.INVALID:
            raise
        print(f"openldn: {error.message}", file=sys.stderr)
        raise SystemExit(UNREADABLE) from error
    if as_json:
        print(json.dumps(told(found, lang.value), ensure_ascii=False, indent=2))
    else:
        _show(found, lang.value)
    if not found.believed:
        raise SystemExit(NOT_BELIEVED)


def anchors(  # noqa: PLR0913  (each is an option of the command)
    act: Annotated[Act, typer.Argument(help="list, propose, approve or remove.")],
    what: Annotated[str, typer.Argument(help="A PEM file to propose; else KIND/ID.")] = "",
    broker: Annotated[str, typer.Option(help="Origin of the broker.")] = "https://127.0.0.1:8450",
    certificate: Annotated[
        Path | None, typer.Option(help="Your own certificate, as the broker knows you.")
    ] = None,
    key_file: Annotated[Path | None, typer.Option(help="Its key.")] = None,
    ca: Annotated[Path | None, typer.Option(help="PEM file with whom you trust.")] = None,
    kind: Annotated[str, typer.Option(help="authority, saml or broker.")] = "authority",
    reason: Annotated[str, typer.Option(help="Why it is to be believed.")] = "",
) -> None:
    """List whom a broker believes; propose, approve (as another person) or remove an anchor."""
    if certificate is None or key_file is None or ca is None:
        raise LdnError(Issue.INVALID, "give --certificate, --key-file and --ca")
    method, path, body = _asked(act, what, {"kind": kind, "reason": reason})
    identity = Identity(certificate, key_file, ca)
    reply = asyncio.run(_sent(identity, method, broker.rstrip("/") + path, body))
    if reply.status >= 400:
        raise LdnError(Issue.FORBIDDEN, _diagnostics(reply))
    print(msgspec.json.format(reply.body, indent=2).decode())


trust = (explain, anchors)


def _content(what: str) -> bytes:
    if what == "-":
        return sys.stdin.buffer.read(_LARGEST)
    path = Path(what) if len(what) < 1000 and "\n" not in what else None
    try:
        if path is not None and path.is_file():
            with path.open("rb") as file:
                return file.read(_LARGEST)
    except OSError as error:
        raise LdnError(Issue.INVALID, f"cannot read {path}: {error.strerror}") from error
    return what.encode()


async def _explained(
    content: bytes, ca: Path | None, network: Path | None, profile: str
) -> Explanation:
    chosen = peer_profile(profile or PROFILES[detect(content).sort])
    known = network_at(network) if network else None
    path = ca or (Path(known.trust.ca) if known else None)
    trusted = Anchors.load(path) if path else Anchors(())
    if known is None:
        return await explained(content, Sources(trusted, chosen, utc_now))
    async with _looking_up(known) as (documents, lookups):
        found = Sources(
            *(trusted, chosen, utc_now, documents, lookups.introspect, lookups.trail),
            broker=known.services.get("broker", ""),
            pinned={k: Anchors.load(Path(v)).certificates for k, v in known.trust.saml.items()},
        )
        return await explained(content, found)


class _Lookups:
    """What the nodes and the broker of a network can tell."""

    def __init__(self, network: Network, clients: Mapping[str, HttpClient]) -> None:
        self.network, self.clients = network, clients

    async def introspect(self, token: str) -> Mapping[str, Any] | None:
        """What the token stands for, at the node that issued it."""
        for node in self.network.nodes:
            url = f"{node.api}/oauth2/{node.ura}/introspect"
            body = urlencode({"token": token}).encode()
            told = await self._asked(node, "POST", url, body)
            if told and told.get("active"):
                return told
        return None

    async def trail(self, jti: str) -> Mapping[str, Any] | None:
        """How the broker came to this, told to a party of it."""
        broker = self.network.services.get("broker", "")
        url = f"{broker.removesuffix('/oauth2/broker')}/trail/{quote(jti, safe='')}"
        for node in self.network.nodes if broker else ():
            if told := await self._asked(node, "GET", url, None):
                return told
        return None

    async def _asked(
        self, node: Node, method: str, url: str, body: bytes | None
    ) -> Mapping[str, Any] | None:
        headers = {"content-type": "application/x-www-form-urlencoded"} if body else {}
        client = self.clients[node.key]
        try:
            reply = await client.send(method, url, headers=headers, body=body, deadline=_DEADLINE)
        except LdnError:
            return None  # a node that is down cannot tell; others may
        if reply.status != 200:
            return None
        found = msgspec.json.decode(reply.body)
        return found if isinstance(found, dict) else None


@asynccontextmanager
async def _looking_up(network: Network) -> AsyncIterator[tuple[Documents, _Lookups]]:
    ca = Path(network.trust.ca)
    identities = {n.key: Identity(Path(n.certificate), Path(n.key_file), ca) for n in network.nodes}
    clients = {key: HttpClient(client_context(found)) for key, found in identities.items()}
    plain, first = HttpClient(), next(iter(clients.values()))
    loopback = hosts(["127.0.0.1", "localhost", "::1"])
    documents = Documents(
        lambda url: first if url.startswith("https:") else plain, loopback, utc_now, patience=5.0
    )
    try:
        yield documents, _Lookups(network, clients)
    finally:
        await documents.close()
        for client in (plain, *clients.values()):
            await client.close()


def _show(found: Explanation, language: str) -> None:
    console = Console(width=None if sys.stdout.isatty() else 160, emoji=False)
    words = LABELS[language]
    about = Table(show_header=False, box=None)
    about.add_row(words["what"], SORTS[language][found.sort])
    for label, value in found.facts:
        about.add_row(words[label], escape(value))
    if found.act:
        about.add_row(words["act"], escape(" ← ".join(found.act)))
    console.print(about)
    table = Table(words["check"], words["clause"], words["outcome"])
    for check in told(found, language)["checks"]:
        said = f"{check['text']}\n{check['said']}" if check["said"] else check["text"]
        style = _OUTCOMES.get(check["outcome"], "")
        outcome = words.get(check["outcome"], check["outcome"])
        table.add_row(escape(said), escape(check["source"]), f"[{style}]{outcome}[/]")
    console.print(table)
    console.print(escape(verdict(found, language)))
    if failure := found.first_failure:
        console.print(escape(words["next"].format(step=step(failure.rule.code, language))))


def _asked(act: Act, what: str, said: dict[str, str]) -> tuple[str, str, bytes | None]:
    if act is Act.LIST:
        return "GET", "/anchors", None
    if not what:
        raise LdnError(Issue.INVALID, f"{act}: say which, a PEM file or KIND/ID of the list")
    if act is Act.PROPOSE:
        body = said | {"certificate": _content(what).decode("ascii", "replace")}
        return "POST", "/anchors", msgspec.json.encode(body)
    if act is Act.APPROVE:
        return "POST", f"/anchors/{what}/approve", None
    return "DELETE", f"/anchors/{what}", None


async def _sent(identity: Identity, method: str, url: str, body: bytes | None) -> Reply:
    client = HttpClient(client_context(identity))
    try:
        return await client.send(method, url, body=body, deadline=_DEADLINE)
    finally:
        await client.close()


def _diagnostics(reply: Reply) -> str:
    try:
        found = msgspec.json.decode(reply.body)
        return str(found["issue"][0]["diagnostics"])
    except (msgspec.MsgspecError, KeyError, IndexError, TypeError):
        return f"the broker answers with status {reply.status}"
