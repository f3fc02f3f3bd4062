"""openldn send: Bundles from files, pushed to another provider."""

import asyncio
import hashlib
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from openldn.access.frame.network import Network, read_object, refusal_of
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.cli.ask import TESTER, typed
from openldn.cli.network import calling, network_at, node_of
from openldn.exchanges import EXCHANGES, by
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn, Ura
from openldn.node.push.pieces import Pieces
from openldn.node.push.sending import LARGEST
from openldn.patterns.exchange import Pattern
from openldn.patterns.push.states import ACCEPTED, DECIDED, FAILED, WITHDRAWN

_CHUNK = 256 * 1024  # bytes read at once
_CALL = 30.0  # seconds for one answer
_SLOWEST = 250_000  # bytes a second
_LOOK = 0.3  # seconds between two looks
_NAMES = uuid.UUID("6f1c0c0e-6c9a-5c0e-9d3a-0d1f4f2b7a11")  # of messages made from their content

_Wait = Annotated[
    float, typer.Option("--patience", help="Seconds to wait for the receiver with --wait.", min=1)
]
Fed = Callable[[int], None]  # told how many bytes more have gone


@dataclass(frozen=True)
class Letter:
    """One file that is sent, looked through once."""

    file: Path
    size: int  # bytes
    digest: str
    patients: frozenset[str] = field(repr=False)  # BSNs of the Patients in it

    def message(self, *about: str) -> str:
        """The name of its message: the same for the same content to the same receiver."""
        return f"urn:uuid:{uuid.uuid5(_NAMES, '/'.join((*about, self.digest)))}"


def send(  # noqa: PLR0913  (each is an argument or option of the command)
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Bundles, as FHIR JSON.")],
    network: Annotated[Path, typer.Option(help="Folder of a running network (its network.json).")],
    sender: Annotated[str, typer.Option("--from", help="Key of the node that sends.")],
    to: Annotated[str, typer.Option(help="Key or URA of the provider that it is sent to.")],
    exchange: Annotated[str, typer.Option(help="Which exchange: prescription, referral …")],
    use_case: Annotated[str, typer.Option(help="Which use case, where there are several.")] = "",
    bsn: Annotated[
        str, typer.Option(help="The patient; - reads it; left out: the Patient in the file.")
    ] = "",
    purpose: Annotated[str, typer.Option(help="Purpose of use: TREAT, COC.")] = "TREAT",
    again: Annotated[
        bool, typer.Option("--again", help="As a new message, also if it was sent before.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until its receiver has decided.")] = False,
    patience: _Wait = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each push.")] = False,
) -> None:
    """Send Bundles to another provider, one push for each file.

    The same file to the same receiver is the same message: sent twice it has its effect once.
    Exit code 1 when one cannot be sent, and with --wait when it is not accepted as a whole.
    """
    kind = _kind(exchange, use_case)
    found = network_at(network)
    given = typed(bsn) if bsn else ""
    wishes = []
    for letter in map(looked_through, files):
        wish = {
            "to": _ura(found, to),
            "exchange": exchange,
            "use_case": kind,
            "bsn": _patient(letter, given),
            "purpose": purpose,
            "practitioner": TESTER,
        }
        named = letter.message(sender, *(str(wish[n]) for n in ("to", "exchange", "use_case")))
        wishes.append((letter, wish if again else {**wish, "message": named}))
    sending = _Sending(found, sender, patience if wait else 0.0, _say(as_json=as_json))
    raise SystemExit(0 if asyncio.run(sending.run(wishes)) else 1)


def _kind(exchange: str, use_case: str) -> str:
    """The use case; raises LdnError(not-found) that says what can be sent."""
    known = {
        e.code: [c.name for c in e.use_cases if c.pattern is Pattern.PUSH] for e in by(Pattern.PUSH)
    }
    names = known.get(exchange, [])
    if use_case in names or (not use_case and len(names) == 1):
        return use_case or names[0]
    if exchange not in EXCHANGES or not names:
        text = f"--exchange {exchange}: choose from {', '.join(known)}"
        raise LdnError(Issue.NOT_FOUND, text)
    text = f"--use-case {use_case}".strip() + f": choose from {', '.join(names)}"
    raise LdnError(Issue.NOT_FOUND, text)


def _ura(network: Network, text: str) -> str:
    known = {node.key: node.ura for node in network.nodes}
    if text not in known and not text.isdigit():
        keys = ", ".join(known)
        raise LdnError(Issue.NOT_FOUND, f"--to {text}: no such node; give a URA or one of: {keys}")
    return str(Ura.parse(known.get(text, text)))


def looked_through(file: Path) -> Letter:
    """The file, once it is a Bundle that can be sent; in memory stands one entry at a time.

    Raises LdnError that names the file and what is wrong.
    """
    pieces, sum, size = Pieces(LARGEST.entries, LARGEST.entry_size), hashlib.sha256(), 0
    patients: set[str] = set()
    try:
        for chunk in _chunks(file):
            sum.update(chunk)
            size += len(chunk)
            if size > LARGEST.size:
                raise LdnError(Issue.TOO_LONG, f"larger than {LARGEST.size >> 20} MiB")
            for entry in pieces.feed(chunk):
                patients |= _bsns(entry)
        if pieces.head().get("resourceType") != "Bundle":
            raise LdnError(Issue.INVALID, "not a Bundle; put what is sent in one")
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise LdnError(Issue.NOT_FOUND, f"{file}: {reason}") from error
    except LdnError as error:
        raise LdnError(error.issue, f"{file}: {error.message}") from error
    return Letter(file, size, sum.hexdigest(), frozenset(patients))


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            yield chunk


def _bsns(entry: bytes) -> set[str]:
    """The BSNs of a Patient in these bytes; other resources are not looked into."""
    if b'"Patient"' not in entry:
        return set()
    content = parse(entry)
    resource = content.get("resource") if isinstance(content, dict) else None
    if not isinstance(resource, dict) or resource.get("resourceType") != "Patient":
        return set()
    given = [i for i in resource.get("identifier", ()) if isinstance(i, dict)]
    return {str(i.get("value")) for i in given if i.get("system") == BSN_SYSTEM}


def _patient(letter: Letter, given: str) -> str:
    if given:
        return Bsn.parse(given).value
    if len(letter.patients) != 1:
        text = f"{letter.file}: it has not exactly one Patient with a BSN; name one with --bsn -"
        raise LdnError(Issue.INVALID, text)
    return Bsn.parse(next(iter(letter.patients))).value


@dataclass(frozen=True)
class _Sending:
    network: Network
    sender: str
    patience: float  # seconds to wait for a decision; 0: not at all
    say: Callable[[Letter, dict[str, Any]], None]

    async def run(self, wishes: list[tuple[Letter, dict[str, Any]]]) -> bool:
        """Whether everything went well."""
        node, good = node_of(self.network, self.sender), True
        async with calling(self.network, node) as http:
            for letter, wish in wishes:
                done = await self._one(http, f"{node.api}/push", letter, wish)
                self.say(letter, done)
                good &= self._good(done)
        return good

    def _good(self, push: dict[str, Any]) -> bool:
        if self.patience:
            return bool(push["state"] == ACCEPTED)
        return push["state"] not in {FAILED, WITHDRAWN, "refused"}

    async def _one(
        self, http: HttpClient, api: str, letter: Letter, wish: dict[str, Any]
    ) -> dict[str, Any]:
        headers = {"content-type": "application/json"}
        made = object_in(
            await http.send("POST", api, headers=headers, body=dump(wish), deadline=_CALL)
        )
        address = f"{api}/{made['id']}"
        if made["state"] == "prepared":
            with _progress(letter) as fed:
                made = object_in(await _fed(http, f"{address}/content", letter, fed))
        if self.patience:
            made = await self._decided(http, address, made)
        return made

    async def _decided(
        self, http: HttpClient, address: str, push: dict[str, Any]
    ) -> dict[str, Any]:
        until = asyncio.get_running_loop().time() + self.patience
        while push["state"] not in DECIDED | {FAILED, WITHDRAWN}:
            if asyncio.get_running_loop().time() > until:
                return push
            await asyncio.sleep(_LOOK)
            push = object_in(await http.send("GET", address, deadline=_CALL))
        return push


def object_in(reply: Reply) -> dict[str, Any]:
    """What the node tells; raises LdnError, in the node's words where it refused."""
    if reply.status not in {200, 201, 202}:
        raise refusal_of(reply)
    return read_object(reply.body)


async def _fed(http: HttpClient, address: str, letter: Letter, fed: Fed) -> Reply:
    async def pieces() -> AsyncIterator[bytes]:
        for chunk in _chunks(letter.file):
            yield chunk
            fed(len(chunk))

    return await http.send(
        "PUT",
        address,
        headers={
            "content-type": "application/fhir+json",
            "content-length": str(letter.size),
            "expect": "100-continue",
        },
        body=pieces(),
        deadline=_CALL + letter.size / _SLOWEST,
    )


class _progress:
    """`with _progress(letter) as fed`: a bar on standard error, where somebody looks at it."""

    def __init__(self, letter: Letter) -> None:
        console = Console(stderr=True, emoji=False)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        shown = console.is_terminal and letter.size > _CHUNK
        self.progress = Progress(
            *columns, TransferSpeedColumn(), console=console, transient=True, disable=not shown
        )
        self.task = self.progress.add_task(letter.file.name, total=letter.size)

    def __enter__(self) -> Fed:
        self.progress.start()
        return lambda count: self.progress.advance(self.task, count)

    def __exit__(self, *_: object) -> None:
        self.progress.stop()


def _say(*, as_json: bool) -> Callable[[Letter, dict[str, Any]], None]:
    def say(letter: Letter, push: dict[str, Any]) -> None:
        if as_json:
            print(dump({"file": str(letter.file), **push}).decode())
        else:
            Console(emoji=False, highlight=False, soft_wrap=True).print(escape(line(push)))
            sys.stdout.flush()

    return say


def line(push: dict[str, Any]) -> str:
    """A push in one line, with what to do where there is something to do."""
    why = push.get("reason") or {}
    reason = f": {why['text']} [{why['code']}]" if why else ""
    delivery = push.get("delivery") or {}
    stuck = delivery.get("reason") if not push["ended"] and not why else ""
    tail = f" (not yet: {stuck})" if stuck else ""
    said = f"{push['entries']} entries, {push['size']} bytes"
    head = f"{push['id']}  {push['state']:15} {push['exchange']}/{push['use_case']}"
    return f"{head}  {push['sender']} → {push['receiver']}  {said}{reason}{tail}"
