"""A simulated party put together from its settings, and told to the directory."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from openldn.base.errors import LdnError
from openldn.base.http import server_context
from openldn.base.runtime import Clock, NewId
from openldn.exchanges import EXCHANGES
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion
from openldn.functions.addressing.client import DirectoryClient
from openldn.functions.addressing.model import Endpoint, Organization
from openldn.testbench.members import Member
from openldn.testbench.simulators.lsp_party import MANNER as LSP
from openldn.testbench.simulators.nuts_party import MANNER as NUTS
from openldn.testbench.simulators.party.api import app
from openldn.testbench.simulators.party.believing import Faith
from openldn.testbench.simulators.party.outside import Book, Outside
from openldn.testbench.simulators.party.party import Party
from openldn.testbench.simulators.party.records import Records
from openldn.testbench.simulators.party.settings import PartySettings
from openldn.testbench.simulators.zorgplatform_party import MANNER as ZORGPLATFORM
from openldn.testbench.synth.story import elsewhere
from openldn.trust.certificates.tls_profiles import restrict, tls_profile

MANNERS = {"lsp": LSP, "nuts": NUTS, "zorgplatform": ZORGPLATFORM}
_PAUSE = 0.5  # seconds between two attempts to be published


def context_of(settings: PartySettings) -> ssl.SSLContext:
    """TLS of the party, as its infrastructure has it."""
    manner = MANNERS[settings.kind]
    name = "ncsc-2.1" if manner.tls_1_2 else "ncsc-2025-05"
    context = restrict(server_context(settings.identity), tls_profile(name))
    if not manner.certificates:
        context.verify_mode = ssl.CERT_OPTIONAL
    if manner.tls_1_2:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


@asynccontextmanager
async def opened(settings: PartySettings, clock: Clock, new_id: NewId) -> AsyncIterator[Any]:
    """The party as an ASGI application, for as long as the block lasts."""
    faith = Faith.of(settings, MANNERS[settings.kind], clock, new_id)
    at = faith.lines.of(Ura.parse(settings.addressing_ura))
    party = assembled(faith, DirectoryClient(at, settings.addressing, clock))
    telling = asyncio.create_task(_published(party))
    try:
        yield app(party, faith)
    finally:
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling
        await faith.close()


def assembled(faith: Faith, directory: Book) -> Party:
    """The party itself, with the story's patient in its records."""
    told = faith.settings
    handed = elsewhere(_member(told), told.receives_from, faith.clock().date())
    return Party(
        *(told, faith.manner, Records.of(handed), Outside(faith, directory, faith.new_id)),
        *(directory, faith.server(directory.known), faith.clock, faith.new_id),
    )


async def _published(party: Party) -> None:
    """Tell the directory who we are, again and again until it takes it."""
    organization, endpoints = entry(party.settings)
    while True:
        try:
            await party.directory.publish(organization, endpoints)
        except LdnError:
            await asyncio.sleep(_PAUSE)
            continue
        party.note("published")
        return


def entry(settings: PartySettings) -> tuple[Organization, list[Endpoint]]:
    """What the directory tells of the party: the addresses of its own road."""
    manner, holder = MANNERS[settings.kind], settings.holder
    name, care = settings.name, settings.care
    organization = Organization(holder, name, active=True, kind=care, type=settings.provider_type)
    served = tuple(dict.fromkeys(("bgz", *(w.exchange for w in manner.wires))))
    payloads = tuple(EXCHANGES[code].payload for code in served)
    told = tuple(dict.fromkeys(w.told for w in manner.wires))
    road, stu3, issuer = manner.infrastructure, FhirVersion.STU3, settings.issuer
    return organization, [
        Endpoint(holder, road, stu3, settings.fhir, issuer, payloads),
        Endpoint(holder, road, stu3, settings.notification, issuer, told, "notification"),
    ]


def _member(settings: PartySettings) -> Member:
    return Member(
        *(settings.key, settings.name, settings.care, settings.kind),
        *(settings.ura, f"9{settings.ura[1:]}", settings.provider_type),
    )
