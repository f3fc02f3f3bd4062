"""Push as a part of a node: what of the node it uses."""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.routing import BaseRoute

from openldn.base.errors import LdnError
from openldn.base.log import emit
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.store import Records
from openldn.functions.addressing.model import Directory, Endpoint
from openldn.functions.consent.sealing import Sealing
from openldn.node.ask import Asker
from openldn.node.clients import Clients
from openldn.node.delivering import Delivery
from openldn.node.evidence import Log
from openldn.node.outbox import model as outbox
from openldn.node.push.api import Door, push_routes
from openldn.node.push.carrying import Carrying
from openldn.node.push.forwarding import Forwarding
from openldn.node.push.kinds import SCOPES, accepted
from openldn.node.push.loading import Loading
from openldn.node.push.model import KIND
from openldn.node.push.own import Desk, Guard, own_routes
from openldn.node.push.receiving import Receiving
from openldn.node.push.sending import Sending
from openldn.node.push.signing import Seals
from openldn.node.push.store import Pushes, prepare
from openldn.node.roads import Means
from openldn.node.serve import Holder
from openldn.node.settings import STATION, NodeSettings
from openldn.trust import keyfile
from openldn.trust.signatures import Believe, Verifier

__all__ = ["SCOPES", "Pushing", "prepare", "published", "pushing_of"]

_UPKEEP = 600.0  # seconds


@dataclass(frozen=True)
class Pushing:
    """The pushes of one running node."""

    settings: NodeSettings
    sending: Sending
    receiving: Receiving
    carrying: Carrying

    @property
    def kinds(self) -> Mapping[str, outbox.Kind]:
        """How the outbox delivers what push puts in it."""
        return {KIND: outbox.Kind(self.carrying)}

    def routes(self, holder: Holder) -> list[BaseRoute]:
        """For other parties; none when nothing is taken here."""
        terms = self.settings.push
        if not terms.accept:
            return []
        names = frozenset(kind.name for kind in accepted(terms.accept))
        return push_routes(Door(holder, self.receiving, names, frozenset(terms.senders)))

    def own_routes(self, asker: Asker, guard: Guard) -> list[BaseRoute]:
        """For the organization's own applications."""
        return own_routes(Desk(self.sending, self.receiving, asker, guard))

    def background(self) -> list[Coroutine[Any, Any, None]]:
        """What goes on for as long as the node runs."""
        return [self.carrying.follow(), self._keep_small()]

    async def _keep_small(self) -> None:
        while True:
            try:
                await self.receiving.retire()
            except LdnError as error:
                emit("waiting", part="push", issue=str(error.issue), detail=error.detail)
            await asyncio.sleep(_UPKEEP)


class Ground(Protocol):
    """What of the node push stands on."""

    @property
    def audit(self) -> Log:
        """Its audit log."""
        ...

    @property
    def delivery(self) -> Delivery:
        """Its outbox and inbox."""
        ...


def pushing_of(  # noqa: PLR0913  (each is another part of the node)
    settings: NodeSettings,
    records: Records,
    ground: Ground,
    directory: Directory,
    means: Means,
    believe: Believe,
) -> Pushing:
    """The pushes of this node.

    Raises LdnError: exception for a key that cannot be used, invalid for settings that name what
    cannot be taken here.
    """
    pool, clock = records.pool, records.clock
    accepted(settings.push.accept), accepted(settings.push.ask)
    key = keyfile.secret(settings.signing_key.with_name("push.key"), "what is pushed")
    pushes = Pushes(settings.holder, Sealing(key))
    loading = Loading(pool, pushes, clock, records.new_id)
    seals = Seals(settings.holder, means.signing, Verifier(believe), clock)
    delivery, road, log = ground.delivery, means.direct(), ground.audit
    return Pushing(
        settings,
        Sending(pushes, loading, delivery.outbox, directory),
        Receiving(
            *(pool, pushes, loading, delivery.inbox, records, log, seals),
            settings.push,
            _sources(settings, means.clients),
        ),
        Carrying(
            *(pool, pushes, loading, directory, road.tokens, road.forget, road.clients),
            *(log, seals, settings.name),
        ),
    )


def _sources(settings: NodeSettings, clients: Clients) -> dict[FhirVersion, Forwarding]:
    """The source systems that take what is pushed, where records do not stand in our own."""
    found = {}
    for version in FhirVersion:
        base = settings.source(version).rstrip("/")
        if base != STATION and settings.push.accept:
            patience = settings.source_patience
            found[version] = Forwarding(clients.other(base), base, version, patience)
    return found


def published(settings: NodeSettings) -> list[Endpoint]:
    """Where we take pushes, for the directory."""
    holder, issuer, found = settings.holder, settings.issuer, []
    for version in FhirVersion:
        payloads = tuple(k.payload for k in accepted(settings.push.accept) if k.fhir is version)
        if payloads:
            url = f"{settings.public}/push/{version}"
            found.append(Endpoint(holder, "direct", version, url, issuer, payloads, "push"))
    return found
