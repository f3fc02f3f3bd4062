"""openldn offer: what a node offers others and is offered, and what became of it."""

import asyncio
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer
from rich.console import Console
from rich.markup import escape

from openldn.access.frame.network import read_object, refusal_of
from openldn.base.errors import Issue, LdnError
from openldn.cli.ask import TESTER, typed
from openldn.cli.network import calling, network_at, node_of
from openldn.cli.offer_words import Language, details, said, table
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Bsn, Ura

_DEADLINE = 90.0  # seconds for one answer
_JSON = {"content-type": "application/json", "accept": "application/fhir+json"}

_Network = Annotated[Path, typer.Option(help="Folder in which `openldn up` runs.")]
_Node = Annotated[str, typer.Option(help="Key of the node, as in network.json.")]
_Id = Annotated[str, typer.Argument(help="Id of the offer at this node, as `list` shows it.")]
_Json = Annotated[bool, typer.Option("--json", help="As JSON, as the node tells it.")]
_Lang = Annotated[Language, typer.Option("--lang", help="nl or en.")]
_Note = Annotated[str, typer.Option(help="Words along with it.")]
_Reason = Annotated[str, typer.Option(help="Why, in words; the other side reads it.")]
_Code = Annotated[str, typer.Option(help="Why, as SYSTEM|CODE.")]


def list_offers(  # noqa: PLR0913  (each is an option of the command)
    network: _Network,
    node: _Node,
    side: Annotated[str, typer.Option(help="sent, received, or both.")] = "both",
    status: Annotated[str, typer.Option(help="Only these: requested,accepted …")] = "",
    limit: Annotated[int, typer.Option(help="At most this many of a side.", min=1, max=500)] = 100,
    as_json: _Json = False,
    lang: _Lang = Language.EN,
) -> None:
    """List the offers of a node, last changed first; BSNs are not shown."""
    sides = {"both": ("sent", "received"), "sent": ("sent",), "received": ("received",)}
    if side not in sides:
        raise LdnError(Issue.INVALID, f"--side {side}: choose sent, received or both")
    found: list[dict[str, Any]] = []
    for one in sides[side]:
        pairs = {"side": one, "count": str(limit), **({"status": status} if status else {})}
        found += _sent(network, node, "GET", f"?{urlencode(pairs)}")["offers"]
    if as_json:
        print(dump({"offers": found}).decode())
        return
    console = Console(width=None if sys.stdout.isatty() else 200, emoji=False)
    console.print(table(found, lang))


def show(
    network: _Network, node: _Node, id: _Id, as_json: _Json = False, lang: _Lang = Language.EN
) -> None:
    """Show one offer: where it stands, whose turn it is, what happened; the BSN is not shown."""
    found = _sent(network, node, "GET", f"/{quote(id, safe='')}")
    if as_json:
        print(dump(found).decode())
        return
    console = Console(emoji=False, highlight=False, soft_wrap=True)
    for line in details(found, lang):
        console.print(escape(line))


def make(  # noqa: PLR0913  (each is an option of the command)
    network: _Network,
    node: _Node,
    to: Annotated[
        list[str] | None,
        typer.Option(help="Key or URA of a receiver; repeatable: candidates for one request."),
    ] = None,
    bsn: Annotated[
        str, typer.Option(help="The patient; - reads it from standard input, left out it is asked.")
    ] = "",
    exchange: Annotated[str, typer.Option(help="Which exchange.")] = "bgz",
    use_case: Annotated[str, typer.Option(help="For what: refer, transfer …")] = "",
    service: Annotated[str, typer.Option(help="Department, as SYSTEM|VALUE.")] = "",
    location: Annotated[str, typer.Option(help="Place, as SYSTEM|VALUE.")] = "",
    note: _Note = "",
    expires: Annotated[str, typer.Option(help="Until when it stands; default 7 days.")] = "",
    query: Annotated[
        list[str] | None, typer.Option(help="A search that is offered, relative; repeatable.")
    ] = None,
    as_json: _Json = False,
    lang: _Lang = Language.EN,
) -> None:
    """Offer data of a patient to one or more organizations, who are told at once."""
    parties = {one.key: one.ura for one in network_at(network).nodes}
    wish: dict[str, Any] = {
        "exchange": exchange,
        "receivers": [_ura(parties, one) for one in to or []],
        "use_case": use_case,
        "note": note,
        "practitioner": TESTER,
        "bsn": Bsn.parse(typed(bsn)).value,
    }
    wish |= {"service": _department(service, "--service")} if service else {}
    wish |= {"location": _department(location, "--location")} if location else {}
    wish |= {"expires": _moment(expires, "--expires")} if expires else {}
    wish |= {"queries": [{"value": one} for one in query]} if query else {}
    made = _sent(network, node, "POST", "", wish)["offers"]
    if as_json:
        print(dump({"offers": made}).decode())
        return
    for one in made:
        print(said(one, lang))


def propose(  # noqa: PLR0913  (each is an option of the command)
    network: _Network,
    node: _Node,
    id: _Id,
    start: Annotated[str, typer.Option(help="The date that would do, with time zone.")] = "",
    end: Annotated[str, typer.Option(help="Its end.")] = "",
    note: _Note = "",
    as_json: _Json = False,
    lang: _Lang = Language.EN,
) -> None:
    """Propose another date for what was offered, or say what else would do."""
    if end and not start:
        raise LdnError(Issue.INVALID, "--end: give --start as well")
    dates = {"start": _moment(start, "--start")} if start else {}
    dates |= {"end": _moment(end, "--end")} if end else {}
    word: dict[str, Any] = {"note": note} | ({"proposed": dates} if dates else {})
    _act(network, node, id, "propose", word, as_json=as_json, lang=lang)


def pull(
    network: _Network,
    node: _Node,
    id: _Id,
    purpose: Annotated[str, typer.Option(help="Purpose of use.")] = "TREAT",
) -> None:
    """Fetch what a received offer names; one collection Bundle on standard output."""
    body = {"practitioner": TESTER, "purpose": purpose}
    print(dump(_sent(network, node, "POST", f"/{quote(id, safe='')}/$pull", body)).decode())


def _plain(word: str, event: str, told: str) -> Callable[..., None]:
    def command(  # noqa: PLR0913  (each is an option of the command)
        network: _Network,
        node: _Node,
        id: _Id,
        note: _Note = "",
        as_json: _Json = False,
        lang: _Lang = Language.EN,
    ) -> None:
        _act(network, node, id, event, {"note": note}, as_json=as_json, lang=lang)

    command.__name__, command.__doc__ = word, told
    return command


def _reasoned(word: str, event: str, told: str) -> Callable[..., None]:
    def command(  # noqa: PLR0913  (each is an option of the command)
        network: _Network,
        node: _Node,
        id: _Id,
        reason: _Reason,
        code: _Code = "",
        as_json: _Json = False,
        lang: _Lang = Language.EN,
    ) -> None:
        system, value = _pair(code, "--code") if code else ("", "")
        why = {"text": reason, "code": value, "system": system}
        _act(network, node, id, event, {"reason": why}, as_json=as_json, lang=lang)

    command.__name__, command.__doc__ = word, told
    return command


list_offers.__name__ = "list"  # the word that is typed
offer = (
    *(list_offers, show, make),
    _plain("receive", "receive", "Say that an offer arrived at who decides about it."),
    _plain("accept", "accept", "Accept what was offered."),
    _reasoned("refuse", "reject", "Refuse what was offered, or what was accepted."),
    propose,
    _plain("agree", "agree", "Agree with the date that was proposed."),
    _plain("select", "select", "Choose this candidate; the others are withdrawn with it."),
    _reasoned("withdraw", "cancel", "Withdraw an offer on which the work has not begun."),
    _reasoned("request-cancel", "request-cancel", "Ask that work that goes on be stopped."),
    _plain("allow-cancel", "allow-cancel", "Agree that the work be stopped; it fails with it."),
    _reasoned("refuse-cancel", "refuse-cancel", "Refuse to stop the work."),
    _plain("keep", "keep", "Withdraw the request that the work be stopped."),
    _plain("retract", "retract", "Take back an offer that was a mistake."),
    _plain("start", "start", "Say that the work goes on."),
    _plain("complete", "complete", "Say that it is done."),
    _plain("elapse", "elapse", "Say that the time for it is over, so that it counts as done."),
    _reasoned("fail", "fail", "Say that it came to nothing."),
    pull,
)


def _act(  # noqa: PLR0913  (what was typed)
    network: Path,
    node: str,
    id: str,
    event: str,
    word: dict[str, Any],
    *,
    as_json: bool,
    lang: Language,
) -> None:
    path = f"/{quote(id, safe='')}/${event}"
    found = _sent(network, node, "POST", path, {**word, "practitioner": TESTER})
    print(dump(found).decode() if as_json else said(found, lang))


def _sent(
    folder: Path, key: str, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What the node answers; raises LdnError, in its words where it refuses."""
    return asyncio.run(_answered(folder, key, method, path, body))


async def _answered(
    folder: Path, key: str, method: str, path: str, body: dict[str, Any] | None
) -> dict[str, Any]:
    network = network_at(folder)
    node = node_of(network, key)
    content = None if body is None else dump(body)
    async with calling(network, node) as client:
        url = f"{node.api}/offers{path}"
        reply = await client.send(method, url, headers=_JSON, body=content, deadline=_DEADLINE)
    if reply.status not in {200, 201, 202}:
        raise refusal_of(reply)
    return read_object(reply.body)


def _ura(parties: dict[str, str], text: str) -> str:
    if text not in parties and not text.isdigit():
        choices = ", ".join(parties)
        raise LdnError(Issue.NOT_FOUND, f"--to {text}: give a URA or one of: {choices}")
    return str(Ura.parse(parties.get(text, text)))


def _pair(text: str, option: str) -> tuple[str, str]:
    system, bar, value = text.rpartition("|")
    if not bar or not value:
        raise LdnError(Issue.INVALID, f"{option}: give system and value with a | between them")
    return system, value


def _department(text: str, option: str) -> dict[str, str]:
    system, value = _pair(text, option)
    return {"system": system, "value": value}


def _moment(text: str, option: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise LdnError(Issue.INVALID, f"{option}: {_FORM}") from error
    if moment.tzinfo is None:
        raise LdnError(Issue.INVALID, f"{option}: {_FORM}")
    return moment.isoformat()


_FORM = "a moment with its time zone, as in 2026-12-01T10:00+01:00"
