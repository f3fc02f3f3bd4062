"""openldn localization: what a holder registered at the index, and whether that is all true."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer

from openldn.app.localization import LocalizationSettings
from openldn.base.errors import Issue, LdnError
from openldn.base.http import Identity
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import Settings, environment, load
from openldn.base.sql import open_pool
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.store import Records
from openldn.functions.localization.client import LocalizationClient
from openldn.functions.localization.dialects import Holder
from openldn.functions.localization.registering.service import Registering
from openldn.functions.localization.store import purge as drop_versions
from openldn.node.localizing import LocalizingSettings, open_localization, registering

At = Annotated[
    Path, typer.Option(help="TOML: dsn, ura, certificate, key_file, ca, and a table localization.")
]


class HolderSettings(Settings, frozen=True, kw_only=True):
    """A holder: its record store, its certificate and the index."""

    dsn: str  # PostgreSQL database of the holder's node
    ura: str  # of the organization
    certificate: Path
    key_file: Path
    ca: Path
    localization: LocalizingSettings
    public: str = ""  # origin others reach the node at; ig-nuts registers its FHIR base
    versions: tuple[FhirVersion, ...] = tuple(FhirVersion)  # of which there are data


def status(settings: At) -> None:
    """Show what is registered at the index, what waits, and since when."""
    print(asyncio.run(_status(_loaded(settings))))


def reconcile(
    settings: At,
    repair: Annotated[bool, typer.Option("--repair", help="Register and withdraw.")] = False,
) -> None:
    """Compare index and store, patient by patient; exit code 1 when they differ."""
    text, equal = asyncio.run(_reconciled(_loaded(settings), repair=repair))
    print(text)
    if not equal and not repair:
        raise LdnError(
            Issue.CONFLICT, "index and store differ; again with --repair makes them equal"
        )


def purge(
    settings: Annotated[Path, typer.Option(help="Settings of the role localization.")],
    before: Annotated[int, typer.Option(help="Oldest key version that is not destroyed.", min=2)],
) -> None:
    """Drop records of key versions that the pseudonym service destroyed: nobody finds them."""
    chosen = load(settings, LocalizationSettings, environment())
    print(f"{asyncio.run(_purged(chosen, before))} records dropped")


localization = (status, reconcile, purge)


async def _purged(chosen: LocalizationSettings, before: int) -> int:
    pool = await open_pool(chosen.dsn)
    try:
        return await drop_versions(pool, before)
    finally:
        await pool.close()


def _loaded(path: Path) -> HolderSettings:
    return load(path, HolderSettings, environment())


async def _status(chosen: HolderSettings) -> str:
    async with _opened(chosen) as (one, _):
        found = await one.status()
    told = f"{found.registered} registered, {found.waiting} waiting"
    if not found.waiting:
        return told
    return f"{told}, {found.failing} tried in vain, the longest for {found.oldest:.0f} s"


async def _reconciled(chosen: HolderSettings, *, repair: bool) -> tuple[str, bool]:
    async with _opened(chosen) as (one, client):
        found = await one.compare(client, repair=repair)
        left = await one.compare(client) if repair and not found.equal else found
    counted = f"{found.patients} patients, {found.records} records of ours at the index"
    if not found.complete:
        counted += " (it does not list them all: records of nobody we know are not looked for)"
    if found.equal:
        return f"{counted}: index and store are equal", True
    differs = f"{found.missing} missing, {found.extra} of data that are gone"
    text = f"{counted}: {differs}, {found.orphans} of nobody we know"
    if repair:
        text += (
            "; repaired" if left.equal else "; not all repaired, see openldn localization status"
        )
    return text, left.equal


@asynccontextmanager
async def _opened(
    chosen: HolderSettings,
) -> AsyncIterator[tuple[Registering, LocalizationClient]]:
    identity = Identity(chosen.certificate, chosen.key_file, chosen.ca)
    told = chosen.localization
    fhir = f"{chosen.public}/fhir/R4" if chosen.public else ""
    holder = Holder(Ura.parse(chosen.ura), told.source, fhir)
    pool = await open_pool(chosen.dsn)
    try:
        async with open_localization(told, identity, holder, (utc_now, new_uuid)) as client:
            records = Records(pool, utc_now, new_uuid)
            await records.prepare()
            one = registering(client, records, chosen.versions, every=told.every)
            await one.prepare()
            yield one, client
    finally:
        await pool.close()
