"""openldn pseudonyms: the words that both sides hash with, and secrets of an earlier service."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from openldn.app.pseudonyms import PseudonymsSettings, open_evaluations
from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import environment, load
from openldn.base.sql import open_pool
from openldn.fhir.identifiers import Ura
from openldn.functions.pseudonyms import oprf
from openldn.functions.pseudonyms.model import BSN, EVERY, KeyVersion, parse_scope, target

RecipientOption = Annotated[str, typer.Option(help="oin:… or ura:…, as the service knows it.")]
InfoOption = Annotated[str, typer.Option(help="info-oin, info-ura, or the whole info string.")]
ScopeOption = Annotated[str, typer.Option(help="Scope of the recipient.")]


def check(
    recipient: RecipientOption,
    info: InfoOption = "info-oin",
    scope: ScopeOption = "",
    kind: Annotated[str, typer.Option(help="Type of the identifier; its case counts.")] = BSN,
) -> None:
    """Print the check value that a recipient tells its clients; it gives nothing away."""
    to = target(recipient, info, scope=scope, kind=kind)
    print(f"{oprf.check_value(to)}  {to.info}  {to.kind}")


def adopt(
    settings: Annotated[Path, typer.Option(help="Settings of the role pseudonyms.")],
    ura: Annotated[str, typer.Option(help="URA of the recipient.")],
    scope: ScopeOption,
    secret: Annotated[Path, typer.Option(help="File with the secret, 32 bytes in base64.")],
    version: Annotated[int, typer.Option(help="Its number.", min=1)] = 1,
) -> None:
    """Take over a secret of an earlier service, so that its pseudonyms stay the same.

    Do so before the recipient registers its key; after that a scope has a secret already.
    """
    values = load(settings, PseudonymsSettings, environment())
    named = scope if scope == EVERY else parse_scope(scope)
    made = KeyVersion(new_uuid(), Ura.parse(ura), named, version, utc_now(), None)
    asyncio.run(_adopted(values, made, _read(secret)))
    print(f"version {version} of {named} for {made.organization} stands in the store")


async def _adopted(settings: PseudonymsSettings, made: KeyVersion, secret: bytes) -> None:
    pool = await open_pool(settings.dsn)
    try:
        evaluations = await open_evaluations(settings, pool)
        await evaluations.registry.adopt(made, secret)
    finally:
        await pool.close()


def _read(path: Path) -> bytes:
    try:
        return oprf.require_scalar(oprf.decoded(path.read_text(encoding="ascii").strip()))
    except (OSError, UnicodeDecodeError, LdnError) as error:
        text = f"{path} holds no secret: 32 bytes in base64, a scalar of the group"
        raise LdnError(Issue.INVALID, text) from error


pseudonyms = (check, adopt)
