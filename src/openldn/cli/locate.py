"""openldn locate: which providers hold data of a patient, as the index knows it."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openldn.base.errors import Issue, LdnError
from openldn.base.http import Reply
from openldn.cli.ask import TESTER, Shape, sent, typed
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import Bsn

_KNOWN = {str(issue): issue for issue in Issue}
_REASONS = {
    "": "can be asked",
    "no-endpoint": "offers no address for this exchange",
    "not-active": "takes part no longer",
    "not-in-directory": "is not in the directory",
}


def locate(  # noqa: PLR0913  (each is an option of the command)
    network: Annotated[Path, typer.Option(help="Folder of a running network (its network.json).")],
    sender: Annotated[str, typer.Option("--from", help="Key of the node that asks.")],
    bsn: Annotated[
        str, typer.Option(help="The patient; - reads it from standard input, left out it is asked.")
    ] = "",
    exchange: Annotated[str, typer.Option(help="Which exchange they should answer.")] = "bgz",
    purpose: Annotated[str, typer.Option(help="Purpose of use: TREAT, COC, ETREAT.")] = "TREAT",
    form: Annotated[Shape, typer.Option("--format", help="json or table.")] = Shape.TABLE,
) -> None:
    """List the providers that say they hold data of a patient, and which can be asked.

    Nobody is asked for data; `openldn ask` does that for one holder, `openldn collect` for all of
    them. When the index cannot be asked the command fails: that is not the same as nobody.
    """
    body = {
        "bsn": Bsn.parse(typed(bsn)).value,
        "purpose": purpose,
        "exchange": exchange,
        "practitioner": TESTER,
    }
    found = _found(asyncio.run(sent(network, sender, "/locate", body)))
    if form is Shape.JSON:
        print(dump(found).decode())
    else:
        _show(found["holders"], exchange)


def _found(reply: Reply) -> dict[str, Any]:
    content = parse(reply.body)
    if reply.status == 200 and isinstance(content, dict):
        return content
    issues = content.get("issue") if isinstance(content, dict) else None
    first = issues[0] if isinstance(issues, list) and issues else {}
    text = first.get("diagnostics") or f"the node answers with status {reply.status}"
    raise LdnError(_KNOWN.get(first.get("code", ""), Issue.INCOMPLETE), str(text))


def _show(holders: list[dict[str, Any]], exchange: str) -> None:
    if not holders:
        print("no provider registered data of this patient at the index")
        return
    table = Table(title=f"Who holds data ({exchange})", title_justify="left")
    for heading in ("URA", "name", ""):
        table.add_column(heading, overflow="fold")
    for holder in holders:
        reason = _REASONS.get(holder["reason"], holder["reason"])
        table.add_row(*map(escape, (holder["ura"], holder["name"], reason)))
    Console(emoji=False).print(table)
