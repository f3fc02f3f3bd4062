"""Telling the directory who we are and where we answer, as soon as it can be told."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from openldn.base.errors import LdnError
from openldn.base.log import emit
from openldn.exchanges import EXCHANGES
from openldn.exchanges.bgz import CARE_TEAM
from openldn.fhir.model import FhirVersion
from openldn.functions.addressing.model import Endpoint, Organization
from openldn.node.coordination.peers import NOTIFIED, PLACES
from openldn.node.dialects.speech import CARE_PLANS
from openldn.node.dialects.telling import PLANS
from openldn.node.push.wiring import published
from openldn.node.settings import NodeSettings
from openldn.patterns.exchange import Exchange
from openldn.trust.certificates.keys import Signing
from openldn.trust.credentials.wallet import NodeWallet

# What the addresses are known by at which parties of other dialects notify each other.
RECEIVERS = ("Twiin-TA-notification", "eOverdracht-notification")
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0  # seconds between two attempts, doubling

RENEWAL = 3600.0  # seconds between two looks at whether a credential is due


class Publishing(Protocol):
    """The part of a directory client that writes our own entry."""

    async def publish(self, organization: Organization, endpoints: Sequence[Endpoint]) -> None:
        """Make the directory show exactly this; raises LdnError."""
        ...


def own_entry(settings: NodeSettings) -> tuple[Organization, list[Endpoint]]:
    """Our organization and the addresses at which it answers, by FHIR version."""
    holder = settings.holder
    organization = Organization(
        holder, settings.name, active=True, kind=settings.kind, type=settings.provider_type
    )
    endpoints = []
    for version in FhirVersion:
        payloads = tuple(e.payload for e in EXCHANGES.values() if _served(e, version))
        if payloads:
            base, issuer = settings.fhir(version), settings.issuer
            endpoints.append(
                Endpoint(holder, settings.infrastructure, version, base, issuer, payloads)
            )
    return organization, [*endpoints, *_offering(settings), *published(settings)]


def _served(exchange: Exchange, version: FhirVersion) -> bool:
    """By its table, or in R4 where the sender chooses what to offer."""
    chosen = version is FhirVersion.R4 and any(case.open for case in exchange.use_cases)
    return chosen or bool(exchange.queries(version))


def _offering(settings: NodeSettings) -> list[Endpoint]:
    """Where we host Tasks, and where we are notified: the harmonized form, by its own road.

    Who speaks another dialect notifies us at the same address.
    """
    holder, issuer = settings.holder, settings.issuer
    r4, stu3 = FhirVersion.R4, FhirVersion.STU3
    tasks, told = settings.fhir(r4), f"{settings.public}/notification"
    return [
        Endpoint(holder, "direct", r4, tasks, issuer, (PLACES,), "tasks"),
        Endpoint(holder, "direct", r4, told, issuer, (NOTIFIED,), "notification"),
        Endpoint(holder, settings.infrastructure, stu3, told, issuer, RECEIVERS, "notification"),
        Endpoint(holder, "direct", r4, told, issuer, (CARE_TEAM,), "care-team"),
        Endpoint(holder, "direct", r4, f"{settings.public}{PLANS}", issuer, (CARE_PLANS,), "plans"),
    ]


async def keep_publishing(directory: Publishing, settings: NodeSettings) -> None:
    """Publish our entry, again and again until the directory has taken it."""
    organization, endpoints = own_entry(settings)
    pause = FIRST_PAUSE
    while True:
        try:
            await directory.publish(organization, endpoints)
        except LdnError as error:
            emit("waiting", part="addressing", issue=str(error.issue), detail=error.message)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            continue
        emit("published", holder=settings.ura)
        return


async def keep_renewed(wallet: NodeWallet, signing: Callable[[], Signing]) -> None:
    """Keep a credential of our own certificate in the wallet, renewed in time, until cancelled."""
    pause = FIRST_PAUSE
    while True:
        try:
            await wallet.renew(signing())
        except LdnError as error:
            emit("waiting", part="wallet", issue=str(error.issue), detail=error.detail)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            continue
        pause = FIRST_PAUSE
        await asyncio.sleep(RENEWAL)
